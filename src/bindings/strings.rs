//! Passes text between JavaScript and Rust, in as few copies as possible.
#![expect(
    unsafe_code,
    reason = "one call of Node-API that napi-rs offers only with an extra pass and an extra copy"
)]

use std::mem::MaybeUninit;

use napi::bindgen_prelude::*;
use napi::{Env, JsString, JsValue, sys};

use crate::buffer_pool::Bytes;

/// The length (bytes) of the longest character in UTF-8. If this much room is left, the text is
/// complete.
const LONGEST: usize = 4;

/// Appends a string's UTF-8 to `into`.
///
/// JavaScript strings do not know their length in UTF-8, and a query costs a pass over the text. So
/// the text goes straight into the spare capacity. Only if it fills that completely is it written
/// once more, with enough room.
pub fn append_utf8(text: &JsString<'_>, into: &mut Vec<u8>) -> Result<()> {
    /// The room (bytes) to try first, which is enough for most tasks.
    const FIRST: usize = 1024;

    into.reserve(FIRST);
    if write(text, into)? {
        return Ok(());
    }
    // Most text is ASCII, so its length in UTF-16 is a good guess. No text needs more than three
    // times that.
    let length = text.utf16_len()?;
    into.reserve(length + LONGEST + 1);
    if write(text, into)? {
        return Ok(());
    }
    into.reserve(length * 3 + LONGEST + 1);
    match write(text, into)? {
        true => Ok(()),
        false => Err(Error::from_reason("a string was longer than its own length allows")),
    }
}

/// The last byte of the raw bytes, which tells the encoding of the string.
const ASCII: u8 = 0;
const UTF_16: u8 = 1;

/// Returns a string's ASCII, or its UTF-16 if it has other characters, and a byte that tells which.
pub fn to_bytes(text: &JsString<'_>) -> Result<Bytes> {
    let length = text.utf16_len()?;
    let mut bytes = Bytes::with_capacity(length + LONGEST + 2);
    // One byte for each unit means that all of it is ASCII: any other character takes more, for
    // which there is room.
    if write_utf8(text, as_room(bytes.room()))? == length {
        bytes.room()[length] = ASCII;
        bytes.set_length(length + 1);
        return Ok(bytes);
    }
    let units = text.into_utf16()?;
    const { assert!(cfg!(target_endian = "little"), "the other side reads it as little endian") };
    // SAFETY: there are `length` units of two bytes each, and every byte is initialised.
    let units =
        unsafe { std::slice::from_raw_parts(units.as_slice().as_ptr().cast::<u8>(), 2 * length) };
    let mut bytes = Bytes::with_capacity(units.len() + 1);
    bytes.append(units);
    bytes.append(&[UTF_16]);
    Ok(bytes)
}

/// Writes the text behind `into`. `false`: there was not enough room, and `into` is as it was.
fn write(text: &JsString<'_>, into: &mut Vec<u8>) -> Result<bool> {
    let spare = into.spare_capacity_mut();
    let room = spare.len();
    let written = write_utf8(text, spare)?;
    if written + LONGEST >= room {
        return Ok(false);
    }
    // SAFETY: the call above initialised the first `written` bytes of the spare capacity.
    unsafe { into.set_len(into.len() + written) };
    Ok(true)
}

/// Writes as much of a string's UTF-8 as fits, in whole characters, with a zero behind it. Returns
/// the number of bytes without the zero.
fn write_utf8(text: &JsString<'_>, room: &mut [MaybeUninit<u8>]) -> Result<usize> {
    let value = text.value();
    let mut written = 0;
    // SAFETY: `value` is a live string of this environment, because it is an argument of the call
    // in progress. Node-API writes no more bytes than there is room for, with the terminating zero,
    // and returns their number.
    let status = unsafe {
        sys::napi_get_value_string_utf8(
            value.env,
            value.value,
            room.as_mut_ptr().cast(),
            room.len(),
            &raw mut written,
        )
    };
    if status != sys::Status::napi_ok {
        return Err(Error::new(Status::from(status), "expected a string"));
    }
    Ok(written)
}

/// Returns initialised bytes as room to write into.
fn as_room(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: both types have the same layout, and code that writes into the room writes only
    // bytes.
    unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) }
}

/// Makes a JavaScript string of bytes in UTF-8.
pub fn create<'env>(env: &'env Env, text: &[u8]) -> Result<JsString<'env>> {
    if text.is_ascii() {
        return env.create_string_latin1(text);
    }
    match std::str::from_utf8(text) {
        Ok(text) => env.create_string(text),
        // The text is always UTF-8: it was checked when it arrived, or was made here.
        Err(_) => env.create_string(String::from_utf8_lossy(text)),
    }
}
