//! Raw bytes on their way to JavaScript.
#![expect(
    unsafe_code,
    reason = "a Buffer over memory of ours, which napi-rs offers for a Vec only"
)]

use std::cell::Cell;

use napi::bindgen_prelude::*;
use napi::{Env, JsString};

use crate::bindings::external_strings;
use crate::buffer_pool::Bytes;

/// Raw bytes as JavaScript gets them. Those of a string may already be the string.
pub type Blob<'env> = Either<BufferSlice<'env>, JsString<'env>>;

/// The size (bytes) from which on a Buffer takes over the memory of the bytes. Smaller ones are
/// cheaper to copy.
const EXTERNAL_FROM: usize = 16 * 1024;

thread_local! {
    /// The bytes that Buffers of this thread's environment hold outside of the heap.
    static EXTERNAL: Cell<usize> = const { Cell::new(0) };
}

/// Returns the number of bytes in memory of ours that this thread's JavaScript has not collected.
pub fn external_bytes() -> usize {
    EXTERNAL.get()
}

/// Makes a Buffer of these bytes. Once JavaScript has collected it, the memory is reused.
pub fn create<'env>(env: &'env Env, mut bytes: Bytes) -> Result<BufferSlice<'env>> {
    if bytes.len() < EXTERNAL_FROM {
        return BufferSlice::copy_from(env, bytes);
    }
    let (data, length) = (bytes.room().as_mut_ptr(), bytes.len());
    EXTERNAL.set(EXTERNAL.get() + length);
    // SAFETY: until the finalizer drops `bytes`, they stay in place and no other code reads them. A
    // move of their owner moves none of them.
    unsafe { BufferSlice::from_external(env, data, length, bytes, |_, bytes| give_back(bytes)) }
}

/// Called on the thread that made the Buffer.
fn give_back(bytes: Bytes) {
    EXTERNAL.set(EXTERNAL.get().saturating_sub(bytes.len()));
    drop(bytes);
}

/// Hands raw bytes over to JavaScript. `texts` are the indices of those that are strings, in
/// ascending order.
pub fn deliver<'env>(
    env: &'env Env,
    blobs: &mut [Bytes],
    texts: &[u32],
) -> Result<Vec<Blob<'env>>> {
    let mut texts = texts.iter().map(|&index| index as usize).peekable();
    let blobs = blobs.iter_mut().map(std::mem::take).enumerate();
    blobs
        .map(|(index, blob)| match texts.next_if_eq(&index) {
            Some(_) => text(env, blob),
            None => create(env, blob).map(Either::A),
        })
        .collect()
}

/// Makes a string of its bytes, or else a Buffer. JavaScript makes the string of that.
fn text<'env>(env: &'env Env, bytes: Bytes) -> Result<Blob<'env>> {
    match external_strings::create(env, bytes)? {
        Ok(text) => Ok(Either::B(text)),
        Err(bytes) => create(env, bytes).map(Either::A),
    }
}
