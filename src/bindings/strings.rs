//! Text across the border, in as few copies as there can be.
#![expect(
    unsafe_code,
    reason = "one call of Node-API that napi-rs offers only with an extra pass and an extra copy"
)]

use std::mem::MaybeUninit;

use napi::bindgen_prelude::*;
use napi::{Env, JsString, JsValue, sys};

use crate::buffer_pool::Bytes;

/// Bytes of the longest character in UTF-8. With this much room left, nothing was cut off.
const LONGEST: usize = 4;

/// Appends a string's UTF-8 to `into`.
///
/// JavaScript strings do not know their length in UTF-8, and asking costs a pass of its own. So the
/// text is written straight into the spare capacity; only if it fills that to the brim is it
/// written once more, with room enough.
pub fn append_utf8(text: &JsString<'_>, into: &mut Vec<u8>) -> Result<()> {
    /// Room that is tried first; what most tasks need.
    const FIRST: usize = 1024;

    into.reserve(FIRST);
    if write(text, into)? {
        return Ok(());
    }
    // Most text is ASCII, so its length in UTF-16 is a good guess; no text needs more than three
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

/// How a string was written, as its last byte.
const ASCII: u8 = 0;
const UTF_16: u8 = 1;

/// A string's ASCII or, if there is anything else in it, its UTF-16, and a byte that says which.
pub fn to_bytes(text: &JsString<'_>) -> Result<Bytes> {
    let length = text.utf16_len()?;
    let mut bytes = Bytes::with_capacity(length + LONGEST + 2);
    // One byte for each unit: all of it is ASCII, since everything else takes more, and there is
    // room to show it.
    if write_utf8(text, as_room(bytes.room()))? == length {
        bytes.room()[length] = ASCII;
        bytes.set_length(length + 1);
        return Ok(bytes);
    }
    let units = text.into_utf16()?;
    const { assert!(cfg!(target_endian = "little"), "the other side reads it as little endian") };
    // SAFETY: so many units of two bytes each, of which every byte is initialised.
    let units =
        unsafe { std::slice::from_raw_parts(units.as_slice().as_ptr().cast::<u8>(), 2 * length) };
    let mut bytes = Bytes::with_capacity(units.len() + 1);
    bytes.append(units);
    bytes.append(&[UTF_16]);
    Ok(bytes)
}

/// Whether all of it went in; if not, `into` is as it was.
fn write(text: &JsString<'_>, into: &mut Vec<u8>) -> Result<bool> {
    let spare = into.spare_capacity_mut();
    let room = spare.len();
    let written = write_utf8(text, spare)?;
    if written + LONGEST >= room {
        return Ok(false);
    }
    // SAFETY: the first `written` bytes of the spare capacity were initialised just now.
    unsafe { into.set_len(into.len() + written) };
    Ok(true)
}

/// As much of a string's UTF-8 as fits, in whole characters, and a zero behind it: the number of
/// bytes without that.
fn write_utf8(text: &JsString<'_>, room: &mut [MaybeUninit<u8>]) -> Result<usize> {
    let value = text.value();
    let mut written = 0;
    // SAFETY: `value` is a live string of this environment, as it is an argument of the call that
    // is being served. Node-API writes at most as many bytes as there are, the terminating zero
    // among them, and says how many.
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

/// Bytes that are initialised already are room as well.
fn as_room(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: both have the same layout, and whoever writes into the room writes bytes only.
    unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) }
}

/// A JavaScript string of bytes that are UTF-8.
pub fn create<'env>(env: &'env Env, text: &[u8]) -> Result<JsString<'env>> {
    if text.is_ascii() {
        return env.create_string_latin1(text);
    }
    match std::str::from_utf8(text) {
        Ok(text) => env.create_string(text),
        // Cannot be: it was checked when it came, or made here.
        Err(_) => env.create_string(String::from_utf8_lossy(text)),
    }
}
