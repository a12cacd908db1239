//! The output of workers: its end is kept for crash reports, and standard error is passed on.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::OnceLock;

use tokio::sync::mpsc;

/// Bytes of the end that are kept.
const KEPT: usize = 8 * 1024;
/// Chunks that may wait for the parent's standard error before a worker's is no longer read.
const WAITING: usize = 64;

/// The last 8 KiB of a stream.
#[derive(Debug, Default)]
pub struct Tail {
    bytes: VecDeque<u8>,
}

impl Tail {
    /// Adds to the end.
    pub fn push(&mut self, chunk: &[u8]) {
        let chunk = &chunk[chunk.len().saturating_sub(KEPT)..];
        let surplus = (self.bytes.len() + chunk.len()).saturating_sub(KEPT);
        self.bytes.drain(..surplus);
        self.bytes.extend(chunk);
    }

    /// Adds what another tail has kept, and empties that.
    pub fn append(&mut self, other: &mut Self) {
        if !other.bytes.is_empty() {
            self.push(std::mem::take(&mut other.bytes).make_contiguous());
        }
    }

    /// Returns whether nothing was kept.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the text. Bytes that are not UTF-8 (a character cut in two at the front, say) are
    /// replaced.
    pub fn text(&self) -> String {
        let (front, back) = self.bytes.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }
}

/// The way to the parent's standard error. A thread of its own writes there, because a write may
/// block as long as the reader likes, and the supervisor must not block.
pub(crate) fn stderr() -> Option<mpsc::Sender<Vec<u8>>> {
    static FORWARDER: OnceLock<Option<mpsc::Sender<Vec<u8>>>> = OnceLock::new();
    let start = || {
        let (chunks, mut incoming) = mpsc::channel::<Vec<u8>>(WAITING);
        let run = move || {
            while let Some(chunk) = incoming.blocking_recv() {
                // Standard error may be closed. Then the chunk is lost.
                let _ = std::io::stderr().lock().write_all(&chunk);
            }
        };
        // Without a thread to spare the workers' standard error is kept for crash reports all the
        // same.
        std::thread::Builder::new()
            .name("bulkhead-stderr".to_owned())
            .spawn(run)
            .ok()
            .map(|_| chunks)
    };
    FORWARDER.get_or_init(start).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end() {
        let mut tail = Tail::default();
        tail.push(b"abc");
        assert_eq!(tail.text(), "abc");
        tail.push(&vec![b'x'; KEPT - 1]);
        assert_eq!(tail.text().len(), KEPT);
        assert!(tail.text().starts_with('c'));
        tail.push(&vec![b'y'; 3 * KEPT]);
        assert_eq!(tail.text(), "y".repeat(KEPT));
    }

    #[test]
    fn a_character_cut_in_two_is_replaced() {
        let mut tail = Tail::default();
        tail.push(&"é".as_bytes()[1..]);
        assert_eq!(tail.text(), "\u{fffd}");
    }
}
