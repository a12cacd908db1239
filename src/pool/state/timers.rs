//! The pool's timers: everything that the passing of time alone brings about.
//!
//! [`Pool::timers`] enumerates all that are armed. [`Pool::next_deadline`] is the earliest of them,
//! and [`Pool::tick`] fires those that are due. So a timer cannot be waited for and not fired, or
//! the other way round.
//!
//! The deadlines are not stored in a table of their own: the deadline of a task, or of a stalled
//! worker, changes with each reply, and is asked for once in a batch of replies.

use crate::pool::ids::{Micros, WorkerKey};
use crate::pool::lifecycle::{Action, Escalation, ExitReason, Life};
use crate::pool::slot::Slot;
use crate::pool::state::{Phase, Pool};
use crate::pool::worker::{CancelReason, Worker};

/// A timer that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// The time that shutdown may take is over.
    Shutdown,
    /// A task's pause before its next attempt is over.
    RetryPause,
    /// The oldest waiting task has waited for as long as another worker takes to start.
    Grow,
    /// Another standby may start.
    Standby,
    /// This slot's back-off is over.
    Restart { slot: usize },
    /// The worker is not ready in time, or has not exited in time.
    Escalate(WorkerKey),
    /// The worker runs a task for longer than the task may run.
    TaskTimeout(WorkerKey),
    /// The worker has not said in time where it hangs.
    Capture(WorkerKey),
    /// The worker has not ended a cancelled attempt in time.
    Kill(WorkerKey),
    /// The worker holds tasks ahead and makes no progress.
    Stall(WorkerKey),
    /// The worker has been idle for long enough to leave, or to be replaced by its successor.
    Idle(WorkerKey),
    /// The worker has reached its maximum age.
    MaxAge(WorkerKey),
}

