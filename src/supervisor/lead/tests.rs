//! Every order of the threads' steps, up to a length, with a real channel and real watches: each
//! reply arrives exactly once, and none waits for a blocked JavaScript thread.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::*;
use crate::pool::config::PoolConfig;
use crate::pool::messages::{Body, Event, NewTask};
use crate::process::{Pid, Target};
use crate::supervisor::admission::Admission;
use crate::supervisor::config::{QueueLimits, WorkerConfig};
use crate::supervisor::link::Link;
use crate::supervisor::outbox::Outbox;
use crate::supervisor::reading::Reading;
use crate::supervisor::rows::Kind;

/// A step of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// JavaScript submits a task.
    Submit,
    /// The worker replies to its oldest task.
    Reply,
    /// The worker closes its end of the channel.
    HangUp,
    /// JavaScript's event loop runs once.
    JavaScript,
    /// The worker's task on the supervisor thread runs once.
    Task,
    /// The worker's task checks the loan.
    Check,
    /// The pool's task acts on a deadline.
    Deadline,
    /// JavaScript's environment ends, or the pool is released.
    EndLead,
}

const STEPS: [Step; 8] = [
    Step::Submit,
    Step::Reply,
    Step::HangUp,
    Step::JavaScript,
    Step::Task,
    Step::Check,
    Step::Deadline,
    Step::EndLead,
];

/// A pool of one worker, and the threads around it.
struct World {
    driver: Driver,
    leading: Leading,
    outbox: Arc<Outbox>,
    key: WorkerKey,
    /// The supervisor's end of the channel.
    channel: Arc<OwnedFd>,
    wake: Arc<Notify>,
    reading: Reading,
    /// The set that JavaScript's event loop watches, until the lead ends.
    watched: Option<Arc<OwnedFd>>,
    /// The worker's end. `None`: it has hung up.
    worker: Option<UnixStream>,
    /// The bytes that the worker has read and not answered.
    inbox: Vec<u8>,
    submitted: u32,
    replied: u32,
    /// The tickets of the results that JavaScript has got.
    results: Vec<u32>,
}

/// The ways of one run.
#[derive(Debug, Default)]
struct Ways {
    lent: usize,
    led: usize,
    returned: usize,
    retaken: usize,
}

impl World {
    fn new() -> Self {
        let outbox = Arc::new(Outbox::new(|| {}));
        let pool = PoolConfig { start_timeout: 1_000, ..PoolConfig::default() };
        let config = WorkerConfig::of(c"/nonexistent", Vec::new());
        let admission = Admission::new(QueueLimits { tasks: 100, bytes: 1 << 20 }, 1);
        let mut driver =
            Driver::new(pool, Arc::new(config), Arc::new(admission), Arc::clone(&outbox));
        driver.handle(0, Event::Start);
        driver.dispatch(0);
        let key = driver.spawns.pop_front().expect("a worker is wanted");
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        for end in [&ours, &theirs] {
            end.set_nonblocking(true).expect("a socket");
        }
        let channel: Arc<OwnedFd> = Arc::new(ours.into());
        // No process has such a number.
        let target = Target::of(Pid::from_raw(i32::MAX).expect("it is positive"));
        let wake = Arc::new(Notify::new());
        let link = Link::new(key, target, 0, Arc::clone(&channel), None, Arc::clone(&wake));
        driver.spawned(0, link);
        let mut leading = Leading::default();
        let set = ReadySet::create().expect("there is room").expect("Linux has epoll");
        let watched = Some(set.descriptor());
        leading.allow(set);
        let mut world = Self {
            driver,
            leading,
            outbox,
            key,
            reading: Reading::own(Box::new(Reader::new(key, 1024)), &channel),
            channel,
            wake,
            watched,
            worker: Some(theirs),
            inbox: Vec::new(),
            submitted: 0,
            replied: 0,
            results: Vec::new(),
        };
        world.write(b"{\"type\":\"ready\",\"version\":1}\n");
        world.read(&mut Ways::default());
        world.take_results();
        world
    }

    fn write(&mut self, frame: &[u8]) {
        self.worker.as_mut().expect("it has not hung up").write_all(frame).expect("room");
    }

