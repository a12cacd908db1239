//! The driver's part in standbys.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Cause, Driver};
use crate::pool::ids::{Micros, StandbyId, WorkerKey};
use crate::pool::messages::Event;
use crate::process::{CallError, Target};
use crate::supervisor::report::{self, ExitReport};

impl Driver {
    /// Sends SIGKILL to all processes that stand by.
    pub(crate) fn kill_standbys(&self) {
        self.standbys.kill();
    }

    /// Takes the standbys that the supervisor thread has to start.
    pub(in crate::supervisor) fn take_standby_requests(&mut self) -> VecDeque<StandbyId> {
        self.standbys.take_requests()
    }

    /// Returns whether the pool still wants this standby.
    pub(in crate::supervisor) fn is_standby_wanted(&self, standby: StandbyId) -> bool {
        self.pool.is_standby_wanted(standby)
    }

    /// Takes in the process of a standby, and returns where its task learns which worker takes it.
    pub(in crate::supervisor) fn standby_spawned(
        &mut self,
        now: Micros,
        standby: StandbyId,
        target: Target,
    ) -> oneshot::Receiver<WorkerKey> {
        let ordered = self.standbys.add(standby, target);
        self.handle_for(now, Event::StandbySpawned { standby }, Cause::None);
        ordered
    }

    /// Takes in that the process of a standby is reaped or left behind, or that there is none.
    pub(in crate::supervisor) fn standby_ended(
        &mut self,
        now: Micros,
        standby: StandbyId,
        report: &ExitReport,
    ) {
        self.standbys.end(standby);
        let cause = Cause::Exit { report, violation_told: false };
        self.handle_for(now, Event::StandbyEnded { standby }, cause);
    }

    /// Tells JavaScript that the supervisor stops waiting for the exit of a standby.
    pub(in crate::supervisor) fn standby_left_behind(
        &mut self,
        pid: i32,
        after: Duration,
        error: Option<CallError>,
    ) {
        let after = Micros::try_from(after.as_micros()).unwrap_or(Micros::MAX);
        self.push_event(0, &report::left_behind(0, pid, after, error));
    }
}
