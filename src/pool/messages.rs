//! The values that go into the pool's state machine and come out of it. Plain data: no handles, no
//! clocks, no JSON.

use std::ops::Deref;
use std::sync::Arc;

use crate::buffer_pool::{Bytes, MIN_POOLED};
use crate::pool::ids::{AttemptId, Micros, TaskKey, Ticket, WorkerKey};
use crate::pool::key::AffinityKey;
use crate::pool::lifecycle::ExitReason;

/// The bytes of a task: everything of its frame after the members that change from start to start.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// `,"task":…}` and the newline, with the task's other constant members before. (Of a message:
    /// `,"message":…}`.)
    pub text: Text,
    /// Its raw bytes, if it has any. Few do.
    pub raw: Option<Arc<RawBody>>,
}

/// The text of a task. A long one is in memory of its own, which the task and the channels that it
/// is written to share.
#[derive(Clone, Debug)]
pub enum Text {
    /// Copied where it is needed.
    Short(Box<[u8]>),
    /// Shared.
    Long(Arc<Bytes>),
}

// Every task has one, and is moved about.
const _: () = assert!(size_of::<Text>() == size_of::<Box<[u8]>>());

impl Text {
    /// A copy of this text.
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
    /// Their lengths.
    pub lengths: Box<[usize]>,
}

impl Body {
    /// A task without raw bytes.
    pub fn plain(text: &[u8]) -> Self {
        Self { text: Text::copy_of(text), raw: None }
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.text.len() + self.raw.as_ref().map_or(0, |raw| raw.bytes.len())
    }
}

/// A task as it is accepted.
#[derive(Clone, Debug, Default)]
pub struct NewTask {
    /// JavaScript's index for it; unique among unsettled tasks.
    pub ticket: Ticket,
    /// Which handler it is for: an index for the prediction of run times, nothing else.
    pub handler: u8,
    /// Run-time limit; `None`: unlimited.
    pub timeout: Option<Micros>,
    /// Starts after the first that it may have.
    pub retries: u32,
    /// The higher, the earlier; 0 is what most have. Within a million in either direction.
    pub priority: f64,
    /// All tasks of one key go to one worker.
    pub affinity: Option<Box<AffinityKey>>,
    /// When it was accepted.
    pub accepted_at: Micros,
    /// What is sent.
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// `startWorkers()`.
    Start,
    /// A task was accepted.
    Submit(NewTask),
    /// The user gave a task up.
    Cancel(Ticket),
    /// So many more values of this task may be on their way.
    Credit { ticket: Ticket, count: u32 },
    /// The process exists.
    Spawned { worker: WorkerKey },
    /// There is no process. `permanent`: trying again cannot help (no such executable).
    SpawnFailed { worker: WorkerKey, permanent: bool },
    /// The handshake is complete. `claims`: the worker takes its tasks by the claim word.
    Ready { worker: WorkerKey, claims: bool },
    /// The worker says that it cannot start. `permanent`: trying again cannot help.
    StartRefused { worker: WorkerKey, permanent: bool },
    /// A result or an error of the handler arrived. `elapsed`: what the worker measured, if it did.
    Replied { worker: WorkerKey, attempt_id: AttemptId, elapsed: Option<u32>, failed: bool },
    /// The claim word was moved on; `started` tasks had been claimed by then.
    Reclaimed { worker: WorkerKey, started: Result<u32, ForgedClaim> },
    /// The worker broke the protocol.
    Violated { worker: WorkerKey },
    /// The worker's end of the channel is closed, while it may live.
    ChannelClosed { worker: WorkerKey },
    /// So many bytes of the worker's memory are resident.
    Memory { worker: WorkerKey, rss: u64 },
    /// The process is dead. What it said before may still be handled, but nothing can reach it any
    /// more.
    ExitObserved { worker: WorkerKey },
    /// The process is gone, and everything it said has been handled.
    Reaped { worker: WorkerKey, evidence: Evidence },
    /// The worker's stack was fetched, or cannot be.
    Captured { worker: WorkerKey },
    /// Time has passed.
    Tick,
    /// No new tasks; finish the others. `drop_waiting`: only those that have started.
    Shutdown { drop_waiting: bool, timeout: Option<Micros> },
    /// From now on so many workers. `number` comes back with [`Effect::Resized`].
    Resize { min_workers: usize, max_workers: usize, number: u32 },
    /// Replace all workers. `number` comes back with [`Effect::Reloaded`] or
    /// [`Effect::ReloadFailed`].
    Reload { number: u32 },
    /// Kill everything now.
    Terminate,
}

