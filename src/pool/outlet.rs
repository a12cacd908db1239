//! What is to be told to JavaScript, collected in batches.
//!
//! Everything goes through one queue, so the order in which things happened is the order in which they are told: a
//! worker's results before its exit, its messages between its results. JavaScript is woken once and then takes all
//! there is; values that are small JSON are joined, so that one `JSON.parse` serves a whole batch.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What a row is about. The discriminants are the contract with `lib/batch.js`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A handler's value: settles the ticket.
    Result = 0,
    /// What a handler threw: settles the ticket.
    TaskError = 1,
    /// A failure object: settles the ticket.
    TaskFailed = 2,
    /// What a worker passed to `send()`.
    Message = 3,
    /// Progress of an unsettled task.
    Progress = 4,
    /// An event of the pool.
    Event = 5,
    /// A chunk of a worker's standard output.
    Stdout = 6,
    /// A chunk of a worker's standard error.
    Stderr = 7,
}

/// How a row's value is to be read. Bits.
pub mod flags {
    /// There is no value; its place in the JSON is a 0.
    pub const UNDEFINED: u32 = 1;
    /// The value is a whole `{ taskId, result, processedBy }`.
    pub const ENVELOPE: u32 = 2;
    /// The value is the next of the separate strings; its place in the JSON is a 0.
    pub const APART: u32 = 4;
    /// The value is structured-clone data: the row's blob.
    pub const V8: u32 = 8;
    /// The value is `{ "value": …, "binary": [[type, path], …] }`, with one blob for each entry.
    pub const BINARY: u32 = 16;
}

/// One row. Times are milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub kind: Kind,
    pub ticket: u32,
    pub flags: u32,
    pub worker_id: u32,
    /// Of the worker's process; two may have the same id while one replaces the other. 0: not told.
    pub pid: i32,
    pub attempt: u32,
    pub wait: f64,
    pub run: f64,
}

impl Row {
    /// Numbers in a row of the array that JavaScript reads.
    pub const WIDTH: usize = 9;

    /// A row that is about no task.
    pub fn new(kind: Kind, worker_id: u32) -> Self {
        Self { kind, ticket: 0, flags: 0, worker_id, pid: 0, attempt: 0, wait: 0.0, run: 0.0 }
    }

    /// A row of a process.
    pub fn of(kind: Kind, worker_id: u32, pid: i32) -> Self {
        Self { pid, ..Self::new(kind, worker_id) }
    }

    /// As JavaScript reads it.
    pub fn numbers(&self, blobs: usize) -> [f64; Self::WIDTH] {
        let kind = f64::from(self.kind as u8);
        let [ticket, flags] = [self.ticket, self.flags].map(f64::from);
        let [worker_id, attempt] = [self.worker_id, self.attempt].map(f64::from);
        [kind, ticket, flags, worker_id, f64::from(self.pid), attempt, self.wait, self.run, blobs as f64]
    }
}

/// A value of more bytes than this is handed over as a string of its own: joining large ones only copies them.
const APART_FROM: usize = 4096;
/// Rows that are taken at a time, at most.
pub const BATCH_ROWS: usize = 1024;
/// Bytes that are taken at a time, about: one call must not hold the event loop for long.
const BATCH_BYTES: usize = 1 << 20;
/// Bytes waiting for JavaScript beyond which workers are no longer read, so that a flood of messages ends as
/// back-pressure in the worker and not as memory here.
const CONGESTED_FROM: usize = 64 << 20;

/// Rows and their values.
#[derive(Debug, Default)]
pub struct Batch {
    /// For JavaScript to read: [`Row::WIDTH`] numbers each.
    pub rows: Vec<[f64; Row::WIDTH]>,
    /// The values, joined by commas, without the brackets.
    pub json: Vec<u8>,
    /// The values that are apart, in the order of their rows.
    pub strings: Vec<Vec<u8>>,
    /// Raw bytes, in the order of their rows.
    pub blobs: Vec<Vec<u8>>,
    size: usize,
}

impl Batch {
    /// Adds a row. `value` is one well-formed JSON text: the caller has made or checked it.
    pub fn push(&mut self, mut row: Row, value: &[u8], blobs: Vec<Vec<u8>>) {
        self.size += value.len() + blobs.iter().map(Vec::len).sum::<usize>() + size_of::<[f64; Row::WIDTH]>();
        if !self.rows.is_empty() {
            self.json.push(b',');
        }
        if value.len() > APART_FROM {
            row.flags |= flags::APART;
            self.json.push(b'0');
            self.strings.push(value.to_vec());
        } else {
            self.json.extend_from_slice(value);
        }
        self.rows.push(row.numbers(blobs.len()));
        self.blobs.extend(blobs);
    }

    /// Moves all rows of `other` behind its own.
    fn absorb(&mut self, other: &mut Self) {
        if !self.rows.is_empty() {
            self.json.push(b',');
        }
        self.rows.append(&mut other.rows);
        self.json.append(&mut other.json);
        self.strings.append(&mut other.strings);
        self.blobs.append(&mut other.blobs);
        self.size += std::mem::take(&mut other.size);
    }