    /// Does the same as `DriverGuard::run_once`.
    fn run_once(&mut self) {
        self.driver.dispatch(0);
        self.leading.judge(&mut self.driver);
        self.driver.flush();
    }

    async fn step(&mut self, step: Step, ways: &mut Ways) {
        match step {
            Step::Submit => {
                let body = Body::plain(b",\"task\":1}\n");
                let task = NewTask { ticket: self.submitted, body, ..NewTask::default() };
                self.submitted += 1;
                self.driver.handle(0, Event::Submit(task));
                self.run_once();
            }
            Step::Reply => self.reply(),
            Step::HangUp => self.worker = None,
            Step::JavaScript => {
                if self.watched.as_ref().is_some_and(is_readable) {
                    let before = self.results.len();
                    self.leading.read(By::JavaScript, 0, &mut self.driver);
                    self.run_once();
                    self.take_results();
                    ways.led += self.results.len() - before;
                }
                self.take_results();
            }
            Step::Task => self.run_task(ways).await,
            Step::Check if self.reading.is_lent() => {
                let reads = self.leading.reads(self.key);
                ways.returned += usize::from(reads.is_none());
                if !reads.is_some_and(|reads| self.reading.check(reads)) {
                    self.take_back(ways);
                }
            }
            Step::Check => {}
            Step::Deadline => {
                self.leading.read(By::Supervisor, 0, &mut self.driver);
                self.run_once();
            }
            Step::EndLead => {
                self.watched = None;
                self.leading.end();
            }
        }
    }

    /// The worker replies to the oldest task that it has.
    fn reply(&mut self) {
        let Some(worker) = &mut self.worker else { return };
        let mut bytes = [0; 4096];
        if let Ok(n) = worker.read(&mut bytes) {
            self.inbox.extend_from_slice(&bytes[..n]);
        }
        let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') else { return };
        let line: Vec<u8> = self.inbox.drain(..=end).collect();
        let line = String::from_utf8(line).expect("a frame is text");
        let Some((_, rest)) = line.split_once("\"id\":") else { return };
        let id: String = rest.chars().take_while(char::is_ascii_digit).collect();
        self.write(
            format!("{{\"type\":\"result\",\"id\":{id},\"elapsed\":5,\"result\":1}}\n").as_bytes(),
        );
        self.replied += 1;
    }

    /// Runs the worker's task, as `WorkerTask::run` does: a wake-up, or a read.
    async fn run_task(&mut self, ways: &mut Ways) {
        if timeout(Duration::ZERO, self.wake.notified()).await.is_ok()
            && self.reading.is_lent()
            && self.leading.reads(self.key).is_none()
        {
            ways.returned += 1;
            self.take_back(ways);
        }
        // The runtime looks for events.
        tokio::task::yield_now().await;
        if self.reading.is_listening()
            && timeout(Duration::ZERO, self.reading.readable()).await.is_ok()
        {
            self.read(ways);
        }
    }

    fn read(&mut self, ways: &mut Ways) {
        match self.reading.receive(&self.channel) {
            Some(Ok((0, _))) => {
                self.reading.reader().expect("it has just read").close();
                self.driver.channel_closed(0, self.key);
                self.run_once();
            }
            Some(Ok((n, _))) => {
                let awaited = self.outbox.is_armed();
                let reader = self.reading.reader().expect("it has just read");
                reader.on_bytes(n, 0, &mut self.driver);
                let is_at_rest = reader.is_at_rest();
                self.run_once();
                // Earlier than the real one, which waits for a second lone read.
                if awaited && is_at_rest && is_worth_it(&mut self.driver, self.key) {
                    let (channel, wake) = (Arc::clone(&self.channel), Arc::clone(&self.wake));
                    let (key, leading) = (self.key, &mut self.leading);
                    self.reading.lend(|reader| leading.lend(Loan::new(key, reader, channel, wake)));
                    ways.lent += usize::from(self.reading.is_lent());
                }
            }
            Some(Err(_)) | None => {}
        }
    }

    fn take_back(&mut self, ways: &mut Ways) {
        let reader = self.leading.take_back(self.key).expect("a lent reader is there");
        self.reading = Reading::own(reader, &self.channel);
        ways.retaken += 1;
    }

