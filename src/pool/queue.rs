//! The waiting tasks: by priority and age, first in, first out among equals, with a way back to the front for those that
//! never started.
//!
//! ```text
//! returned   [ r1 r2 ]            were sent before, and come first
//! plain      [ p1 p2 p3 … ]       priority 0, which nearly all have
//! ranked     heap by due time     any other priority
//! ```
//!
//! A task that waits gains priority as time passes. So that nothing has to be sorted anew for that, each has a *due time*:
//! when it was accepted, less a span for each level of priority that it has. Of two tasks the one that is due first has the
//! higher priority, age included, whenever one looks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::pool::messages::TaskKey;

/// A point in time, in microseconds; with priority, long before the clock began.
pub type Due = i64;

/// A queue of keys. Removal from the middle is lazy: the key of a task that is gone stays until it is reached, which
/// is why the caller says which keys still count.
#[derive(Debug, Default)]
pub struct Queue {
    returned: VecDeque<TaskKey>,
    plain: VecDeque<TaskKey>,
    /// With the number of its acceptance, which orders equals.
    ranked: BinaryHeap<Reverse<(Due, u64, TaskKey)>>,
    accepted: u64,
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

    /// A newly accepted task of `size` bytes and priority 0: behind all others of that kind.
    pub fn accept(&mut self, key: TaskKey, size: usize) {
        self.plain.push_back(key);
        self.live += 1;
        self.bytes += size as u64;
    }

    /// A newly accepted task of another priority.
    pub fn accept_ranked(&mut self, key: TaskKey, due: Due, size: usize) {
        self.accepted += 1;
        self.ranked.push(Reverse((due, self.accepted, key)));
        self.live += 1;
        self.bytes += size as u64;
    }

    /// A newly accepted task of `size` bytes that will not wait here.
    pub fn pass_by(&mut self, size: usize) {
        self.change -= signed(size);
    }

    /// To the front: a task that was sent, or failed with its worker. Its turn had come.
    pub fn push_front(&mut self, key: TaskKey, size: usize) {
        self.returned.push_front(key);
        self.live += 1;
        self.bytes += size as u64;
        self.change += signed(size);
    }

    /// The next key, without removing it. `due` says of a key since when its task has been waiting, and `None` of one that no
    /// longer waits: such keys are dropped.
    pub fn peek(&mut self, mut due: impl FnMut(TaskKey) -> Option<Due>) -> Option<TaskKey> {
        if let Some((key, _)) = front(&mut self.returned, &mut due) {
            return Some(key);
        }
        let plain = front(&mut self.plain, &mut due);
        while let Some(&Reverse((rank, _, key))) = self.ranked.peek() {
            if due(key).is_none() {
                self.ranked.pop();
                continue;
            }
            return match plain {
                Some((plain, since)) if since <= rank => Some(plain),
                _ => Some(key),
            };
        }
        plain.map(|(key, _)| key)
    }

    /// Removes the key that `peek` returned.
    pub fn pop(&mut self, key: TaskKey, size: usize) {
        let lane = [&mut self.returned, &mut self.plain].into_iter().find(|lane| lane.front() == Some(&key));
        match lane {
            Some(lane) => drop(lane.pop_front()),
            None => drop(self.ranked.pop()),
        }
        self.shrank(size);
    }

    /// A task of `size` bytes that waits somewhere in the middle no longer does.
    pub fn forget(&mut self, size: usize) {
        self.shrank(size);
        if self.live == 0 {
            self.returned.clear();
            self.plain.clear();
            self.ranked.clear();
        }
    }

    /// Empties the queue; the keys that were in it, in the order of their acceptance as far as that is known.
    pub fn take(&mut self) -> impl Iterator<Item = TaskKey> + use<> {
        self.live = 0;
        self.change -= i64::try_from(self.bytes).unwrap_or(i64::MAX);
        self.bytes = 0;
        let ranked = std::mem::take(&mut self.ranked).into_sorted_vec();
        let returned = std::mem::take(&mut self.returned).into_iter();
        let plain = std::mem::take(&mut self.plain);
        returned.chain(ranked.into_iter().rev().map(|Reverse((_, _, key))| key)).chain(plain)
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

/// The first key of a lane that still counts, with its due time.
fn front(lane: &mut VecDeque<TaskKey>, due: &mut impl FnMut(TaskKey) -> Option<Due>) -> Option<(TaskKey, Due)> {
    while let Some(&key) = lane.front() {
        if let Some(due) = due(key) {
            return Some((key, due));
        }
        lane.pop_front();
    }
    None
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
