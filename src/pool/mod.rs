//! The pool: which task runs where, and how every task ends. Pure: no clock, no I/O, no runtime.
//! The `supervisor` drives it.
//!
//! - [`state`]: the state machine, `handle(event) -> effects`
//! - [`messages`]: the events and effects
//! - [`tasks`], [`queue`]: the accepted tasks, and those of them that wait
//! - [`slot`], [`worker`], [`lifecycle`]: the slots, their processes, and the course of a process
//! - [`policy`]: the numbers the pool decides by (prediction, back-off, restart budget)
//! - [`timing`]: the times it reports
//! - [`config`], [`ids`], [`key`]: settings, ids and affinity keys

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
