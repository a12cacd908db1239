//! The task of one worker on the supervisor thread. It reads what the worker writes and prints,
//! writes what the channel did not take at once, and reaps the worker. The policy decides what
//! follows from that.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::inspect::announcement::Announcements;
use crate::inspect::{self, ports::Port};
use crate::pool::ids::{Micros, WorkerKey};
use crate::process::readiness::{SharedWatch, watch};
use crate::process::{CallError, Exit, Pid, Signal, Waiter};
use crate::process::{memory, oom};
use crate::supervisor::config::StdioMode;
use crate::supervisor::handle::{self, SharedPool};
use crate::supervisor::lead::{self, Loan};
use crate::supervisor::link::{self, Link};
use crate::supervisor::output::Tail;
use crate::supervisor::reader::{self, READ_BYTES, Reader};
use crate::supervisor::reading::{LoneReads, Reading};
use crate::supervisor::report::ExitReport;
use crate::supervisor::rows::Kind;

/// The most bytes read from a dead worker's channel and streams. The kernel's buffers bound the
/// worker's own bytes. More can only come from a process that the worker left behind outside of its
/// group.
const DRAIN: usize = 64 << 20;
/// The time (µs) between two samples of the memory of a worker that sends frames. A sample takes
/// about 20 µs.
const SAMPLE_INTERVAL: Micros = 1_000_000;
/// The first and the longest pause between two looks at a killed process that cannot be waited for.
const REAP_PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];
/// The time for which the supervisor waits for a killed process. A process dies within
/// milliseconds, unless a debugger holds it, or the kernel does, for instance for a disk that does
/// not answer.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two samples with a limit on memory. A worker may exceed the limit by what it
/// allocates in between. At this rate the samples take less than a thousandth of a core for each
/// worker.
const LIMITED_SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// The time (µs) between two samples after tasks, with a limit on memory.
const SAMPLE_AFTER_TASK: Micros = 10_000;
/// The time between two checks that a partial frame is still growing. See
/// [`Reader::check_stalled`].
#[cfg(not(test))]
const STALL_CHECK_INTERVAL: Duration = Duration::from_secs(5);
#[cfg(test)]
const STALL_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The time for which the last standard error of a dead worker may wait for the parent's standard
/// error.
const LAST_STDERR: Duration = Duration::from_millis(100);

/// The task of one worker.
pub(super) struct WorkerTask {
    shared: SharedPool,
    key: WorkerKey,
    pid: Pid,
    channel: Arc<OwnedFd>,
    waiter: Waiter,
    wake: Arc<Notify>,
    /// The same channel, watched for room only while bytes wait for it. The kernel reports room
    /// whenever the worker has read, and each report would wake this thread for nothing.
    room: Option<AsyncFd<OwnedFd>>,
    /// Bytes wait for room in the channel.
    backed_up: bool,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    reading: Reading,
    lone_reads: LoneReads,
    tail: Tail,
    /// The time of the next check that a partial frame is still growing; `None` without one.
    stall_check_at: Option<Instant>,
    /// The time at which the supervisor stops waiting for a killed process.
    reap_deadline: Option<Instant>,
    /// The last sample of its resident memory (bytes), and its time.
    rss: (u64, Micros),
    /// The kernel's count of processes killed for memory, before the spawn.
    oom: Option<oom::Mark>,
    /// The clock of the samples. `None`: there is no limit on memory.
    sampler: Option<Interval>,
    /// The filter for Node's lines about its inspector in standard error. It exists from the start
    /// if the user's flags open the inspector, else from the first capture of a stack.
    announcements: Option<Announcements>,
    /// The port of the user's inspector, held while the worker lives.
    _port: Option<Port>,
    /// The standard error that waits for the parent's.
    backlog: Option<Vec<u8>>,
    forward: Option<mpsc::Sender<Vec<u8>>>,
}

/// A process that was just started, with this side's ends of its channel and pipes.
pub(super) struct Spawned {
    pub(super) pid: Pid,
    pub(super) channel: Arc<OwnedFd>,
    pub(super) watch: SharedWatch,
    pub(super) waiter: Waiter,
    pub(super) wake: Arc<Notify>,
    pub(super) stdout: Option<Stream>,
    pub(super) stderr: Stream,
    pub(super) oom: Option<oom::Mark>,
    pub(super) announcements: Option<Announcements>,
    pub(super) port: Option<Port>,
    pub(super) forward: Option<mpsc::Sender<Vec<u8>>>,
}

