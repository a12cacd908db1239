//! Performs what the state machine decides: the state machine and the links to the workers, behind
//! one lock, and the ways in from both sides.
//!
//! The lock is held for microseconds: to take in a batch of replies, to hand out tasks, to write to
//! sockets that never block. A JavaScript thread only ever *tries* to take it. If it gets it, it
//! dispatches its task itself, which spares an idle worker's task the detour over the supervisor
//! thread; if not, whoever holds it looks into the inbox again before letting go. Processes are
//! started on the supervisor thread only.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::buffer_pool::Bytes;
use crate::errors::Breach;
use crate::pool::config::PoolConfig;
use crate::pool::ids::{AttemptId, Micros, Ticket, WorkerKey};
use crate::pool::lifecycle::ExitReason;
use crate::pool::messages::{Body, Effect, Event, Failure, NewTask, RunInfo};
use crate::pool::state::{Pool, Times, WorkerRow};
use crate::pool::tasks::Counters;
use crate::supervisor::config::{QueueLimits, StdioMode, WorkerConfig};
use crate::supervisor::link::Link;
use crate::supervisor::links::Links;
use crate::supervisor::oom_message;
use crate::supervisor::outbox::Outbox;
use crate::supervisor::replies::{Reply, payload_reply, task_row, uses_v8};
use crate::supervisor::report::{self, ExitReport, SpawnFailure};
use crate::supervisor::rows::{Batch, Kind, Row, flags};
use crate::wire::down::AbortReason;
use crate::wire::{Frame, Serialization, Up};

/// Microseconds since the first call in this process, on the monotonic clock.
pub fn now() -> Micros {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    Micros::try_from(elapsed.as_micros()).unwrap_or(Micros::MAX)
}

/// A timer that is late by more than this was not kept by anybody. A busy machine makes them late
/// by less.
const LATE: Micros = 500_000;
/// What everybody gets after such a time, to be heard before anything is declared overdue.
const GRACE: Micros = 100_000;

/// An inbox with room for more events than this is given back once it is empty.
const KEEP_EVENTS: usize = 1024;

/// One pool, as both threads see it.
pub struct PoolHandle {
    driver: Mutex<Driver>,
    inbox: Mutex<Vec<Event>>,
    /// What JavaScript is told.
    pub outbox: Outbox,
    /// How workers are started.
    pub worker_config: WorkerConfig,
    /// Wakes the pool's actor: the inbox, a spawn or an earlier deadline waits for it.
    pub wake: Notify,
    limits: QueueLimits,
    /// Tasks that can run at once.
    capacity: AtomicUsize,
    /// Bytes of resident memory beyond which a worker is killed.
    max_memory: Option<u64>,
    /// The lowest number of resident bytes that matters to the pool.
    pub memory_threshold: Option<u64>,
    /// Whether a submission should be looked at now, and not with the next reply.
    hungry: AtomicBool,
    unsettled: AtomicI64,
    waiting_bytes: AtomicI64,
    /// A submission was refused, and nobody was told yet that there is room again.
    refused: AtomicBool,
    /// For how long nobody was there to keep the time, in microseconds.
    away: AtomicU64,
    /// Somebody listens to what the workers print.
    stdio_listening: AtomicBool,
}

/// What the lock protects.
pub struct Driver {
    pool: Pool,
    links: Links,
    /// Workers to be started, by the supervisor thread.
    pub spawns: VecDeque<WorkerKey>,
    /// When the pool's actor will wake by itself.
    armed: Option<Micros>,
    /// Empty: changes places with the inbox, so that neither has to grow again and again.
    events: Vec<Event>,
    batch: Batch,
    exit_report: Option<ExitReport>,
    /// Where the worker hangs whose overdue tasks are being ended.
    stuck_at: Option<String>,
    /// The error of a task, or of the start, says how the worker broke the protocol: no event
    /// need.
    violation_told: bool,
    last_start_failure: Vec<u8>,
    start_timeout: Micros,
}

/// The lock, held. JavaScript is woken when it is let go, and not before: the first thing it does
/// may be to hand in a task.
pub struct DriverGuard<'a> {
    shared: &'a PoolHandle,
    /// There until the end.
    driver: Option<MutexGuard<'a, Driver>>,
}

/// Why a task was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueFull {
    /// As many tasks wait as may.
    Tasks,
    /// As many bytes wait as may.
    Bytes,
}

/// What `stats()` tells.
pub struct Snapshot {
    pub counters: Counters,
    pub waiting: (usize, u64),
    pub times: Times,
    /// Each worker with its process id and the time it was spawned at.
    pub workers: Vec<(WorkerRow, Option<(i32, Micros)>)>,
}

