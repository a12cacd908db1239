//! Cuts a stream of bytes into frames, in both directions.
//!
//! The caller reads straight into the framer's buffer:
//!
//! ```ignore
//! let n = recv(fd, framer.buffer(64 * 1024))?;
//! framer.filled(n);
//! while let Some(frame) = framer.next()? { /* ... */ }
//! ```
//!
//! The caller takes every frame before the next read, because `next` enforces the limits.

use std::marker::PhantomData;

use super::binary::Lengths;
use super::buffer::FrameBuffer;
use crate::buffer_pool::Bytes;
use crate::errors::{WireError, excerpt};

/// The bytes that an envelope may add to the largest payload.
pub(super) const SLACK: usize = 64 * 1024;

/// The reader of one side's lines.
pub trait Lines {
    /// The meaning of a line.
    type Meaning<'a>;

    /// Reads `line` (without its newline) and puts the announced lengths into `lengths`, which it
    /// empties first. Also returns the position of the raw bytes in the shared memory, if they are
    /// there.
    fn read<'a>(
        line: &'a [u8],
        lengths: &mut Vec<usize>,
    ) -> Result<(Self::Meaning<'a>, Option<u64>), WireError>;
}

/// Cuts the bytes of one side into frames.
#[derive(Debug)]
pub struct Framer<L> {
    buffer: FrameBuffer,
    waiting: Option<Waiting>,
    /// The length of the frame that was handed out last. The caller reads it until the next call,
    /// which consumes it.
    lent: usize,
    lengths: Vec<usize>,
    limit: usize,
    lines: PhantomData<L>,
}

/// A frame whose line is complete, and whose raw bytes are not. Lengths count from the frame's
/// beginning.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    line: usize,
    total: usize,
}

/// One complete frame.
#[derive(Debug)]
pub struct Frame<'a, M> {
    /// The line, without its newline.
    pub line: &'a [u8],
    /// The line's meaning.
    pub envelope: M,
    /// All raw bytes of the frame.
    pub raw: Raw<'a>,
}

/// The raw bytes of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    /// The length of each chunk, in the order of `bytes`.
    pub lengths: &'a [usize],
    /// The position in the shared memory; `None`: the bytes follow the line.
    pub shared: Option<u64>,
    /// The bytes that follow the line.
    pub behind: &'a [u8],
}

impl<L: Lines> Framer<L> {
    /// Makes a framer; `max_message`: the longest line, and the largest sum of raw bytes in one
    /// frame, in bytes. A line may be 64 KiB longer, for the envelope.
    pub fn new(max_message: usize) -> Self {
        let limit = max_message.saturating_add(SLACK);
        Self {
            buffer: FrameBuffer::new(limit),
            waiting: None,
            lent: 0,
            lengths: Vec::new(),
            limit,
            lines: PhantomData,
        }
    }

    /// Returns room to read into: at least `min` bytes, mostly far more. Ask for about a quarter of
    /// what one read can bring, so that the short rest of a frame does not make the buffer grow.
    pub fn buffer(&mut self, min: usize) -> &mut [u8] {
        self.release();
        self.buffer.space(min, self.waiting.map(|frame| frame.total))
    }

    /// Notes that `n` bytes were read into the beginning of the last [`Self::buffer`].
    ///
    /// # Panics
    /// Panics if that buffer was shorter.
    pub fn filled(&mut self, n: usize) {
        self.buffer.filled(n);
    }

    /// Returns the next complete frame. `None`: it needs more bytes. After an error the stream has
    /// no meaning, and every further call returns the error again.
    pub fn next(&mut self) -> Result<Option<Frame<'_, L::Meaning<'_>>>, WireError> {
        let Some(line_length) = self.line()? else { return Ok(None) };
        let pending = self.buffer.pending();
        let line = &pending[..line_length];
        // A frame that had to wait for its raw bytes is read twice. Such frames are rare, and their
        // lines are short.
        let (envelope, shared) = L::read(line, &mut self.lengths)?;
        let announced = Lengths::sum(&self.lengths);
        let behind = if shared.is_some() { 0 } else { announced };
        let total = usize::try_from(behind).ok().and_then(|raw| raw.checked_add(line_length + 1));
        let Some(total) = total.filter(|_| announced <= self.limit as u64) else {
            return Err(WireError::TooManyBytes {
                announced,
                limit: self.limit,
                excerpt: excerpt(line),
            });
        };
        if pending.len() < total {
            self.waiting = Some(Waiting { line: line_length, total });
            return Ok(None);
        }
        self.waiting = None;
        self.lent = total;
        let raw = Raw { lengths: &self.lengths, shared, behind: &pending[line_length + 1..total] };
        Ok(Some(Frame { line, envelope, raw }))
    }

    /// Returns whether there are bytes of an incomplete frame. At the end of a stream this means
    /// that the other side died while it wrote.
    pub fn has_partial(&self) -> bool {
        !self.tail().is_empty()
    }

    /// Returns the bytes after the last frame that [`Self::next`] returned.
    pub fn tail(&self) -> &[u8] {
        &self.buffer.pending()[self.lent..]
    }

    /// Appends bytes that other code has read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Returns the length of the first frame's line. `None`: it is not complete yet.
    fn line(&mut self) -> Result<Option<usize>, WireError> {
        self.release();
        match self.waiting {
            Some(frame) if self.buffer.pending().len() < frame.total => Ok(None),
            Some(frame) => Ok(Some(frame.line)),
            None => self.buffer.line(),
        }
    }

    fn release(&mut self) {
        self.buffer.consume(std::mem::take(&mut self.lent));
    }
}

impl<'a> Raw<'a> {
    /// Returns the chunks that follow the line. None if they are in the shared memory.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let lengths = if self.shared.is_some() { &[] } else { self.lengths };
        cut(self.behind, lengths)
    }

    /// Returns copies of all chunks. `shared` takes them from the shared memory, by position and
    /// lengths. `None`: they are not there.
    pub fn copies(
        &self,
        shared: impl FnOnce(u64, &[usize]) -> Option<Vec<Bytes>>,
    ) -> Option<Vec<Bytes>> {
        match self.shared {
            None if self.lengths.is_empty() => Some(Vec::new()),
            Some(at) => shared(at, self.lengths),
            None => Some(self.chunks().map(Bytes::copy_of).collect()),
        }
    }
}

/// Cuts `raw` into pieces of `lengths`, which add up to it.
fn cut<'a>(
    mut raw: &'a [u8],
    lengths: &'a [usize],
) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
    lengths.iter().map(move |&length| {
        let (chunk, rest) = raw.split_at(length);
        raw = rest;
        chunk
    })
}
