//! The policy of a pool as a pure state machine. [`Pool::handle`] takes an event and the time and
//! queues effects; [`Pool::dispatch`] gives waiting tasks to workers. There is no clock, no I/O and
//! no runtime. So every order of replies, deaths, time-outs and shutdowns can be played in a test.
//!
//! The pool keeps these promises. Every accepted task gets exactly one `Complete` or `Fail`. A task
//! that may have started is started again only if its retries allow it. A task that provably never
//! started goes back to the front of the queue. Tasks are sent by priority and in the order of
//! acceptance. A worker's `Exit` comes after everything that it did.
//!
//! [`replacement`] is the one way to replace a sound worker: the worker goes on until its successor
//! is ready. [`resize`] changes the number of workers, [`reload`] replaces all of them,
//! [`affinity`] keeps tasks of one key together. [`standby`] starts processes ahead. [`timers`]
//! holds all deadlines.

mod affinity;
mod dispatch;
mod overdue;
mod reload;
mod replacement;
mod resize;
#[cfg(test)]
mod soundness;
mod standby;
mod starting;
mod stopping;
mod task_events;
mod timers;
mod worker_events;

use std::collections::VecDeque;

use crate::pool::config::PoolConfig;
use crate::pool::ids::{AttemptId, Micros, StandbyId, TaskKey, Ticket, WorkerKey};
use crate::pool::lifecycle::{ExitReason, Life};
use crate::pool::messages::{Body, Effect, Event};
use crate::pool::policy::{Jitter, Predictor, RestartBudget};
use crate::pool::slot::Slot;
use crate::pool::standbys::Standbys;
use crate::pool::tasks::{Counters, TaskTable};
use crate::pool::timing::{Spread, Timing};
use crate::pool::worker::Worker;

/// The phase of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No worker was asked for yet.
    Idle,
    Open,
    Closing {
        /// True if tasks that have not started end with `Closed`.
        drop_waiting: bool,
        deadline: Option<Micros>,
        /// True if all workers were killed; running tasks end with `Closed`.
        terminated: bool,
    },
    /// Workers do not get ready, and every task ends with `Broken`.
    Broken,
    Closed,
}

/// The trust in further starts, as the last ones have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Workers get ready, or may.
    Given,
    /// Enough starts have failed to break the pool, and no worker serves. Starts under way may
    /// still succeed, and no other begins until they have succeeded or failed.
    Suspended,
    /// The pool is broken, and has told so. It stays broken while it closes.
    Lost,
}

/// How long tasks wait and run.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub wait: Spread,
    pub run: Spread,
    /// The part of the workers' time that tasks used, from 0 to 1.
    pub utilization: f64,
}

/// One worker, for `stats()`.
#[derive(Clone, Debug)]
pub struct WorkerRow {
    pub key: WorkerKey,
    /// `starting`, `idle`, `busy` or `stopping`.
    pub state: &'static str,
    pub running: Vec<Ticket>,
    pub tasks_done: u64,
    /// The number of earlier processes of this slot.
    pub restarts: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pool {
    config: PoolConfig,
    phase: Phase,
    tasks: TaskTable,
    slots: Vec<Slot>,
    standbys: Standbys,
    predictor: Predictor,
    budget: RestartBudget,
    jitter: Jitter,
    next_attempt: AttemptId,
    /// A moving average of the time from the decision to start a worker from scratch to its
    /// readiness (µs).
    start_time: Micros,
    /// The same of starts from a standby.
    standby_start_time: Micros,
    trust: Trust,
    /// True if `Short` was told.
    short: bool,
    /// When the oldest waiting task will have waited for long enough to start another worker.
    grow_at: Option<Micros>,
    /// True if some worker is being replaced.
    replacing: bool,
    /// The request that is changing the number of workers.
    resizing: Option<u32>,
    /// The request that is replacing all workers.
    reloading: Option<u32>,
    /// The number of reloads so far.
    generation: u32,
    /// True if `Started` was told.
    started: bool,
    timing: Timing,
    /// Workers that needed SIGKILL, since shutdown began.
    killed: u64,
    effects: VecDeque<Effect>,
}

impl Pool {
    /// Makes a pool without a worker and without a task.
    pub(crate) fn new(config: PoolConfig) -> Self {
        let slots = (0..config.max_workers).map(|_| Slot::default()).collect();
        let jitter = Jitter::new(config.seed);
        Self {
            config,
            phase: Phase::Idle,
            tasks: TaskTable::default(),
            slots,
            standbys: Standbys::default(),
            predictor: Predictor::default(),
            budget: RestartBudget::default(),
            jitter,
            next_attempt: 1,
            start_time: 0,
            standby_start_time: 0,
            trust: Trust::Given,
            short: false,
            grow_at: None,
            replacing: false,
            resizing: None,
            reloading: None,
            generation: 0,
            started: false,
            timing: Timing::default(),
            killed: 0,
            effects: VecDeque::new(),
        }
    }

