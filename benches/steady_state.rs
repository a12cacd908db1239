//! Counts the cost of a tiny task on the supervisor's side in the steady state: allocations, under
//! callgrind instructions, and under strace system calls. It measures no time, so a busy machine
//! changes none of these numbers. `npm run guard` runs it.
//!
//! There are three stages, each a function of its own name, so that callgrind can count within it:
//!
//! - `guard_submit`: the JavaScript thread makes a task's body and hands it to the pool.
//! - `guard_reply`: the supervisor reads what a worker has written, settles its tasks, and sends it
//!   new ones.
//! - `guard_deliver`: the JavaScript thread takes the rows that wait for it.
//!
//! Pool, links, sockets, shared memory, decoder and outbox are those of production. Only the
//! processes and Node are missing. The stand-in for a worker is not counted, nor is the work of
//! JavaScript with strings and numbers.
//!
//! `steady_state [TASKS]` prints one line of JSON.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bulkhead::internals::{
    AttemptId, Body, Event, Kind, LineSplitter, Link, Micros, NewTask, Outbox, Pid, PoolConfig,
    PoolHandle, QueueLimits, Reader, SharedPage, SharedPool, Target, Ticket, WorkerConfig,
    WorkerKey, channel_pair, receive,
};
use tokio::sync::Notify;

