//! Where signals to one child of ours go: to the process group that it was started in, and to the
//! child itself where it has left that group.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::child_state::{ChildState, child_state};
use super::pidfd::PidFd;
use super::signal;

/// One child, for as long as it is not reaped. Afterwards its number may be a stranger's, and
/// nothing is sent any more.
#[derive(Clone, Debug)]
pub struct Target {
    pid: Pid,
    /// Its pidfd, where there are such.
    handle: Option<PidFd>,
}

impl Target {
    /// The child `pid`, known by its number only.
    pub fn of(pid: Pid) -> Self {
        Self { pid, handle: None }
    }

    pub(super) fn with_handle(pid: Pid, handle: PidFd) -> Self {
        Self { pid, handle: Some(handle) }
    }

    /// The child's pid, and the number of the group that it was started in.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends SIGKILL to the group and to the child. Errors as of [`Self::signal`].
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends SIGTERM, and SIGCONT behind it, without which a stopped process would not hear. Errors
    /// as of [`Self::signal`].
    pub fn ask_to_stop(&self) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT)
    }

    /// Sends `signal` to the group, and to the child where it is in another one.
    ///
    /// Fails with `ESRCH` when the child is reaped, and with `EPERM` when this process may not
    /// signal the child, which then runs as another user.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.check_unreaped()?;
        let group = signal::kill_group(self.pid, signal);
        // A second SIGKILL does no harm, and its answer is about the child: a group is signalled if
        // one member is. Of any other signal a process may make two.
        if signal != Signal::KILL && group.is_ok() && self.is_in_group() {
            return Ok(());
        }
        self.send(signal)
    }

    /// Sends `signal` to the child alone. Errors as of [`Self::signal`].
    pub fn signal_alone(&self, signal: Signal) -> io::Result<()> {
        self.check_unreaped()?;
        self.send(signal)
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        let sent = match &self.handle {
            Some(handle) => handle.signal(signal),
            None => rustix::process::kill_process(self.pid, signal).map_err(io::Error::from),
        };
        // Some systems refuse signals to what has ended.
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
