//! The bridge to JavaScript: the only code that knows Node-API.
//!
//! The bridge is thin and private. Plain values come in, which `lib/options/pool-options.js` has
//! validated and completed with defaults. Rows of numbers, JSON text and raw bytes go out.
//!
//! - [`process_manager`] is the native half of `lib/pool/process-manager.js`, and [`worker_port`]
//!   that of `lib/worker/`.
//! - [`environment`] ends a pool with its environment.
//! - [`fast_function`] makes functions that cost little to call.
//! - [`native_config`] turns the one configuration object into the pool's settings.
//! - [`constants`] tells JavaScript the numbers that both sides use.
//! - [`strings`] passes text without a second copy; [`buffers`] passes raw bytes;
//!   [`external_strings`] makes long strings of raw bytes without a copy.
//! - [`uv`] has the event loop watch a descriptor.
//! - [`log`] is `BULKHEAD_LOG`.

#![expect(unreachable_pub, reason = "napi exports what is public")]

mod buffers;
mod constants;
mod environment;
mod external_strings;
mod fast_function;
mod log;
mod native_config;
mod process_manager;
mod strings;
mod uv;
mod worker_port;

use napi::bindgen_prelude::*;
use napi::{Env, JsString};
use napi_derive::napi;

use crate::process;

/// Returns whether this system tells how much memory a process uses.
#[napi]
pub fn reads_memory() -> bool {
    i32::try_from(std::process::id()).is_ok_and(|pid| process::memory::resident_set(pid).is_some())
}

/// Returns a string as raw bytes, in the format of `lib/codec/long-strings.js`.
#[napi]
pub fn encode_text<'env>(env: &'env Env, text: JsString<'_>) -> Result<BufferSlice<'env>> {
    buffers::create(env, strings::to_bytes(&text)?)
}

/// Returns the number of bytes in memory of ours that Buffers of this thread hold, because
/// JavaScript has not collected them.
#[napi]
pub fn external_bytes() -> f64 {
    buffers::external_bytes() as f64
}

/// Returns the depth of this process in pools within pools; 0: no pool has started it.
#[napi]
pub fn depth() -> u32 {
    process::depth::depth()
}

/// Returns the number of cores that this process may use, at least 1. Affinity and cgroup quota
/// count.
#[napi]
pub fn available_parallelism() -> u32 {
    u32::try_from(num_cpus::get()).unwrap_or(1).max(1)
}