    fn take_results(&mut self) {
        while let Some(batch) = self.outbox.take() {
            for row in &batch.rows {
                if row[0] == f64::from(Kind::Result as u8) {
                    self.results.push(row[1] as u32);
                }
            }
            self.outbox.give_back(batch);
        }
        self.outbox.rearm();
    }

    /// Runs the steps. From then on JavaScript's thread is blocked, and the supervisor thread alone
    /// must bring every reply into the outbox.
    async fn run(mut self, steps: &[Step], ways: &mut Ways) {
        for step in steps {
            self.step(*step, ways).await;
            assert!(self.reading.is_lent() || self.leading.loans.is_empty(), "two have the reader");
        }
        // The reader may be lent in vain once, before the outbox tells that JavaScript is blocked.
        for _ in 0..2 {
            for step in [Step::Check, Step::Check, Step::Task, Step::Task] {
                self.step(step, ways).await;
            }
        }
        assert!(!self.reading.is_lent(), "the reader was not taken back");
        while timeout(Duration::ZERO, self.reading.readable()).await.is_ok()
            && self.reading.is_listening()
        {
            self.step(Step::Task, ways).await;
        }
        self.take_results();
        let all: Vec<u32> = (0..self.replied).collect();
        assert_eq!(self.results, all, "each reply once, in order");
    }
}

fn is_readable(fd: &Arc<OwnedFd>) -> bool {
    let mut fds = [PollFd::new(&**fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("a poll") == 1
}

fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_io().enable_time().build().expect("a runtime")
}

/// The steps after which JavaScript's thread leads.
const LENT: [Step; 3] = [Step::Submit, Step::Reply, Step::Task];

#[test]
fn no_reply_is_lost_or_doubled_or_waits_for_javascript_in_any_order_of_steps() {
    let mut ways = Ways::default();
    runtime().block_on(async {
        const LENGTH: u32 = 3;
        for number in 0..STEPS.len().pow(LENGTH) {
            let choice = |place| STEPS[number / STEPS.len().pow(place) % STEPS.len()];
            let tail: Vec<Step> = (0..LENGTH).map(choice).collect();
            World::new().run(&[&LENT[..], &[Step::Submit], &tail].concat(), &mut ways).await;
        }
    });
    assert!(ways.lent > 0 && ways.led > 0 && ways.returned > 0 && ways.retaken > 0, "{ways:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nor_in_a_long_run(numbers in prop::collection::vec(0..3 * STEPS.len(), 0..60)) {
        // A hang-up or the end of the lead ends most of what can happen, and so is rarer.
        let rare = [Step::HangUp, Step::EndLead];
        let steps: Vec<Step> = numbers
            .iter()
            .map(|number| (STEPS[number % STEPS.len()], number / STEPS.len()))
            .filter(|(step, round)| *round == 0 || !rare.contains(step))
            .map(|(step, _)| step)
            .collect();
        runtime().block_on(async { World::new().run(&steps, &mut Ways::default()).await });
    }
}

#[test]
fn a_worker_is_left_to_the_supervisor_where_javascript_leads_enough_or_not_at_all() {
    runtime().block_on(async {
        let mut ways = Ways::default();
        let mut world = World::new();
        world.step(Step::EndLead, &mut ways).await;
        for step in LENT {
            world.step(step, &mut ways).await;
        }
        assert_eq!(ways.lent, 0);
        world.take_results();
        assert_eq!(world.results, [0]);

        let set = ReadySet::create().expect("there is room").expect("Linux has epoll");
        world.leading.allow(set);
        let mut ends = Vec::new();
        for slot in 0..=MOST {
            let (ours, theirs) = UnixStream::pair().expect("a socket pair");
            let key = WorkerKey { slot: slot + 1, life: 1 };
            let channel = Arc::new(ours.into());
            let loan =
                Loan::new(key, Box::new(Reader::new(key, 1024)), channel, Arc::new(Notify::new()));
            assert_eq!(world.leading.lend(loan).is_ok(), slot < MOST);
            ends.push(theirs);
        }
    });
}
