//! One worker process as the pool knows it, and the attempts that are under way in it.

use std::collections::VecDeque;

use crate::pool::config::{PoolConfig, Prefetch};
use crate::pool::ids::{AttemptId, Micros, TaskKey, Ticket, WorkerKey};
use crate::pool::key::Keys;
use crate::pool::lifecycle::{ExitReason, Life};
use crate::pool::messages::{Evidence, ForgedClaim};
use crate::pool::policy;

/// The worker is to be replaced by one that is started beside it.
#[derive(Clone, Copy, Debug)]
pub struct ReplacementPlan {
    /// What its `exit` will say.
    pub reason: ExitReason,
    /// As soon as the other is ready; otherwise once it has had all tasks that it may have.
    pub at_once: bool,
    /// The reason is a reload, which may be given up, and it is to be replaced without that as
    /// well: whether at once.
    pub otherwise: Option<bool>,
}

/// One process, from the decision to spawn it until it is gone.
#[derive(Debug)]
pub struct Worker {
    pub key: WorkerKey,
    pub life: Life,
    /// When it was decided upon.
    pub since: Micros,
    /// When it got ready.
    pub ready_at: Option<Micros>,
    /// Starts that it may still be sent.
    pub left: u64,
    /// Which reload it came with.
    pub generation: u32,
    /// Its place is given up: it ends what it runs, and leaves.
    pub retiring: bool,
    /// It is to be replaced.
    pub plan: Option<ReplacementPlan>,
    /// When it will be too old.
    pub replace_at: Option<Micros>,
    /// It had more memory resident than it may.
    pub over_memory: bool,
    /// Whether it takes its tasks by the claim word. Only such a worker is sent tasks ahead.
    pub claims: bool,
    pub tasks_done: u64,
    /// The last time it was sent something while idle, or said something.
    pub progress_at: Micros,
    /// It gave tasks back because it got on too slowly: nothing is sent ahead until it replies
    /// again.
    pub prefetch_suspended: bool,
    /// Since when it has not even taken up what it was due to run.
    pub unresponsive_since: Option<Micros>,
    /// Its process is dead, and what it left behind is being read.
    pub dead: bool,
    /// Of tasks that it has run.
    pub keys: Option<Box<Keys>>,
    /// It broke the protocol.
    pub violated: bool,
    /// It was not ready in time.
    pub missed_start: bool,
    /// It leaves because it closed its channel.
    pub hung_up: bool,
    /// It said that it cannot start, and whether trying again can help.
    pub refused: Option<bool>,
    /// It is being asked where it hangs, since this start is overdue; until when that may take.
    pub capture: Option<(AttemptId, Micros)>,
    /// Starts to be given up as soon as it is known which of them are running.
    pub reclaim: Vec<(AttemptId, CancelReason)>,
    /// Starts in the order in which they were sent, which is the order in which they are claimed.
    in_flight: VecDeque<InFlight>,
    epoch: u32,
    /// The claim word's count once all that were sent have started.
    sent: u32,
    /// The claim word's count is at least this, as replies have shown.
    known_started: u32,
    /// Sums over `in_flight`.
    predicted: Micros,
    bytes: usize,
    timed: usize,
    cancelled: usize,
}

/// One start of a task.
#[derive(Debug)]
pub struct InFlight {
    pub attempt_id: AttemptId,
    /// `None`: the task has ended without this reply.
    pub task: Option<TaskKey>,
    pub ticket: Ticket,
    pub handler: u8,
    pub timeout: Option<Micros>,
    /// On top of that, for the way to the worker.
    delivery_allowance: Micros,
    /// When it came to be among the first `concurrency`, so that a sound worker runs it.
    pub running_since: Option<Micros>,
    /// The deadline after so long was missed; the task ends once it is known where the worker
    /// hangs.
    pub overdue: Option<Micros>,
    /// With `task: None`: why, and when the worker is asked to die for it.
    pub cancelled: Option<(CancelReason, Micros)>,
    /// Values that it has given so far, of several.
    pub chunks: u64,
    predicted: Micros,
    size: usize,
    /// The claim word's count when this start is claimed.
    order: u32,
}

/// Why nobody waits for a start any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// The user gave the task up.
    Aborted,
    /// It ran longer than this.
    Overdue(Micros),
}

/// What a new start brings with it.
#[derive(Debug)]
pub struct NewAttempt {
    pub attempt_id: AttemptId,
    pub task: TaskKey,
    pub ticket: Ticket,
    pub handler: u8,
    pub timeout: Option<Micros>,
    pub delivery_allowance: Micros,
    pub predicted: Micros,
    pub size: usize,
}

