//! One pool as JavaScript's threads and the supervisor thread share it: its driver behind a lock,
//! and the inbox in front of that.
//!
//! The lock is held for microseconds: to take in a batch of replies, to dispatch tasks, to write to
//! sockets that never block. A JavaScript thread that submits a task only *tries* to take the lock.
//! If that succeeds, the thread dispatches its task itself, which spares an idle worker's task the
//! detour over the supervisor thread. If not, the holder of the lock looks into the inbox again
//! before it lets go. Processes are started on the supervisor thread only.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::buffer_pool::Bytes;
use crate::pool::config::PoolConfig;
use crate::pool::ids::{Micros, WorkerKey};
use crate::pool::messages::{Body, Event, NewTask};
use crate::process::ready_set::ReadySet;
use crate::supervisor::admission::{Admission, QueueFull};
use crate::supervisor::config::{QueueLimits, StdioMode, WorkerConfig};
use crate::supervisor::driver::{Driver, Snapshot};
use crate::supervisor::lead::{By, Leading, Loan};
use crate::supervisor::link::Link;
use crate::supervisor::outbox::Outbox;
use crate::supervisor::reader::Reader;
use crate::supervisor::rows::{Batch, Kind, Row};

/// Microseconds since the first call in this process, on the monotonic clock.
pub(crate) fn now() -> Micros {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    Micros::try_from(elapsed.as_micros()).unwrap_or(Micros::MAX)
}

/// A timer that fires later than this (µs) shows that the process was suspended: by SIGSTOP, or
/// because the machine slept. Mere load makes timers less late.
const SUSPEND_THRESHOLD: Micros = 500_000;
/// The grace (µs) added to all deadlines after a suspension, so that buffered replies are read
/// first.
const RESUME_GRACE: Micros = 100_000;

/// An inbox with room for more events than this gives back its memory once it is empty.
const KEEP_EVENTS: usize = 1024;

/// See the module.
pub struct PoolHandle {
    locked: Mutex<Locked>,
    inbox: Mutex<Vec<Event>>,
    /// The rows for JavaScript, which takes them without the driver's lock.
    pub outbox: Arc<Outbox>,
    admission: Arc<Admission>,
    /// The configuration of the workers.
    pub worker_config: Arc<WorkerConfig>,
    /// Wakes the pool's task: there is an event in the inbox, a worker to spawn or an earlier
    /// deadline.
    pub wake: Notify,
    /// The lowest number of resident bytes that matters to the pool.
    pub memory_threshold: Option<u64>,
    /// A submission is dispatched now, and not with the next reply.
    wants_immediate_dispatch: AtomicBool,
    /// The time (µs) for which this process was suspended, with the grace after it.
    suspended_for: AtomicU64,
    /// JavaScript listens to what the workers print.
    stdio_listening: AtomicBool,
}

/// The state that the lock protects.
struct Locked {
    driver: Driver,
    leading: Leading,
    /// Empty: swapped with the inbox, so that neither has to grow again and again.
    events: Vec<Event>,
}

/// The lock, held. Dropping it releases the lock and only then wakes JavaScript, which may submit a
/// task first thing.
pub struct DriverGuard<'a> {
    handle: &'a PoolHandle,
    /// `None` only while the guard is dropped.
    locked: Option<MutexGuard<'a, Locked>>,
}

/// A pool as threads share it.
pub type SharedPool = Arc<PoolHandle>;

impl PoolHandle {
    pub fn new(
        config: PoolConfig,
        worker_config: WorkerConfig,
        limits: QueueLimits,
        outbox: Outbox,
    ) -> Self {
        let capacity = config.max_workers * worker_config.concurrency;
        let memory_threshold = config.recycle_memory.into_iter().chain(config.max_memory).min();
        let admission = Arc::new(Admission::new(limits, capacity));
        let (worker_config, outbox) = (Arc::new(worker_config), Arc::new(outbox));
        let driver = Driver::new(
            config,
            Arc::clone(&worker_config),
            Arc::clone(&admission),
            Arc::clone(&outbox),
        );
        Self {
            locked: Mutex::new(Locked { driver, leading: Leading::default(), events: Vec::new() }),
            inbox: Mutex::new(Vec::new()),
            outbox,
            admission,
            worker_config,
            wake: Notify::new(),
            memory_threshold,
            wants_immediate_dispatch: AtomicBool::new(true),
            suspended_for: AtomicU64::new(0),
            stdio_listening: AtomicBool::new(false),
        }
    }

