//! Memory shared with one worker over a descriptor: no name in any file system, and a size that
//! nobody can change.
//!
//! ```text
//!      0   claim word             (u64)
//!     64   length of what is held (u32)
//!    128   how far the worker has read its ring         (u64)
//!    192   how far the supervisor has read the other    (u64)
//!   4096   what is held: whole lines that the worker has not written to its channel yet
//!  69632   a ring of raw bytes to the worker, and one from it
//! ```
//!
//! What nobody touches takes no memory. Where there may not be as much as the rings are long (a
//! limit on the size of files, or of the address space), there are none, and raw bytes take the
//! channel.
//!
//! The kernel keeps it whatever happens to the worker, which is the point: what is in here survives
//! SIGKILL.
//!
//! Memory that could shrink would be a weapon: touching what is cut off raises SIGBUS in whoever
//! touches it. So its size is sealed before it is shared, and a worker takes no memory that is not.
//! Where the system has no sealed memory (anything but Linux), there is none, and a worker gets its
//! tasks one by one.

#![expect(
    unsafe_code,
    reason = "parts of the mapping become atomics, and bytes are copied into it"
)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use memmap2::MmapRaw;

use super::claim::ClaimWord;
use super::ring::{RING, Read, Ring, Written};
use crate::buffer_pool::Bytes;

/// Where the length of what is held is: not in the claim word's cache line.
const JOURNAL_LENGTH: usize = 64;
/// Where what is held begins.
const JOURNAL: usize = 4096;
/// What can be held, in bytes.
pub const JOURNAL_CAPACITY: usize = 64 * 1024;
/// Without the rings, in bytes.
pub const PAGE_SIZE: usize = JOURNAL + JOURNAL_CAPACITY;
/// With them.
const WITH_RINGS: usize = PAGE_SIZE + 2 * RING;
/// Where it stands how far each ring was read: in cache lines of their own.
const CONSUMED: [usize; 2] = [128, 192];
/// Memory for a ring is asked for in steps of so many bytes.
const STEP: usize = 1 << 20;

/// The page of one worker, mapped into this process.
#[derive(Debug)]
pub struct SharedPage {
    map: MmapRaw,
    fd: OwnedFd,
}

/// The two ways of raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the supervisor to the worker.
    ToWorker,
    /// And back.
    FromWorker,
}

/// What the side that writes into a ring remembers of it.
#[derive(Debug, Default)]
pub struct Writer {
    written: Written,
    /// Bytes of the ring that have memory behind them.
    backed: usize,
}

impl SharedPage {
    /// A new page, all zeros. `None` where there can be none: the caller does without.
    pub fn create() -> Option<Self> {
        [WITH_RINGS, PAGE_SIZE].into_iter().find_map(|size| Self::map(system::create(size)?, size))
    }

    /// The page behind `fd`, which somebody else has made. `None` if it is not such a page.
    pub fn open(fd: BorrowedFd<'_>) -> Option<Self> {
        let size =
            system::size_of_sealed(fd).filter(|size| [PAGE_SIZE, WITH_RINGS].contains(size))?;
        Self::map(fd.try_clone_to_owned().ok()?, size)
    }

    fn map(fd: OwnedFd, size: usize) -> Option<Self> {
        let map = memmap2::MmapOptions::new().len(size).map_raw(&fd).ok()?;
        Some(Self { map, fd })
    }

    /// Whether raw bytes can go through it.
    pub fn has_rings(&self) -> bool {
        self.map.len() == WITH_RINGS
    }

    /// Puts all of `pieces` into a ring, end to end, for the other side to read. Their position
    /// there; `None`: there is no room, or no ring.
    pub fn put(&self, way: Direction, writer: &mut Writer, pieces: &[&[u8]]) -> Option<u64> {
        let (ring, start) = self.ring(way)?;
        let back = |end: usize| {
            if end > writer.backed {
                let to = end.next_multiple_of(STEP).min(RING);
                // A system that has no memory to spare says so here, and not by a signal when it is
                // touched.
                system::back(self.fd.as_fd(), start + writer.backed, to - writer.backed)?;
                writer.backed = to;
            }
            Some(())
        };
        ring.write(&mut writer.written, pieces, back)
    }

    /// Copies pieces of these lengths, which the other side has put there, out of a ring. `None`
    /// where it cannot have done so.
    pub fn take(
        &self,
        way: Direction,
        read: &mut Read,
        at: u64,
        lengths: &[usize],
    ) -> Option<Vec<Bytes>> {
        self.ring(way)?.0.read(read, at, lengths)
    }