impl PoolHandle {
    pub fn new(
        config: PoolConfig,
        worker_config: WorkerConfig,
        limits: QueueLimits,
        outbox: Outbox,
    ) -> Self {
        let slots = config.max_workers;
        let capacity = slots * worker_config.concurrency;
        let max_memory = config.max_memory;
        let memory_threshold = config.recycle_memory.into_iter().chain(max_memory).min();
        let driver = Driver {
            start_timeout: config.start_timeout,
            pool: Pool::new(config),
            links: Links::new(slots),
            spawns: VecDeque::new(),
            armed: None,
            events: Vec::new(),
            batch: Batch::default(),
            exit_report: None,
            stuck_at: None,
            violation_told: false,
            last_start_failure: b"null".to_vec(),
        };
        Self {
            driver: Mutex::new(driver),
            inbox: Mutex::new(Vec::new()),
            outbox,
            worker_config,
            wake: Notify::new(),
            capacity: AtomicUsize::new(capacity),
            limits,
            max_memory,
            memory_threshold,
            hungry: AtomicBool::new(true),
            unsettled: AtomicI64::new(0),
            waiting_bytes: AtomicI64::new(0),
            refused: AtomicBool::new(false),
            away: AtomicU64::new(0),
            stdio_listening: AtomicBool::new(false),
        }
    }

    // ---- From JavaScript

    /// Accepts a task, or refuses it for want of room.
    pub fn submit(&self, task: NewTask) -> Result<(), QueueFull> {
        if let Err(full) = self.room(task.body.size()) {
            self.refused.store(true, Ordering::SeqCst);
            // Room may have come up in between, with nobody left to tell of it.
            self.wake.notify_one();
            return Err(full);
        }
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(signed(task.body.size()), Ordering::Relaxed);
        let first = {
            let mut inbox = self.lock_inbox();
            inbox.push(Event::Submit(task));
            inbox.len() == 1
        };
        // Whoever put the first one there has seen to it that somebody will look. Either this
        // thread sees that somebody is hungry, or whoever said so sees the task: both store, then
        // load.
        fence(Ordering::SeqCst);
        if first && self.hungry.load(Ordering::Relaxed) {
            self.wake_or_run();
        }
        Ok(())
    }

    /// Whether a task of `size` bytes would be accepted. One that can run at once is, whatever its
    /// size.
    fn room(&self, size: usize) -> Result<(), QueueFull> {
        let limits = self.limits;
        let capacity = self.capacity.load(Ordering::Relaxed);
        let unsettled = usize::try_from(self.unsettled.load(Ordering::Relaxed)).unwrap_or(0);
        if unsettled < capacity {
            return Ok(());
        }
        if unsettled >= capacity.saturating_add(limits.tasks) {
            return Err(QueueFull::Tasks);
        }
        let waiting = usize::try_from(self.waiting_bytes.load(Ordering::Relaxed)).unwrap_or(0);
        if waiting.saturating_add(size) > limits.bytes { Err(QueueFull::Bytes) } else { Ok(()) }
    }

    /// Whether the smallest task would be accepted; if not, an event will tell when.
    pub fn want_room(&self) -> bool {
        if self.room(0).is_ok() {
            return true;
        }
        self.refused.store(true, Ordering::SeqCst);
        self.wake.notify_one();
        false
    }

    /// From now on the pool has so many workers; an event tells when it has. `number` tells this
    /// request from others.
    pub fn resize(&self, min_workers: usize, max_workers: usize, number: u32) {
        self.capacity.store(max_workers * self.worker_config.concurrency, Ordering::Relaxed);
        self.post(Event::Resize { min_workers, max_workers, number });
    }

    /// Anything but a task: handled soon, after all that was submitted before.
    pub fn post(&self, event: Event) {
        self.lock_inbox().push(event);
        self.wake_or_run();
    }

    /// The environment is going away: nothing can be told any more, and no process may be left.
    pub fn abandon(&self) {
        self.outbox.close();
        let mut driver = self.lock();
        driver.links.each(Link::kill);
        drop(driver);
        self.post(Event::Terminate);
    }

    /// The process is about to be gone: no other may be left, and none may be started. Wakes
    /// nobody: that takes what tokio keeps for each thread, and this thread may have given that up
    /// already.
    pub fn end(&self) {
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        driver.links.each(Link::kill_untold);
        self.lock_inbox().push(Event::Terminate);
    }

    /// Whether anybody listens to what the workers print.
    pub fn set_stdio_listening(&self, listening: bool) {
        self.stdio_listening.store(listening, Ordering::Relaxed);
    }

