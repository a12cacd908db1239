//! The processes that stand by: started ahead, and not yet workers. A standby has no slot and no
//! module. Which process it is shows only when a slot takes it.

use crate::pool::config::PoolConfig;
use crate::pool::ids::{Micros, StandbyId};
use crate::pool::policy::RestartBudget;

/// One process, from the decision to start it until a slot takes it or it is reaped.
#[derive(Debug)]
struct Standby {
    id: StandbyId,
    /// The time of the decision to start it.
    since: Micros,
    stage: Stage,
}

/// How far a standby has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The process is requested, and may not exist yet.
    Requested,
    /// The process exists. Whether it has booted is unknown: it says nothing before `init`.
    Waiting,
    /// The process is not wanted any more.
    Ending,
}

/// All standbys of a pool, and when another may start.
#[derive(Debug, Default)]
pub(crate) struct Standbys {
    /// The oldest first.
    all: Vec<Standby>,
    started: u32,
    /// The earliest time of the next start.
    pub not_before: Micros,
    deaths: RestartBudget,
    /// True if too many standbys have died unused. None is started until a worker gets ready.
    given_up: bool,
    /// True if a start from a standby has failed. None is taken until a worker gets ready.
    distrusted: bool,
    /// True if the deaths of standbys were told.
    told: bool,
}

impl Standbys {
    /// Returns whether no process is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the number of standbys that exist.
    pub(crate) fn waiting(&self) -> usize {
        self.all.iter().filter(|standby| standby.stage == Stage::Waiting).count()
    }

    /// Returns whether another standby may be requested: there are fewer than `wanted`, they do not
    /// die, and the last one exists.
    pub(crate) fn lacks(&self, wanted: usize) -> bool {
        let pending = || self.all.iter().any(|standby| standby.stage == Stage::Requested);
        self.waiting() < wanted && !self.given_up && !pending()
    }

    /// Returns whether a start from a standby is possible.
    pub(crate) fn is_any_usable(&self) -> bool {
        !self.distrusted && self.waiting() > 0
    }

    /// Adds a standby that is requested now. The next one starts no earlier than after `pause`.
    pub(crate) fn request(&mut self, now: Micros, pause: Micros) -> StandbyId {
        self.started += 1;
        self.not_before = now.saturating_add(pause);
        let id = StandbyId(self.started);
        self.all.push(Standby { id, since: now, stage: Stage::Requested });
        id
    }

    /// Takes in that the process exists, and returns whether it is still wanted.
    pub(crate) fn spawned(&mut self, id: StandbyId) -> bool {
        let Some(standby) = self.all.iter_mut().find(|standby| standby.id == id) else {
            return false;
        };
        if standby.stage == Stage::Requested {
            standby.stage = Stage::Waiting;
        }
        standby.stage == Stage::Waiting
    }

    /// Returns whether the pool still wants a process for this standby.
    pub(crate) fn is_wanted(&self, id: StandbyId) -> bool {
        self.all.iter().any(|standby| standby.id == id && standby.stage != Stage::Ending)
    }

    /// Takes the oldest standby that exists, which becomes a worker.
    pub(crate) fn take(&mut self) -> Option<StandbyId> {
        if self.distrusted {
            return None;
        }
        let index = self.all.iter().position(|standby| standby.stage == Stage::Waiting)?;
        Some(self.all.remove(index).id)
    }

    /// Ends all standbys, and returns those that exist.
    pub(crate) fn end_all(&mut self) -> Vec<StandbyId> {
        let mut existing = Vec::new();
        for standby in &mut self.all {
            existing.extend((standby.stage == Stage::Waiting).then_some(standby.id));
            standby.stage = Stage::Ending;
        }
        existing
    }

    /// Removes a standby whose process is gone, or could not be started. Returns since when it was
    /// wanted, if it still was.
    pub(crate) fn remove(&mut self, id: StandbyId) -> Option<Micros> {
        let index = self.all.iter().position(|standby| standby.id == id)?;
        let standby = self.all.remove(index);
        (standby.stage != Stage::Ending).then_some(standby.since)
    }

    /// Counts a standby that died unused after `lived`, and returns whether the pool tells of it.
    /// One that lived for longer than a start may take had booted, so its death says nothing about
    /// earlier ones.
    pub(crate) fn died(&mut self, now: Micros, lived: Micros, config: &PoolConfig) -> bool {
        if lived > config.start_timeout {
            self.deaths.succeed();
        }
        let spent = self.deaths.spend(now, &config.restart);
        self.given_up |= spent;
        spent && !std::mem::replace(&mut self.told, true)
    }

    /// Returns the number of deaths in a row.
    pub(crate) fn deaths_in_a_row(&self) -> usize {
        self.deaths.in_a_row()
    }

    /// Distrusts standbys, because a start from one has failed.
    pub(crate) fn distrust(&mut self) {
        self.distrusted = true;
    }

    /// Takes in that a worker got ready: processes do start here.
    pub(crate) fn worker_ready(&mut self) {
        (self.given_up, self.distrusted) = (false, false);
        self.deaths.succeed();
    }
}
