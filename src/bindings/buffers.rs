//! Raw bytes on their way to JavaScript.
#![expect(
    unsafe_code,
    reason = "a Buffer over memory of ours, which napi-rs offers for a Vec only"
)]

use napi::Env;
use napi::bindgen_prelude::*;

use crate::buffer_pool::Bytes;

/// The size (bytes) from which on a Buffer takes over the memory of the bytes. Smaller ones are
/// cheaper to copy.
const EXTERNAL_FROM: usize = 16 * 1024;

/// Makes a Buffer of these bytes. Once JavaScript has collected it, the memory is reused.
pub fn create<'env>(env: &'env Env, mut bytes: Bytes) -> Result<BufferSlice<'env>> {
    if bytes.len() < EXTERNAL_FROM {
        return BufferSlice::copy_from(env, bytes);
    }
    let (data, length) = (bytes.room().as_mut_ptr(), bytes.len());
    // SAFETY: until the finalizer drops `bytes`, they stay in place and no other code reads them. A
    // move of their owner moves none of them.
    unsafe { BufferSlice::from_external(env, data, length, bytes, |_, bytes| drop(bytes)) }
}