/// One of a worker's output streams.
pub(super) struct Stream {
    fd: AsyncFd<OwnedFd>,
}

impl WorkerTask {
    pub(super) fn new(shared: SharedPool, key: WorkerKey, spawned: Spawned) -> Self {
        let Spawned { pid, channel, watch, waiter, wake, stdout, stderr, oom, .. } = spawned;
        let sampler = shared.memory_threshold.map(|_| sampler());
        let reader = Box::new(Reader::new(key, shared.worker_config.max_message_size));
        Self {
            shared,
            key,
            pid,
            channel,
            waiter,
            wake,
            room: None,
            backed_up: false,
            stdout,
            stderr: Some(stderr),
            reading: Reading::Own { reader, watch: Some(watch) },
            lone_reads: LoneReads::default(),
            tail: Tail::default(),
            stall_check_at: None,
            reap_deadline: None,
            rss: (0, 0),
            oom,
            sampler,
            announcements: spawned.announcements,
            _port: spawned.port,
            backlog: None,
            forward: spawned.forward,
        }
    }

    pub(super) async fn run(mut self) {
        self.check_link();
        loop {
            let id = self.key.worker_id();
            let congested = self.shared.outbox.is_congested(id);
            let reads_stderr = self.backlog.is_none() && !congested;
            let listening = self.reading.is_listening() && !congested;
            self.stall_check_at = match listening && self.reading.has_partial() {
                true => self.stall_check_at.or_else(|| Some(Instant::now() + STALL_CHECK_INTERVAL)),
                false => None,
            };
            tokio::select! {
                biased;
                () = self.waiter.exited() => break,
                () = moment(self.reap_deadline) => break,
                () = moment(self.stall_check_at), if self.stall_check_at.is_some() => {
                    self.check_stalled();
                }
                () = self.reading.readable(), if listening => {
                    self.read_channel();
                    self.sample_memory_after_read();
                }
                () = moment(self.reading.check_at()), if self.reading.is_lent() => {
                    self.check_lead();
                }
                () = due(&mut self.sampler) => self.sample_memory(0),
                () = self.shared.outbox.backpressure_released(id), if congested => {}
                () = writable(&self.room), if self.backed_up => self.write_channel(),
                () = self.wake.notified() => self.check_link(),
                () = Stream::readable(&self.stdout), if !congested => {
                    self.read_stream(Kind::Stdout);
                }
                () = Stream::readable(&self.stderr), if reads_stderr => {
                    self.read_stream(Kind::Stderr);
                }
                () = pass_on(&self.forward, &mut self.backlog) => {}
            }
        }
        self.end().await;
    }

    /// Acts on the driver's requests in the link.
    fn check_link(&mut self) {
        let (backed_up, wants_stack, limit) = {
            let mut driver = self.shared.lock();
            let state = |link: &mut Link| {
                (link.is_backed_up(), link.take_stack_request(), death_limit(link))
            };
            driver.link(self.key).map_or((false, false, None), state)
        };
        self.backed_up(backed_up);
        if let Some(limit) = limit {
            let at = Instant::now() + limit;
            self.reap_deadline = Some(self.reap_deadline.map_or(at, |earlier| earlier.min(at)));
        }
        if wants_stack {
            self.capture();
        }
        if self.reading.is_lent() && self.shared.lock().reads(self.key).is_none() {
            self.take_back();
        }
    }

    fn backed_up(&mut self, backed_up: bool) {
        self.backed_up = backed_up;
        if !backed_up {
            self.room = None;
        } else if self.room.is_none() {
            let again = self.channel.try_clone();
            self.room = again.ok().and_then(|fd| watch(fd, Interest::WRITABLE).ok());
        }
    }

    /// Reads once, and takes in all complete frames.
    fn read_channel(&mut self) {
        match self.reading.receive(&self.channel) {
            Some(Ok((0, _))) => self.channel_closed(),
            Some(Ok((n, all))) => self.on_bytes(n, all),
            Some(Err(error)) if link::is_transient(&error) => {}
            // A reset: the other end is gone, and has left bytes unread.
            Some(Err(_)) => self.channel_closed(),
            None => {}
        }
    }

    /// Takes in that the worker has closed its channel. The process may live on.
    fn channel_closed(&mut self) {
        if let Some(reader) = self.reading.reader() {
            reader.close();
        }
        let mut driver = self.shared.lock();
        driver.channel_closed(self.shared.now(), self.key);
        driver.run_once();
    }

