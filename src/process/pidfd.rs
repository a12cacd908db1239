//! Waiting by pidfd (Linux 5.3), in the runtime's own poll.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::child_state::{ChildState, child_state};
use super::errno::CallError;
use super::readiness;

/// A handle on one process: it stays that process's even when the pid is used again.
#[derive(Clone, Debug)]
pub(super) struct PidFd {
    pid: Pid,
    fd: Arc<AsyncFd<OwnedFd>>,
}

/// What asking for a pidfd gives.
#[derive(Debug)]
pub(super) enum Opened {
    /// A handle.
    Handle(PidFd),
    /// There is no such process any more: someone else has reaped it.
    Gone,
    /// This kernel has no pidfds, or a filter forbids them.
    Unsupported,
}

/// The kernel has said that it has no pidfds. It will not get them while it runs.
static UNSUPPORTED: AtomicBool = AtomicBool::new(false);

impl PidFd {
    /// Opens a handle on our child `pid`, inside a runtime. An error means that we are short of
    /// something (descriptors, memory); a shortage is no reason to fall back to another mechanism.
    pub(super) fn open(pid: Pid) -> Result<Opened, CallError> {
        if UNSUPPORTED.load(Ordering::Relaxed) {
            return Ok(Opened::Unsupported);
        }
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Ok(Opened::Handle(Self {
                pid,
                fd: Arc::new(readiness::watch(fd, Interest::READABLE)?),
            })),
            Err(Errno::SRCH) => Ok(Opened::Gone),
            // EPERM is what a sandbox answers in place of ENOSYS; the call itself knows no
            // permissions.
            Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => {
                UNSUPPORTED.store(true, Ordering::Relaxed);
                Ok(Opened::Unsupported)
            }
            Err(errno) => Err(CallError::of("pidfd_open")(errno)),
        }
    }

    /// Returns when the process has ended. Cancel safe.
    pub(super) async fn exited(&self) {
        loop {
            // Fails only when the runtime is being shut down, and then nobody polls us again.
            let Ok(mut guard) = self.fd.readable().await else {
                return std::future::pending().await;
            };
            if child_state(self.pid) != ChildState::Running {
                return;
            }
            guard.clear_ready();
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(self.fd.get_ref(), signal)?)
    }
}