impl Worker {
    pub fn new(key: WorkerKey, generation: u32, now: Micros, config: &PoolConfig) -> Self {
        Self {
            key,
            life: Life::Starting { deadline: now.saturating_add(config.start_timeout) },
            since: now,
            ready_at: None,
            left: config.max_tasks.unwrap_or(u64::MAX),
            generation,
            retiring: false,
            plan: None,
            replace_at: None,
            over_memory: false,
            claims: false,
            tasks_done: 0,
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
        }
    }

    /// For how long it has been ready.
    pub fn served(&self, now: Micros) -> Micros {
        self.ready_at.map_or(0, |at| now.saturating_sub(at))
    }

    /// For how long all that runs in it has been running.
    pub fn working(&self, now: Micros) -> Micros {
        self.in_flight
            .iter()
            .filter_map(|start| start.running_since)
            .map(|since| now.saturating_sub(since))
            .sum()
    }

    /// Starts under way.
    pub fn load(&self) -> usize {
        self.in_flight.len()
    }

    /// The starts under way, in the order in which they were sent.
    pub fn in_flight(&self) -> impl Iterator<Item = &InFlight> {
        self.in_flight.iter()
    }

    /// Whether it may be sent tasks. One that holds an abandoned start, or an overdue one, may soon
    /// be killed for it.
    pub fn takes_tasks(&self) -> bool {
        let sound = self.cancelled == 0 && self.capture.is_none();
        self.life.is_ready() && !self.dead && sound && self.left > 0 && !self.retiring
    }

    /// Whether tasks can count on it. One that has had all its tasks, and ended them, only waits
    /// for its successor.
    pub fn serves(&self) -> bool {
        self.life.is_ready() && (self.left > 0 || self.load() > 0)
    }

    /// Whether what it holds ahead is running low. Topped up any earlier, it would get its tasks
    /// one by one, each with a system call and a wake-up.
    pub fn runs_low(&self, config: &PoolConfig) -> bool {
        match config.prefetch {
            // Whoever fixes the number wants that number.
            Prefetch::Fixed(_) => true,
            Prefetch::Auto => {
                let low = self.load() <= config.concurrency + policy::PREFETCH_TASKS / 2
                    && self.predicted <= policy::PREFETCH_WORK / 2;
                low || self.load() <= config.concurrency
            }
        }
    }

