//! Numbers by which the pool knows tasks, attempts and workers, and its measure of time.

/// A point in time, or a span, in microseconds on the monotonic clock. Only differences mean
/// anything.
pub type Micros = u64;

slotmap::new_key_type! {
    /// One accepted task. Generational: a key that outlived its task can never hit another.
    pub struct TaskKey;
}

/// The index by which JavaScript knows a task. It is reused, but only after its outcome was taken.
pub type Ticket = u32;

/// The number of one *start* of a task on the wire. Every dispatch has its own, so a reply to an
/// earlier start, or to a task of another worker, can never be taken for this one.
pub type AttemptId = u64;

/// One life of one slot. `life` counts up with every process started there, so news of a dead one
/// is recognised, and the two processes that a slot has while one replaces the other are told
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerKey {
    /// Index of the slot, from 0. Users see `slot + 1` as `workerId`.
    pub slot: usize,
    /// Which process of that slot, from 1.
    pub life: u32,
}

impl WorkerKey {
    /// The number that users see: stable over restarts, from 1.
    pub fn worker_id(self) -> u32 {
        u32::try_from(self.slot + 1).unwrap_or(u32::MAX)
    }
}
