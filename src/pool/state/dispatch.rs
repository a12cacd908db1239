//! Dispatch: which waiting task goes to which worker, and when another worker is worth a start.

use crate::pool::ids::{Micros, TaskKey};
use crate::pool::lifecycle::Life;
use crate::pool::messages::Effect;
use crate::pool::policy;
use crate::pool::slot::Slot;
use crate::pool::state::{Pool, Trust};
use crate::pool::tasks::Task;
use crate::pool::worker::{NewAttempt, Worker};

impl Pool {
    /// Gives waiting tasks to workers with room, starts workers for tasks that found none, and
    /// prefetches short tasks to busy workers. Tells the workers how long results may wait.
    pub(crate) fn dispatch(&mut self, now: Micros) {
        if !self.tasks.queue().is_empty() && self.runs_tasks() {
            self.send_waiting(now);
        }
        self.update_holds();
    }

    fn send_waiting(&mut self, now: Micros) {
        loop {
            self.fill_slots(now);
            if !self.tasks.queue().is_empty() {
                if self.trust == Trust::Given {
                    self.start_assigned(now);
                    self.grow(now);
                }
                self.prefetch(now);
            }
            // A task that was sent may have used up a worker whose successor is ready. A slot that
            // waits for a restart lends its keys.
            let taken_over = self.advance_replacements(now);
            let moved = self.update_keys();
            if !taken_over && !moved {
                return;
            }
        }
    }

    /// Sends one task to each worker with room: to the least loaded first, and among those to the
    /// responsive ones first.
    pub(super) fn fill_slots(&mut self, now: Micros) {
        let takes = |slot: &&Slot| slot.worker.as_ref().is_some_and(Worker::takes_tasks);
        let Some(least) = self.slots.iter().filter(takes).map(Slot::load).min() else { return };
        for level in least..self.config.concurrency {
            for responsive in [true, false] {
                for slot in 0..self.slots.len() {
                    let load = self.slots[slot].load();
                    let Some(worker) = &self.slots[slot].worker else { continue };
                    let fits = worker.unresponsive_since.is_none() == responsive && load <= level;
                    if fits && worker.takes_tasks() {
                        if self.tasks.queue().is_empty() {
                            return;
                        }
                        let Some(key) = self.tasks.peek(slot) else { continue };
                        self.send(now, slot, key);
                    }
                }
            }
        }
    }

