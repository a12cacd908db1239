//! Descriptors that the runtime watches.

#![expect(
    unsafe_code,
    reason = "tokio leaves it to the caller to know that a descriptor stays what it is"
)]

use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::errno::CallError;

/// The system call by which the runtime registers a descriptor.
const CALL: &str = if cfg!(target_os = "linux") { "epoll_ctl" } else { "kevent" };

/// Watches `fd`, inside the runtime. Fails if the kernel has no room for one more.
pub fn watch(fd: OwnedFd, interest: Interest) -> Result<AsyncFd<OwnedFd>, CallError> {
    // SAFETY: an OwnedFd is open and always gives the same number. It moves into the AsyncFd, which
    // alone closes it.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    watched.map_err(|error| CallError::of(CALL)(error.into_parts().1))
}
