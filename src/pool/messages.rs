//! The values that go into the pool's state machine and come out of it. They are plain data: no
//! handles, no clocks, no JSON.

use std::ops::Deref;
use std::sync::Arc;

use crate::buffer_pool::{Bytes, MIN_POOLED};
use crate::pool::ids::{AttemptId, Micros, StandbyId, TaskKey, Ticket, WorkerKey};
use crate::pool::key::AffinityKey;
use crate::pool::lifecycle::ExitReason;

/// The bytes of a task: everything of its frame after the members that change from attempt to
/// attempt.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// `,"task":…}` and the newline, after the task's other constant members. A message has
    /// `,"message":…}` instead.
    pub text: Text,
    /// The task's raw bytes. Few tasks have any.
    pub raw: Option<Arc<RawBody>>,
}

/// The text of a task. A long one lies in memory that the task and the channels share.
#[derive(Clone, Debug)]
pub enum Text {
    /// A text that is copied where it is needed.
    Short(Box<[u8]>),
    /// A shared text.
    Long(Arc<Bytes>),
}

// Every task has a text, and is moved about.
const _: () = assert!(size_of::<Text>() == size_of::<Box<[u8]>>());

impl Text {
    /// Copies a text.
    #[inline]
    pub fn copy_of(text: &[u8]) -> Self {
        if text.len() < MIN_POOLED { Self::Short(text.into()) } else { Self::long(text) }
    }

    #[cold]
    fn long(text: &[u8]) -> Self {
        Self::Long(Arc::new(Bytes::copy_of(text)))
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::Short(Box::default())
    }
}

impl Deref for Text {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Short(text) => text,
            Self::Long(text) => text,
        }
    }
}

/// The raw bytes of a task.
#[derive(Clone, Debug, Default)]
pub struct RawBody {
    /// All chunks, end to end.
    pub bytes: Bytes,
    /// The lengths of the chunks.
    pub lengths: Box<[usize]>,
}

impl Body {
    /// Makes a task without raw bytes.
    pub fn plain(text: &[u8]) -> Self {
        Self { text: Text::copy_of(text), raw: None }
    }

    /// Returns the size of text and raw bytes, in bytes.
    pub fn size(&self) -> usize {
        self.text.len() + self.raw.as_ref().map_or(0, |raw| raw.bytes.len())
    }
}

/// A task as it is submitted.
#[derive(Clone, Debug, Default)]
pub struct NewTask {
    /// JavaScript's index for the task; unique among unsettled tasks.
    pub ticket: Ticket,
    /// The index of the task's handler. It only serves to predict run times.
    pub handler: u8,
    /// Run-time limit; `None`: unlimited.
    pub timeout: Option<Micros>,
    /// Attempts after the first that the task may have.
    pub retries: u32,
    /// The priority, from minus a million to a million: the higher, the earlier. Most tasks have
    /// 0.
    pub priority: f64,
    /// The affinity key: all tasks of one key go to one worker.
    pub affinity: Option<Box<AffinityKey>>,
    /// The time of acceptance.
    pub accepted_at: Micros,
    /// The bytes that are sent.
    pub body: Body,
}

/// An event that the pool handles.
#[derive(Clone, Debug)]
pub enum Event {
    /// `startWorkers()`.
    Start,
    /// A task was accepted.
    Submit(NewTask),
    /// The user aborted a task.
    Cancel(Ticket),
    /// `count` more values of this task may be on their way.
    Credit { ticket: Ticket, count: u32 },
    /// The process exists.
    Spawned { worker: WorkerKey },
    /// The process of the standby exists.
    StandbySpawned { standby: StandbyId },
    /// The standby is reaped, or could not be spawned.
    StandbyEnded { standby: StandbyId },
    /// The process could not be spawned. `permanent`: another try cannot help (no such executable).
    SpawnFailed { worker: WorkerKey, permanent: bool },
    /// The handshake is complete. `claims`: the worker claims its tasks by the claim word.
    Ready { worker: WorkerKey, claims: bool },
    /// The worker reports that it cannot start. `permanent`: another try cannot help.
    StartRefused { worker: WorkerKey, permanent: bool },
    /// A result or an error of the handler arrived. `elapsed`: the run time that the worker
    /// measured (µs).
    Replied { worker: WorkerKey, attempt_id: AttemptId, elapsed: Option<u32>, failed: bool },
    /// The claim word was moved on; `started` tasks had been claimed by then.
    Reclaimed { worker: WorkerKey, started: Result<u32, ForgedClaim> },
    /// The worker broke the protocol.
    Violated { worker: WorkerKey },
    /// The worker closed its end of the channel, and may still live.
    ChannelClosed { worker: WorkerKey },
    /// The worker's resident memory was measured (bytes).
    Memory { worker: WorkerKey, rss: u64 },
    /// The process is dead. Replies that it sent before may still be handled, but nothing can reach
    /// it any more.
    ExitObserved { worker: WorkerKey },
    /// The process is reaped, and everything that it sent has been handled.
    Reaped { worker: WorkerKey, evidence: Evidence },
    /// The worker's stack was captured, or cannot be.
    Captured { worker: WorkerKey },
    /// Time has passed.
    Tick,
    /// The pool accepts no new tasks and finishes the others. `drop_waiting`: it finishes only
    /// those that have started.
    Shutdown { drop_waiting: bool, timeout: Option<Micros> },
    /// The number of workers changes. `number` comes back with [`Effect::Resized`].
    Resize { min_workers: usize, max_workers: usize, number: u32 },
    /// The pool replaces all workers. `number` comes back with [`Effect::Reloaded`] or
    /// [`Effect::ReloadFailed`].
    Reload { number: u32 },
    /// The pool kills all workers now.
    Terminate,
}

