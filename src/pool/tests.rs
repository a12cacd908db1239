//! Random sequences of events for the state machine, against a model world that keeps the books.
//!
//! The world stands in for everything outside: workers that claim, reply, die, hang and lie; a
//! clock that jumps; users who submit, cancel and close. After each sequence, everything still open
//! is brought to its end, and these promises are checked:
//!
//! Every accepted task ends exactly once (2). A task has at most `retries + 1` attempts that may
//! have started, and a claim that none started is true (3). A task that never started is sent
//! again, in order (4). Tasks are sent by priority and age, and in the order of acceptance among
//! equals; nothing of a worker comes after its exit (5). A pool breaks at most once, and only when
//! no worker serves or may still get ready. A pool that is not closed has its workers in the end.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use proptest::prelude::*;

use crate::pool::config::{PoolConfig, Prefetch, RestartConfig};
use proptest::test_runner::RngSeed;

use crate::pool::ids::{AttemptId, Micros, Ticket, WorkerKey};
use crate::pool::key::AffinityKey;
use crate::pool::messages::{Body, Effect, Event, Evidence, Failure, ForgedClaim, NewTask};
use crate::pool::policy;
use crate::pool::state::Pool;

/// A random act. Numbers are reduced to what there is.
#[derive(Clone, Debug, PartialEq)]
enum Act {
    Start,
    Submit {
        timeout: Option<u16>,
        retries: u8,
        handler: u8,
        priority: i8,
        key: Option<u8>,
    },
    Cancel(u8),
    /// The reader of a task's values has room for another one.
    Credit(u8),
    /// The worker gives one of several values.
    Chunk(u8),
    /// One of the requested processes cannot be spawned.
    NoProcess {
        permanent: bool,
    },
    /// The worker gets ready.
    Ready(u8),
    /// The worker reports that it cannot start.
    Refuse {
        worker: u8,
        permanent: bool,
    },
    /// The worker claims up to `count` tasks.
    Claim {
        worker: u8,
        count: u8,
    },
    /// The worker replies to one of the tasks it has claimed.
    Reply {
        worker: u8,
        which: u8,
        elapsed: u16,
        failed: bool,
    },
    /// A capture has ended, with a stack or without one.
    Captured(u8),
    /// The worker replies to an attempt that it was never sent, or that was taken back.
    Lie(u8),
    /// The worker writes nonsense into the claim word.
    Forge(u8),
    Close(u8),
    /// The worker's resident memory is measured.
    Grow {
        worker: u8,
        rss: u64,
    },
    /// The process is dead; its last bytes are still to be read.
    Drop(u8),
    Die(u8),
    Wait(u32),
    Resize {
        min: usize,
        max: usize,
    },
    Reload,
    Shutdown {
        drop_waiting: bool,
        timeout: Option<u16>,
    },
    Terminate,
}

/// One process of the world.
#[derive(Debug, Default)]
struct Process {
    /// Set once the process exists. Until then signals reach no process.
    spawned: bool,
    ready: bool,
    /// Set if the process was told to stop before it got ready.
    late: bool,
    claims: bool,
    epoch: u32,
    started: u32,
    forged: bool,
    /// Frames in the process's socket: attempt, epoch, task (its ticket and, as tickets are reused,
    /// its number).
    inbox: VecDeque<(AttemptId, u32, (Ticket, u64))>,
    /// Attempts that are claimed and not replied to.
    running: Vec<AttemptId>,
    /// The number of attempts that the process has started.
    tasks: u64,
    asked: bool,
    killed: bool,
    /// Set if the process was told to stop, by whatever means.
    told: bool,
    /// Set if the process has closed its channel.
    closed: bool,
    dead: bool,
}

/// The record of one accepted task.
#[derive(Debug, Default)]
struct Record {
    order: u64,
    /// The time of acceptance, less the span that the priority is worth: the task with the least is
    /// sent first.
    due: i64,
    priority: i8,
    key: Option<u8>,
    /// Set once the task was sent to some worker, whatever became of it there.
    sent: bool,
    retries: u32,
    /// The number of attempts that ran user code.
    ran: u32,
    ends: u32,
    cancelled: bool,
}

struct World {
    pool: Pool,
    now: Micros,
    concurrency: usize,
    max_tasks: Option<u64>,
    recycles: bool,
    /// The process of each slot that was last sent a task.
    takers: HashMap<usize, u32>,
    /// True if workers have a claim word.
    pages: bool,
    processes: BTreeMap<(usize, u32), Process>,
    gone: HashSet<(usize, u32)>,
    tasks: HashMap<Ticket, Record>,
    free: Vec<Ticket>,
    settled: Vec<Record>,
    /// The task of each attempt.
    sent: HashMap<AttemptId, Ticket>,
    next_ticket: Ticket,
    accepted: u64,
    spawns: usize,
    closed: u32,
    closing: bool,
    terminated: bool,
    /// Set once workers were asked for.
    begun: bool,
    /// The processes that never got ready, and are gone.
    failed: HashSet<(usize, u32)>,
    /// The worker whose failed start was last told.
    start_failure: Option<WorkerKey>,
    broken: bool,
    short: bool,
    min_workers: usize,
    max_workers: usize,
    /// The number of requests so far.
    requests: u32,
    /// The latest resize, while it is not complete.
    resizing: Option<u32>,
    /// The latest reload, while it is not complete, and the processes that it replaces.
    reloading: Option<(u32, HashSet<(usize, u32)>)>,
}

/// The time in which a waiting task gains a level (µs).
const AGEING: Micros = 700;

fn config(workers: usize, min: usize, concurrency: usize, prefetch: Prefetch) -> PoolConfig {
    PoolConfig {
        min_workers: min.min(workers),
        max_workers: workers,
        concurrency,
        prefetch,
        retry_delay: 1_000,
        priority_ageing: AGEING,
        start_timeout: 200_000,
        idle_timeout: 50_000,
        grace_period: 20_000,
        restart: RestartConfig { limit: 4, window: 100_000, min_delay: 1_000, max_delay: 8_000 },
        ..PoolConfig::default()
    }
}

impl World {
    fn new(config: PoolConfig, pages: bool) -> Self {
        Self {
            concurrency: config.concurrency,
            max_tasks: config.max_tasks,
            recycles: config.max_tasks.is_some()
                || config.max_age.is_some()
                || config.recycle_memory.is_some(),
            min_workers: config.min_workers,
            max_workers: config.max_workers,
            takers: HashMap::new(),
            pool: Pool::new(config),
            now: 1,
            pages,
            processes: BTreeMap::new(),
            gone: HashSet::new(),
            tasks: HashMap::new(),
            free: Vec::new(),
            settled: Vec::new(),
            sent: HashMap::new(),
            next_ticket: 0,
            accepted: 0,
            spawns: 0,
            closed: 0,
            closing: false,
            terminated: false,
            begun: false,
            failed: HashSet::new(),
            start_failure: None,
            broken: false,
            short: false,
            requests: 0,
            resizing: None,
            reloading: None,
        }
    }

    fn event(&mut self, event: Event) {
        self.now += 1;
        self.pool.handle(self.now, event);
        self.perform();
        self.pool.dispatch(self.now);
        self.perform();
        self.pool.assert_sound();
    }

    fn perform(&mut self) {
        while let Some(effect) = self.pool.next_effect() {
            self.effect(effect);
        }
    }