    /// Handles an event. The caller performs the effects in order before its next call.
    pub(crate) fn handle(&mut self, now: Micros, event: Event) {
        match event {
            Event::Start => self.start(now),
            Event::Submit(task) => self.submit(now, task),
            Event::Cancel(ticket) => self.cancel(now, ticket),
            Event::Credit { ticket, count } => self.credit(ticket, count),
            Event::Spawned { worker } => self.spawned(worker),
            Event::StandbySpawned { standby } => self.standby_spawned(standby),
            Event::StandbyEnded { standby } => self.standby_ended(now, standby),
            Event::SpawnFailed { worker, permanent } => self.spawn_failed(now, worker, permanent),
            Event::Ready { worker, claims } => self.ready(now, worker, claims),
            Event::StartRefused { worker, permanent } => self.start_refused(now, worker, permanent),
            Event::Replied { worker, attempt_id, elapsed, failed } => {
                self.replied(now, worker, attempt_id, elapsed, failed)
            }
            Event::Reclaimed { worker, started } => self.reclaimed(now, worker, started),
            Event::Violated { worker } => self.violated(now, worker),
            Event::ChannelClosed { worker } => self.channel_closed(now, worker),
            Event::Memory { worker, rss } => self.memory(now, worker, rss),
            Event::Captured { worker } => self.captured(now, worker),
            Event::ExitObserved { worker } => self.exit_observed(worker),
            Event::Reaped { worker, evidence } => self.reaped(now, worker, &evidence),
            Event::Tick => self.tick(now),
            Event::Shutdown { drop_waiting, timeout } => self.shutdown(now, drop_waiting, timeout),
            Event::Resize { min_workers, max_workers, number } => {
                self.resize(now, min_workers, max_workers, number)
            }
            Event::Reload { number } => self.reload(now, number),
            Event::Terminate => self.terminate(now),
        }
        self.advance_trust(now);
        self.advance_replacements(now);
        self.advance_resize(now);
        self.advance_reload();
        self.advance_standbys(now);
        self.close_if_done(now);
        self.update_keys();
    }

    /// Returns whether an effect is queued.
    pub(crate) fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Takes the next effect.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns the bytes of a task.
    pub(crate) fn body(&self, task: TaskKey) -> Option<&Body> {
        self.tasks.get(task).map(|task| &task.body)
    }

    /// Returns whether a submission would change something at once: it starts the pool or a worker,
    /// or it runs.
    pub(crate) fn wants_immediate_dispatch(&self) -> bool {
        let free = |slot: &Slot| match &slot.worker {
            Some(worker) => worker.takes_tasks() && slot.load() < self.config.concurrency,
            None => slot.restart_at.is_none() && self.trust == Trust::Given,
        };
        !matches!(self.phase, Phase::Open) || self.active_slots().iter().any(free)
    }

    /// Returns whether little is under way at this worker: no task waits, and its tasks are short.
    pub(crate) fn is_light(&self, key: WorkerKey) -> bool {
        let worker = self.slots.get(key.slot).and_then(|slot| slot.find(key));
        self.tasks.queue().is_empty() && worker.is_some_and(Worker::has_short_tasks)
    }

