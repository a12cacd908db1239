//! Replacement of sound workers, so that no task notices.
//!
//! A successor is started in the same slot, and so with the same worker id. When it is ready it
//! waits. When its time has come it takes over, and from then on is the only process of the
//! slot that is sent tasks. The predecessor ends what it runs, however long that takes, and is then
//! told to stop. Until then its load counts against the slot. If the successor cannot start, the
//! worker goes on, and another start follows after a pause.

use crate::pool::ids::Micros;
use crate::pool::lifecycle::{Escalation, ExitReason, Life};
use crate::pool::slot::Replacement;
use crate::pool::state::{Phase, Pool};
use crate::pool::worker::{ReplacementPlan, Worker};

impl Pool {
    /// Has the worker of this slot replaced. `at_once`: as soon as a successor is ready; otherwise
    /// once the worker has had all its tasks. `reason` is the reason of its `exit`.
    pub(super) fn schedule_replacement(&mut self, slot: usize, reason: ExitReason, at_once: bool) {
        let Some(worker) = self.slots[slot].worker.as_mut().filter(|worker| worker.life.is_ready())
        else {
            return;
        };
        let plan = worker.plan.get_or_insert(ReplacementPlan { reason, at_once, otherwise: None });
        plan.at_once |= at_once;
        if reason != plan.reason && plan.reason == ExitReason::Reload {
            *plan.otherwise.get_or_insert_default() |= at_once;
        }
        self.replacing = true;
    }

    /// Schedules the successor of a worker with a limited number of tasks, after the worker was
    /// sent a task of this predicted length. The start is early enough that the next task need not
    /// wait: a start may take longer than many tasks.
    pub(super) fn prestart_successor(&mut self, slot: usize, predicted: Micros) {
        let Some(worker) = &self.slots[slot].worker else { return };
        let rest = worker.left.saturating_add(worker.load() as u64).saturating_mul(predicted);
        if worker.left == 0 || rest / self.config.concurrency as u64 <= self.expected_start_time() {
            self.schedule_replacement(slot, ExitReason::Recycled, false);
        }
    }

    /// Advances every replacement as far as possible now. Returns whether a successor has taken
    /// over.
    pub(super) fn advance_replacements(&mut self, now: Micros) -> bool {
        if !self.replacing || !self.runs_tasks() {
            return false;
        }
        self.replacing = false;
        let mut taken_over = false;
        for index in 0..self.slots.len() {
            taken_over |= self.advance_replacement(now, index);
            let slot = &self.slots[index];
            let pending = slot.worker.as_ref().is_some_and(|worker| worker.plan.is_some());
            self.replacing |= pending || !matches!(slot.replacement, Replacement::None);
        }
        taken_over
    }

    fn advance_replacement(&mut self, now: Micros, index: usize) -> bool {
        let taken_over = self.promote_successor(now, index);
        let slot = &self.slots[index];
        match &slot.replacement {
            Replacement::Predecessor(old) if old.life.is_ready() && old.load() == 0 => {
                let (key, reason) =
                    (old.key, old.plan.map_or(ExitReason::Recycled, |plan| plan.reason));
                self.begin_stop(now, key, reason, Escalation::Asked);
            }
            Replacement::None => self.start_successor(now, index),
            Replacement::Predecessor(_) | Replacement::Successor(_) => {}
        }
        taken_over
    }

    /// Promotes the successor, if it is ready and its time has come.
    fn promote_successor(&mut self, now: Micros, index: usize) -> bool {
        let slot = &mut self.slots[index];
        let Some(worker) = slot.worker.as_ref().filter(|worker| worker.life.is_ready()) else {
            return false;
        };
        let Some(plan) = worker.plan.filter(|plan| plan.at_once || worker.left == 0) else {
            return false;
        };
        if !slot.has_ready_successor() {
            return false;
        }
        let (key, ahead) = (worker.key, worker.claims && worker.load() > 0);
        slot.promote_successor(now);
        if plan.at_once && ahead {
            self.reclaim(key);
        }
        true
    }

    fn start_successor(&mut self, now: Micros, slot: usize) {
        let Some(worker) = self.slots[slot].worker.as_ref().filter(|worker| worker.life.is_ready())
        else {
            return;
        };
        let Some(plan) = worker.plan.filter(|_| !worker.retiring) else { return };
        let (key, used_up, idle) = (worker.key, worker.left == 0, worker.load() == 0);
        if idle && self.can_spare(slot) {
            return self.begin_stop(now, key, plan.reason, Escalation::Asked);
        }
        let waits = self.tasks.has_waiting();
        if self.phase != Phase::Open && !waits {
            return;
        }
        if (used_up || !plan.at_once || self.is_next(slot))
            && let Some(successor) = self.start_worker(now, slot)
        {
            self.slots[slot].replacement = Replacement::Successor(Box::new(successor));
        }
    }

    /// Returns whether this slot's successor is the next one to start. Replacements that no task
    /// waits for start one after the other, the oldest worker's first: each start costs the others
    /// some of their time.
    fn is_next(&self, index: usize) -> bool {
        let since = |index: usize| self.slots[index].worker.as_ref().map(|worker| worker.since);
        (0..self.slots.len()).filter(|other| *other != index).all(|other| {
            let slot = &self.slots[other];
            match &slot.replacement {
                Replacement::Successor(successor) => {
                    !matches!(successor.life, Life::Starting { .. })
                }
                Replacement::Predecessor(_) => true,
                Replacement::None => {
                    let worker = slot.worker.as_ref().filter(|worker| worker.life.is_ready());
                    let plan = worker.and_then(|worker| worker.plan);
                    let waits = plan.is_some_and(|plan| plan.at_once) && slot.restart_at.is_none();
                    !waits || since(other) >= since(index)
                }
            }
        })
    }

    /// Returns whether the pool can do without this worker: it has a surplus, and the next task
    /// finds another worker idle.
    fn can_spare(&self, slot: usize) -> bool {
        let idle = |worker: &Worker| worker.takes_tasks() && worker.load() == 0;
        let others = self.slots.iter().enumerate().filter(|(other, _)| *other != slot);
        self.has_surplus() && others.filter_map(|(_, slot)| slot.worker.as_ref()).any(idle)
    }

    /// Stops the successor of this slot's worker, which is no longer needed.
    pub(super) fn cancel_successor(&mut self, now: Micros, slot: usize) {
        let Replacement::Successor(other) = &self.slots[slot].replacement else { return };
        let escalation = match other.life {
            // A starting worker does not read its channel yet.
            Life::Starting { .. } => Escalation::Sigterm,
            Life::Ready => Escalation::Asked,
            Life::Stopping { .. } => return,
        };
        self.begin_stop(now, other.key, ExitReason::Idle, escalation);
    }
}