    /// Takes in the frames of a read, and lends the reader if the worker is worth a lead. `all`:
    /// the read has left nothing behind.
    fn on_bytes(&mut self, n: usize, all: bool) {
        let Some(reader) = self.reading.reader() else { return };
        let mut driver = self.shared.lock();
        let awaited = self.shared.outbox.is_armed();
        let now = self.shared.now();
        let frames = reader.on_bytes(n, now, &mut driver);
        self.tail.append(reader.log());
        driver.run_once();
        if self.lone_reads.is_second(now, frames, all, awaited)
            && reader.is_at_rest()
            && lead::is_worth_it(&mut driver, self.key)
        {
            let (channel, wake) = (Arc::clone(&self.channel), Arc::clone(&self.wake));
            let key = self.key;
            self.reading.lend(|reader| driver.lend(Loan::new(key, reader, channel, wake)));
        }
    }

    /// Checks that JavaScript's thread reads the worker that it leads, and takes the reader back if
    /// not.
    fn check_lead(&mut self) {
        let reads = self.shared.lock().reads(self.key);
        if reads.is_some_and(|reads| self.reading.check(reads)) {
            self.sample_memory_after_read();
        } else {
            self.take_back();
        }
    }

    /// Takes back a reader that was lent. The new watch tells at once whether there is something to
    /// read.
    fn take_back(&mut self) {
        if let Some(mut reader) = self.shared.lock().take_back(self.key) {
            self.tail.append(reader.log());
            self.reading = Reading::own(reader, &self.channel);
        }
    }

    fn check_stalled(&mut self) {
        self.stall_check_at = None;
        let Some(reader) = self.reading.reader() else { return };
        let Some(error) = reader.check_stalled() else { return };
        reader.close();
        let mut driver = self.shared.lock();
        driver.violated(self.shared.now(), self.key, error);
        driver.run_once();
    }

    fn sample_memory_after_read(&mut self) {
        let pause = if self.sampler.is_some() { SAMPLE_AFTER_TASK } else { SAMPLE_INTERVAL };
        self.sample_memory(pause);
    }

    /// Samples the resident memory. For a dead process the kernel does not always tell it (see
    /// [`Exit`]).
    fn sample_memory(&mut self, pause: Micros) {
        let now = handle::now();
        if self.rss.0 > 0 && now.saturating_sub(self.rss.1) < pause {
            return;
        }
        let rss = memory::resident_set(self.pid.as_raw_nonzero().get());
        self.rss = (rss.unwrap_or(self.rss.0), now);
        if let Some(rss) = rss
            && self.shared.memory_threshold.is_some_and(|threshold| rss > threshold)
        {
            let mut driver = self.shared.lock();
            driver.memory(self.shared.now(), self.key, rss);
            driver.run_once();
        }
    }

    fn write_channel(&mut self) {
        let backed_up = self.shared.lock().link(self.key).is_some_and(|link| {
            link.flush();
            link.is_backed_up()
        });
        if backed_up && let Some(room) = &self.room {
            // The link itself writes. This call only tells the runtime that the channel has no
            // room.
            let _: io::Result<()> =
                room.try_io(Interest::WRITABLE, |_| Err(io::ErrorKind::WouldBlock.into()));
        }
        self.backed_up(backed_up);
    }

    fn read_stream(&mut self, kind: Kind) {
        let place = if kind == Kind::Stdout { &mut self.stdout } else { &mut self.stderr };
        let Some(stream) = place else { return };
        let mut chunk = [0; 16 * 1024];
        match stream.read(&mut chunk) {
            Ok(0) => *place = None,
            Ok(n) => self.printed(kind, &chunk[..n]),
            Err(error) if link::is_transient(&error) => {}
            Err(_) => *place = None,
        }
    }

    /// Captures the worker's JavaScript stack in a task of its own, and tells the driver.
    fn capture(&mut self) {
        let (announced, url) = oneshot::channel();
        if let Some(users) = self.announcements.as_ref().and_then(Announcements::users) {
            // The user's inspector is open already. The receiver goes to the task below.
            let _ = announced.send(users.to_owned());
        } else if inspect::open(&self.waiter.target()).is_ok() {
            self.announcements.get_or_insert_default().expect(announced);
        }
        // After an error the sender is dropped, so that the task learns that no address will come.
        let (shared, key) = (Arc::clone(&self.shared), self.key);
        tokio::task::spawn_local(async move {
            let stack = inspect::capture(url).await;
            tracing::debug!(worker = key.worker_id(), found = stack.is_some(), "stack captured");
            let mut driver = shared.lock();
            driver.captured(shared.now(), key, stack);
            driver.run_once();
        });
    }

