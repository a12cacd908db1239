//! bulkhead: a process pool for Node.js.
//!
//! Data goes one way: JavaScript → [`bindings`] → [`pool`] → [`worker`] → [`wire`] → process, and back as events.
//!
//! - [`bindings`]: the only code that knows Node-API; the native halves of `lib/` and `lib/worker/`.
//! - [`pool`]: the dispatcher. Its policy is a pure state machine; one lock and one actor carry it out.
//! - [`worker`]: one child process: its life, its link, its actor.
//! - [`supervisor`]: the thread on which all of that runs.
//! - [`process`]: spawning, waiting, signalling; one file per mechanism.
//! - [`inspect`]: where a worker's JavaScript hangs, by Node's own debugger.
//! - [`port`]: the worker's end of its channel.
//! - [`wire`]: the JSON-lines protocol between supervisor and workers.
//! - [`shm`]: the memory that a worker shares: the claim word, and large raw bytes.
//! - [`errors`]: the texts of errors, to be read as copy.
//! - [`stats`]: readings from `/proc`.
//! - [`warm`]: memory for large raw bytes, used again while it is warm.

#![deny(unsafe_code)]

pub mod bindings;
pub mod errors;
pub mod inspect;
pub mod pool;
pub mod port;
pub mod process;
pub mod shm;
pub mod stats;
pub mod supervisor;
pub mod warm;
pub mod wire;
pub mod worker;
