//! The whole policy of a pool, as a pure state machine: [`Pool::handle`] takes an event and the
//! time and queues effects; [`Pool::dispatch`] gives waiting tasks to workers. No clock, no I/O, no
//! runtime: whatever the order in which replies, deaths, time-outs and shutdowns meet, it can be
//! played through in a test.
//!
//! What it keeps to: every accepted task gets exactly one `Complete` or `Fail`; a task that may
//! have started is started again only if its retries allow it; one that provably never started goes
//! back to the front of the queue; tasks are sent by priority and in the order in which they were
//! accepted; a worker's `Exit` comes after all that it did.
//!
//! A worker that is to be replaced (it has run enough tasks, is too old or too large) goes on until
//! its successor is ready: see [`replacement`], which is the one way to replace a sound worker.
//! [`resize`] changes the number of workers, [`reload`] replaces all of them, [`affinity`] keeps
//! tasks of one key together.

mod affinity;
mod dispatch;
mod overdue;
mod reload;
mod replacement;
mod resize;
#[cfg(test)]
mod soundness;
mod starting;
mod stopping;
mod task_events;
mod timers;
mod worker_events;

use std::collections::VecDeque;

use crate::pool::config::PoolConfig;
use crate::pool::ids::{AttemptId, Micros, TaskKey, Ticket, WorkerKey};
use crate::pool::lifecycle::{ExitReason, Life};
use crate::pool::messages::{Body, Effect, Event};
use crate::pool::policy::{Jitter, Predictor, RestartBudget};
use crate::pool::slot::Slot;
use crate::pool::tasks::{Counters, TaskTable};
use crate::pool::timing::{Spread, Timing};
use crate::pool::worker::Worker;

/// Where the pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No worker was ever asked for.
    Idle,
    Open,
    Closing {
        /// Tasks that have not started end with `Closed`.
        drop_waiting: bool,
        deadline: Option<Micros>,
        /// Everything was killed; what still runs ends with `Closed`.
        terminated: bool,
    },
    /// Workers do not get ready; every task ends with `Broken`.
    Broken,
    Closed,
}

/// Whether another start is worth it, by what became of the last ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Workers get ready, or may.
    Given,
    /// Enough starts have failed to break the pool, and no worker serves. Those under way may still
    /// get ready, and no other is begun until they have, or have failed as well.
    Suspended,
    /// The pool is broken, and told so. It stays that even where it is being closed.
    Lost,
}

/// How long tasks wait and run.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub wait: Spread,
    pub run: Spread,
    /// The part of the workers' time that was used, from 0 to 1.
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
    /// Processes that were on this slot before.
    pub restarts: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Pool {
    config: PoolConfig,
    phase: Phase,
    tasks: TaskTable,
    slots: Vec<Slot>,
    predictor: Predictor,
    budget: RestartBudget,
    jitter: Jitter,
    next_attempt: AttemptId,
    /// How long a start takes here, from the decision to readiness: a moving average.
    start_time: Micros,
    trust: Trust,
    /// Whether `Short` was said.
    short: bool,
    /// When a task that waits will have waited for long enough to start another worker.
    grow_at: Option<Micros>,
    /// Some worker is being replaced.
    replacing: bool,
    /// The number of workers is being changed, by this request.
    resizing: Option<u32>,
    /// All workers are being replaced, by this request.
    reloading: Option<u32>,
    /// Reloads so far.
    generation: u32,
    /// Whether `Started` was said.
    started: bool,
    timing: Timing,
    /// Workers that needed SIGKILL, since shutdown began.
    killed: u64,
    effects: VecDeque<Effect>,
}

