//! Resize: another number of workers.
//!
//! Slots are numbered, and a smaller pool gives up the highest ones. Their workers are sent no more
//! tasks, end those that they run, and stop. Slots are never removed, so that events of a process
//! that was there can always be told from those of a later one.

use crate::pool::ids::Micros;
use crate::pool::lifecycle::{Escalation, ExitReason, Life};
use crate::pool::messages::Effect;
use crate::pool::slot::Slot;
use crate::pool::state::{Phase, Pool};

impl Pool {
    /// Sets the number of workers. `number` identifies the request.
    pub(super) fn resize(
        &mut self,
        now: Micros,
        min_workers: usize,
        max_workers: usize,
        number: u32,
    ) {
        self.config.min_workers = min_workers;
        self.config.max_workers = max_workers;
        if self.slots.len() < max_workers {
            self.slots.resize_with(max_workers, Slot::default);
        }
        self.resizing = Some(number);
        let mut ahead = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let closed = index >= max_workers;
            if closed {
                slot.restart_at = None;
            }
            if let Some(worker) = &mut slot.worker {
                worker.retiring = closed;
                ahead.extend((closed && worker.claims && worker.load() > 0).then_some(worker.key));
            }
        }
        for key in ahead {
            self.reclaim(key);
        }
        for slot in max_workers..self.slots.len() {
            // A successor may not take over there either.
            self.cancel_successor(now, slot);
        }
        self.move_all_bound();
        if self.phase == Phase::Open {
            self.spawn_missing(now);
        }
    }

    /// Starts workers up to `min_workers`.
    pub(super) fn spawn_missing(&mut self, now: Micros) {
        let missing = self.config.min_workers.saturating_sub(self.occupied_slots());
        let empty: Vec<usize> = self.empty_slots().take(missing).collect();
        for slot in empty {
            self.ensure_worker(now, slot);
        }
    }

    /// Stops the surplus workers that have ended their tasks, and tells when the resize is
    /// complete.
    pub(super) fn advance_resize(&mut self, now: Micros) {
        let Some(number) = self.resizing else { return };
        for slot in self.config.max_workers..self.slots.len() {
            self.drain_slot(now, slot);
        }
        let drained = self.slots[self.config.max_workers..]
            .iter()
            .all(|slot| slot.processes().next().is_none());
        if drained && self.is_staffed() {
            self.resizing = None;
            self.effects.push_back(Effect::Resized { number });
        }
    }

    /// Returns whether `min_workers` are ready.
    pub(super) fn is_staffed(&self) -> bool {
        self.phase != Phase::Open || self.ready_workers() >= self.config.min_workers
    }

    fn drain_slot(&mut self, now: Micros, slot: usize) {
        self.cancel_successor(now, slot);
        let Some(worker) = &self.slots[slot].worker else { return };
        let escalation = match worker.life {
            // A starting worker does not read its channel yet.
            Life::Starting { .. } => Escalation::Sigterm,
            Life::Ready if worker.load() == 0 => Escalation::Asked,
            Life::Ready | Life::Stopping { .. } => return,
        };
        self.begin_stop(now, worker.key, ExitReason::Idle, escalation);
    }

    /// Returns the slots that the pool uses now.
    pub(super) fn active_slots(&self) -> &[Slot] {
        &self.slots[..self.config.max_workers]
    }

    /// Returns the number of slots with a worker, or with a scheduled restart.
    pub(super) fn occupied_slots(&self) -> usize {
        self.active_slots()
            .iter()
            .filter(|slot| slot.worker.is_some() || slot.restart_at.is_some())
            .count()
    }

    /// Returns the slots where a worker could be started.
    pub(super) fn empty_slots(&self) -> impl Iterator<Item = usize> {
        let empty = |slot: &Slot| slot.worker.is_none() && slot.restart_at.is_none();
        self.active_slots()
            .iter()
            .enumerate()
            .filter(move |(_, slot)| empty(slot))
            .map(|(index, _)| index)
    }

    /// Returns whether the pool uses this slot now.
    pub(super) fn is_active_slot(&self, slot: usize) -> bool {
        slot < self.config.max_workers
    }
}
