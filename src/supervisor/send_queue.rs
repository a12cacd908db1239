//! The bytes that wait for room in one worker's channel.
//!
//! Whole frames are added at the end, and bytes leave at the front, as many as the channel takes.
//! They lie in pieces, so that the memory of written bytes is freed although more is added all the
//! time. Long texts and raw bytes are shared with the pool's queue, not copied. The frames of
//! reclaimed tasks are taken out again where the worker has not read that far.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use crate::buffer_pool::{Bytes, MIN_POOLED};
use crate::pool::ids::AttemptId;
use crate::pool::messages::{Body, RawBody, Text};

/// A piece of more bytes than this does not grow any more.
const PIECE: usize = 256 * 1024;
/// Tasks behind more bytes than this are marked, so that each can be taken out. Fewer bytes are on
/// their way in any case.
const MARK_FROM: usize = 64 * 1024;
/// The number of pieces that are written at a time, at most.
const AT_A_TIME: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    /// The pieces before the tail. Empty while the channel has room and tasks are small.
    front: VecDeque<Piece>,
    /// The piece that grows.
    tail: Vec<u8>,
    /// The length of the written part of the first piece.
    at: usize,
    /// The number of bytes in all pieces before the tail.
    before: usize,
    /// The position in the stream of the first byte of the first piece.
    base: u64,
    /// Frames that wait and matter one by one, in their order.
    marks: VecDeque<Mark>,
}

#[derive(Debug)]
enum Piece {
    Own(Vec<u8>),
    Text(Arc<Bytes>),
    Raw(Arc<RawBody>),
}

/// One frame, or several messages in a row, by positions in the stream.
#[derive(Clone, Copy, Debug)]
struct Mark {
    what: Content,
    start: u64,
    end: u64,
}

/// The content of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A frame that is always written.
    Control,
    /// A task that can be reclaimed.
    Task,
    /// An attempt at a worker without a claim word.
    Attempt(AttemptId),
    /// A user's message.
    Message,
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Text(text) => text,
            Self::Raw(raw) => &raw.bytes,
        }
    }
}

impl SendQueue {
    /// Adds a frame: what `write` appends.
    pub(super) fn add(&mut self, what: Content, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.begin();
        write(&mut self.tail);
        self.end(what, start);
    }

    /// Adds a frame: what `write` appends, the body's text, and behind it the raw bytes if `raw`.
    pub(super) fn add_body(
        &mut self,
        what: Content,
        write: impl FnOnce(&mut Vec<u8>),
        body: &Body,
        raw: bool,
    ) {
        let start = self.begin();
        write(&mut self.tail);
        match &body.text {
            Text::Short(text) => self.tail.extend_from_slice(text),
            Text::Long(text) => self.push(Piece::Text(Arc::clone(text))),
        }
        match body.raw.as_ref().filter(|_| raw) {
            Some(raw) if raw.bytes.len() < MIN_POOLED => self.tail.extend_from_slice(&raw.bytes),
            Some(raw) => self.push(Piece::Raw(Arc::clone(raw))),
            None => {}
        }
        self.end(what, start);
    }

    /// Begins a frame and returns its position.
    fn begin(&mut self) -> u64 {
        if self.tail.len() > PIECE {
            self.close_tail();
        }
        self.position()
    }

    fn end(&mut self, what: Content, start: u64) {
        let is_marked = match what {
            Content::Control => false,
            Content::Task => start - self.written() > MARK_FROM as u64,
            Content::Attempt(_) | Content::Message => true,
        };
        if !is_marked {
            return;
        }
        let end = self.position();
        match self.marks.back_mut() {
            Some(last) if what == Content::Message && last.what == what && last.end == start => {
                last.end = end
            }
            _ => self.marks.push_back(Mark { what, start, end }),
        }
    }