impl Pool {
    /// A pool without a worker and without a task.
    pub fn new(config: PoolConfig) -> Self {
        let slots = (0..config.max_workers).map(|_| Slot::default()).collect();
        let jitter = Jitter::new(config.seed);
        Self {
            config,
            phase: Phase::Idle,
            tasks: TaskTable::default(),
            slots,
            predictor: Predictor::default(),
            budget: RestartBudget::default(),
            jitter,
            next_attempt: 1,
            start_time: 0,
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

    /// Takes in what happened. Effects are to be performed, in order, before the next call.
    pub fn handle(&mut self, now: Micros, event: Event) {
        match event {
            Event::Start => self.start(now),
            Event::Submit(task) => self.submit(now, task),
            Event::Cancel(ticket) => self.cancel(now, ticket),
            Event::Credit { ticket, count } => self.credit(ticket, count),
            Event::Spawned { worker } => self.spawned(worker),
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
        self.close_if_done(now);
        self.update_keys();
    }

    /// Whether there is anything to do.
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// The next thing to do.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The bytes of a task that is to be sent.
    pub fn body(&self, task: TaskKey) -> Option<&Body> {
        self.tasks.get(task).map(|task| &task.body)
    }

    /// Whether a submission would change something at once: it starts the pool, a worker, or runs.
    pub fn wants_immediate_dispatch(&self) -> bool {
        let free = |slot: &Slot| match &slot.worker {
            Some(worker) => worker.takes_tasks() && slot.load() < self.config.concurrency,
            None => slot.restart_at.is_none() && self.trust == Trust::Given,
        };
        !matches!(self.phase, Phase::Open) || self.active_slots().iter().any(free)
    }

    /// Whether a process is still to be started for this life of its slot.
    pub fn is_wanted(&mut self, key: WorkerKey) -> bool {
        self.worker(key).is_some_and(|worker| matches!(worker.life, Life::Starting { .. }))
    }

    /// Whether the pool was given up, and since then perhaps closed.
    pub fn is_broken(&self) -> bool {
        self.trust == Trust::Lost
    }

    /// Whether waiting tasks are still to be run.
    fn works(&self) -> bool {
        self.trust != Trust::Lost
            && matches!(self.phase, Phase::Open | Phase::Closing { terminated: false, .. })
    }

    /// Whether this worker has broken the protocol.
    pub fn has_violated(&self, key: WorkerKey) -> bool {
        self.slots
            .get(key.slot)
            .and_then(|slot| slot.find(key))
            .is_some_and(|worker| worker.violated)
    }

    /// The epoch that the claim word of this worker is in, if it has one.
    pub fn claims(&self, key: WorkerKey) -> Option<u32> {
        self.slots.get(key.slot)?.find(key)?.epoch()
    }

    /// Whether this worker was killed for the memory it used.
    pub fn is_over_memory(&self, key: WorkerKey) -> bool {
        self.slots
            .get(key.slot)
            .and_then(|slot| slot.find(key))
            .is_some_and(|worker| worker.over_memory)
    }

    /// Whether this worker was killed because it was not ready in time.
    pub fn has_missed_start(&self, key: WorkerKey) -> bool {
        self.slots
            .get(key.slot)
            .and_then(|slot| slot.find(key))
            .is_some_and(|worker| worker.missed_start)
    }

    /// Whether this worker was made to leave by signals because it had closed its channel.
    pub fn was_ended_for_silence(&self, key: WorkerKey) -> bool {
        let worker = self.slots.get(key.slot).and_then(|slot| slot.find(key));
        worker.is_some_and(|worker| worker.hung_up && worker.life.is_forced())
    }

    /// Why this worker is on its way out, if it is.
    pub fn leaving(&self, key: WorkerKey) -> Option<ExitReason> {
        self.slots.get(key.slot)?.find(key)?.life.reason()
    }

    /// Whether this worker owes a reply to this start, wanted or not.
    pub fn expects(&mut self, key: WorkerKey, attempt_id: AttemptId) -> bool {
        self.worker(key).is_some_and(|worker| worker.find(attempt_id).is_some())
    }

    /// The unsettled task of this start at this worker.
    pub fn ticket(&mut self, key: WorkerKey, attempt_id: AttemptId) -> Option<Ticket> {
        let start = self.worker(key)?.find(attempt_id)?;
        start.task.map(|_| start.ticket)
    }

    /// How many of several values this start has given.
    pub fn chunks(&mut self, key: WorkerKey, attempt_id: AttemptId) -> Option<u64> {
        Some(self.worker(key)?.find(attempt_id)?.chunks)
    }

    /// Takes in another one, of the task that is returned.
    pub fn take_chunk(&mut self, key: WorkerKey, attempt_id: AttemptId) -> Option<Ticket> {
        let start = self.worker(key)?.find(attempt_id)?;
        start.chunks += 1;
        start.task.map(|_| start.ticket)
    }

    /// By how much the bytes of waiting tasks have changed since the last call, counting a task as
    /// waiting from its acceptance on.
    pub fn take_waiting_change(&mut self) -> i64 {
        self.tasks.take_waiting_change()
    }

    /// Tasks that are not settled.
    pub fn unsettled(&self) -> usize {
        self.tasks.len()
    }

    /// Tasks waiting, and their bytes.
    pub fn waiting(&self) -> (usize, u64) {
        self.tasks.waiting()
    }

    /// Tasks by outcome.
    pub fn counters(&self) -> Counters {
        self.tasks.counters()
    }

    /// How long tasks have waited and run until now.
    pub fn times(&self, now: Micros) -> Times {
        let workers = || self.slots.iter().flat_map(Slot::processes);
        let running = workers().map(|worker| worker.working(now)).sum();
        let serving = workers().map(|worker| worker.served(now)).sum();
        Times {
            wait: self.timing.wait(),
            run: self.timing.run(),
            utilization: self.timing.utilization(running, serving, self.config.concurrency),
        }
    }

    /// What was taken for a result cannot be read, and its task has failed.
    pub fn disown_result(&mut self) {
        self.tasks.disown_result();
    }

    /// Whether everything is over.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The processes that take messages: all that are ready, or the one that serves under this
    /// number.
    pub fn listeners(&self, worker_id: Option<u32>) -> impl Iterator<Item = WorkerKey> {
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

    /// The workers, by slot; of two in one slot the one that serves comes first.
    pub fn workers(&self) -> impl Iterator<Item = WorkerRow> {
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
                .filter(|start| start.task.is_some() && start.running_since.is_some());
            WorkerRow {
                key: worker.key,
                state,
                running: running.map(|start| start.ticket).collect(),
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

    /// All processes, with how far each has got.
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
