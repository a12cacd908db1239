//! Fail points: a worker dies at a given point, so that tests can see the effect on its tasks.
//!
//! The environment sets at most one of them (see CONTRIBUTING.md). The worker reads it once, when
//! it begins to start. Where none is set, a fail point is one read of an empty option. A published
//! addon lacks the cargo feature `fail-points`: a fail point is nothing there, and the worker does
//! not read the variables.

#![expect(unsafe_code, reason = "_exit")]

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use crate::wire::up;

/// The variable that sets a fail point: `<phase> <how>[ <nth>]`.
const SETTING: &str = "BULKHEAD_FAIL_POINT";
/// The variable with the path of a file: only the process that removes the file dies.
const TOKEN: &str = "BULKHEAD_FAIL_POINT_TOKEN";

/// Unit tests have fail points, too.
const ENABLED: bool = cfg!(any(test, feature = "fail-points"));

static FAIL_POINT: OnceLock<Option<FailPoint>> = OnceLock::new();

/// A place in a worker's life. The worker passes some of them many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The worker knows its pool, and has loaded no part of the worker module.
    Start,
    /// The worker is ready for a task, and there is none.
    Idle,
    /// Bytes have come that the worker has not looked at: a part of a task, or all of it.
    Read,
    /// The worker is about to claim a task.
    BeforeClaim,
    /// The worker has claimed a task, and run none of its code.
    AfterClaim,
    /// The synchronous part of a handler has run.
    Task,
    /// The worker is writing the frame of an outcome.
    Write(Cut),
    /// The worker has written the frame of an outcome.
    Result,
    /// The worker holds outcomes, as the supervisor allows, and is about to go on with a task.
    Hold,
    /// The supervisor has told the worker to stop.
    Stop,
}

/// The part of a frame that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// One byte.
    One,
    /// Half of the frame.
    Half,
    /// All but the last byte.
    AllButOne,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Signal(Signal),
    Abort,
    Exit(i32),
}

/// The fail point that the environment sets.
#[derive(Debug)]
pub(crate) struct FailPoint {
    phase: Phase,
    how: How,
    /// The number of passes until the worker dies. The pass that finds 1 dies.
    left: AtomicU32,
    token: Option<PathBuf>,
}

/// Reads the environment. Passes before this call do not count. Fails if the environment makes no
/// sense.
pub(crate) fn read_environment() -> Result<(), String> {
    if !ENABLED {
        return Ok(());
    }
    let fail_point = match std::env::var(SETTING) {
        Ok(text) => {
            let mut fail_point: FailPoint =
                text.parse().map_err(|what| format!("{SETTING}={text:?}: {what}"))?;
            fail_point.token = std::env::var_os(TOKEN).map(PathBuf::from);
            Some(fail_point)
        }
        Err(std::env::VarError::NotPresent) => None,
        Err(error) => return Err(format!("{SETTING}: {error}")),
    };
    FAIL_POINT.get_or_init(|| fail_point);
    Ok(())
}

/// Passes a fail point, and dies there if the environment has set it.
#[inline]
pub(crate) fn pass(phase: Phase) {
    if let Some(fail_point) = fail_point()
        && fail_point.phase == phase
        && fail_point.is_due()
    {
        fail_point.die();
    }
}

/// Returns whether the environment has set the fail point of this phase.
pub(crate) fn is_set(phase: Phase) -> bool {
    fail_point().is_some_and(|fail_point| fail_point.phase == phase)
}

/// Returns the number of bytes to write before the worker dies, out of `lines` and `raw` raw bytes
/// behind them. `None`: it does not die.
#[inline]
pub(crate) fn bytes_before_death(lines: &[u8], raw: usize) -> Option<(usize, &'static FailPoint)> {
    let fail_point = fail_point()?;
    Some((fail_point.cut(lines, raw)?, fail_point))
}

/// Passes the fail point behind each outcome in `lines`, which are written with their raw bytes.
#[inline]
pub(crate) fn pass_written(lines: &[u8]) {
    if fail_point().is_some() {
        outcomes(lines).for_each(|_| pass(Phase::Result));
    }
}

#[inline]
fn fail_point() -> Option<&'static FailPoint> {
    if ENABLED { FAIL_POINT.get()?.as_ref() } else { None }
}

impl FailPoint {
    fn is_due(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 1 && self.token.as_ref().is_none_or(|token| std::fs::remove_file(token).is_ok())
    }

    fn cut(&self, lines: &[u8], raw: usize) -> Option<usize> {
        let Phase::Write(cut) = self.phase else { return None };
        let (start, line) = outcomes(lines).find(|_| self.is_due())?;
        // Raw bytes belong to the last line.
        let length = line + if start + line == lines.len() { raw } else { 0 };
        Some(match cut {
            Cut::One => start + 1,
            Cut::Half => start + length / 2,
            Cut::AllButOne => start + length - 1,
        })
    }

