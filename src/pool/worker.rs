//! One worker process as the pool knows it, and the attempts that are under way in it.

use std::collections::VecDeque;

use crate::pool::config::{PoolConfig, Prefetch};
use crate::pool::ids::{AttemptId, Micros, TaskKey, Ticket, WorkerKey};
use crate::pool::key::Keys;
use crate::pool::lifecycle::{ExitReason, Life};
use crate::pool::messages::{Evidence, ForgedClaim};
use crate::pool::policy;

/// How a worker is replaced by a successor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplacementPlan {
    /// The reason of the worker's `exit`.
    pub reason: ExitReason,
    /// True if the successor takes over as soon as it is ready; otherwise once the worker has had
    /// all its tasks.
    pub at_once: bool,
    /// The plan without the reload: `at_once`, if the worker is replaced even when the reload
    /// fails.
    pub otherwise: Option<bool>,
}

/// One process, from the decision to spawn it until it is reaped.
#[derive(Debug)]
pub(crate) struct Worker {
    pub key: WorkerKey,
    pub life: Life,
    /// The time of the decision to start the worker.
    pub since: Micros,
    /// The time at which the worker got ready.
    pub ready_at: Option<Micros>,
    /// Attempts that the worker may still be sent.
    pub left: u64,
    /// The number of reloads before the worker started.
    pub generation: u32,
    /// True if the worker's process stood by.
    pub from_standby: bool,
    /// True if the worker's slot was given up: the worker ends what it runs, and stops.
    pub retiring: bool,
    /// The worker's replacement, if one is scheduled.
    pub plan: Option<ReplacementPlan>,
    /// When the worker reaches its maximum age.
    pub replace_at: Option<Micros>,
    /// True if the worker used more memory than it may.
    pub over_memory: bool,
    /// True if the worker claims its tasks by the claim word. Only such a worker is prefetched to.
    pub claims: bool,
    pub tasks_done: u64,
    /// The measured run time of the last task that the worker replied to.
    pub last_run: Option<Micros>,
    /// The last time that the worker was sent a task while idle, or replied.
    pub progress_at: Micros,
    /// True if the worker gave tasks back because it made no progress: prefetching resumes with
    /// its next reply.
    pub prefetch_suspended: bool,
    /// When the worker first failed to claim a task that it should be running; cleared by its next
    /// reply.
    pub unresponsive_since: Option<Micros>,
    /// True if the process is dead, while the replies that it left behind are being read.
    pub dead: bool,
    /// The affinity keys of the tasks that the worker has run.
    pub keys: Option<Box<Keys>>,
    /// True if the worker broke the protocol.
    pub violated: bool,
    /// True if the worker was killed because it was not ready in time.
    pub missed_start: bool,
    /// True if the worker stops because it closed its channel.
    pub hung_up: bool,
    /// Set if the worker reported that it cannot start: whether that is permanent.
    pub refused: Option<bool>,
    /// The overdue attempt for which the worker is being asked where it hangs, and until when that
    /// may take.
    pub capture: Option<(AttemptId, Micros)>,
    /// Attempts to cancel as soon as it is known which of them are running.
    pub reclaim: Vec<(AttemptId, CancelReason)>,
    /// Attempts in the order in which they were sent, which is the order of their claims.
    in_flight: VecDeque<InFlight>,
    epoch: u32,
    /// The claim word's count once all sent attempts have started.
    sent: u32,
    /// The least count of the claim word, as replies have shown.
    known_started: u32,
    /// Sums over `in_flight`.
    predicted: Micros,
    bytes: usize,
    timed: usize,
    cancelled: usize,
    /// The number of attempts in `in_flight` by step of patience.
    patience: [usize; policy::PATIENCE_STEPS],
    /// The work that the worker could hold ahead when it was last sent a task ahead.
    ahead: Micros,
    /// The time for which the worker may hold results (µs), as it was told.
    pub hold: Micros,
}

/// One attempt of a task that is under way.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub attempt_id: AttemptId,
    /// `None`: the task has ended without this reply.
    pub task: Option<TaskKey>,
    pub ticket: Ticket,
    pub handler: u8,
    pub timeout: Option<Micros>,
    /// Time on top of `timeout` for the worker to claim the task.
    delivery_allowance: Micros,
    /// When the attempt became one of the first `concurrency`, which a sound worker runs.
    pub running_since: Option<Micros>,
    /// The time limit that was missed (µs); the task ends once it is known where the worker hangs.
    pub overdue: Option<Micros>,
    /// With `task: None`: why the attempt was cancelled, and when the worker is stopped for it.
    pub cancelled: Option<(CancelReason, Micros)>,
    /// Values that the attempt has given so far, of several.
    pub chunks: u64,
    predicted: Micros,
    size: usize,
    /// The step of [`policy::patience`] that the result may wait for.
    pub patience: u8,
    /// The claim word's count when this attempt is claimed.
    order: u32,
}

