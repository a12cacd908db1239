//! Where a worker's JavaScript hangs: asks Node's own debugger for the frames, at a deadline that
//! was missed.
//!
//! SIGUSR1 has Node open its inspector even while JavaScript is in a loop. It announces the address
//! on standard error ([`announcement`]), we connect ([`session`]), have JavaScript paused, take the
//! frames ([`frames`]), let it go on and leave. Where the user's flags have opened it already, that
//! one is used; its port comes from [`ports`].
//!
//! Everything that is read here are a worker's bytes, and so not to be trusted: we connect to this
//! machine only, read a bounded number of bytes in a bounded time, and take nothing but text from
//! them. Whatever does not work out, there is no stack.

pub(crate) mod announcement;
mod frames;
pub(crate) mod ports;
mod session;

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::process::memory;
use crate::process::{Pid, Signal, Target};
use session::Session;

/// From the signal to the stack. JavaScript that runs answers within a fraction of it; what does
/// not, is not in JavaScript.
const LIMIT: Duration = Duration::from_millis(1_000);
/// For letting go of the worker afterwards. When it is up, the connection is cut, which has the
/// same effect.
const LEAVE: Duration = Duration::from_millis(200);

/// Has the process open its inspector. Fails where that would kill it instead: its own code, an
/// option or the permission model may have taken Node's handler of this signal away.
pub(crate) fn open(worker: &Target) -> std::io::Result<()> {
    if !catches_usr1(worker.pid()) {
        return Err(std::io::ErrorKind::Unsupported.into());
    }
    worker.signal_alone(Signal::USR1)
}

/// The worker's stack, in lines like those of an Error's. `url`: where the inspector listens, once
/// the worker has said so; when that cannot come any more, the other end is dropped.
pub(crate) async fn capture(url: oneshot::Receiver<String>) -> Option<String> {
    let deadline = Instant::now() + LIMIT;
    let connect = async { Session::open(&url.await.ok()?).await };
    let mut session = timeout_at(deadline, connect).await.ok()??;
    let stack = timeout_at(deadline, session.stack()).await.ok().flatten();
    // What matters is that it was tried: a worker that does not answer is let go by the end of the
    // connection.
    let _ = timeout(LEAVE, session.leave()).await;
    stack
}

#[cfg(target_os = "linux")]
fn catches_usr1(pid: Pid) -> bool {
    // Where nothing is known, it nearly always does.
    memory::of_process(pid.as_raw_pid(), "status")
        .is_none_or(|status| catches(&status, Signal::USR1))
}

#[cfg(not(target_os = "linux"))]
fn catches_usr1(_: Pid) -> bool {
    true
}

/// Whether a process has a handler for this signal, by the text of its `/proc/<pid>/status`.
#[cfg(target_os = "linux")]
fn catches(status: &str, signal: Signal) -> bool {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_none_or(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn knows_who_catches_a_signal() {
        let status =
            "Name:\tnode\nSigIgn:\t0000000000001000\nSigCgt:\t0000000108004202\nVmRSS:\t1 kB\n";
        assert!(catches(status, Signal::USR1));
        assert!(catches(status, Signal::INT));
        assert!(!catches(status, Signal::USR2));
        // The shell that runs cargo has none of its own; and what cannot be read is no reason
        // against it.
        assert!(!catches("SigCgt:\t0000000000000000\n", Signal::USR1));
        assert!(catches("", Signal::USR1));
    }

    #[test]
    fn does_not_kill_a_process_that_would_die_of_the_signal() {
        let mut child =
            std::process::Command::new("sleep").arg("1000").spawn().expect("there is a sleep");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"))
            .expect("nor is it 0");
        assert_eq!(
            open(&Target::of(pid)).map_err(|error| error.kind()),
            Err(std::io::ErrorKind::Unsupported)
        );
        assert!(child.try_wait().expect("it is our child").is_none());
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }
}
