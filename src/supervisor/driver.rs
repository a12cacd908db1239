//! Performs the decisions of a pool's policy. The driver owns the state machine and the links to
//! the workers, and queues rows for JavaScript.
//!
//! The driver knows no lock, no clock and no thread. Its methods take the time, as those of the
//! state machine do, so that a test can drive a pool without a handle. `handle` holds the driver
//! behind the pool's lock.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::buffer_pool::Bytes;
use crate::errors::Breach;
use crate::pool::config::PoolConfig;
use crate::pool::ids::{AttemptId, Micros, Ticket, WorkerKey};
use crate::pool::lifecycle::ExitReason;
use crate::pool::messages::{Body, Effect, Event, Failure, RunInfo};
use crate::pool::state::{Pool, Times, WorkerRow};
use crate::pool::tasks::Counters;
use crate::supervisor::admission::Admission;
use crate::supervisor::config::WorkerConfig;
use crate::supervisor::link::Link;
use crate::supervisor::links::Links;
use crate::supervisor::outbox::Outbox;
use crate::supervisor::replies::{Reply, payload_reply, task_row, uses_v8};
use crate::supervisor::report::{self, ExitReport, SpawnFailure};
use crate::supervisor::rows::{Batch, Kind, Row, flags};
use crate::supervisor::standbys::Standbys;
use crate::wire::down::AbortReason;
use crate::wire::{Frame, Serialization, Up};

mod standby;
#[cfg(test)]
mod tests;

/// The driver of one pool.
pub struct Driver {
    pool: Pool,
    links: Links,
    worker_config: Arc<WorkerConfig>,
    admission: Arc<Admission>,
    outbox: Arc<Outbox>,
    /// The workers that the supervisor thread has to start.
    pub spawns: VecDeque<WorkerKey>,
    standbys: Standbys,
    /// The time at which the pool's task wakes by itself.
    armed: Option<Micros>,
    /// The rows that the outbox does not have yet.
    batch: Batch,
    last_start_failure: Vec<u8>,
    start_timeout: Micros,
    /// The resident memory (bytes) beyond which the pool kills a worker. `None`: unlimited.
    max_memory: Option<u64>,
}

/// The cause of the policy's decisions. JavaScript hears of some effects with details that only
/// their cause has.
enum Cause<'a> {
    /// The effects are complete by themselves.
    None,
    /// The reply to a task.
    Reply(Reply<'a>),
    /// The exit of a worker, or the reason for which it has no process.
    Exit {
        report: &'a ExitReport,
        /// JavaScript knows the violation, or will learn it from an error.
        violation_told: bool,
    },
    /// The stack of a worker whose tasks are overdue.
    Stack(&'a str),
}

impl Cause<'_> {
    /// Returns the report of the exit. For any other cause the report only names the worker.
    fn exit_report(&self, worker_id: u32) -> Cow<'_, ExitReport> {
        match self {
            Self::Exit { report, .. } => Cow::Borrowed(report),
            _ => Cow::Owned(ExitReport { worker_id, ..ExitReport::default() }),
        }
    }
}

/// The numbers behind `stats()`.
pub struct Snapshot {
    pub counters: Counters,
    pub waiting: (usize, u64),
    /// The number of processes that stand by.
    pub standbys: usize,
    pub times: Times,
    /// Each worker with its process id and the time of its spawn.
    pub workers: Vec<(WorkerRow, Option<(i32, Micros)>)>,
}

impl Driver {
    pub(crate) fn new(
        config: PoolConfig,
        worker_config: Arc<WorkerConfig>,
        admission: Arc<Admission>,
        outbox: Arc<Outbox>,
    ) -> Self {
        Self {
            links: Links::new(config.max_workers),
            worker_config,
            admission,
            outbox,
            spawns: VecDeque::new(),
            standbys: Standbys::default(),
            armed: None,
            batch: Batch::default(),
            last_start_failure: b"null".to_vec(),
            start_timeout: config.start_timeout,
            max_memory: config.max_memory,
            pool: Pool::new(config),
        }
    }

    // ---- For the handle