    fn push(&mut self, piece: Piece) {
        self.close_tail();
        self.before += piece.bytes().len();
        self.front.push_back(piece);
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.before += self.tail.len();
            self.front.push_back(Piece::Own(std::mem::take(&mut self.tail)));
        }
    }

    /// Returns the number of bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.before + self.tail.len() - self.at
    }

    /// Returns the number of bytes of messages that wait.
    pub(super) fn waiting_messages(&self) -> usize {
        let written = self.written();
        let messages = self.marks.iter().filter(|mark| mark.what == Content::Message);
        let bytes =
            messages.map(|mark| mark.end.saturating_sub(mark.start.max(written))).sum::<u64>();
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Returns the attempts whose frames are not completely written.
    pub(super) fn unwritten(&self) -> Vec<AttemptId> {
        let written = self.written();
        let attempts = self.marks.iter().filter(|mark| mark.end > written);
        attempts
            .filter_map(|mark| {
                if let Content::Attempt(attempt_id) = mark.what { Some(attempt_id) } else { None }
            })
            .collect()
    }

    /// Has `write` write the next bytes; it returns how many it has written.
    pub(super) fn write<E>(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let n = if self.front.is_empty() {
            write(&[IoSlice::new(&self.tail[self.at..])])?
        } else {
            let mut slices = [IoSlice::new(&[]); AT_A_TIME];
            let pieces = self.front.iter().map(Piece::bytes).chain([self.tail.as_slice()]);
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(pieces) {
                *slice = IoSlice::new(if count == 0 { &bytes[self.at..] } else { bytes });
                count += 1;
            }
            write(&slices[..count])?
        };
        self.wrote(n);
        Ok(())
    }

    /// Notes that the next `n` bytes are written, and frees their memory.
    fn wrote(&mut self, n: usize) {
        self.at += n;
        while let Some(first) = self.front.front() {
            let length = first.bytes().len();
            if self.at < length {
                break;
            }
            self.at -= length;
            self.before -= length;
            self.base += length as u64;
            self.front.pop_front();
        }
        if self.waiting() == 0 {
            self.base = self.position();
            self.at = 0;
            self.tail.clear();
            self.marks.clear();
            if self.tail.capacity() > 2 * PIECE {
                self.tail = Vec::new();
            }
        }
        let written = self.written();
        while self.marks.front().is_some_and(|mark| mark.end <= written) {
            self.marks.pop_front();
        }
    }

    /// Drops what waits, which counts as unwritten.
    pub(super) fn cut_off(&mut self) {
        *self = Self {
            base: self.written(),
            marks: std::mem::take(&mut self.marks),
            ..Self::default()
        };
    }

    /// Takes out the reclaimed tasks, except one whose first bytes are written.
    pub(super) fn drop_tasks(&mut self) {
        let written = self.written();
        let goes = |mark: &Mark| mark.what == Content::Task && mark.start >= written;
        let gone: Vec<Mark> = self.marks.iter().copied().filter(goes).collect();
        if gone.is_empty() {
            return;
        }
        self.close_tail();
        let mut position = self.base;
        self.front.retain_mut(|piece| {
            let start = position;
            position += piece.bytes().len() as u64;
            let end = position;
            let mut inside = gone.iter().filter(|mark| mark.start < end && mark.end > start);
            match piece {
                Piece::Own(bytes) => cut(bytes, start, inside),
                // Each is a part of one frame.
                Piece::Text(_) | Piece::Raw(_) => return inside.next().is_none(),
            }
            !piece.bytes().is_empty()
        });
        self.before = self.front.iter().map(|piece| piece.bytes().len()).sum();
        let mut before = 0;
        self.marks.retain_mut(|mark| {
            if goes(mark) {
                before += mark.end - mark.start;
                return false;
            }
            mark.start -= before;
            mark.end -= before;
            true
        });
    }

    /// Returns the position up to which the stream is written.
    fn written(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Returns the position behind the last byte.
    fn position(&self) -> u64 {
        self.base + (self.before + self.tail.len()) as u64
    }
}

/// Removes these frames, or the parts of them that are there, from bytes that begin at `start` in
/// the stream.
fn cut<'a>(bytes: &mut Vec<u8>, start: u64, frames: impl Iterator<Item = &'a Mark>) {
    let index =
        |position: u64| usize::try_from(position.saturating_sub(start)).unwrap_or(usize::MAX);
    let [mut from, mut to] = [0; 2];
    for frame in frames {
        let next = index(frame.start);
        bytes.copy_within(from..next, to);
        to += next - from;
        from = index(frame.end).min(bytes.len());
    }
    bytes.copy_within(from.., to);
    bytes.truncate(to + bytes.len() - from);
    if bytes.capacity() > 2 * PIECE {
        bytes.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Its first byte as the prefix, two thirds of the rest as text, one as raw bytes.
    fn add(send_queue: &mut SendQueue, what: Content, bytes: &[u8]) {
        let (prefix, rest) = bytes.split_at(1);
        let (text, raw) = rest.split_at(rest.len() - rest.len() / 3);
        let raw = RawBody { bytes: Bytes::copy_of(raw), lengths: [raw.len()].into() };
        let body = Body { text: Text::copy_of(text), raw: Some(Arc::new(raw)) };
        send_queue.add_body(what, |out| out.extend_from_slice(prefix), &body, true);
    }

    fn write(send_queue: &mut SendQueue, n: usize) -> Vec<u8> {
        let mut written = Vec::new();
        while written.len() < n {
            let mut part = |slices: &[IoSlice<'_>]| {
                let before = written.len();
                for slice in slices {
                    written.extend_from_slice(&slice[..slice.len().min(n - written.len())]);
                }
                Ok::<_, ()>(written.len() - before)
            };
            send_queue.write(&mut part).expect("there is room");
        }
        written
    }

    /// Returns the bytes that the queue keeps, written or not, and those of tasks.
    fn memory(send_queue: &SendQueue) -> usize {
        let owned = |piece: &Piece| {
            if let Piece::Own(bytes) = piece { bytes.capacity() } else { piece.bytes().len() }
        };
        send_queue.front.iter().map(owned).sum::<usize>() + send_queue.tail.capacity()
    }

    #[test]
    fn the_memory_follows_what_waits_although_the_buffer_is_never_empty() {
        for size in [100, 10_000, 2 << 20] {
            let mut send_queue = SendQueue::default();
            let frame = vec![b'x'; size];
            let count = 1 + (1 << 20) / size;
            for _ in 0..=count {
                add(&mut send_queue, Content::Task, &frame);
            }
            for _ in 0..20 * count {
                write(&mut send_queue, size);
                add(&mut send_queue, Content::Task, &frame);
                assert!(
                    memory(&send_queue) <= 2 * (send_queue.waiting() + 2 * PIECE),
                    "{} {size}",
                    memory(&send_queue)
                );
            }
            assert_eq!(send_queue.waiting(), (count + 1) * size);
            let waiting = send_queue.waiting();
            write(&mut send_queue, waiting);
            assert!(memory(&send_queue) <= 2 * PIECE && send_queue.marks.is_empty());
        }
    }

    #[test]
    fn messages_are_counted_until_they_are_written() {
        let mut send_queue = SendQueue::default();
        add(&mut send_queue, Content::Message, &[b'm'; 10]);
        add(&mut send_queue, Content::Message, &[b'm'; 10]);
        add(&mut send_queue, Content::Control, &[b'c'; 10]);
        add(&mut send_queue, Content::Message, &[b'm'; 10]);
        assert_eq!((send_queue.waiting_messages(), send_queue.marks.len()), (30, 2));
        write(&mut send_queue, 15);
        assert_eq!(send_queue.waiting_messages(), 15);
        write(&mut send_queue, 10);
        assert_eq!((send_queue.waiting_messages(), send_queue.marks.len()), (10, 1));
        write(&mut send_queue, 15);
        assert_eq!((send_queue.waiting_messages(), send_queue.marks.len()), (0, 0));
    }

    #[test]
    fn starts_are_unwritten_until_their_last_byte_is_written() {
        let mut send_queue = SendQueue::default();
        for attempt_id in 1..=3 {
            add(&mut send_queue, Content::Attempt(attempt_id), b"task\n");
        }
        assert_eq!(send_queue.unwritten(), [1, 2, 3]);
        write(&mut send_queue, 9);
        assert_eq!(send_queue.unwritten(), [2, 3]);
        write(&mut send_queue, 6);
        assert!(send_queue.unwritten().is_empty());
        add(&mut send_queue, Content::Attempt(4), b"task\n");
        write(&mut send_queue, 4);
        for _ in 0..2 {
            send_queue.cut_off();
            assert_eq!((send_queue.unwritten(), send_queue.waiting()), (vec![4], 0));
        }
    }

    #[test]
    fn tasks_that_were_taken_back_take_no_memory() {
        let mut send_queue = SendQueue::default();
        let body = vec![b't'; 2 << 20];
        for _ in 0..100 {
            add(&mut send_queue, Content::Task, &body);
            send_queue.drop_tasks();
        }
        // The first went into an empty buffer, and counts as on its way.
        assert_eq!(send_queue.waiting(), body.len());
        assert!(memory(&send_queue) <= body.len() + PIECE);
    }

    /// A step of the test, and how many bytes it concerns.
    fn steps() -> impl Strategy<Value = Vec<(u8, usize)>> {
        proptest::collection::vec((0..6u8, prop_oneof![1..100usize, 30_000..120_000usize]), 1..60)
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_was_added_less_the_tasks_that_were_dropped(steps in steps()) {
            let mut send_queue = SendQueue::default();
            let mut written = Vec::new();
            // Each frame: its content, its bytes, and whether it may be dropped.
            let mut frames: VecDeque<(Content, Vec<u8>, bool)> = VecDeque::new();
            let mut expected = Vec::new();
            let mut begun = 0;
            for (number, (step, size)) in steps.into_iter().enumerate() {
                let contents = [Content::Control, Content::Task, Content::Message];
                let what = contents.get(usize::from(step));
                match (what, step) {
                    (Some(&what), _) => {
                        let bytes = vec![b'a' + (number % 26) as u8; size];
                        let marked = what == Content::Task && send_queue.waiting() > MARK_FROM;
                        add(&mut send_queue, what, &bytes);
                        frames.push_back((what, bytes, marked));
                    }
                    (None, 3 | 4) => {
                        let n = size.min(send_queue.waiting());
                        written.extend(write(&mut send_queue, n));
                        begun += n;
                        while let Some((_, bytes, _)) =
                            frames.front().filter(|(_, bytes, _)| bytes.len() <= begun)
                        {
                            begun -= bytes.len();
                            expected.extend_from_slice(bytes);
                            frames.pop_front();
                        }
                    }
                    _ => {
                        send_queue.drop_tasks();
                        let mut first = begun > 0;
                        frames.retain(|(_, _, marked)| std::mem::take(&mut first) || !marked);
                    }
                }
                let waiting = frames.iter().map(|(_, bytes, _)| bytes.len()).sum::<usize>() - begun;
                prop_assert_eq!(send_queue.waiting(), waiting);
                prop_assert!(memory(&send_queue) <= 2 * (waiting + 2 * PIECE) + 120_000);
                let is_message = |what| what == Content::Message;
                let messages = frames.iter().filter(|(what, ..)| is_message(*what));
                let bytes = messages.map(|(_, bytes, _)| bytes.len()).sum::<usize>();
                let first = frames.front().is_some_and(|(what, ..)| is_message(*what));
                let cut = if first { begun } else { 0 };
                prop_assert_eq!(send_queue.waiting_messages(), bytes - cut);
            }
            let rest = send_queue.waiting();
            written.extend(write(&mut send_queue, rest));
            prop_assert_eq!(send_queue.waiting_messages(), 0);
            frames.iter().for_each(|(_, bytes, _)| expected.extend_from_slice(bytes));
            prop_assert_eq!(written, expected);
        }
    }
}
