//! Standbys: processes that are started ahead, so that a worker's start costs the import of its
//! module only.
//!
//! A standby is not a worker. It has no slot, gets no task, and counts for no limit of the pool. A
//! start of any worker takes the oldest one, and the driver sends `init` to it. Another standby is
//! started as soon as nothing is more urgent: while the pool lacks a worker, while one starts, or
//! while a restart pauses, none is.
//!
//! A standby that dies is replaced after a pause, and too many deaths in a row end the attempts. A
//! start from a standby that fails says nothing about other starts: it does not count, and the next
//! ones are from scratch. So a pool with standbys breaks no sooner than one without.

use crate::pool::ids::{Micros, StandbyId};
use crate::pool::lifecycle::Life;
use crate::pool::messages::Effect;
use crate::pool::policy;
use crate::pool::state::{Phase, Pool, Trust};

impl Pool {
    /// Requests another standby, if it is time.
    pub(super) fn advance_standbys(&mut self, now: Micros) {
        if self.standby_start_at().is_some_and(|at| at <= now) {
            // Two that boot together would take twice the time from the workers.
            let pause = self.start_time.max(self.config.restart.min_delay);
            let standby = self.standbys.request(now, pause);
            self.effects.push_back(Effect::StartStandby { standby });
        }
    }

    /// Returns when the next standby starts. `None`: none is wanted, or something is more urgent.
    pub(super) fn standby_start_at(&self) -> Option<Micros> {
        (self.standbys.lacks(self.config.standby) && self.may_start_standby())
            .then_some(self.standbys.not_before)
    }

    fn may_start_standby(&self) -> bool {
        let pauses = || self.active_slots().iter().any(|slot| slot.restart_at.is_some());
        self.phase == Phase::Open
            && self.trust == Trust::Given
            && self.is_staffed()
            && !pauses()
            && !self.any_life(|life| matches!(life, Life::Starting { .. }))
    }

    /// Takes a standby for the start of a worker. After a failed start the next one is from
    /// scratch.
    pub(super) fn take_standby(&mut self) -> Option<StandbyId> {
        if self.budget.in_a_row() > 0 { None } else { self.standbys.take() }
    }

    /// Returns the time that the next start will probably take (µs).
    pub(super) fn expected_start_time(&self) -> Micros {
        let from_standby = self.standbys.is_any_usable() && self.budget.in_a_row() == 0;
        if from_standby { self.standby_start_time } else { self.start_time }
    }

    pub(super) fn standby_spawned(&mut self, standby: StandbyId) {
        if !self.standbys.spawned(standby) {
            self.effects.push_back(Effect::EndStandby { standby });
        }
    }

    /// The process of a standby is gone, or there was none.
    pub(super) fn standby_ended(&mut self, now: Micros, standby: StandbyId) {
        let Some(since) = self.standbys.remove(standby) else { return };
        if self.standbys.died(now, now.saturating_sub(since), &self.config) {
            self.effects.push_back(Effect::StandbysDie);
        }
        let restart = self.config.restart;
        let deaths = self.standbys.deaths_in_a_row();
        let pause = policy::backoff(restart.min_delay, restart.max_delay, deaths);
        let at = now.saturating_add(self.jitter.apply(pause));
        self.standbys.not_before = self.standbys.not_before.max(at);
    }

    /// Ends all standbys.
    pub(super) fn end_standbys(&mut self) {
        for standby in self.standbys.end_all() {
            self.effects.push_back(Effect::EndStandby { standby });
        }
    }
}
