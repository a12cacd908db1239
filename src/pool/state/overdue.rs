//! Attempts that nobody waits for any more, and tasks that are taken back from their worker.

use crate::pool::ids::{AttemptId, Micros, Ticket, WorkerKey};
use crate::pool::lifecycle::{Escalation, ExitReason};
use crate::pool::messages::{Effect, Failure, ForgedClaim, RunInfo};
use crate::pool::policy;
use crate::pool::state::Pool;
use crate::pool::worker::CancelReason;

impl Pool {
    /// Nobody waits for this start any more. Whether it runs is found out first, where that is
    /// possible: if it does not, no worker need suffer for it.
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

    /// Asks for one take-back, however many reasons there are.
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
        // Not before it replies again; and if what it has begun takes longer still, not before
        // another while.
        worker.prefetch_suspended = true;
        worker.progress_at = now;
        let never: Vec<(AttemptId, Ticket)> =
            back.iter().map(|start| (start.attempt_id, start.ticket)).collect();
        self.requeue_front(back.into_iter());
        for (attempt_id, why) in reclaim {
            match (never.iter().find(|(never, _)| *never == attempt_id), why) {
                (None, _) => self.abort_attempt(now, key, attempt_id, why),
                (Some(&(_, ticket)), CancelReason::Aborted) => self.cancel(now, ticket),
                // The task was due to run and had not even been taken up, so its time has not
                // begun. It waits for the next worker; this one may be out of breath, or hang
                // outside of any task.
                (Some(&(_, ticket)), CancelReason::Overdue(limit)) => {
                    self.tasks.extend_deadline(ticket, limit);
                    self.note_unclaimed(now, key);
                }
            }
        }
    }

    /// The worker did not take up what it was due to run. For how long that is forgiven is the
    /// grace period, but not less than a sound worker may need on a busy machine.
    pub(super) fn note_unclaimed(&mut self, now: Micros, key: WorkerKey) {
        let grace = self.config.grace_period.max(policy::MIN_CLAIM_TIME);
        let Some(worker) = self.worker(key) else { return };
        let since = *worker.unresponsive_since.get_or_insert(now);
        if now.saturating_sub(since) >= grace {
            self.begin_stop(now, key, ExitReason::Timeout, Escalation::Sigterm);
        }
    }

    /// Ends the task of a start that runs; if it is overdue, and the pool is set so, not before its
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

    /// Whether the worker is being asked where it hangs. One answer does for all that become
    /// overdue meanwhile.
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

    /// It is known where the worker hangs, or that this cannot be known: what waited for that ends.
    pub(super) fn captured(&mut self, now: Micros, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        let Some((asked_for, _)) = worker.capture.take() else { return };
        let overdue =
            worker.in_flight().filter_map(|start| Some((start.attempt_id, start.overdue?)));
        let overdue: Vec<_> = overdue.collect();
        if !overdue.iter().any(|(attempt_id, _)| *attempt_id == asked_for) {
            // It has ended meanwhile, but the worker is to hear that the asking is over.
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

    /// Ends the task of a start that runs, and gives the worker a moment to end the start.
    pub(super) fn finish_attempt(
        &mut self,
        now: Micros,
        key: WorkerKey,
        attempt_id: AttemptId,
        why: CancelReason,
    ) {
        let kill_at = now.saturating_add(policy::COOPERATION.min(self.config.grace_period));
        let Some(worker) = self.worker(key) else { return };
        let Some(task_key) = worker.cancel(attempt_id, why, kill_at) else { return };
        let Some(start) = worker.find(attempt_id) else { return };
        let (failure, overdue) = match why {
            CancelReason::Aborted => (Failure::Aborted, false),
            CancelReason::Overdue(limit) => (Failure::Timeout(limit), true),
        };
        let since = start.running_since;
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
