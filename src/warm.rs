//! Memory for raw bytes that is used again while it is still warm.
//!
//! Fresh memory comes from the system page by page, each with a fault: a mebibyte of it costs thirty times what copying a
//! mebibyte into memory costs that was used before. So large pieces are not given back at once, but kept for the next ones,
//! up to a limit, for the whole process.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Smaller pieces are left to the allocator, which keeps such memory warm by itself.
pub const KEPT_FROM: usize = 32 * 1024;
/// Bytes that are kept, at most.
const KEPT: usize = 32 << 20;
/// A piece is used for what needs at least this part of it: larger ones are for larger bytes.
const LEAST_PART: usize = 4;

static POOL: Mutex<Pool> = Mutex::new(Pool { pieces: Vec::new(), bytes: 0 });

/// Pieces that nobody uses, all of them empty. The last one given back is taken first.
struct Pool {
    pieces: Vec<Vec<u8>>,
    /// Their capacities together.
    bytes: usize,
}

impl Pool {
    /// A piece with room for `capacity` bytes.
    fn take(&mut self, capacity: usize) -> Option<Vec<u8>> {
        let sizes = capacity..=capacity.saturating_mul(LEAST_PART);
        let index = self.pieces.iter().rposition(|piece| sizes.contains(&piece.capacity()))?;
        let piece = self.pieces.remove(index);
        self.bytes -= piece.capacity();
        Some(piece)
    }

    /// Keeps a piece, if there is room for it.
    fn give(&mut self, mut piece: Vec<u8>) {
        if self.bytes + piece.capacity() <= KEPT {
            piece.clear();
            self.bytes += piece.capacity();
            self.pieces.push(piece);
        }
    }
}

/// Bytes in a piece of such memory.
#[derive(Debug, Default, Clone)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// Empty, with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        let used = if capacity < KEPT_FROM { None } else { lock().take(capacity) };
        Self(used.unwrap_or_else(|| Vec::with_capacity(capacity)))
    }

    /// A copy.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut copy = Self::with_capacity(bytes.len());
        copy.0.extend_from_slice(bytes);
        copy
    }

    /// To be filled.
    pub fn vec(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if self.0.capacity() >= KEPT_FROM {
            lock().give(std::mem::take(&mut self.0));
        }
    }
}

fn lock() -> MutexGuard<'static, Pool> {
    // Nothing in here panics half-way through a change.
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
        let piece = Vec::with_capacity(1 << 20);
        let place = piece.as_ptr();
        pool.give(piece);
        assert_eq!(pool.take(KEPT_FROM), None, "it is far too large for that");
        assert_eq!(pool.take((1 << 20) + 1), None, "it is too small for that");
        let again = pool.take(1 << 19).expect("it is there");
        assert_eq!((again.as_ptr(), again.len(), pool.bytes), (place, 0, 0));
    }

    #[test]
    fn no_more_is_kept_than_the_limit() {
        let mut pool = pool();
        pool.give(Vec::with_capacity(KEPT + 1));
        assert_eq!(pool.bytes, 0);
        (0..40).for_each(|_| pool.give(Vec::with_capacity(1 << 20)));
        assert_eq!((pool.pieces.len(), pool.bytes), (32, KEPT));
    }

    #[test]
    fn a_copy_is_one() {
        for size in [0, 1, KEPT_FROM, 3 * KEPT_FROM] {
            let bytes = vec![7; size];
            for _ in 0..3 {
                assert_eq!(*Bytes::copy_of(&bytes), *bytes);
            }
        }
    }
}
