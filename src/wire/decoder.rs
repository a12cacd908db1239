//! Cutting a stream of bytes into frames, in both directions.
//!
//! The caller reads straight into the codec's buffer:
//!
//! ```ignore
//! let n = recv(fd, decoder.buffer(64 * 1024))?;
//! decoder.filled(n);
//! while let Some(frame) = decoder.next()? { /* ... */ }
//! ```
//!
//! Every frame has to be taken before the next read: limits are enforced where frames are taken.

use super::binary::Lengths;
use super::buffer::FrameBuffer;
use super::up::{self, Up};
use crate::buffer_pool::Bytes;
use crate::errors::{WireError, excerpt, reason};

/// What an envelope may add to the largest payload.
const SLACK: usize = 64 * 1024;

/// A frame whose line is complete and whose raw bytes are still on their way. Counted from the
/// frame's beginning.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    line: usize,
    total: usize,
}

/// What both directions have in common: the buffer, and how far its first frame is known.
#[derive(Debug)]
struct Stream {
    buffer: FrameBuffer,
    waiting: Option<Waiting>,
    /// The length of the frame that was handed out last. It is given up with the next call,
    /// because until then the caller looks at it.
    lent: usize,
}

impl Stream {
    fn new(limit: usize) -> Self {
        Self { buffer: FrameBuffer::new(limit), waiting: None, lent: 0 }
    }

    fn release(&mut self) {
        self.buffer.consume(std::mem::take(&mut self.lent));
    }

    fn space(&mut self, min: usize) -> &mut [u8] {
        self.release();
        self.buffer.space(min, self.waiting.map(|frame| frame.total))
    }

    /// The length of the first frame's line, once it can be read or read again.
    fn line(&mut self) -> Result<Option<usize>, WireError> {
        self.release();
        match self.waiting {
            Some(frame) if self.buffer.pending().len() < frame.total => Ok(None),
            Some(frame) => Ok(Some(frame.line)),
            None => self.buffer.line(),
        }
    }

    fn tail(&self) -> &[u8] {
        &self.buffer.pending()[self.lent..]
    }
}

/// Reads what a worker says.
#[derive(Debug)]
pub struct Decoder {
    stream: Stream,
    lengths: Vec<usize>,
    limit: usize,
}

/// One complete frame of a worker.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The line, without its newline.
    pub line: &'a [u8],
    /// The line's meaning.
    pub envelope: Up<'a>,
    /// All raw bytes of the frame.
    pub raw: Raw<'a>,
}

/// The raw bytes of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    /// Of each chunk, in the order of `bytes`.
    pub lengths: &'a [usize],
    /// Where they are in the shared memory; `None`: behind the line.
    pub shared: Option<u64>,
    /// What is behind the line.
    pub behind: &'a [u8],
}

impl<'a> Raw<'a> {
    /// The chunks behind the line. None if they are in the shared memory.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let lengths = if self.shared.is_some() { &[] } else { self.lengths };
        cut(self.behind, lengths)
    }

    /// Copies of all of them. `shared` takes what is in the shared memory from there, by position
    /// and lengths; `None`, as it gives it: they are not there.
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

impl Decoder {
    /// `max_message`: the longest line and the largest sum of raw bytes in one frame, in bytes; 64
    /// KiB for the envelope come on top.
    pub fn new(max_message: usize) -> Self {
        let limit = max_message.saturating_add(SLACK);
        Self { stream: Stream::new(limit), lengths: Vec::new(), limit }
    }

    /// Room to read into: at least `min` bytes, mostly far more. Ask for about a quarter of what
    /// one read can bring, so that a short rest of a frame does not make the buffer grow.
    pub fn buffer(&mut self, min: usize) -> &mut [u8] {
        self.stream.space(min)
    }

    /// `n` bytes were read into the beginning of the last [`Self::buffer`].
    ///
    /// # Panics
    /// When that was shorter than `n`.
    pub fn filled(&mut self, n: usize) {
        self.stream.buffer.filled(n);
    }