    fn process(&mut self, worker: WorkerKey) -> Option<&mut Process> {
        self.processes.get_mut(&(worker.slot, worker.life))
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { worker } => {
                self.spawns += 1;
                let claims = self.pages;
                assert!(
                    worker.slot < self.max_workers,
                    "a process is started beyond the places there are"
                );
                assert!(
                    !self.broken && !self.terminated,
                    "a process is started for a pool that is over"
                );
                let others = self.processes.keys().filter(|(slot, _)| *slot == worker.slot).count();
                assert!(
                    others <= usize::from(self.recycles),
                    "a slot holds one process, or two while it is renewed"
                );
                self.processes
                    .insert((worker.slot, worker.life), Process { claims, ..Process::default() });
            }
            Effect::Send { worker, attempt_id, epoch, attempt, task } => {
                let Some(body) = self.pool.body(task) else { return };
                let ticket = Ticket::from_le_bytes(
                    body.text[..4].try_into().expect("a ticket is in every body"),
                );
                let record = self.tasks.get(&ticket).expect("only unsettled tasks are sent");
                assert!(
                    attempt <= record.retries + 1,
                    "attempt {attempt} of {}",
                    record.retries + 1
                );
                let task = (ticket, record.order);
                assert!(worker.slot < self.max_workers, "a worker that is to leave is sent a task");
                if !record.sent {
                    // Of two tasks with different priorities that are due in the same microsecond,
                    // either may be first.
                    let earlier = |other: &Record| {
                        let equal = (other.due, other.priority) == (record.due, record.priority);
                        let same = other.key == record.key && !other.sent;
                        same && (other.due < record.due || (equal && other.order < record.order))
                    };
                    assert!(
                        !self.tasks.values().any(earlier),
                        "another task was due before this one"
                    );
                }
                self.tasks.get_mut(&ticket).expect("it was there").sent = true;
                assert!(!self.broken, "a pool that is broken sends a task");
                assert!(self.sent.insert(attempt_id, ticket).is_none(), "two starts of one number");
                let concurrency = self.concurrency;
                let taker = self.takers.entry(worker.slot).or_insert(worker.life);
                assert!(
                    *taker <= worker.life,
                    "a worker that has given its place away is sent a task"
                );
                *taker = worker.life;
                let of_slot = self.processes.iter().filter(|((slot, _), _)| *slot == worker.slot);
                let held: usize =
                    of_slot.map(|(_, process)| process.inbox.len() + process.running.len()).sum();
                let Some(process) = self.process(worker) else { return };
                assert!(
                    process.ready && !process.dead,
                    "only workers that are ready, and live, are sent tasks"
                );
                assert_eq!(epoch.is_some(), process.claims);
                process.inbox.push_back((attempt_id, epoch.unwrap_or(0), task));
                if !process.claims {
                    assert!(
                        held < concurrency,
                        "a worker without a claim word is not prefetched to"
                    );
                }
            }
            Effect::Reclaim { worker, epoch } => {
                let Some(process) = self.process(worker) else { return };
                let started = if process.forged {
                    Err(ForgedClaim)
                } else {
                    assert_eq!(process.epoch, epoch, "the pool knows the epoch");
                    process.epoch = process.epoch.wrapping_add(1);
                    Ok(process.started)
                };
                self.pool.handle(self.now, Event::Reclaimed { worker, started });
            }
            Effect::Capture { worker } => {
                let Some(process) = self.process(worker) else { return };
                assert!(process.ready && !process.killed, "only workers that live are asked");
            }
            Effect::Abort { attempt_id, .. } => {
                assert!(self.sent.contains_key(&attempt_id), "an end of a start that never was")
            }
            Effect::Credit { worker, attempt_id, .. } => {
                let Some(process) = self.process(worker) else {
                    panic!("room for values of a worker that is gone")
                };
                let has = process.running.contains(&attempt_id)
                    || process.inbox.iter().any(|frame| frame.0 == attempt_id);
                assert!(
                    has || process.forged,
                    "room for values of a start that the worker does not have"
                );
            }
            Effect::Terminate { worker } => {
                if let Some(process) = self.process(worker) {
                    process.told = true;
                }
            }
            Effect::Stop { worker } => {
                if let Some(process) = self.process(worker) {
                    (process.asked, process.told) = (true, true);
                }
            }
            Effect::Kill { worker } => {
                if let Some(process) = self.process(worker) {
                    process.told = true;
                    process.killed = process.spawned;
                }
            }
            Effect::Complete { ticket, run } => {
                assert!(
                    !self.gone.contains(&(run.worker.slot, run.worker.life)),
                    "a result after its worker's exit"
                );
                self.end(ticket, |record| {
                    assert!(record.ran >= 1, "a result of a task that never ran")
                });
            }
            Effect::Fail { ticket, run, failure } => {
                if let Some(run) = run {
                    assert!(
                        !self.gone.contains(&(run.worker.slot, run.worker.life)),
                        "an end after its worker's exit"
                    );
                }
                self.end(ticket, |record| match failure {
                    Failure::Closed { maybe_executed: false }
                    | Failure::Broken { maybe_executed: false } => {
                        assert_eq!(record.ran, 0, "said to have never run");
                    }
                    Failure::Aborted => assert!(record.cancelled, "the user did not cancel it"),
                    _ => {}
                });
            }
            Effect::Retry { ticket, attempt, .. } => {
                let record = &self.tasks[&ticket];
                assert!(attempt <= record.retries + 1, "a retry that its task did not allow");
            }
            Effect::Exit { worker, .. } => {
                assert!(self.gone.insert((worker.slot, worker.life)), "two exits of one worker");
            }
            Effect::Online { worker } => {
                assert!(!self.gone.contains(&(worker.slot, worker.life)));
            }
            Effect::Resized { number } => {
                assert!(
                    self.processes.keys().all(|(slot, _)| *slot < self.max_workers),
                    "the surplus is not gone"
                );
                self.resizing.take_if(|latest| *latest == number);
            }
            Effect::Reloaded { number } => {
                if let Some((_, old)) = self.reloading.take_if(|(latest, _)| *latest == number) {
                    assert!(
                        self.processes.keys().all(|key| !old.contains(key)),
                        "old workers are still there"
                    );
                }
            }
            Effect::ReloadFailed { number } => {
                drop(self.reloading.take_if(|(latest, _)| *latest == number))
            }
            Effect::Started | Effect::LostKeys { .. } => {}
            Effect::StartFailed { worker } => {
                assert!(
                    !self.broken && !self.terminated && self.closed == 0,
                    "an effect of an attempt that is not awaited"
                );
                assert!(
                    self.failed.contains(&(worker.slot, worker.life)),
                    "the start of this worker has not failed"
                );
                self.start_failure = Some(worker);
            }
            Effect::Short => {
                assert!(self.start_failure.is_some(), "short of workers, for no reason");
                assert!(!self.short && !self.broken, "said twice, or of a pool that is broken");
                self.short = true;
            }
            Effect::Broken => {
                assert!(self.start_failure.is_some(), "broken, for no reason");
                assert!(
                    !self.broken && !self.terminated && self.closed == 0,
                    "a pool breaks once, and before its end"
                );
                self.broken = true;
                let most = self.max_tasks.unwrap_or(u64::MAX);
                let sound = self
                    .processes
                    .values()
                    .filter(|process| !process.dead && !process.told && !process.closed);
                let serving = |process: &Process| process.ready && process.tasks < most;
                assert!(
                    !sound.clone().any(|process| !process.ready),
                    "broken, while a worker may still get ready"
                );
                assert!(!sound.clone().any(serving), "broken, while a worker serves");
            }
            Effect::Closed(_) => {
                self.closed += 1;
                assert!(self.tasks.is_empty(), "closed with tasks unsettled");
                assert!(self.processes.is_empty(), "closed with workers alive");
            }
        }
    }

    fn end(&mut self, ticket: Ticket, check: impl FnOnce(&Record)) {
        let mut record = self.tasks.remove(&ticket).expect("an end of a task that is not open");
        record.ends += 1;
        check(&record);
        assert!(record.ran <= record.retries + 1, "{} starts", record.ran);
        self.settled.push(record);
        self.free.push(ticket);
    }

    fn pick(&self, number: u8) -> Option<(usize, u32)> {
        let keys: Vec<_> = self.processes.keys().copied().collect();
        (!keys.is_empty()).then(|| keys[usize::from(number) % keys.len()])
    }

    /// The worker claims the next frames, as far as it may, and runs them.
    fn claim(&mut self, key: (usize, u32), count: usize) {
        let (concurrency, max_tasks) = (self.concurrency, self.max_tasks);
        let Some(process) = self.processes.get_mut(&key).filter(|process| !process.dead) else {
            return;
        };
        let mut last = None;
        let mut claimed = 0;
        // A dropped frame does not count.
        while claimed < count {
            // Replies need not have been read yet when the next task is claimed, hence a little
            // more than `concurrency`.
            if process.running.len() >= concurrency + 2 {
                break;
            }
            let Some((attempt_id, epoch, (ticket, order))) = process.inbox.pop_front() else {
                break;
            };
            if process.claims {
                if process.forged || epoch != process.epoch {
                    continue;
                }
                process.started = process.started.wrapping_add(1);
            }
            claimed += 1;
            process.tasks += 1;
            assert!(
                max_tasks.is_none_or(|most| process.tasks <= most),
                "started on more tasks than it may"
            );
            process.running.push(attempt_id);
            assert!(
                last < Some(attempt_id),
                "starts are claimed in the order in which they were sent"
            );
            last = Some(attempt_id);
            if let Some(record) = self.tasks.get_mut(&ticket).filter(|record| record.order == order)
            {
                record.ran += 1;
            }
        }
    }

    fn drop(&mut self, key: (usize, u32)) {
        if let Some(process) = self.processes.get_mut(&key).filter(|process| !process.dead) {
            process.dead = true;
            self.event(Event::ExitObserved { worker: WorkerKey { slot: key.0, life: key.1 } });
        }
    }

    fn die(&mut self, key: (usize, u32)) {
        self.drop(key);
        let Some(process) = self.processes.remove(&key) else { return };
        let worker = WorkerKey { slot: key.0, life: key.1 };
        if !process.ready || process.late {
            self.failed.insert(key);
        }
        let evidence = match (process.claims && process.ready, process.forged) {
            (true, true) => Evidence::Claims(Err(ForgedClaim)),
            (true, false) => Evidence::Claims(Ok(process.started)),
            // Bytes that the worker never read may have been written completely or not; half of
            // them were not.
            (false, _) => Evidence::Unwritten(
                process.inbox.iter().rev().take(1).map(|frame| frame.0).collect(),
            ),
        };
        self.event(Event::Reaped { worker, evidence });
    }

    /// The supervisor has spawned all requested processes.
    fn spawn(&mut self) {
        while let Some((&(slot, life), process)) =
            self.processes.iter_mut().find(|(_, process)| !process.spawned)
        {
            process.spawned = true;
            self.event(Event::Spawned { worker: WorkerKey { slot, life } });
        }
    }

    /// The next requested process cannot be spawned.
    fn no_process(&mut self, permanent: bool) {
        let Some((&key, _)) = self.processes.iter().find(|(_, process)| !process.spawned) else {
            return;
        };
        self.processes.remove(&key);
        self.failed.insert(key);
        self.event(Event::SpawnFailed {
            worker: WorkerKey { slot: key.0, life: key.1 },
            permanent,
        });
    }

    fn open_ticket(&self, number: u8) -> Option<Ticket> {
        let mut open: Vec<_> = self.tasks.keys().copied().collect();
        open.sort_unstable();
        (!open.is_empty()).then(|| open[usize::from(number) % open.len()])
    }

    fn act(&mut self, act: &Act) {
        // These acts need a process; the others may come before there is one.
        let needs_none = matches!(
            act,
            Act::Start
                | Act::Submit { .. }
                | Act::Cancel(_)
                | Act::Credit(_)
                | Act::NoProcess { .. }
                | Act::Resize { .. }
                | Act::Reload
                | Act::Shutdown { .. }
                | Act::Terminate
        );
        if !needs_none {
            self.spawn();
        }
        match *act {
            Act::Start => {
                self.begun |= !self.closing;
                self.event(Event::Start);
            }
            Act::NoProcess { permanent } => self.no_process(permanent),
            Act::Submit { timeout, retries, handler, priority, key } => {
                if self.closing {
                    return;
                }
                self.begun = true;
                let ticket = self.free.pop().unwrap_or_else(|| {
                    self.next_ticket += 1;
                    self.next_ticket
                });
                self.accepted += 1;
                let retries = u32::from(retries);
                let due = self.now as i64 - i64::from(priority) * AGEING as i64;
                let record = Record {
                    order: self.accepted,
                    due,
                    priority,
                    key,
                    retries,
                    ..Record::default()
                };
                assert!(self.tasks.insert(ticket, record).is_none());
                let text = ticket.to_le_bytes().to_vec().into_boxed_slice();
                self.event(Event::Submit(NewTask {
                    ticket,
                    handler,
                    timeout: timeout.map(Micros::from),
                    retries,
                    priority: f64::from(priority),
                    affinity: key.map(|key| Box::new(AffinityKey::new(&format!("key {key}")))),
                    accepted_at: self.now,
                    body: Body::plain(&text),
                }));
            }
            Act::Cancel(number) => {
                if let Some(ticket) = self.open_ticket(number) {
                    self.tasks.get_mut(&ticket).expect("it is open").cancelled = true;
                    self.event(Event::Cancel(ticket));
                    assert!(!self.tasks.contains_key(&ticket), "a cancelled task ends at once");
                }
            }
            Act::Credit(number) => {
                if let Some(ticket) = self.open_ticket(number) {
                    self.event(Event::Credit { ticket, count: 1 });
                }
            }
            Act::Chunk(number) => {
                let Some((slot, life)) = self.pick(number) else { return };
                let Some(&attempt_id) = self.processes[&(slot, life)].running.first() else {
                    return;
                };
                if let Some(ticket) = self.pool.take_chunk(WorkerKey { slot, life }, attempt_id) {
                    assert_eq!(
                        self.sent.get(&attempt_id),
                        Some(&ticket),
                        "a value of another task"
                    );
                }
            }
            Act::Ready(number) => {
                let Some((slot, life)) = self.pick(number) else { return };
                let process = self.processes.get_mut(&(slot, life)).expect("it was picked");
                if !process.ready && !process.closed {
                    (process.ready, process.late) = (true, process.told);
                    let claims = process.claims;
                    self.event(Event::Ready { worker: WorkerKey { slot, life }, claims });
                }
            }
            Act::Refuse { worker, permanent } => {
                let Some((slot, life)) = self.pick(worker) else { return };
                if !self.processes[&(slot, life)].ready {
                    self.event(Event::StartRefused { worker: WorkerKey { slot, life }, permanent });
                    self.die((slot, life));
                }
            }
            Act::Claim { worker, count } => {
                if let Some(key) = self.pick(worker) {
                    self.claim(key, usize::from(count));
                }
            }
            Act::Reply { worker, which, elapsed, failed } => {
                let Some((slot, life)) = self.pick(worker) else { return };
                let process = self.processes.get_mut(&(slot, life)).expect("it was picked");
                if process.running.is_empty() {
                    return;
                }
                let index = usize::from(which) % process.running.len();
                let attempt_id = process.running.remove(index);
                let elapsed = Some(u32::from(elapsed));
                self.event(Event::Replied {
                    worker: WorkerKey { slot, life },
                    attempt_id,
                    elapsed,
                    failed,
                });
            }
            Act::Captured(number) => {
                if let Some((slot, life)) = self.pick(number) {
                    self.event(Event::Captured { worker: WorkerKey { slot, life } });
                }
            }
            Act::Lie(number) => {
                if let Some((slot, life)) = self.pick(number) {
                    let worker = WorkerKey { slot, life };
                    self.event(Event::Replied {
                        worker,
                        attempt_id: 1 << 40,
                        elapsed: None,
                        failed: false,
                    });
                }
            }
            Act::Forge(number) => {
                if let Some(key) = self.pick(number) {
                    self.processes.get_mut(&key).expect("it was picked").forged = true;
                }
            }
            Act::Close(number) => {
                if let Some((slot, life)) = self.pick(number) {
                    self.processes.get_mut(&(slot, life)).expect("it was picked").closed = true;
                    self.event(Event::ChannelClosed { worker: WorkerKey { slot, life } });
                }
            }
            Act::Grow { worker, rss } => {
                if let Some((slot, life)) = self.pick(worker) {
                    self.event(Event::Memory { worker: WorkerKey { slot, life }, rss });
                }
            }
            Act::Drop(number) => {
                if let Some(key) = self.pick(number) {
                    self.drop(key);
                }
            }
            Act::Die(number) => {
                if let Some(key) = self.pick(number) {
                    self.die(key);
                }
            }
            Act::Wait(span) => self.wait(Micros::from(span)),
            Act::Resize { min, max } => {
                self.requests += 1;
                (self.min_workers, self.max_workers) = (min.min(max), max);
                self.resizing = Some(self.requests);
                self.event(Event::Resize {
                    min_workers: min.min(max),
                    max_workers: max,
                    number: self.requests,
                });
            }
            Act::Reload => {
                self.requests += 1;
                self.recycles = true;
                self.reloading = Some((self.requests, self.processes.keys().copied().collect()));
                self.event(Event::Reload { number: self.requests });
            }
            Act::Shutdown { drop_waiting, timeout } => {
                self.closing = true;
                let timeout = timeout.map(Micros::from);
                self.event(Event::Shutdown { drop_waiting, timeout });
            }
            Act::Terminate => {
                (self.closing, self.terminated) = (true, true);
                self.event(Event::Terminate);
            }
        }
        self.reap_killed();
        self.check_counts();
    }

    /// Time passes, and the timers run when they are due.
    fn wait(&mut self, span: Micros) {
        let end = self.now + span;
        let mut ticks = 0;
        while let Some(deadline) = self.pool.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.event(Event::Tick);
            self.reap_killed();
            ticks += 1;
            assert!(ticks < 10_000, "a timer that is always due");
        }
        self.now = self.now.max(end);
    }

    /// SIGKILL always works.
    fn reap_killed(&mut self) {
        while let Some((&key, _)) = self.processes.iter().find(|(_, process)| process.killed) {
            self.die(key);
        }
    }

    /// Returns whether the pool has the workers that it should have.
    fn is_staffed(&self) -> bool {
        let ready = self.pool.workers().filter(|row| ["idle", "busy"].contains(&row.state)).count();
        !self.begun || self.broken || ready >= self.min_workers
    }

    fn check_counts(&self) {
        let counters = self.pool.counters();
        let ended = counters.completed + counters.failed + counters.cancelled;
        assert_eq!(counters.accepted, self.accepted);
        assert_eq!(ended as usize, self.settled.len());
        assert_eq!(self.pool.unsettled(), self.tasks.len());
    }

    /// Workers behave from now on; with `close`, the pool is closed as well. Everything must come
    /// to its end.
    fn finish(&mut self, close: bool) {
        if close {
            self.act(&Act::Shutdown { drop_waiting: false, timeout: None });
        }
        for round in 0.. {
            self.spawn();
            assert!(round < 20_000, "never comes to an end: {} tasks open", self.tasks.len());
            let changing = self.resizing.is_some() || self.reloading.is_some();
            let done = if close { self.closed > 0 } else { !changing && self.is_staffed() };
            if self.tasks.is_empty() && done {
                break;
            }
            let keys: Vec<_> = self.processes.keys().copied().collect();
            for key in keys {
                let Some(process) = self.processes.get_mut(&key) else { continue };
                let worker = WorkerKey { slot: key.0, life: key.1 };
                if process.dead
                    || process.forged
                    || process.closed
                    || (process.asked && process.running.is_empty())
                {
                    self.die(key);
                } else if !process.ready {
                    (process.ready, process.late) = (true, process.told);
                    let claims = process.claims;
                    self.event(Event::Ready { worker, claims });
                } else {
                    self.claim(key, 4);
                    let running = self
                        .processes
                        .get_mut(&key)
                        .map(|process| std::mem::take(&mut process.running));
                    for attempt_id in running.unwrap_or_default() {
                        self.event(Event::Replied {
                            worker,
                            attempt_id,
                            elapsed: Some(5),
                            failed: false,
                        });
                    }
                }
                self.reap_killed();
            }
            if round % 50 == 49 {
                // Some workers exit only by a signal.
                let leaving = self.pool.workers().filter(|row| row.state == "stopping");
                let leaving: Vec<_> = leaving.map(|row| (row.key.slot, row.key.life)).collect();
                for key in leaving {
                    self.die(key);
                }
            }
            self.wait(500);
        }
        self.check_counts();
        assert!(self.settled.iter().all(|record| record.ends == 1));
        assert_eq!(self.settled.len() as u64, self.accepted, "every accepted task ends");
        assert!(self.closed <= 1);
    }
}

