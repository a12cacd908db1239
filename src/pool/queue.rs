//! The waiting tasks, by priority and age; first in, first out among equals. Tasks that never
//! started return to the front.
//!
//! ```text
//!              returned   [ r1 r2 ]            were sent before, and come first
//!    lane      plain      [ p1 p2 p3 … ]       priority 0, which nearly all have
//!              ranked     heap by due time     any other priority
//!
//!    one lane for tasks that any worker may run, and one for each slot that tasks are bound to
//! ```
//!
//! A waiting task gains priority as time passes. So that the order of two tasks never changes, each
//! has a *due time*: its acceptance, less a span for each level of its priority. The task that is
//! due first has the higher priority at any time, age included.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::pool::ids::TaskKey;

/// A point in time (µs). With a priority, it may lie long before the clock's start.
pub(crate) type Due = i64;

/// A time before any task's due time: a priority of a million, at the slowest ageing, is worth less
/// than half of that.
const FIRST: Due = Due::MIN / 2;

/// A task to be queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub key: TaskKey,
    /// The task's size (bytes).
    pub size: usize,
    /// The slot that the task is bound to.
    pub slot: Option<usize>,
}

/// The keys of waiting tasks. Removal from the middle is lazy: the key of an ended task stays until
/// it is reached. So the caller tells which keys still count.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    free: Lane,
    /// The lanes of bound tasks, by slot.
    bound: Vec<Lane>,
    /// The number of tasks in `bound`.
    bound_live: usize,
    accepted: u64,
    returned: Due,
    live: usize,
    bytes: u64,
    /// See [`Self::take_change`].
    change: i64,
}

#[derive(Debug, Default)]
struct Lane {
    /// Returned tasks. Their due times lie before all others, and keep the order of two lanes.
    returned: VecDeque<(Due, TaskKey)>,
    plain: VecDeque<TaskKey>,
    /// Tasks with a priority. The number of its acceptance orders a task among equals.
    ranked: BinaryHeap<Reverse<(Due, u64, TaskKey)>>,
    live: usize,
}

impl Queue {
    /// Returns the number of waiting tasks.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Returns whether no task waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Returns the number of tasks that any worker may run.
    pub(crate) fn unbound(&self) -> usize {
        self.free.live
    }

    /// Returns whether a bound task waits.
    pub(crate) fn has_bound(&self) -> bool {
        self.bound_live > 0
    }

    /// Returns the slots that bound tasks wait for.
    pub(crate) fn assigned_slots(&self) -> impl Iterator<Item = usize> {
        let lanes = if self.bound_live == 0 { &[] } else { self.bound.as_slice() };
        lanes.iter().enumerate().filter(|(_, lane)| lane.live > 0).map(|(slot, _)| slot)
    }

    /// Returns the bytes of the waiting tasks.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a newly accepted task. `due`: its due time, if its priority is not 0.
    pub(crate) fn accept(&mut self, entry: Entry, due: Option<Due>) {
        self.accepted += 1;
        let number = self.accepted;
        self.add(entry, |lane| match due {
            None => lane.plain.push_back(entry.key),
            Some(due) => lane.ranked.push(Reverse((due, number, entry.key))),
        });
    }

    /// Counts a newly accepted task of `size` bytes that will not wait.
    pub(crate) fn pass_by(&mut self, size: usize) {
        self.change -= signed(size);
    }

    /// Adds a task to the front that was sent before, or failed with its worker. Its turn had come.
    pub(crate) fn push_front(&mut self, entry: Entry) {
        self.change += signed(entry.size);
        self.returned += 1;
        let due = FIRST - self.returned;
        self.add(entry, |lane| lane.returned.push_front((due, entry.key)));
    }

    fn add(&mut self, Entry { size, slot, .. }: Entry, put: impl FnOnce(&mut Lane)) {
        self.live += 1;
        self.bytes += size as u64;
        self.bound_live += usize::from(slot.is_some());
        let lane = self.lane(slot);
        lane.live += 1;
        put(lane);
    }

    fn shrank(&mut self, size: usize, slot: Option<usize>) {
        self.live -= 1;
        self.bytes -= size as u64;
        self.change -= signed(size);
        self.bound_live -= usize::from(slot.is_some());
    }

    #[inline]
    fn lane(&mut self, slot: Option<usize>) -> &mut Lane {
        let Some(slot) = slot else { return &mut self.free };
        if self.bound.len() <= slot {
            self.bound.resize_with(slot + 1, Lane::default);
        }
        &mut self.bound[slot]
    }

    /// Returns the next key for the worker of this slot, without removing it. `due` returns since
    /// when a key's task has been waiting. `None`: it no longer waits, and the key is dropped.
    pub(crate) fn peek(
        &mut self,
        slot: usize,
        mut due: impl FnMut(TaskKey) -> Option<Due>,
    ) -> Option<TaskKey> {
        let free = self.free.first(&mut due);
        if self.bound_live == 0 {
            return free.map(|(_, key)| key);
        }
        let bound = self.bound.get_mut(slot).and_then(|lane| lane.first(&mut due));
        [free, bound].into_iter().flatten().min_by_key(|(due, _)| *due).map(|(_, key)| key)
    }

