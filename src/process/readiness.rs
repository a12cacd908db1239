//! Descriptors that the runtime watches.

#![expect(
    unsafe_code,
    reason = "tokio leaves it to the caller to know that a descriptor stays what it is"
)]

use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::errno::CallError;

/// What the runtime asks the kernel by.
const CALL: &str = if cfg!(target_os = "linux") { "epoll_ctl" } else { "kevent" };

/// Watches `fd`. To be called inside the runtime; fails where the kernel has no room for one more.
pub fn watch(fd: OwnedFd, interest: Interest) -> Result<AsyncFd<OwnedFd>, CallError> {
    // SAFETY: an OwnedFd is open, gives the same number every time, and is moved into the AsyncFd,
    // which is the only one to close it.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    watched.map_err(|error| CallError::of(CALL)(error.into_parts().1))
}