    /// Sends short tasks ahead to busy workers, a fair share to each.
    pub(super) fn prefetch(&mut self, now: Micros) {
        let takers = self.slots.iter().filter_map(|slot| slot.worker.as_ref());
        let takers = takers.filter(|worker| worker.takes_tasks() && worker.claims);
        let (count, loads) =
            takers.fold((0, 0), |(count, loads), worker| (count + 1, loads + worker.load()));
        if count == 0 {
            return;
        }
        let share = (self.tasks.queue().len() + loads).div_ceil(count);
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let low = slot.worker.as_ref().is_some_and(|worker| worker.runs_low(&self.config));
            if !low || slot.predecessor_load() > 0 {
                continue;
            }
            while let Some(key) = self.tasks.peek(index) {
                let Some(task) = self.tasks.get(key) else { return };
                let predicted = self.predictor.predict(task.handler);
                let ahead = policy::prefetch_work(now.saturating_sub(task.accepted_at));
                let size = task.body.size();
                let Some(worker) = &mut self.slots[index].worker else { break };
                if !worker.wants_prefetch(&self.config, share, ahead, predicted, size) {
                    break;
                }
                worker.extend_ahead(ahead);
                self.send(now, index, key);
            }
        }
    }

    pub(super) fn send(&mut self, now: Micros, slot: usize, key: TaskKey) {
        let Some(worker) = self.slots[slot].worker.as_mut() else { return };
        let attempt_id = self.next_attempt;
        let Some(task) = self.tasks.send(key, worker.key, attempt_id) else { return };
        self.next_attempt += 1;
        let predicted = self.predictor.predict(task.handler);
        let attempt = NewAttempt {
            attempt_id,
            task: key,
            ticket: task.ticket,
            handler: task.handler,
            timeout: task.timeout,
            delivery_allowance: task.delivery_allowance,
            predicted,
            size: task.body.size(),
            patience: patience(task, now),
        };
        worker.push(attempt, self.config.concurrency, now);
        self.effects.push_back(Effect::Send {
            worker: worker.key,
            attempt_id,
            epoch: worker.epoch(),
            attempt: task.attempt,
            task: key,
        });
        if let Some(affinity) = &task.affinity {
            worker.keys.get_or_insert_default().remember(&affinity.name);
        }
        if self.config.max_tasks.is_some() {
            self.prestart_successor(slot, predicted);
        }
    }

    /// Returns whether enough tasks wait that no worker runs out of them while results wait.
    pub(super) fn is_saturated(&self) -> bool {
        self.tasks.queue().len() >= 2 * self.active_slots().len()
    }

    /// Tells each worker for how long it may hold results. The driver does so before it writes the
    /// tasks that were just sent, so that the result of an urgent task waits for none.
    fn update_holds(&mut self) {
        let saturated = self.is_saturated();
        for slot in &mut self.slots {
            for worker in slot.processes_mut() {
                let hold = if saturated { worker.patience() } else { 0 };
                if worker.hold != hold {
                    worker.hold = hold;
                    self.effects.push_back(Effect::Hold { worker: worker.key, hold });
                }
            }
        }
    }

    /// Starts more workers for tasks that found no room.
    pub(super) fn grow(&mut self, now: Micros) {
        self.grow_at = None;
        let coming = |slot: &&Slot| match &slot.worker {
            Some(worker) => matches!(worker.life, Life::Starting { .. }) || worker.left == 0,
            None => slot.restart_at.is_some(),
        };
        let capacity = self.active_slots().iter().filter(coming).count() * self.config.concurrency;
        let missing =
            self.tasks.queue().unbound().saturating_sub(capacity).div_ceil(self.config.concurrency);
        if missing == 0 || !self.is_worth_a_start(now) {
            return;
        }
        let empty: Vec<usize> = self.empty_slots().take(missing).collect();
        for slot in empty {
            self.ensure_worker(now, slot);
        }
    }

    /// Returns whether waiting tasks would wait for longer than another worker takes to start: by
    /// prediction, or because the oldest already has. Workers up to `min_workers` are always worth
    /// a start.
    pub(super) fn is_worth_a_start(&mut self, now: Micros) -> bool {
        let serving = self
            .active_slots()
            .iter()
            .filter_map(|slot| slot.worker.as_ref())
            .filter(|worker| worker.serves())
            .count();
        if serving == 0
            || self.occupied_slots() < self.config.min_workers
            || self.empty_slots().next().is_none()
        {
            return true;
        }
        let unbound = self.tasks.queue().unbound() as u64;
        let start_time = self.expected_start_time();
        let Some(task) = self.tasks.peek_unbound() else { return true };
        let capacity = (serving * self.config.concurrency) as u64;
        let predicted = self.predictor.predict(task.handler).saturating_mul(unbound) / capacity;
        let patience = task.accepted_at.saturating_add(start_time);
        if predicted > start_time || patience <= now {
            return true;
        }
        self.grow_at = Some(patience);
        false
    }
}

/// Returns the step of patience for the result of a task that is sent now. No result waits for long
/// in proportion to the task's timeout, which starts to run with the attempt. The wait of a task
/// that is started again includes its earlier attempts, and says nothing.
fn patience(task: &Task, now: Micros) -> u8 {
    if task.attempt > 1 {
        return 0;
    }
    let wait = now.saturating_sub(task.accepted_at);
    policy::patience(task.timeout.map_or(wait, |timeout| wait.min(timeout)))
}
