//! Child processes: starting them, hearing of their end, signalling them, and dying with one's
//! parent.
//!
//! The embedding process has children of its own and a runtime that watches them, so everything
//! here is done for one pid at a time: no SIGCHLD handler, no `waitpid(-1)`, no change of any
//! signal's disposition, and every descriptor opened here is close-on-exec.
//!
//! - [`spawn`] starts a worker by `posix_spawn`; [`channel`] makes the descriptors that it is
//!   given.
//! - [`wait`] hears of its end and reaps it: by pidfd where the kernel has them, else by a thread
//!   for each worker.
//! - [`readiness`] has the runtime watch a descriptor.
//! - [`directory`] is where it starts; [`nice`] says how much of the processors it gets.
//! - [`target`] sends signals to it and to its process group; [`signal`] names them.
//! - [`memory`] reads how much memory a process uses, [`oom`] whether the kernel has ended one for
//!   it.
//! - [`weak_symbols`] looks up functions that not every system has.
//! - [`at_exit`] is called at the end of this process.
//! - [`depth`] counts pools within pools.
//!
//! Nothing here decides when to start, stop or replace a worker.

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
mod wait_thread;
pub(crate) mod weak_symbols;

pub(crate) use errno::CallError;
pub(crate) use rustix::process::{Pid, Signal};
pub(crate) use spawn::{SpawnError, SpawnSpec, Stdio, spawn};
pub(crate) use target::Target;
pub(crate) use wait::{Exit, Waiter, kill_and_reap};

#[cfg(test)]
mod tests;
