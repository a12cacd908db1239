//! Memory shared with one worker over a descriptor. It has no name in any file system, and its size
//! cannot change.
//!
//! ```text
//!     0   claim word                               (u64)
//!    64   length of the journal                    (u32)
//!   128   read position of the worker's reader     (u64)
//!   192   read position of the supervisor's reader (u64)
//!   256   how long the worker may hold results   (u32, µs)
//!  4096   journal: whole lines that the worker has not written to its channel yet
//! 69632   a ring of raw bytes to the worker, and one from it
//! ```
//!
//! Untouched parts take no memory. A limit on the size of files or of the address space may leave
//! no room for the rings. Then the page has none, and raw bytes take the channel.
//!
//! The kernel keeps the page whatever happens to the worker, so the journal survives SIGKILL.
//!
//! If the memory could shrink, an access behind its new end would raise SIGBUS. So the supervisor
//! seals the size before it shares the memory, and a worker accepts only sealed memory. A system
//! without sealed memory (any but Linux) has no page, and a worker gets its tasks one by one.

#![expect(
    unsafe_code,
    reason = "parts of the mapping become atomics, and bytes are copied into it"
)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use memmap2::MmapRaw;

use super::claim::ClaimWord;
use super::ring::{RING, Read, Ring, Written};
use crate::buffer_pool::Bytes;

/// The offset of the journal's length, outside of the claim word's cache line.
const JOURNAL_LENGTH: usize = 64;
/// The offset of the journal.
const JOURNAL: usize = 4096;
/// The capacity of the journal, in bytes.
pub const JOURNAL_CAPACITY: usize = 64 * 1024;
/// The size without the rings, in bytes.
pub const PAGE_SIZE: usize = JOURNAL + JOURNAL_CAPACITY;
/// The size with the rings, in bytes.
const WITH_RINGS: usize = PAGE_SIZE + 2 * RING;
/// The offsets of the two read positions of the rings, each in its own cache line.
const CONSUMED: [usize; 2] = [128, 192];
/// The offset of the time for which the worker may hold results, in its own cache line.
const HOLD: usize = 256;
/// The longest such time, whatever the page says: user code of the worker may have written there.
const MAX_HOLD: Duration = Duration::from_millis(4);
/// The step (bytes) in which memory for a ring is requested.
const STEP: usize = 1 << 20;

/// The page of one worker, mapped into this process.
#[derive(Debug)]
pub struct SharedPage {
    map: MmapRaw,
    fd: OwnedFd,
}

/// The two directions of raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the supervisor to the worker.
    ToWorker,
    /// From the worker to the supervisor.
    FromWorker,
}

/// The state of the side that writes into a ring.
#[derive(Debug, Default)]
pub struct Writer {
    written: Written,
    /// The number of the ring's bytes that have memory behind them.
    backed: usize,
}

impl SharedPage {
    /// Makes a page of zeros. `None`: the system cannot make one, and the caller does without.
    pub fn create() -> Option<Self> {
        [WITH_RINGS, PAGE_SIZE].into_iter().find_map(|size| Self::map(system::create(size)?, size))
    }

    /// Opens the page behind `fd`, which another process made. `None`: `fd` is no such page.
    pub fn open(fd: BorrowedFd<'_>) -> Option<Self> {
        let size =
            system::size_of_sealed(fd).filter(|size| [PAGE_SIZE, WITH_RINGS].contains(size))?;
        Self::map(fd.try_clone_to_owned().ok()?, size)
    }

    fn map(fd: OwnedFd, size: usize) -> Option<Self> {
        let map = memmap2::MmapOptions::new().len(size).map_raw(&fd).ok()?;
        Some(Self { map, fd })
    }

    /// Returns whether raw bytes can go through the page.
    pub fn has_rings(&self) -> bool {
        self.map.len() == WITH_RINGS
    }