impl Pool {
    /// Returns the time at which `Tick` is due next.
    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        let mut next = None;
        self.timers(|_, at| next = Some(next.map_or(at, |next: Micros| next.min(at))));
        next
    }

    /// Fires all timers that are due.
    pub(super) fn tick(&mut self, now: Micros) {
        let mut due = Vec::new();
        self.timers(|timer, at| {
            if at <= now {
                due.push(timer);
            }
        });
        for timer in due {
            // One that fired before may have disarmed this one.
            if self.is_due(timer, now) {
                self.fire(now, timer);
            }
        }
    }

    /// Enumerates all armed timers, each with its time.
    fn timers(&self, mut each: impl FnMut(Timer, Micros)) {
        self.pool_timers(&mut each);
        let surplus = self.has_surplus();
        for (index, slot) in self.slots.iter().enumerate() {
            self.slot_timers(index, slot, surplus, &mut each);
        }
    }

    fn is_due(&self, timer: Timer, now: Micros) -> bool {
        let mut due = false;
        let each = |other, at| due |= other == timer && at <= now;
        match timer {
            Timer::Shutdown | Timer::RetryPause | Timer::Grow | Timer::Standby => {
                self.pool_timers(each)
            }
            Timer::Restart { slot }
            | Timer::Escalate(WorkerKey { slot, .. })
            | Timer::TaskTimeout(WorkerKey { slot, .. })
            | Timer::Capture(WorkerKey { slot, .. })
            | Timer::Kill(WorkerKey { slot, .. })
            | Timer::Stall(WorkerKey { slot, .. })
            | Timer::Idle(WorkerKey { slot, .. })
            | Timer::MaxAge(WorkerKey { slot, .. }) => {
                self.slot_timers(slot, &self.slots[slot], self.has_surplus(), each)
            }
        }
        due
    }

    fn pool_timers(&self, mut each: impl FnMut(Timer, Micros)) {
        if let Phase::Closing { deadline: Some(at), terminated: false, .. } = self.phase {
            each(Timer::Shutdown, at);
        }
        if let Some(at) = self.tasks.next_pause() {
            each(Timer::RetryPause, at);
        }
        if let Some(at) = self.grow_at
            && self.phase == Phase::Open
            && !self.tasks.queue().is_empty()
        {
            each(Timer::Grow, at);
        }
        if let Some(at) = self.standby_start_at() {
            each(Timer::Standby, at);
        }
    }

    /// Enumerates the timers of one slot. `surplus`: the pool has more ready workers than it needs.
    #[inline]
    fn slot_timers(
        &self,
        index: usize,
        slot: &Slot,
        surplus: bool,
        mut each: impl FnMut(Timer, Micros),
    ) {
        if let Some(at) = slot.restart_at {
            each(Timer::Restart { slot: index }, at);
        }
        for worker in slot.processes() {
            self.worker_timers(worker, &mut each);
        }
        let Some(worker) = slot.worker.as_ref().filter(|worker| worker.life.is_ready()) else {
            return;
        };
        if worker.load() == 0 && (surplus || slot.has_ready_successor()) {
            each(
                Timer::Idle(worker.key),
                worker.progress_at.saturating_add(self.config.idle_timeout),
            );
        }
        if let Some(at) = worker.replace_at {
            each(Timer::MaxAge(worker.key), at);
        }
    }

    #[inline]
    fn worker_timers(&self, worker: &Worker, mut each: impl FnMut(Timer, Micros)) {
        let (key, concurrency) = (worker.key, self.config.concurrency);
        if let Some(at) = worker.life.deadline() {
            each(Timer::Escalate(key), at);
        }
        if let Some(at) = worker.task_deadline(concurrency) {
            each(Timer::TaskTimeout(key), at);
        }
        if let Some((_, at)) = worker.capture {
            each(Timer::Capture(key), at);
        }
        if let Some(at) = worker.kill_deadline() {
            each(Timer::Kill(key), at);
        }
        if let Some(at) = worker.stall_deadline(concurrency) {
            each(Timer::Stall(key), at);
        }
    }

    fn fire(&mut self, now: Micros, timer: Timer) {
        match timer {
            Timer::Shutdown => self.terminate(now),
            Timer::RetryPause => {
                while let Some(key) = self.tasks.take_paused(now) {
                    // Its worker is gone, and perhaps its slot.
                    let slot = self.reassign(key);
                    self.tasks.requeue_front(key, slot);
                }
            }
            // The dispatch that follows each event decides again whether the pool grows.
            Timer::Grow => self.grow_at = None,
            // Every event is followed by a look at the standbys.
            Timer::Standby => {}
            Timer::Restart { slot } => {
                self.slots[slot].restart_at = None;
                self.ensure_worker(now, slot);
            }
            Timer::Escalate(key) => self.escalate(now, key),
            Timer::TaskTimeout(key) => self.cancel_overdue(now, key),
            Timer::Capture(key) => self.captured(now, key),
            Timer::Kill(key) => self.kill_for_cancelled(now, key),
            Timer::Stall(key) => self.reclaim(key),
            Timer::Idle(key) if self.has_surplus() => {
                self.begin_stop(now, key, ExitReason::Idle, Escalation::Asked);
                self.cancel_successor(now, key.slot);
            }
            // Two processes are not kept for long where one has little to do.
            Timer::Idle(key) => self.schedule_replacement(key.slot, ExitReason::Recycled, true),
            Timer::MaxAge(key) => {
                if let Some(worker) = self.worker(key) {
                    worker.replace_at = None;
                }
                self.schedule_replacement(key.slot, ExitReason::Recycled, true);
            }
        }
    }

    fn escalate(&mut self, now: Micros, key: WorkerKey) {
        let grace = self.config.grace_period;
        let Some(worker) = self.worker(key) else { return };
        let starting = matches!(worker.life, Life::Starting { .. });
        let action = worker.life.advance(now, grace);
        worker.missed_start |= starting && action == Action::Kill;
        self.perform_stop_action(key, action);
    }

    fn cancel_overdue(&mut self, now: Micros, key: WorkerKey) {
        let concurrency = self.config.concurrency;
        let Some(worker) = self.worker(key) else { return };
        let overdue: Vec<_> = worker
            .in_flight()
            .take(concurrency)
            .filter(|attempt| attempt.deadline().is_some_and(|at| at <= now))
            .filter_map(|attempt| {
                Some((attempt.attempt_id, CancelReason::Overdue(attempt.timeout?)))
            })
            .collect();
        for (attempt_id, why) in overdue {
            self.cancel_attempt(now, key, attempt_id, why);
        }
    }

    fn kill_for_cancelled(&mut self, now: Micros, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        let due = |at: Micros| at <= now;
        let why = worker
            .in_flight()
            .filter_map(|attempt| attempt.cancelled)
            .find_map(|(why, at)| due(at).then_some(why));
        let reason = match why {
            Some(CancelReason::Aborted) => ExitReason::Aborted,
            Some(CancelReason::Overdue(_)) => ExitReason::Timeout,
            None => return,
        };
        self.begin_stop(now, key, reason, Escalation::Sigterm);
    }
}
