//! bulkhead: a process pool for Node.js.
//!
//! Imports go one way: [`bindings`] → [`supervisor`] → [`pool`]; [`supervisor`] → [`wire`],
//! [`shm`], [`process`], [`inspect`]; [`worker`] → [`wire`], [`shm`], [`process`].
//!
//! - [`bindings`]: the only code that knows Node-API; the native halves of `lib/` and
//!   `lib/worker/`.
//! - [`supervisor`]: the parent's side, with the thread, the pools' drivers, and the workers'
//!   channels and processes.
//! - [`pool`]: the policy, a pure state machine without clock and I/O.
//! - [`worker`]: the parts of a worker process that do not depend on Node-API.
//! - [`wire`]: the JSON-lines protocol between supervisor and workers.
//! - [`shm`]: the memory that a worker shares, with the claim word, the journal and the rings.
//! - [`process`]: how workers start, get signals and end; readings from `/proc`; one file for each
//!   mechanism.
//! - [`inspect`]: the stack of a worker whose JavaScript hangs, by Node's own debugger.
//! - [`buffer_pool`]: memory for large raw bytes, reused while it is warm.
//! - [`errors`]: the texts of errors.

#![deny(unsafe_code)]
#![warn(unreachable_pub)]
// The build without tests makes the addon, and finds unused code.
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
    pub use crate::process::target::Target;
    pub use crate::shm::page::{Direction, JOURNAL_CAPACITY, PAGE_SIZE, SharedPage, Writer};
    pub use crate::shm::ring::{RING, Read};
    pub use crate::supervisor::config::{QueueLimits, WorkerConfig};
    pub use crate::supervisor::handle::{PoolHandle, SharedPool};
    pub use crate::supervisor::link::{Link, receive};
    pub use crate::supervisor::outbox::Outbox;
    pub use crate::supervisor::reader::{Reader, read_journal};
    pub use crate::supervisor::report::ExitReport;
    pub use crate::supervisor::rows::{Batch, Kind, flags};
    pub use crate::wire::decoder::Decoder;
    pub use crate::wire::down::Serialization;
    pub use crate::wire::splitter::LineSplitter;
    pub use crate::wire::up::{Encoding, Payload, Up};
    pub use rustix::process::Pid;
}
