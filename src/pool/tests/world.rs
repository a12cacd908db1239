//! The model world: processes, the records of tasks, and the checks of every effect.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::pool::config::PoolConfig;
use crate::pool::ids::{AttemptId, Micros, StandbyId, Ticket, WorkerKey};
use crate::pool::key::AffinityKey;
use crate::pool::messages::{Body, Effect, Event, Evidence, Failure, ForgedClaim, NewTask};
use crate::pool::state::Pool;
use crate::pool::tests::acts::{AGEING, Act, Submission};

/// One process of the world.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// Set once the process exists. Until then signals reach no process.
    pub(super) spawned: bool,
    pub(super) ready: bool,
    /// Set if the process was told to stop before it got ready.
    pub(super) late: bool,
    pub(super) claims: bool,
    pub(super) epoch: u32,
    pub(super) started: u32,
    pub(super) forged: bool,
    /// Frames in the process's socket: attempt, epoch, task (its ticket and, as tickets are
    /// reused, its number).
    pub(super) inbox: VecDeque<(AttemptId, u32, (Ticket, u64))>,
    /// Attempts that are claimed and not replied to.
    pub(super) running: Vec<AttemptId>,
    /// The number of attempts that the process has started.
    pub(super) tasks: u64,
    pub(super) asked: bool,
    pub(super) killed: bool,
    /// Set if the process was told to stop, by whatever means.
    pub(super) told: bool,
    /// Set if the process has closed its channel.
    pub(super) closed: bool,
    pub(super) dead: bool,
    /// The time for which the process may hold results (µs).
    pub(super) hold: Micros,
}

/// One process that stands by.
#[derive(Debug, Default)]
pub(super) struct Standby {
    /// Set once the process exists.
    pub(super) spawned: bool,
    /// Set if the process was killed.
    pub(super) killed: bool,
}

/// The record of one accepted task.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) order: u64,
    /// The time of acceptance, less the span that the priority is worth: the task with the least
    /// is sent first.
    pub(super) due: i64,
    pub(super) priority: i8,
    pub(super) key: Option<u8>,
    /// Set once the task was sent to some worker, whatever became of it there.
    pub(super) sent: bool,
    pub(super) retries: u32,
    /// The number of attempts that ran user code.
    pub(super) ran: u32,
    pub(super) ends: u32,
    pub(super) cancelled: bool,
}

pub(super) struct World {
    pub(super) pool: Pool,
    pub(super) now: Micros,
    pub(super) concurrency: usize,
    pub(super) max_tasks: Option<u64>,
    pub(super) recycles: bool,
    /// The process of each slot that was last sent a task.
    pub(super) takers: HashMap<usize, u32>,
    /// True if workers have a claim word.
    pub(super) pages: bool,
    pub(super) processes: BTreeMap<(usize, u32), Process>,
    pub(super) gone: HashSet<(usize, u32)>,
    pub(super) standbys: BTreeMap<StandbyId, Standby>,
    /// The number of processes that should stand by.
    pub(super) standby: usize,
    /// True if workers have a maximum age.
    pub(super) ages: bool,
    /// The number of workers that were started from a standby.
    pub(super) taken: usize,
    /// Set once the pool has told that standbys die.
    pub(super) standbys_die: bool,
    pub(super) tasks: HashMap<Ticket, Record>,
    pub(super) free: Vec<Ticket>,
    pub(super) settled: Vec<Record>,
    /// The task of each attempt.
    pub(super) sent: HashMap<AttemptId, Ticket>,
    pub(super) next_ticket: Ticket,
    pub(super) accepted: u64,
    pub(super) spawns: usize,
    pub(super) closed: u32,
    pub(super) closing: bool,
    pub(super) terminated: bool,
    /// Set once workers were asked for.
    pub(super) begun: bool,
    /// The processes that never got ready, and are gone.
    pub(super) failed: HashSet<(usize, u32)>,
    /// The worker whose failed start was last told.
    pub(super) start_failure: Option<WorkerKey>,
    pub(super) broken: bool,
    pub(super) short: bool,
    pub(super) min_workers: usize,
    pub(super) max_workers: usize,
    /// The number of requests so far.
    pub(super) requests: u32,
    /// The latest resize, while it is not complete.
    pub(super) resizing: Option<u32>,
    /// The latest reload, while it is not complete, and the processes that it replaces.
    pub(super) reloading: Option<(u32, HashSet<(usize, u32)>)>,
}

