//! A set of descriptors that is a descriptor itself, by epoll.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::epoll;

use super::errno::CallError;

/// A set of descriptors. Its own descriptor is readable while one of them is, or has hung up.
#[derive(Debug)]
pub(crate) struct ReadySet(Arc<OwnedFd>);

impl ReadySet {
    /// Makes an empty set. `None`: this system has no such sets.
    pub(crate) fn create() -> Result<Option<Self>, CallError> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC);
        Ok(Some(Self(Arc::new(set.map_err(CallError::of("epoll_create1"))?))))
    }

    /// Returns the set's own descriptor.
    pub(crate) fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.0)
    }

    /// Adds a descriptor. Fails if the kernel has no room for one more.
    pub(crate) fn add(&self, fd: &OwnedFd) -> Result<(), CallError> {
        let data = epoll::EventData::new_u64(0);
        epoll::add(&*self.0, fd, data, epoll::EventFlags::IN).map_err(CallError::of("epoll_ctl"))
    }

    /// Removes a descriptor.
    pub(crate) fn remove(&self, fd: &OwnedFd) {
        // A descriptor that is open and in the set can always be removed.
        let _ = epoll::delete(&*self.0, fd);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_readable(set: &ReadySet) -> bool {
        let fd = set.descriptor();
        let mut fds = [PollFd::new(&*fd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("a poll") == 1
    }

    #[test]
    fn a_set_is_readable_while_one_of_its_descriptors_is_and_not_after_its_removal() {
        let set = ReadySet::create().expect("there is room").expect("Linux has epoll");
        let (mut theirs, ours) = UnixStream::pair().expect("a socket pair");
        let mut reads = ours.try_clone().expect("a second descriptor");
        let ours: OwnedFd = ours.into();
        theirs.write_all(b"1").expect("a write");
        set.add(&ours).expect("there is room");
        assert!(is_readable(&set), "bytes that came before count");
        reads.read_exact(&mut [0]).expect("a read");
        assert!(!is_readable(&set));
        theirs.write_all(b"2").expect("a write");
        assert!(is_readable(&set));
        set.remove(&ours);
        assert!(!is_readable(&set));
        set.add(&ours).expect("a descriptor comes back");
        assert!(is_readable(&set));
        reads.read_exact(&mut [0]).expect("a read");
        drop(theirs);
        assert!(is_readable(&set), "the other end has hung up");
    }
}
