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
//! its successor is ready: see [`renewal`], which is the one way to replace a sound worker.
//! [`resize`] changes the number of workers, [`reload`] replaces all of them, [`affinity`] keeps
//! tasks of one key together.

mod affinity;
mod reload;
mod replacement;
mod resize;
#[cfg(test)]
mod soundness;
mod timers;

use std::collections::VecDeque;

use crate::pool::config::PoolConfig;
use crate::pool::ids::{AttemptId, Micros, TaskKey, Ticket, WorkerKey};
use crate::pool::lifecycle::{ExitReason, Life, Rung, Step};
use crate::pool::messages::{
    Body, ClosedReport, Effect, Event, Evidence, Failure, ForgedClaim, NewTask, RunInfo,
};
use crate::pool::policy::{self, Jitter, Predictor, RestartBudget};
use crate::pool::queue::Due;
use crate::pool::slot::{Abandon, Beside, InFlight, NewAttempt, Seat, Slot, Worker};
use crate::pool::tasks::{Counters, Task, TaskState, TaskTable};
use crate::pool::timing::{Spread, Timing};

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
    renewing: bool,
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
            renewing: false,
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
            Event::ExitObserved { worker } => self.died(worker),
            Event::Reaped { worker, evidence } => self.exited(now, worker, &evidence),
            Event::Tick => self.tick(now),
            Event::Shutdown { drop_waiting, timeout } => self.shutdown(now, drop_waiting, timeout),
            Event::Resize { min_workers, max_workers, number } => {
                self.resize(now, min_workers, max_workers, number)
            }
            Event::Reload { number } => self.reload(now, number),
            Event::Terminate => self.terminate(now),
        }
        self.see_to_trust(now);
        self.see_to_renewals(now);
        self.see_to_resize(now);
        self.see_to_reload();
        self.close_if_done(now);
        self.see_to_keys();
    }

    /// Whether there is anything to do.
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// The next thing to do.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Gives waiting tasks to workers with a free place, starts workers for those that found none,
    /// and sends short tasks ahead to busy workers.
    pub fn dispatch(&mut self, now: Micros) {
        if self.tasks.queue().is_empty() || !self.works() {
            return;
        }
        loop {
            self.fill_places(now);
            if !self.tasks.queue().is_empty() {
                if self.trust == Trust::Given {
                    self.start_homes(now);
                    self.grow(now);
                }
                self.send_ahead(now);
            }
            // What was sent may have used up a worker whose successor stands by, and a place that
            // waits lends its keys.
            let taken_over = self.see_to_renewals(now);
            let moved = self.see_to_keys();
            if !taken_over && !moved {
                return;
            }
        }
    }

    /// The bytes of a task that is to be sent.
    pub fn body(&self, task: TaskKey) -> Option<&Body> {
        self.tasks.get(task).map(|task| &task.body)
    }

    /// Whether a submission would change something at once: it starts the pool, a worker, or runs.
    pub fn is_hungry(&self) -> bool {
        let free = |slot: &Slot| match &slot.worker {
            Some(worker) => worker.takes_tasks() && slot.load() < self.config.concurrency,
            None => slot.restart_at.is_none() && self.trust == Trust::Given,
        };
        !matches!(self.phase, Phase::Open) || self.places().iter().any(free)
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
                Life::Leaving { .. } => "stopping",
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

    // ---- Tasks

    fn submit(&mut self, now: Micros, mut task: NewTask) {
        if self.phase == Phase::Idle {
            self.start(now);
        }
        if !matches!(self.phase, Phase::Open) {
            let effect = self.tasks.refuse(task, self.refusal(false));
            return self.effects.push_back(effect);
        }
        let slot = task.affinity.as_mut().map(|affinity| {
            self.move_keys();
            self.settle_home(affinity)
        });
        let ageing = self.config.priority_ageing as f64;
        let advance = (task.priority != 0.0).then(|| (task.priority * ageing) as Due);
        self.tasks.accept(task, slot, advance);
    }

    fn cancel(&mut self, now: Micros, ticket: Ticket) {
        let Some(key) = self.tasks.by_ticket(ticket) else { return };
        let Some(task) = self.tasks.get(key) else { return };
        match task.state {
            TaskState::Queued | TaskState::Pausing => self.fail(key, None, Failure::Aborted),
            TaskState::Sent { worker, attempt_id } => {
                self.give_up(now, worker, attempt_id, Abandon::Aborted)
            }
        }
    }

    fn credit(&mut self, ticket: Ticket, count: u32) {
        let task = self.tasks.by_ticket(ticket).and_then(|key| self.tasks.get(key));
        if let Some(TaskState::Sent { worker, attempt_id }) = task.map(|task| task.state) {
            self.effects.push_back(Effect::Credit { worker, attempt_id, count });
        }
    }

    /// Ends a task without a reply.
    fn fail(&mut self, key: TaskKey, run: Option<RunInfo>, failure: Failure) {
        self.effects.extend(self.tasks.fail(key, run, failure));
    }

    /// How tasks end that this pool does not run any more.
    fn refusal(&self, maybe_executed: bool) -> Failure {
        match self.phase {
            Phase::Closing { terminated: true, .. } | Phase::Closed => {
                Failure::Closed { maybe_executed }
            }
            _ if self.is_broken() => Failure::Broken { maybe_executed },
            _ => Failure::Closed { maybe_executed },
        }
    }

    /// Ends all that wait in the queue or between two attempts.
    fn fail_waiting(&mut self, failure: impl Fn(bool) -> Failure) {
        self.effects.extend(self.tasks.fail_waiting(failure));
    }

    /// Puts starts that never happened back to the front, in their old order, as if they had not
    /// been sent.
    fn put_back(&mut self, starts: impl DoubleEndedIterator<Item = InFlight>) {
        let dropping =
            self.is_broken() || matches!(self.phase, Phase::Closing { drop_waiting: true, .. });
        let mut dropped = Vec::new();
        for start in starts.rev() {
            let Some(key) = start.task else { continue };
            if dropping {
                dropped.push(key);
            } else {
                // While it was away, its place may have been given up, or others of its key moved
                // to another one.
                let slot = self.return_home(key);
                self.tasks.requeue_front(key, slot);
            }
        }
        for key in dropped.into_iter().rev() {
            // The attempt that never started does not count.
            let maybe_executed = self.tasks.get(key).is_some_and(|task| task.attempt > 1);
            self.fail(key, None, self.refusal(maybe_executed));
        }
    }

    /// The worker died with a start that may have happened: again, if the task allows it, or the
    /// end.
    fn lost(&mut self, now: Micros, worker: WorkerKey, start: &InFlight, failure: Failure) {
        let Some(key) = start.task else { return };
        let open = self.works() && !matches!(self.phase, Phase::Closing { drop_waiting: true, .. });
        let Some(task) = self.tasks.get(key) else { return };
        if open && start.overdue.is_none() && task.attempt <= task.retries {
            let pause =
                policy::backoff(self.config.retry_delay, Micros::MAX, task.attempt as usize);
            if let Some((ticket, attempt)) = self.tasks.pause(key, now.saturating_add(pause)) {
                self.effects.push_back(Effect::Retry { ticket, worker, attempt });
            }
            return;
        }
        let run = run_info(task, worker, start, now, None);
        let failure = match (self.phase, start.overdue) {
            (Phase::Closing { terminated: true, .. }, _) => {
                Failure::Closed { maybe_executed: true }
            }
            (_, Some(limit)) => Failure::Timeout(limit),
            _ => failure,
        };
        self.fail(key, Some(run), failure);
    }

    // ---- Dispatch

    /// One task to each worker with a free place, the least loaded first; of those, one that
    /// answers first.
    fn fill_places(&mut self, now: Micros) {
        let takes = |slot: &&Slot| slot.worker.as_ref().is_some_and(Worker::takes_tasks);
        let Some(least) = self.slots.iter().filter(takes).map(Slot::load).min() else { return };
        for level in least..self.config.concurrency {
            for responsive in [true, false] {
                for slot in 0..self.slots.len() {
                    let load = self.slots[slot].load();
                    let Some(worker) = &self.slots[slot].worker else { continue };
                    let fits = worker.unresponsive_since.is_none() == responsive && load <= level;
                    if fits && worker.takes_tasks() {
                        if self.tasks.queue().is_empty() {
                            return;
                        }
                        let Some(key) = self.tasks.peek(slot) else { continue };
                        self.send(now, slot, key);
                    }
                }
            }
        }
    }

    /// Short tasks ahead to busy workers, a fair share to each.
    fn send_ahead(&mut self, now: Micros) {
        let takers = self.slots.iter().filter_map(|slot| slot.worker.as_ref());
        let takers = takers.filter(|worker| worker.takes_tasks() && worker.claims);
        let (count, loads) =
            takers.fold((0, 0), |(count, loads), worker| (count + 1, loads + worker.load()));
        if count == 0 {
            return;
        }
        let share = (self.tasks.queue().len() + loads).div_ceil(count);
        for slot in 0..self.slots.len() {
            let place = &self.slots[slot];
            let low = place.worker.as_ref().is_some_and(|worker| worker.runs_low(&self.config));
            if !low || place.going_load() > 0 {
                continue;
            }
            while let Some(key) = self.tasks.peek(slot) {
                let Some(task) = self.tasks.get(key) else { return };
                let predicted = self.predictor.predict(task.handler);
                let Some(worker) = &self.slots[slot].worker else { break };
                if !worker.wants_ahead(&self.config, share, predicted, task.body.size()) {
                    break;
                }
                self.send(now, slot, key);
            }
        }
    }

    fn send(&mut self, now: Micros, slot: usize, key: TaskKey) {
        let Some(worker) = self.slots[slot].worker.as_mut() else { return };
        let attempt_id = self.next_attempt;
        let Some(task) = self.tasks.send(key, worker.key, attempt_id) else { return };
        self.next_attempt += 1;
        let predicted = self.predictor.predict(task.handler);
        let start = NewAttempt {
            attempt_id,
            task: key,
            ticket: task.ticket,
            handler: task.handler,
            timeout: task.timeout,
            allowance: task.delivery_allowance,
            predicted,
            size: task.body.size(),
        };
        worker.push(start, self.config.concurrency, now);
        self.effects.push_back(Effect::Send {
            worker: worker.key,
            attempt_id,
            epoch: worker.epoch(),
            attempt: task.attempt,
            task: key,
        });
        if let Some(affinity) = &task.affinity {
            worker.keys.get_or_insert_default().remember(&affinity.name);
        }
        if self.config.max_tasks.is_some() {
            self.foresee(slot, predicted);
        }
    }

    fn replied(
        &mut self,
        now: Micros,
        key: WorkerKey,
        attempt_id: AttemptId,
        elapsed: Option<u32>,
        failed: bool,
    ) {
        let concurrency = self.config.concurrency;
        let Some(slot) = self.slots.get_mut(key.slot) else { return };
        let Some(worker) = slot.find_mut(key) else { return };
        let Some(start) = worker.finish(attempt_id, concurrency, now) else {
            return self.violated(now, key);
        };
        slot.crashes = 0;
        if let Some(elapsed) = elapsed {
            self.predictor.learn(start.handler, elapsed);
        }
        self.timing.ended(run_time(&start, now, elapsed));
        if let Some((key_of_task, limit)) = start.task.zip(start.overdue) {
            // It came while the worker was being asked where it hangs, and so too late.
            let run =
                self.tasks.get(key_of_task).map(|task| run_info(task, key, &start, now, elapsed));
            return self.fail(key_of_task, run, Failure::Timeout(limit));
        }
        // Without a task this is the late reply of one that was aborted or overdue; its worker has
        // redeemed itself.
        let Some(task_key) = start.task else { return };
        let Some(task) = self.tasks.get(task_key) else { return };
        let run = run_info(task, key, &start, now, elapsed);
        if let Some(worker) = self.slots[key.slot].find_mut(key) {
            worker.tasks_done += 1;
        }
        self.timing.replied(&run);
        self.effects.extend(self.tasks.complete(task_key, run, failed));
    }

    // ---- Giving up and taking back

    /// Nobody waits for this start any more. Whether it runs is found out first, where that is
    /// possible: if it does not, no worker need suffer for it.
    fn give_up(&mut self, now: Micros, key: WorkerKey, attempt_id: AttemptId, why: Abandon) {
        let Some(worker) = self.worker(key) else { return };
        if worker.claims {
            worker.reclaim.push((attempt_id, why));
            self.reclaim(key);
        } else {
            self.abandon(now, key, attempt_id, why);
        }
    }

    /// Asks for one take-back, however many reasons there are.
    fn reclaim(&mut self, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        let effect = Effect::Reclaim { worker: key, epoch: worker.current_epoch() };
        if !self.effects.contains(&effect) {
            self.effects.push_back(effect);
        }
    }

    fn reclaimed(&mut self, now: Micros, key: WorkerKey, started: Result<u32, ForgedClaim>) {
        let Some(worker) = self.worker(key) else { return };
        let reclaim = std::mem::take(&mut worker.reclaim);
        let Ok(back) = worker.reclaim(started) else {
            for (attempt_id, why) in reclaim {
                self.abandon(now, key, attempt_id, why);
            }
            return self.violated(now, key);
        };
        // Not before it replies again; and if what it has begun takes longer still, not before
        // another while.
        worker.held_back = true;
        worker.progress_at = now;
        let never: Vec<(AttemptId, Ticket)> =
            back.iter().map(|start| (start.attempt_id, start.ticket)).collect();
        self.put_back(back.into_iter());
        for (attempt_id, why) in reclaim {
            match (never.iter().find(|(never, _)| *never == attempt_id), why) {
                (None, _) => self.abandon(now, key, attempt_id, why),
                (Some(&(_, ticket)), Abandon::Aborted) => self.cancel(now, ticket),
                // The task was due to run and had not even been taken up, so its time has not
                // begun. It waits for the next worker; this one may be out of breath, or hang
                // outside of any task.
                (Some(&(_, ticket)), Abandon::Overdue(limit)) => {
                    self.tasks.extend_deadline(ticket, limit);
                    self.hesitates(now, key);
                }
            }
        }
    }

    /// The worker did not take up what it was due to run. For how long that is forgiven is the
    /// grace period, but not less than a sound worker may need on a busy machine.
    fn hesitates(&mut self, now: Micros, key: WorkerKey) {
        let grace = self.config.grace_period.max(policy::HESITATION);
        let Some(worker) = self.worker(key) else { return };
        let since = *worker.unresponsive_since.get_or_insert(now);
        if now.saturating_sub(since) >= grace {
            self.leave(now, key, ExitReason::Timeout, Rung::Terminated);
        }
    }

    /// Ends the task of a start that runs; if it is overdue, and the pool is set so, not before its
    /// worker was asked where it hangs.
    fn abandon(&mut self, now: Micros, key: WorkerKey, attempt_id: AttemptId, why: Abandon) {
        if let Abandon::Overdue(limit) = why
            && self.config.capture_stack
            && self.capture(now, key, attempt_id, limit)
        {
            return;
        }
        self.end_start(now, key, attempt_id, why);
    }

    /// Whether the worker is being asked where it hangs. One answer does for all that become
    /// overdue meanwhile.
    fn capture(
        &mut self,
        now: Micros,
        key: WorkerKey,
        attempt_id: AttemptId,
        limit: Micros,
    ) -> bool {
        let Some(worker) = self.worker(key).filter(|worker| worker.life.is_ready()) else {
            return false;
        };
        if !worker.hold(attempt_id, limit) {
            return false;
        }
        if worker.capture.is_none() {
            worker.capture = Some((attempt_id, now.saturating_add(policy::CAPTURE)));
            self.effects.push_back(Effect::Capture { worker: key });
        }
        true
    }

    /// It is known where the worker hangs, or that this cannot be known: what waited for that ends.
    fn captured(&mut self, now: Micros, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        let Some((asked_for, _)) = worker.capture.take() else { return };
        let overdue =
            worker.in_flight().filter_map(|start| Some((start.attempt_id, start.overdue?)));
        let overdue: Vec<_> = overdue.collect();
        if !overdue.iter().any(|(attempt_id, _)| *attempt_id == asked_for) {
            // It has ended meanwhile, but the worker is to hear that the asking is over.
            self.effects.push_back(Effect::Abort {
                worker: key,
                attempt_id: asked_for,
                overdue: true,
            });
        }
        for (attempt_id, limit) in overdue {
            self.end_start(now, key, attempt_id, Abandon::Overdue(limit));
        }
    }

    /// Ends the task of a start that runs, and gives the worker a moment to end the start.
    fn end_start(&mut self, now: Micros, key: WorkerKey, attempt_id: AttemptId, why: Abandon) {
        let kill_at = now.saturating_add(policy::COOPERATION.min(self.config.grace_period));
        let Some(worker) = self.worker(key) else { return };
        let Some(task_key) = worker.abandon(attempt_id, why, kill_at) else { return };
        let Some(start) = worker.find(attempt_id) else { return };
        let (failure, overdue) = match why {
            Abandon::Aborted => (Failure::Aborted, false),
            Abandon::Overdue(limit) => (Failure::Timeout(limit), true),
        };
        let since = start.running_since;
        let run = self.tasks.get(task_key).map(|task| RunInfo {
            worker: key,
            attempt: task.attempt,
            wait: since.unwrap_or(now).saturating_sub(task.accepted_at),
            run: now.saturating_sub(since.unwrap_or(now)),
        });
        self.effects.push_back(Effect::Abort { worker: key, attempt_id, overdue });
        self.fail(task_key, run, failure);
    }

    // ---- Workers

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
        self.places().iter().filter(ready).count()
    }

    fn start(&mut self, now: Micros) {
        if self.phase != Phase::Idle {
            return;
        }
        self.phase = Phase::Open;
        for slot in 0..self.config.min_workers {
            self.plan(now, slot);
        }
        self.say_started();
    }

    fn say_started(&mut self) {
        if !self.started
            && self.phase != Phase::Idle
            && self.ready_workers() >= self.config.min_workers
        {
            self.started = true;
            self.effects.push_back(Effect::Started);
        }
    }

    /// A process for this slot, now or as soon as its back-off is over.
    fn plan(&mut self, now: Micros, slot: usize) {
        let place = &self.slots[slot];
        if place.worker.is_none() && place.restart_at.is_none() {
            self.slots[slot].worker = self.begin(now, slot);
        }
    }

    /// Begins the next life of this slot, unless its back-off is not over or no other start is
    /// worth it.
    fn begin(&mut self, now: Micros, slot: usize) -> Option<Worker> {
        if self.trust != Trust::Given {
            return None;
        }
        let place = &mut self.slots[slot];
        if place.not_before > now {
            place.restart_at = Some(place.not_before);
            return None;
        }
        place.lives += 1;
        let key = WorkerKey { slot, life: place.lives };
        self.effects.push_back(Effect::Spawn { worker: key });
        Some(Worker::new(key, self.generation, now, &self.config))
    }

    /// More workers for tasks that found no place.
    fn grow(&mut self, now: Micros) {
        self.grow_at = None;
        let coming = |slot: &&Slot| match &slot.worker {
            Some(worker) => matches!(worker.life, Life::Starting { .. }) || worker.left == 0,
            None => slot.restart_at.is_some(),
        };
        let places = self.places().iter().filter(coming).count() * self.config.concurrency;
        let missing =
            self.tasks.queue().unbound().saturating_sub(places).div_ceil(self.config.concurrency);
        if missing == 0 || !self.is_worth_a_start(now) {
            return;
        }
        let empty: Vec<usize> = self.empty_slots().take(missing).collect();
        for slot in empty {
            self.plan(now, slot);
        }
    }

    /// Whether what waits would wait for longer than another worker takes to start: by prediction,
    /// or since it has. Workers up to `min_workers` are always worth it.
    fn is_worth_a_start(&mut self, now: Micros) -> bool {
        let serving = self
            .places()
            .iter()
            .filter_map(|slot| slot.worker.as_ref())
            .filter(|worker| worker.serves())
            .count();
        if serving == 0
            || self.coming() < self.config.min_workers
            || self.empty_slots().next().is_none()
        {
            return true;
        }
        let unbound = self.tasks.queue().unbound() as u64;
        let Some(task) = self.tasks.peek_unbound() else { return true };
        let places = (serving * self.config.concurrency) as u64;
        let predicted = self.predictor.predict(task.handler).saturating_mul(unbound) / places;
        let patience = task.accepted_at.saturating_add(self.start_time);
        if predicted > self.start_time || patience <= now {
            return true;
        }
        self.grow_at = Some(patience);
        false
    }

    fn ready(&mut self, now: Micros, key: WorkerKey, claims: bool) {
        let max_age = self.config.max_age;
        let Some(worker) = self.worker(key) else { return };
        match worker.life {
            Life::Starting { .. } => {}
            // Told to leave before it got ready.
            Life::Leaving { .. } => return,
            Life::Ready => return self.violated(now, key),
        }
        worker.life = Life::Ready;
        worker.ready_at = Some(now);
        worker.claims = claims;
        worker.progress_at = now;
        worker.renew_at = max_age.map(|age| now.saturating_add(age));
        let took = now.saturating_sub(worker.since);
        self.start_time =
            if self.start_time == 0 { took } else { (3 * self.start_time + took) / 4 };
        self.budget.succeed();
        self.effects.push_back(Effect::Online { worker: key });
        self.say_started();
        if self.trust == Trust::Suspended {
            self.go_on(now);
        }
    }

    fn start_refused(&mut self, now: Micros, key: WorkerKey, permanent: bool) {
        let Some(worker) = self.worker(key) else { return };
        if worker.life.is_ready() {
            return self.violated(now, key);
        }
        worker.refused = Some(permanent);
        // It exits by itself once it has said why.
        self.leave(now, key, ExitReason::Startup, Rung::Asked);
    }

    fn violated(&mut self, now: Micros, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        worker.violated = true;
        let reason = match worker.life {
            Life::Starting { .. } => ExitReason::Startup,
            Life::Ready | Life::Leaving { .. } => ExitReason::Crashed,
        };
        self.leave(now, key, reason, Rung::Killed);
    }

    /// Nothing more can come from the worker. Mostly it is dying, and is soon seen to be dead; else
    /// it is made to.
    fn channel_closed(&mut self, now: Micros, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        worker.hung_up |= worker.life.reason().is_none();
        let grace = self.config.grace_period.max(policy::COOPERATION);
        self.leave_within(now, key, ExitReason::Crashed, Rung::Asked, grace);
    }

    fn leave(&mut self, now: Micros, key: WorkerKey, reason: ExitReason, from: Rung) {
        self.leave_within(now, key, reason, from, self.config.grace_period);
    }

    fn leave_within(
        &mut self,
        now: Micros,
        key: WorkerKey,
        reason: ExitReason,
        from: Rung,
        grace: Micros,
    ) {
        let Some(worker) = self.worker(key) else { return };
        // A worker that never got ready has failed to start, whoever found out; unless it was we
        // who no longer want it.
        let reason = match (worker.life, reason) {
            (Life::Starting { .. }, ExitReason::Crashed | ExitReason::Memory) => {
                ExitReason::Startup
            }
            (_, reason) => reason,
        };
        let step = worker.life.leave(reason, from, now, grace);
        let reclaims = worker.claims && worker.load() > 0;
        self.take_step(key, step);
        if step != Step::Wait && reclaims {
            // Whatever it has not begun need not wait for its end.
            self.reclaim(key);
        }
    }

    fn take_step(&mut self, worker: WorkerKey, step: Step) {
        let effect = match step {
            Step::Stop => Effect::Stop { worker },
            Step::Terminate => Effect::Terminate { worker },
            Step::Kill => {
                self.killed += 1;
                Effect::Kill { worker }
            }
            Step::Wait => return,
        };
        self.effects.push_back(effect);
    }

    /// The process exists. What was decided about it in the meantime had nobody to be done to.
    fn spawned(&mut self, key: WorkerKey) {
        let Some(worker) = self.worker(key) else { return };
        let effect = match worker.life {
            Life::Leaving { rung: Rung::Asked, .. } => Effect::Stop { worker: key },
            Life::Leaving { rung: Rung::Terminated, .. } => Effect::Terminate { worker: key },
            Life::Leaving { rung: Rung::Killed, .. } => Effect::Kill { worker: key },
            Life::Starting { .. } | Life::Ready => return,
        };
        self.effects.push_back(effect);
    }

    fn spawn_failed(&mut self, now: Micros, key: WorkerKey, permanent: bool) {
        let Some(worker) = self.worker(key) else { return };
        // One that was told to leave before there was a process has not failed.
        let (failed, generation) =
            (matches!(worker.life, Life::Starting { .. }), worker.generation);
        self.slots[key.slot].remove(key);
        if failed {
            self.start_failed(now, key, generation, permanent);
        }
        self.fill(now, key.slot);
    }

    /// A reply among what it left behind is no reason to send it another task.
    fn died(&mut self, key: WorkerKey) {
        if let Some(worker) = self.worker(key) {
            worker.dead = true;
        }
    }

    fn exited(&mut self, now: Micros, key: WorkerKey, evidence: &Evidence) {
        let Some((mut worker, seat)) =
            self.slots.get_mut(key.slot).and_then(|slot| slot.remove(key))
        else {
            return;
        };
        self.timing.left(worker.served(now));
        self.timing.ended(worker.working(now));
        let starting = matches!(worker.life, Life::Starting { .. });
        let reason = worker.life.reason().unwrap_or(match starting {
            true => ExitReason::Startup,
            false => ExitReason::Crashed,
        });
        let failure = if worker.violated { Failure::Protocol } else { Failure::Crashed };
        let mut never = Vec::new();
        for (start, maybe) in worker.settle(evidence) {
            match maybe {
                true => self.lost(now, key, &start, failure),
                false => never.push(start),
            }
        }
        self.put_back(never.into_iter());
        self.lose_keys(key, worker.keys.take());
        self.effects.push_back(Effect::Exit { worker: key, reason, tasks_done: worker.tasks_done });
        match reason {
            ExitReason::Startup => {
                self.start_failed(now, key, worker.generation, worker.refused == Some(true))
            }
            // Its place is served by another.
            _ if seat == Seat::Going => {}
            ExitReason::Crashed | ExitReason::Memory => {
                let slot = &mut self.slots[key.slot];
                slot.crashes += 1;
                if slot.crashes > 1 {
                    // Once may be the task's fault and costs no time; a worker that dies again and
                    // again does.
                    let restart = self.config.restart;
                    let pause =
                        policy::backoff(restart.min_delay, restart.max_delay, slot.crashes - 1);
                    slot.not_before = now.saturating_add(self.jitter.apply(pause));
                }
            }
            ExitReason::Shutdown
            | ExitReason::Idle
            | ExitReason::Recycled
            | ExitReason::Reload
            | ExitReason::Timeout
            | ExitReason::Aborted => {}
        }
        self.fill(now, key.slot);
    }

    /// A start failed: the slot pauses, and the pool may break.
    fn start_failed(&mut self, now: Micros, worker: WorkerKey, generation: u32, permanent: bool) {
        if !self.works() || (self.phase != Phase::Open && self.tasks.is_empty()) {
            // It was no longer needed, or was killed because the pool broke.
            return;
        }
        let restart = self.config.restart;
        let spent = self.budget.spend(now, &restart);
        let pause = policy::backoff(restart.min_delay, restart.max_delay, self.budget.in_a_row());
        self.slots[worker.slot].not_before = now.saturating_add(self.jitter.apply(pause));
        self.effects.push_back(Effect::StartFailed { worker });
        if !permanent && !spent && self.trust == Trust::Given {
            return;
        }
        self.give_up_reload(now, generation);
        if self.serves() {
            self.say_short(worker.slot);
        } else if self.is_starting() {
            self.trust = Trust::Suspended;
        } else {
            self.break_down(now);
        }
    }

    /// Whether tasks can count on some worker. As long as one serves, the pool does.
    fn serves(&self) -> bool {
        let serves = |slot: &Slot| slot.worker.as_ref().is_some_and(Worker::serves);
        self.slots.iter().any(|slot| serves(slot) || slot.has_standby() || slot.going_load() > 0)
    }

    /// Whether some worker may still get ready.
    fn is_starting(&self) -> bool {
        self.any_life(|life| matches!(life, Life::Starting { .. }))
    }

    /// The pool serves, and a worker is missing that does not get ready. (A successor that does not
    /// leaves none missing.)
    fn say_short(&mut self, slot: usize) {
        if !self.short
            && self.phase == Phase::Open
            && self.has_place(slot)
            && self.slots[slot].worker.is_none()
        {
            self.short = true;
            self.effects.push_back(Effect::Short);
        }
    }

    /// Starts that were under way when the last one failed may have been withdrawn since, by a
    /// change of the pool: then they say nothing about the next one.
    fn see_to_trust(&mut self, now: Micros) {
        if self.trust != Trust::Suspended || self.is_starting() {
            return;
        }
        if !self.any_life(|life| life.reason() == Some(ExitReason::Startup)) {
            self.go_on(now);
        }
    }

    /// Starts are worth it again.
    fn go_on(&mut self, now: Micros) {
        self.trust = Trust::Given;
        if self.phase == Phase::Open {
            self.restore(now);
        }
    }

    fn break_down(&mut self, now: Micros) {
        self.trust = Trust::Lost;
        self.effects.push_back(Effect::Broken);
        if self.phase == Phase::Open {
            self.phase = Phase::Broken;
        }
        self.fail_waiting(|maybe_executed| Failure::Broken { maybe_executed });
        self.kill_all(now, ExitReason::Shutdown);
    }

    fn kill_all(&mut self, now: Micros, reason: ExitReason) {
        for slot in &mut self.slots {
            slot.restart_at = None;
        }
        for (key, _) in self.lives() {
            self.leave(now, key, reason, Rung::Killed);
        }
    }

    /// A process of this slot is gone: sees to it that the slot has a worker, if it is to have one.
    fn fill(&mut self, now: Micros, slot: usize) {
        let place = &mut self.slots[slot];
        if place.worker.is_some() {
            return;
        }
        match &place.beside {
            // Whether it is ready or still starting, there is nobody else.
            Beside::Coming(other) if !matches!(other.life, Life::Leaving { .. }) => {
                place.hand_over(now)
            }
            _ => self.replace(now, slot),
        }
    }

    /// Whether a slot that has become empty is filled again, and when.
    fn replace(&mut self, now: Micros, slot: usize) {
        if !self.has_place(slot) {
            return;
        }
        let coming = self.coming();
        let awaited = self.tasks.queue().homes().any(|home| home == slot);
        let wanted = match self.phase {
            _ if !self.works() => false,
            Phase::Open | Phase::Closing { terminated: false, .. } if awaited => true,
            Phase::Open if coming < self.config.min_workers => true,
            Phase::Open => coming < self.tasks.queue().len().min(self.config.max_workers),
            Phase::Closing { terminated: false, .. } => {
                coming < self.tasks.len().min(self.config.min_workers.max(1))
            }
            _ => false,
        };
        if wanted {
            self.plan(now, slot);
        }
    }

    // ---- The end

    fn shutdown(&mut self, now: Micros, drop_waiting: bool, timeout: Option<Micros>) {
        let limit = timeout.map(|timeout| now.saturating_add(timeout));
        match &mut self.phase {
            Phase::Closed => return,
            Phase::Closing { drop_waiting: dropping, deadline, .. } => {
                // A later call may only be stricter.
                *dropping |= drop_waiting;
                *deadline = [*deadline, limit].into_iter().flatten().min();
            }
            phase @ (Phase::Idle | Phase::Open | Phase::Broken) => {
                *phase = Phase::Closing { drop_waiting, deadline: limit, terminated: false };
                self.restart_report();
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

    fn terminate(&mut self, now: Micros) {
        match self.phase {
            Phase::Closed | Phase::Closing { terminated: true, .. } => return,
            Phase::Closing { .. } => {}
            Phase::Idle | Phase::Open | Phase::Broken => self.restart_report(),
        }
        self.phase = Phase::Closing { drop_waiting: true, deadline: None, terminated: true };
        self.fail_waiting(|maybe_executed| Failure::Closed { maybe_executed });
        // What the workers have settles when they are gone: then it is known what had started.
        self.kill_all(now, ExitReason::Shutdown);
    }

    /// The shutdown begins: what happens from now on is reported when the pool is closed.
    fn restart_report(&mut self) {
        self.tasks.restart_report();
        self.killed = 0;
    }

    /// Once no task is left, the workers go; once they are gone, the pool is closed.
    fn close_if_done(&mut self, now: Micros) {
        if !matches!(self.phase, Phase::Closing { .. }) || !self.tasks.is_empty() {
            return;
        }
        for slot in &mut self.slots {
            slot.restart_at = None;
        }
        for (key, life) in self.lives() {
            match life {
                // It reads its channel only once it is up.
                Life::Starting { .. } => {
                    self.leave(now, key, ExitReason::Shutdown, Rung::Terminated)
                }
                Life::Ready => self.leave(now, key, ExitReason::Shutdown, Rung::Asked),
                Life::Leaving { .. } => {}
            }
        }
        if self.live() == 0 {
            self.phase = Phase::Closed;
            self.effects.push_back(Effect::Closed(ClosedReport {
                killed: self.killed,
                ..self.tasks.report()
            }));
        }
    }
}

fn run_info(
    task: &Task,
    worker: WorkerKey,
    start: &InFlight,
    now: Micros,
    elapsed: Option<u32>,
) -> RunInfo {
    let since = start.running_since.unwrap_or(now);
    RunInfo {
        worker,
        attempt: task.attempt,
        wait: since.saturating_sub(task.accepted_at),
        run: run_time(start, now, elapsed),
    }
}

/// From the start to now; `elapsed`: the worker has measured it.
fn run_time(start: &InFlight, now: Micros, elapsed: Option<u32>) -> Micros {
    elapsed.map_or_else(|| now.saturating_sub(start.running_since.unwrap_or(now)), Micros::from)
}