impl World {
    pub(super) fn new(config: PoolConfig, pages: bool) -> Self {
        Self {
            concurrency: config.concurrency,
            max_tasks: config.max_tasks,
            recycles: config.max_tasks.is_some()
                || config.max_age.is_some()
                || config.recycle_memory.is_some(),
            min_workers: config.min_workers,
            max_workers: config.max_workers,
            standby: config.standby,
            ages: config.max_age.is_some(),
            takers: HashMap::new(),
            pool: Pool::new(config),
            now: 1,
            pages,
            processes: BTreeMap::new(),
            gone: HashSet::new(),
            standbys: BTreeMap::new(),
            taken: 0,
            standbys_die: false,
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

    pub(super) fn event(&mut self, event: Event) {
        self.now += 1;
        self.pool.handle(self.now, event);
        self.perform();
        self.pool.dispatch(self.now);
        self.perform();
        self.pool.assert_sound();
    }

    pub(super) fn perform(&mut self) {
        while let Some(effect) = self.pool.next_effect() {
            self.effect(effect);
        }
    }

    pub(super) fn process(&mut self, worker: WorkerKey) -> Option<&mut Process> {
        self.processes.get_mut(&(worker.slot, worker.life))
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::StartStandby { standby } => {
                assert!(
                    self.begun && !self.broken && !self.closing,
                    "a process stands by for a pool that does not work"
                );
                let starts = |process: &Process| !process.ready && !process.told;
                assert!(!self.processes.values().any(starts), "a standby delays a worker's start");
                // One that was given up before its process existed is killed once it exists.
                let counts = |(id, other): &(&StandbyId, &Standby)| {
                    !other.killed && (other.spawned || self.pool.is_standby_wanted(**id))
                };
                let others = self.standbys.iter().filter(counts).count();
                assert!(others < self.standby, "more processes stand by than wanted");
                assert!(self.standbys.insert(standby, Standby::default()).is_none());
            }
            Effect::EndStandby { standby } => {
                let standby = self.standbys.get_mut(&standby).expect("it is not reaped");
                assert!(standby.spawned && !standby.killed, "killed too soon, or twice");
                standby.killed = true;
            }
            Effect::StandbysDie => {
                assert!(!std::mem::replace(&mut self.standbys_die, true), "told twice");
            }
            Effect::Spawn { worker, standby } => {
                if let Some(standby) = standby.map(|id| self.standbys.remove(&id)) {
                    let usable = standby.is_some_and(|standby| standby.spawned && !standby.killed);
                    assert!(usable, "a standby is taken that is none");
                    self.taken += 1;
                }
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
            Effect::Hold { worker, hold } => {
                if let Some(process) = self.process(worker) {
                    process.hold = hold;
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
            Effect::Complete { ticket, run, .. } => {
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
                assert!(self.standbys.is_empty(), "closed with processes that stand by");
            }
        }
    }

    pub(super) fn end(&mut self, ticket: Ticket, check: impl FnOnce(&Record)) {
        let mut record = self.tasks.remove(&ticket).expect("an end of a task that is not open");
        record.ends += 1;
        check(&record);
        assert!(record.ran <= record.retries + 1, "{} starts", record.ran);
        self.settled.push(record);
        self.free.push(ticket);
    }

    pub(super) fn pick(&self, number: u8) -> Option<(usize, u32)> {
        let keys: Vec<_> = self.processes.keys().copied().collect();
        (!keys.is_empty()).then(|| keys[usize::from(number) % keys.len()])
    }

    /// The worker claims the next frames, as far as it may, and runs them.
    pub(super) fn claim(&mut self, key: (usize, u32), count: usize) {
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

    pub(super) fn drop(&mut self, key: (usize, u32)) {
        if let Some(process) = self.processes.get_mut(&key).filter(|process| !process.dead) {
            process.dead = true;
            self.event(Event::ExitObserved { worker: WorkerKey { slot: key.0, life: key.1 } });
        }
    }

    pub(super) fn die(&mut self, key: (usize, u32)) {
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
    pub(super) fn spawn(&mut self) {
        while let Some((&id, standby)) =
            self.standbys.iter_mut().find(|(_, standby)| !standby.spawned)
        {
            standby.spawned = true;
            self.event(Event::StandbySpawned { standby: id });
        }
        while let Some((&(slot, life), process)) =
            self.processes.iter_mut().find(|(_, process)| !process.spawned)
        {
            process.spawned = true;
            self.event(Event::Spawned { worker: WorkerKey { slot, life } });
        }
    }

    /// The next requested process cannot be spawned.
    pub(super) fn no_process(&mut self, permanent: bool) {
        let Some((&key, _)) = self.processes.iter().find(|(_, process)| !process.spawned) else {
            if let Some((&id, _)) = self.standbys.iter().find(|(_, standby)| !standby.spawned) {
                self.end_standby(id);
            }
            return;
        };
        self.processes.remove(&key);
        self.failed.insert(key);
        self.event(Event::SpawnFailed {
            worker: WorkerKey { slot: key.0, life: key.1 },
            permanent,
        });
    }

    pub(super) fn end_standby(&mut self, standby: StandbyId) {
        self.standbys.remove(&standby);
        self.event(Event::StandbyEnded { standby });
    }

    pub(super) fn open_ticket(&self, number: u8) -> Option<Ticket> {
        let mut open: Vec<_> = self.tasks.keys().copied().collect();
        open.sort_unstable();
        (!open.is_empty()).then(|| open[usize::from(number) % open.len()])
    }

    pub(super) fn act(&mut self, act: &Act) {
        // These acts need a process; the others may come before there is one.
        let needs_none = matches!(
            act,
            Act::Start
                | Act::Submit(_)
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
            Act::Submit(Submission { timeout, retries, handler, priority, key }) => {
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
            Act::StandbyDies(number) => {
                let ids: Vec<_> = self.standbys.keys().copied().collect();
                if !ids.is_empty() {
                    self.end_standby(ids[usize::from(number) % ids.len()]);
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
    pub(super) fn wait(&mut self, span: Micros) {
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
    pub(super) fn reap_killed(&mut self) {
        while let Some((&key, _)) = self.processes.iter().find(|(_, process)| process.killed) {
            self.die(key);
        }
    }

    /// Returns whether the pool has the workers that it should have.
    pub(super) fn is_staffed(&self) -> bool {
        let ready = self.pool.workers().filter(|row| ["idle", "busy"].contains(&row.state)).count();
        !self.begun || self.broken || ready >= self.min_workers
    }

    /// Returns whether the pool has the standbys that it should have. Where workers are replaced as
    /// soon as they are ready, some worker always starts, and no standby does.
    pub(super) fn has_standbys(&self) -> bool {
        let given_up = self.broken || self.standbys_die || self.ages;
        !self.begun || given_up || self.pool.standbys() >= self.standby
    }

    pub(super) fn check_counts(&self) {
        let counters = self.pool.counters();
        let ended = counters.completed + counters.failed + counters.cancelled;
        assert_eq!(counters.accepted, self.accepted);
        assert_eq!(ended as usize, self.settled.len());
        assert_eq!(self.pool.unsettled(), self.tasks.len());
    }

    /// Workers behave from now on; with `close`, the pool is closed as well. Everything must come
    /// to its end.
    pub(super) fn finish(&mut self, close: bool) {
        if close {
            self.act(&Act::Shutdown { drop_waiting: false, timeout: None });
        }
        for round in 0.. {
            self.spawn();
            assert!(round < 20_000, "never comes to an end: {} tasks open", self.tasks.len());
            let changing = self.resizing.is_some() || self.reloading.is_some();
            let done = if close { self.closed > 0 } else { !changing && self.is_staffed() };
            let mut pause = 500;
            if self.tasks.is_empty() && done {
                if close || self.has_standbys() {
                    break;
                }
                // Standbys start one by one.
                pause = 10_000;
            }
            while let Some((&id, _)) = self.standbys.iter().find(|(_, standby)| standby.killed) {
                self.end_standby(id);
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
            self.wait(pause);
        }
        self.check_counts();
        assert!(self.settled.iter().all(|record| record.ends == 1));
        assert_eq!(self.settled.len() as u64, self.accepted, "every accepted task ends");
        assert!(self.closed <= 1);
    }
}
