//! Raw bytes on their way to JavaScript.
#![expect(
    unsafe_code,
    reason = "a Buffer over memory of ours, which napi-rs offers for a Vec only"
)]

use napi::Env;
use napi::bindgen_prelude::*;

use crate::buffer_pool::Bytes;

/// From this size on bytes are handed over as the memory they are in; smaller ones are cheaper to
/// copy.
const EXTERNAL_FROM: usize = 16 * 1024;

/// A Buffer of these bytes. Once JavaScript has done with it, their memory is used again.
pub fn create<'env>(env: &'env Env, mut bytes: Bytes) -> Result<BufferSlice<'env>> {
    if bytes.len() < EXTERNAL_FROM {
        return BufferSlice::copy_from(env, bytes);
    }
    let (data, length) = (bytes.room().as_mut_ptr(), bytes.len());
    // SAFETY: the bytes stay where they are, and nobody else looks at them, until the finalizer
    // drops `bytes`: to move their owner moves none of them.
    unsafe { BufferSlice::from_external(env, data, length, bytes, |_, bytes| drop(bytes)) }
}
