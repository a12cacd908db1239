//! The rows in which JavaScript is told what happened, and batches of them.

use crate::buffer_pool::Bytes;
use crate::pool::ids::Micros;

/// The subject of a row. The discriminants are the contract with `lib/pool/rows.js`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A handler's value: settles the ticket.
    Result = 0,
    /// The error that a handler threw: settles the ticket.
    TaskError = 1,
    /// A failure object: settles the ticket.
    TaskFailed = 2,
    /// A value that a worker passed to `send()`.
    Message = 3,
    /// Progress of an unsettled task.
    Progress = 4,
    /// An event of the pool.
    Event = 5,
    /// A chunk of a worker's standard output.
    Stdout = 6,
    /// A chunk of a worker's standard error.
    Stderr = 7,
    /// One of several values of an unsettled task.
    Chunk = 8,
}

/// Bits that say how JavaScript reads a row's value.
pub mod flags {
    /// There is no value. A 0 stands in its place in the JSON.
    pub const UNDEFINED: u32 = 1;
    /// The value is a whole `{ taskId, result, processedBy }`.
    pub const ENVELOPE: u32 = 2;
    /// The value is the next of the separate strings. A 0 stands in its place in the JSON.
    pub const APART: u32 = 4;
    /// The value is structured-clone data: the row's blob, or text where it has none.
    pub const V8: u32 = 8;
    /// The value is `{ "value": …, "binary": [[type, path], …] }`, with one blob for each entry.
    pub const BINARY: u32 = 16;
    /// From this bit on: the MiB of JavaScript's heap that a large value may take.
    pub const HEAP: u32 = 8;
}

/// One row. Times are milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub kind: Kind,
    pub ticket: u32,
    pub flags: u32,
    pub worker_id: u32,
    /// The worker's process id. Two processes may have the same worker id while one replaces the
    /// other. 0: not told.
    pub pid: i32,
    pub attempt: u32,
    pub wait: f64,
    pub run: f64,
    /// The time (µs) at which JavaScript must be woken for the row. 0: at once.
    pub due: Micros,
}

impl Row {
    /// Numbers in a row of the array that JavaScript reads.
    pub const WIDTH: usize = 9;

    /// Returns a row without a task.
    pub fn new(kind: Kind, worker_id: u32) -> Self {
        Self {
            kind,
            ticket: 0,
            flags: 0,
            worker_id,
            pid: 0,
            attempt: 0,
            wait: 0.0,
            run: 0.0,
            due: 0,
        }
    }

    /// Returns a row of a process.
    pub fn of(kind: Kind, worker_id: u32, pid: i32) -> Self {
        Self { pid, ..Self::new(kind, worker_id) }
    }

    /// Returns the row as JavaScript reads it.
    pub fn numbers(&self, blobs: usize) -> [f64; Self::WIDTH] {
        let kind = f64::from(self.kind as u8);
        let [ticket, flags] = [self.ticket, self.flags].map(f64::from);
        let [worker_id, attempt] = [self.worker_id, self.attempt].map(f64::from);
        [
            kind,
            ticket,
            flags,
            worker_id,
            f64::from(self.pid),
            attempt,
            self.wait,
            self.run,
            blobs as f64,
        ]
    }
}

/// Objects and arrays that a value may have without a check of the heap: about 128 MiB of them.
const LIGHT: usize = 2 << 20;
/// Bytes of JavaScript's heap, measured and rounded up: of an object or array, of a key with its
/// part of a hidden class, of an element.
const OF_CONTAINER: usize = 64;
const OF_KEY: usize = 24;
const OF_ELEMENT: usize = 8;
/// A value of more bytes than this becomes a string of its own: joining large ones only copies
/// them.
pub(super) const APART_FROM: usize = 4096;
/// The most rows that are taken at a time.
pub(crate) const BATCH_ROWS: usize = 1024;
/// The bytes (about) that are taken at a time: one call must not block the event loop for long.
pub(super) const BATCH_BYTES: usize = 1 << 20;
/// The largest capacity (bytes) of text that a batch keeps for the next rows.
pub(super) const KEEP_JSON: usize = 256 << 10;

/// Estimates the heap (MiB) of a JSON text. 0: it has at most [`LIGHT`] objects and arrays.
fn heap_for(json: &[u8]) -> u32 {
    // Each has two brackets. Those in strings count here as well, which is quick to find out.
    if json.len() / 2 <= LIGHT
        || json.iter().filter(|&&byte| byte == b'{' || byte == b'[').count() <= LIGHT
    {
        return 0;
    }
    let (mut containers, mut keys, mut elements) = (0, 0, 0);
    let mut bytes = json.iter();
    let mut is_text = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_text = !is_text,
            b'\\' => {
                bytes.next();
            }
            _ if is_text => {}
            b'{' | b'[' => containers += 1,
            b':' => keys += 1,
            b',' => elements += 1,
            _ => {}
        }
    }
    if containers <= LIGHT {
        return 0;
    }
    let size = json.len() + containers * OF_CONTAINER + keys * OF_KEY + elements * OF_ELEMENT;
    u32::try_from(size >> 20).unwrap_or(u32::MAX).min(u32::MAX >> flags::HEAP)
}

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
    pub blobs: Vec<Bytes>,
    pub(super) size: usize,
    /// The time (µs) at which the first of its rows is due. It counts until the batch is queued.
    pub(super) due: Micros,
    /// The worker from which its first row comes; 0: the pool itself.
    pub(super) source: u32,
    /// Whose rows they are, in order, if they are not all of one worker.
    pub(super) mixed: Vec<Run>,
}