    /// The next complete frame, or `None` until more bytes arrive. After an error the stream has no
    /// meaning any more: every further call gives the error again.
    #[expect(
        clippy::should_implement_trait,
        reason = "a frame borrows from the decoder, which no Iterator can say"
    )]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        let Some(line_length) = self.stream.line()? else { return Ok(None) };
        let pending = self.stream.buffer.pending();
        let line = &pending[..line_length];
        // A frame that had to wait for its raw bytes is read twice; those are rare, and their lines
        // are short.
        let (envelope, shared) = up::parse(line, &mut self.lengths)?;
        let announced = Lengths::sum(&self.lengths);
        if announced > self.limit as u64 {
            return Err(WireError::TooManyBytes {
                announced,
                limit: self.limit,
                excerpt: excerpt(line),
            });
        }
        // Fits: it is no larger than the limit, which is a usize.
        let behind = if shared.is_some() { 0 } else { announced as usize };
        let total = (line_length + 1).saturating_add(behind);
        if pending.len() < total {
            self.stream.waiting = Some(Waiting { line: line_length, total });
            return Ok(None);
        }
        self.stream.waiting = None;
        self.stream.lent = total;
        let raw = Raw { lengths: &self.lengths, shared, behind: &pending[line_length + 1..total] };
        Ok(Some(Frame { line, envelope, raw }))
    }

    /// Whether bytes are left that are no complete frame. At the end of a stream: the worker died
    /// while it wrote.
    pub fn has_partial(&self) -> bool {
        !self.stream.tail().is_empty()
    }

    /// What is left behind the last frame that [`Self::next`] gave.
    pub fn tail(&self) -> &[u8] {
        self.stream.tail()
    }
}

/// Cuts what the supervisor says into frames, on the worker's side, where JavaScript reads the
/// lines. Only `bytes` and `shared` are looked at, which the supervisor always writes first, in
/// this order.
#[derive(Debug)]
pub struct LineSplitter {
    stream: Stream,
    lengths: Vec<usize>,
    limit: usize,
}

/// One complete frame of the supervisor.
#[derive(Debug)]
pub struct DownFrame<'a> {
    /// The line, without its newline: one JSON object, not checked.
    pub line: &'a [u8],
    /// All raw bytes of the frame.
    pub raw: Raw<'a>,
}

impl LineSplitter {
    /// `max_message` as in [`Decoder::new`]. A worker learns its limit from the first frame only
    /// and trusts its supervisor, so `usize::MAX` (no limit) is a good choice.
    pub fn new(max_message: usize) -> Self {
        let limit = max_message.saturating_add(SLACK);
        Self { stream: Stream::new(limit), lengths: Vec::new(), limit }
    }

    /// As [`Decoder::buffer`].
    pub fn buffer(&mut self, min: usize) -> &mut [u8] {
        self.stream.space(min)
    }

    /// As [`Decoder::filled`].
    ///
    /// # Panics
    /// When the last [`Self::buffer`] was shorter than `n`.
    pub fn filled(&mut self, n: usize) {
        self.stream.buffer.filled(n);
    }

    /// Appends bytes that somebody else has read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    /// As [`Decoder::next`].
    #[expect(
        clippy::should_implement_trait,
        reason = "a frame borrows from the splitter, which no Iterator can say"
    )]
    pub fn next(&mut self) -> Result<Option<DownFrame<'_>>, WireError> {
        let Some(line_length) = self.stream.line()? else { return Ok(None) };
        let pending = self.stream.buffer.pending();
        let line = &pending[..line_length];
        let shared = leading_lengths(line, &mut self.lengths)?;
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
            self.stream.waiting = Some(Waiting { line: line_length, total });
            return Ok(None);
        }
        self.stream.waiting = None;
        self.stream.lent = total;
        let raw = Raw { lengths: &self.lengths, shared, behind: &pending[line_length + 1..total] };
        Ok(Some(DownFrame { line, raw }))
    }

    /// As [`Decoder::has_partial`].
    pub fn has_partial(&self) -> bool {
        !self.stream.tail().is_empty()
    }

    /// As [`Decoder::tail`].
    pub fn tail(&self) -> &[u8] {
        self.stream.tail()
    }
}

/// `raw` in pieces of `lengths`, which add up to it.
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

/// The value of `bytes` where it is the first key of `line`, and that of `shared` where it is the
/// second; otherwise there is none.
fn leading_lengths(line: &[u8], lengths: &mut Vec<usize>) -> Result<Option<u64>, WireError> {
    lengths.clear();
    let Some(list) = line.strip_prefix(b"{\"bytes\":").filter(|list| list.starts_with(b"[")) else {
        return Ok(None);
    };
    let mut values = serde_json::Deserializer::from_slice(list).into_iter::<Lengths>();
    match values.next() {
        Some(Ok(Lengths(found))) => *lengths = found,
        Some(Err(error)) => return Err(WireError::malformed(error, line)),
        None => return Err(WireError::malformed(reason::BYTES_TYPE, line)),
    }
    let Some(position) = list[values.byte_offset()..].strip_prefix(b",\"shared\":") else {
        return Ok(None);
    };
    match serde_json::Deserializer::from_slice(position).into_iter::<u64>().next() {
        Some(Ok(position)) => Ok(Some(position).filter(|_| !lengths.is_empty())),
        _ => Err(WireError::malformed(reason::SHARED_TYPE, line)),
    }
}

#[cfg(test)]
mod tests;
