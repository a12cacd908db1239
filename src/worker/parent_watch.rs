//! Ends a worker with its parent, whatever JavaScript does at the time.
//!
//! A worker whose event loop turns sees the end of file on the channel (lib/worker/listen.js). For
//! all others there are two layers here: the kernel's parent death signal (Linux), which also ends
//! a stopped worker, and a thread that watches the parent.

#![expect(unsafe_code, reason = "descriptors by number, and _exit")]

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal};

use crate::process::signal;
use crate::process::spawn::{CHANNEL_FD, PAGE_FD};

/// The time between two looks for the parent, where no event tells of its end.
const PARENT_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Ties this process to its parent. `false`: the parent is already gone, and the caller should
/// exit. Later calls only repeat the check.
///
/// Also keeps the channel and the shared page from this process's own children, which would hold
/// them open.
pub(crate) fn watch_parent(parent: u32) -> bool {
    static ARMED: AtomicBool = AtomicBool::new(false);
    if !ARMED.swap(true, Ordering::Relaxed) {
        for fd in [CHANNEL_FD, PAGE_FD] {
            keep_from_children(fd);
        }
        signal::accept_stop();
        request_death_signal();
        if let Some(parent) = i32::try_from(parent).ok().and_then(Pid::from_raw) {
            watch(parent, wait_by_pidfd);
        }
    }
    // The check comes last, because the lines above do not see the end of a parent that died before
    // them.
    is_parent(parent)
}

/// Returns whether `parent` is still the parent. A comparison with 1 is not enough: orphans go to a
/// subreaper, or to the init of their own namespace.
fn is_parent(parent: u32) -> bool {
    rustix::process::getppid().is_some_and(|pid| u32::try_from(pid.as_raw_pid()) == Ok(parent))
}

fn keep_from_children(fd: RawFd) {
    // SAFETY: the call fails if nothing is open at this number. It changes only a flag of the
    // descriptor.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
}

/// Requests the kernel's parent death signal. It comes when the *thread* that spawned this process
/// ends, and the supervisor's thread lives as long as its process.
#[cfg(target_os = "linux")]
fn request_death_signal() {
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        tracing::warn!(%error, "failed to request the parent death signal");
    }
}

#[cfg(not(target_os = "linux"))]
fn request_death_signal() {}

/// Starts the thread that ends this process with `parent`. If there is no thread left, the other
/// layers remain.
fn watch(parent: Pid, wait: fn(Pid) -> bool) {
    let thread = std::thread::Builder::new().name("bulkhead-guard".into()).stack_size(64 * 1024);
    let watching = thread.spawn(move || {
        signal::block_all();
        if !wait(parent) {
            while rustix::process::getppid() == Some(parent) {
                std::thread::sleep(PARENT_POLL_INTERVAL);
            }
        }
        end_with_group();
    });
    if let Err(error) = watching {
        tracing::warn!(%error, "failed to start the thread that watches the parent");
    }
}

/// Returns `true` when `parent` has ended, or `false` if it cannot be watched by pidfd.
#[cfg(target_os = "linux")]
fn wait_by_pidfd(parent: Pid) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;
    use rustix::process::{PidfdFlags, pidfd_open};

    let handle = match pidfd_open(parent, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(Errno::SRCH) => return true,
        Err(_) => return false,
    };
    // If the parent died before the call above, the handle may be on another process with the same
    // number.
    if rustix::process::getppid() != Some(parent) {
        return true;
    }
    loop {
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], None) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn wait_by_pidfd(_: Pid) -> bool {
    false
}

/// Kills this process, and the process group that it led. The process may have left the group. Does
/// not return.
fn end_with_group() -> ! {
    let me = rustix::process::getpid();
    // While this process has its number, no other group can have the same.
    let _ = signal::kill_group(me, Signal::KILL);
    let _ = rustix::process::kill_process(me, Signal::KILL);
    // The init process of a PID namespace is still here: it is immune to its own signals. SAFETY:
    // _exit has no preconditions. It runs no destructors, which other threads may be in.
    unsafe { libc::_exit(1) }
}

#[cfg(test)]
mod tests;
