//! One page, shared with one worker over a descriptor: no name in any file system, and a size that nobody can change.
//!
//! A page that could shrink would be a weapon: touching what is cut off raises SIGBUS in whoever touches it. So its size
//! is sealed before it is shared, and a worker takes no page that is not. Where the system has no sealed memory (anything
//! but Linux), there is no page, and a worker gets its tasks one by one.

#![expect(unsafe_code, reason = "a word of the mapping becomes an atomic")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use memmap2::MmapRaw;

use super::claim::ClaimWord;

/// Of the page, in bytes. The claim word is at its beginning; the rest is zero and without meaning.
pub const PAGE_SIZE: usize = 4096;

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
        assert!(SharedPage::open(memory(4096, SealFlags::empty()).as_fd()).is_none());
        assert!(SharedPage::open(memory(4096, SealFlags::SHRINK | SealFlags::SEAL).as_fd()).is_none());
        assert!(SharedPage::open(memory(100, sealed).as_fd()).is_none());
        assert!(SharedPage::open(memory(8192, sealed).as_fd()).is_none());
        assert!(SharedPage::open(memory(4096, sealed).as_fd()).is_some());
        // It could not be mapped for writing.
        assert!(SharedPage::open(memory(4096, sealed | SealFlags::WRITE).as_fd()).is_none());
    }
}
