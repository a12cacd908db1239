//! Carries raw bytes from one process to the other, through shared memory.
//!
//! ```text
//!  0          consumed        written                  RING
//!  |  free     |  on their way  |  free                   |
//! ```
//!
//! Positions count on, and are taken modulo RING.
//!
//! One side writes and one side reads. The writer puts the bytes of a frame down in one piece, and
//! names their position in the frame, on the channel. The reader copies them out, and later moves
//! `consumed` behind them. Once all is consumed, the next bytes go to the beginning again, so that
//! the same few pages are reused and stay warm.
//!
//! Neither side waits for the other. Bytes that do not fit take the channel.
//!
//! The supervisor trusts nothing in a ring. In the ring to the worker, `consumed` is the worker's
//! word, and a lie spoils only the worker's own tasks. In the ring from the worker, the supervisor
//! checks a position against the size, and treats the bytes as the worker's.

#![expect(unsafe_code, reason = "bytes are copied between private memory and the mapping")]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::buffer_pool::Bytes;

/// The size of the ring of one direction, in bytes. Larger values take the channel, whose copies
/// are then not the main cost.
pub const RING: usize = 8 << 20;
/// The size (bytes) from which on raw bytes go through the ring. Below it, the channel's copies
/// cost less than two more visits to memory.
pub(crate) const FROM: usize = 32 * 1024;

const SIZE: u64 = RING as u64;

/// The ring of one direction, as each side sees it.
#[derive(Clone, Copy)]
pub(crate) struct Ring<'a> {
    /// The position up to which the reader has read.
    consumed: &'a AtomicU64,
    /// RING bytes that live as long as `consumed` does.
    bytes: *mut u8,
}

/// The state of the writer, which is not shared.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The position of the next bytes, unless the writer skips some.
    at: u64,
    /// The position before which everything was consumed or skipped.
    from: u64,
}

/// The state of the reader.
#[derive(Debug, Default)]
pub struct Read {
    /// The position before which everything was read.
    to: u64,
    /// The position that the reader has told the writer.
    released: u64,
}

impl<'a> Ring<'a> {
    /// # Safety
    /// `bytes` is valid for reads and writes of [`RING`] bytes as long as `consumed` is, and no
    /// reference to them exists.
    pub(crate) unsafe fn new(consumed: &'a AtomicU64, bytes: *mut u8) -> Self {
        Self { consumed, bytes }
    }

    /// Writer: finds a place for `length` bytes in one piece, and returns its position. `None`:
    /// there is no room.
    fn place(
        self,
        written: &mut Written,
        length: usize,
        back: impl FnOnce(usize) -> Option<()>,
    ) -> Option<u64> {
        let length = length as u64;
        let consumed = self.consumed.load(Ordering::Acquire);
        // Any other value is older than the last skip, or nonsense.
        if (written.from..=written.at).contains(&consumed) {
            written.from = consumed;
        }
        let rest = SIZE - written.at % SIZE;
        let mut at = written.at;
        if written.from == at {
            at = at.checked_next_multiple_of(SIZE)?;
            written.from = at;
        } else if length > rest {
            at = at.checked_add(rest)?;
        }
        let end = at.checked_add(length)?;
        if end - written.from > SIZE {
            return None;
        }
        back((at % SIZE) as usize + length as usize)?;
        written.at = end;
        Some(at)
    }

    /// Writer: writes all of `pieces` end to end, and returns their position. `None`: nothing was
    /// written, because there is no room, or because `back` has no memory for that place in the
    /// ring.
    pub(crate) fn write(
        self,
        written: &mut Written,
        pieces: &[&[u8]],
        back: impl FnOnce(usize) -> Option<()>,
    ) -> Option<u64> {
        let at = self.place(written, pieces.iter().map(|piece| piece.len()).sum(), back)?;
        let mut offset = (at % SIZE) as usize;
        for piece in pieces {
            // SAFETY: `place` found room for all pieces within the RING bytes, and no reference to
            // them exists. An honest reader reads only the bytes that it was told of; a dishonest
            // one spoils only its own data.
            unsafe { self.bytes.add(offset).copy_from_nonoverlapping(piece.as_ptr(), piece.len()) };
            offset += piece.len();
        }
        Some(at)
    }

    /// Reader: copies out pieces of these lengths, which stand end to end from this position.
    /// `None`: no honest writer would have put them there.
    pub(crate) fn read(self, read: &mut Read, at: u64, lengths: &[usize]) -> Option<Vec<Bytes>> {
        let total = lengths.iter().try_fold(0, |sum: usize, length| sum.checked_add(*length))?;
        let mut offset = (at % SIZE) as usize;
        let end = at.checked_add(total as u64)?;
        // The limit is the size of the ring and the skipped bytes before it. So the reader
        // allocates memory only for real bytes.
        if at < read.to || total > RING - offset || end - read.released > 2 * SIZE {
            return None;
        }
        let pieces = lengths.iter().map(|&length| {
            let mut piece = Bytes::with_capacity(length);
            let room = &mut piece.room()[..length];
            // SAFETY: `offset..offset + length` lies within the RING bytes, as the check of the
            // total has shown, and `room` is as long. A writer that goes on writing there changes
            // only the copy, and only the copy is read.
            unsafe { room.as_mut_ptr().copy_from_nonoverlapping(self.bytes.add(offset), length) };
            piece.set_length(length);
            offset += length;
            piece
        });
        let pieces = pieces.collect();
        read.to = end;
        Some(pieces)
    }

