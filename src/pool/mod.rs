//! The dispatcher: which task runs where, and what becomes of every task.
//!
//! - [`state`] is the whole policy: a pure state machine, `handle(event) -> effects`, with no
//!   clock, no I/O and no runtime in it. [`messages`] are the plain values that go in and out,
//!   [`queue`] the waiting tasks, [`policy`] the numbers (prediction, back-off, restart budget) it
//!   decides by, [`timing`] those it tells; [`slot`] is a place for a worker, [`lifecycle`] the
//!   course of one worker's life.
//!
//! It does no I/O: `supervisor` drives it.

pub mod config;
pub mod ids;
pub mod key;
pub mod lifecycle;
pub mod messages;
pub mod policy;
pub mod queue;
pub mod slot;
pub mod state;
pub mod tasks;
pub mod timing;
pub mod worker;

#[cfg(test)]
mod tests;
