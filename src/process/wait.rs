//! Hearing of a worker's end, and reaping it.
//!
//! One [`Waiter`] owns one child from spawn to reap. Between a child's end and its reaping the
//! kernel keeps its pid, and with it the number of its process group; that is the only time when
//! the rest of the group can be killed without the risk of hitting strangers, so [`Waiter::finish`]
//! does both in this order.

#![expect(unsafe_code, reason = "wait4 is C")]

use std::io;
use std::mem::MaybeUninit;
use std::sync::LazyLock;

use rustix::process::Pid;

use super::errno::CallError;
use super::pidfd::{Opened, PidFd};
use super::target::Target;
use super::wait_thread::WaitThread;

/// How a process ended. Both `None`: someone else in this process reaped our child, and nobody can
/// know any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Exit {
    /// What it passed to `exit`, 0 to 255.
    pub code: Option<i32>,
    /// The signal that ended it; see [`signal::name`](super::signal::name).
    pub signal: Option<i32>,
    /// The most memory it has had resident, in bytes, or 0 where that cannot be told.
    ///
    /// On Linux a child's account begins with its parent's own peak, because it is the parent's
    /// memory in which it runs until `exec`. Only a larger number is about the child itself.
    pub max_rss_bytes: u64,
}

/// One child of ours, until it is reaped.
#[derive(Debug)]
#[must_use = "a child that nobody waits for stays a zombie"]
pub(crate) struct Waiter {
    pid: Pid,
    mechanism: Mechanism,
    /// What the child may have inherited as its peak.
    rss_floor: u64,
    exit: Option<Exit>,
}

#[derive(Debug)]
enum Mechanism {
    PidFd(PidFd),
    Thread(WaitThread),
    /// It was gone before we could look.
    Gone,
}

impl Waiter {
    /// Takes charge of `pid`, a child that [`spawn`](super::spawn()) has just given. To be called
    /// inside the runtime.
    ///
    /// On an error (no descriptors or threads left) nobody is in charge: call [`kill_and_reap`] and
    /// count the spawn as failed.
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

    /// [`Self::new`] that never uses a pidfd.
    pub(super) fn with_thread(pid: Pid) -> Result<Self, CallError> {
        Ok(Self::with(pid, Mechanism::Thread(WaitThread::start(pid)?)))
    }

    fn with(pid: Pid, mechanism: Mechanism) -> Self {
        Self { pid, mechanism, rss_floor: own_peak_rss(), exit: None }
    }

    /// The child's pid, and its process group.
    #[cfg(test)]
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns when the child has ended, at once if it has already. It is not reaped by that: call
    /// [`Self::finish`]. Cancel safe.
    pub(crate) async fn exited(&mut self) {
        if self.exit.is_none() {
            match &mut self.mechanism {
                Mechanism::PidFd(handle) => handle.exited().await,
                Mechanism::Thread(thread) => thread.exited().await,
                Mechanism::Gone => {}
            }
        }
    }

    /// SIGKILLs what is left of the child's process group, then reaps the child. For a child that
    /// has ended; one that is still alive is killed by this, and the error is `WouldBlock` until it
    /// is dead. Never blocks. Later calls give the same answer again.
    pub(crate) fn finish(&mut self) -> io::Result<Exit> {
        if self.exit.is_none() {
            // It has ended, or the error was told when it was killed before.
            let _ = self.target().kill();
        }
        self.reap()
    }

    /// Reaps the child, which has to have ended; else the error is `WouldBlock`. Never blocks.
    pub(crate) fn reap(&mut self) -> io::Result<Exit> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let exit =
            wait4(self.pid, libc::WNOHANG, self.rss_floor)?.ok_or(io::ErrorKind::WouldBlock)?;
        self.exit = Some(exit);
        Ok(exit)
    }

    /// Where signals to the child go.
    pub(crate) fn target(&self) -> Target {
        match &self.mechanism {
            Mechanism::PidFd(handle) => Target::with_handle(self.pid, handle.clone()),
            Mechanism::Thread(_) | Mechanism::Gone => Target::of(self.pid),
        }
    }
}

/// Kills a child that has no [`Waiter`], with its group, and reaps the child. Blocks until it is
/// dead, which after SIGKILL takes microseconds (longer only while the kernel holds it, for
/// instance in a core dump). A child that may not be killed (its program is another user's, and set
/// to run as that user) is not waited for: `EPERM`.
pub(crate) fn kill_and_reap(pid: Pid) -> io::Result<Exit> {
    match Target::of(pid).kill() {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
        _ => wait4(pid, 0, own_peak_rss())?.ok_or_else(|| io::ErrorKind::WouldBlock.into()),
    }
}

/// Set in the environment to wait by threads although there are pidfds.
static NO_PIDFD: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("BULKHEAD_NO_PIDFD").is_some_and(|value| value == "1"));

/// `Ok(None)`: not ended yet. A child that someone else has reaped gives an unknown exit.
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
    // SAFETY: all zeros is a valid rusage, and the kernel has overwritten it with another.
    let peak = peak_rss(&unsafe { usage.assume_init() });
    Ok(Some(Exit {
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        max_rss_bytes: if peak > rss_floor { peak } else { 0 },
    }))
}

/// The most that a child started just now can have inherited.
fn own_peak_rss() -> u64 {
    if cfg!(target_vendor = "apple") {
        return 0;
    }
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to writable memory of the right type, in which all zeros is a valid
    // value already.
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