    // ---- From JavaScript

    /// Lets JavaScript's thread lead. Its event loop watches `set`, and calls [`Self::lead`] while
    /// that is readable.
    pub(crate) fn allow_lead(&self, set: ReadySet) {
        self.lock().locked().leading.allow(set);
    }

    /// Ends [`Self::allow_lead`].
    pub(crate) fn end_lead(&self) {
        self.lock().locked().leading.end();
    }

    /// Reads the workers that JavaScript's thread leads. Returns whether this thread has to run
    /// JavaScript then. Does nothing while another thread has the lock: the channels stay readable.
    pub(crate) fn lead(&self) -> bool {
        let locked = match self.locked.try_lock() {
            Ok(locked) => locked,
            Err(TryLockError::WouldBlock) => return false,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        };
        let mut driver = self.guard(locked);
        driver.read_led(By::JavaScript);
        driver.run_once();
        driver.release()
    }

    /// Accepts a task, or refuses it because the queue is full.
    pub fn submit(&self, task: NewTask) -> Result<(), QueueFull> {
        self.admission.admit(task.body.size()).inspect_err(|_| self.wake.notify_one())?;
        let first = {
            let mut inbox = self.lock_inbox();
            inbox.push(Event::Submit(task));
            inbox.len() == 1
        };
        // The thread that put the first event there has made sure that a thread will look. Either
        // this thread sees the wish for an immediate dispatch, or the thread that stored the wish
        // sees the task: both store, then load.
        fence(Ordering::SeqCst);
        if first && self.wants_immediate_dispatch.load(Ordering::Relaxed) {
            self.wake_or_run();
        }
        Ok(())
    }

    /// Returns whether the smallest task would be accepted. If not, an event tells when it would.
    pub fn want_room(&self) -> bool {
        let has_room = self.admission.want_room();
        if !has_room {
            self.wake.notify_one();
        }
        has_room
    }

    /// Changes the number of workers. An event with `number` tells when the pool has that many.
    pub fn resize(&self, min_workers: usize, max_workers: usize, number: u32) {
        self.admission.set_capacity(max_workers * self.worker_config.concurrency);
        self.post(Event::Resize { min_workers, max_workers, number });
    }

    /// Hands in any event but a task. The driver handles it soon, after all earlier submissions.
    pub fn post(&self, event: Event) {
        self.lock_inbox().push(event);
        self.wake_or_run();
    }

    /// Kills all processes and closes the outbox, because the environment is going away.
    pub fn abandon(&self) {
        self.outbox.close();
        {
            let mut driver = self.lock();
            driver.each_link(Link::kill);
            driver.kill_standbys();
        }
        self.post(Event::Terminate);
    }

    /// Kills all processes, and keeps any other from being started, because this process ends.
    /// Wakes no thread: that needs tokio's thread-local data, which this thread may have destroyed
    /// already.
    pub fn end(&self) {
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        locked.driver.each_link(Link::kill_without_wake);
        locked.driver.kill_standbys();
        self.lock_inbox().push(Event::Terminate);
    }

    /// Sets whether JavaScript listens to what the workers print.
    pub fn set_stdio_listening(&self, listening: bool) {
        self.stdio_listening.store(listening, Ordering::Relaxed);
    }

    /// Returns the numbers behind `stats()`.
    pub fn snapshot(&self) -> Snapshot {
        let mut driver = self.lock();
        // What was submitted before this call counts.
        driver.run_once();
        driver.snapshot(self.now())
    }

    /// Sends a message to one worker, or to all that are ready, and returns how many were reached.
    /// Workers for which too many messages wait are not.
    pub fn send(&self, worker_id: Option<u32>, message: &Body) -> u32 {
        let mut driver = self.lock();
        // What was submitted before this call goes first.
        driver.run_once();
        driver.send_message(worker_id, message)
    }

    /// Kills the worker with this process id, if it is still there. JavaScript could not read the
    /// raw bytes or structured-clone data of one of its frames, and has told so.
    pub fn kill_for_protocol_error(&self, pid: i32, what: String) {
        let mut driver = self.lock();
        driver.kill_for_protocol_error(self.now(), pid, what);
        driver.run_once();
    }

    /// Counts a result that JavaScript could not read as failed.
    pub fn disown_result(&self) {
        self.lock().disown_result();
    }

