//! Fail points: a worker dies at a given point, so that tests can see what becomes of its tasks.
//!
//! The environment asks for a fault (see CONTRIBUTING.md). The worker reads it once, when it begins
//! to start. Without a fault, a fail point is one read of an empty option. Without the cargo feature
//! `failpoints`, as in a published addon, it is nothing, and the worker does not read the variables.

#![expect(unsafe_code, reason = "_exit")]

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use crate::wire::up;

/// `<phase> <how>[ <nth>]`.
const FAULT: &str = "BULKHEAD_FAULT";
/// Path of a file: only the process that removes it dies.
const TOKEN: &str = "BULKHEAD_FAULT_TOKEN";

/// Unit tests have the points as well.
const ENABLED: bool = cfg!(any(test, feature = "failpoints"));

static ARMED: OnceLock<Option<Fault>> = OnceLock::new();

/// A point that a worker passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It knows its pool, and nothing of the worker module has been loaded.
    Start,
    /// It could run a task, and none is there.
    Idle,
    /// Bytes have come, of which none was looked at: a part of a task, or all of it.
    Read,
    /// The next thing is to claim a task.
    BeforeClaim,
    /// A task is claimed, and none of its code has run.
    AfterClaim,
    /// The synchronous part of a handler has run.
    Task,
    /// The frame of an outcome is being written.
    Write(Cut),
    /// The frame of an outcome is written.
    Result,
    /// It was told to stop.
    Stop,
}

/// How much of a frame is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// One byte.
    One,
    /// Half of it.
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

/// See the module.
#[derive(Debug)]
pub(crate) struct Fault {
    phase: Phase,
    how: How,
    /// Passings until it happens; it does at the one that finds 1.
    left: AtomicU32,
    token: Option<PathBuf>,
}

/// Reads the environment. Points that were passed before do not count. Fails where there is
/// something in it that makes no sense.
pub(crate) fn arm() -> Result<(), String> {
    if !ENABLED {
        return Ok(());
    }
    let fault = match std::env::var(FAULT) {
        Ok(text) => {
            let mut fault: Fault =
                text.parse().map_err(|what| format!("{FAULT}={text:?}: {what}"))?;
            fault.token = std::env::var_os(TOKEN).map(PathBuf::from);
            Some(fault)
        }
        Err(std::env::VarError::NotPresent) => None,
        Err(error) => return Err(format!("{FAULT}: {error}")),
    };
    ARMED.get_or_init(|| fault);
    Ok(())
}

/// Dies here if that was asked for.
#[inline]
pub(crate) fn fail_point(phase: Phase) {
    if let Some(fault) = armed()
        && fault.phase == phase
        && fault.is_due()
    {
        fault.happen();
    }
}

/// Whether the worker is to die in this phase sooner or later.
pub(crate) fn is_armed(phase: Phase) -> bool {
    armed().is_some_and(|fault| fault.phase == phase)
}

/// How many bytes of `lines`, and of so many raw bytes behind them, are to be written before the
/// fault happens. `None`: it does not.
#[inline]
pub(crate) fn cut(lines: &[u8], raw: usize) -> Option<(usize, &'static Fault)> {
    let fault = armed()?;
    Some((fault.cut(lines, raw)?, fault))
}

/// The lines are written, with what belongs to them: dies here if that was asked for.
#[inline]
pub(crate) fn written(lines: &[u8]) {
    if armed().is_some() {
        outcomes(lines).for_each(|_| fail_point(Phase::Result));
    }
}

#[inline]
fn armed() -> Option<&'static Fault> {
    if ENABLED { ARMED.get()?.as_ref() } else { None }
}

impl Fault {
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
    pub(crate) fn happen(&self) -> ! {
        match self.how {
            How::Signal(signal) => {
                // A thread of ours may block it: then it is for another one, and this one has
                // nothing more to do.
                let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
                loop {
                    std::thread::park();
                }
            }
            How::Abort => std::process::abort(),
            // SAFETY: _exit has no preconditions. Unlike exit() it leaves whatever is half done
            // half done.
            How::Exit(code) => unsafe { libc::_exit(code) },
        }
    }
}

/// Where the frames that end a task begin, and how long their lines are.
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

impl FromStr for Fault {
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
        let fault: Fault = "write:half exit-0 3".parse().unwrap();
        assert_eq!((fault.phase, fault.how), (Phase::Write(Cut::Half), How::Exit(0)));
        assert_eq!(fault.left.into_inner(), 3);
        let fault: Fault = "before-claim SIGSEGV".parse().unwrap();
        assert_eq!((fault.phase, fault.how), (Phase::BeforeClaim, How::Signal(Signal::SEGV)));
        assert_eq!(fault.left.into_inner(), 1);
        for wrong in [
            "",
            "idle",
            "idle SIGTERM",
            "nowhere SIGKILL",
            "idle abort 0",
            "idle abort x",
            "idle abort 1 2",
        ] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn it_happens_at_the_nth_passing_and_only_there() {
        let fault: Fault = "task abort 3".parse().unwrap();
        assert_eq!([(); 5].map(|()| fault.is_due()), [false, false, true, false, false]);
    }

    #[test]
    fn it_happens_to_the_process_that_gets_the_token() {
        let token = std::env::temp_dir().join(format!("bulkhead-fault-{}", std::process::id()));
        std::fs::write(&token, "").unwrap();
        let fault = || Fault { token: Some(token.clone()), .."task abort".parse().unwrap() };
        assert!(fault().is_due());
        assert!(!token.exists());
        assert!(!fault().is_due());
    }

    // [B5]
    #[test]
    fn frames_are_cut_where_it_was_asked_for() {
        let lines =
            b"{\"type\":\"message\",\"message\":1}\n{\"type\":\"result\",\"id\":1}\n{\"type\":\"error\",\"id\":2}\n";
        let (first, second) = (31, 31 + 25);
        let cut = |text: &str, raw| text.parse::<Fault>().unwrap().cut(lines, raw);
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
