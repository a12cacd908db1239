//! The events of a worker's process, from its spawn to its end.

use crate::pool::ids::{Micros, WorkerKey};
use crate::pool::lifecycle::{Escalation, ExitReason, Life};
use crate::pool::messages::{Effect, Evidence, Failure};
use crate::pool::policy;
use crate::pool::slot::Replacement;
use crate::pool::state::{Pool, Trust};

impl Pool {
    /// Takes in that the process exists, and performs the stop action that was decided before.
    pub(super) fn spawned(&mut self, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        let effect = match worker.life {
            Life::Stopping { escalation: Escalation::Asked, .. } => Effect::Stop { worker: key },
            Life::Stopping { escalation: Escalation::Sigterm, .. } => {
                Effect::Terminate { worker: key }
            }
            Life::Stopping { escalation: Escalation::Sigkill, .. } => Effect::Kill { worker: key },
            Life::Starting { .. } | Life::Ready => return,
        };
        self.effects.push_back(effect);
    }

    pub(super) fn spawn_failed(&mut self, now: Micros, key: WorkerKey, permanent: bool) {
        let Some(slot) = self.slots.get_mut(key.slot) else { return };
        let Some(worker) = slot.remove(key) else { return };
        // A worker that was stopped before its process existed has not failed.
        if matches!(worker.life, Life::Starting { .. }) {
            self.start_failed(now, &worker, permanent);
        }
        self.refill_slot(now, key.slot);
    }

    pub(super) fn ready(&mut self, now: Micros, key: WorkerKey, claims: bool) {
        let max_age = self.config.max_age;
        let Some(worker) = self.worker(key) else { return };
        match worker.life {
            Life::Starting { .. } => {}
            // The worker was stopped before it got ready.
            Life::Stopping { .. } => return,
            Life::Ready => return self.violated(now, key),
        }
        worker.life = Life::Ready;
        worker.ready_at = Some(now);
        worker.claims = claims;
        worker.progress_at = now;
        worker.replace_at = max_age.map(|age| now.saturating_add(age));
        let took = now.saturating_sub(worker.since);
        let average =
            if worker.from_standby { &mut self.standby_start_time } else { &mut self.start_time };
        *average = if *average == 0 { took } else { (3 * *average + took) / 4 };
        self.budget.succeed();
        self.standbys.worker_ready();
        self.effects.push_back(Effect::Online { worker: key });
        self.announce_started();
        if self.trust == Trust::Suspended {
            self.resume_starts(now);
        }
    }

    pub(super) fn start_refused(&mut self, now: Micros, key: WorkerKey, permanent: bool) {
        let Some(worker) = self.worker(key) else { return };
        if worker.life.is_ready() {
            return self.violated(now, key);
        }
        worker.refused = Some(permanent);
        // The worker exits by itself once it has told the reason.
        self.begin_stop(now, key, ExitReason::Startup, Escalation::Asked);
    }

    pub(super) fn violated(&mut self, now: Micros, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        worker.violated = true;
        let reason = match worker.life {
            Life::Starting { .. } => ExitReason::Startup,
            Life::Ready | Life::Stopping { .. } => ExitReason::Crashed,
        };
        self.begin_stop(now, key, reason, Escalation::Sigkill);
    }

    /// The worker has closed its channel, and nothing more can come from it. Mostly it is dying,
    /// and is soon reaped; otherwise the pool stops it.
    pub(super) fn channel_closed(&mut self, now: Micros, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        worker.hung_up |= worker.life.reason().is_none();
        let grace = self.config.grace_period.max(policy::COOPERATION);
        self.begin_stop_within(now, key, ExitReason::Crashed, Escalation::Asked, grace);
    }

    /// Marks the process as dead, so that a reply it left behind brings it no other task.
    pub(super) fn exit_observed(&mut self, key: WorkerKey) {
        if let Some(worker) = self.worker(key) {
            worker.dead = true;
        }
    }

    pub(super) fn reaped(&mut self, now: Micros, key: WorkerKey, evidence: &Evidence) {
        let Some(slot) = self.slots.get_mut(key.slot) else { return };
        let is_predecessor =
            matches!(&slot.replacement, Replacement::Predecessor(old) if old.key == key);
        let Some(mut worker) = slot.remove(key) else { return };
        self.timing.exited(worker.served(now));
        self.timing.ended(worker.working(now));
        let starting = matches!(worker.life, Life::Starting { .. });
        let reason = worker.life.reason().unwrap_or(match starting {
            true => ExitReason::Startup,
            false => ExitReason::Crashed,
        });
        let failure = if worker.violated { Failure::Protocol } else { Failure::Crashed };
        let mut never = Vec::new();
        for (attempt, maybe) in worker.settle(evidence) {
            match maybe {
                true => self.retry_or_fail(now, key, &attempt, failure),
                false => never.push(attempt),
            }
        }
        self.requeue_front(never.into_iter());
        self.report_lost_keys(key, worker.keys.take());
        self.effects.push_back(Effect::Exit { worker: key, reason, tasks_done: worker.tasks_done });
        match reason {
            ExitReason::Startup => self.start_failed(now, &worker, worker.refused == Some(true)),
            // The slot is served by the successor.
            _ if is_predecessor => {}
            ExitReason::Crashed | ExitReason::Memory => {
                let slot = &mut self.slots[key.slot];
                slot.crashes += 1;
                if slot.crashes > 1 {
                    // One crash may be the task's fault and costs no time. A worker that crashes
                    // repeatedly pauses.
                    let restart = self.config.restart;
                    let pause =
                        policy::backoff(restart.min_delay, restart.max_delay, slot.crashes - 1);
                    slot.not_before = now.saturating_add(self.jitter.apply(pause));
                }
            }
            ExitReason::Shutdown
            | ExitReason::Idle
            | ExitReason::Recycled
            | ExitReason::Reload
            | ExitReason::Timeout
            | ExitReason::Aborted => {}
        }
        self.refill_slot(now, key.slot);
    }

    /// Handles a measurement of the worker's resident memory (bytes).
    pub(super) fn memory(&mut self, now: Micros, key: WorkerKey, rss: u64) {
        let above = |limit: Option<u64>| limit.is_some_and(|limit| rss > limit);
        let (too_large, large) = (above(self.config.max_memory), above(self.config.recycle_memory));
        let Some(slot) = self.slots.get_mut(key.slot) else { return };
        let serves = slot.worker.as_ref().is_some_and(|worker| worker.key == key);
        let Some(worker) = slot.find_mut(key) else { return };
        if too_large {
            worker.over_memory = true;
            self.begin_stop(now, key, ExitReason::Memory, Escalation::Sigkill);
        } else if large && serves && (worker.tasks_done > 0 || worker.load() > 0) {
            // A worker that is so large before it has run anything would be replaced by another
            // like it, for ever.
            self.schedule_replacement(key.slot, ExitReason::Recycled, true);
        }
    }
}
