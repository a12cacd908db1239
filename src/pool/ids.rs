//! The ids of tasks, attempts and workers, and the measure of time.

/// A point in time, or a span, in microseconds on the monotonic clock. Only differences mean
/// anything.
pub type Micros = u64;

slotmap::new_key_type! {
    /// One accepted task. Generational: a key that outlives its task never finds another.
    pub struct TaskKey;
}

/// The index by which JavaScript knows a task. JavaScript reuses it after it has taken the outcome.
pub type Ticket = u32;

/// The id of one attempt on the wire. Every attempt has its own, so a reply to an earlier attempt,
/// or to a task of another worker, is never taken for this one.
pub type AttemptId = u64;

/// One process that stands by. It has no slot yet; the slot that takes it gives it a
/// [`WorkerKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StandbyId(pub u32);

/// One process of one slot. `life` counts the processes started there. So events of a dead process
/// are recognised, and a worker is told from its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerKey {
    /// Index of the slot, from 0. Users see `slot + 1` as `workerId`.
    pub slot: usize,
    /// The number of the process in its slot, from 1.
    pub life: u32,
}

impl WorkerKey {
    /// Returns the id that users see: stable over restarts, from 1.
    pub fn worker_id(self) -> u32 {
        u32::try_from(self.slot + 1).unwrap_or(u32::MAX)
    }
}
