//! Stopping workers, and the shutdown of the pool.

use crate::pool::ids::{Micros, WorkerKey};
use crate::pool::lifecycle::{Action, Escalation, ExitReason, Life};
use crate::pool::messages::{ClosedReport, Effect, Failure};
use crate::pool::state::{Phase, Pool};

impl Pool {
    pub(super) fn begin_stop(
        &mut self,
        now: Micros,
        key: WorkerKey,
        reason: ExitReason,
        from: Escalation,
    ) {
        self.begin_stop_within(now, key, reason, from, self.config.grace_period);
    }

    pub(super) fn begin_stop_within(
        &mut self,
        now: Micros,
        key: WorkerKey,
        reason: ExitReason,
        from: Escalation,
        grace: Micros,
    ) {
        let Some(worker) = self.worker(key) else { return };
        // A worker that never got ready has failed to start, however that was noticed, unless the
        // pool no longer wants it.
        let reason = match (worker.life, reason) {
            (Life::Starting { .. }, ExitReason::Crashed | ExitReason::Memory) => {
                ExitReason::Startup
            }
            (_, reason) => reason,
        };
        let action = worker.life.begin_stop(reason, from, now, grace);
        let reclaims = worker.claims && worker.load() > 0;
        self.perform_stop_action(key, action);
        if action != Action::Wait && reclaims {
            // Tasks that the worker has not claimed need not wait for its end.
            self.reclaim(key);
        }
    }

    pub(super) fn perform_stop_action(&mut self, worker: WorkerKey, action: Action) {
        let effect = match action {
            Action::Stop => Effect::Stop { worker },
            Action::Terminate => Effect::Terminate { worker },
            Action::Kill => {
                self.killed += 1;
                Effect::Kill { worker }
            }
            Action::Wait => return,
        };
        self.effects.push_back(effect);
    }

    pub(super) fn kill_all(&mut self, now: Micros, reason: ExitReason) {
        self.end_standbys();
        for slot in &mut self.slots {
            slot.restart_at = None;
        }
        for (key, _) in self.lives() {
            self.begin_stop(now, key, reason, Escalation::Sigkill);
        }
    }

    pub(super) fn shutdown(&mut self, now: Micros, drop_waiting: bool, timeout: Option<Micros>) {
        let limit = timeout.map(|timeout| now.saturating_add(timeout));
        match &mut self.phase {
            Phase::Closed => return,
            Phase::Closing { drop_waiting: dropping, deadline, .. } => {
                // A later call may only be stricter than the earlier one.
                *dropping |= drop_waiting;
                *deadline = [*deadline, limit].into_iter().flatten().min();
            }
            phase @ (Phase::Idle | Phase::Open | Phase::Broken) => {
                *phase = Phase::Closing { drop_waiting, deadline: limit, terminated: false };
                self.restart_report();
                self.end_standbys();
            }
        }
        if drop_waiting {
            self.fail_waiting(|maybe_executed| Failure::Closed { maybe_executed });
            for slot in 0..self.slots.len() {
                if let Some(worker) =
                    self.slots[slot].worker.as_ref().filter(|worker| worker.claims)
                {
                    self.reclaim(worker.key);
                }
            }
        }
    }

    pub(super) fn terminate(&mut self, now: Micros) {
        match self.phase {
            Phase::Closed | Phase::Closing { terminated: true, .. } => return,
            Phase::Closing { .. } => {}
            Phase::Idle | Phase::Open | Phase::Broken => self.restart_report(),
        }
        self.phase = Phase::Closing { drop_waiting: true, deadline: None, terminated: true };
        self.fail_waiting(|maybe_executed| Failure::Closed { maybe_executed });
        // Tasks at the workers end when their processes are gone: then it is known which had
        // started.
        self.kill_all(now, ExitReason::Shutdown);
    }

    /// Begins the report of the shutdown, which comes with [`Effect::Closed`].
    pub(super) fn restart_report(&mut self) {
        self.tasks.restart_report();
        self.killed = 0;
    }

    /// Stops the workers once no task is left, and closes the pool once they are gone.
    pub(super) fn close_if_done(&mut self, now: Micros) {
        if !matches!(self.phase, Phase::Closing { .. }) || !self.tasks.is_empty() {
            return;
        }
        for slot in &mut self.slots {
            slot.restart_at = None;
        }
        for (key, life) in self.lives() {
            match life {
                // A starting worker does not read its channel yet.
                Life::Starting { .. } => {
                    self.begin_stop(now, key, ExitReason::Shutdown, Escalation::Sigterm)
                }
                Life::Ready => self.begin_stop(now, key, ExitReason::Shutdown, Escalation::Asked),
                Life::Stopping { .. } => {}
            }
        }
        if self.live() == 0 && self.standbys.is_empty() {
            self.phase = Phase::Closed;
            self.effects.push_back(Effect::Closed(ClosedReport {
                killed: self.killed,
                ..self.tasks.report()
            }));
        }
    }
}
