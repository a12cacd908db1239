//! Signals by name, and to whole process groups. For a worker, use its [`Target`](super::Target),
//! which knows whether the pid is still that worker's.

#![expect(unsafe_code, reason = "a thread's signal mask is set in C")]

use std::borrow::Cow;
use std::io;
use std::mem::MaybeUninit;

use rustix::process::{Pid, Signal};

/// `SIGKILL` for 9; `SIG` and the number for a signal without a name, such as the real-time ones.
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

/// Sends `signal` to every process in the group that `leader` was started in. Only while `leader`
/// is not reaped: after that the number may belong to strangers.
///
/// Fails with `ESRCH` when nobody is left, and (on macOS) with `EPERM` when only a zombie is.
pub(crate) fn kill_group(leader: Pid, signal: Signal) -> io::Result<()> {
    Ok(rustix::process::kill_process_group(leader, signal)?)
}

/// Lets SIGTSTP through again, with which blocked a worker is started. One that has come by now was
/// not meant for it, but for the group that it came from.
pub(crate) fn accept_stop() {
    // SIGCONT takes back what waits, and does nothing else to a process that runs. It cannot fail
    // for our own.
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::CONT);
    let mut stop = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set that the others use, and none can fail with these
    // arguments. The old mask is not asked for.
    unsafe {
        libc::sigemptyset(stop.as_mut_ptr());
        libc::sigaddset(stop.as_mut_ptr(), libc::SIGTSTP);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, stop.as_ptr(), std::ptr::null_mut());
    }
}

/// Blocks all signals in the calling thread, one of our own: signals to the process are for the
/// threads that were there before us.
pub(crate) fn block_all() {
    let mut every = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set that pthread_sigmask reads, and neither can fail with
    // these arguments. The old mask is not asked for.
    unsafe {
        libc::sigfillset(every.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, every.as_ptr(), std::ptr::null_mut());
    }
}
