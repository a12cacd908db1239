//! Reload: every worker is replaced, one after the other, so that no task notices. The new workers
//! load a new version of their code.
//!
//! Each process has a generation, and a reload begins the next one. The reload is complete when no
//! process of an earlier generation is left, and `min_workers` are ready.
//!
//! [`super::replacement`] replaces a worker. This module adds what is special to a reload: it
//! includes workers that have just been started, and it fails when the new ones cannot start.

use crate::pool::ids::Micros;
use crate::pool::lifecycle::{Escalation, ExitReason, Life};
use crate::pool::messages::Effect;
use crate::pool::slot::{Replacement, Slot};
use crate::pool::state::Pool;
use crate::pool::worker::{ReplacementPlan, Worker};

impl Pool {
    /// Has all workers replaced. `number` identifies the request.
    pub(super) fn reload(&mut self, now: Micros, number: u32) {
        self.generation += 1;
        self.reloading = Some(number);
        // Code that is preloaded, or the executable itself, may have changed.
        self.end_standbys();
        for slot in 0..self.slots.len() {
            // A successor that is ready has loaded the old code.
            self.cancel_successor(now, slot);
            let Some(worker) = &self.slots[slot].worker else { continue };
            match worker.life {
                // It is unknown which version the worker has loaded so far.
                Life::Starting { .. } => {
                    self.begin_stop(now, worker.key, ExitReason::Reload, Escalation::Sigterm)
                }
                Life::Ready => self.schedule_replacement(slot, ExitReason::Reload, true),
                Life::Stopping { .. } => {}
            }
        }
    }

    /// Tells when the reload is complete.
    pub(super) fn advance_reload(&mut self) {
        let Some(number) = self.reloading else { return };
        let old = |worker: &Worker| worker.generation < self.generation;
        if self.is_staffed() && !self.slots.iter().flat_map(Slot::processes).any(old) {
            self.reloading = None;
            self.effects.push_back(Effect::Reloaded { number });
        }
    }

    /// A worker did not get ready, and another start is of no use: the workers with the old code
    /// stay.
    pub(super) fn fail_reload(&mut self, now: Micros, generation: u32) {
        if generation < self.generation {
            return;
        }
        let Some(number) = self.reloading.take() else { return };
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if let Some(worker) = slot.worker.as_mut() {
                if let Some(reload) = worker.plan.take_if(|plan| plan.reason == ExitReason::Reload)
                {
                    let recycled = |at_once| ReplacementPlan {
                        reason: ExitReason::Recycled,
                        at_once,
                        otherwise: None,
                    };
                    worker.plan = reload.otherwise.map(recycled);
                }
                let stays = worker.plan.is_none();
                if stays && matches!(&slot.replacement, Replacement::Successor(_)) {
                    self.cancel_successor(now, index);
                }
            }
        }
        self.effects.push_back(Effect::ReloadFailed { number });
    }
}