    /// Returns the next key that any worker may run, as [`Self::peek`] does.
    pub(crate) fn peek_free(
        &mut self,
        mut due: impl FnMut(TaskKey) -> Option<Due>,
    ) -> Option<TaskKey> {
        self.free.first(&mut due).map(|(_, key)| key)
    }

    /// Removes the key that `peek` returned.
    pub(crate) fn pop(&mut self, Entry { key, size, slot }: Entry) {
        self.shrank(size, slot);
        let lane = self.lane(slot);
        lane.live -= 1;
        lane.pop(key);
    }

    /// Counts a task of `size` bytes that no longer waits.
    pub(crate) fn forget(&mut self, size: usize, slot: Option<usize>) {
        self.shrank(size, slot);
        let lane = self.lane(slot);
        lane.live -= 1;
        if lane.live == 0 {
            lane.clear();
        }
    }

    /// Empties the queue, and returns its keys: those of a lane in the order of acceptance, as far
    /// as that is known.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = TaskKey> + use<> {
        self.change -= i64::try_from(self.bytes).unwrap_or(i64::MAX);
        let (change, accepted, returned) = (self.change, self.accepted, self.returned);
        let emptied = Self { change, accepted, returned, ..Self::default() };
        let Self { free, bound, .. } = std::mem::replace(self, emptied);
        std::iter::once(free).chain(bound).flat_map(Lane::into_keys)
    }

    /// Binds the tasks that wait for `slot` again. `assign` returns the slot that a key's task is
    /// bound to now, and the due time that the task has with priority 0; `None`: it no longer
    /// waits.
    pub(crate) fn rebind(
        &mut self,
        slot: usize,
        mut assign: impl FnMut(TaskKey) -> Option<(usize, Due)>,
    ) {
        let Some(Lane { returned, plain, ranked, .. }) =
            self.bound.get_mut(slot).map(std::mem::take)
        else {
            return;
        };
        for (due, key) in returned {
            let Some((slot, _)) = assign(key) else { continue };
            let lane = self.lane(Some(slot));
            lane.live += 1;
            let at = lane.returned.partition_point(|(other, _)| *other < due);
            lane.returned.insert(at, (due, key));
        }
        // In the other lane these are older than some that came before them there. The due time
        // puts them in order.
        let plain = plain.into_iter().map(|key| (None, key));
        for (due, key) in
            plain.chain(ranked.into_iter().map(|Reverse((due, _, key))| (Some(due), key)))
        {
            let Some((slot, accepted)) = assign(key) else { continue };
            self.accepted += 1;
            let entry = Reverse((due.unwrap_or(accepted), self.accepted, key));
            let lane = self.lane(Some(slot));
            lane.live += 1;
            lane.ranked.push(entry);
        }
    }

    /// Returns by how much the bytes have changed since the last call, without the accepted tasks.
    /// The caller that accepts a task counts it at once, before it gets here.
    pub(crate) fn take_change(&mut self) -> i64 {
        std::mem::take(&mut self.change)
    }
}

impl Lane {
    /// Returns the first key that still counts, with its due time. Keys before it are dropped.
    fn first(&mut self, due: &mut impl FnMut(TaskKey) -> Option<Due>) -> Option<(Due, TaskKey)> {
        while let Some(&(rank, key)) = self.returned.front() {
            if due(key).is_some() {
                return Some((rank, key));
            }
            self.returned.pop_front();
        }
        let plain = front(&mut self.plain, due);
        while let Some(&Reverse((rank, _, key))) = self.ranked.peek() {
            if due(key).is_none() {
                self.ranked.pop();
                continue;
            }
            return plain.filter(|(since, _)| *since <= rank).or(Some((rank, key)));
        }
        plain
    }

    /// Removes the key that `first` returned.
    fn pop(&mut self, key: TaskKey) {
        if self.returned.front().is_some_and(|(_, first)| *first == key) {
            self.returned.pop_front();
        } else if self.plain.front() == Some(&key) {
            self.plain.pop_front();
        } else {
            self.ranked.pop();
        }
    }

    fn clear(&mut self) {
        self.returned.clear();
        self.plain.clear();
        self.ranked.clear();
    }

    fn into_keys(self) -> impl Iterator<Item = TaskKey> {
        let ranked =
            self.ranked.into_sorted_vec().into_iter().rev().map(|Reverse((_, _, key))| key);
        self.returned.into_iter().map(|(_, key)| key).chain(ranked).chain(self.plain)
    }
}

/// Returns the first key that still counts, with its due time. Keys before it are dropped.
fn front(
    keys: &mut VecDeque<TaskKey>,
    due: &mut impl FnMut(TaskKey) -> Option<Due>,
) -> Option<(Due, TaskKey)> {
    while let Some(&key) = keys.front() {
        if let Some(due) = due(key) {
            return Some((due, key));
        }
        keys.pop_front();
    }
    None
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