    fn printed(&mut self, kind: Kind, chunk: &[u8]) {
        match &mut self.announcements {
            Some(announcements) if kind == Kind::Stderr => {
                let rest = announcements.filter(chunk);
                // A user who debugs needs the address, even if output is ignored.
                if let Some(line) = announcements.introduction()
                    && self.shared.worker_config.stdio == StdioMode::Ignore
                    && self.forward.is_some()
                {
                    self.backlog.get_or_insert_default().extend_from_slice(&line);
                }
                if !rest.is_empty() {
                    self.print(kind, &rest);
                }
            }
            _ => self.print(kind, chunk),
        }
    }

    fn print(&mut self, kind: Kind, chunk: &[u8]) {
        if kind == Kind::Stderr {
            self.tail.push(chunk);
            if self.forward.is_some() && self.shared.worker_config.stdio == StdioMode::Inherit {
                self.backlog.get_or_insert_default().extend_from_slice(chunk);
            }
        }
        self.shared.printed(self.key, self.pid.as_raw_nonzero().get(), kind, chunk);
    }

    /// Ends the task of a dead process that is not yet reaped: reads what it left behind, reaps it,
    /// and tells the driver.
    async fn end(mut self) {
        self.take_back();
        self.shared.lock().exit_observed(self.shared.now(), self.key);
        // From now on the worker's children must not write into its channel and pipes. The zombie
        // still holds the number of its group.
        let _ = self.waiter.target().kill();
        self.drain_channel();
        self.read_journal();
        for kind in [Kind::Stdout, Kind::Stderr] {
            self.drain_stream(kind);
        }
        // The filter may still hold the beginning of a line that looked like one of Node's.
        let rest = self.announcements.take().map(|mut announcements| announcements.finish());
        if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
            self.print(Kind::Stderr, &rest);
        }
        let (mid_outcome, link) = {
            let mut driver = self.shared.lock();
            (
                self.reading.reader().is_some_and(|reader| {
                    reader.ends_in_outcome(|attempt_id| driver.expects(self.key, attempt_id))
                }),
                driver.take_link(self.key),
            )
        };
        let until = self.reap_deadline.unwrap_or_else(|| Instant::now() + KILL_TIMEOUT);
        let reaped = reap(&mut self.waiter, Some(until)).await;
        // Nothing is known of an exit that is still to come, or that other code has reaped.
        let exit = reaped.unwrap_or_default();
        // The descriptors are closed before JavaScript hears of the exit, which may be the last
        // event of the pool.
        drop((self.channel, self.reading, self.room, self.stdout, self.stderr, self._port));
        let waiter = reaped.is_none().then_some(self.waiter);
        if let Some(link) = link {
            let mut driver = self.shared.lock();
            let exit_report = ExitReport {
                worker_id: self.key.worker_id(),
                pid: Some(link.raw_pid()),
                code: exit.code,
                signal: exit.signal,
                mid_outcome,
                stderr: self.tail.text(),
                uptime: handle::now().saturating_sub(link.spawned_at),
                rss: exit.max_rss_bytes.max(self.rss.0),
                violation: link.violation.clone(),
                refusal: link.refusal.clone(),
                oom_killed: exit.signal == Some(Signal::KILL.as_raw())
                    && !link.killed
                    && oom::explains(self.oom),
                stop_reason: driver.stop_reason(self.key),
                ..ExitReport::default()
            };
            tracing::debug!(worker = self.key.worker_id(), pid = link.raw_pid(), ?exit, "exited");
            if reaped.is_none() {
                driver.left_behind(&link, KILL_TIMEOUT);
            }
            driver.reaped(self.shared.now(), link, exit_report);
            driver.run_once();
        }
        if self.backlog.is_some() {
            // The parent gets the last standard error, if it takes it in time.
            let _ =
                tokio::time::timeout(LAST_STDERR, pass_on(&self.forward, &mut self.backlog)).await;
        }
        if let Some(mut waiter) = waiter {
            // The pool no longer waits for the process, which still must not stay a zombie.
            waiter.exited().await;
            reap(&mut waiter, None).await;
        }
    }

    fn drain_channel(&mut self) {
        let mut drained = 0;
        while let Some(reader) = self.reading.reader()
            && !reader.is_closed()
            && drained < DRAIN
        {
            match link::receive(&self.channel, reader.buffer(READ_BYTES)) {
                Ok((0, _)) => break,
                Ok((n, _)) => {
                    drained += n;
                    self.on_bytes(n, false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }

    /// Takes in the journal. Frames that the worker had written, or was writing, may come a second
    /// time.
    fn read_journal(&mut self) {
        let mut driver = self.shared.lock();
        let held = driver
            .link(self.key)
            .filter(|link| link.violation.is_none())
            .map(|link| link.journal());
        reader::read_journal(&held.unwrap_or_default(), self.key, self.shared.now(), &mut driver);
        driver.run_once();
    }

    fn drain_stream(&mut self, kind: Kind) {
        let mut drained = 0;
        while drained < DRAIN {
            let place = if kind == Kind::Stdout { &self.stdout } else { &self.stderr };
            let Some(stream) = place else { return };
            let mut chunk = [0; 16 * 1024];
            match rustix::io::read(stream.fd.get_ref(), &mut chunk) {
                Ok(0) => return,
                Ok(n) => {
                    drained += n;
                    self.printed(kind, &chunk[..n]);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl Stream {
    pub(super) fn new(fd: OwnedFd) -> Result<Self, CallError> {
        Ok(Self { fd: watch(fd, Interest::READABLE)? })
    }

    /// Returns when a read of the stream may succeed. Pends for ever without a stream.
    async fn readable(stream: &Option<Self>) {
        match stream {
            Some(stream) => readable(&stream.fd).await,
            None => std::future::pending().await,
        }
    }

    /// Returns what is there now, up to 64 KiB.
    pub(super) fn rest(&self) -> Vec<u8> {
        let mut bytes = vec![0; READ_BYTES];
        let mut length = 0;
        while let Ok(n @ 1..) = rustix::io::read(self.fd.get_ref(), &mut bytes[length..]) {
            length += n;
        }
        bytes.truncate(length);
        bytes
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fd.try_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, into)?))
    }
}

/// Reaps a worker. `None`: it could not be reaped in time.
pub(super) async fn reap(waiter: &mut Waiter, until: Option<Instant>) -> Option<Exit> {
    let [mut pause, longest] = REAP_PAUSES;
    loop {
        match waiter.finish() {
            // The process lives, or a debugger sees its death before its parent does.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if until.is_some_and(|until| until <= Instant::now()) {
                    return None;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
            // After an error: another part of this process has reaped the worker.
            exit => return Some(exit.unwrap_or_default()),
        }
    }
}

/// Returns when a read may succeed. Only the read itself can tell.
async fn readable<T: std::os::fd::AsRawFd>(fd: &AsyncFd<T>) {
    // An error means that the runtime is shutting down, which it never does.
    let _ = fd.readable().await.map(|mut guard| guard.retain_ready());
}

fn sampler() -> Interval {
    let mut interval = tokio::time::interval(LIMITED_SAMPLE_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Returns at the next sample. Pends for ever without a sampler.
async fn due(sampler: &mut Option<Interval>) {
    match sampler {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Returns at this time. Pends for ever without one.
async fn moment(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Returns when a write may succeed. Without a descriptor to watch the channel by, returns after a
/// moment.
async fn writable(room: &Option<AsyncFd<OwnedFd>>) {
    match room {
        Some(fd) => {
            let _ = fd.writable().await.map(|mut guard| guard.retain_ready());
        }
        None => tokio::time::sleep(REAP_PAUSES[0]).await,
    }
}

/// Hands the backlog to the thread that writes it. Pends for ever without one.
async fn pass_on(forward: &Option<mpsc::Sender<Vec<u8>>>, backlog: &mut Option<Vec<u8>>) {
    match (forward, backlog.is_some()) {
        (Some(forward), true) => {
            if let Ok(permit) = forward.reserve().await
                && let Some(chunk) = backlog.take()
            {
                permit.send(chunk);
            }
        }
        _ => std::future::pending().await,
    }
}

/// Returns the time to wait for a killed process: zero for one that could not be killed. `None`:
/// the supervisor has not killed it.
fn death_limit(link: &Link) -> Option<Duration> {
    link.killed.then(|| if link.unkillable.is_some() { Duration::ZERO } else { KILL_TIMEOUT })
}
