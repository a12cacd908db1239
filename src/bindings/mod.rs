//! The border to JavaScript: the only code that knows Node-API.
//!
//! It is thin and private: plain values in (`lib/options/pool-options.js` has validated them and
//! filled in every default), rows of numbers, JSON text and raw bytes out. [`process_manager`] is
//! the native half of `lib/pool/process-manager.js`, [`worker_port`] that of `lib/worker/`;
//! [`environment`] ends a pool with its environment; [`fast_function`] makes functions that cost
//! little to call; [`native_config`] turns the one configuration object into the pool's settings,
//! [`constants`] tells JavaScript the numbers that both sides use, [`strings`] moves text across without a second copy, [`buffers`] bytes, [`uv`] has
//! the event loop watch a descriptor, [`log`] is `BULKHEAD_LOG`.

#![expect(unreachable_pub, reason = "napi exports what is public")]

mod buffers;
mod constants;
mod environment;
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

/// Whether it can be seen how much memory a process uses.
#[napi]
pub fn reads_memory() -> bool {
    i32::try_from(std::process::id()).is_ok_and(|pid| process::memory::resident_set(pid).is_some())
}

/// A string as raw bytes, as `lib/codec/long-strings.js` describes them.
#[napi]
pub fn encode_text<'env>(env: &'env Env, text: JsString<'_>) -> Result<BufferSlice<'env>> {
    buffers::create(env, strings::to_bytes(&text)?)
}

/// How deep in pools within pools this process is: 0 unless a pool has started it.
#[napi]
pub fn depth() -> u32 {
    process::depth::depth()
}

/// Cores this process may really use: affinity and cgroup quota respected, at least 1.
#[napi]
pub fn available_parallelism() -> u32 {
    u32::try_from(num_cpus::get()).unwrap_or(1).max(1)
}
