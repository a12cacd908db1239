//! The receive buffer of one channel. It lends spare room for reads, and finds the ends of lines.
//! It does not know the meaning of a line.

use crate::errors::{WireError, excerpt};

/// The first size (bytes): as much as a socket with raised buffers can hold.
const INITIAL: usize = 256 * 1024;
/// The size (bytes) beyond which a buffer shrinks again once its giant frame is gone.
const KEEP: usize = 2 * 1024 * 1024;

/// ```text
///   0        start        scanned      end            storage.len()
///   | consumed |  no '\n' in here |  unseen |  spare room   |
/// ```
///
/// `storage` is initialised once, when it grows. So spare room can be lent as `&mut [u8]`, and no
/// read has to clear it first.
#[derive(Debug)]
pub(super) struct FrameBuffer {
    storage: Vec<u8>,
    start: usize,
    scanned: usize,
    end: usize,
    line_limit: usize,
}

impl FrameBuffer {
    pub(super) fn new(line_limit: usize) -> Self {
        Self { storage: Vec::new(), start: 0, scanned: 0, end: 0, line_limit }
    }

    /// Returns spare room of at least `min` bytes. `expected` is the length of the current frame,
    /// if known: the buffer doubles towards it as bytes arrive, and does not grow past it.
    pub(super) fn space(&mut self, min: usize, expected: Option<usize>) -> &mut [u8] {
        let rest = self.end - self.start;
        if self.storage.len() > KEEP && rest < INITIAL / 2 {
            let mut smaller = vec![0; INITIAL];
            smaller[..rest].copy_from_slice(&self.storage[self.start..self.end]);
            self.storage = smaller;
            self.rebase();
        } else if rest == 0 {
            self.rebase();
        }
        if self.storage.len() - self.end < min {
            if self.start > 0 {
                self.storage.copy_within(self.start..self.end, 0);
                self.rebase();
            }
            let needed = self.end + min;
            if self.storage.len() < needed {
                let sensible = expected.unwrap_or(self.line_limit).saturating_add(INITIAL);
                let length = (self.storage.len() * 2).max(INITIAL).min(sensible).max(needed);
                if self.storage.is_empty() {
                    // Zeroed pages straight from the system: untouched ones cost nothing.
                    self.storage = vec![0; length];
                } else {
                    self.storage.reserve_exact(length - self.storage.len());
                    self.storage.resize(length, 0);
                }
            }
        }
        &mut self.storage[self.end..]
    }

    /// Notes that `n` bytes were written at the beginning of the last [`Self::space`].
    ///
    /// # Panics
    /// Panics if that space was shorter.
    pub(super) fn filled(&mut self, n: usize) {
        assert!(n <= self.storage.len() - self.end, "more bytes reported than there was room for");
        self.end += n;
    }

    /// Returns the length of the current line without its newline. `None`: there is no newline yet.
    /// No byte is searched twice.
    pub(super) fn line(&mut self) -> Result<Option<usize>, WireError> {
        let found = memchr::memchr(b'\n', &self.storage[self.scanned..self.end]);
        let length = found.map_or(self.end, |at| self.scanned + at) - self.start;
        if length > self.line_limit {
            return Err(WireError::LineTooLong {
                limit: self.line_limit,
                excerpt: excerpt(self.pending()),
            });
        }
        // After a hit `scanned` stays on the newline, so that a second call finds the line again.
        self.scanned = self.start + length;
        Ok(found.map(|_| length))
    }

    /// Returns the bytes that have arrived and are not consumed.
    pub(super) fn pending(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// Consumes the first `n` pending bytes. They stay in place until the next [`Self::space`].
    pub(super) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.end - self.start, "consumed more than there is");
        self.start += n;
        self.scanned = self.scanned.max(self.start);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.storage.capacity()
    }

    fn rebase(&mut self) {
        self.scanned -= self.start;
        self.end -= self.start;
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_searched_for_the_end_of_a_line_is_not_searched_again() {
        let mut buffer = FrameBuffer::new(usize::MAX);
        for arrived in 1..=3 {
            // As the decoder does before each search, whether or not it handed out a frame.
            buffer.consume(0);
            buffer.space(1, None)[0] = b'x';
            buffer.filled(1);
            assert_eq!(buffer.line(), Ok(None));
            assert_eq!(buffer.scanned, arrived);
        }
        buffer.space(4, None)[..4].copy_from_slice(b"\n12\n");
        buffer.filled(4);
        assert_eq!(buffer.line(), Ok(Some(3)));
        buffer.consume(4);
        assert_eq!((buffer.scanned, buffer.line()), (4, Ok(Some(2))));
    }
}