    /// For `stats()`.
    pub fn snapshot(&self) -> Snapshot {
        let mut driver = self.lock();
        // What was submitted before this call counts.
        self.run_once(&mut driver);
        let Driver { pool, links, .. } = &mut *driver;
        let workers = pool.workers().map(|row| {
            let process = links.get(row.key).map(|link| (link.raw_pid(), link.spawned_at));
            (row, process)
        });
        let workers = workers.collect();
        Snapshot {
            workers,
            counters: pool.counters(),
            waiting: pool.waiting(),
            times: pool.times(self.now()),
        }
    }

    /// Sends a message to all workers that are ready, or to the one of this number, except where
    /// too much waits already. To how many.
    pub fn send(&self, worker_id: Option<u32>, message: &Body) -> u32 {
        let mut driver = self.lock();
        // What was submitted before this call goes first.
        self.run_once(&mut driver);
        let Driver { pool, links, .. } = &mut *driver;
        let mut reached = 0;
        for worker in pool.listeners(worker_id) {
            if let Some(link) = links.get(worker) {
                reached += u32::from(link.send_message(message));
                link.flush();
            }
        }
        reached
    }

    /// JavaScript could not read what a worker said: the places of raw bytes and structured-clone
    /// data are looked into there only. The worker has broken the protocol, which JavaScript has
    /// told. It may be gone already.
    pub fn kill_for_protocol_error(&self, pid: i32, what: String) {
        let mut driver = self.lock();
        let mut sender = None;
        driver.links.each(|link| {
            if link.raw_pid() == pid && link.violation.is_none() {
                link.violation_told = true;
                sender = Some(link.key);
            }
        });
        if let Some(worker) = sender {
            driver.violated(self, worker, what);
        }
        self.run_once(&mut driver);
    }

    /// JavaScript could not take the result of a task, which has failed instead.
    pub fn disown_result(&self) {
        self.lock().pool.disown_result();
    }

    fn wake_or_run(&self) {
        match self.driver.try_lock() {
            Ok(driver) => self.run_once(&mut self.visit(driver)),
            // On the supervisor thread, and it may be past the point where it looks into the inbox.
            Err(TryLockError::WouldBlock) => self.wake.notify_one(),
            Err(TryLockError::Poisoned(poisoned)) => {
                self.run_once(&mut self.visit(poisoned.into_inner()))
            }
        }
    }

    /// The pool's time: that of the monotonic clock without what passed while this process could
    /// not do anything.
    pub fn now(&self) -> Micros {
        now().saturating_sub(self.away.load(Ordering::Relaxed))
    }

    /// The pool's actor was to wake at `deadline`, and does so now. If that is much too late, this
    /// process was stopped, or the whole machine slept. Nobody could hear the workers meanwhile, or
    /// they did not run either: such time is not counted against their tasks.
    pub fn woken(&self, deadline: Micros) {
        let late = self.now().saturating_sub(deadline);
        if late > LATE {
            tracing::debug!(ms = late / 1000, "away");
            self.away.fetch_add(late + GRACE, Ordering::Relaxed);
        }
    }

    // ---- From either thread