/// Rows of a batch that come from one worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) source: u32,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl Batch {
    /// Returns whether a row of this worker can be added. A batch has rows of one worker until it
    /// is queued. It never has more rows than JavaScript has room for: the rest would be lost.
    pub fn takes(&self, worker_id: u32) -> bool {
        let is_full = self.rows.len() >= BATCH_ROWS || self.size >= BATCH_BYTES;
        self.rows.is_empty() || (self.source == worker_id && !is_full)
    }

    /// Adds a row. `value` is one well-formed JSON text: the caller has made or checked it.
    pub fn push(&mut self, mut row: Row, value: &[u8], blobs: Vec<Bytes>) {
        self.source = row.worker_id;
        self.due = if self.rows.is_empty() { row.due } else { self.due.min(row.due) };
        self.size += value.len()
            + blobs.iter().map(|blob| blob.len()).sum::<usize>()
            + size_of::<[f64; Row::WIDTH]>();
        if !self.rows.is_empty() {
            self.json.push(b',');
        }
        if value.len() > APART_FROM {
            row.flags |= flags::APART | heap_for(value) << flags::HEAP;
            self.json.push(b'0');
            self.strings.push(value.to_vec());
        } else {
            self.json.extend_from_slice(value);
        }
        self.rows.push(row.numbers(blobs.len()));
        self.blobs.extend(blobs);
    }

    /// Moves all rows of `other` behind its own.
    pub(super) fn absorb(&mut self, other: &mut Self) {
        if self.source != other.source || !(self.mixed.is_empty() && other.mixed.is_empty()) {
            if self.mixed.is_empty() {
                self.mixed.push(self.run());
            }
            if other.mixed.is_empty() {
                self.mixed.push(other.run());
            } else {
                self.mixed.append(&mut other.mixed);
            }
        }
        if !self.rows.is_empty() {
            self.json.push(b',');
        }
        self.rows.append(&mut other.rows);
        self.json.append(&mut other.json);
        self.strings.append(&mut other.strings);
        self.blobs.append(&mut other.blobs);
        self.size += std::mem::take(&mut other.size);
    }

    /// Returns all rows as one run.
    pub(super) fn run(&self) -> Run {
        Run { source: self.source, rows: self.rows.len(), bytes: self.size }
    }

    pub(super) fn has_room_for(&self, other: &Self) -> bool {
        self.rows.len() + other.rows.len() <= BATCH_ROWS && self.size + other.size <= BATCH_BYTES
    }

    /// Returns the empty batch with its memory. `None`: that is more than is kept.
    pub(super) fn emptied(mut self) -> Option<Self> {
        if self.json.capacity() > KEEP_JSON || self.rows.capacity() > 2 * BATCH_ROWS {
            return None;
        }
        self.rows.clear();
        self.json.clear();
        self.strings.clear();
        self.blobs.clear();
        self.mixed.clear();
        self.size = 0;
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // [G26]
    #[test]
    fn a_batch_takes_rows_of_one_worker_and_no_more_than_are_read_at_a_time() {
        let mut batch = Batch::default();
        assert!(batch.takes(1));
        for _ in 0..BATCH_ROWS {
            assert!(batch.takes(1));
            batch.push(Row::new(Kind::Message, 1), b"1", Vec::new());
            assert!(!batch.takes(2));
        }
        assert!(!batch.takes(1));
        let mut batch = Batch::default();
        batch.push(Row::new(Kind::Message, 1), &vec![b'1'; BATCH_BYTES], Vec::new());
        assert!(!batch.takes(1));
    }

    #[test]
    fn what_may_be_too_much_for_javascript_says_how_much() {
        let flags_of = |value: &[u8]| {
            let mut batch = Batch::default();
            batch.push(Row::new(Kind::Message, 1), value, Vec::new());
            batch.rows[0][2] as u32
        };
        let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert_eq!(flags_of(&nested(LIGHT)), flags::APART);
        assert_eq!(flags_of(&nested(LIGHT + 1)), flags::APART | (128 + 4) << flags::HEAP);
        let objects = [b"[".to_vec(), br#"{"a":1},"#.repeat(LIGHT), b"1]".to_vec()].concat();
        assert_eq!(flags_of(&objects) >> flags::HEAP, 2 * (64 + 24 + 8) + 2 * 8);
        // As large, and as many brackets, but one string.
        let text = [b"\"\\\"".to_vec(), nested(LIGHT + 1), b"\"".to_vec()].concat();
        assert_eq!(flags_of(&text), flags::APART);
        assert_eq!(flags_of(&vec![b'1'; 5 * LIGHT]), flags::APART);
    }
}