    /// Whether a task may be sent ahead of the `share` that each worker would get of all there is.
    pub fn wants_prefetch(
        &self,
        config: &PoolConfig,
        share: usize,
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
                    true => self.predicted.max(predicted) <= policy::PREFETCH_ONE,
                    false => self.predicted + predicted <= policy::PREFETCH_WORK,
                };
                load < config.concurrency + policy::PREFETCH_TASKS - 1
                    && work
                    && self.bytes + size <= policy::PREFETCH_BYTES
            }
        }
    }

    /// The epoch that a frame carries, for workers which claim.
    pub fn epoch(&self) -> Option<u32> {
        self.claims.then_some(self.epoch)
    }

    /// The epoch that the claim word is in.
    pub fn current_epoch(&self) -> u32 {
        self.epoch
    }

    /// Takes in a start that is being sent.
    pub fn push(&mut self, start: NewAttempt, concurrency: usize, now: Micros) {
        let runs = self.load() < concurrency;
        if self.in_flight.is_empty() {
            self.progress_at = now;
        }
        self.predicted += start.predicted;
        self.bytes += start.size;
        self.timed += usize::from(start.timeout.is_some());
        self.in_flight.push_back(InFlight {
            attempt_id: start.attempt_id,
            task: Some(start.task),
            ticket: start.ticket,
            handler: start.handler,
            timeout: start.timeout,
            delivery_allowance: start.delivery_allowance,
            running_since: runs.then_some(now),
            overdue: None,
            cancelled: None,
            chunks: 0,
            predicted: start.predicted,
            size: start.size,
            order: self.sent,
        });
        self.sent = self.sent.wrapping_add(1);
        self.left -= 1;
    }

    /// The start of this number, if it is under way here.
    pub fn find(&mut self, attempt_id: AttemptId) -> Option<&mut InFlight> {
        let index = self.index(attempt_id)?;
        self.in_flight.get_mut(index)
    }

    /// A reply to this start has arrived: it is no longer under way, and what is behind it moves
    /// up.
    pub fn finish(
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

    /// This start is overdue by `limit`, and its task ends once the worker has been asked where it
    /// hangs. Whether there is any use in asking: not if it is about to be killed.
    pub fn hold(&mut self, attempt_id: AttemptId, limit: Micros) -> bool {
        if self.cancelled > 0 || self.life.is_forced() {
            return false;
        }
        let Some(start) = self.find(attempt_id).filter(|start| start.task.is_some()) else {
            return false;
        };
        start.overdue = Some(limit);
        let timed = start.timeout.take().is_some();
        self.timed -= usize::from(timed);
        true
    }

    /// Nobody waits for this start any more. The task it belonged to.
    pub fn cancel(
        &mut self,
        attempt_id: AttemptId,
        why: CancelReason,
        kill_at: Micros,
    ) -> Option<TaskKey> {
        let index = self.index(attempt_id)?;
        let start = self.in_flight.get_mut(index)?;
        let task = start.task.take()?;
        start.cancelled = Some((why, kill_at));
        start.overdue = None;
        self.timed -= usize::from(start.timeout.take().is_some());
        self.cancelled += 1;
        Some(task)
    }

    /// The claim word was moved on at `started`: all later starts never happened and never will.
    /// They, in order.
    pub fn reclaim(
        &mut self,
        started: Result<u32, ForgedClaim>,
    ) -> Result<Vec<InFlight>, ForgedClaim> {
        let started = started?;
        // Only what lies between what replies have shown and what was sent can be true.
        if is_after(self.known_started, started) || is_after(started, self.sent) {
            return Err(ForgedClaim);
        }
        let keep = self.in_flight.partition_point(|start| is_after(started, start.order));
        let back: Vec<_> = self.in_flight.drain(keep..).collect();
        for start in &back {
            self.forget(start);
        }
        self.epoch = self.epoch.wrapping_add(1);
        // What never started does not use it up.
        self.left += back.len() as u64;
        self.sent = started;
        self.known_started = started;
        Ok(back)
    }

    /// The worker is dead: its starts, each with whether it may have begun.
    pub fn settle(&mut self, evidence: &Evidence) -> Vec<(InFlight, bool)> {
        let unwritten: &[AttemptId] = match evidence {
            Evidence::Unwritten(starts) => starts,
            Evidence::Claims(_) => &[],
        };
        let never = match evidence {
            Evidence::Claims(started) if self.claims => self.reclaim(*started).unwrap_or_default(),
            _ => Vec::new(),
        };
        let begun = std::mem::take(&mut self.in_flight).into_iter().map(|start| {
            let maybe = !unwritten.contains(&start.attempt_id);
            (start, maybe)
        });
        begun.chain(never.into_iter().map(|start| (start, false))).collect()
    }

    /// When the first of its running tasks is overdue.
    pub fn task_deadline(&self, concurrency: usize) -> Option<Micros> {
        if self.timed == 0 {
            return None;
        }
        self.in_flight.iter().take(concurrency).filter_map(InFlight::deadline).min()
    }

    /// When the worker is to die for a start that nobody waits for any more.
    pub fn kill_deadline(&self) -> Option<Micros> {
        if self.cancelled == 0 || !self.life.is_ready() {
            return None;
        }
        self.in_flight.iter().filter_map(|start| start.cancelled.map(|(_, at)| at)).min()
    }

    /// When what was sent ahead is to be taken back for want of progress.
    pub fn stall_deadline(&self, concurrency: usize) -> Option<Micros> {
        (self.claims && self.life.is_ready() && self.load() > concurrency)
            .then_some(self.progress_at + policy::STALL)
    }

    fn index(&self, attempt_id: AttemptId) -> Option<usize> {
        // Numbers are given out in ascending order, and replies mostly come in the order of the
        // starts.
        match self.in_flight.front() {
            Some(first) if first.attempt_id == attempt_id => Some(0),
            _ => self.in_flight.binary_search_by_key(&attempt_id, |start| start.attempt_id).ok(),
        }
    }

    fn forget(&mut self, start: &InFlight) {
        self.predicted -= start.predicted;
        self.bytes -= start.size;
        self.timed -= usize::from(start.timeout.is_some());
        self.cancelled -= usize::from(start.cancelled.is_some());
    }
}

impl InFlight {
    /// When this start is overdue.
    pub fn deadline(&self) -> Option<Micros> {
        Some(
            self.running_since?
                .saturating_add(self.timeout?)
                .saturating_add(self.delivery_allowance),
        )
    }
}

/// Whether `a` comes after `b` among numbers that wrap around.
fn is_after(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < u32::MAX / 2
}