    /// Returns whether the pool still wants a process for this worker, which has none yet.
    pub(crate) fn is_wanted(&mut self, key: WorkerKey) -> bool {
        self.worker(key).is_some_and(|worker| matches!(worker.life, Life::Starting { .. }))
    }

    /// Returns whether the pool still wants a process for this standby, which has none yet.
    pub(crate) fn is_standby_wanted(&self, standby: StandbyId) -> bool {
        self.standbys.is_wanted(standby)
    }

    /// Returns the number of processes that stand by.
    pub(crate) fn standbys(&self) -> usize {
        self.standbys.waiting()
    }

    /// Returns whether the pool is broken, and perhaps closed since.
    pub(crate) fn is_broken(&self) -> bool {
        self.trust == Trust::Lost
    }

    /// Returns whether the pool still runs waiting tasks.
    fn runs_tasks(&self) -> bool {
        self.trust != Trust::Lost
            && matches!(self.phase, Phase::Open | Phase::Closing { terminated: false, .. })
    }

    /// Returns whether this worker has broken the protocol.
    pub(crate) fn has_violated(&self, key: WorkerKey) -> bool {
        self.slots
            .get(key.slot)
            .and_then(|slot| slot.find(key))
            .is_some_and(|worker| worker.violated)
    }

    /// Returns the epoch in this worker's claim word, if the worker has one.
    pub(crate) fn claims(&self, key: WorkerKey) -> Option<u32> {
        self.slots.get(key.slot)?.find(key)?.epoch()
    }

    /// Returns whether this worker was killed for the memory it used.
    pub(crate) fn is_over_memory(&self, key: WorkerKey) -> bool {
        self.slots
            .get(key.slot)
            .and_then(|slot| slot.find(key))
            .is_some_and(|worker| worker.over_memory)
    }

    /// Returns whether this worker was killed because it was not ready in time.
    pub(crate) fn has_missed_start(&self, key: WorkerKey) -> bool {
        self.slots
            .get(key.slot)
            .and_then(|slot| slot.find(key))
            .is_some_and(|worker| worker.missed_start)
    }

    /// Returns whether this worker was stopped by signals because it had closed its channel.
    pub(crate) fn was_stopped_after_hang_up(&self, key: WorkerKey) -> bool {
        let worker = self.slots.get(key.slot).and_then(|slot| slot.find(key));
        worker.is_some_and(|worker| worker.hung_up && worker.life.is_forced())
    }

    /// Returns the reason of a stopping worker.
    pub(crate) fn stop_reason(&self, key: WorkerKey) -> Option<ExitReason> {
        self.slots.get(key.slot)?.find(key)?.life.reason()
    }

    /// Returns whether this worker owes a reply to this attempt, wanted or not.
    pub(crate) fn expects(&mut self, key: WorkerKey, attempt_id: AttemptId) -> bool {
        self.worker(key).is_some_and(|worker| worker.find(attempt_id).is_some())
    }

    /// Returns the unsettled task of this attempt at this worker.
    pub(crate) fn ticket(&mut self, key: WorkerKey, attempt_id: AttemptId) -> Option<Ticket> {
        let attempt = self.worker(key)?.find(attempt_id)?;
        attempt.task.map(|_| attempt.ticket)
    }

    /// Returns how many of several values this attempt has given.
    pub(crate) fn chunks(&mut self, key: WorkerKey, attempt_id: AttemptId) -> Option<u64> {
        Some(self.worker(key)?.find(attempt_id)?.chunks)
    }

    /// Counts another value of this attempt, and returns its task.
    pub(crate) fn take_chunk(&mut self, key: WorkerKey, attempt_id: AttemptId) -> Option<Ticket> {
        let attempt = self.worker(key)?.find(attempt_id)?;
        attempt.chunks += 1;
        attempt.task.map(|_| attempt.ticket)
    }