    /// What was taken may be written over.
    pub fn release(&self, way: Direction, read: &mut Read) {
        if let Some((ring, _)) = self.ring(way) {
            ring.release(read);
        }
    }

    /// A ring, and where it begins.
    fn ring(&self, way: Direction) -> Option<(Ring<'_>, usize)> {
        if !self.has_rings() {
            return None;
        }
        let index = usize::from(way == Direction::FromWorker);
        let start = PAGE_SIZE + index * RING;
        // SAFETY: as for the claim word: within the mapping, aligned, and touched in no other way.
        // The ring is the part of the mapping that begins at `start`, which is RING bytes long;
        // nobody makes references to it.
        let ring = unsafe {
            let consumed = &*self.map.as_ptr().add(CONSUMED[index]).cast::<AtomicU64>();
            Ring::new(consumed, self.map.as_mut_ptr().add(start))
        };
        Some((ring, start))
    }

    /// The worker's claim word.
    pub fn claim_word(&self) -> &ClaimWord {
        // SAFETY: the mapping is PAGE_SIZE bytes at least, starts at a page boundary, is readable
        // and writable, and lives as long as `self`. Its file cannot shrink, because both ways to
        // get a SharedPage make sure of the seals. ClaimWord is a transparent AtomicU64, for which
        // every bit pattern is valid, and this process never touches these bytes in another way.
        // (What the other process does to them can change the value, and nothing else.)
        unsafe { &*self.map.as_ptr().cast::<ClaimWord>() }
    }

    /// The worker: puts `bytes` at the end of the `already` that are held, so that they survive it.
    /// Whether there was room.
    pub fn hold(&self, already: usize, bytes: &[u8]) -> bool {
        let Some(end) = already.checked_add(bytes.len()).filter(|end| *end <= JOURNAL_CAPACITY)
        else {
            return false;
        };
        // SAFETY: `already..end` lies within the held part of the mapping, which is writable and
        // lives as long as `self`. Only this process writes there, and only its sender does; the
        // supervisor reads once this process is dead.
        unsafe {
            self.map
                .as_mut_ptr()
                .add(JOURNAL + already)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
        };
        // At most JOURNAL_CAPACITY.
        self.journal_length().store(end as u32, Ordering::Release);
        true
    }

    /// The worker: what was held is written.
    pub fn journal_clear(&self) {
        self.journal_length().store(0, Ordering::Release);
    }

    /// The supervisor, when the worker is dead: what it still held.
    pub fn journal(&self) -> Vec<u8> {
        let length = (self.journal_length().load(Ordering::Acquire) as usize).min(JOURNAL_CAPACITY);
        // Byte by byte as atomics: a process that the worker left behind may still have the memory.
        // SAFETY: the held part is JOURNAL_CAPACITY bytes of the mapping, which lives as long as
        // `self`.
        let byte =
            |index: usize| unsafe { &*self.map.as_ptr().add(JOURNAL + index).cast::<AtomicU8>() };
        (0..length).map(|index| byte(index).load(Ordering::Relaxed)).collect()
    }

    fn journal_length(&self) -> &AtomicU32 {
        // SAFETY: as for the claim word; the offset is a multiple of four.
        unsafe { &*self.map.as_ptr().add(JOURNAL_LENGTH).cast::<AtomicU32>() }
    }
}

/// To hand the page to a worker. The descriptor is close-on-exec.
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

    /// Together they fix the size for ever.
    const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

    pub(super) fn create(size: usize) -> Option<OwnedFd> {
        let size = size as u64;
        // To exceed it raises SIGXFSZ, which ends the process.
        if getrlimit(Resource::Fsize).current.is_some_and(|most| most < size) {
            return None;
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create(c"bulkhead-page", flags).ok()?;
        rustix::fs::ftruncate(&fd, size).ok()?;
        rustix::fs::fcntl_add_seals(&fd, SEALS).ok()?;
        Some(fd)
    }

    /// Of a memory file whose size is fixed for ever.
    pub(super) fn size_of_sealed(fd: BorrowedFd<'_>) -> Option<usize> {
        // Only memory files have seals at all, so this also refuses sockets, terminals and ordinary
        // files.
        rustix::fs::fcntl_get_seals(fd).ok().filter(|seals| seals.contains(SEALS))?;
        usize::try_from(rustix::fs::fstat(fd).ok()?.st_size).ok()
    }

    /// Has memory behind a part of the file.
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
            "a length that makes no sense harms nobody"
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
        // It could not be mapped for writing.
        assert!(
            SharedPage::open(memory(PAGE_SIZE as u64, sealed | SealFlags::WRITE).as_fd()).is_none()
        );
    }
}
