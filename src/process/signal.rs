//! Signals by name, and to whole process groups. For a worker use its [`Target`](super::Target),
//! which checks that the pid is still the worker's.

#![expect(unsafe_code, reason = "a thread's signal mask is set in C")]

use std::borrow::Cow;
use std::io;
use std::mem::MaybeUninit;

use rustix::process::{Pid, Signal};

/// Returns `SIGKILL` for 9. A signal without a name, such as a real-time one, becomes `SIG` and its
/// number.
pub(crate) fn name(signal: i32) -> Cow<'static, str> {
    Cow::Borrowed(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        #[cfg(target_os = "linux")]
        libc::SIGSTKFLT => "SIGSTKFLT",
        libc::SIGCHLD => "SIGCHLD",
        libc::SIGCONT => "SIGCONT",
        libc::SIGSTOP => "SIGSTOP",
        libc::SIGTSTP => "SIGTSTP",
        libc::SIGTTIN => "SIGTTIN",
        libc::SIGTTOU => "SIGTTOU",
        libc::SIGURG => "SIGURG",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGVTALRM => "SIGVTALRM",
        libc::SIGPROF => "SIGPROF",
        libc::SIGWINCH => "SIGWINCH",
        libc::SIGIO => "SIGIO",
        #[cfg(target_os = "linux")]
        libc::SIGPWR => "SIGPWR",
        #[cfg(target_vendor = "apple")]
        libc::SIGEMT => "SIGEMT",
        #[cfg(target_vendor = "apple")]
        libc::SIGINFO => "SIGINFO",
        libc::SIGSYS => "SIGSYS",
        other => return Cow::Owned(format!("SIG{other}")),
    })
}

/// Sends `signal` to every process in the group of `leader`. The caller makes sure that `leader` is
/// not reaped, because after that the number may belong to other processes.
///
/// Fails with `ESRCH` when the group is empty, and (on macOS) with `EPERM` when only a zombie is in
/// it.
pub(crate) fn kill_group(leader: Pid, signal: Signal) -> io::Result<()> {
    Ok(rustix::process::kill_process_group(leader, signal)?)
}

/// Unblocks SIGTSTP, which is blocked when a worker starts. Drops one that has arrived by now,
/// because it was meant for the group of the parent.
pub(crate) fn accept_stop() {
    // SIGCONT discards a pending SIGTSTP, and has no other effect on a running process. To this
    // process itself it cannot fail.
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::CONT);
    let mut stop = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set that the others use, and none can fail with these
    // arguments. No call asks for the old mask.
    unsafe {
        libc::sigemptyset(stop.as_mut_ptr());
        libc::sigaddset(stop.as_mut_ptr(), libc::SIGTSTP);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, stop.as_ptr(), std::ptr::null_mut());
    }
}

/// Blocks all signals in the calling thread, which is one of bulkhead's. Signals to the process are
/// for the threads of its own.
pub(crate) fn block_all() {
    let mut every = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set that pthread_sigmask reads, and neither can fail with
    // these arguments. No call asks for the old mask.
    unsafe {
        libc::sigfillset(every.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, every.as_ptr(), std::ptr::null_mut());
    }
}