    fn has_room_for(&self, other: &Self) -> bool {
        self.rows.len() + other.rows.len() <= BATCH_ROWS && self.size + other.size <= BATCH_BYTES
    }

    /// Whether a row more would make it larger than what is taken at a time.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS || self.size >= BATCH_BYTES
    }
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// JavaScript waits to be woken.
    armed: bool,
    /// Nobody will ever take anything again.
    closed: bool,
}

/// The queue towards one pool's JavaScript side.
pub struct Outlet {
    state: Mutex<State>,
    relief: Notify,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Outlet {
    /// `wake` makes JavaScript call [`Self::take`] soon; it may be called from any thread and never blocks.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let state = State { armed: true, ..State::default() };
        Self { state: Mutex::new(state), relief: Notify::new(), wake: Box::new(wake) }
    }

    /// Queues the rows of `batch`, which is empty afterwards, and wakes JavaScript if it waits.
    pub fn append(&self, batch: &mut Batch) {
        if batch.rows.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.closed {
            *batch = Batch::default();
            return;
        }
        state.bytes += batch.size;
        match state.batches.back_mut().filter(|last| last.has_room_for(batch)) {
            Some(last) => last.absorb(batch),
            None => state.batches.push_back(std::mem::take(batch)),
        }
        let wake = std::mem::take(&mut state.armed);
        drop(state);
        if wake {
            (self.wake)();
        }
    }

    /// The oldest batch.
    pub fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        let batch = state.batches.pop_front()?;
        let was_congested = state.bytes > CONGESTED_FROM;
        state.bytes -= batch.size;
        let relieved = was_congested && state.bytes <= CONGESTED_FROM;
        drop(state);
        if relieved {
            self.relief.notify_waiters();
        }
        Some(batch)
    }

    /// Whether there is more to take. If not, JavaScript will be woken for the next.
    pub fn rearm(&self) -> bool {
        let mut state = self.lock();
        state.armed = state.batches.is_empty() && !state.closed;
        !state.batches.is_empty()
    }

    /// Nothing will be taken any more: what is queued and what is still to come is dropped.
    pub fn close(&self) {
        let mut state = self.lock();
        *state = State { closed: true, ..State::default() };
        drop(state);
        self.relief.notify_waiters();
    }

    /// Returns once JavaScript has caught up.
    pub async fn relief(&self) {
        loop {
            // Made before the check, so that a relief in between is not missed.
            let relieved = self.relief.notified();
            if !self.is_congested() {
                return;
            }
            relieved.await;
        }
    }

    /// Whether JavaScript is too far behind for more.
    pub fn is_congested(&self) -> bool {
        self.lock().bytes > CONGESTED_FROM
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn outlet() -> (Outlet, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        (
            Outlet::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            }),
            woken,
        )
    }

    fn push(outlet: &Outlet, value: &[u8]) {
        let mut batch = Batch::default();
        batch.push(Row::new(Kind::Message, 1), value, Vec::new());
        outlet.append(&mut batch);
        assert!(batch.rows.is_empty());
    }

    #[test]
    fn wakes_once_until_rearmed() {
        let (outlet, woken) = outlet();
        push(&outlet, b"1");
        push(&outlet, b"2");
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        let batch = outlet.take().expect("two rows wait");
        assert_eq!((batch.rows.len(), batch.json.as_slice()), (2, b"1,2".as_slice()));
        push(&outlet, b"3");
        assert_eq!(woken.load(Ordering::SeqCst), 1, "JavaScript looks again before it re-arms");
        assert!(outlet.rearm());
        assert!(outlet.take().is_some());
        assert!(!outlet.rearm());
        push(&outlet, b"4");
        assert_eq!(woken.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn batches_are_bounded_and_large_values_stay_apart() {
        let (outlet, _) = outlet();
        for _ in 0..BATCH_ROWS {
            push(&outlet, b"null");
        }
        push(&outlet, &[b'7'; APART_FROM + 1]);
        assert_eq!(outlet.take().map(|batch| batch.rows.len()), Some(BATCH_ROWS));
        let batch = outlet.take().expect("the last row");
        assert_eq!((batch.json.as_slice(), batch.strings.len()), (b"0".as_slice(), 1));
        assert_eq!(batch.rows[0][2], f64::from(flags::APART));
    }

    #[test]
    fn is_congested_until_taken_and_silent_once_closed() {
        let (outlet, woken) = outlet();
        push(&outlet, &vec![b'1'; CONGESTED_FROM + 1]);
        assert!(outlet.is_congested());
        assert!(outlet.take().is_some());
        assert!(!outlet.is_congested());
        outlet.close();
        assert!(!outlet.rearm());
        push(&outlet, b"1");
        assert!(outlet.take().is_none());
        assert_eq!(woken.load(Ordering::SeqCst), 1);
    }
}
