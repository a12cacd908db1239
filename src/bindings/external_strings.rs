//! JavaScript strings over memory of ours.
//!
//! V8 puts a copy of a large string on fresh pages, with a fault for each: 250 for a mebibyte. An
//! external string uses the memory in which the bytes arrived, and gives it back once JavaScript
//! has collected the string.
//!
//! Node-API has the functions since Node 20.4, and this code looks them up by name. Bun and Deno
//! export them as well, but make no promise about the finalizer that this code could rely on. So
//! `lib/codec/long-strings.js` asks for such strings in Node.js only, and reads the bytes itself
//! where it gets none.
#![expect(unsafe_code, reason = "functions of Node-API found by name, and memory that V8 borrows")]

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::LazyLock;

use napi::bindgen_prelude::*;
use napi::{Env, JsString, sys};

use crate::bindings::strings::Form;
use crate::buffer_pool::Bytes;
use crate::process::weak_symbols::look_up;

/// The size (bytes) from which on V8's copy costs more than an external string. V8 keeps smaller
/// strings on pages that it reuses while they are warm, and collects them sooner.
const FROM: usize = 256 * 1024;
/// The most bytes of such a string, which is far below the length that V8 refuses. Longer text is
/// refused where JavaScript reads the bytes.
const MOST: usize = 256 << 20;

type Create<Unit> = unsafe extern "C" fn(
    env: sys::napi_env,
    text: *const Unit,
    length: usize,
    finalize: sys::napi_finalize,
    hint: *mut c_void,
    result: *mut sys::napi_value,
    copied: *mut bool,
) -> sys::napi_status;

/// The functions of this process's Node-API.
struct Functions {
    latin1: Create<c_char>,
    utf16: Create<u16>,
}

/// Returns the functions. `None`: this Node-API is older than they are.
fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: LazyLock<Option<Functions>> = LazyLock::new(|| {
        // SAFETY: the functions have these signatures in every version of Node-API that has them.
        unsafe {
            Some(Functions {
                latin1: look_up(c"node_api_create_external_string_latin1")?,
                utf16: look_up(c"node_api_create_external_string_utf16")?,
            })
        }
    });
    FUNCTIONS.as_ref()
}

/// Makes a string of bytes from `strings::to_bytes`, over their memory. `Err`: these bytes cannot
/// become such a string.
pub fn create<'env>(
    env: &'env Env,
    mut bytes: Bytes,
) -> Result<std::result::Result<JsString<'env>, Bytes>> {
    let fits = (FROM..=MOST).contains(&bytes.len());
    let Some(functions) = functions().filter(|_| fits) else { return Ok(Err(bytes)) };
    let Some((form, length)) = Form::of(&bytes) else { return Ok(Err(bytes)) };
    let text = bytes.as_ptr();
    if form == Form::Utf16 && !text.cast::<u16>().is_aligned() {
        return Ok(Err(bytes));
    }
    bytes.trim();
    // V8 does not count the memory of external strings when it decides to collect.
    let size = bytes.len() as i64;
    env.adjust_external_memory(size)?;
    let hint = Box::into_raw(Box::new(bytes)).cast();
    let (mut result, mut copied) = (ptr::null_mut(), false);
    // SAFETY: the text is `length` units in the memory of the box, at a place that is aligned for
    // them. The memory stays there, and nothing writes to it, until the finalizer drops the box.
    // Where V8 cannot borrow memory (in Electron), the call copies the text and runs the finalizer.
    let status = unsafe {
        let (env, result, copied) = (env.raw(), &raw mut result, &raw mut copied);
        match form {
            Form::OneByte => {
                (functions.latin1)(env, text.cast(), length, Some(finalize), hint, result, copied)
            }
            Form::Utf16 => {
                (functions.utf16)(env, text.cast(), length, Some(finalize), hint, result, copied)
            }
        }
    };
    if status != sys::Status::napi_ok {
        // Node-API does not say who owns the memory now, so nothing frees it.
        return Err(Error::new(Status::from(status), "failed to make a string"));
    }
    // SAFETY: the call above made the string.
    unsafe { JsString::from_napi_value(env.raw(), result) }.map(Ok)
}

/// Gives the memory back. Node runs this while V8 collects, or without an environment after the end
/// of it.
unsafe extern "C" fn finalize(env: sys::napi_env, _text: *mut c_void, hint: *mut c_void) {
    // SAFETY: Node-API calls this once, with the box that `create` made.
    let bytes = unsafe { Box::from_raw(hint.cast::<Bytes>()) };
    if !env.is_null() {
        let mut total = 0;
        // SAFETY: the environment lives, and this function of it may be called in a collection.
        unsafe { sys::napi_adjust_external_memory(env, -(bytes.len() as i64), &raw mut total) };
    }
}