/// Why an attempt was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelReason {
    /// The user aborted the task.
    Aborted,
    /// The task ran longer than this limit (µs).
    Overdue(Micros),
}

/// The facts of an attempt when it is sent.
#[derive(Debug)]
pub(crate) struct NewAttempt {
    pub attempt_id: AttemptId,
    pub task: TaskKey,
    pub ticket: Ticket,
    pub handler: u8,
    pub timeout: Option<Micros>,
    pub delivery_allowance: Micros,
    pub predicted: Micros,
    pub size: usize,
    pub patience: u8,
}

impl Worker {
    pub(crate) fn new(key: WorkerKey, generation: u32, now: Micros, config: &PoolConfig) -> Self {
        Self {
            key,
            life: Life::Starting { deadline: now.saturating_add(config.start_timeout) },
            since: now,
            ready_at: None,
            left: config.max_tasks.unwrap_or(u64::MAX),
            generation,
            from_standby: false,
            retiring: false,
            plan: None,
            replace_at: None,
            over_memory: false,
            claims: false,
            tasks_done: 0,
            last_run: None,
            progress_at: now,
            prefetch_suspended: false,
            unresponsive_since: None,
            dead: false,
            keys: None,
            violated: false,
            missed_start: false,
            hung_up: false,
            refused: None,
            capture: None,
            reclaim: Vec::new(),
            in_flight: VecDeque::new(),
            epoch: 0,
            sent: 0,
            known_started: 0,
            predicted: 0,
            bytes: 0,
            timed: 0,
            cancelled: 0,
            patience: [0; policy::PATIENCE_STEPS],
            ahead: policy::PREFETCH_WORK,
            hold: 0,
        }
    }

    /// Returns for how long the worker has been ready.
    pub(crate) fn served(&self, now: Micros) -> Micros {
        self.ready_at.map_or(0, |at| now.saturating_sub(at))
    }

    /// Returns the sum of the run times so far of all running attempts.
    pub(crate) fn working(&self, now: Micros) -> Micros {
        self.in_flight
            .iter()
            .filter_map(|attempt| attempt.running_since)
            .map(|since| now.saturating_sub(since))
            .sum()
    }