    /// Returns by how much the bytes of waiting tasks have changed since the last call. A task
    /// counts as waiting from its acceptance on.
    pub(crate) fn take_waiting_change(&mut self) -> i64 {
        self.tasks.take_waiting_change()
    }

    /// The number of tasks that have not ended.
    #[cfg(test)]
    pub(crate) fn unsettled(&self) -> usize {
        self.tasks.len()
    }

    /// Returns the number of waiting tasks, and their bytes.
    pub(crate) fn waiting(&self) -> (usize, u64) {
        self.tasks.waiting()
    }

    /// Tasks by outcome.
    pub(crate) fn counters(&self) -> Counters {
        self.tasks.counters()
    }

    /// Returns how long tasks have waited and run until now.
    pub(crate) fn times(&self, now: Micros) -> Times {
        let workers = || self.slots.iter().flat_map(Slot::processes);
        let running = workers().map(|worker| worker.working(now)).sum();
        let serving = workers().map(|worker| worker.served(now)).sum();
        Times {
            wait: self.timing.wait(),
            run: self.timing.run(),
            utilization: self.timing.utilization(running, serving, self.config.concurrency),
        }
    }

    /// Counts a task as failed whose result was counted, but cannot be read.
    pub(crate) fn disown_result(&mut self) {
        self.tasks.disown_result();
    }

    /// Returns whether the pool is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Returns the processes that take messages: all that are ready, or the one that serves under
    /// this id.
    pub(crate) fn listeners(&self, worker_id: Option<u32>) -> impl Iterator<Item = WorkerKey> {
        let serving = |key: WorkerKey| {
            self.slots[key.slot].worker.as_ref().is_some_and(|worker| worker.key == key)
        };
        let ready = self
            .slots
            .iter()
            .flat_map(Slot::processes)
            .filter(|worker| worker.life.is_ready() && !worker.dead);
        ready.map(|worker| worker.key).filter(move |key| match worker_id {
            Some(id) => key.worker_id() == id && serving(*key),
            None => true,
        })
    }

    /// Returns the processes by slot, the serving worker first.
    pub(crate) fn workers(&self) -> impl Iterator<Item = WorkerRow> {
        self.slots.iter().flat_map(Slot::processes).map(|worker| {
            let replaced = self.slots[worker.key.slot]
                .worker
                .as_ref()
                .is_some_and(|main| main.key.life > worker.key.life);
            let state = match worker.life {
                Life::Starting { .. } => "starting",
                Life::Ready if replaced => "stopping",
                Life::Ready if worker.load() == 0 => "idle",
                Life::Ready => "busy",
                Life::Stopping { .. } => "stopping",
            };
            let running = worker
                .in_flight()
                .filter(|attempt| attempt.task.is_some() && attempt.running_since.is_some());
            WorkerRow {
                key: worker.key,
                state,
                running: running.map(|attempt| attempt.ticket).collect(),
                tasks_done: worker.tasks_done,
                restarts: worker.key.life - 1,
            }
        })
    }

    fn worker(&mut self, key: WorkerKey) -> Option<&mut Worker> {
        self.slots.get_mut(key.slot)?.find_mut(key)
    }

    fn live(&self) -> usize {
        self.slots.iter().map(|slot| slot.processes().count()).sum()
    }

    /// Returns all processes, with their states.
    fn lives(&self) -> Vec<(WorkerKey, Life)> {
        self.slots
            .iter()
            .flat_map(Slot::processes)
            .map(|worker| (worker.key, worker.life))
            .collect()
    }

    fn any_life(&self, is: impl Fn(Life) -> bool) -> bool {
        self.slots.iter().flat_map(Slot::processes).any(|worker| is(worker.life))
    }

    fn has_surplus(&self) -> bool {
        self.phase == Phase::Open && self.ready_workers() > self.config.min_workers
    }

    fn ready_workers(&self) -> usize {
        let ready =
            |slot: &&Slot| slot.worker.as_ref().is_some_and(|worker| worker.life.is_ready());
        self.active_slots().iter().filter(ready).count()
    }
}
