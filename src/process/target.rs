//! The address of signals to one child: the process group that it was started in, and the child
//! itself if it has left that group.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::child_state::{ChildState, child_state};
use super::pidfd::PidFd;
use super::signal;

/// One child, until it is reaped. After that its pid may be another process's, and no signal is
/// sent.
#[derive(Clone, Debug)]
pub struct Target {
    pid: Pid,
    /// The child's pidfd, if the system has them.
    handle: Option<PidFd>,
}

impl Target {
    /// Makes the target of the child `pid`, which is known by its number only.
    pub fn of(pid: Pid) -> Self {
        Self { pid, handle: None }
    }

    pub(super) fn with_handle(pid: Pid, handle: PidFd) -> Self {
        Self { pid, handle: Some(handle) }
    }

    /// Returns the child's pid, which is also the number of the group that it was started in.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends SIGKILL to the group and to the child. Fails as [`Self::signal`] does.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends SIGTERM, and then SIGCONT, because a stopped process does not act on SIGTERM. Fails as
    /// [`Self::signal`] does.
    pub fn ask_to_stop(&self) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT)
    }

    /// Sends `signal` to the group, and to the child if it is in another one.
    ///
    /// Fails with `ESRCH` if the child is reaped. Fails with `EPERM` if this process may not signal
    /// the child, which then runs as another user.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.check_unreaped()?;
        let group = signal::kill_group(self.pid, signal);
        // A second SIGKILL does no harm, and its result is about the child. A call for a group
        // succeeds if one member gets the signal. Any other signal must not arrive twice.
        if signal != Signal::KILL && group.is_ok() && self.is_in_group() {
            return Ok(());
        }
        self.send(signal)
    }

    /// Sends `signal` to the child alone. Fails as [`Self::signal`] does.
    pub fn signal_alone(&self, signal: Signal) -> io::Result<()> {
        self.check_unreaped()?;
        self.send(signal)
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        let sent = match &self.handle {
            Some(handle) => handle.signal(signal),
            None => rustix::process::kill_process(self.pid, signal).map_err(io::Error::from),
        };
        // Some systems refuse signals to a zombie.
        sent.or_else(
            |error| if child_state(self.pid) == ChildState::Zombie { Ok(()) } else { Err(error) },
        )
    }

    fn is_in_group(&self) -> bool {
        rustix::process::getpgid(Some(self.pid)) == Ok(self.pid)
    }

    fn check_unreaped(&self) -> io::Result<()> {
        if child_state(self.pid) == ChildState::Reaped { Err(Errno::SRCH.into()) } else { Ok(()) }
    }
}
