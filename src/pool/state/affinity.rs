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
use crate::pool::state::{Phase, Pool, waiting_since};

impl Pool {
    /// The place that this task is bound to, if it has a key.
    pub(super) fn home(&self, task: TaskKey) -> Option<usize> {
        Some(self.tasks.get(task)?.affinity.as_ref()?.home)
    }

    /// Finds the place that a key belongs to now.
    pub(super) fn settle_home(&self, affinity: &mut AffinityKey) -> usize {
        let places = || self.places().iter().enumerate();
        let best = |any: bool| {
            let open = places().filter(|(_, slot)| any || !slot.lends_keys).map(|(place, _)| place);
            open.max_by_key(|&place| affinity.draw(place))
        };
        if let Some(home) = best(false).or_else(|| best(true)) {
            affinity.home = home;
        }
        affinity.home
    }

    /// Binds a task that has a key and waits again: to which place.
    pub(super) fn return_home(&mut self, task: TaskKey) -> Option<usize> {
        self.home(task)?;
        self.move_keys();
        self.rehome(task)
    }

    fn rehome(&mut self, task: TaskKey) -> Option<usize> {
        let mut affinity = self.tasks.get_mut(task)?.affinity.take()?;
        let home = self.settle_home(&mut affinity);
        self.tasks.get_mut(task)?.affinity = Some(affinity);
        Some(home)
    }

    /// After each event: while no bound task waits, it is of no interest who lends keys.
    pub(super) fn see_to_keys(&mut self) -> bool {
        self.queue.has_bound() && self.move_keys()
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
        let mut queue = std::mem::take(&mut self.queue);
        queue.rebind(place, |key| {
            let since = waiting_since(&self.tasks, key)?;
            Some((self.rehome(key)?, since))
        });
        self.queue = queue;
    }

    /// The same for all places: their number has changed, or one of them keeps its keys again.
    pub(super) fn move_all_bound(&mut self) {
        let homes: Vec<usize> = self.queue.homes().collect();
        for home in homes {
            self.move_bound(home);
        }
    }

    /// Starts the workers that bound tasks wait for.
    pub(super) fn start_homes(&mut self, now: Micros) {
        loop {
            let homes: Vec<usize> = self.queue.homes().collect();
            for home in homes {
                self.plan(now, home);
            }
            // Where a worker cannot be started yet, its tasks go to the next best place, which may
            // have none either.
            if !self.move_keys() {
                return;
            }
        }
    }

    /// The task is sent to this worker.
    pub(super) fn remember_key(&mut self, task: TaskKey, slot: usize) {
        let Some(affinity) = self.tasks.get(task).and_then(|task| task.affinity.as_ref()) else {
            return;
        };
        if let Some(worker) = &mut self.slots[slot].worker {
            worker.keys.get_or_insert_default().remember(&affinity.name);
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
