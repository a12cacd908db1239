//! The pool: which task runs where, and how every task ends. Pure: no clock, no I/O, no runtime.
//! The `supervisor` drives it.
//!
//! - [`state`]: the state machine, `handle(event) -> effects`
//! - [`messages`]: the events and effects
//! - [`tasks`], [`queue`]: the accepted tasks, and those of them that wait
//! - [`slot`], [`worker`], [`lifecycle`]: the slots, their processes, and the course of a process
//! - [`standbys`]: the processes that stand by for a slot
//! - [`policy`]: the numbers the pool decides by (prediction, back-off, restart budget)
//! - [`timing`]: the times it reports
//! - [`config`], [`ids`], [`key`]: settings, ids and affinity keys

pub(crate) mod config;
pub(crate) mod ids;
pub(crate) mod key;
pub(crate) mod lifecycle;
pub(crate) mod messages;
pub(crate) mod policy;
pub(crate) mod queue;
pub(crate) mod slot;
pub(crate) mod standbys;
pub(crate) mod state;
pub(crate) mod tasks;
pub(crate) mod timing;
pub(crate) mod worker;

#[cfg(test)]
mod tests;