    /// Takes in an event from the inbox.
    pub(crate) fn handle(&mut self, now: Micros, event: Event) {
        tracing::trace!(?event, "event");
        self.pool.handle(now, event);
        // Most events are submissions, which only queue a task.
        if self.pool.has_effects() {
            self.perform(now, Cause::None);
        }
    }

    /// Gives waiting tasks to workers.
    pub(crate) fn dispatch(&mut self, now: Micros) {
        self.pool.dispatch(now);
        self.perform(now, Cause::None);
    }

    /// Returns whether a submission would change something at once.
    pub(crate) fn wants_immediate_dispatch(&self) -> bool {
        self.pool.wants_immediate_dispatch()
    }

    /// Writes to the workers, and hands the queued rows to the outbox.
    pub(crate) fn flush(&mut self) {
        self.links.each(Link::flush);
        if self.admission.take_room_again() {
            self.push_event(0, br#"{"event":"drain"}"#);
        }
        self.outbox.append(&mut self.batch);
    }

    /// Returns whether little is under way at this worker: no task waits, and its tasks are short.
    pub(crate) fn is_light(&self, worker: WorkerKey) -> bool {
        self.pool.is_light(worker)
    }

    /// Returns whether the pool's task must run before the deadline for which it is armed.
    pub(crate) fn needs_wake(&self) -> bool {
        let deadline = self.next_deadline();
        let earlier =
            deadline.is_some_and(|deadline| self.armed.is_none_or(|armed| deadline < armed));
        let starts = !self.spawns.is_empty() || self.standbys.has_requests();
        earlier || starts || self.pool.is_closed()
    }

    /// Calls `act` for every link.
    pub(crate) fn each_link(&mut self, act: impl FnMut(&mut Link)) {
        self.links.each(act);
    }

    /// Returns the numbers behind `stats()`.
    pub(crate) fn snapshot(&mut self, now: Micros) -> Snapshot {
        let Self { pool, links, .. } = self;
        let workers = pool.workers().map(|row| {
            let process = links.get(row.key).map(|link| (link.raw_pid(), link.spawned_at));
            (row, process)
        });
        let workers = workers.collect();
        Snapshot {
            workers,
            counters: pool.counters(),
            waiting: pool.waiting(),
            standbys: pool.standbys(),
            times: pool.times(now),
        }
    }

    /// Sends a message to one worker, or to all that are ready, and returns how many were reached.
    /// A worker for which too many messages wait is not reached.
    pub(crate) fn send_message(&mut self, worker_id: Option<u32>, message: &Body) -> u32 {
        let Self { pool, links, .. } = self;
        let mut reached = 0;
        for worker in pool.listeners(worker_id) {
            if let Some(link) = links.get(worker) {
                reached += u32::from(link.send_message(message));
                link.flush();
            }
        }
        reached
    }

    /// Kills the worker with this process id, because it broke the protocol. JavaScript has told
    /// the callers.
    pub(crate) fn kill_for_protocol_error(&mut self, now: Micros, pid: i32, what: String) {
        let mut sender = None;
        self.links.each(|link| {
            if link.raw_pid() == pid && link.violation.is_none() {
                link.violation_told = true;
                sender = Some(link.key);
            }
        });
        if let Some(worker) = sender {
            self.violated(now, worker, what);
        }
    }

    /// Counts a result that JavaScript could not read as failed.
    pub(crate) fn disown_result(&mut self) {
        self.pool.disown_result();
    }

    // ---- For the tasks of the pool and of its workers

    /// Returns the size of the largest message, in bytes.
    pub(crate) fn max_message_size(&self) -> usize {
        self.worker_config.max_message_size
    }

    /// Returns the next deadline, and notes that the pool's task will wake for it.
    pub fn arm(&mut self) -> Option<Micros> {
        self.armed = self.next_deadline();
        self.armed
    }

    fn next_deadline(&self) -> Option<Micros> {
        [self.pool.next_deadline(), self.outbox.next_deadline()].into_iter().flatten().min()
    }

    /// Returns whether the pool is closed and every process reaped.
    pub fn is_over(&self) -> bool {
        self.pool.is_closed() && self.links.is_empty()
    }

    /// Returns the link of this worker, if its process has not been reaped.
    pub fn link(&mut self, worker: WorkerKey) -> Option<&mut Link> {
        self.links.get(worker)
    }

    /// Fires the timers that are due.
    pub fn tick(&mut self, now: Micros) {
        self.outbox.tick(now);
        self.handle_for(now, Event::Tick, Cause::None);
    }

    /// Returns whether the pool still waits for this worker's process.
    pub fn is_wanted(&mut self, worker: WorkerKey) -> bool {
        self.pool.is_wanted(worker)
    }

    /// Takes in a started process.
    pub fn spawned(&mut self, now: Micros, link: Link) {
        let worker = link.key;
        self.links.add(link);
        self.handle_for(now, Event::Spawned { worker }, Cause::None);
    }

    /// Takes in that there is no process, because of `failure`, or because the pool no longer wants
    /// the worker.
    pub fn spawn_failed(&mut self, now: Micros, worker: WorkerKey, failure: Option<SpawnFailure>) {
        let permanent = failure.as_ref().is_some_and(|failure| failure.permanent);
        let report = failure.map(|failure| ExitReport {
            worker_id: worker.worker_id(),
            spawn_failure: Some(failure),
            ..ExitReport::default()
        });
        let cause = match &report {
            Some(report) => Cause::Exit { report, violation_told: false },
            None => Cause::None,
        };
        self.handle_for(now, Event::SpawnFailed { worker, permanent }, cause);
    }

    /// Takes in that the worker's end of the channel is closed.
    pub fn channel_closed(&mut self, now: Micros, worker: WorkerKey) {
        self.handle_for(now, Event::ChannelClosed { worker }, Cause::None);
    }

    /// Takes in a violation of the protocol, which `what` describes.
    pub fn violated(&mut self, now: Micros, worker: WorkerKey, what: impl ToString) {
        let what = what.to_string();
        tracing::debug!(worker = worker.worker_id(), %what, "protocol violation");
        if let Some(link) = self.link(worker) {
            link.violation.get_or_insert(what);
        }
        self.handle_for(now, Event::Violated { worker }, Cause::None);
    }

    /// Takes in a sample of the worker's resident memory, in bytes.
    pub fn memory(&mut self, now: Micros, worker: WorkerKey, rss: u64) {
        self.handle_for(now, Event::Memory { worker, rss }, Cause::None);
    }

    /// Takes in the worker's stack. `None`: the capture failed.
    pub fn captured(&mut self, now: Micros, worker: WorkerKey, stack: Option<String>) {
        let cause = stack.as_deref().map_or(Cause::None, Cause::Stack);
        self.handle_for(now, Event::Captured { worker }, cause);
    }

    /// Returns whether the worker has broken the protocol.
    pub fn has_violated(&self, worker: WorkerKey) -> bool {
        self.pool.has_violated(worker)
    }

    /// Takes in that the process has exited. Its last bytes are not read yet.
    pub fn exit_observed(&mut self, now: Micros, worker: WorkerKey) {
        self.handle_for(now, Event::ExitObserved { worker }, Cause::None);
    }

    /// Takes the link of a process that has exited and whose last bytes are read.
    pub fn take_link(&mut self, worker: WorkerKey) -> Option<Link> {
        self.links.remove(worker)
    }

    /// Returns whether this worker owes a reply to this attempt.
    pub fn expects(&mut self, worker: WorkerKey, attempt_id: AttemptId) -> bool {
        self.pool.expects(worker, attempt_id)
    }

    /// Returns the reason for which the pool is stopping this worker, if it is.
    pub fn stop_reason(&self, worker: WorkerKey) -> Option<ExitReason> {
        self.pool.stop_reason(worker)
    }

    /// Tells JavaScript that the supervisor stops waiting for the exit of a worker, which was
    /// killed or could not be.
    pub fn left_behind(&mut self, link: &Link, after: Duration) {
        let after = Micros::try_from(after.as_micros()).unwrap_or(Micros::MAX);
        let worker_id = link.key.worker_id();
        self.push_event(
            worker_id,
            &report::left_behind(worker_id, link.raw_pid(), after, link.unkillable),
        );
    }

    /// Takes in that the process is reaped or left behind, and ends or requeues its tasks.
    pub fn reaped(&mut self, now: Micros, link: Link, mut exit_report: ExitReport) {
        let worker = link.key;
        exit_report.memory_limit = self.max_memory.filter(|_| self.pool.is_over_memory(worker));
        exit_report.start_timeout =
            self.pool.has_missed_start(worker).then_some(self.start_timeout);
        exit_report.channel_closed =
            exit_report.ended_by_us() && self.pool.was_stopped_after_hang_up(worker);
        let evidence = link.evidence(self.pool.claims(worker));
        if !link.ready
            && link.refusal.is_none()
            && exit_report.node_cannot_begin(&self.worker_config)
        {
            // This counts as if the worker had reported it.
            self.handle_for(now, Event::StartRefused { worker, permanent: true }, Cause::None);
        }
        // The text of a start failure names the violation, too.
        let violation_told = !link.ready || link.violation_told;
        // The descriptors are closed before JavaScript hears of the exit, which may be the last
        // event of the pool.
        drop(link);
        let cause = Cause::Exit { report: &exit_report, violation_told };
        self.handle_for(now, Event::Reaped { worker, evidence }, cause);
    }

    /// Takes in a worker's frame, which was read at `now`.
    pub fn receive(&mut self, now: Micros, worker: WorkerKey, frame: &Frame<'_>) {
        if uses_v8(&frame.envelope) && self.worker_config.serialization == Serialization::Json {
            return self.violated(now, worker, Breach::Encoding);
        }
        let link = self.link(worker);
        let pid = link.as_ref().map_or(0, |link| link.raw_pid());
        let Some(blobs) = frame.raw.copies(|at, lengths| link?.take_shared(at, lengths)) else {
            return self.violated(now, worker, Breach::SharedOffset);
        };
        match &frame.envelope {
            Up::Result { id, elapsed, envelope, payload } => {
                let mut scratch = Vec::new();
                let mut reply = payload_reply(Kind::Result, pid, payload, blobs, &mut scratch);
                if *envelope {
                    reply.flags |= flags::ENVELOPE;
                }
                self.replied(now, worker, (*id, *elapsed), reply, frame);
            }
            Up::Error { id, elapsed, error } => {
                let value = error.get().as_bytes();
                let reply =
                    Reply { kind: Kind::TaskError, pid, flags: 0, value, blobs: Vec::new() };
                self.replied(now, worker, (*id, *elapsed), reply, frame);
            }
            Up::Message { payload } => {
                let mut scratch = Vec::new();
                let reply = payload_reply(Kind::Message, pid, payload, blobs, &mut scratch);
                let row =
                    Row { flags: reply.flags, ..Row::of(Kind::Message, worker.worker_id(), pid) };
                self.push_row(row, reply.value, reply.blobs);
            }
            Up::Progress { id, payload } | Up::Chunk { id, payload, .. } => {
                let (kind, ticket) = match &frame.envelope {
                    Up::Chunk { .. } => (Kind::Chunk, self.pool.take_chunk(worker, *id)),
                    _ => (Kind::Progress, self.pool.ticket(worker, *id)),
                };
                // A task that was aborted or is overdue has no ticket any more.
                if let Some(ticket) = ticket {
                    let mut scratch = Vec::new();
                    let reply = payload_reply(kind, pid, payload, blobs, &mut scratch);
                    let row = Row {
                        ticket,
                        flags: reply.flags,
                        ..Row::of(kind, worker.worker_id(), pid)
                    };
                    self.push_row(row, reply.value, reply.blobs);
                }
            }
            Up::Ready { version, page, shares } => {
                if *version != crate::wire::PROTOCOL_VERSION {
                    let pool = crate::wire::PROTOCOL_VERSION;
                    return self.violated(now, worker, Breach::Version { worker: *version, pool });
                }
                // A worker that was told to stop has not got ready in time, and its start has
                // failed, even if it says `ready` now.
                let in_time = self.pool.stop_reason(worker).is_none();
                let Some(link) = self.link(worker) else { return };
                if link.ready {
                    return self.violated(now, worker, Breach::ReadyTwice);
                }
                link.ready = in_time;
                let claims = *page && link.has_page();
                link.shares = *shares;
                self.handle_for(now, Event::Ready { worker, claims }, Cause::None);
            }
            Up::Fail { error, permanent } => {
                let Some(link) = self.link(worker) else { return };
                if link.ready {
                    return self.violated(now, worker, Breach::FailAfterReady);
                }
                link.refusal = Some((*error).to_owned());
                self.handle_for(
                    now,
                    Event::StartRefused { worker, permanent: *permanent },
                    Cause::None,
                );
            }
            // The reader keeps it for crash reports.
            Up::Log { .. } => {}
        }
    }

    /// Takes in a frame from the journal of a dead worker. The frame counts only if it answers an
    /// open task, or gives its next value.
    pub fn receive_journaled(&mut self, now: Micros, worker: WorkerKey, frame: &Frame<'_>) {
        let counts = match &frame.envelope {
            Up::Result { id, .. } | Up::Error { id, .. } => self.pool.expects(worker, *id),
            // The worker may have written this value to its channel, too.
            Up::Chunk { id, index: Some(index), .. } => {
                self.pool.chunks(worker, *id) == Some(*index)
            }
            _ => false,
        };
        if counts {
            self.receive(now, worker, frame);
        }
    }

    fn replied(
        &mut self,
        now: Micros,
        worker: WorkerKey,
        (attempt_id, elapsed): (AttemptId, u64),
        reply: Reply<'_>,
        frame: &Frame<'_>,
    ) {
        let failed = reply.kind == Kind::TaskError;
        // A worker without a claim word need not measure the time, and then sends 0.
        let elapsed = (elapsed > 0 || self.pool.claims(worker).is_some())
            .then(|| u32::try_from(elapsed).unwrap_or(u32::MAX));
        if !self.pool.expects(worker, attempt_id) {
            let excerpt = crate::wire::excerpt(frame.line);
            return self.violated(now, worker, Breach::UnknownTask { excerpt });
        }
        self.handle_for(
            now,
            Event::Replied { worker, attempt_id, elapsed, failed },
            Cause::Reply(reply),
        );
    }

    fn handle_for(&mut self, now: Micros, event: Event, cause: Cause<'_>) {
        tracing::trace!(?event, "event");
        self.pool.handle(now, event);
        self.perform(now, cause);
    }

    fn perform(&mut self, now: Micros, mut cause: Cause<'_>) {
        while let Some(effect) = self.pool.next_effect() {
            tracing::trace!(?effect, "effect");
            match effect {
                Effect::Complete { ticket, run, patience } => {
                    self.admission.settled();
                    let Cause::Reply(reply) = &mut cause else {
                        debug_assert!(false, "only a reply completes a task");
                        continue;
                    };
                    let row = Row {
                        pid: reply.pid,
                        due: if patience > 0 { now.saturating_add(patience) } else { 0 },
                        ..task_row(reply.kind, ticket, reply.flags, &run)
                    };
                    let (value, blobs) = (reply.value, std::mem::take(&mut reply.blobs));
                    self.push_row(row, value, blobs);
                }
                Effect::Send { worker, attempt_id, epoch, attempt, task } => {
                    // The task may have ended since.
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
                Effect::Hold { worker, hold } => {
                    self.with_link(worker, |link| link.allow_hold(hold))
                }
                Effect::Spawn { worker, standby } => {
                    let taken = standby.is_some_and(|standby| self.standbys.give(standby, worker));
                    if !taken {
                        self.spawns.push_back(worker);
                    }
                }
                Effect::StartStandby { standby } => self.standbys.request(standby),
                Effect::EndStandby { standby } => self.standbys.end(standby),
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
                Effect::Fail { ticket, run, failure } => {
                    self.fail(ticket, run, failure, &mut cause)
                }
                Effect::Retry { ticket, worker, attempt } => {
                    let error = cause.exit_report(worker.worker_id()).crashed();
                    let row = Row { ticket, attempt, ..Row::new(Kind::Event, worker.worker_id()) };
                    self.push_row(row, &report::retry(attempt, &error), Vec::new());
                    // Once the task's next attempt has ended, JavaScript may reuse its ticket.
                    // Before that, this event and the rows of this attempt must reach JavaScript.
                    self.outbox.append(&mut self.batch);
                    self.outbox.flush(worker.worker_id());
                }
                Effect::Online { worker } => {
                    if let Some(pid) = self.link(worker).map(|link| link.raw_pid()) {
                        self.push_event(
                            worker.worker_id(),
                            &report::online(worker.worker_id(), pid),
                        );
                    }
                }
                Effect::LostKeys { worker, keys } => {
                    for key in keys {
                        self.push_event(
                            worker.worker_id(),
                            &report::lost_key(worker.worker_id(), &key),
                        );
                    }
                }
                Effect::Exit { worker, reason, tasks_done } => {
                    let report = cause.exit_report(worker.worker_id());
                    let told = matches!(cause, Cause::Exit { violation_told: true, .. });
                    let violation = report.violation().filter(|_| !told);
                    let exit = report.exit(reason.as_str(), tasks_done);
                    for event in violation.into_iter().chain([exit]) {
                        self.push_event(worker.worker_id(), &event);
                    }
                }
                Effect::Started => self.push_event(0, br#"{"event":"started"}"#),
                Effect::Resized { number } => {
                    self.push_event(0, &report::changed("resized", number))
                }
                Effect::Reloaded { number } => {
                    self.push_event(0, &report::changed("reloaded", number))
                }
                Effect::ReloadFailed { number } => {
                    let event = report::reload_failed(number, &self.last_start_failure);
                    self.push_event(0, &event);
                }
                Effect::StartFailed { .. } => {
                    // A worker that the pool no longer wanted has no failure to report.
                    if let Cause::Exit { report, .. } = &cause {
                        self.last_start_failure = report.start_failure();
                    }
                }
                Effect::Short => {
                    let event = report::short_event(&self.last_start_failure);
                    self.push_event(0, &event);
                }
                Effect::StandbysDie => {
                    let cause = cause.exit_report(0).start_failure();
                    self.push_event(0, &report::standbys_die(&cause));
                }
                Effect::Broken => {
                    let event = report::broken_event(&self.last_start_failure);
                    self.push_event(0, &event);
                }
                Effect::Closed(closed) => {
                    self.outbox.append(&mut self.batch);
                    self.outbox.flush_all();
                    self.push_event(0, &report::shut_down(closed));
                }
            }
        }
        let change = self.pool.take_waiting_change();
        if change != 0 {
            self.admission.waiting_changed(change);
        }
    }

    fn with_link(&mut self, worker: WorkerKey, act: impl FnOnce(&mut Link)) {
        if let Some(link) = self.link(worker) {
            act(link);
        }
    }

    fn push_event(&mut self, worker_id: u32, event: &[u8]) {
        self.push_row(Row::new(Kind::Event, worker_id), event, Vec::new());
    }

    /// Queues a row for JavaScript. `value` is one well-formed JSON text.
    fn push_row(&mut self, row: Row, value: &[u8], blobs: Vec<Bytes>) {
        if !self.batch.takes(row.worker_id) {
            self.outbox.append(&mut self.batch);
        }
        self.batch.push(row, value, blobs);
    }

    fn fail(
        &mut self,
        ticket: Ticket,
        run: Option<RunInfo>,
        failure: Failure,
        cause: &mut Cause<'_>,
    ) {
        self.admission.settled();
        let worker = run.map(|run| run.worker);
        let worker_id = worker.map_or(0, WorkerKey::worker_id);
        let value = match failure {
            Failure::Crashed => cause.exit_report(worker_id).crashed(),
            Failure::Protocol => {
                if let Cause::Exit { violation_told, .. } = cause {
                    *violation_told = true;
                }
                cause.exit_report(worker_id).protocol()
            }
            Failure::Timeout(limit) => {
                let pid = worker.and_then(|worker| self.link(worker)).map(|link| link.raw_pid());
                let stack = if let Cause::Stack(stack) = cause { Some(*stack) } else { None };
                report::timeout(limit, worker_id, pid, stack)
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
        self.push_row(row, &value, Vec::new());
    }
}