    /// Puts all of `pieces` into a ring, end to end, for the other side to read. Returns their
    /// position. `None`: there is no room, or no ring.
    pub fn put(&self, way: Direction, writer: &mut Writer, pieces: &[&[u8]]) -> Option<u64> {
        let (ring, start) = self.ring(way)?;
        let back = |end: usize| {
            if end > writer.backed {
                let to = end.next_multiple_of(STEP).min(RING);
                // A system without memory to spare fails here, and not by a signal at the first
                // access.
                system::back(self.fd.as_fd(), start + writer.backed, to - writer.backed)?;
                writer.backed = to;
            }
            Some(())
        };
        ring.write(&mut writer.written, pieces, back)
    }

    /// Copies pieces of these lengths out of a ring. `None`: the other side cannot have put them
    /// there.
    pub fn take(
        &self,
        way: Direction,
        read: &mut Read,
        at: u64,
        lengths: &[usize],
    ) -> Option<Vec<Bytes>> {
        self.ring(way)?.0.read(read, at, lengths)
    }

    /// Lets the other side reuse the bytes that were taken.
    pub fn release(&self, way: Direction, read: &mut Read) {
        if let Some((ring, _)) = self.ring(way) {
            ring.release(read);
        }
    }

    /// Returns a ring, and the offset at which it begins.
    fn ring(&self, way: Direction) -> Option<(Ring<'_>, usize)> {
        if !self.has_rings() {
            return None;
        }
        let index = usize::from(way == Direction::FromWorker);
        let start = PAGE_SIZE + index * RING;
        // SAFETY: as for the claim word: within the mapping, aligned, and touched in no other way.
        // The ring is the RING bytes of the mapping from `start` on, and no reference to them
        // exists.
        let ring = unsafe {
            let consumed = &*self.map.as_ptr().add(CONSUMED[index]).cast::<AtomicU64>();
            Ring::new(consumed, self.map.as_mut_ptr().add(start))
        };
        Some((ring, start))
    }

    /// Returns the worker's claim word.
    pub fn claim_word(&self) -> &ClaimWord {
        // SAFETY: the mapping has at least PAGE_SIZE bytes, starts at a page boundary, is readable
        // and writable, and lives as long as `self`. Its file cannot shrink, because both ways to
        // get a SharedPage check the seals. ClaimWord is a transparent AtomicU64, for which every
        // bit pattern is valid, and this process never touches these bytes in another way. The
        // other process can only change the value.
        unsafe { &*self.map.as_ptr().cast::<ClaimWord>() }
    }

    /// Worker: appends `bytes` to the journal, which has `already` bytes, so that they survive this
    /// process. Returns whether there was room.
    pub fn hold(&self, already: usize, bytes: &[u8]) -> bool {
        let Some(end) = already.checked_add(bytes.len()).filter(|end| *end <= JOURNAL_CAPACITY)
        else {
            return false;
        };
        // SAFETY: `already..end` lies within the journal's part of the mapping, which is writable
        // and lives as long as `self`. Only this process writes there, and in it only the sender.
        // The supervisor reads once this process is dead.
        unsafe {
            self.map
                .as_mut_ptr()
                .add(JOURNAL + already)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
        };
        // The end is at most JOURNAL_CAPACITY.
        self.journal_length().store(end as u32, Ordering::Release);
        true
    }

    /// Supervisor: lets the worker hold results for this time while it has further tasks. The
    /// supervisor never reads what is there.
    pub fn allow_hold(&self, hold: Duration) {
        self.hold_word().store(hold.min(MAX_HOLD).as_micros() as u32, Ordering::Release);
    }

    /// Worker: returns the time for which results may be held.
    pub fn allowed_hold(&self) -> Duration {
        Duration::from_micros(self.hold_word().load(Ordering::Acquire).into()).min(MAX_HOLD)
    }

    fn hold_word(&self) -> &AtomicU32 {
        // SAFETY: as for the claim word; the offset is a multiple of four.
        unsafe { &*self.map.as_ptr().add(HOLD).cast::<AtomicU32>() }
    }

