//! Fuzzes the whole way from a worker's bytes to JavaScript: reader, decoder, envelope, pool and
//! outbox as in production, with a hostile worker and an honest one, without processes.
//!
//! Whatever the hostile worker sends, claims and holds, nothing panics. Every task ends exactly
//! once. No task of the other worker is touched. Each row for JavaScript is well-formed. Memory
//! stays within bounds.
//!
//! Input: one byte of options, then the hostile worker's stream. A zero byte is no part of the
//! stream: the byte behind it names an act of the test.

#![no_main]

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bulkhead::internals::{
    AttemptId, Batch, Body, Event, ExitReport, JOURNAL_CAPACITY, Kind, LineSplitter, Link, NewTask,
    Outbox, PAGE_SIZE, Pid, PoolConfig, PoolHandle, Prefetch, QueueLimits, Reader, RestartConfig,
    Serialization, SharedPage, SharedPool, Target, Ticket, WorkerConfig, WorkerKey, flags,
    read_journal,
};
use bulkhead_fuzz::{json, memory};
use libfuzzer_sys::fuzz_target;
use memmap2::MmapRaw;
use tokio::sync::Notify;

const MAX_MESSAGE: usize = 2048;
/// The bytes for three workers at a time (one is replaced) with a buffer each, for the outbox, and
/// for the books.
const ALLOWED: usize = 8 << 20;
/// The number of processes on the hostile worker's slot before its spawn fails.
const LIVES: u32 = 8;
/// The number of tasks, small so that all books stay small.
const TASKS: u32 = 64;
const HOSTILE: usize = 0;
const HONEST: usize = 1;

/// The stand-in for a process.
struct Process {
    key: WorkerKey,
    reader: Reader,
    channel: UnixStream,
    splitter: LineSplitter,
    page: Option<(SharedPage, MmapRaw)>,
    /// The attempts that it was sent: id, epoch, task.
    inbox: VecDeque<(AttemptId, u32, Ticket)>,
}

/// The known facts of a task.
#[derive(Default)]
struct Record {
    /// The workers that the task was ever sent to.
    sent_to: [bool; 2],
    ends: u32,
}

struct World {
    shared: SharedPool,
    processes: [Option<Process>; 2],
    tasks: HashMap<Ticket, Record>,
    pages: bool,
    /// From now on the pool kills all workers.
    over: bool,
}

fn pool(options: u8) -> SharedPool {
    let pool = PoolConfig {
        min_workers: 2,
        max_workers: 2,
        concurrency: 1 + usize::from(options & 1),
        prefetch: if options & 2 == 0 { Prefetch::Auto } else { Prefetch::Fixed(4) },
        retries: u32::from(options >> 2 & 1),
        retry_delay: 1,
        start_timeout: 1_000_000_000,
        idle_timeout: 1_000_000_000,
        grace_period: 1_000_000_000,
        restart: RestartConfig { limit: 1000, window: 1_000_000, min_delay: 1, max_delay: 1 },
        ..PoolConfig::default()
    };
    let worker = WorkerConfig {
        serialization: if options & 8 == 0 { Serialization::Json } else { Serialization::Advanced },
        max_message_size: MAX_MESSAGE,
        ..WorkerConfig::of(c"/nonexistent", Vec::new())
    };
    let limits = QueueLimits { tasks: 1000, bytes: 1 << 30 };
    Arc::new(PoolHandle::new(pool, worker, limits, Outbox::new(|| {})))
}

impl World {
    fn new(options: u8) -> Self {
        let pages = options & 16 != 0;
        let shared = pool(options);
        let mut world =
            Self { shared, processes: [None, None], tasks: HashMap::new(), pages, over: false };
        world.shared.post(Event::Start);
        world.spawn();
        let ready =
            if pages { &b"{\"type\":\"ready\",\"version\":1,\"page\":true}\n"[..] } else { READY };
        world.hear(HONEST, ready);
        world
    }

