//! Starting workers: which slot gets one and when, and what happens when workers do not get ready.

use crate::pool::ids::{Micros, WorkerKey};
use crate::pool::lifecycle::{ExitReason, Life};
use crate::pool::messages::{Effect, Failure};
use crate::pool::policy;
use crate::pool::slot::{Replacement, Slot};
use crate::pool::state::{Phase, Pool, Trust};
use crate::pool::worker::Worker;

impl Pool {
    pub(super) fn start(&mut self, now: Micros) {
        if self.phase != Phase::Idle {
            return;
        }
        self.phase = Phase::Open;
        for slot in 0..self.config.min_workers {
            self.ensure_worker(now, slot);
        }
        self.announce_started();
    }

    pub(super) fn announce_started(&mut self) {
        if !self.started
            && self.phase != Phase::Idle
            && self.ready_workers() >= self.config.min_workers
        {
            self.started = true;
            self.effects.push_back(Effect::Started);
        }
    }

    /// Starts a worker in an empty slot, now or as soon as its back-off is over.
    pub(super) fn ensure_worker(&mut self, now: Micros, index: usize) {
        let slot = &self.slots[index];
        if slot.worker.is_none() && slot.restart_at.is_none() {
            self.slots[index].worker = self.start_worker(now, index);
        }
    }

    /// Creates the next process of this slot, unless its back-off is not over or starts are
    /// suspended.
    pub(super) fn start_worker(&mut self, now: Micros, index: usize) -> Option<Worker> {
        if self.trust != Trust::Given {
            return None;
        }
        let slot = &mut self.slots[index];
        if slot.not_before > now {
            slot.restart_at = Some(slot.not_before);
            return None;
        }
        slot.lives += 1;
        let key = WorkerKey { slot: index, life: slot.lives };
        let standby = self.take_standby();
        self.effects.push_back(Effect::Spawn { worker: key, standby });
        let mut worker = Worker::new(key, self.generation, now, &self.config);
        worker.from_standby = standby.is_some();
        Some(worker)
    }

    /// A process of this slot is gone: promotes its successor, or starts another worker if the pool
    /// needs one.
    pub(super) fn refill_slot(&mut self, now: Micros, index: usize) {
        let slot = &mut self.slots[index];
        if slot.worker.is_some() {
            return;
        }
        // Ready or still starting, the successor is the only process of the slot that may serve.
        let has_successor = matches!(
            &slot.replacement,
            Replacement::Successor(other) if !matches!(other.life, Life::Stopping { .. })
        );
        if has_successor {
            slot.promote_successor(now);
        } else if self.should_restart(index) {
            self.ensure_worker(now, index);
        }
    }

    /// Returns whether an empty slot gets a worker again.
    fn should_restart(&self, slot: usize) -> bool {
        if !self.is_active_slot(slot) || !self.runs_tasks() {
            return false;
        }
        let coming = self.occupied_slots();
        let awaited = self.tasks.queue().assigned_slots().any(|assigned| assigned == slot);
        match self.phase {
            Phase::Open | Phase::Closing { terminated: false, .. } if awaited => true,
            Phase::Open if coming < self.config.min_workers => true,
            Phase::Open => coming < self.tasks.queue().len().min(self.config.max_workers),
            Phase::Closing { terminated: false, .. } => {
                coming < self.tasks.len().min(self.config.min_workers.max(1))
            }
            _ => false,
        }
    }

    /// Handles a failed start: the slot pauses, and the pool may break.
    pub(super) fn start_failed(
        &mut self,
        now: Micros,
        &Worker { key, generation, from_standby, .. }: &Worker,
        permanent: bool,
    ) {
        if !self.runs_tasks() || (self.phase != Phase::Open && self.tasks.is_empty()) {
            // The worker was no longer needed, or was killed because the pool broke.
            return;
        }
        if from_standby && !permanent {
            // The standby may be at fault. The next start is from scratch, and counts.
            return self.standbys.distrust();
        }
        let restart = self.config.restart;
        let spent = self.budget.spend(now, &restart);
        let pause = policy::backoff(restart.min_delay, restart.max_delay, self.budget.in_a_row());
        self.slots[key.slot].not_before = now.saturating_add(self.jitter.apply(pause));
        self.effects.push_back(Effect::StartFailed { worker: key });
        if !permanent && !spent && self.trust == Trust::Given {
            return;
        }
        self.fail_reload(now, generation);
        if self.serves() {
            self.announce_short(key.slot);
        } else if self.is_starting() {
            self.trust = Trust::Suspended;
        } else {
            self.break_down(now);
        }
    }

    /// Returns whether some worker serves tasks. As long as one does, so does the pool.
    pub(super) fn serves(&self) -> bool {
        let serves = |slot: &Slot| slot.worker.as_ref().is_some_and(Worker::serves);
        self.slots
            .iter()
            .any(|slot| serves(slot) || slot.has_ready_successor() || slot.predecessor_load() > 0)
    }

    /// Returns whether some worker may still get ready.
    pub(super) fn is_starting(&self) -> bool {
        self.any_life(|life| matches!(life, Life::Starting { .. }))
    }

    /// Tells once that the pool serves, but lacks a worker that does not get ready. A successor
    /// that does not get ready leaves no worker missing.
    pub(super) fn announce_short(&mut self, slot: usize) {
        if !self.short
            && self.phase == Phase::Open
            && self.is_active_slot(slot)
            && self.slots[slot].worker.is_none()
        {
            self.short = true;
            self.effects.push_back(Effect::Short);
        }
    }

    /// Resumes starts that were suspended, if none is under way any more and none has failed: a
    /// change of the pool has withdrawn them, so they say nothing about the next one.
    pub(super) fn advance_trust(&mut self, now: Micros) {
        if self.trust != Trust::Suspended || self.is_starting() {
            return;
        }
        if !self.any_life(|life| life.reason() == Some(ExitReason::Startup)) {
            self.resume_starts(now);
        }
    }

    /// Resumes starts after a worker got ready, or after the suspended ones were withdrawn.
    pub(super) fn resume_starts(&mut self, now: Micros) {
        self.trust = Trust::Given;
        if self.phase == Phase::Open {
            self.spawn_missing(now);
        }
    }

    pub(super) fn break_down(&mut self, now: Micros) {
        self.trust = Trust::Lost;
        self.effects.push_back(Effect::Broken);
        if self.phase == Phase::Open {
            self.phase = Phase::Broken;
        }
        self.fail_waiting(|maybe_executed| Failure::Broken { maybe_executed });
        self.kill_all(now, ExitReason::Shutdown);
    }
}