/// How often acts happen in one sequence. Acts that are rare in every sequence would hardly ever
/// meet, so in some sequences they are frequent.
#[derive(Clone, Copy, Debug)]
struct Weights {
    keys: u32,
    timeouts: u32,
    priorities: u32,
    streams: u32,
    failed_starts: u32,
    faults: u32,
    deaths: u32,
    memory: u32,
    changes: u32,
    pauses: u32,
}

fn weights() -> impl Strategy<Value = Weights> {
    let weight = || prop_oneof![1 => Just(1u32), 2 => Just(8), 1 => Just(40)];
    let all = proptest::array::uniform10(weight());
    all.prop_map(
        |[
            keys,
            timeouts,
            priorities,
            streams,
            failed_starts,
            faults,
            deaths,
            memory,
            changes,
            pauses,
        ]| {
            Weights {
                keys,
                timeouts,
                priorities,
                streams,
                failed_starts,
                faults,
                deaths,
                memory,
                changes,
                pauses,
            }
        },
    )
}

fn act(often: Weights) -> impl Strategy<Value = Act> {
    let number = any::<u8>;
    let timeout = prop_oneof![24 => Just(None), often.timeouts => (200u16..).prop_map(Some)];
    let priority = prop_oneof![24 => Just(0), often.priorities => -2..4i8];
    let key = prop_oneof![24 => Just(None), often.keys => (0..4u8).prop_map(Some)];
    let lost = prop_oneof![
        1 => number().prop_map(Act::Lie),
        1 => number().prop_map(Act::Forge),
        1 => number().prop_map(Act::Close),
    ];
    let failed_start = prop_oneof![
        1 => number().prop_map(|number| Act::NoProcess { permanent: number < 32 }),
        1 => (number(), any::<bool>()).prop_map(|(worker, hard)| {
            Act::Refuse { worker, permanent: hard && worker < 64 }
        }),
    ];
    let change = prop_oneof![
        1 => (0..5usize, 1..5usize).prop_map(|(min, max)| Act::Resize { min, max }),
        1 => Just(Act::Reload),
    ];
    prop_oneof![
        8 => Just(Act::Start),
        96 => (timeout, 0..3u8, 0..3u8, priority, key).prop_map(
            |(timeout, retries, handler, priority, key)| {
                Act::Submit { timeout, retries, handler, priority, key }
            },
        ),
        16 => number().prop_map(Act::Cancel),
        48 => number().prop_map(Act::Ready),
        64 => (number(), 1..6u8).prop_map(|(worker, count)| Act::Claim { worker, count }),
        80 => (number(), number(), prop_oneof![3 => 0u16..50, 1 => any::<u16>()], any::<bool>())
            .prop_map(|(worker, which, elapsed, failed)| {
                Act::Reply { worker, which, elapsed, failed }
            }),
        24 => number().prop_map(Act::Captured),
        2 * often.streams => prop_oneof![
            number().prop_map(Act::Credit),
            number().prop_map(Act::Chunk),
        ],
        2 * often.failed_starts => failed_start,
        3 * often.faults => lost,
        3 * often.deaths => prop_oneof![
            1 => number().prop_map(Act::Drop),
            2 => number().prop_map(Act::Die),
        ],
        often.memory => (number(), 0u64..1_200).prop_map(|(worker, rss)| Act::Grow { worker, rss }),
        4 * often.pauses => prop_oneof![
            6 => 0u32..3_000,
            2 => 0u32..300_000,
            1 => 0u32..1_500_000,
        ]
        .prop_map(Act::Wait),
        2 * often.changes => change,
    ]
}

