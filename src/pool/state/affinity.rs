//! Tasks with a key: all of one key go to one worker, which may keep in memory what they need.
//!
//! A key belongs to a place by rendezvous hashing: each place draws a number for it, and the
//! highest wins. So a place more or less moves only the keys that it wins or had. While a place
//! waits to be started again after one crash too many, or for a successor that fails to start, its
//! keys belong to the next best. All waiting tasks of a key move together, whenever a place
//! begins or ends to lend its keys. What a worker kept is gone with its process: then users are
//! told which keys it had run tasks of.

use crate::pool::ids::{Micros, TaskKey, WorkerKey};
use crate::pool::key::{AffinityKey, Keys};
use crate::pool::messages::Effect;
use crate::pool::slot::Slot;
use crate::pool::state::{Phase, Pool};

impl Pool {
    /// Finds the place that a key belongs to now.
    pub(super) fn settle_home(&self, affinity: &mut AffinityKey) -> usize {
        assign(self.places(), affinity)
    }

    /// Binds a task that has a key and waits again: to which place.
    pub(super) fn return_home(&mut self, task: TaskKey) -> Option<usize> {
        self.tasks.get(task)?.slot()?;
        self.move_keys();
        let slots = &self.slots[..self.config.max_workers];
        self.tasks.assign(task, |affinity| assign(slots, affinity))
    }

    /// After each event: while no bound task waits, it is of no interest who lends keys.
    pub(super) fn update_keys(&mut self) -> bool {
        self.tasks.queue().has_bound() && self.move_keys()
    }

    /// Moves the waiting tasks of all keys whose place has changed, because some place lends its
    /// keys now or no longer does. Whether some place is such. To be called before a task is bound.
    pub(super) fn move_keys(&mut self) -> bool {
        let (mut lends, mut keeps) = (false, false);
        for place in 0..self.slots.len() {
            let slot = &mut self.slots[place];
            let now = !slot.keeps_keys();
            if slot.lends_keys == now {
                continue;
            }
            slot.lends_keys = now;
            if now {
                lends = true;
                self.move_bound(place);
            } else {
                keeps = true;
            }
        }
        if keeps {
            self.move_all_bound();
        }
        lends || keeps
    }

    /// Binds what waits for this place again.
    fn move_bound(&mut self, place: usize) {
        let slots = &self.slots[..self.config.max_workers];
        self.tasks.reassign(place, |affinity| assign(slots, affinity));
    }

    /// The same for all places: their number has changed, or one of them keeps its keys again.
    pub(super) fn move_all_bound(&mut self) {
        let homes: Vec<usize> = self.tasks.queue().homes().collect();
        for home in homes {
            self.move_bound(home);
        }
    }

    /// Starts the workers that bound tasks wait for.
    pub(super) fn start_homes(&mut self, now: Micros) {
        loop {
            let homes: Vec<usize> = self.tasks.queue().homes().collect();
            for home in homes {
                self.ensure_worker(now, home);
            }
            // Where a worker cannot be started yet, its tasks go to the next best place, which may
            // have none either.
            if !self.move_keys() {
                return;
            }
        }
    }

    /// This worker is gone with all that it kept.
    pub(super) fn lose_keys(&mut self, worker: WorkerKey, keys: Option<Box<Keys>>) {
        // Of a pool that is being closed nobody wants to know.
        let Some(keys) = keys.filter(|_| self.phase == Phase::Open) else { return };
        let mut keys: Vec<_> = keys.0.into_iter().collect();
        keys.sort_unstable();
        self.effects.push_back(Effect::LostKeys { worker, keys });
    }
}

/// Finds the place that a key belongs to now.
fn assign(slots: &[Slot], affinity: &mut AffinityKey) -> usize {
    let places = || slots.iter().enumerate();
    let best = |any: bool| {
        let open = places().filter(|(_, slot)| any || !slot.lends_keys).map(|(place, _)| place);
        open.max_by_key(|&place| affinity.draw(place))
    };
    if let Some(home) = best(false).or_else(|| best(true)) {
        affinity.home = home;
    }
    affinity.home
}
