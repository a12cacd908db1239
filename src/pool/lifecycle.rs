//! The course of one worker's life: starting → ready → leaving → gone. Pure: what to do next is
//! returned, not done.

use crate::pool::ids::Micros;

/// Why a worker left; the `reason` of its `exit` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// The pool was closed.
    Shutdown,
    /// It was above `minWorkers` and had nothing to do.
    Idle,
    /// It had run enough tasks, was old enough, or had grown too large: another has taken its
    /// place.
    Recycled,
    /// All workers were to be replaced.
    Reload,
    /// A task was overdue and did not end.
    Timeout,
    /// A task was aborted and did not end.
    Aborted,
    /// It had more memory than any worker may.
    Memory,
    /// It went by itself, or broke the protocol.
    Crashed,
    /// It never got ready.
    Startup,
}

impl ExitReason {
    /// The word users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Idle => "idle",
            Self::Recycled => "recycled",
            Self::Reload => "reload",
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
            Self::Memory => "memory",
            Self::Crashed => "crashed",
            Self::Startup => "startup",
        }
    }
}

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Spawned, or about to be; the handshake is due at `deadline`.
    Starting { deadline: Micros },
    /// Takes tasks.
    Ready,
    /// On its way out: takes no task, though those it has may still end. The next escalation is due at
    /// `deadline`.
    Stopping { reason: ExitReason, escalation: Escalation, deadline: Micros },
}

/// How far the escalation against a leaving worker has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Escalation {
    /// It was told to stop, over the channel, or has closed it itself.
    Asked,
    /// SIGTERM (and SIGCONT, for a stopped process does not see it).
    Sigterm,
    /// SIGKILL to its process group. There is nothing beyond.
    Sigkill,
}

/// What to do to the process.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write `stop`.
    Stop,
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
    /// Nothing now.
    Wait,
}

impl Life {
    /// Whether it may be sent tasks.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Ready)
    }

    /// Whether it is made to leave by signals.
    pub fn is_forced(self) -> bool {
        matches!(self, Self::Stopping { escalation: Escalation::Sigterm | Escalation::Sigkill, .. })
    }

    /// Why it leaves, if it does.
    pub fn reason(self) -> Option<ExitReason> {
        match self {
            Self::Stopping { reason, .. } => Some(reason),
            Self::Starting { .. } | Self::Ready => None,
        }
    }

    /// When [`Self::advance`] is due.
    pub fn deadline(self) -> Option<Micros> {
        match self {
            Self::Starting { deadline } => Some(deadline),
            Self::Ready | Self::Stopping { escalation: Escalation::Sigkill, .. } => None,
            Self::Stopping { deadline, .. } => Some(deadline),
        }
    }

    /// Sends the worker on its way, beginning at `from`. A worker that leaves already keeps its
    /// reason and is never treated more gently than before.
    pub fn begin_stop(
        &mut self,
        reason: ExitReason,
        from: Escalation,
        now: Micros,
        grace: Micros,
    ) -> Action {
        let reason = match *self {
            Self::Stopping { escalation, .. } if escalation >= from => return Action::Wait,
            Self::Stopping { reason, .. } => reason,
            Self::Starting { .. } | Self::Ready => reason,
        };
        *self = Self::Stopping { reason, escalation: from, deadline: now.saturating_add(grace) };
        match from {
            Escalation::Asked => Action::Stop,
            Escalation::Sigterm => Action::Terminate,
            Escalation::Sigkill => Action::Kill,
        }
    }

    /// The deadline has passed: the next escalation.
    pub fn advance(&mut self, now: Micros, grace: Micros) -> Action {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Action::Wait;
        }
        match *self {
            // A worker that hangs at load has nothing to lose, and has had its time.
            Self::Starting { .. } => {
                self.begin_stop(ExitReason::Startup, Escalation::Sigkill, now, grace)
            }
            Self::Stopping { reason, escalation: Escalation::Asked, .. } => {
                self.begin_stop(reason, Escalation::Sigterm, now, grace)
            }
            Self::Stopping { reason, escalation: Escalation::Sigterm, .. } => {
                self.begin_stop(reason, Escalation::Sigkill, now, grace)
            }
            Self::Ready | Self::Stopping { escalation: Escalation::Sigkill, .. } => Action::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_escalates_one_step_at_a_time() {
        let mut life = Life::Ready;
        assert_eq!(life.begin_stop(ExitReason::Idle, Escalation::Asked, 0, 10), Action::Stop);
        assert_eq!(life.advance(9, 10), Action::Wait);
        assert_eq!(life.advance(10, 10), Action::Terminate);
        assert_eq!(life.advance(20, 10), Action::Kill);
        assert_eq!(life.deadline(), None);
        assert_eq!(life.advance(1_000, 10), Action::Wait);
        assert_eq!(life.reason(), Some(ExitReason::Idle));
    }

    #[test]
    fn a_leaving_worker_keeps_its_reason_and_is_never_treated_more_gently() {
        let mut life = Life::Ready;
        assert_eq!(
            life.begin_stop(ExitReason::Timeout, Escalation::Sigterm, 0, 10),
            Action::Terminate
        );
        assert_eq!(life.begin_stop(ExitReason::Shutdown, Escalation::Asked, 1, 10), Action::Wait);
        assert_eq!(life.begin_stop(ExitReason::Shutdown, Escalation::Sigkill, 2, 10), Action::Kill);
        assert_eq!(life.reason(), Some(ExitReason::Timeout));
    }

    #[test]
    fn a_worker_that_never_gets_ready_is_killed_at_its_deadline() {
        let mut life = Life::Starting { deadline: 30 };
        assert_eq!(life.advance(29, 10), Action::Wait);
        assert_eq!(life.advance(30, 10), Action::Kill);
        assert_eq!(life.reason(), Some(ExitReason::Startup));
    }
}
