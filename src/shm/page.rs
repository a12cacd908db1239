//! Memory shared with one worker over a descriptor: no name in any file system, and a size that nobody can change.
//!
//! ```text
//!      0   claim word           (u64)
//!     64   length of what is held (u32)
//!   4096   what is held: whole lines that the worker has not written to its channel yet
//! ```
//!
//! The kernel keeps it whatever happens to the worker, which is the point: what is in here survives SIGKILL.
//!
//! Memory that could shrink would be a weapon: touching what is cut off raises SIGBUS in whoever touches it. So its size
//! is sealed before it is shared, and a worker takes no memory that is not. Where the system has no sealed memory
//! (anything but Linux), there is none, and a worker gets its tasks one by one.

#![expect(unsafe_code, reason = "parts of the mapping become atomics, and bytes are copied into it")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use memmap2::MmapRaw;

use super::claim::ClaimWord;

/// Where the length of what is held is: not in the claim word's cache line.
const HELD_LENGTH: usize = 64;
/// Where what is held begins.
const HELD: usize = 4096;
/// What can be held, in bytes.
pub const HELD_MOST: usize = 64 * 1024;
/// Of all of it, in bytes.
pub const PAGE_SIZE: usize = HELD + HELD_MOST;

/// The page of one worker, mapped into this process.
#[derive(Debug)]
pub struct SharedPage {
    map: MmapRaw,
    fd: OwnedFd,
}

impl SharedPage {
    /// A new page, all zeros. `None` where there can be none: the caller does without.
    pub fn create() -> Option<Self> {
        system::create().and_then(Self::map)
    }

    /// The page behind `fd`, which somebody else has made. `None` if it is not such a page.
    pub fn open(fd: BorrowedFd<'_>) -> Option<Self> {
        if !system::is_sealed_page(fd) {
            return None;
        }
        fd.try_clone_to_owned().ok().and_then(Self::map)
    }

    fn map(fd: OwnedFd) -> Option<Self> {
        let map = memmap2::MmapOptions::new().len(PAGE_SIZE).map_raw(&fd).ok()?;
        Some(Self { map, fd })
    }

    /// The worker's claim word.
    pub fn claim_word(&self) -> &ClaimWord {
        // SAFETY: the mapping is PAGE_SIZE bytes, starts at a page boundary, is readable and writable, and lives as long
        // as `self`. Its file cannot shrink, because both ways to get a SharedPage make sure of the seals. ClaimWord is a
        // transparent AtomicU64, for which every bit pattern is valid, and this process never touches these bytes in
        // another way. (What the other process does to them can change the value, and nothing else.)
        unsafe { &*self.map.as_ptr().cast::<ClaimWord>() }
    }

    /// The worker: puts `bytes` at the end of the `already` that are held, so that they survive it. Whether there was
    /// room.
    pub fn hold(&self, already: usize, bytes: &[u8]) -> bool {
        let Some(end) = already.checked_add(bytes.len()).filter(|end| *end <= HELD_MOST) else { return false };
        // SAFETY: `already..end` lies within the held part of the mapping, which is writable and lives as long as `self`.
        // Only this process writes there, and only its sender does; the supervisor reads once this process is dead.
        unsafe { self.map.as_mut_ptr().add(HELD + already).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        // At most HELD_MOST.
        self.held_length().store(end as u32, Ordering::Release);
        true
    }

    /// The worker: what was held is written.
    pub fn release(&self) {
        self.held_length().store(0, Ordering::Release);
    }

    /// The supervisor, when the worker is dead: what it still held.
    pub fn held(&self) -> Vec<u8> {
        let length = (self.held_length().load(Ordering::Acquire) as usize).min(HELD_MOST);
        // Byte by byte as atomics: a process that the worker left behind may still have the memory.
        // SAFETY: the held part is HELD_MOST bytes of the mapping, which lives as long as `self`.
        let byte = |index: usize| unsafe { &*self.map.as_ptr().add(HELD + index).cast::<AtomicU8>() };
        (0..length).map(|index| byte(index).load(Ordering::Relaxed)).collect()
    }

    fn held_length(&self) -> &AtomicU32 {
        // SAFETY: as for the claim word; the offset is a multiple of four.
        unsafe { &*self.map.as_ptr().add(HELD_LENGTH).cast::<AtomicU32>() }
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

    use rustix::fs::{MemfdFlags, SealFlags};

    use super::PAGE_SIZE;

    /// Together they fix the size for ever.
    const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

    pub(super) fn create() -> Option<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create(c"bulkhead-page", flags).ok()?;
        rustix::fs::ftruncate(&fd, PAGE_SIZE as u64).ok()?;
        rustix::fs::fcntl_add_seals(&fd, SEALS).ok()?;
        Some(fd)
    }

    pub(super) fn is_sealed_page(fd: BorrowedFd<'_>) -> bool {
        // Only memory files have seals at all, so this also refuses sockets, terminals and ordinary files.
        rustix::fs::fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SEALS))
            && rustix::fs::fstat(fd).is_ok_and(|stat| u64::try_from(stat.st_size) == Ok(PAGE_SIZE as u64))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::os::fd::{BorrowedFd, OwnedFd};

    pub(super) fn create() -> Option<OwnedFd> {
        None
    }

    pub(super) fn is_sealed_page(_: BorrowedFd<'_>) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::fs::{MemfdFlags, SealFlags};

    use super::*;

    #[test]
    fn what_is_held_is_seen_by_the_other_side_until_it_is_released() {
        let ours = SharedPage::create().unwrap();
        let theirs = SharedPage::open(ours.as_fd()).unwrap();
        assert!(ours.held().is_empty());
        assert!(theirs.hold(0, b"one\n") && theirs.hold(4, b"two\n"));
        assert_eq!(ours.held(), b"one\ntwo\n");
        assert!(!theirs.hold(8, &[0; HELD_MOST]), "there is no room for that");
        assert_eq!(ours.held(), b"one\ntwo\n");
        theirs.release();
        assert!(ours.held().is_empty());
        theirs.held_length().store(u32::MAX, Ordering::Relaxed);
        assert_eq!(ours.held().len(), HELD_MOST, "a length that makes no sense harms nobody");
    }

    #[test]
    fn both_sides_see_one_word() {
        let ours = SharedPage::create().unwrap();
        let theirs = SharedPage::open(ours.as_fd()).unwrap();
        assert!(theirs.claim_word().claim(0));
        assert_eq!(ours.claim_word().take_back(0), Ok((1, 1)));
        assert!(!theirs.claim_word().claim(0));
        drop(ours);
        assert_eq!(theirs.claim_word().load(), (1, 1));
    }

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
            let fd = rustix::fs::memfd_create(c"test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
            rustix::fs::ftruncate(&fd, size).unwrap();
            rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
            fd
        };
        let sealed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        assert!(SharedPage::open(memory(PAGE_SIZE as u64, SealFlags::empty()).as_fd()).is_none());
        assert!(SharedPage::open(memory(PAGE_SIZE as u64, SealFlags::SHRINK | SealFlags::SEAL).as_fd()).is_none());
        assert!(SharedPage::open(memory(100, sealed).as_fd()).is_none());
        assert!(SharedPage::open(memory(2 * PAGE_SIZE as u64, sealed).as_fd()).is_none());
        assert!(SharedPage::open(memory(PAGE_SIZE as u64, sealed).as_fd()).is_some());
        // It could not be mapped for writing.
        assert!(SharedPage::open(memory(PAGE_SIZE as u64, sealed | SealFlags::WRITE).as_fd()).is_none());
    }
}