    /// Dies.
    pub(crate) fn die(&self) -> ! {
        match self.how {
            How::Signal(signal) => {
                // One of this worker's threads may block the signal. Then another thread gets it,
                // and this one must not go on.
                let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
                loop {
                    std::thread::park();
                }
            }
            How::Abort => std::process::abort(),
            // SAFETY: _exit has no preconditions. Unlike exit() it runs no handlers.
            How::Exit(code) => unsafe { libc::_exit(code) },
        }
    }
}

/// Returns the position and the length of each line that ends a task.
fn outcomes(lines: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    lines.split_inclusive(|byte| *byte == b'\n').filter_map(move |line| {
        let start = at;
        at += line.len();
        let ends_a_task = line.starts_with(up::RESULT) || line.starts_with(up::ERROR);
        ends_a_task.then_some((start, line.len()))
    })
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "start" => Self::Start,
            "idle" => Self::Idle,
            "read" => Self::Read,
            "before-claim" => Self::BeforeClaim,
            "after-claim" => Self::AfterClaim,
            "task" => Self::Task,
            "write:1" => Self::Write(Cut::One),
            "write:half" => Self::Write(Cut::Half),
            "write:last" => Self::Write(Cut::AllButOne),
            "result" => Self::Result,
            "hold" => Self::Hold,
            "stop" => Self::Stop,
            _ => return Err(format!("there is no phase {text:?}")),
        })
    }
}

impl FromStr for How {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "SIGKILL" => Self::Signal(Signal::KILL),
            "SIGSEGV" => Self::Signal(Signal::SEGV),
            "abort" => Self::Abort,
            "exit-0" => Self::Exit(0),
            "exit-1" => Self::Exit(1),
            _ => return Err(format!("there is no way to die called {text:?}")),
        })
    }
}

impl FromStr for FailPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let (Some(phase), Some(how)) = (words.next(), words.next()) else {
            return Err("it takes a phase and a way to die".to_owned());
        };
        let nth = words.next().unwrap_or("1");
        let left = nth
            .parse()
            .ok()
            .filter(|nth| *nth > 0)
            .ok_or_else(|| format!("{nth:?} is no number from 1 on"))?;
        match words.next() {
            None => Ok(Self {
                phase: phase.parse()?,
                how: how.parse()?,
                left: AtomicU32::new(left),
                token: None,
            }),
            Some(word) => Err(format!("{word:?} is too much")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_exactly() {
        let fail_point: FailPoint = "write:half exit-0 3".parse().unwrap();
        assert_eq!((fail_point.phase, fail_point.how), (Phase::Write(Cut::Half), How::Exit(0)));
        assert_eq!(fail_point.left.into_inner(), 3);
        let fail_point: FailPoint = "before-claim SIGSEGV".parse().unwrap();
        assert_eq!(
            (fail_point.phase, fail_point.how),
            (Phase::BeforeClaim, How::Signal(Signal::SEGV))
        );
        assert_eq!(fail_point.left.into_inner(), 1);
        for wrong in [
            "",
            "idle",
            "idle SIGTERM",
            "nowhere SIGKILL",
            "idle abort 0",
            "idle abort x",
            "idle abort 1 2",
        ] {
            assert!(wrong.parse::<FailPoint>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn it_happens_at_the_nth_passing_and_only_there() {
        let fail_point: FailPoint = "task abort 3".parse().unwrap();
        assert_eq!([(); 5].map(|()| fail_point.is_due()), [false, false, true, false, false]);
    }

    #[test]
    fn it_happens_to_the_process_that_gets_the_token() {
        let token =
            std::env::temp_dir().join(format!("bulkhead-fail-point-{}", std::process::id()));
        std::fs::write(&token, "").unwrap();
        let fail_point =
            || FailPoint { token: Some(token.clone()), .."task abort".parse().unwrap() };
        assert!(fail_point().is_due());
        assert!(!token.exists());
        assert!(!fail_point().is_due());
    }

    // [B5]
    #[test]
    fn frames_are_cut_where_it_was_asked_for() {
        let lines =
            b"{\"type\":\"message\",\"message\":1}\n{\"type\":\"result\",\"id\":1}\n{\"type\":\"error\",\"id\":2}\n";
        let (first, second) = (31, 31 + 25);
        let cut = |text: &str, raw| text.parse::<FailPoint>().unwrap().cut(lines, raw);
        assert_eq!(cut("write:1 abort", 0), Some(first + 1));
        assert_eq!(cut("write:half abort", 0), Some(first + 12));
        assert_eq!(cut("write:last abort 2", 0), Some(lines.len() - 1));
        assert_eq!(
            cut("write:half abort", 1000),
            Some(first + 12),
            "the raw bytes are those of the last line"
        );
        assert_eq!(cut("write:half abort 2", 1000), Some(second + (24 + 1000) / 2));
        assert_eq!(cut("write:last abort 2", 1000), Some(lines.len() + 999));
        assert_eq!(cut("write:1 abort 3", 0), None);
        assert_eq!(cut("result abort", 0), None);
    }
}