    /// Reader: lets the writer reuse the bytes that were read.
    pub(crate) fn release(self, read: &mut Read) {
        if read.released != read.to {
            self.consumed.store(read.to, Ordering::Release);
            read.released = read.to;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it stands in for a system that may have none")]
    fn there(_: usize) -> Option<()> {
        Some(())
    }

    struct Memory {
        consumed: AtomicU64,
        bytes: Box<[u8]>,
    }

    impl Memory {
        fn new() -> Self {
            Self { consumed: AtomicU64::new(0), bytes: vec![0; RING].into_boxed_slice() }
        }

        fn ring(&mut self) -> Ring<'_> {
            let bytes = self.bytes.as_mut_ptr();
            // SAFETY: the box has RING bytes, and is borrowed for as long as the ring is.
            unsafe { Ring::new(&self.consumed, bytes) }
        }
    }

    #[test]
    fn the_same_memory_is_used_again_once_it_is_free() {
        let mut memory = Memory::new();
        let ring = memory.ring();
        let (mut written, mut read) = (Written::default(), Read::default());
        for _ in 0..20 {
            let at = ring.write(&mut written, &[b"one", b"two"], there).expect("there is room");
            assert_eq!(at % SIZE, 0);
            let pieces = ring.read(&mut read, at, &[3, 3]).expect("they are there");
            ring.release(&mut read);
            assert_eq!(pieces.iter().map(|piece| &**piece).collect::<Vec<_>>(), [b"one", b"two"]);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_to_the_channel() {
        let mut memory = Memory::new();
        let ring = memory.ring();
        let mut written = Written::default();
        let large = vec![7; RING];
        assert!(ring.write(&mut written, &[&large, &[1]], there).is_none());
        let at = ring.write(&mut written, &[&large], there).expect("exactly as much as there is");
        assert!(ring.write(&mut written, &[&[1]], there).is_none());
        let mut read = Read::default();
        assert_eq!(ring.read(&mut read, at, &[RING]).expect("it is there").len(), 1);
        assert!(ring.write(&mut written, &[&[1]], there).is_none(), "the reader has not said so");
        ring.release(&mut read);
        assert!(ring.write(&mut written, &[&[1]], there).is_some());
    }

    #[test]
    fn positions_and_lengths_that_no_writer_gives_are_refused() {
        let mut memory = Memory::new();
        let ring = memory.ring();
        for (at, lengths) in [
            (0, &[RING + 1][..]),
            (1, &[RING]),
            (SIZE - 1, &[2]),
            (0, &[usize::MAX, 2]),
            (u64::MAX, &[1]),
            (u64::MAX - 7, &[4, 4, 1]),
        ] {
            assert!(ring.read(&mut Read::default(), at, lengths).is_none(), "{at} {lengths:?}");
        }
    }

    #[test]
    fn nothing_is_read_twice_nor_more_than_there_can_be_before_the_writer_is_told() {
        let mut memory = Memory::new();
        let ring = memory.ring();
        let mut read = Read::default();
        assert!(ring.read(&mut read, 0, &[8]).is_some());
        assert!(ring.read(&mut read, 7, &[1]).is_none());
        assert!(ring.read(&mut read, SIZE, &[RING]).is_some());
        assert!(ring.read(&mut read, 2 * SIZE, &[1]).is_none());
        ring.release(&mut read);
        assert!(ring.read(&mut read, 2 * SIZE, &[1]).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 64,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Whatever the other side claims to have consumed, a write never reaches beyond the
        /// memory. While the other side is honest, a write never touches bytes that it has not
        /// read.
        #[test]
        fn what_is_not_consumed_is_not_written_over(
            acts in proptest::collection::vec((1usize..RING / 2, 0u8..4, any::<u64>()), 1..60)
        ) {
            let mut memory = Memory::new();
            let ring = memory.ring();
            let (mut written, mut read) = (Written::default(), Read::default());
            let mut unread: VecDeque<(u64, usize, u8)> = VecDeque::new();
            let mut honest = true;
            for (index, (length, act, lie)) in acts.into_iter().enumerate() {
                let mark = index as u8;
                if act == 3 && lie % 16 == 0 {
                    ring.consumed.store(lie, Ordering::Relaxed);
                    honest = false;
                }
                if let Some(at) = ring.write(&mut written, &[&vec![mark; length]], there) {
                    prop_assert!((at % SIZE) as usize + length <= RING);
                    unread.push_back((at, length, mark));
                }
                while honest && act < 2 && let Some((at, length, mark)) = unread.pop_front() {
                    let pieces = ring.read(&mut read, at, &[length]).expect("it was written");
                    ring.release(&mut read);
                    let mut samples = pieces[0].iter().step_by(4001).chain(pieces[0].last());
                    prop_assert!(samples.all(|byte| *byte == mark));
                    if act == 1 {
                        break;
                    }
                }
            }
        }
    }
}
