//! The events of a task, from its submission to its end.

use crate::pool::ids::{AttemptId, Micros, TaskKey, Ticket, WorkerKey};
use crate::pool::messages::{Effect, Failure, NewTask, RunInfo};
use crate::pool::policy;
use crate::pool::queue::Due;
use crate::pool::state::{Phase, Pool};
use crate::pool::tasks::{Task, TaskState};
use crate::pool::worker::{CancelReason, InFlight};

impl Pool {
    pub(super) fn submit(&mut self, now: Micros, mut task: NewTask) {
        if self.phase == Phase::Idle {
            self.start(now);
        }
        if !matches!(self.phase, Phase::Open) {
            let effect = self.tasks.refuse(task, self.refusal(false));
            return self.effects.push_back(effect);
        }
        let slot = task.affinity.as_mut().map(|affinity| self.assign_slot(affinity));
        let ageing = self.config.priority_ageing as f64;
        let advance = (task.priority != 0.0).then_some((task.priority * ageing) as Due);
        self.tasks.accept(task, slot, advance);
    }

    pub(super) fn cancel(&mut self, now: Micros, ticket: Ticket) {
        let Some(key) = self.tasks.by_ticket(ticket) else { return };
        let Some(task) = self.tasks.get(key) else { return };
        match task.state {
            TaskState::Queued | TaskState::Pausing => self.fail(key, None, Failure::Aborted),
            TaskState::Sent { worker, attempt_id } => {
                self.cancel_attempt(now, worker, attempt_id, CancelReason::Aborted)
            }
        }
    }

    pub(super) fn credit(&mut self, ticket: Ticket, count: u32) {
        let task = self.tasks.by_ticket(ticket).and_then(|key| self.tasks.get(key));
        if let Some(TaskState::Sent { worker, attempt_id }) = task.map(|task| task.state) {
            self.effects.push_back(Effect::Credit { worker, attempt_id, count });
        }
    }

    pub(super) fn replied(
        &mut self,
        now: Micros,
        key: WorkerKey,
        attempt_id: AttemptId,
        elapsed: Option<u32>,
        failed: bool,
    ) {
        let concurrency = self.config.concurrency;
        let Some(slot) = self.slots.get_mut(key.slot) else { return };
        let Some(worker) = slot.find_mut(key) else { return };
        let Some(attempt) = worker.finish(attempt_id, concurrency, now) else {
            return self.violated(now, key);
        };
        worker.last_run = elapsed.map(Micros::from);
        slot.crashes = 0;
        if let Some(elapsed) = elapsed {
            self.predictor.learn(attempt.handler, elapsed);
        }
        self.timing.ended(run_time(&attempt, now, elapsed));
        if let Some((key_of_task, limit)) = attempt.task.zip(attempt.overdue) {
            // The reply came while the worker was being asked where it hangs, and so too late.
            let run =
                self.tasks.get(key_of_task).map(|task| run_info(task, key, &attempt, now, elapsed));
            return self.fail(key_of_task, run, Failure::Timeout(limit));
        }
        // Without a task, this is the late reply of an aborted or overdue attempt. The worker is
        // sound.
        let Some(task_key) = attempt.task else { return };
        let Some(task) = self.tasks.get(task_key) else { return };
        let run = run_info(task, key, &attempt, now, elapsed);
        if let Some(worker) = self.slots[key.slot].find_mut(key) {
            worker.tasks_done += 1;
        }
        self.timing.replied(&run);
        let patience =
            if self.is_saturated() { policy::held_by_outbox(attempt.patience) } else { 0 };
        if let Some(effect) = self.tasks.complete(task_key, run, patience, failed) {
            self.effects.push_back(effect);
        }
    }

    /// The worker died with an attempt that may have started. Schedules a retry, if the task allows
    /// one, or fails the task.
    pub(super) fn retry_or_fail(
        &mut self,
        now: Micros,
        worker: WorkerKey,
        attempt: &InFlight,
        failure: Failure,
    ) {
        let Some(key) = attempt.task else { return };
        let open =
            self.runs_tasks() && !matches!(self.phase, Phase::Closing { drop_waiting: true, .. });
        let Some(task) = self.tasks.get(key) else { return };
        if open && attempt.overdue.is_none() && task.attempt <= task.retries {
            let pause =
                policy::backoff(self.config.retry_delay, Micros::MAX, task.attempt as usize);
            if let Some((ticket, attempt)) = self.tasks.pause(key, now.saturating_add(pause)) {
                self.effects.push_back(Effect::Retry { ticket, worker, attempt });
            }
            return;
        }
        let run = run_info(task, worker, attempt, now, None);
        let failure = match (self.phase, attempt.overdue) {
            (Phase::Closing { terminated: true, .. }, _) => {
                Failure::Closed { maybe_executed: true }
            }
            (_, Some(limit)) => Failure::Timeout(limit),
            _ => failure,
        };
        self.fail(key, Some(run), failure);
    }

    /// Puts tasks back to the front of the queue, in their old order, whose attempts never started.
    pub(super) fn requeue_front(&mut self, attempts: impl DoubleEndedIterator<Item = InFlight>) {
        let dropping =
            self.is_broken() || matches!(self.phase, Phase::Closing { drop_waiting: true, .. });
        let mut dropped = Vec::new();
        for attempt in attempts.rev() {
            let Some(key) = attempt.task else { continue };
            if dropping {
                dropped.push(key);
            } else {
                // Meanwhile the slot may have been given up, or other tasks of the key moved to
                // another slot.
                let slot = self.reassign(key);
                self.tasks.requeue_front(key, slot);
            }
        }
        for key in dropped.into_iter().rev() {
            // The attempt that never started does not count.
            let maybe_executed = self.tasks.get(key).is_some_and(|task| task.attempt > 1);
            self.fail(key, None, self.refusal(maybe_executed));
        }
    }

    /// Ends a task without a reply.
    pub(super) fn fail(&mut self, key: TaskKey, run: Option<RunInfo>, failure: Failure) {
        self.effects.extend(self.tasks.fail(key, run, failure));
    }

    /// Fails all tasks that wait in the queue or between two attempts.
    pub(super) fn fail_waiting(&mut self, failure: impl Fn(bool) -> Failure) {
        self.effects.extend(self.tasks.fail_waiting(failure));
    }

    /// Returns the failure of tasks that this pool does not run any more.
    pub(super) fn refusal(&self, maybe_executed: bool) -> Failure {
        match self.phase {
            Phase::Closing { terminated: true, .. } | Phase::Closed => {
                Failure::Closed { maybe_executed }
            }
            _ if self.is_broken() => Failure::Broken { maybe_executed },
            _ => Failure::Closed { maybe_executed },
        }
    }
}

fn run_info(
    task: &Task,
    worker: WorkerKey,
    attempt: &InFlight,
    now: Micros,
    elapsed: Option<u32>,
) -> RunInfo {
    let since = attempt.running_since.unwrap_or(now);
    RunInfo {
        worker,
        attempt: task.attempt,
        wait: since.saturating_sub(task.accepted_at),
        run: run_time(attempt, now, elapsed),
    }
}

/// Returns the run time from the start to now. `elapsed`: the run time that the worker measured.
fn run_time(attempt: &InFlight, now: Micros, elapsed: Option<u32>) -> Micros {
    elapsed.map_or_else(|| now.saturating_sub(attempt.running_since.unwrap_or(now)), Micros::from)
}