    pub fn lock(&self) -> DriverGuard<'_> {
        // A panic in the pool is a bug; going on as well as can be is better than hanging every
        // task.
        self.visit(self.driver.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn visit<'a>(&'a self, driver: MutexGuard<'a, Driver>) -> DriverGuard<'a> {
        DriverGuard { shared: self, driver: Some(driver) }
    }

    fn lock_inbox(&self) -> MutexGuard<'_, Vec<Event>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was submitted, hands out tasks, writes to the workers and queues what
    /// JavaScript is to be told. The last thing in every visit.
    pub fn run_once(&self, driver: &mut Driver) {
        let now = self.now();
        let mut events = std::mem::take(&mut driver.events);
        loop {
            std::mem::swap(&mut events, &mut *self.lock_inbox());
            for event in events.drain(..) {
                tracing::trace!(?event, "event");
                driver.pool.handle(now, event);
                // Most are tasks, which are only queued.
                if driver.pool.has_effects() {
                    driver.perform(self, now, &mut None);
                }
            }
            driver.pool.dispatch(now);
            driver.perform(self, now, &mut None);
            self.hungry.store(driver.pool.wants_immediate_dispatch(), Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if self.lock_inbox().is_empty() {
                break;
            }
        }
        if events.capacity() <= KEEP_EVENTS {
            driver.events = events;
        }
        driver.links.each(Link::flush);
        if self.refused.load(Ordering::Relaxed)
            && self.room(0).is_ok()
            && self.refused.swap(false, Ordering::SeqCst)
        {
            driver.tell(self, 0, br#"{"event":"drain"}"#);
        }
        self.outbox.append(&mut driver.batch);
        let deadline = driver.pool.next_deadline();
        let earlier =
            deadline.is_some_and(|deadline| driver.armed.is_none_or(|armed| deadline < armed));
        if earlier || !driver.spawns.is_empty() || driver.pool.is_closed() {
            self.wake.notify_one();
        }
    }

    /// A chunk that a worker printed.
    pub fn printed(&self, worker: WorkerKey, pid: i32, kind: Kind, chunk: &[u8]) {
        if self.worker_config.stdio == StdioMode::Pipe
            && self.stdio_listening.load(Ordering::Relaxed)
        {
            let mut batch = Batch::default();
            batch.push(Row::of(kind, worker.worker_id(), pid), b"0", vec![Bytes::copy_of(chunk)]);
            self.outbox.append(&mut batch);
            self.outbox.wake();
        }
    }

    fn settled(&self) {
        self.unsettled.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Deref for DriverGuard<'_> {
    type Target = Driver;

    fn deref(&self) -> &Driver {
        self.driver.as_ref().expect("it is there until the end")
    }
}

impl DerefMut for DriverGuard<'_> {
    fn deref_mut(&mut self) -> &mut Driver {
        self.driver.as_mut().expect("it is there until the end")
    }
}

impl Drop for DriverGuard<'_> {
    fn drop(&mut self) {
        self.driver = None;
        self.shared.outbox.wake();
    }
}

impl Driver {
    /// When the pool's actor is to wake by itself; it does so from now on.
    pub fn arm(&mut self) -> Option<Micros> {
        self.armed = self.pool.next_deadline();
        self.armed
    }

    /// Whether everything is over and every process reaped.
    pub fn is_over(&self) -> bool {
        self.pool.is_closed() && self.links.is_empty()
    }

    /// The link of this life, if its process has not been reaped.
    pub fn link(&mut self, worker: WorkerKey) -> Option<&mut Link> {
        self.links.get(worker)
    }

    /// Lets the pool's timers run.
    pub fn tick(&mut self, shared: &PoolHandle) {
        self.handle(shared, shared.now(), Event::Tick, None);
    }

    /// Whether a process is still to be started for this life of its slot.
    pub fn is_wanted(&mut self, worker: WorkerKey) -> bool {
        self.pool.is_wanted(worker)
    }

    /// A process was started.
    pub fn spawned(&mut self, shared: &PoolHandle, link: Link) {
        let worker = link.key;
        self.links.add(link);
        self.handle(shared, shared.now(), Event::Spawned { worker }, None);
    }

    /// It was not, for this reason, or because it was no longer wanted.
    pub fn spawn_failed(
        &mut self,
        shared: &PoolHandle,
        worker: WorkerKey,
        failure: Option<SpawnFailure>,
    ) {
        let permanent = failure.as_ref().is_some_and(|failure| failure.permanent);
        self.exit_report = failure.map(|failure| ExitReport {
            worker_id: worker.worker_id(),
            spawn_failure: Some(failure),
            ..ExitReport::default()
        });
        self.handle(shared, shared.now(), Event::SpawnFailed { worker, permanent }, None);
        self.exit_report = None;
    }

    /// The worker's end of the channel is closed.
    pub fn channel_closed(&mut self, shared: &PoolHandle, worker: WorkerKey) {
        self.handle(shared, shared.now(), Event::ChannelClosed { worker }, None);
    }

    /// The worker said what makes no sense.
    pub fn violated(&mut self, shared: &PoolHandle, worker: WorkerKey, what: impl ToString) {
        let what = what.to_string();
        tracing::debug!(worker = worker.worker_id(), %what, "protocol violation");
        if let Some(link) = self.link(worker) {
            link.violation.get_or_insert(what);
        }
        self.handle(shared, shared.now(), Event::Violated { worker }, None);
    }

    /// So many bytes of the worker's memory are resident.
    pub fn memory(&mut self, shared: &PoolHandle, worker: WorkerKey, rss: u64) {
        self.handle(shared, shared.now(), Event::Memory { worker, rss }, None);
    }

    /// A worker was asked where it hangs.
    pub fn captured(&mut self, shared: &PoolHandle, worker: WorkerKey, stack: Option<String>) {
        self.stuck_at = stack;
        self.handle(shared, shared.now(), Event::Captured { worker }, None);
        self.stuck_at = None;
    }

    /// Whether the worker has broken the protocol.
    pub fn has_violated(&self, worker: WorkerKey) -> bool {
        self.pool.has_violated(worker)
    }

    /// The process is dead, and what it left behind is about to be read.
    pub fn died(&mut self, shared: &PoolHandle, worker: WorkerKey) {
        self.handle(shared, shared.now(), Event::ExitObserved { worker }, None);
    }

    /// The process is dead and silent: takes its link away, so that it can be reaped.
    pub fn take_link(&mut self, worker: WorkerKey) -> Option<Link> {
        self.links.remove(worker)
    }

    /// Whether this worker owes a reply to this start.
    pub fn expects(&mut self, worker: WorkerKey, attempt_id: AttemptId) -> bool {
        self.pool.expects(worker, attempt_id)
    }

    /// Why the pool is ending this worker, if it is.
    pub fn leaving(&self, worker: WorkerKey) -> Option<ExitReason> {
        self.pool.leaving(worker)
    }

    /// It was killed, or could not be, and nobody waits for its end any more.
    pub fn left_behind(&mut self, shared: &PoolHandle, link: &Link, after: Duration) {
        let after = Micros::try_from(after.as_micros()).unwrap_or(Micros::MAX);
        let worker_id = link.key.worker_id();
        self.tell(
            shared,
            worker_id,
            &report::left_behind(worker_id, link.raw_pid(), after, link.unkillable),
        );
    }

    /// It is gone, or as good as: settles what it had.
    pub fn exited(&mut self, shared: &PoolHandle, link: Link, mut exit_report: ExitReport) {
        let worker = link.key;
        exit_report.memory_limit = shared.max_memory.filter(|_| self.pool.is_over_memory(worker));
        exit_report.start_timeout =
            self.pool.has_missed_start(worker).then_some(self.start_timeout);
        exit_report.channel_closed =
            exit_report.ended_by_us() && self.pool.was_ended_for_silence(worker);
        let evidence = link.evidence(self.pool.claims(worker));
        if !link.ready && link.refusal.is_none() && cannot_begin(shared, &exit_report) {
            // As if it had said so itself.
            self.handle(
                shared,
                shared.now(),
                Event::StartRefused { worker, permanent: true },
                None,
            );
        }
        // A start failure says it, too.
        self.violation_told = !link.ready || link.violation_told;
        // Its descriptors are closed before anybody is told of its end, which may be that of the
        // pool.
        drop(link);
        self.exit_report = Some(exit_report);
        self.handle(shared, shared.now(), Event::Reaped { worker, evidence }, None);
        self.exit_report = None;
    }

    /// One frame of a worker, which was read at `now`.
    pub fn receive(
        &mut self,
        shared: &PoolHandle,
        now: Micros,
        worker: WorkerKey,
        frame: &Frame<'_>,
    ) {
        if uses_v8(&frame.envelope) && shared.worker_config.serialization == Serialization::Json {
            return self.violated(shared, worker, Breach::Encoding);
        }
        let link = self.link(worker);
        let pid = link.as_ref().map_or(0, |link| link.raw_pid());
        let Some(blobs) = frame.raw.copies(|at, lengths| link?.take_shared(at, lengths)) else {
            return self.violated(shared, worker, Breach::SharedOffset);
        };
        match &frame.envelope {
            Up::Result { id, elapsed, envelope, payload } => {
                let mut scratch = Vec::new();
                let mut reply = payload_reply(Kind::Result, pid, payload, blobs, &mut scratch);
                if *envelope {
                    reply.flags |= flags::ENVELOPE;
                }
                self.replied(shared, now, worker, (*id, *elapsed), reply, frame);
            }
            Up::Error { id, elapsed, error } => {
                let value = error.get().as_bytes();
                let reply =
                    Reply { kind: Kind::TaskError, pid, flags: 0, value, blobs: Vec::new() };
                self.replied(shared, now, worker, (*id, *elapsed), reply, frame);
            }
            Up::Message { payload } => {
                let mut scratch = Vec::new();
                let reply = payload_reply(Kind::Message, pid, payload, blobs, &mut scratch);
                let row =
                    Row { flags: reply.flags, ..Row::of(Kind::Message, worker.worker_id(), pid) };
                self.say(shared, row, reply.value, reply.blobs);
            }
            Up::Progress { id, payload } | Up::Chunk { id, payload, .. } => {
                let (kind, ticket) = match &frame.envelope {
                    Up::Chunk { .. } => (Kind::Chunk, self.pool.take_chunk(worker, *id)),
                    _ => (Kind::Progress, self.pool.ticket(worker, *id)),
                };
                // Of a task that was aborted or is overdue nobody wants to know any more.
                if let Some(ticket) = ticket {
                    let mut scratch = Vec::new();
                    let reply = payload_reply(kind, pid, payload, blobs, &mut scratch);
                    let row = Row {
                        ticket,
                        flags: reply.flags,
                        ..Row::of(kind, worker.worker_id(), pid)
                    };
                    self.say(shared, row, reply.value, reply.blobs);
                }
            }
            Up::Ready { version, page, shares } => {
                if *version != crate::wire::PROTOCOL_VERSION {
                    let pool = crate::wire::PROTOCOL_VERSION;
                    return self.violated(
                        shared,
                        worker,
                        Breach::Version { worker: *version, pool },
                    );
                }
                // One that was told to go has not got ready, even if it says so now: its start has
                // failed.
                let in_time = self.pool.leaving(worker).is_none();
                let Some(link) = self.link(worker) else { return };
                if link.ready {
                    return self.violated(shared, worker, Breach::ReadyTwice);
                }
                link.ready = in_time;
                let claims = *page && link.has_page();
                link.shares = *shares;
                self.handle(shared, now, Event::Ready { worker, claims }, None);
            }
            Up::Fail { error, permanent } => {
                let Some(link) = self.link(worker) else { return };
                if link.ready {
                    return self.violated(shared, worker, Breach::FailAfterReady);
                }
                link.refusal = Some((*error).to_owned());
                self.handle(
                    shared,
                    now,
                    Event::StartRefused { worker, permanent: *permanent },
                    None,
                );
            }
            // The worker's actor keeps it.
            Up::Log { .. } => {}
        }
    }

    /// One frame that a worker held when it died. It counts if it answers a task that is still
    /// open, or gives its next value.
    pub fn receive_held(&mut self, shared: &PoolHandle, worker: WorkerKey, frame: &Frame<'_>) {
        let counts = match &frame.envelope {
            Up::Result { id, .. } | Up::Error { id, .. } => self.pool.expects(worker, *id),
            // It may have been written as well.
            Up::Chunk { id, index: Some(index), .. } => {
                self.pool.chunks(worker, *id) == Some(*index)
            }
            _ => false,
        };
        if counts {
            self.receive(shared, shared.now(), worker, frame);
        }
    }

    fn replied(
        &mut self,
        shared: &PoolHandle,
        now: Micros,
        worker: WorkerKey,
        (attempt_id, elapsed): (AttemptId, u64),
        reply: Reply<'_>,
        frame: &Frame<'_>,
    ) {
        let failed = reply.kind == Kind::TaskError;
        // A worker of another kind may not measure at all, and says 0.
        let elapsed = (elapsed > 0 || self.pool.claims(worker).is_some())
            .then(|| u32::try_from(elapsed).unwrap_or(u32::MAX));
        if !self.pool.expects(worker, attempt_id) {
            let excerpt = crate::wire::excerpt(frame.line);
            return self.violated(shared, worker, Breach::UnknownTask { excerpt });
        }
        self.handle(
            shared,
            now,
            Event::Replied { worker, attempt_id, elapsed, failed },
            Some(reply),
        );
    }

    fn handle(&mut self, shared: &PoolHandle, now: Micros, event: Event, reply: Option<Reply<'_>>) {
        tracing::trace!(?event, "event");
        self.pool.handle(now, event);
        self.perform(shared, now, &mut { reply });
    }

    fn perform(&mut self, shared: &PoolHandle, now: Micros, reply: &mut Option<Reply<'_>>) {
        while let Some(effect) = self.pool.next_effect() {
            tracing::trace!(?effect, "effect");
            match effect {
                Effect::Complete { ticket, run } => {
                    shared.settled();
                    if let Some(reply) = reply.take() {
                        let row = Row {
                            pid: reply.pid,
                            ..task_row(reply.kind, ticket, reply.flags, &run)
                        };
                        self.say(shared, row, reply.value, reply.blobs);
                    }
                }
                Effect::Send { worker, attempt_id, epoch, attempt, task } => {
                    // The task may have been given up since.
                    if let Some(link) = self.links.get(worker)
                        && let Some(body) = self.pool.body(task)
                    {
                        link.send_task(attempt_id, epoch, attempt, body);
                    }
                }
                Effect::Reclaim { worker, epoch } => {
                    let Some(link) = self.link(worker) else { continue };
                    let started = link.reclaim(epoch);
                    self.pool.handle(now, Event::Reclaimed { worker, started });
                    if self.pool.has_violated(worker)
                        && let Some(link) = self.link(worker)
                    {
                        link.violation.get_or_insert_with(|| Breach::Claims.to_string());
                    }
                }
                Effect::Spawn { worker } => self.spawns.push_back(worker),
                Effect::Abort { worker, attempt_id, overdue } => {
                    let reason = if overdue { AbortReason::Timeout } else { AbortReason::Abort };
                    self.with_link(worker, |link| link.send_abort(attempt_id, reason));
                }
                Effect::Credit { worker, attempt_id, count } => {
                    self.with_link(worker, |link| link.send_credit(attempt_id, count))
                }
                Effect::Capture { worker } => self.with_link(worker, Link::want_stack),
                Effect::Stop { worker } => self.with_link(worker, Link::send_stop),
                Effect::Terminate { worker } => self.with_link(worker, |link| link.terminate()),
                Effect::Kill { worker } => self.with_link(worker, Link::kill),
                Effect::Fail { ticket, run, failure } => self.fail(shared, ticket, run, failure),
                Effect::Retry { ticket, worker, attempt } => {
                    let error = self.crashed(worker);
                    let row = Row { ticket, attempt, ..Row::new(Kind::Event, worker.worker_id()) };
                    self.say(shared, row, &report::retry(attempt, &error), Vec::new());
                    // Once the task's next start has ended, its ticket may soon be another task's:
                    // this, and what this start said of it, must have been told by then.
                    shared.outbox.append(&mut self.batch);
                    shared.outbox.settle(worker.worker_id());
                }
                Effect::Online { worker } => {
                    if let Some(pid) = self.link(worker).map(|link| link.raw_pid()) {
                        self.tell(
                            shared,
                            worker.worker_id(),
                            &report::online(worker.worker_id(), pid),
                        );
                    }
                }
                Effect::LostKeys { worker, keys } => {
                    for key in keys {
                        self.tell(
                            shared,
                            worker.worker_id(),
                            &report::lost_key(worker.worker_id(), &key),
                        );
                    }
                }
                Effect::Exit { worker, reason, tasks_done } => {
                    let Some(exit_report) = &self.exit_report else { continue };
                    let violation = exit_report.violation().filter(|_| !self.violation_told);
                    let exit = exit_report.exit(reason.as_str(), tasks_done);
                    for event in violation.into_iter().chain([exit]) {
                        self.tell(shared, worker.worker_id(), &event);
                    }
                }
                Effect::Started => self.tell(shared, 0, br#"{"event":"started"}"#),
                Effect::Resized { number } => {
                    self.tell(shared, 0, &report::changed("resized", number))
                }
                Effect::Reloaded { number } => {
                    self.tell(shared, 0, &report::changed("reloaded", number))
                }
                Effect::ReloadFailed { number } => {
                    let event = report::reload_failed(number, &self.last_start_failure);
                    self.tell(shared, 0, &event);
                }
                Effect::StartFailed { .. } => {
                    if let Some(exit_report) = &self.exit_report {
                        self.last_start_failure = exit_report.start_failure();
                    }
                }
                Effect::Short => {
                    let event = report::short_event(&self.last_start_failure);
                    self.tell(shared, 0, &event);
                }
                Effect::Broken => {
                    let event = report::broken_event(&self.last_start_failure);
                    self.tell(shared, 0, &event);
                }
                Effect::Closed(closed) => {
                    shared.outbox.append(&mut self.batch);
                    shared.outbox.settle_all();
                    self.tell(shared, 0, &report::shut_down(closed));
                }
            }
        }
        let change = self.pool.take_waiting_change();
        if change != 0 {
            shared.waiting_bytes.fetch_add(change, Ordering::Relaxed);
        }
    }

    fn with_link(&mut self, worker: WorkerKey, act: impl FnOnce(&mut Link)) {
        if let Some(link) = self.link(worker) {
            act(link);
        }
    }

    fn tell(&mut self, shared: &PoolHandle, worker_id: u32, event: &[u8]) {
        self.say(shared, Row::new(Kind::Event, worker_id), event, Vec::new());
    }

    /// JavaScript will be told this. `value` is one well-formed JSON text.
    fn say(&mut self, shared: &PoolHandle, row: Row, value: &[u8], blobs: Vec<Bytes>) {
        if !self.batch.takes(row.worker_id) {
            shared.outbox.append(&mut self.batch);
        }
        self.batch.push(row, value, blobs);
    }

    fn fail(
        &mut self,
        shared: &PoolHandle,
        ticket: Ticket,
        run: Option<RunInfo>,
        failure: Failure,
    ) {
        shared.settled();
        let worker = run.map(|run| run.worker);
        let value = match failure {
            Failure::Crashed => worker.map_or_else(Vec::new, |worker| self.crashed(worker)),
            Failure::Protocol => {
                self.violation_told = true;
                self.exit_report.as_ref().map_or_else(Vec::new, ExitReport::protocol)
            }
            Failure::Timeout(limit) => {
                let worker_id = worker.map_or(0, WorkerKey::worker_id);
                let pid = worker.and_then(|worker| self.link(worker)).map(|link| link.raw_pid());
                report::timeout(limit, worker_id, pid, self.stuck_at.as_deref())
            }
            Failure::Aborted => br#"{"kind":"aborted"}"#.to_vec(),
            Failure::Closed { maybe_executed } => report::closed(maybe_executed),
            Failure::Broken { maybe_executed } => {
                report::broken(&self.last_start_failure, maybe_executed)
            }
        };
        let row = match run {
            Some(run) => task_row(Kind::TaskFailed, ticket, 0, &run),
            None => Row { ticket, ..Row::new(Kind::TaskFailed, 0) },
        };
        self.say(shared, row, &value, Vec::new());
    }

    /// Failure object of a task of the worker that is being buried.
    fn crashed(&self, worker: WorkerKey) -> Vec<u8> {
        match &self.exit_report {
            Some(exit_report) => exit_report.crashed(),
            // Cannot be: tasks crash only when their worker is buried.
            None => ExitReport { worker_id: worker.worker_id(), ..ExitReport::default() }.crashed(),
        }
    }
}

/// Whether this was a Node.js that could not even begin, and not one that the pool has ended.
fn cannot_begin(shared: &PoolHandle, exit_report: &ExitReport) -> bool {
    let config = &shared.worker_config;
    config.is_node
        && matches!(exit_report.leaving, None | Some(ExitReason::Startup))
        && oom_message::say_node_cannot_begin(
            &exit_report.stderr,
            exit_report.code,
            &config.command.to_string_lossy(),
        )
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// A pool as it is shared between threads.
pub type SharedPool = Arc<PoolHandle>;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::io::Interest;
    use tokio::sync::Notify;

    use super::*;
    use crate::pool::config::RestartConfig;
    use crate::process::readiness::watch;
    use crate::process::{Pid, Target};
    use crate::supervisor::outbox::Outbox;
    use crate::supervisor::output::Tail;
    use crate::supervisor::reader::Reader;

    /// A pool of one worker that may fail to start once, and has no time to get ready.
    fn hasty() -> PoolHandle {
        let restart = RestartConfig { limit: 0, window: 1_000_000, min_delay: 1, max_delay: 1 };
        let pool = PoolConfig { start_timeout: 0, restart, ..PoolConfig::default() };
        let worker = WorkerConfig::of(c"/nonexistent", Vec::new());
        let limits = QueueLimits { tasks: 1, bytes: 1 << 20 };
        PoolHandle::new(pool, worker, limits, Outbox::new(|| {}))
    }

    #[test]
    fn a_worker_that_says_ready_when_its_time_is_over_has_failed_to_start_and_the_pool_says_why() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        let _guard = runtime.enter();
        let shared = hasty();
        shared.post(Event::Start);
        let mut driver = shared.lock();
        let key = driver.spawns.pop_front().expect("a worker is wanted");
        let (ours, _theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true).expect("it can be");
        let channel = Arc::new(watch(ours.into(), Interest::READABLE).expect("it can be watched"));
        // No process has such a number.
        let pid = Pid::from_raw(i32::MAX).expect("it is positive");
        driver.spawned(
            &shared,
            Link::new(key, Target::of(pid), 0, channel, None, Arc::new(Notify::new())),
        );
        driver.tick(&shared);
        assert_eq!(driver.leaving(key), Some(ExitReason::Startup));

        let late = b"{\"type\":\"ready\",\"version\":1}\n";
        let mut reader = Reader::new(key, 1024);
        reader.buffer(late.len())[..late.len()].copy_from_slice(late);
        reader.take_in(late.len(), &shared, &mut driver, &mut Tail::default());
        let link = driver.take_link(key).expect("it was not buried before");
        assert!(!link.ready);
        driver.exited(&shared, link, ExitReport { worker_id: 1, ..ExitReport::default() });
        shared.run_once(&mut driver);
        drop(driver);
        let told = shared.outbox.take().expect("the pool is broken").json;
        let told = String::from_utf8(told).expect("what is told is UTF-8");
        assert!(
            told.contains("\"broken\"") && told.contains("the worker was not ready within 0"),
            "{told}"
        );
    }
}
