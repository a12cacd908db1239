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
#![warn(unreachable_pub)]
// The addon is what a build without tests makes: that build finds the code that nothing uses.
#![cfg_attr(test, allow(dead_code))]

mod bindings;
mod buffer_pool;
mod errors;
mod inspect;
mod pool;
mod process;
mod shm;
mod supervisor;
mod wire;
mod worker;

/// The parts that the fuzz targets and the benchmark use. They are no interface for other code.
#[doc(hidden)]
pub mod internals {
    pub use crate::errors::WireError;
    pub use crate::pool::config::{PoolConfig, Prefetch, RestartConfig};
    pub use crate::pool::ids::{AttemptId, Micros, Ticket, WorkerKey};
    pub use crate::pool::messages::{Body, Event, NewTask};
    pub use crate::process::channel::channel_pair;
    pub use crate::process::readiness::watch;
    pub use crate::process::target::Target;
    pub use crate::shm::page::{Direction, JOURNAL_CAPACITY, PAGE_SIZE, SharedPage, Writer};
    pub use crate::shm::ring::{RING, Read};
    pub use crate::supervisor::config::{QueueLimits, WorkerConfig};
    pub use crate::supervisor::handle::{PoolHandle, SharedPool};
    pub use crate::supervisor::link::{Link, receive};
    pub use crate::supervisor::outbox::Outbox;
    pub use crate::supervisor::output::Tail;
    pub use crate::supervisor::reader::{Reader, read_journal};
    pub use crate::supervisor::report::ExitReport;
    pub use crate::supervisor::rows::{Batch, Kind, flags};
    pub use crate::wire::decoder::Decoder;
    pub use crate::wire::down::Serialization;
    pub use crate::wire::splitter::LineSplitter;
    pub use crate::wire::up::{Encoding, Payload, Up};
    pub use rustix::process::Pid;
}
