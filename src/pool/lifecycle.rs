//! The lifecycle of a worker: starting → ready → stopping → gone. Pure: an action is returned, not
//! performed.

use crate::pool::ids::Micros;

/// Why a worker exited: the `reason` of its `exit` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// The pool was closed.
    Shutdown,
    /// The worker was above `minWorkers` and had nothing to do.
    Idle,
    /// The worker had run enough tasks, was old enough, or had grown too large, and was replaced.
    Recycled,
    /// A reload replaced the worker.
    Reload,
    /// A task was overdue and did not end.
    Timeout,
    /// A task was aborted and did not end.
    Aborted,
    /// The worker used more memory than any worker may.
    Memory,
    /// The worker exited by itself, or broke the protocol.
    Crashed,
    /// The worker never got ready.
    Startup,
}

impl ExitReason {
    /// Returns the word that users see.
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

/// The state of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// The process is spawned, or about to be; the handshake is due at `deadline`.
    Starting { deadline: Micros },
    /// The worker takes tasks.
    Ready,
    /// The worker takes no more tasks, though those it has may still end. The next escalation is
    /// due at `deadline`.
    Stopping { reason: ExitReason, escalation: Escalation, deadline: Micros },
}

/// How far the escalation against a stopping worker has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Escalation {
    /// The worker was told to stop over its channel, or has closed the channel itself.
    Asked,
    /// The worker was sent SIGTERM, and SIGCONT because a stopped process does not see SIGTERM.
    Sigterm,
    /// The worker's process group was sent SIGKILL. There is no further escalation.
    Sigkill,
}

/// An action against the process.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Writes `stop`.
    Stop,
    /// Sends SIGTERM.
    Terminate,
    /// Sends SIGKILL.
    Kill,
    /// Does nothing now.
    Wait,
}

impl Life {
    /// Returns whether the worker may be sent tasks.
    pub(crate) fn is_ready(self) -> bool {
        matches!(self, Self::Ready)
    }

    /// Returns whether the worker is being stopped by signals.
    pub(crate) fn is_forced(self) -> bool {
        matches!(self, Self::Stopping { escalation: Escalation::Sigterm | Escalation::Sigkill, .. })
    }

    /// Returns the reason of a stopping worker.
    pub(crate) fn reason(self) -> Option<ExitReason> {
        match self {
            Self::Stopping { reason, .. } => Some(reason),
            Self::Starting { .. } | Self::Ready => None,
        }
    }

    /// Returns the time at which [`Self::advance`] is due.
    pub(crate) fn deadline(self) -> Option<Micros> {
        match self {
            Self::Starting { deadline } => Some(deadline),
            Self::Ready | Self::Stopping { escalation: Escalation::Sigkill, .. } => None,
            Self::Stopping { deadline, .. } => Some(deadline),
        }
    }

    /// Stops the worker, beginning at `from`. A worker that is stopping already keeps its reason
    /// and is never treated more gently than before.
    pub(crate) fn begin_stop(
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

    /// Escalates if the deadline has passed.
    pub(crate) fn advance(&mut self, now: Micros, grace: Micros) -> Action {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Action::Wait;
        }
        match *self {
            // A worker that hangs while it loads has no task to lose, and has had its time.
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