    /// Worker: empties the journal, whose lines are written to the channel.
    pub fn journal_clear(&self) {
        self.journal_length().store(0, Ordering::Release);
    }

    /// Supervisor: returns the journal of a dead worker.
    pub fn journal(&self) -> Vec<u8> {
        let length = (self.journal_length().load(Ordering::Acquire) as usize).min(JOURNAL_CAPACITY);
        // Byte by byte as atomics, because a process that the worker left behind may still have the
        // memory. SAFETY: the journal is JOURNAL_CAPACITY bytes of the mapping, which lives as long
        // as `self`.
        let byte =
            |index: usize| unsafe { &*self.map.as_ptr().add(JOURNAL + index).cast::<AtomicU8>() };
        (0..length).map(|index| byte(index).load(Ordering::Relaxed)).collect()
    }

    fn journal_length(&self) -> &AtomicU32 {
        // SAFETY: as for the claim word; the offset is a multiple of four.
        unsafe { &*self.map.as_ptr().add(JOURNAL_LENGTH).cast::<AtomicU32>() }
    }
}

/// Hands the page to a worker. The descriptor is close-on-exec.
impl AsFd for SharedPage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::os::fd::{BorrowedFd, OwnedFd};

    use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
    use rustix::process::{Resource, getrlimit};

    /// The seals that fix the size for ever.
    const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

    pub(super) fn create(size: usize) -> Option<OwnedFd> {
        let size = size as u64;
        // A larger file raises SIGXFSZ, which ends the process.
        if getrlimit(Resource::Fsize).current.is_some_and(|most| most < size) {
            return None;
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create(c"bulkhead-page", flags).ok()?;
        rustix::fs::ftruncate(&fd, size).ok()?;
        rustix::fs::fcntl_add_seals(&fd, SEALS).ok()?;
        Some(fd)
    }

    /// Returns the size of a memory file whose size is fixed for ever.
    pub(super) fn size_of_sealed(fd: BorrowedFd<'_>) -> Option<usize> {
        // Only memory files have seals, so this also refuses sockets, terminals and ordinary files.
        rustix::fs::fcntl_get_seals(fd).ok().filter(|seals| seals.contains(SEALS))?;
        usize::try_from(rustix::fs::fstat(fd).ok()?.st_size).ok()
    }

    /// Allocates memory behind a part of the file.
    pub(super) fn back(fd: BorrowedFd<'_>, from: usize, length: usize) -> Option<()> {
        rustix::fs::fallocate(fd, FallocateFlags::empty(), from as u64, length as u64).ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::os::fd::{BorrowedFd, OwnedFd};

    pub(super) fn create(_: usize) -> Option<OwnedFd> {
        None
    }

    pub(super) fn size_of_sealed(_: BorrowedFd<'_>) -> Option<usize> {
        None
    }

    pub(super) fn back(_: BorrowedFd<'_>, _: usize, _: usize) -> Option<()> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::fs::{MemfdFlags, SealFlags};

    use super::*;

    // [E21]
    #[test]
    fn what_is_held_is_seen_by_the_other_side_until_it_is_released() {
        let ours = SharedPage::create().unwrap();
        let theirs = SharedPage::open(ours.as_fd()).unwrap();
        assert!(ours.journal().is_empty());
        assert!(theirs.hold(0, b"one\n") && theirs.hold(4, b"two\n"));
        assert_eq!(ours.journal(), b"one\ntwo\n");
        assert!(!theirs.hold(8, &[0; JOURNAL_CAPACITY]), "there is no room for that");
        assert_eq!(ours.journal(), b"one\ntwo\n");
        theirs.journal_clear();
        assert!(ours.journal().is_empty());
        theirs.journal_length().store(u32::MAX, Ordering::Relaxed);
        assert_eq!(
            ours.journal().len(),
            JOURNAL_CAPACITY,
            "a length that makes no sense does no harm"
        );
    }

    #[test]
    fn both_sides_see_one_word() {
        let ours = SharedPage::create().unwrap();
        let theirs = SharedPage::open(ours.as_fd()).unwrap();
        assert!(theirs.claim_word().claim(0));
        assert_eq!(ours.claim_word().reclaim(0), Ok((1, 1)));
        assert!(!theirs.claim_word().claim(0));
        drop(ours);
        assert_eq!(theirs.claim_word().load(), (1, 1));
    }

    #[test]
    fn raw_bytes_go_both_ways_at_a_time() {
        let ours = SharedPage::create().unwrap();
        let theirs = SharedPage::open(ours.as_fd()).unwrap();
        let (mut down, mut up) = (Writer::default(), Writer::default());
        let (task, result) = (vec![1; 3 * STEP + 7], vec![2; RING]);
        let at = ours.put(Direction::ToWorker, &mut down, &[&task]).unwrap();
        let back = theirs.put(Direction::FromWorker, &mut up, &[&result]).unwrap();
        let (mut of_task, mut of_result) = (Read::default(), Read::default());
        assert_eq!(
            theirs.take(Direction::ToWorker, &mut of_task, at, &[task.len()]).unwrap()[0][..],
            task
        );
        assert_eq!(
            ours.take(Direction::FromWorker, &mut of_result, back, &[result.len()]).unwrap()[0][..],
            result
        );
        assert_eq!((ours.journal().len(), ours.claim_word().load()), (0, (0, 0)));
        assert!(
            theirs.put(Direction::FromWorker, &mut up, &[&result]).is_none(),
            "it was not released"
        );
        ours.release(Direction::FromWorker, &mut of_result);
        assert!(theirs.put(Direction::FromWorker, &mut up, &[&result]).is_some());
    }

    // [D14]
    #[test]
    fn how_long_results_may_be_held_is_bounded_whatever_was_written_there() {
        let ours = SharedPage::create().unwrap();
        let theirs = SharedPage::open(ours.as_fd()).unwrap();
        assert_eq!(theirs.allowed_hold(), Duration::ZERO);
        ours.allow_hold(Duration::from_millis(2));
        assert_eq!(theirs.allowed_hold(), Duration::from_millis(2));
        theirs.hold_word().store(u32::MAX, Ordering::Relaxed);
        assert_eq!(theirs.allowed_hold(), MAX_HOLD);
        assert_eq!((ours.journal().len(), ours.claim_word().load()), (0, (0, 0)));
    }

    // [D14, E18]
    #[test]
    fn its_size_cannot_be_changed() {
        let page = SharedPage::create().unwrap();
        for size in [0, 4095, 4097, 1 << 20] {
            assert_eq!(rustix::fs::ftruncate(&page, size).unwrap_err(), rustix::io::Errno::PERM);
        }
        assert!(rustix::io::fcntl_getfd(&page).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn what_is_no_page_is_not_opened() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(SharedPage::open(null.as_fd()).is_none());
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(SharedPage::open(socket.as_fd()).is_none());

        let memory = |size, seals| {
            let fd =
                rustix::fs::memfd_create(c"test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
                    .unwrap();
            rustix::fs::ftruncate(&fd, size).unwrap();
            rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
            fd
        };
        let sealed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        assert!(SharedPage::open(memory(PAGE_SIZE as u64, SealFlags::empty()).as_fd()).is_none());
        assert!(
            SharedPage::open(memory(PAGE_SIZE as u64, SealFlags::SHRINK | SealFlags::SEAL).as_fd())
                .is_none()
        );
        assert!(SharedPage::open(memory(100, sealed).as_fd()).is_none());
        assert!(SharedPage::open(memory(2 * PAGE_SIZE as u64, sealed).as_fd()).is_none());
        assert!(
            SharedPage::open(memory(PAGE_SIZE as u64, sealed).as_fd())
                .is_some_and(|page| !page.has_rings())
        );
        // A page with this seal could not be mapped for writing.
        assert!(
            SharedPage::open(memory(PAGE_SIZE as u64, sealed | SealFlags::WRITE).as_fd()).is_none()
        );
    }
}
