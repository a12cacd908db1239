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
//! - [`outbox`] collects what JavaScript is told, in batches of [`rows`]; [`report`] words failures
//!   and events.
//! - [`output`] is what a worker printed; [`oom_message`] detects there why it exited.
//!
//! Nothing here knows Node-API; `bindings` does.

pub mod admission;
pub mod config;
pub mod driver;
pub mod handle;
mod launch;
pub mod link;
mod links;
pub mod oom_message;
pub mod outbox;
pub mod output;
pub mod pool_task;
pub mod reader;
mod replies;
pub mod report;
pub mod rows;
mod send_queue;
pub mod thread;
pub mod worker_task;

#[cfg(test)]
mod tests;
