//! The dispatcher: which task runs where, and what becomes of every task.
//!
//! - [`state`] is the whole policy: a pure state machine, `handle(event) -> effects`, with no clock, no I/O and no
//!   runtime in it. [`messages`] are the plain values that go in and out, [`queue`] the waiting tasks, [`policy`]
//!   the numbers (prediction, back-off, restart budget) it decides by, [`timing`] those it tells.
//! - [`core`] performs the effects: it owns the state machine together with the links to the worker processes,
//!   behind one lock, and is entered from the supervisor thread and, for a direct dispatch, from a JavaScript thread.
//! - [`actor`] is the pool's own task on the supervisor thread: timers, new submissions, spawning.
//! - [`outlet`] collects what is to be told to JavaScript, in batches.
//!
//! It does not know Node-API; `bindings` does.

pub mod actor;
pub mod config;
pub mod core;
pub mod messages;
pub mod outlet;
pub mod policy;
pub mod queue;
pub mod report;
pub mod slots;
pub mod state;
pub mod timing;

#[cfg(test)]
mod tests;
