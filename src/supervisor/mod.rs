//! The parent's side of a pool: one thread that drives all pools of the process and owns their
//! workers' processes.
//!
//! - [`thread`] is the thread; [`pool_task`] is one pool on it, [`worker_task`] one worker, which
//!   `launch` starts.
//! - [`handle`] is one pool as all threads share it. It holds the driver behind one lock.
//! - [`driver`] owns the state machine of `pool` and performs its effects. `admission` bounds what
//!   the pool accepts.
//! - [`link`] is the supervisor's end of one worker's channel, [`send_queue`] the bytes that wait
//!   for room there, [`reader`] reads the worker's frames.
//! - `reading` is who has that reader: the worker's task, or JavaScript's thread, which `lead`s.
//! - [`outbox`] collects what JavaScript is told, in batches of [`rows`]; [`report`] words failures
//!   and events.
//! - [`output`] is what a worker printed; [`oom_message`] detects there why it exited.
//!
//! Nothing here knows Node-API; `bindings` does.

pub(crate) mod admission;
pub(crate) mod config;
pub(crate) mod driver;
pub(crate) mod handle;
mod launch;
mod lead;
pub(crate) mod link;
mod links;
pub(crate) mod oom_message;
pub(crate) mod outbox;
pub(crate) mod output;
pub(crate) mod pool_task;
pub(crate) mod reader;
mod reading;
mod replies;
pub(crate) mod report;
pub(crate) mod rows;
mod send_queue;
mod standby_task;
mod standbys;
pub(crate) mod thread;
pub(crate) mod worker_task;

#[cfg(test)]
mod tests;
