//! The waiting tasks: first in, first out, with a way back to the front for those that never started.

use std::collections::VecDeque;

use crate::pool::messages::TaskKey;

/// A queue of keys. Removal from the middle is lazy: the key of a task that is gone stays until it is reached, which
/// is why the caller says which keys still count.
#[derive(Debug, Default)]
pub struct Queue {
    keys: VecDeque<TaskKey>,
    live: usize,
    bytes: u64,
    /// See [`Self::take_change`].
    change: i64,
}

impl Queue {
    /// Tasks waiting.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Bytes of the tasks waiting.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// To the end: a newly accepted task of `size` bytes.
    pub fn accept(&mut self, key: TaskKey, size: usize) {
        self.keys.push_back(key);
        self.live += 1;
        self.bytes += size as u64;
    }

    /// A newly accepted task of `size` bytes that will not wait here.
    pub fn pass_by(&mut self, size: usize) {
        self.change -= signed(size);
    }

    /// To the front: a task that was sent, or failed with its worker, and is older than all that wait.
    pub fn push_front(&mut self, key: TaskKey, size: usize) {
        self.keys.push_front(key);
        self.grew(size);
    }

    /// The next key for which `waiting` holds, without removing it. Keys before it are dropped.
    pub fn peek(&mut self, mut waiting: impl FnMut(TaskKey) -> bool) -> Option<TaskKey> {
        while let Some(&key) = self.keys.front() {
            if waiting(key) {
                return Some(key);
            }
            self.keys.pop_front();
        }
        None
    }

    /// Removes the key that `peek` returned.
    pub fn pop(&mut self, size: usize) {
        self.keys.pop_front();
        self.shrank(size);
    }

    /// A task of `size` bytes that waits somewhere in the middle no longer does.
    pub fn forget(&mut self, size: usize) {
        self.shrank(size);
        if self.live == 0 {
            self.keys.clear();
        }
    }

    /// Empties the queue; the keys that were in it, first to last.
    pub fn take(&mut self) -> VecDeque<TaskKey> {
        self.live = 0;
        self.change -= i64::try_from(self.bytes).unwrap_or(i64::MAX);
        self.bytes = 0;
        std::mem::take(&mut self.keys)
    }

    fn grew(&mut self, size: usize) {
        self.live += 1;
        self.bytes += size as u64;
        self.change += signed(size);
    }

    fn shrank(&mut self, size: usize) {
        self.live -= 1;
        self.bytes -= size as u64;
        self.change -= signed(size);
    }

    /// By how much the bytes have changed since the last call, apart from what was accepted: whoever accepts tasks
    /// counts them at once, before they get here.
    pub fn take_change(&mut self) -> i64 {
        std::mem::take(&mut self.change)
    }
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