impl Event {
    /// Returns whether JavaScript asks for the end of tasks.
    pub fn ends_tasks(&self) -> bool {
        matches!(self, Self::Cancel(_) | Self::Shutdown { .. } | Self::Terminate)
    }
}

/// The claim word holds a count that cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForgedClaim;

/// The evidence that a dead worker leaves: it tells which tasks the worker had started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The claim word's count: the first `n` of all attempts that were ever sent have started.
    Claims(Result<u32, ForgedClaim>),
    /// The worker has no claim word. These attempts were not completely written to the channel; all
    /// others may have started.
    Unwritten(Vec<AttemptId>),
}

/// An effect. The driver performs effects in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Start a process for this worker, or use that of the standby.
    Spawn { worker: WorkerKey, standby: Option<StandbyId> },
    /// Start a process that stands by.
    StartStandby { standby: StandbyId },
    /// SIGKILL to the group of the standby, which no slot takes any more.
    EndStandby { standby: StandbyId },
    /// Write a task to its worker. `epoch` is `None` for workers without a claim word.
    Send {
        worker: WorkerKey,
        attempt_id: AttemptId,
        epoch: Option<u32>,
        attempt: u32,
        task: TaskKey,
    },
    /// Tell the worker for how long (µs) it may hold results, before any task is written to it.
    Hold { worker: WorkerKey, hold: Micros },
    /// Tell the worker that the result of this attempt is no longer wanted.
    Abort { worker: WorkerKey, attempt_id: AttemptId, overdue: bool },
    /// Tell the worker that this attempt may give `count` more values.
    Credit { worker: WorkerKey, attempt_id: AttemptId, count: u32 },
    /// Find out where the worker's JavaScript is, and answer with [`Event::Captured`].
    Capture { worker: WorkerKey },
    /// Move the claim word on and answer with [`Event::Reclaimed`], before anything else.
    Reclaim { worker: WorkerKey, epoch: u32 },
    /// Write `stop` and close the sending side.
    Stop { worker: WorkerKey },
    /// SIGTERM, with SIGCONT, to the group.
    Terminate { worker: WorkerKey },
    /// SIGKILL to the group.
    Kill { worker: WorkerKey },
    /// The reply at hand completes this task. JavaScript need not hear of it for `patience` (µs).
    Complete { ticket: Ticket, run: RunInfo, patience: Micros },
    /// This task ends without a reply.
    Fail { ticket: Ticket, run: Option<RunInfo>, failure: Failure },
    /// This task will have another attempt, of the number `attempt`.
    Retry { ticket: Ticket, worker: WorkerKey, attempt: u32 },
    /// The worker is ready.
    Online { worker: WorkerKey },
    /// The worker is gone, and with it what it kept for these keys.
    LostKeys { worker: WorkerKey, keys: Vec<Box<str>> },
    /// The worker is gone; nothing of it follows.
    Exit { worker: WorkerKey, reason: ExitReason, tasks_done: u64 },
    /// `min_workers` are ready, for the first time.
    Started,
    /// All workers beyond the new number are gone, and `min_workers` are ready.
    Resized { number: u32 },
    /// All workers are replaced.
    Reloaded { number: u32 },
    /// The reload failed, since the new workers do not get ready.
    ReloadFailed { number: u32 },
    /// This worker did not get ready, and is gone or was never spawned. Its error is the cause if
    /// the pool breaks, is short of workers or fails to reload right after.
    StartFailed { worker: WorkerKey },
    /// Missing workers repeatedly do not get ready, while others serve. Told once.
    Short,
    /// Standbys repeatedly die unused, the last one just now. Told once.
    StandbysDie,
    /// The pool is broken. Told once.
    Broken,
    /// Shutdown is complete.
    Closed(ClosedReport),
}

/// Where and how a task ran.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RunInfo {
    /// The task's last worker.
    pub worker: WorkerKey,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The time from acceptance to this attempt (µs).
    pub wait: Micros,
    /// The time from this attempt to the end (µs).
    pub run: Micros,
}

/// Why a task ends without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Its worker died and the task may have started.
    Crashed,
    /// Its worker broke the protocol and the task may have started.
    Protocol,
    /// The task ran longer than this limit (µs).
    Timeout(Micros),
    /// The user aborted the task.
    Aborted,
    /// The pool was closed.
    Closed { maybe_executed: bool },
    /// The pool broke.
    Broken { maybe_executed: bool },
}

/// A report of what happened since shutdown began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClosedReport {
    /// Tasks that ended with a result.
    pub completed: u64,
    /// Tasks that ended in any other way.
    pub rejected: u64,
    /// Workers that needed SIGKILL.
    pub killed: u64,
}