/// The shared word holds what this side never agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForgedClaim;

/// What is known, after a worker's death, of the tasks it had been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The claim word's count: the first so many of all that were ever sent have started.
    Claims(Result<u32, ForgedClaim>),
    /// No claim word; these starts were not completely written to the channel. All others may have
    /// begun.
    Unwritten(Vec<AttemptId>),
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start a process for this slot.
    Spawn { worker: WorkerKey },
    /// Write a task to its worker. `epoch` is `None` for workers without a claim word.
    Send {
        worker: WorkerKey,
        attempt_id: AttemptId,
        epoch: Option<u32>,
        attempt: u32,
        task: TaskKey,
    },
    /// Tell the worker that nobody waits for this start any more.
    Abort { worker: WorkerKey, attempt_id: AttemptId, overdue: bool },
    /// Tell the worker that this start may give so many more values.
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
    /// The reply at hand settles this task.
    Complete { ticket: Ticket, run: RunInfo },
    /// This task ends without a reply.
    Fail { ticket: Ticket, run: Option<RunInfo>, failure: Failure },
    /// This task will be started again; `attempt` is the coming one's number.
    Retry { ticket: Ticket, worker: WorkerKey, attempt: u32 },
    /// The worker is ready.
    Online { worker: WorkerKey },
    /// The worker is gone, and with it what it kept for these keys.
    LostKeys { worker: WorkerKey, keys: Vec<Box<str>> },
    /// The worker is gone; nothing of it follows.
    Exit { worker: WorkerKey, reason: ExitReason, tasks_done: u64 },
    /// `min_workers` are ready, for the first time.
    Started,
    /// All workers beyond the new number are gone, and as many as there are to be are ready.
    Resized { number: u32 },
    /// All workers are replaced.
    Reloaded { number: u32 },
    /// They are not, as the new ones do not get ready.
    ReloadFailed { number: u32 },
    /// This worker, which is gone or never came to be, did not get ready. What was the matter with
    /// it is why the pool breaks, is short of workers or was not reloaded, where one of these
    /// follows.
    StartFailed { worker: WorkerKey },
    /// Workers that are missing do not get ready, again and again, and others serve. Said once.
    Short,
    /// The pool is given up. Said once.
    Broken,
    /// Shutdown is complete.
    Closed(ClosedReport),
}

/// Where and how a task ran.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunInfo {
    /// Its (last) worker.
    pub worker: WorkerKey,
    /// Which start this was, from 1.
    pub attempt: u32,
    /// From acceptance to this start.
    pub wait: Micros,
    /// From this start to the end.
    pub run: Micros,
}

/// Why a task ends without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its worker died and the task may have started.
    Crashed,
    /// Its worker broke the protocol and the task may have started.
    Protocol,
    /// It ran longer than this.
    Timeout(Micros),
    /// The user gave it up.
    Aborted,
    /// The pool was closed.
    Closed { maybe_executed: bool },
    /// The pool broke.
    Broken { maybe_executed: bool },
}

/// What happened since shutdown began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClosedReport {
    /// Tasks that ended with a result.
    pub completed: u64,
    /// Tasks that ended in any other way.
    pub rejected: u64,
    /// Workers that needed SIGKILL.
    pub killed: u64,
}
