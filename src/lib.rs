//! bulkhead: a process pool for Node.js.
//!
//! Imports go one way: [`bindings`] → [`supervisor`] → [`pool`]; [`supervisor`] → [`wire`],
//! [`shm`], [`process`], [`inspect`]; [`worker`] → [`wire`], [`shm`], [`process`].
//!
//! - [`bindings`]: the only code that knows Node-API; the native halves of `lib/` and
//!   `lib/worker/`.
//! - [`supervisor`]: the parent's side: the thread, the pools' driver, the workers' channels and
//!   processes.
//! - [`pool`]: the policy, a pure state machine without clock and I/O.
//! - [`worker`]: what runs in a worker process.
//! - [`wire`]: the JSON-lines protocol between supervisor and workers.
//! - [`shm`]: the memory that a worker shares: the claim word, and large raw bytes.
//! - [`process`]: spawning, waiting, signalling, readings from `/proc`; one file per mechanism.
//! - [`inspect`]: where a worker's JavaScript hangs, by Node's own debugger.
//! - [`buffer_pool`]: memory for large raw bytes, used again while it is warm.
//! - [`errors`]: the texts of errors, to be read as copy.

#![deny(unsafe_code)]

pub mod bindings;
pub mod buffer_pool;
pub mod errors;
pub mod inspect;
pub mod pool;
pub mod process;
pub mod shm;
pub mod supervisor;
pub mod wire;
pub mod worker;
