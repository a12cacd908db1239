//! The bounds on what a pool accepts (`maxQueue`, `maxQueueBytes`), and the only way in and out of
//! the counters behind them.
//!
//! JavaScript's thread reads and changes these counters without the driver's lock.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use crate::supervisor::config::QueueLimits;

/// The limit for which a task was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueFull {
    /// The limit of waiting tasks is reached.
    Tasks,
    /// The limit of waiting bytes is reached.
    Bytes,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: QueueLimits,
    /// The number of tasks that can run at once.
    capacity: AtomicUsize,
    /// Accepted tasks that have not ended.
    unsettled: AtomicI64,
    /// Bytes of the tasks that wait for a worker.
    waiting_bytes: AtomicI64,
    /// JavaScript was refused, and no `drain` event has told it since that there is room.
    refused: AtomicBool,
}

impl Admission {
    pub(crate) fn new(limits: QueueLimits, capacity: usize) -> Self {
        Self {
            limits,
            capacity: AtomicUsize::new(capacity),
            unsettled: AtomicI64::new(0),
            waiting_bytes: AtomicI64::new(0),
            refused: AtomicBool::new(false),
        }
    }

    /// Counts a task of `size` bytes as accepted, or refuses it. After a refusal the driver must
    /// run: room may have come up before it was noted, and then nothing else would tell of it.
    pub(crate) fn admit(&self, size: usize) -> Result<(), QueueFull> {
        if let Err(full) = self.room(size) {
            self.refused.store(true, Ordering::SeqCst);
            return Err(full);
        }
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(i64::try_from(size).unwrap_or(i64::MAX), Ordering::Relaxed);
        Ok(())
    }

    /// Returns whether the smallest task would be accepted. `false` counts as a refusal, see
    /// [`Self::admit`].
    pub(crate) fn want_room(&self) -> bool {
        let has_room = self.room(0).is_ok();
        if !has_room {
            self.refused.store(true, Ordering::SeqCst);
        }
        has_room
    }

    /// Returns whether there is room again after a refusal. Returns `true` once for all refusals
    /// until then.
    pub(crate) fn take_room_again(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
            && self.room(0).is_ok()
            && self.refused.swap(false, Ordering::SeqCst)
    }

    /// Sets the number of tasks that can run at once.
    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    /// Takes in that an accepted task has ended.
    pub(crate) fn settled(&self) {
        self.unsettled.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes in a change of the waiting tasks' bytes.
    pub(crate) fn waiting_changed(&self, change: i64) {
        self.waiting_bytes.fetch_add(change, Ordering::Relaxed);
    }

    /// Returns whether a task of `size` bytes would be accepted. A task that can run at once is
    /// accepted whatever its size.
    fn room(&self, size: usize) -> Result<(), QueueFull> {
        let limits = self.limits;
        let capacity = self.capacity.load(Ordering::Relaxed);
        let unsettled = usize::try_from(self.unsettled.load(Ordering::Relaxed)).unwrap_or(0);
        if unsettled < capacity {
            return Ok(());
        }
        if unsettled >= capacity.saturating_add(limits.tasks) {
            return Err(QueueFull::Tasks);
        }
        let waiting = usize::try_from(self.waiting_bytes.load(Ordering::Relaxed)).unwrap_or(0);
        if waiting.saturating_add(size) > limits.bytes { Err(QueueFull::Bytes) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_followed_by_one_notice_once_there_is_room() {
        let admission = Admission::new(QueueLimits { tasks: 1, bytes: 10 }, 1);
        assert_eq!(admission.admit(100), Ok(()), "it can run at once, whatever its size");
        admission.waiting_changed(-100);
        assert_eq!(admission.admit(11), Err(QueueFull::Bytes));
        assert!(admission.take_room_again(), "a smaller task has room");
        assert!(!admission.take_room_again(), "that is told once");
        assert_eq!(admission.admit(10), Ok(()));
        assert_eq!(admission.admit(0), Err(QueueFull::Tasks));
        assert!(!admission.want_room());
        assert!(!admission.take_room_again());
        admission.settled();
        admission.waiting_changed(-10);
        assert!(admission.take_room_again());
        assert!(admission.want_room());
        assert!(!admission.take_room_again());
    }
}
