//! Waits by pidfd (Linux 5.3), in the poll of the runtime.

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

/// A handle on one process, which stays that process's even if the kernel reuses the pid.
#[derive(Clone, Debug)]
pub(super) struct PidFd {
    pid: Pid,
    fd: Arc<AsyncFd<OwnedFd>>,
}

/// The result of a request for a pidfd.
#[derive(Debug)]
pub(super) enum Opened {
    /// A handle.
    Handle(PidFd),
    /// The process is gone, because other code has reaped it.
    Gone,
    /// This kernel has no pidfds, or a filter forbids them.
    Unsupported,
}

/// Set once the kernel has said that it has no pidfds, which cannot change while it runs.
static UNSUPPORTED: AtomicBool = AtomicBool::new(false);

impl PidFd {
    /// Opens a handle on the child `pid`, inside a runtime. An error means a shortage of
    /// descriptors or memory, for which there is no fallback to the other mechanism.
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
            // A sandbox answers EPERM in place of ENOSYS. The call itself needs no permission.
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
            // This fails only when the runtime shuts down, and then no task is polled again.
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
