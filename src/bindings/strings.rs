//! Passes text between JavaScript and Rust, in as few copies as possible.
#![expect(
    unsafe_code,
    reason = "calls of Node-API that napi-rs offers only with an extra pass and an extra copy"
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

/// The form of a string in raw bytes, which their last byte tells.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// One byte a character: ASCII or Latin-1.
    OneByte = 0,
    /// UTF-16, little endian.
    Utf16 = 1,
}

impl Form {
    /// Returns the form of these bytes, and the number of its units. `None`: no string has such
    /// bytes.
    pub fn of(bytes: &[u8]) -> Option<(Self, usize)> {
        let (form, text) = bytes.split_last()?;
        match *form {
            0 => Some((Self::OneByte, text.len())),
            1 if text.len().is_multiple_of(2) => Some((Self::Utf16, text.len() / 2)),
            _ => None,
        }
    }
}

/// Returns a string's text with one byte a character, or its UTF-16 if it has characters that need
/// it, and a byte that tells which.
pub fn to_bytes(text: &JsString<'_>) -> Result<Bytes> {
    let length = text.utf16_len()?;
    // As many bytes as units means that all of it is ASCII. V8 counts faster than it encodes, and
    // copies one-byte text faster than both.
    if text.utf8_len()? == length {
        let mut bytes = Bytes::with_capacity(length + 1);
        write_latin1(text, bytes.room())?;
        return Ok(finish(bytes, length, Form::OneByte));
    }
    let mut bytes = Bytes::with_capacity(2 * length + 2);
    let units = as_units(bytes.room())?;
    write_utf16(text, units)?;
    let units = &units[..length];
    if !fit_into_bytes(units) {
        return Ok(finish(bytes, 2 * length, Form::Utf16));
    }
    let mut narrow = Bytes::with_capacity(length + 1);
    for (byte, unit) in narrow.room().iter_mut().zip(units) {
        *byte = *unit as u8;
    }
    Ok(finish(narrow, length, Form::OneByte))
}

/// Returns whether each unit fits into a byte.
fn fit_into_bytes(units: &[u16]) -> bool {
    /// As many as are looked at together, without a branch for each.
    const TOGETHER: usize = 1024;
    units.chunks(TOGETHER).all(|units| units.iter().fold(0, |all, unit| all | unit) <= 0xFF)
}

/// Ends `bytes` behind their first `length`, with the byte that tells the form.
fn finish(mut bytes: Bytes, length: usize, form: Form) -> Bytes {
    bytes.room()[length] = form as u8;
    bytes.set_length(length + 1);
    bytes
}

/// Returns memory as UTF-16 units of this machine.
fn as_units(room: &mut [u8]) -> Result<&mut [u16]> {
    const { assert!(cfg!(target_endian = "little"), "the other side reads it as little endian") };
    // SAFETY: all values of these types are valid.
    let (before, units, _) = unsafe { room.align_to_mut() };
    if before.is_empty() { Ok(units) } else { Err(Error::from_reason("the memory is not aligned")) }
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
    check(status)?;
    Ok(written)
}

/// Writes the characters of a string, all of one byte, and a zero behind them if there is room.
fn write_latin1(text: &JsString<'_>, room: &mut [u8]) -> Result<()> {
    let (value, mut written) = (text.value(), 0);
    // SAFETY: as in `write_utf8`.
    let status = unsafe {
        sys::napi_get_value_string_latin1(
            value.env,
            value.value,
            room.as_mut_ptr().cast(),
            room.len(),
            &raw mut written,
        )
    };
    check(status)
}

/// Writes a string's units, and a zero behind them if there is room.
fn write_utf16(text: &JsString<'_>, room: &mut [u16]) -> Result<()> {
    let (value, mut written) = (text.value(), 0);
    // SAFETY: as in `write_utf8`.
    let status = unsafe {
        sys::napi_get_value_string_utf16(
            value.env,
            value.value,
            room.as_mut_ptr(),
            room.len(),
            &raw mut written,
        )
    };
    check(status)
}

fn check(status: sys::napi_status) -> Result<()> {
    match status {
        sys::Status::napi_ok => Ok(()),
        other => Err(Error::new(Status::from(other), "expected a string")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_tells_the_form_of_a_string() {
        let form = |bytes: &[u8]| Form::of(bytes).map(|(form, length)| (form as u8, length));
        assert_eq!(form(b"\0"), Some((0, 0)));
        assert_eq!(form(b"ab\0"), Some((0, 2)));
        assert_eq!(form(b"a\0b\0\x01"), Some((1, 2)));
        assert_eq!(form(b"\x01"), Some((1, 0)));
        for malformed in [&b""[..], b"abc\x01", b"ab\x02", b"\xff"] {
            assert_eq!(form(malformed), None, "{malformed:?}");
        }
    }

    #[test]
    fn one_wide_unit_anywhere_is_found() {
        let mut units = vec![0xFF; 5000];
        assert!(fit_into_bytes(&units) && fit_into_bytes(&[]));
        for index in [0, 1023, 1024, 4999] {
            units[index] = 0x100;
            assert!(!fit_into_bytes(&units), "at {index}");
            units[index] = 0xFF;
        }
    }
}
