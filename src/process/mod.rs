//! Child processes: how they start, are watched, get signals, and end with their parent.
//!
//! The embedding process has children of its own, and a runtime that watches them. So all code here
//! acts on one pid at a time. It installs no SIGCHLD handler, never calls `waitpid(-1)`, and
//! changes no signal's disposition. Every descriptor that it opens is close-on-exec.
//!
//! - [`spawn()`] starts a worker by `posix_spawn`; [`channel`] makes the worker's descriptors.
//! - [`wait`] waits for a worker's end and reaps it: by pidfd, or by a thread for each worker where
//!   the kernel has no pidfds.
//! - [`readiness`] has the runtime watch a descriptor; [`ready_set`] makes one of several.
//! - [`directory`] is the directory that a worker starts in; [`nice`] sets its share of the
//!   processors.
//! - [`target`] sends signals to a worker and to its process group; [`signal`] names them.
//! - [`memory`] reads how much memory a process uses; [`oom`] reads whether the kernel has killed
//!   one for its memory.
//! - [`weak_symbols`] looks up functions that not every system has.
//! - [`at_exit`] runs code at the end of this process.
//! - [`depth`] counts pools within pools.
//!
//! The decision to start, stop or replace a worker is not made here.

pub(crate) mod at_exit;
pub(crate) mod channel;
pub(crate) mod depth;
pub(crate) mod directory;
pub(crate) mod memory;
pub(crate) mod nice;
pub(crate) mod oom;
pub(crate) mod readiness;
pub(crate) mod signal;
pub(crate) mod spawn;
pub(crate) mod target;
pub(crate) mod wait;

mod child_state;
mod errno;
#[cfg_attr(not(target_os = "linux"), path = "pidfd_none.rs")]
mod pidfd;
#[cfg_attr(not(target_os = "linux"), path = "ready_set_none.rs")]
pub(crate) mod ready_set;
mod wait_thread;
pub(crate) mod weak_symbols;

pub(crate) use errno::CallError;
pub(crate) use rustix::process::{Pid, Signal};
pub(crate) use spawn::{SpawnError, SpawnSpec, Stdio, spawn};
pub(crate) use target::Target;
pub(crate) use wait::{Exit, Waiter, kill_and_reap};

#[cfg(test)]
mod tests;
