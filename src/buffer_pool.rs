//! Memory for raw bytes that is reused while it is warm.
//!
//! Fresh memory comes from the system page by page, with a fault for each. One mebibyte of it costs
//! thirty times as much as a copy of a mebibyte into warm memory. So the pool keeps large pieces
//! for the next use, up to a limit for the whole process.
//!
//! Each piece is a mapping of its own. The allocator's heaps would grow for ever as pieces of all
//! sizes come and go, and could not shrink.

#![expect(unsafe_code, reason = "the system takes back pages whose content has no meaning")]

use std::fmt;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{MmapMut, MmapOptions, UncheckedAdvice};

/// The size (bytes) from which on pieces are pooled. The allocator keeps smaller ones warm by
/// itself.
pub(crate) const MIN_POOLED: usize = 32 * 1024;
/// The most bytes that the pool keeps: as many as V8 lets pile up before it collects and gives them
/// back.
const KEPT: usize = 64 << 20;
/// The largest ratio of a piece to the bytes in it. Larger pieces wait for larger bytes.
const MAX_OVERSIZE: usize = 2;
/// The size of a page of memory, in bytes.
const PAGE: usize = 4096;

static POOL: Mutex<Pool> = Mutex::new(Pool { pieces: Vec::new(), bytes: 0 });

/// The pieces that are not in use. The newest piece is taken first. The oldest goes when the pool
/// is full.
struct Pool {
    pieces: Vec<MmapMut>,
    /// The sum of their sizes, in bytes.
    bytes: usize,
}

impl Pool {
    /// Takes out a piece of at least `size` bytes.
    fn take(&mut self, size: usize) -> Option<MmapMut> {
        let sizes = size..=size.saturating_mul(MAX_OVERSIZE);
        let index = self.pieces.iter().rposition(|piece| sizes.contains(&piece.len()))?;
        let piece = self.pieces.remove(index);
        self.bytes -= piece.len();
        Some(piece)
    }

    /// Keeps a piece, and gives the oldest ones back to the system while there are too many.
    fn give(&mut self, piece: MmapMut) {
        self.bytes += piece.len();
        self.pieces.push(piece);
        while self.bytes > KEPT {
            self.bytes -= self.pieces.remove(0).len();
        }
    }
}

/// Bytes in pooled memory, or on the heap if they are few.
#[derive(Default)]
pub struct Bytes {
    memory: Memory,
    /// The number of bytes in use, from the beginning of the memory.
    length: usize,
}

enum Memory {
    Heap(Vec<u8>),
    Mapped(MmapMut),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

impl Bytes {
    /// Makes empty bytes with room for at least `capacity`.
    pub fn with_capacity(capacity: usize) -> Self {
        let used = if capacity < MIN_POOLED { None } else { lock().take(capacity) };
        let memory = match used.or_else(|| fresh(capacity)) {
            Some(piece) => Memory::Mapped(piece),
            None => Memory::Heap(vec![0; capacity]),
        };
        Self { memory, length: 0 }
    }

    /// Makes a copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        if bytes.len() < MIN_POOLED {
            return Self { memory: Memory::Heap(bytes.to_vec()), length: bytes.len() };
        }
        let mut copy = Self::with_capacity(bytes.len());
        copy.append(bytes);
        copy
    }

    /// Returns all of the memory, to write into from the beginning. Its content has no meaning.
    pub fn room(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Heap(memory) => memory,
            Memory::Mapped(memory) => memory,
        }
    }

    /// Makes the first `length` bytes of the memory the content.
    ///
    /// # Panics
    /// Panics if the memory is shorter.
    pub fn set_length(&mut self, length: usize) {
        assert!(length <= self.room().len(), "more bytes than there is room for");
        self.length = length;
    }

    /// Gives the pages behind the content back to the system if they are many. Bytes that may live
    /// for long then take little more memory than their content.
    pub fn trim(&mut self) {
        let Memory::Mapped(piece) = &mut self.memory else { return };
        let end = self.length.next_multiple_of(PAGE);
        let Some(rest) = piece.len().checked_sub(end) else { return };
        if rest > piece.len() / 8 {
            // SAFETY: no reference to this memory exists, and its content has no meaning.
            // A failure leaves the pages, which does no harm.
            let _ = unsafe { piece.unchecked_advise_range(UncheckedAdvice::DontNeed, end, rest) };
        }
    }

    /// Appends `bytes`.
    ///
    /// # Panics
    /// Panics if there is no room for them.
    pub fn append(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        let from = self.length;
        self.room()[from..end].copy_from_slice(bytes);
        self.length = end;
    }
}