fn ending() -> impl Strategy<Value = Option<Act>> {
    let timeout = prop_oneof![1 => Just(None), 1 => any::<u16>().prop_map(Some)];
    prop_oneof![
        2 => Just(None),
        2 => (any::<bool>(), timeout)
            .prop_map(|(drop_waiting, timeout)| Some(Act::Shutdown { drop_waiting, timeout })),
        1 => Just(Some(Act::Terminate)),
    ]
}

fn settings() -> impl Strategy<Value = (PoolConfig, bool)> {
    let prefetch =
        prop_oneof![2 => Just(Prefetch::Auto), 1 => (1..6usize).prop_map(Prefetch::Fixed)];
    let max_tasks = prop_oneof![2 => Just(None), 1 => (1..8u64).prop_map(Some)];
    let max_age = prop_oneof![3 => Just(None), 1 => (1_000..100_000u64).prop_map(Some)];
    let memory = prop_oneof![1 => Just((None, None)), 1 => Just((Some(500), Some(1_000)))];
    let pages = prop_oneof![3 => Just(true), 1 => Just(false)];
    let grace = prop_oneof![3 => Just(20_000), 1 => Just(0)];
    let rest = (memory, any::<bool>(), grace);
    (1..4usize, 0..4usize, 1..4usize, prefetch, pages, max_tasks, max_age, rest).prop_map(
        |(
            workers,
            min,
            concurrency,
            prefetch,
            pages,
            max_tasks,
            max_age,
            ((recycle_memory, max_memory), capture_stack, grace_period),
        )| {
            let config = PoolConfig { grace_period, ..config(workers, min, concurrency, prefetch) };
            (
                PoolConfig {
                    max_tasks,
                    max_age,
                    recycle_memory,
                    max_memory,
                    capture_stack,
                    ..config
                },
                pages,
            )
        },
    )
}

