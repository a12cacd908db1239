//! Waits for a worker's end, and reaps it.
//!
//! One [`Waiter`] owns one child from spawn to reap. Between a child's end and its reaping the
//! kernel keeps its pid, and with it the number of its process group. Only then can the rest of the
//! group be killed without a risk for other processes. So [`Waiter::finish`] first kills the group
//! and then reaps.

#![expect(unsafe_code, reason = "wait4 is C")]

use std::io;
use std::mem::MaybeUninit;
use std::sync::LazyLock;

use rustix::process::Pid;

use super::errno::CallError;
use super::pidfd::{Opened, PidFd};
use super::target::Target;
use super::wait_thread::WaitThread;

/// The end of a process. Both `None`: other code in this process reaped the child, and its status
/// is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Exit {
    /// The exit code, 0 to 255.
    pub code: Option<i32>,
    /// The signal that ended it; see [`signal::name`](super::signal::name).
    pub signal: Option<i32>,
    /// The peak of the resident memory, in bytes; 0: unknown.
    ///
    /// On Linux a child's account begins with its parent's peak, because the child runs in its
    /// parent's memory until `exec`. Only a larger number is about the child itself.
    pub max_rss_bytes: u64,
}

/// One child, until it is reaped.
#[derive(Debug)]
#[must_use = "a child that is not reaped stays a zombie"]
pub(crate) struct Waiter {
    pid: Pid,
    mechanism: Mechanism,
    /// The peak that the child may have inherited, in bytes.
    rss_floor: u64,
    exit: Option<Exit>,
}

#[derive(Debug)]
enum Mechanism {
    PidFd(PidFd),
    Thread(WaitThread),
    /// The child was reaped before this process could look.
    Gone,
}

impl Waiter {
    /// Takes charge of `pid`, a child that [`spawn`](super::spawn()) has just returned. Must be
    /// called inside the runtime.
    ///
    /// After an error (no descriptors or threads left) the caller is in charge. It must call
    /// [`kill_and_reap`], and count the spawn as failed.
    pub(crate) fn new(pid: Pid) -> Result<Self, CallError> {
        if *NO_PIDFD {
            return Self::with_thread(pid);
        }
        match PidFd::open(pid)? {
            Opened::Handle(handle) => Ok(Self::with(pid, Mechanism::PidFd(handle))),
            Opened::Gone => Ok(Self::with(pid, Mechanism::Gone)),
            Opened::Unsupported => Self::with_thread(pid),
        }
    }

    /// Does the same as [`Self::new`], but never uses a pidfd.
    pub(super) fn with_thread(pid: Pid) -> Result<Self, CallError> {
        Ok(Self::with(pid, Mechanism::Thread(WaitThread::start(pid)?)))
    }

    fn with(pid: Pid, mechanism: Mechanism) -> Self {
        Self { pid, mechanism, rss_floor: own_peak_rss(), exit: None }
    }

    /// Returns the child's pid, which is also its process group.
    #[cfg(test)]
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns when the child has ended. Does not reap it: call [`Self::finish`]. Cancel safe.
    pub(crate) async fn exited(&mut self) {
        if self.exit.is_none() {
            match &mut self.mechanism {
                Mechanism::PidFd(handle) => handle.exited().await,
                Mechanism::Thread(thread) => thread.exited().await,
                Mechanism::Gone => {}
            }
        }
    }

    /// SIGKILLs the rest of the child's process group, then reaps the child, which has ended. A
    /// child that still lives is killed, and the error is `WouldBlock` until it is dead. Never
    /// blocks. Later calls return the same result.
    pub(crate) fn finish(&mut self) -> io::Result<Exit> {
        if self.exit.is_none() {
            // The child has ended, or an earlier kill has already reported the error.
            let _ = self.target().kill();
        }
        self.reap()
    }

    /// Reaps the child. Fails with `WouldBlock` while the child lives. Never blocks.
    pub(crate) fn reap(&mut self) -> io::Result<Exit> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let exit =
            wait4(self.pid, libc::WNOHANG, self.rss_floor)?.ok_or(io::ErrorKind::WouldBlock)?;
        self.exit = Some(exit);
        Ok(exit)
    }

    /// Returns the target of signals to the child.
    pub(crate) fn target(&self) -> Target {
        match &self.mechanism {
            Mechanism::PidFd(handle) => Target::with_handle(self.pid, handle.clone()),
            Mechanism::Thread(_) | Mechanism::Gone => Target::of(self.pid),
        }
    }
}

/// Kills a child that has no [`Waiter`], with its group, and reaps it. Blocks until the child is
/// dead. After SIGKILL that takes microseconds, or longer if the kernel holds the process, for
/// instance in a core dump. Fails with `EPERM`, and does not wait, if this process may not kill the
/// child: its program runs as another user.
pub(crate) fn kill_and_reap(pid: Pid) -> io::Result<Exit> {
    match Target::of(pid).kill() {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
        _ => wait4(pid, 0, own_peak_rss())?.ok_or_else(|| io::ErrorKind::WouldBlock.into()),
    }
}

/// Set by the environment: wait by threads although the kernel has pidfds.
static NO_PIDFD: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("BULKHEAD_NO_PIDFD").is_some_and(|value| value == "1"));

/// Reaps the child. `Ok(None)`: the child has not ended yet. A child that other code has reaped
/// gives an unknown exit.
fn wait4(pid: Pid, options: i32, rss_floor: u64) -> io::Result<Option<Exit>> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to writable memory of the right types.
        let result =
            unsafe { libc::wait4(pid.as_raw_pid(), &raw mut status, options, usage.as_mut_ptr()) };
        match result {
            0 => return Ok(None),
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error if error.raw_os_error() == Some(libc::ECHILD) => {
                    return Ok(Some(Exit::default()));
                }
                error => return Err(error),
            },
            _ => break,
        }
    }
    // SAFETY: all zeros is a valid rusage, and the kernel has overwritten it with another valid
    // one.
    let peak = peak_rss(&unsafe { usage.assume_init() });
    Ok(Some(Exit {
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        max_rss_bytes: if peak > rss_floor { peak } else { 0 },
    }))
}

/// Returns the peak (bytes) that a child started now may inherit at most.
fn own_peak_rss() -> u64 {
    if cfg!(target_vendor = "apple") {
        return 0;
    }
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to writable memory of the right type, in which all zeros is a valid
    // value.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    peak_rss(&usage)
}

fn peak_rss(usage: &libc::rusage) -> u64 {
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    u64::try_from(usage.ru_maxrss).unwrap_or(0) * unit
}