/// Makes a mapping for `capacity` bytes. `None`: they are too few, or there is no memory. Similar
/// sizes are rounded to the same one, so that a piece fits several. The system maps all pages in
/// one call, because all are written at once, and a fault for each costs more.
fn fresh(capacity: usize) -> Option<MmapMut> {
    if capacity < MIN_POOLED {
        return None;
    }
    let step = (capacity.checked_next_power_of_two()? / 8).max(PAGE);
    MmapOptions::new().len(capacity.checked_next_multiple_of(step)?).populate().map_anon().ok()
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Heap(memory) => &memory[..self.length],
            Memory::Mapped(memory) => &memory[..self.length],
        }
    }
}

impl Clone for Bytes {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.length)
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Memory::Mapped(piece) = std::mem::take(&mut self.memory) {
            lock().give(piece);
        }
    }
}

fn lock() -> MutexGuard<'static, Pool> {
    // No code under this lock panics in the middle of a change.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool { pieces: Vec::new(), bytes: 0 }
    }

    #[test]
    fn what_was_given_back_is_used_again_for_what_is_about_as_large() {
        let mut pool = pool();
        let piece = fresh(1_000_000).expect("there is memory");
        let (place, size) = (piece.as_ptr(), piece.len());
        assert!((1_000_000..1_200_000).contains(&size));
        pool.give(piece);
        assert!(pool.take(MIN_POOLED).is_none(), "it is far too large for that");
        assert!(pool.take(size + 1).is_none(), "it is too small for that");
        let again = pool.take(600_000).expect("it is there");
        assert_eq!((again.as_ptr(), again.len(), pool.bytes), (place, size, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fresh_piece_is_there_as_a_whole() {
        use std::os::unix::fs::FileExt;

        let piece = fresh(1_000_000).expect("there is memory");
        let pages = std::fs::File::open("/proc/self/pagemap").expect("the kernel has it");
        let mut entries = vec![0; piece.len() / PAGE * 8];
        let at = piece.as_ptr() as usize / PAGE * 8;
        pages.read_exact_at(&mut entries, at as u64).expect("an entry for each page");
        // The highest bit of each entry: the page is in memory.
        assert!(entries.chunks(8).all(|entry| entry[7] & 0x80 != 0));
    }

    #[test]
    fn no_more_is_kept_than_the_limit_and_the_oldest_goes_first() {
        let mut pool = pool();
        let mut newest = None;
        for _ in 0..70 {
            let piece = fresh(1 << 20).expect("there is memory");
            newest = Some(piece.as_ptr());
            pool.give(piece);
        }
        assert_eq!((pool.pieces.len(), pool.bytes), (64, KEPT));
        assert_eq!(pool.take(1 << 20).map(|piece| piece.as_ptr()), newest);
        pool.give(fresh(KEPT + 1).expect("there is memory"));
        assert_eq!((pool.pieces.len(), pool.bytes), (0, 0));
    }

    #[test]
    fn trimmed_bytes_keep_their_content_and_their_memory_serves_again() {
        for (size, length) in [(0, 0), (10, 3), (MIN_POOLED, MIN_POOLED), (1 << 20, 70_000)] {
            let mut bytes = Bytes::with_capacity(size);
            bytes.room().fill(7);
            bytes.set_length(length);
            bytes.trim();
            assert_eq!(*bytes, vec![7; length]);
            bytes.room().fill(9);
            bytes.set_length(size);
            assert!(bytes.iter().all(|byte| *byte == 9));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn trimmed_bytes_give_back_the_pages_behind_them() {
        let mut bytes = Bytes::with_capacity(1 << 20);
        bytes.room().fill(7);
        bytes.set_length(PAGE + 1);
        bytes.trim();
        assert_eq!(bytes.room()[2 * PAGE - 1..=2 * PAGE], [7, 0]);
    }

    #[test]
    fn a_copy_is_one_whatever_the_memory_was_before() {
        for size in [0, 1, MIN_POOLED - 1, MIN_POOLED, 3 * MIN_POOLED] {
            for value in 1..4 {
                let bytes = vec![value; size];
                let mut copy = Bytes::copy_of(&bytes);
                assert_eq!(*copy, *bytes);
                assert_eq!(*copy.clone(), *bytes);
                copy.set_length(0);
                assert!(copy.is_empty());
            }
        }
        let mut bytes = Bytes::with_capacity(2 * MIN_POOLED);
        bytes.append(b"one");
        bytes.append(b"two");
        assert_eq!(&*bytes, b"onetwo");
    }
}