/// One random sequence: its settings and acts.
#[derive(Clone, Debug)]
struct Sequence {
    config: PoolConfig,
    pages: bool,
    acts: Vec<Act>,
    close: bool,
}

fn sequence() -> impl Strategy<Value = Sequence> {
    let acts = weights().prop_flat_map(|often| {
        let before = proptest::collection::vec(act(often), 0..60);
        // Another end may follow the first.
        let next = prop_oneof![12 => act(often).prop_map(Some), 1 => ending()];
        (before, ending(), proptest::collection::vec(next, 0..20))
    });
    (settings(), acts, any::<bool>()).prop_map(|((config, pages), (before, end, after), close)| {
        let acts: Vec<Act> =
            before.into_iter().chain(end).chain(after.into_iter().flatten()).collect();
        let ends = |act: &Act| matches!(act, Act::Shutdown { .. } | Act::Terminate);
        let close = close || acts.iter().any(ends);
        Sequence { config, pages, acts, close }
    })
}

fn play(Sequence { config, pages, acts, close }: Sequence) {
    let mut world = World::new(config, pages);
    for act in &acts {
        world.act(act);
    }
    world.finish(close);
}

/// A sequence that failed is kept in `proptest-regressions/`, and played first from then on.
fn chance(cases: u32, rng_seed: RngSeed) -> ProptestConfig {
    ProptestConfig { cases, rng_seed, ..ProptestConfig::default() }
}

/// The number of sequences of the test that plays others in each run. `npm run explore` asks for a
/// million.
fn cases() -> u32 {
    std::env::var("BULKHEAD_PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(5_000)
}

proptest! {
    #![proptest_config(chance(5_000, RngSeed::Fixed(20_261_128)))]

    #[test]
    fn keeps_its_promises_whatever_happened_once(sequence in sequence()) {
        play(sequence);
    }
}

proptest! {
    #![proptest_config(chance(cases(), RngSeed::Random))]

    // [B15]
    #[test]
    fn keeps_its_promises_whatever_happens(sequence in sequence()) {
        play(sequence);
    }
}

// ---- Single cases

fn submit(world: &mut World, count: usize) {
    for _ in 0..count {
        world.act(&Act::Submit { timeout: None, retries: 0, handler: 0, priority: 0, key: None });
    }
}

#[test]
fn a_pool_of_one_starts_tasks_in_the_order_of_acceptance() {
    let mut world = World::new(config(1, 1, 1, Prefetch::Fixed(8)), true);
    submit(&mut world, 20);
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 2 });
    world.act(&Act::Die(0));
    world.finish(true);
    let mut orders: Vec<u64> = world.settled.iter().map(|record| record.order).collect();
    assert_eq!(orders.len(), 20);
    // The first two tasks were lost with their worker. All others ran in their order on the next
    // one.
    let rest = orders.split_off(2);
    assert!(rest.is_sorted(), "{rest:?}");
}

#[test]
fn a_task_overtakes_those_of_lower_priority_that_have_not_waited_for_long() {
    let mut world = World::new(config(1, 1, 1, Prefetch::Fixed(1)), true);
    let submit = |world: &mut World, priority| {
        world.act(&Act::Submit { timeout: None, retries: 0, handler: 0, priority, key: None });
    };
    for priority in [0, -1, 2, 0, 2] {
        submit(&mut world, priority);
    }
    world.act(&Act::Wait(u32::try_from(3 * AGEING).expect("it is short")));
    for priority in [2, 3, 4] {
        submit(&mut world, priority);
    }
    world.finish(true);
    let orders: Vec<u64> = world.settled.iter().map(|record| record.order).collect();
    // The first five tasks wait for three levels' time. To a task of priority 3 they are older, and
    // to one of priority 4 some are not.
    assert_eq!(orders, [3, 5, 8, 1, 4, 7, 2, 6]);
}

// [D6]
#[test]
fn what_was_sent_ahead_of_a_long_task_is_taken_back() {
    let mut world = World::new(config(2, 2, 1, Prefetch::Fixed(8)), true);
    world.act(&Act::Start);
    world.act(&Act::Ready(0));
    submit(&mut world, 8);
    world.act(&Act::Claim { worker: 0, count: 1 });
    assert_eq!(
        world.processes[&(0, 1)].inbox.len(),
        7,
        "all were sent to the only worker that was ready"
    );
    world.act(&Act::Ready(1));
    world.act(&Act::Wait(10_000));
    assert!(!world.processes[&(1, 1)].inbox.is_empty(), "the other worker has them now");
    world.finish(true);
}

#[test]
fn unknown_run_times_are_not_sent_ahead() {
    let mut world = World::new(config(1, 1, 1, Prefetch::Auto), true);
    submit(&mut world, 10);
    world.act(&Act::Ready(0));
    assert_eq!(world.processes[&(0, 1)].inbox.len(), 1);
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 1, failed: false });
    assert_eq!(world.processes[&(0, 1)].inbox.len(), 9, "now they are known to be short");
    world.finish(true);
}

#[test]
fn of_tasks_of_a_millisecond_one_is_sent_ahead_and_none_of_longer_ones() {
    for (elapsed, held) in [(1_200, 2), (2_000, 1)] {
        let mut world = World::new(config(1, 1, 1, Prefetch::Auto), true);
        submit(&mut world, 10);
        world.act(&Act::Ready(0));
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Reply { worker: 0, which: 0, elapsed, failed: false });
        assert_eq!(world.processes[&(0, 1)].inbox.len(), held, "after a task of {elapsed} µs");
        world.finish(true);
    }
}

#[test]
fn a_pool_grows_when_tasks_would_wait_for_longer_than_a_start_takes() {
    /// The time that a start takes here, about (µs).
    const START: u32 = 40_000;
    let short = || {
        let mut world = World::new(config(4, 1, 1, Prefetch::Fixed(1)), true);
        world.act(&Act::Start);
        world.act(&Act::Wait(START));
        world.act(&Act::Ready(0));
        submit(&mut world, 1);
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 100, failed: false });
        world
    };
    let mut world = short();
    submit(&mut world, 100);
    assert_eq!(world.spawns, 1, "a hundred short tasks are sooner done than a process is started");
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Wait(START + 1_000));
    assert_eq!(world.spawns, 4, "but if one of them turns out to be long, they are not");
    world.finish(true);
    let mut world = short();
    submit(&mut world, 1_000);
    assert_eq!(world.spawns, 4, "a thousand are not");
    world.finish(true);
}