    fn wake_or_run(&self) {
        match self.locked.try_lock() {
            Ok(locked) => self.guard(locked).run_once(),
            // The lock is held, and its holder may be past the point where it looks into the inbox.
            Err(TryLockError::WouldBlock) => self.wake.notify_one(),
            Err(TryLockError::Poisoned(poisoned)) => self.guard(poisoned.into_inner()).run_once(),
        }
    }

    /// Returns the pool's time (µs): the monotonic clock without the time in suspension.
    pub fn now(&self) -> Micros {
        now().saturating_sub(self.suspended_for.load(Ordering::Relaxed))
    }

    /// Notes a suspension, if the pool's task wakes much later than its `deadline`. The supervisor
    /// could not read replies meanwhile, and the workers may not have run. Such time does not count
    /// against tasks.
    pub fn note_suspension(&self, deadline: Micros) {
        let late = self.now().saturating_sub(deadline);
        if late > SUSPEND_THRESHOLD {
            tracing::debug!(ms = late / 1000, "resumed after a suspension");
            self.suspended_for.fetch_add(late + RESUME_GRACE, Ordering::Relaxed);
        }
    }

    // ---- From either thread

    pub fn lock(&self) -> DriverGuard<'_> {
        // A panic in the pool is a bug. Going on after it is better than to hang every task.
        self.guard(self.locked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn guard<'a>(&'a self, locked: MutexGuard<'a, Locked>) -> DriverGuard<'a> {
        DriverGuard { handle: self, locked: Some(locked) }
    }

    fn lock_inbox(&self) -> MutexGuard<'_, Vec<Event>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a chunk that a worker printed.
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
}

impl DriverGuard<'_> {
    /// Takes in what was submitted, dispatches tasks, writes to the workers and queues what
    /// JavaScript is told. Comes last whenever the lock was taken to change something.
    pub fn run_once(&mut self) {
        let handle = self.handle;
        let Locked { driver, leading, events: spare } = self.locked();
        let now = handle.now();
        let mut events = std::mem::take(spare);
        loop {
            std::mem::swap(&mut events, &mut *handle.lock_inbox());
            for event in events.drain(..) {
                if event.ends_tasks() {
                    // A task that has ended already counts as completed.
                    leading.read(By::Supervisor, now, driver);
                }
                driver.handle(now, event);
            }
            driver.dispatch(now);
            handle
                .wants_immediate_dispatch
                .store(driver.wants_immediate_dispatch(), Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if handle.lock_inbox().is_empty() {
                break;
            }
        }
        leading.judge(driver);
        if events.capacity() <= KEEP_EVENTS {
            *spare = events;
        }
        driver.flush();
        if driver.needs_wake() {
            handle.wake.notify_one();
        }
    }

    /// Reads once from all workers that JavaScript's thread leads. Comes before any decision that
    /// a reply could change. [`Self::run_once`] has to follow.
    pub(super) fn read_led(&mut self, by: By) {
        let now = self.handle.now();
        let Locked { driver, leading, .. } = self.locked();
        leading.read(by, now, driver);
    }

    /// Lends a worker's reader to JavaScript's thread. Fails, with the reader, if that thread does
    /// not lead.
    pub(super) fn lend(&mut self, loan: Loan) -> Result<(), Box<Reader>> {
        self.locked().leading.lend(loan)
    }

    /// Returns how often JavaScript's thread has read this worker. `None`: the worker's task has to
    /// take the reader back.
    pub(super) fn reads(&mut self, worker: WorkerKey) -> Option<u64> {
        self.locked().leading.reads(worker)
    }

    /// Takes back the reader of a worker.
    pub(super) fn take_back(&mut self, worker: WorkerKey) -> Option<Box<Reader>> {
        self.locked().leading.take_back(worker)
    }

    /// Releases the lock, as a drop does. Returns whether this thread has to run JavaScript, in
    /// place of a wake-up.
    fn release(mut self) -> bool {
        self.locked = None;
        self.handle.outbox.take_due()
    }

    fn locked(&mut self) -> &mut Locked {
        self.locked.as_mut().expect("only `drop` takes it")
    }
}

impl Deref for DriverGuard<'_> {
    type Target = Driver;

    fn deref(&self) -> &Driver {
        &self.locked.as_ref().expect("only `drop` takes it").driver
    }
}

impl DerefMut for DriverGuard<'_> {
    fn deref_mut(&mut self) -> &mut Driver {
        &mut self.locked().driver
    }
}

impl Drop for DriverGuard<'_> {
    fn drop(&mut self) {
        self.locked = None;
        self.handle.outbox.wake();
    }
}