    /// Returns the number of attempts under way.
    pub(crate) fn load(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the attempts under way, in the order in which they were sent.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = &InFlight> {
        self.in_flight.iter()
    }

    /// Returns whether the worker may be sent tasks. A worker with a cancelled or overdue attempt
    /// may soon be stopped for it.
    pub(crate) fn takes_tasks(&self) -> bool {
        let sound = self.cancelled == 0 && self.capture.is_none();
        self.life.is_ready() && !self.dead && sound && self.left > 0 && !self.retiring
    }

    /// Returns whether the worker serves tasks. A worker that has ended all its tasks only waits
    /// for its successor.
    pub(crate) fn serves(&self) -> bool {
        self.life.is_ready() && (self.left > 0 || self.load() > 0)
    }

    /// Returns whether few prefetched tasks are left. Topped up any earlier, the worker would get
    /// its tasks one by one, each with a system call and a wake-up.
    pub(crate) fn runs_low(&self, config: &PoolConfig) -> bool {
        match config.prefetch {
            // A fixed number is kept exactly.
            Prefetch::Fixed(_) => true,
            Prefetch::Auto => {
                let low = self.load() <= config.concurrency + policy::PREFETCH_TASKS / 2
                    && self.predicted <= self.ahead / 2;
                low || self.load() <= config.concurrency
            }
        }
    }

    /// Returns whether the worker may be sent a task ahead. `share`: the number of tasks that each
    /// worker would hold if all were spread evenly. `ahead`: the work that it may then hold.
    pub(crate) fn wants_prefetch(
        &self,
        config: &PoolConfig,
        share: usize,
        ahead: Micros,
        predicted: Micros,
        size: usize,
    ) -> bool {
        let load = self.load();
        if !self.claims || self.prefetch_suspended || load >= share || !self.takes_tasks() {
            return false;
        }
        match config.prefetch {
            Prefetch::Fixed(tasks) => load < config.concurrency + tasks - 1,
            Prefetch::Auto => {
                let work = match load <= config.concurrency {
                    true => self.predicted.max(predicted) <= ahead.max(policy::PREFETCH_ONE),
                    false => self.predicted + predicted <= ahead,
                };
                load < config.concurrency + policy::PREFETCH_TASKS - 1
                    && work
                    && self.bytes + size <= policy::PREFETCH_BYTES
            }
        }
    }

    /// Returns whether the worker has replied to a short task, and holds only little work.
    pub(crate) fn has_short_tasks(&self) -> bool {
        let ran_short = self.last_run.is_some_and(|run| run <= policy::LED_WORK);
        ran_short && self.predicted <= policy::LED_WORK && self.life.is_ready() && !self.dead
    }

    /// Returns the epoch in the frames to this worker, if it claims its tasks.
    pub(crate) fn epoch(&self) -> Option<u32> {
        self.claims.then_some(self.epoch)
    }

    /// Returns the current epoch of the claim word.
    pub(crate) fn current_epoch(&self) -> u32 {
        self.epoch
    }

    /// Adds an attempt that is being sent.
    pub(crate) fn push(&mut self, attempt: NewAttempt, concurrency: usize, now: Micros) {
        let runs = self.load() < concurrency;
        if self.in_flight.is_empty() {
            self.progress_at = now;
        }
        self.predicted += attempt.predicted;
        self.bytes += attempt.size;
        self.timed += usize::from(attempt.timeout.is_some());
        self.patience[usize::from(attempt.patience)] += 1;
        self.in_flight.push_back(InFlight {
            attempt_id: attempt.attempt_id,
            task: Some(attempt.task),
            ticket: attempt.ticket,
            handler: attempt.handler,
            timeout: attempt.timeout,
            delivery_allowance: attempt.delivery_allowance,
            running_since: runs.then_some(now),
            overdue: None,
            cancelled: None,
            chunks: 0,
            predicted: attempt.predicted,
            size: attempt.size,
            patience: attempt.patience,
            order: self.sent,
        });
        self.sent = self.sent.wrapping_add(1);
        self.left -= 1;
    }

    /// Finds the attempt of this id.
    pub(crate) fn find(&mut self, attempt_id: AttemptId) -> Option<&mut InFlight> {
        let index = self.index(attempt_id)?;
        self.in_flight.get_mut(index)
    }

    /// Removes an attempt that was replied to. The attempts behind it move up.
    pub(crate) fn finish(
        &mut self,
        attempt_id: AttemptId,
        concurrency: usize,
        now: Micros,
    ) -> Option<InFlight> {
        let index = self.index(attempt_id)?;
        let done = self.in_flight.remove(index)?;
        self.forget(&done);
        let claimed = done.order.wrapping_add(1);
        if is_after(claimed, self.known_started) {
            self.known_started = claimed;
        }
        if index < concurrency
            && let Some(next) = self.in_flight.get_mut(concurrency - 1)
        {
            next.running_since.get_or_insert(now);
        }
        self.progress_at = now;
        self.prefetch_suspended = false;
        self.unresponsive_since = None;
        Some(done)
    }

    /// Keeps the task of an overdue attempt until the worker was asked where it hangs. Returns
    /// whether asking is of any use: not if the worker is about to be stopped.
    pub(crate) fn hold(&mut self, attempt_id: AttemptId, limit: Micros) -> bool {
        if self.cancelled > 0 || self.life.is_forced() {
            return false;
        }
        let Some(attempt) = self.find(attempt_id).filter(|attempt| attempt.task.is_some()) else {
            return false;
        };
        attempt.overdue = Some(limit);
        let timed = attempt.timeout.take().is_some();
        self.timed -= usize::from(timed);
        true
    }

    /// Cancels an attempt, and returns its task.
    pub(crate) fn cancel(
        &mut self,
        attempt_id: AttemptId,
        why: CancelReason,
        kill_at: Micros,
    ) -> Option<TaskKey> {
        let index = self.index(attempt_id)?;
        let attempt = self.in_flight.get_mut(index)?;
        let task = attempt.task.take()?;
        attempt.cancelled = Some((why, kill_at));
        attempt.overdue = None;
        self.timed -= usize::from(attempt.timeout.take().is_some());
        self.cancelled += 1;
        Some(task)
    }

    /// Returns whether the worker is known to have claimed a task after that of this attempt.
    pub(crate) fn has_claimed_another(&self, attempt_id: AttemptId) -> bool {
        let is_older = |index: usize| {
            is_after(self.known_started, self.in_flight[index].order.wrapping_add(1))
        };
        self.claims && self.index(attempt_id).is_some_and(is_older)
    }

    /// The claim word was moved on at the count `started`: later attempts never started and never
    /// will. Removes and returns them, in order.
    pub(crate) fn reclaim(
        &mut self,
        started: Result<u32, ForgedClaim>,
    ) -> Result<Vec<InFlight>, ForgedClaim> {
        let started = started?;
        // A true count lies between what replies have shown and what was sent.
        if is_after(self.known_started, started) || is_after(started, self.sent) {
            return Err(ForgedClaim);
        }
        let keep = self.in_flight.partition_point(|attempt| is_after(started, attempt.order));
        let back: Vec<_> = self.in_flight.drain(keep..).collect();
        for attempt in &back {
            self.forget(attempt);
        }
        self.epoch = self.epoch.wrapping_add(1);
        // Attempts that never started do not use the worker up.
        self.left += back.len() as u64;
        self.sent = started;
        self.known_started = started;
        Ok(back)
    }

    /// Removes all attempts of a dead worker. Returns each with whether it may have started.
    pub(crate) fn settle(&mut self, evidence: &Evidence) -> Vec<(InFlight, bool)> {
        let unwritten: &[AttemptId] = match evidence {
            Evidence::Unwritten(attempts) => attempts,
            Evidence::Claims(_) => &[],
        };
        let never = match evidence {
            Evidence::Claims(started) if self.claims => self.reclaim(*started).unwrap_or_default(),
            _ => Vec::new(),
        };
        let begun = std::mem::take(&mut self.in_flight).into_iter().map(|attempt| {
            let maybe = !unwritten.contains(&attempt.attempt_id);
            (attempt, maybe)
        });
        begun.chain(never.into_iter().map(|attempt| (attempt, false))).collect()
    }

    /// Returns the time at which the first running task is overdue.
    pub(crate) fn task_deadline(&self, concurrency: usize) -> Option<Micros> {
        if self.timed == 0 {
            return None;
        }
        self.in_flight.iter().take(concurrency).filter_map(InFlight::deadline).min()
    }

    /// Returns the time at which the worker is stopped for a cancelled attempt.
    pub(crate) fn kill_deadline(&self) -> Option<Micros> {
        if self.cancelled == 0 || !self.life.is_ready() {
            return None;
        }
        self.in_flight.iter().filter_map(|attempt| attempt.cancelled.map(|(_, at)| at)).min()
    }

    /// Returns the time at which prefetched tasks are reclaimed because the worker makes no
    /// progress.
    pub(crate) fn stall_deadline(&self, concurrency: usize) -> Option<Micros> {
        (self.claims && self.life.is_ready() && self.load() > concurrency)
            .then_some(self.progress_at + policy::stall(self.ahead))
    }

    /// Notes that the worker is sent a task ahead while it may hold this much work.
    pub(crate) fn extend_ahead(&mut self, ahead: Micros) {
        self.ahead = ahead;
    }

    /// Returns the time (µs) for which the worker may hold results: that of the least patient of
    /// its attempts.
    pub(crate) fn patience(&self) -> Micros {
        let least = (0..).zip(&self.patience).find(|&(_, &attempts)| attempts > 0);
        least.map_or(0, |(step, _)| policy::held_by_worker(step))
    }

    fn index(&self, attempt_id: AttemptId) -> Option<usize> {
        // Attempt ids ascend, and replies mostly come in the order of the attempts.
        match self.in_flight.front() {
            Some(first) if first.attempt_id == attempt_id => Some(0),
            _ => {
                self.in_flight.binary_search_by_key(&attempt_id, |attempt| attempt.attempt_id).ok()
            }
        }
    }

    fn forget(&mut self, attempt: &InFlight) {
        self.predicted -= attempt.predicted;
        self.bytes -= attempt.size;
        self.timed -= usize::from(attempt.timeout.is_some());
        self.cancelled -= usize::from(attempt.cancelled.is_some());
        self.patience[usize::from(attempt.patience)] -= 1;
    }
}

impl InFlight {
    /// Returns the time at which this attempt is overdue. A result that was there in time, and
    /// that the worker was allowed to hold, has been written by then.
    pub(crate) fn deadline(&self) -> Option<Micros> {
        Some(
            self.running_since?
                .saturating_add(self.timeout?)
                .saturating_add(self.delivery_allowance)
                .saturating_add(policy::held_by_worker(self.patience)),
        )
    }
}

/// Returns whether `a` comes after `b` among numbers that wrap around.
fn is_after(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < u32::MAX / 2
}