// [D6]
#[test]
fn a_task_that_is_longer_on_its_way_than_it_may_run_is_started_all_the_same() {
    /// The time from sending a frame to its being read, far beyond the time limit and the grace
    /// period.
    const WAY: Micros = 9 * policy::MIN_CLAIM_TIME / 5;
    let mut world = World::new(config(2, 2, 1, Prefetch::Auto), true);
    world.act(&Act::Start);
    world.act(&Act::Submit {
        timeout: Some(1_000),
        retries: 0,
        handler: 0,
        priority: 0,
        key: None,
    });
    let mut sent = HashMap::new();
    let mut lives = 0;
    while world.settled.is_empty() {
        lives = world.spawns;
        assert!(lives < 20, "the task wanders from worker to worker");
        for worker in 0..2 {
            world.act(&Act::Ready(worker));
            let Some(key) = world.pick(worker) else { continue };
            let Some(&(attempt_id, epoch, _)) = world.processes[&key].inbox.back() else {
                continue;
            };
            let since = *sent.entry(attempt_id).or_insert(world.now);
            if epoch == world.processes[&key].epoch && world.now - since >= WAY {
                world.act(&Act::Claim { worker, count: 1 });
                world.act(&Act::Reply { worker, which: 0, elapsed: 10, failed: false });
            }
        }
        world.act(&Act::Wait(1_000));
    }
    assert!(lives > 2, "a worker that does not claim it in the grace period is replaced");
    assert_eq!((world.settled[0].ran, world.pool.counters().completed), (1, 1));
    world.finish(true);
}

// [A12]
#[test]
fn a_pool_whose_workers_never_get_ready_breaks() {
    let mut world = World::new(config(2, 2, 1, Prefetch::Auto), true);
    submit(&mut world, 3);
    for _ in 0..5 {
        assert!(!world.broken);
        world.act(&Act::Die(0));
        world.act(&Act::Wait(10_000));
    }
    assert!(!world.broken, "one more is on its way, and may get ready");
    world.act(&Act::Die(0));
    assert!(world.broken);
    assert!(world.tasks.is_empty(), "every task has ended");
    assert_eq!(world.spawns, 6, "none was started in vain");
    world.finish(true);
}

/// Makes a pool of four with a task, where one worker permanently cannot start.
fn refused() -> World {
    let mut world = World::new(config(4, 4, 1, Prefetch::Auto), true);
    submit(&mut world, 1);
    world.act(&Act::Refuse { worker: 0, permanent: true });
    assert!(!world.broken, "three others may still get ready");
    world.act(&Act::Wait(100_000));
    assert_eq!(world.spawns, 4, "no other is started until it is known what becomes of them");
    world
}

// [A12]
#[test]
fn a_pool_breaks_once_all_starts_under_way_have_failed_and_never_again() {
    for end in [Act::Shutdown { drop_waiting: false, timeout: None }, Act::Terminate] {
        let mut world = refused();
        for _ in 0..2 {
            world.act(&Act::Refuse { worker: 0, permanent: true });
            assert!(!world.broken);
        }
        world.act(&Act::Refuse { worker: 0, permanent: true });
        assert!(world.broken);
        // The world asserts that the failure is not told again.
        world.act(&end);
        world.finish(true);
        assert_eq!((world.spawns, world.pool.counters().failed), (4, 1));
    }
}

// [A11]
#[test]
fn a_pool_serves_with_the_workers_that_start_and_tries_the_others_again() {
    let mut world = refused();
    world.act(&Act::Ready(0));
    world.act(&Act::Wait(100_000));
    world.spawn();
    assert_eq!(world.spawns, 5, "the one that failed is started again");
    for _ in 0..20 {
        submit(&mut world, 1);
        world.act(&Act::Claim { worker: 1, count: 1 });
        world.act(&Act::Reply { worker: 1, which: 0, elapsed: 5, failed: false });
        world.act(&Act::Refuse { worker: 0, permanent: true });
        world.act(&Act::Wait(100_000));
    }
    assert!(world.short && !world.broken);
    assert!(world.pool.counters().completed >= 20);
    world.finish(false);
    assert_eq!(world.pool.counters().failed, 0);
}

#[test]
fn starts_that_cannot_be_had_for_now_leave_a_pool_with_those_that_can() {
    let mut world = World::new(config(16, 16, 1, Prefetch::Auto), true);
    submit(&mut world, 40);
    for _ in 0..10 {
        world.act(&Act::NoProcess { permanent: false });
    }
    assert!(!world.broken);
    world.finish(false);
    assert_eq!((world.pool.counters().completed, world.broken), (40, false));
}

#[test]
fn starts_that_are_withdrawn_while_others_depend_on_them_are_made_up_for() {
    let mut world = refused();
    world.act(&Act::Reload);
    for _ in 0..3 {
        world.act(&Act::Die(0));
    }
    assert!(!world.broken, "they were told to go, and have not failed");
    world.finish(false);
    assert_eq!(world.pool.counters().completed, 1);
}

#[test]
fn a_pool_that_drains_and_can_start_no_worker_any_more_breaks_once() {
    let mut world = World::new(config(2, 2, 1, Prefetch::Fixed(1)), true);
    submit(&mut world, 5);
    for worker in [0, 1] {
        world.act(&Act::Ready(worker));
        world.act(&Act::Claim { worker, count: 1 });
    }
    world.act(&Act::Shutdown { drop_waiting: false, timeout: None });
    world.act(&Act::Die(0));
    world.act(&Act::Refuse { worker: 0, permanent: true });
    assert!(!world.broken, "the other serves");
    world.act(&Act::Die(0));
    world.act(&Act::Wait(100_000));
    while !world.broken {
        world.act(&Act::Refuse { worker: 0, permanent: true });
        world.act(&Act::Wait(100_000));
    }
    assert_eq!(world.closed, 1, "nothing is left of it");
    assert_eq!(world.pool.counters().failed, 5);
}

#[test]
fn a_start_that_fails_when_a_closing_pool_has_no_task_left_is_no_news() {
    let mut world = World::new(config(2, 2, 1, Prefetch::Fixed(1)), true);
    submit(&mut world, 1);
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Close(1));
    world.act(&Act::Shutdown { drop_waiting: false, timeout: None });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 5, failed: false });
    world.act(&Act::Die(1));
    assert!(world.start_failure.is_none());
    world.finish(true);
}

#[test]
fn a_task_that_comes_back_after_its_place_was_given_up_moves_to_another_one() {
    let mut moved = 0;
    for key in 0..4 {
        // Two tasks of a predecessor, which has had all its tasks.
        let mut world = World::new(
            PoolConfig { max_tasks: Some(2), ..config(2, 2, 2, Prefetch::Fixed(1)) },
            true,
        );
        world.act(&Act::Start);
        for worker in [0, 1] {
            world.act(&Act::Ready(worker));
        }
        for timeout in [None, Some(500)] {
            world.act(&Act::Submit {
                timeout,
                retries: 0,
                handler: 0,
                priority: 0,
                key: Some(key),
            });
        }
        world.spawn();
        if world.processes.contains_key(&(1, 2)) {
            world.act(&Act::Ready(2));
            world.act(&Act::Resize { min: 0, max: 1 });
            world.act(&Act::Die(2));
            // One task is overdue and unclaimed: both come back. Now only the predecessor is left
            // in the slot, and no other process may start there, as the world asserts.
            world.act(&Act::Wait(1_000));
            moved += 1;
        }
        world.finish(false);
        assert_eq!(world.pool.counters().completed, 2);
    }
    assert!(moved > 0, "no key belongs to the second place");
    // The same for every key, and for every state of the process when its slot is given up.
    for key in 0..16 {
        for end in [
            None,
            Some(Act::Die(0)),
            Some(Act::Close(0)),
            Some(Act::Forge(0)),
            Some(Act::Terminate),
        ] {
            let mut world = World::new(config(4, 4, 1, Prefetch::Fixed(4)), true);
            for _ in 0..6 {
                world.act(&Act::Submit {
                    timeout: None,
                    retries: 1,
                    handler: 0,
                    priority: 0,
                    key: Some(key),
                });
            }
            for worker in 0..4 {
                world.act(&Act::Ready(worker));
            }
            world.act(&Act::Resize { min: 1, max: 1 });
            let closes = end == Some(Act::Terminate);
            end.iter().for_each(|act| world.act(act));
            world.finish(closes);
            assert_eq!(world.settled.len(), 6);
        }
    }
}

