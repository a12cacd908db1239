//! Tasks with a key. All tasks of one key go to one worker, which may keep in memory what they
//! need.
//!
//! A key belongs to a slot by rendezvous hashing: each slot has a score for it, and the highest
//! wins. So one slot more or less moves only the keys that it wins or had.
//!
//! A slot lends its keys to the next best slot while it waits for a restart after too many crashes.
//! It does the same while a successor fails to start. All waiting tasks of a key move together,
//! whenever a slot begins or ends to lend its keys.
//!
//! The memory of a worker is lost with its process. The user then learns which keys the worker had
//! run tasks of.

use crate::pool::ids::{Micros, TaskKey, WorkerKey};
use crate::pool::key::{AffinityKey, Keys};
use crate::pool::messages::Effect;
use crate::pool::slot::Slot;
use crate::pool::state::{Phase, Pool};

impl Pool {
    /// Binds a new task's key to the slot that the key belongs to now.
    pub(super) fn assign_slot(&mut self, affinity: &mut AffinityKey) -> usize {
        self.move_keys();
        assign(self.active_slots(), affinity)
    }

    /// Binds a task that has a key, and is about to wait again, to the slot that its key belongs to
    /// now.
    pub(super) fn reassign(&mut self, task: TaskKey) -> Option<usize> {
        self.tasks.get(task)?.assigned_slot()?;
        self.move_keys();
        let slots = &self.slots[..self.config.max_workers];
        self.tasks.assign(task, |affinity| assign(slots, affinity))
    }

    /// Moves keys after an event. While no bound task waits, it does not matter which slot lends
    /// its keys.
    pub(super) fn update_keys(&mut self) -> bool {
        self.tasks.queue().has_bound() && self.move_keys()
    }

    /// Moves the waiting tasks of all keys whose slot has changed, because a slot lends its keys
    /// now or no longer does. Returns whether there is such a slot. Must be called before a task is
    /// bound.
    pub(super) fn move_keys(&mut self) -> bool {
        let (mut lends, mut keeps) = (false, false);
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            let must_lend = !slot.keeps_keys();
            if slot.lends_keys == must_lend {
                continue;
            }
            slot.lends_keys = must_lend;
            if must_lend {
                lends = true;
                self.move_bound(index);
            } else {
                keeps = true;
            }
        }
        if keeps {
            self.move_all_bound();
        }
        lends || keeps
    }

    /// Binds the tasks that wait for this slot again.
    fn move_bound(&mut self, slot: usize) {
        let slots = &self.slots[..self.config.max_workers];
        self.tasks.reassign(slot, |affinity| assign(slots, affinity));
    }

    /// Binds all waiting tasks again: the number of slots has changed, or a slot keeps its keys
    /// again.
    pub(super) fn move_all_bound(&mut self) {
        let slots: Vec<usize> = self.tasks.queue().assigned_slots().collect();
        for slot in slots {
            self.move_bound(slot);
        }
    }

    /// Starts the workers that bound tasks wait for.
    pub(super) fn start_assigned(&mut self, now: Micros) {
        loop {
            let slots: Vec<usize> = self.tasks.queue().assigned_slots().collect();
            for slot in slots {
                self.ensure_worker(now, slot);
            }
            // Where a worker cannot be started yet, its tasks go to the next best slot, which may
            // have no worker either.
            if !self.move_keys() {
                return;
            }
        }
    }

    /// Tells the user which keys a worker that is gone had run tasks of.
    pub(super) fn report_lost_keys(&mut self, worker: WorkerKey, keys: Option<Box<Keys>>) {
        // The user of a closing pool has no use for them.
        let Some(keys) = keys.filter(|_| self.phase == Phase::Open) else { return };
        let mut keys: Vec<_> = keys.0.into_iter().collect();
        keys.sort_unstable();
        self.effects.push_back(Effect::LostKeys { worker, keys });
    }
}

/// Assigns a key to the slot with the highest score. Slots that lend their keys come last.
fn assign(slots: &[Slot], affinity: &mut AffinityKey) -> usize {
    let best = |any: bool| {
        let open = slots.iter().enumerate().filter(|(_, slot)| any || !slot.lends_keys);
        open.map(|(index, _)| index).max_by_key(|&index| affinity.rendezvous_score(index))
    };
    if let Some(slot) = best(false).or_else(|| best(true)) {
        affinity.assigned_slot = slot;
    }
    affinity.assigned_slot
}