    /// Starts the processes that the pool asks for.
    fn spawn(&mut self) {
        loop {
            let mut driver = self.shared.lock();
            let Some(key) = driver.spawns.pop_front() else { return };
            assert!(self.processes[key.slot].is_none(), "a slot holds one process at a time");
            if !driver.is_wanted(key) || key.life > LIVES {
                driver.spawn_failed(self.shared.now(), key, None);
            } else {
                let (process, link) = self.process(key);
                driver.spawned(self.shared.now(), link);
                self.processes[key.slot] = Some(process);
            }
            driver.run_once();
        }
    }

    fn process(&self, key: WorkerKey) -> (Process, Link) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        for end in [&ours, &theirs] {
            end.set_nonblocking(true).expect("a socket");
        }
        let channel = Arc::new(ours.into());
        let page = self.pages.then(|| SharedPage::create().expect("there is sealed memory here"));
        let theirs_too = page.as_ref().map(|page| {
            let raw = memmap2::MmapOptions::new()
                .len(PAGE_SIZE)
                .map_raw(&page.as_fd())
                .expect("it can be mapped");
            (SharedPage::open(page.as_fd()).expect("it is a page"), raw)
        });
        // No process ever has such a number, so signals to it reach no process.
        let pid = Pid::from_raw(i32::MAX - 1000 * key.slot as i32 - key.life as i32)
            .expect("it is positive");
        let link = Link::new(key, Target::of(pid), 0, channel, page, Arc::new(Notify::new()));
        let process = Process {
            key,
            reader: Reader::new(key, MAX_MESSAGE),
            channel: theirs,
            splitter: LineSplitter::new(usize::MAX),
            page: theirs_too,
            inbox: VecDeque::new(),
        };
        (process, link)
    }

    /// Passes a worker's bytes to the pool.
    fn hear(&mut self, slot: usize, mut bytes: &[u8]) {
        let Some(process) = &mut self.processes[slot] else { return };
        while !bytes.is_empty() && !process.reader.is_closed() {
            let space = process.reader.buffer(1);
            let n = bytes.len().min(space.len());
            space[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            let mut driver = self.shared.lock();
            process.reader.on_bytes(n, self.shared.now(), &mut driver);
            driver.run_once();
        }
    }

    /// Puts the tasks that were sent to the workers into their inboxes.
    fn deliver(&mut self) {
        for (slot, process) in self.processes.iter_mut().enumerate() {
            let Some(process) = process else { continue };
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = process.channel.read(&mut bytes) {
                process.splitter.push(&bytes[..n]);
            }
            while let Some(frame) = process.splitter.next().expect("the pool writes frames") {
                let text = std::str::from_utf8(frame.line).expect("in UTF-8");
                let number = |key: &str| -> Option<u64> {
                    let rest = &text[text.find(key)? + key.len()..];
                    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
                };
                let (Some(attempt_id), Some(ticket)) = (number("\"id\":"), number("\"n\":")) else {
                    continue;
                };
                let epoch = number("\"epoch\":").unwrap_or(0) as u32;
                let ticket = ticket as Ticket;
                self.tasks.get_mut(&ticket).expect("it was submitted").sent_to[slot] = true;
                process.inbox.push_back((attempt_id, epoch, ticket));
            }
        }
    }

    fn submit(&mut self) {
        let ticket = self.tasks.len() as Ticket;
        if ticket == TASKS {
            return;
        }
        self.tasks.insert(ticket, Record::default());
        let text = format!(",\"task\":{{\"n\":{ticket}}}}}\n").into_bytes().into_boxed_slice();
        let body = Body::plain(&text);
        let handler = (ticket % 3) as u8;
        let task = NewTask { ticket, handler, retries: ticket % 2, body, ..NewTask::default() };
        self.shared.submit(task).expect("there is room");
    }

    /// A worker takes the next task that it was sent, and answers it.
    fn answer(&mut self, slot: usize) -> bool {
        let Some(process) = &mut self.processes[slot] else { return false };
        let Some((attempt_id, epoch, ticket)) = process.inbox.pop_front() else { return false };
        if process.page.as_ref().is_none_or(|(page, _)| page.claim_word().claim(epoch)) {
            let reply = format!(
                "{{\"type\":\"result\",\"id\":{attempt_id},\"elapsed\":1,\"result\":{{\"of\":{ticket}}}}}\n"
            );
            self.hear(slot, reply.as_bytes());
        }
        true
    }

    /// The process is dead: does all that its task on the supervisor thread does then.
    fn die(&mut self, slot: usize) {
        self.deliver();
        let Some(mut process) = self.processes[slot].take() else { return };
        let mut driver = self.shared.lock();
        driver.exit_observed(self.shared.now(), process.key);
        let held = driver
            .link(process.key)
            .filter(|link| link.violation.is_none())
            .map(|link| link.journal());
        read_journal(&held.unwrap_or_default(), process.key, self.shared.now(), &mut driver);
        driver.run_once();
        let mid_outcome =
            process.reader.ends_in_outcome(|attempt_id| driver.expects(process.key, attempt_id));
        let link = driver.take_link(process.key).expect("it was not taken before");
        let exit_report = ExitReport {
            worker_id: process.key.worker_id(),
            pid: Some(link.raw_pid()),
            mid_outcome,
            stderr: process.reader.log().text(),
            violation: link.violation.clone(),
            refusal: link.refusal.clone(),
            ..ExitReport::default()
        };
        driver.reaped(self.shared.now(), link, exit_report);
        driver.run_once();
    }

    /// The hostile worker writes into its page.
    fn scribble(&mut self, at: usize, bytes: &[u8]) {
        let Some(Process { page: Some((_, raw)), .. }) = &self.processes[HOSTILE] else { return };
        for (index, value) in bytes.iter().enumerate().take(PAGE_SIZE - at) {
            // SAFETY: the byte lies within the mapping, which lives as long as `raw`.
            unsafe { &*raw.as_ptr().add(at + index).cast::<AtomicU8>() }
                .store(*value, Ordering::Relaxed);
        }
    }

    /// JavaScript takes the rows that wait for it, and checks them.
    fn listen(&mut self) {
        self.deliver();
        while let Some(batch) = self.shared.outbox.take() {
            self.check(batch);
        }
    }

    fn check(&mut self, batch: Batch) {
        let text = [b"[", batch.json.as_slice(), b"]"].concat();
        let text = std::str::from_utf8(&text).expect("what is told is UTF-8");
        let values = json::elements(text).expect("what is told is an array");
        assert_eq!(values.len(), batch.rows.len(), "each row has its own value");
        let (mut strings, mut blobs) = (batch.strings.iter(), batch.blobs.iter());
        for (row, value) in batch.rows.iter().zip(values) {
            let [kind, ticket, flag, worker, _, _, _, _, blob_count] = *row;
            let (ticket, flag, slot) =
                (ticket as Ticket, flag as u32, (worker as usize).wrapping_sub(1));
            let value = match flag & flags::APART {
                0 => value,
                _ => std::str::from_utf8(strings.next().expect("a string of its own"))
                    .expect("UTF-8"),
            };
            assert!(json::is_value(value.as_bytes()));
            let own = blobs.by_ref().take(blob_count as usize).count();
            assert_eq!(own, blob_count as usize, "each row has its own bytes");
            if flag & flags::BINARY != 0 {
                let members = json::members(value).expect("a value and its places");
                let names: Vec<_> = members.iter().map(|(name, _)| *name).collect();
                assert_eq!(names, ["\"value\"", "\"binary\""]);
                assert_eq!(json::elements(members[1].1).map(|places| places.len()), Some(own));
            }
            if kind <= f64::from(Kind::TaskFailed as u8) {
                self.ended(ticket, kind == f64::from(Kind::Result as u8), slot, value);
            } else if kind == f64::from(Kind::Event as u8) && slot == HONEST {
                assert!(self.over || value.contains("\"online\""), "{value}");
            }
        }
        assert!(strings.next().is_none() && blobs.next().is_none(), "nothing is left over");
    }

    fn ended(&mut self, ticket: Ticket, well: bool, slot: usize, value: &str) {
        let record = self.tasks.get_mut(&ticket).expect("only tasks that were accepted end");
        record.ends += 1;
        assert_eq!(record.ends, 1, "a task ends once: {ticket}");
        if let Some(sent) = record.sent_to.get(slot) {
            assert!(sent, "{ticket} was never sent to the worker that answered it");
        }
        if slot == HONEST && well {
            assert_eq!(value, format!("{{\"of\":{ticket}}}"));
        } else if slot == HONEST {
            assert!(
                self.over || value.contains("aborted"),
                "an honest worker's task failed: {value}"
            );
        }
    }

    /// Performs the act of a zero byte and `rest`; returns the rest of the stream.
    fn act<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let Some((&what, rest)) = rest.split_first() else { return rest };
        let (argument, behind) =
            rest.split_first().map_or((0, rest), |(first, behind)| (*first, behind));
        match what % 16 {
            // Only a cut in the stream.
            0 => {}
            1 => self.submit(),
            2 => {
                self.shared.post(Event::Cancel(Ticket::from(argument) % TASKS));
                return behind;
            }
            3 => {
                if let Some(process) = &mut self.processes[HOSTILE] {
                    process.reader.close();
                    let mut driver = self.shared.lock();
                    driver.channel_closed(self.shared.now(), process.key);
                    driver.run_once();
                }
            }
            4 => {
                let (word, behind) = rest.split_at(rest.len().min(8));
                self.scribble(0, word);
                return behind;
            }
            5 => {
                // The journal: its length, and as many bytes of the stream.
                let (text, behind) = behind.split_at(behind.len().min(usize::from(argument)));
                self.scribble(4096, text);
                self.scribble(64, &(text.len() as u32).to_ne_bytes());
                return behind;
            }
            6 => self.scribble(64, &(JOURNAL_CAPACITY as u32 + u32::from(argument)).to_ne_bytes()),
            7 => self.die(HOSTILE),
            8 => drop(self.answer(HOSTILE)),
            9 => drop(self.answer(HONEST)),
            10 => {
                let mut driver = self.shared.lock();
                driver.tick(self.shared.now());
                driver.run_once();
            }
            11 => self.listen(),
            12 => self.hear(HOSTILE, READY),
            13 => {
                if let Some(Process { page: Some((page, _)), .. }) = &self.processes[HOSTILE] {
                    let (epoch, _) = page.claim_word().load();
                    let _ = page.claim_word().claim(epoch);
                }
            }
            14 => {
                if let Some(process) = &mut self.processes[HOSTILE]
                    && process.reader.has_partial()
                    && let Some(error) = process.reader.check_stalled()
                {
                    process.reader.close();
                    let mut driver = self.shared.lock();
                    driver.violated(self.shared.now(), process.key, error.to_string());
                    driver.run_once();
                }
            }
            _ => {
                self.over = true;
                let drop_waiting = argument & 1 == 0;
                self.shared.post(Event::Shutdown { drop_waiting, timeout: None });
            }
        }
        rest
    }

    fn run(&mut self, mut rest: &[u8]) {
        for _ in 0..6 {
            self.submit();
        }
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            self.hear(HOSTILE, &rest[..end]);
            rest = match rest.get(end + 1..) {
                Some(behind) => self.act(behind),
                None => &[],
            };
            self.spawn();
            self.deliver();
        }
        // An honest worker can always go on.
        while self.answer(HONEST) {
            self.deliver();
        }
        self.listen();
        self.over = true;
        self.shared.post(Event::Terminate);
        for slot in [HOSTILE, HONEST] {
            self.die(slot);
        }
        self.spawn();
        self.listen();
        assert!(self.shared.lock().is_over());
        let lost: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, record)| record.ends != 1)
            .map(|(ticket, _)| ticket)
            .collect();
        assert!(lost.is_empty(), "tasks without an end: {lost:?}");
    }
}

const READY: &[u8] = b"{\"type\":\"ready\",\"version\":1}\n";

fuzz_target!(|input: &[u8]| {
    let Some((&options, stream)) = input.split_first() else { return };
    let ((), peak) = memory::peak_of(|| World::new(options).run(stream));
    assert!(peak < ALLOWED + 64 * stream.len(), "{peak} bytes were allocated for {}", stream.len());
});