#[test]
fn a_sound_worker_is_not_killed_for_taking_up_a_task_late_even_without_a_grace_period() {
    let config = PoolConfig { grace_period: 0, ..config(1, 1, 1, Prefetch::Fixed(1)) };
    let mut world = World::new(config, true);
    for _ in 0..50 {
        world.act(&Act::Submit {
            timeout: Some(1_000),
            retries: 0,
            handler: 0,
            priority: 0,
            key: None,
        });
    }
    world.act(&Act::Ready(0));
    // Every task's time is over before the worker claims it: the machine is busy.
    world.act(&Act::Wait(100_000));
    assert_eq!((world.spawns, world.processes[&(0, 1)].told), (1, false));
    while !world.tasks.is_empty() {
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 5, failed: false });
    }
    assert_eq!((world.spawns, world.pool.counters().completed), (1, 50));
    // A worker that claims no task at all is replaced in the end.
    world.act(&Act::Submit {
        timeout: Some(1_000),
        retries: 0,
        handler: 0,
        priority: 0,
        key: None,
    });
    world.act(&Act::Wait(u32::try_from(2 * policy::MIN_CLAIM_TIME).expect("it is short")));
    world.spawn();
    assert_eq!(world.spawns, 2);
    world.finish(true);
}

#[test]
fn a_worker_that_has_closed_its_channel_is_given_a_moment_to_die_by_itself() {
    let config = PoolConfig { grace_period: 0, ..config(1, 1, 1, Prefetch::Fixed(1)) };
    let mut world = World::new(config, true);
    submit(&mut world, 1);
    world.act(&Act::Ready(0));
    let worker = WorkerKey { slot: 0, life: 1 };
    world.act(&Act::Close(0));
    world.act(&Act::Wait(50_000));
    assert!(!world.processes[&(0, 1)].killed && !world.pool.was_ended_for_silence(worker));
    world.now += policy::COOPERATION;
    world.event(Event::Tick);
    assert!(world.pool.was_ended_for_silence(worker), "and then it is made to");
    world.act(&Act::Wait(1_000));
    world.finish(true);
}

#[test]
fn only_a_worker_that_was_killed_at_its_start_deadline_has_missed_it() {
    let mut world = World::new(config(3, 3, 1, Prefetch::Auto), true);
    world.act(&Act::Start);
    world.spawn();
    let missed = |world: &World, slot| world.pool.has_missed_start(WorkerKey { slot, life: 1 });
    world.event(Event::Memory { worker: WorkerKey { slot: 0, life: 1 }, rss: 1 });
    world.act(&Act::Lie(1));
    assert!(!missed(&world, 0));
    world.now += 200_000;
    world.event(Event::Tick);
    assert!(missed(&world, 0) && missed(&world, 2));
    world.reap_killed();
    world.finish(true);
}

#[test]
fn what_is_decided_while_a_process_is_being_spawned_is_done_once_it_exists() {
    let mut world = World::new(config(1, 1, 1, Prefetch::Auto), true);
    world.act(&Act::Start);
    world.act(&Act::Terminate);
    assert_eq!((world.closed, world.processes.len()), (0, 1), "there is no process to kill yet");
    world.spawn();
    world.reap_killed();
    assert_eq!((world.closed, world.processes.len()), (1, 0));
}

#[test]
fn a_worker_of_so_many_tasks_is_succeeded_by_one_that_stood_by() {
    let mut world =
        World::new(PoolConfig { max_tasks: Some(2), ..config(1, 1, 1, Prefetch::Auto) }, true);
    submit(&mut world, 4);
    world.act(&Act::Ready(0));
    assert_eq!(world.processes.len(), 1);
    world.act(&Act::Wait(10));
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 1_900, failed: false });
    world.spawn();
    assert_eq!(world.processes.len(), 2, "its last task is sent: the other is started");
    world.act(&Act::Ready(1));
    assert!(world.processes[&(0, 2)].inbox.is_empty(), "only one of them runs tasks at a time");
    assert!(!world.processes[&(0, 1)].asked, "nor is a task disturbed");
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 1_900, failed: false });
    assert!(world.processes[&(0, 1)].asked, "it has had its tasks");
    assert_eq!(world.processes[&(0, 2)].inbox.len(), 1, "at the same moment the other has one");
    world.finish(true);
}

#[test]
fn what_was_sent_ahead_to_a_worker_that_is_too_old_goes_to_its_successor() {
    let max_age = Some(5_000);
    let mut world = World::new(PoolConfig { max_age, ..config(1, 1, 1, Prefetch::Fixed(4)) }, true);
    submit(&mut world, 4);
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Wait(1_000));
    world.act(&Act::Wait(4_000));
    world.act(&Act::Ready(1));
    assert_eq!(world.pool.waiting().0, 3, "the task that runs still has the place");
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 900, failed: false });
    assert_eq!(world.processes[&(0, 2)].inbox.len(), 3);
    world.finish(true);
}

#[test]
fn a_pool_that_is_made_smaller_takes_back_what_waits_at_the_workers_that_leave() {
    let mut world = World::new(config(2, 2, 1, Prefetch::Fixed(4)), true);
    world.act(&Act::Start);
    for worker in [0, 1] {
        world.act(&Act::Ready(worker));
    }
    submit(&mut world, 8);
    for worker in [0, 1] {
        world.act(&Act::Claim { worker, count: 1 });
    }
    world.act(&Act::Resize { min: 1, max: 1 });
    assert!(!world.processes[&(1, 1)].asked, "it ends what it runs");
    assert_eq!(world.pool.waiting().0, 3, "and nothing else");
    world.act(&Act::Reply { worker: 1, which: 0, elapsed: 5, failed: false });
    assert!(world.processes[&(1, 1)].asked);
    assert!(world.resizing.is_some(), "it is not gone yet");
    world.act(&Act::Die(1));
    assert!(world.resizing.is_none());
    world.act(&Act::Resize { min: 3, max: 3 });
    world.spawn();
    assert_eq!(world.processes.len(), 3);
    world.finish(true);
    assert_eq!(world.pool.counters().completed, 8);
}

#[test]
fn a_reload_replaces_one_worker_after_the_other_and_those_that_are_just_starting() {
    let mut world = World::new(config(3, 3, 1, Prefetch::Auto), true);
    world.act(&Act::Start);
    for worker in [0, 1] {
        world.act(&Act::Ready(worker));
    }
    world.act(&Act::Reload);
    world.spawn();
    assert_eq!(
        world.processes.keys().filter(|(_, life)| *life == 2).count(),
        1,
        "one successor at a time"
    );
    world.finish(false);
    assert!(world.reloading.is_none());
    assert!(world.processes.keys().all(|(_, life)| *life == 2), "{:?}", world.processes.keys());
    world.finish(true);
}

#[test]
fn a_reload_whose_workers_cannot_start_leaves_the_old_ones_in_their_places() {
    let mut world = World::new(config(1, 1, 1, Prefetch::Auto), true);
    world.act(&Act::Start);
    world.act(&Act::Ready(0));
    world.act(&Act::Reload);
    world.act(&Act::Refuse { worker: 1, permanent: true });
    assert!(world.reloading.is_none(), "the reload has failed");
    submit(&mut world, 1);
    world.act(&Act::Wait(100_000));
    assert_eq!(world.spawns, 2, "nor is it tried again");
    world.finish(true);
    assert_eq!(world.pool.counters().completed, 1);
}

