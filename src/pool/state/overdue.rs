//! Attempts that end before their reply: they are aborted or overdue, or the supervisor reclaims
//! them from a worker that has not claimed them.

use crate::pool::ids::{AttemptId, Micros, Ticket, WorkerKey};
use crate::pool::lifecycle::{Escalation, ExitReason};
use crate::pool::messages::{Effect, Failure, ForgedClaim, RunInfo};
use crate::pool::policy;
use crate::pool::state::Pool;
use crate::pool::worker::CancelReason;

impl Pool {
    /// Ends an attempt whose result is no longer wanted. If the worker claims its tasks, the pool
    /// first finds out whether the attempt runs; if it does not, the worker is left alone.
    pub(super) fn cancel_attempt(
        &mut self,
        now: Micros,
        key: WorkerKey,
        attempt_id: AttemptId,
        why: CancelReason,
    ) {
        let Some(worker) = self.worker(key) else { return };
        if worker.claims {
            worker.reclaim.push((attempt_id, why));
            self.reclaim(key);
        } else {
            self.abort_attempt(now, key, attempt_id, why);
        }
    }

    /// Asks for one reclaim of the worker's unclaimed tasks, however many reasons there are.
    pub(super) fn reclaim(&mut self, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        let effect = Effect::Reclaim { worker: key, epoch: worker.current_epoch() };
        if !self.effects.contains(&effect) {
            self.effects.push_back(effect);
        }
    }

    pub(super) fn reclaimed(
        &mut self,
        now: Micros,
        key: WorkerKey,
        started: Result<u32, ForgedClaim>,
    ) {
        let Some(worker) = self.worker(key) else { return };
        let reclaim = std::mem::take(&mut worker.reclaim);
        let Ok(back) = worker.reclaim(started) else {
            for (attempt_id, why) in reclaim {
                self.abort_attempt(now, key, attempt_id, why);
            }
            return self.violated(now, key);
        };
        // Prefetching resumes with the worker's next reply. If its running task takes longer still,
        // the next stall is measured from here.
        worker.prefetch_suspended = true;
        worker.progress_at = now;
        let never: Vec<(AttemptId, Ticket)> =
            back.iter().map(|attempt| (attempt.attempt_id, attempt.ticket)).collect();
        self.requeue_front(back.into_iter());
        for (attempt_id, why) in reclaim {
            match (never.iter().find(|(never, _)| *never == attempt_id), why) {
                (None, _) => self.abort_attempt(now, key, attempt_id, why),
                (Some(&(_, ticket)), CancelReason::Aborted) => self.cancel(now, ticket),
                // The worker should have been running the task and had not claimed it, so its time
                // has not begun. The task waits for the next worker; this one may be overloaded, or
                // hang outside of any task.
                (Some(&(_, ticket)), CancelReason::Overdue(limit)) => {
                    self.tasks.extend_deadline(ticket, limit);
                    self.note_unclaimed(now, key);
                }
            }
        }
    }

    /// Notes that the worker did not claim a task that it should be running. The worker may do so
    /// for the grace period, and at least for as long as a sound worker may need on a busy machine.
    pub(super) fn note_unclaimed(&mut self, now: Micros, key: WorkerKey) {
        let grace = self.config.grace_period.max(policy::MIN_CLAIM_TIME);
        let Some(worker) = self.worker(key) else { return };
        let since = *worker.unresponsive_since.get_or_insert(now);
        if now.saturating_sub(since) >= grace {
            self.begin_stop(now, key, ExitReason::Timeout, Escalation::Sigterm);
        }
    }

    /// Ends the task of a running attempt. With `capture_stack`, an overdue task ends after the
    /// worker was asked where it hangs.
    pub(super) fn abort_attempt(
        &mut self,
        now: Micros,
        key: WorkerKey,
        attempt_id: AttemptId,
        why: CancelReason,
    ) {
        if let CancelReason::Overdue(limit) = why
            && self.config.capture_stack
            && self.capture(now, key, attempt_id, limit)
        {
            return;
        }
        self.finish_attempt(now, key, attempt_id, why);
    }

    /// Returns whether the worker is being asked where it hangs. One answer serves all attempts
    /// that become overdue meanwhile.
    pub(super) fn capture(
        &mut self,
        now: Micros,
        key: WorkerKey,
        attempt_id: AttemptId,
        limit: Micros,
    ) -> bool {
        let Some(worker) = self.worker(key).filter(|worker| worker.life.is_ready()) else {
            return false;
        };
        if !worker.hold(attempt_id, limit) {
            return false;
        }
        if worker.capture.is_none() {
            worker.capture = Some((attempt_id, now.saturating_add(policy::CAPTURE)));
            self.effects.push_back(Effect::Capture { worker: key });
        }
        true
    }

    /// Fails the overdue tasks that waited for the stack, which was captured, or cannot be.
    pub(super) fn captured(&mut self, now: Micros, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        let Some((asked_for, _)) = worker.capture.take() else { return };
        let overdue =
            worker.in_flight().filter_map(|attempt| Some((attempt.attempt_id, attempt.overdue?)));
        let overdue: Vec<_> = overdue.collect();
        if !overdue.iter().any(|(attempt_id, _)| *attempt_id == asked_for) {
            // The attempt has ended meanwhile. The worker still has to learn that the capture is
            // over.
            self.effects.push_back(Effect::Abort {
                worker: key,
                attempt_id: asked_for,
                overdue: true,
            });
        }
        for (attempt_id, limit) in overdue {
            self.finish_attempt(now, key, attempt_id, CancelReason::Overdue(limit));
        }
    }

    /// Ends the task of a running attempt, and gives the worker a moment to end the attempt.
    pub(super) fn finish_attempt(
        &mut self,
        now: Micros,
        key: WorkerKey,
        attempt_id: AttemptId,
        why: CancelReason,
    ) {
        let (concurrency, grace) = (self.config.concurrency, self.config.grace_period);
        let Some(worker) = self.worker(key) else { return };
        // A worker that has gone on to another task only has to hand over a reply. Its death would
        // cost that other task.
        let is_ended = concurrency == 1 && worker.has_claimed_another(attempt_id);
        let time = if is_ended { policy::COOPERATION } else { policy::COOPERATION.min(grace) };
        let kill_at = now.saturating_add(time);
        let Some(task_key) = worker.cancel(attempt_id, why, kill_at) else { return };
        let Some(attempt) = worker.find(attempt_id) else { return };
        let (failure, overdue) = match why {
            CancelReason::Aborted => (Failure::Aborted, false),
            CancelReason::Overdue(limit) => (Failure::Timeout(limit), true),
        };
        let since = attempt.running_since;
        let run = self.tasks.get(task_key).map(|task| RunInfo {
            worker: key,
            attempt: task.attempt,
            wait: since.unwrap_or(now).saturating_sub(task.accepted_at),
            run: now.saturating_sub(since.unwrap_or(now)),
        });
        self.effects.push_back(Effect::Abort { worker: key, attempt_id, overdue });
        self.fail(task_key, run, failure);
    }
}
