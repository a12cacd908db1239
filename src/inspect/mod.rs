//! Captures the stack of a worker's JavaScript when the worker misses a deadline, by Node's own
//! debugger.
//!
//! SIGUSR1 has Node open its inspector, even while JavaScript is in a loop. Node announces the
//! address on standard error ([`announcement`]). The supervisor connects ([`session`]), pauses
//! JavaScript, takes the frames ([`frames`]), and lets JavaScript go on. If the user's flags have
//! opened the inspector already, that one is used, with a port from [`ports`].
//!
//! All bytes here come from a worker, and are not trusted. The supervisor connects to this machine
//! only, reads a bounded number of bytes in a bounded time, and takes only text from them. After
//! any failure there is no stack.

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

/// The time from the signal to the stack. JavaScript that runs answers within a fraction of it. A
/// worker that does not answer is not in JavaScript.
const LIMIT: Duration = Duration::from_millis(1_000);
/// The time for the goodbye to the worker. After it the connection is cut, which also lets
/// JavaScript go on.
const LEAVE: Duration = Duration::from_millis(200);

/// Has the process open its inspector. Fails if the signal would kill it instead: the worker's own
/// code, an option or the permission model may have removed Node's handler.
pub(crate) fn open(worker: &Target) -> std::io::Result<()> {
    if !catches_usr1(worker.pid()) {
        return Err(std::io::ErrorKind::Unsupported.into());
    }
    worker.signal_alone(Signal::USR1)
}

/// Returns the worker's stack, in lines like those of an Error. `url` receives the inspector's
/// address, or an error once the address can no longer come.
pub(crate) async fn capture(url: oneshot::Receiver<String>) -> Option<String> {
    let deadline = Instant::now() + LIMIT;
    let connect = async { Session::open(&url.await.ok()?).await };
    let mut session = timeout_at(deadline, connect).await.ok()??;
    let stack = timeout_at(deadline, session.stack()).await.ok().flatten();
    // Only the attempt matters: the end of the connection also lets the worker go on.
    let _ = timeout(LEAVE, session.leave()).await;
    stack
}

#[cfg(target_os = "linux")]
fn catches_usr1(pid: Pid) -> bool {
    // Without a reading of the status the handler is assumed, because it is nearly always there.
    memory::of_process(pid.as_raw_pid(), "status")
        .is_none_or(|status| catches(&status, Signal::USR1))
}

#[cfg(not(target_os = "linux"))]
fn catches_usr1(_: Pid) -> bool {
    true
}

/// Returns whether a process has a handler for this signal, by the text of its
/// `/proc/<pid>/status`.
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
        // The shell that runs cargo has no handler. A status that cannot be read is no reason to
        // refuse.
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