#[test]
fn a_worker_that_is_used_up_is_replaced_even_if_the_reload_that_was_to_do_so_is_given_up() {
    let mut world =
        World::new(PoolConfig { max_tasks: Some(2), ..config(1, 1, 1, Prefetch::Auto) }, true);
    submit(&mut world, 1);
    world.act(&Act::Ready(0));
    world.act(&Act::Reload);
    for _ in 0..2 {
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 5, failed: false });
        submit(&mut world, 1);
    }
    world.spawn();
    assert_eq!(world.processes.len(), 2);
    world.act(&Act::Close(1));
    world.act(&Act::Die(1));
    world.finish(false);
    assert_eq!(world.pool.counters().completed, 3);
}

#[test]
fn a_place_whose_worker_is_replaced_has_room_for_as_many_tasks_as_ever() {
    let mut world = World::new(
        PoolConfig { max_age: Some(5_000), ..config(1, 1, 3, Prefetch::Fixed(1)) },
        true,
    );
    submit(&mut world, 9);
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 3 });
    world.act(&Act::Wait(5_000));
    world.act(&Act::Ready(1));
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 900, failed: false });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 900, failed: false });
    assert_eq!(world.processes[&(0, 1)].running.len(), 1);
    assert_eq!(world.processes[&(0, 2)].inbox.len(), 2);
    world.finish(true);
}

#[test]
fn a_worker_whose_successors_fail_goes_on_and_one_that_is_used_up_does_not_hold_a_pool_together() {
    for (max_tasks, max_age) in [(None, Some(5_000)), (Some(1), None)] {
        let mut world =
            World::new(PoolConfig { max_tasks, max_age, ..config(1, 1, 1, Prefetch::Auto) }, true);
        submit(&mut world, 1);
        world.act(&Act::Ready(0));
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 900, failed: false });
        submit(&mut world, 1);
        for _ in 0..8 {
            world.act(&Act::Wait(10_000));
            world.act(&Act::Die(1));
        }
        assert_eq!(world.pool.is_broken(), max_tasks.is_some());
        world.finish(true);
    }
}

#[test]
fn a_task_of_a_key_does_not_wait_for_a_used_up_worker_whose_successors_fail() {
    for key in 0..4 {
        let restart = RestartConfig { limit: 0, ..config(2, 2, 1, Prefetch::Auto).restart };
        let pool = PoolConfig { max_tasks: Some(1), restart, ..config(2, 2, 1, Prefetch::Auto) };
        let mut world = World::new(pool, true);
        world.act(&Act::Start);
        for worker in [0, 1] {
            world.act(&Act::Ready(worker));
        }
        let keyed =
            Act::Submit { timeout: None, retries: 0, handler: 0, priority: 0, key: Some(key) };
        world.act(&keyed);
        for worker in [0, 1] {
            world.act(&Act::Claim { worker, count: 1 });
            world.act(&Act::Reply { worker, which: 0, elapsed: 900, failed: false });
        }
        world.act(&keyed);
        assert_eq!(
            world.pool.waiting().0,
            1,
            "it waits for the successor of the worker that had the first one"
        );
        world.spawn();
        let successor = *world
            .processes
            .keys()
            .find(|(_, life)| *life == 2)
            .expect("a successor is being started");
        world.die(successor);
        world.act(&Act::Wait(1));
        assert_eq!(world.pool.waiting().0, 0, "the other worker has it");
        assert!(!world.pool.is_broken());
        world.finish(true);
    }
}

#[test]
fn two_tasks_of_one_key_wait_for_one_place_though_a_worker_is_used_up_between_them() {
    for key in 0..4 {
        let pool = PoolConfig { max_tasks: Some(1), ..config(2, 1, 1, Prefetch::Auto) };
        let mut world = World::new(pool, true);
        let submit = |key| Act::Submit { timeout: None, retries: 0, handler: 0, priority: 0, key };
        let claim = |worker| Act::Claim { worker, count: 1 };
        let reply = |worker| Act::Reply { worker, which: 0, elapsed: 0, failed: false };
        for act in [
            submit(None),
            Act::Ready(0),
            Act::Ready(125),
            submit(None),
            Act::Ready(53),
            claim(28),
            submit(None),
            reply(52),
            submit(Some(key)),
            claim(109),
            reply(233),
            submit(Some(key)),
        ] {
            world.act(&act);
            world.pool.assert_sound();
        }
        world.finish(true);
    }
}

#[test]
fn a_reply_that_a_dead_worker_left_behind_brings_it_no_other_task() {
    for pages in [true, false] {
        let mut world = World::new(config(1, 1, 1, Prefetch::Fixed(1)), pages);
        submit(&mut world, 2);
        world.act(&Act::Ready(0));
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Drop(0));
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 5, failed: false });
        assert_eq!(world.pool.waiting().0, 1, "the other task waits for the next worker");
        world.finish(true);
        assert_eq!((world.pool.counters().completed, world.pool.counters().failed), (2, 0));
    }
}

/// Makes a pool of one that captures stacks, with an overdue task.
fn overdue() -> World {
    let mut world =
        World::new(PoolConfig { capture_stack: true, ..config(1, 1, 1, Prefetch::Fixed(1)) }, true);
    world.act(&Act::Submit { timeout: Some(500), retries: 2, handler: 0, priority: 0, key: None });
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Wait(600));
    assert_eq!(world.settled.len(), 0, "it ends once it is known where the worker hangs");
    world
}

#[test]
fn an_overdue_task_ends_when_its_worker_has_said_where_it_hangs() {
    let mut world = overdue();
    world.act(&Act::Captured(0));
    assert_eq!((world.settled.len(), world.pool.counters().failed), (1, 1));
    world.act(&Act::Captured(0));
    world.finish(true);
}

// [C1]
#[test]
fn an_overdue_task_ends_when_its_worker_never_says_where_it_hangs() {
    let mut world = overdue();
    world.act(&Act::Wait(u32::try_from(crate::pool::policy::CAPTURE).expect("it is seconds")));
    assert_eq!((world.settled.len(), world.pool.counters().failed), (1, 1));
    world.finish(true);
}

#[test]
fn a_reply_that_comes_while_the_worker_is_asked_is_too_late() {
    let mut world = overdue();
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 700, failed: false });
    assert_eq!((world.settled.len(), world.pool.counters().failed), (1, 1));
    // The worker lives, and takes the next task once the capture is over.
    submit(&mut world, 1);
    assert!(world.processes.values().all(|process| process.inbox.is_empty()));
    world.act(&Act::Captured(0));
    assert!(world.processes.values().all(|process| process.inbox.len() == 1));
    world.finish(true);
    assert_eq!((world.spawns, world.pool.counters().completed), (1, 1));
}

#[test]
fn a_worker_that_dies_while_it_is_asked_has_an_overdue_task_and_not_one_to_retry() {
    let mut world = overdue();
    world.act(&Act::Die(0));
    assert_eq!((world.settled.len(), world.pool.counters().retried), (1, 0));
    world.finish(true);
}

#[test]
fn what_waits_is_served_by_others_while_a_worker_is_asked() {
    let mut world =
        World::new(PoolConfig { capture_stack: true, ..config(2, 2, 1, Prefetch::Fixed(1)) }, true);
    world.act(&Act::Submit { timeout: Some(500), retries: 0, handler: 0, priority: 0, key: None });
    for worker in [0, 1] {
        world.act(&Act::Ready(worker));
    }
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Wait(600));
    submit(&mut world, 3);
    for _ in 0..3 {
        world.act(&Act::Claim { worker: 1, count: 1 });
        world.act(&Act::Reply { worker: 1, which: 0, elapsed: 5, failed: false });
    }
    assert_eq!(world.pool.counters().completed, 3);
    assert_eq!(world.pool.counters().failed, 0);
    world.act(&Act::Terminate);
    world.finish(true);
}