const WORKERS: usize = 2;
/// The number of tasks that are submitted and not settled.
const IN_FLIGHT: usize = 1000;
/// The number of replies that a worker writes at a time: as many as the frames that its runtime
/// takes at a time.
const REPLIES: usize = 64;
const MAX_MESSAGE: usize = 1 << 20;
/// The room (bytes) for each read, as in the worker's task on the supervisor thread.
const READ: usize = 64 * 1024;
/// The number of tasks until every buffer has the size that it keeps.
const WARM_UP: usize = 20_000;
const TASKS: usize = 20_000;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, with a count. An allocation that grows counts as a new one.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(size: usize) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    ALLOCATED.fetch_add(size as u64, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of the same method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of the same method.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of the same method.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller keeps the contract of the same method.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// The allocations of a stage.
#[derive(Default)]
struct Stage {
    allocations: u64,
    bytes: u64,
}

impl Stage {
    fn run<T>(&mut self, action: impl FnOnce() -> T) -> T {
        let (allocations, bytes) =
            (ALLOCATIONS.load(Ordering::Relaxed), ALLOCATED.load(Ordering::Relaxed));
        let value = action();
        self.allocations += ALLOCATIONS.load(Ordering::Relaxed) - allocations;
        self.bytes += ALLOCATED.load(Ordering::Relaxed) - bytes;
        value
    }
}

/// The part of JavaScript.
struct Client {
    shared: SharedPool,
    scratch: Vec<u8>,
    /// The tickets of no task.
    free: Vec<Ticket>,
    settled: usize,
}

/// The supervisor's end of one worker.
struct Receiver {
    channel: Arc<OwnedFd>,
    reader: Reader,
}

/// The stand-in for the process. It uses `read` and `write`, which the supervisor's side does not
/// use, so that strace can tell the two apart.
struct Worker {
    channel: File,
    page: SharedPage,
    splitter: LineSplitter,
    inbox: VecDeque<AttemptId>,
    buffer: Vec<u8>,
    replies: Vec<u8>,
}

fn pool() -> SharedPool {
    const NEVER: Micros = 1_000_000_000;
    let pool = PoolConfig {
        min_workers: WORKERS,
        max_workers: WORKERS,
        start_timeout: NEVER,
        idle_timeout: NEVER,
        grace_period: NEVER,
        ..PoolConfig::default()
    };
    let worker = WorkerConfig {
        max_message_size: MAX_MESSAGE,
        ..WorkerConfig::of(c"/nonexistent", Vec::new())
    };
    let limits = QueueLimits { tasks: 2 * IN_FLIGHT, bytes: 1 << 30 };
    Arc::new(PoolHandle::new(pool, worker, limits, Outbox::new(|| {})))
}

/// Starts a worker for each process that the pool asks for.
fn start(shared: &SharedPool) -> Vec<(Receiver, Worker)> {
    let mut workers = Vec::new();
    let mut driver = shared.lock();
    while let Some(key) = driver.spawns.pop_front() {
        let (receiver, worker, link) = process(key);
        driver.spawned(shared.now(), link);
        driver.run_once();
        workers.push((receiver, worker));
    }
    workers
}

fn process(key: WorkerKey) -> (Receiver, Worker, Link) {
    let (ours, theirs) = channel_pair().expect("a socket pair");
    rustix::io::ioctl_fionbio(&theirs, true).expect("a socket");
    let channel = Arc::new(ours);
    let page = SharedPage::create().expect("there is sealed memory here");
    let worker = Worker {
        channel: theirs.into(),
        page: SharedPage::open(page.as_fd()).expect("it is a page"),
        splitter: LineSplitter::new(usize::MAX),
        inbox: VecDeque::new(),
        buffer: vec![0; READ],
        replies: b"{\"type\":\"ready\",\"version\":1,\"page\":true}\n".to_vec(),
    };
    // No process ever has such a number, so signals to it reach no process.
    let pid = Pid::from_raw(i32::MAX - 1 - i32::try_from(key.slot).expect("few"))
        .expect("it is positive");
    let link = Link::new(
        key,
        Target::of(pid),
        0,
        Arc::clone(&channel),
        Some(page),
        Arc::new(Notify::new()),
    );
    (Receiver { channel, reader: Reader::new(key, MAX_MESSAGE) }, worker, link)
}

impl Client {
    /// Submits a task with a body, as `Intake` in the bindings does.
    fn submit(&mut self, ticket: Ticket) {
        self.scratch.clear();
        self.scratch.extend_from_slice(b",\"task\":");
        self.scratch.extend_from_slice(itoa::Buffer::new().format(ticket).as_bytes());
        self.scratch.extend_from_slice(b"}\n");
        let body = Body::plain(&self.scratch);
        let accepted_at = self.shared.now();
        let task = NewTask { ticket, accepted_at, body, ..NewTask::default() };
        self.shared.submit(task).expect("there is room");
    }

    fn deliver(&mut self) {
        while let Some(batch) = self.shared.outbox.take() {
            for row in &batch.rows {
                if row[0] == f64::from(Kind::Result as u8) {
                    self.free.push(row[1] as Ticket);
                    self.settled += 1;
                }
            }
            self.shared.outbox.give_back(batch);
        }
        self.shared.outbox.rearm();
    }
}

impl Receiver {
    /// Reads the channel, as the worker's task on the supervisor thread does when the channel is
    /// readable.
    fn receive(&mut self, shared: &SharedPool) {
        let (n, _) =
            receive(&self.channel, self.reader.buffer(READ)).expect("something was written");
        let mut driver = shared.lock();
        self.reader.on_bytes(n, shared.now(), &mut driver);
        driver.run_once();
        // The pool's task does this after a wake-up.
        driver.arm();
    }
}

impl Worker {
    /// Takes in the frames that were sent, and runs some of the tasks.
    fn work(&mut self) {
        while let Ok(n @ 1..) = self.channel.read(&mut self.buffer) {
            self.splitter.push(&self.buffer[..n]);
        }
        while let Some(frame) = self.splitter.next().expect("the pool writes frames") {
            let text = std::str::from_utf8(frame.line).expect("in UTF-8");
            let id = text.strip_prefix("{\"type\":\"task\",\"id\":").expect("of tasks");
            self.inbox.push_back(id[..id.find(',').expect("members")].parse().expect("a number"));
        }
        for id in self.inbox.drain(..self.inbox.len().min(REPLIES)) {
            assert!(self.page.claim_word().claim(0), "nothing was taken back");
            let reply = format!(
                "{{\"type\":\"result\",\"id\":{id},\"elapsed\":2,\"result\":[true,null]}}\n"
            );
            self.replies.extend_from_slice(reply.as_bytes());
        }
        self.channel.write_all(&self.replies).expect("the socket has room");
        self.replies.clear();
    }
}

// Callgrind finds the stages under these names.

#[unsafe(no_mangle)]
#[inline(never)]
fn guard_submit(client: &mut Client, ticket: Ticket) {
    client.submit(ticket);
}

#[unsafe(no_mangle)]
#[inline(never)]
fn guard_reply(receiver: &mut Receiver, shared: &SharedPool) {
    receiver.receive(shared);
}

#[unsafe(no_mangle)]
#[inline(never)]
fn guard_deliver(client: &mut Client) {
    client.deliver();
}

/// Shows strace the begin and the end of the counted part, by a path that does not exist.
fn mark(place: &str) {
    assert!(!Path::new("/bulkhead-guard").join(place).exists());
}

fn main() {
    // Cargo adds flags of its own to the arguments.
    let tasks =
        std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(TASKS);
    let shared = pool();
    shared.post(Event::Start);
    let mut workers = start(&shared);
    let free = (0..IN_FLIGHT).map(|ticket| ticket as Ticket).collect();
    let mut client = Client { shared: Arc::clone(&shared), scratch: Vec::new(), free, settled: 0 };
    for (receiver, worker) in &mut workers {
        worker
            .channel
            .write_all(&std::mem::take(&mut worker.replies))
            .expect("the socket has room");
        receiver.receive(&shared);
    }
    while client.settled < WARM_UP {
        while let Some(ticket) = client.free.pop() {
            client.submit(ticket);
        }
        for (receiver, worker) in &mut workers {
            worker.work();
            receiver.receive(&shared);
        }
        client.deliver();
    }
    client.settled = 0;
    mark("begin");
    let [mut submit, mut reply, mut deliver] = [(); 3].map(|()| Stage::default());
    while client.settled < tasks {
        while let Some(ticket) = client.free.pop() {
            submit.run(|| guard_submit(&mut client, ticket));
        }
        for (receiver, worker) in &mut workers {
            worker.work();
            reply.run(|| guard_reply(receiver, &shared));
        }
        deliver.run(|| guard_deliver(&mut client));
    }
    mark("end");
    let stages =
        [("submit", submit), ("reply", reply), ("deliver", deliver)].map(|(name, stage)| {
            format!(
                "\"{name}\":{{\"allocations\":{},\"bytes\":{}}}",
                stage.allocations, stage.bytes
            )
        });
    println!("{{\"tasks\":{},\"stages\":{{{}}}}}", client.settled, stages.join(","));
}
