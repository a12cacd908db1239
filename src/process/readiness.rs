//! Descriptors that the runtime watches.

#![expect(
    unsafe_code,
    reason = "tokio leaves it to the caller to know that a descriptor stays what it is"
)]

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::errno::CallError;

/// The system call by which the runtime registers a descriptor.
const CALL: &str = if cfg!(target_os = "linux") { "epoll_ctl" } else { "kevent" };

/// Watches `fd`, inside the runtime. Fails if the kernel has no room for one more.
pub(crate) fn watch(fd: OwnedFd, interest: Interest) -> Result<AsyncFd<OwnedFd>, CallError> {
    // SAFETY: the descriptor moves into the AsyncFd, which alone closes it.
    unsafe { register(fd, interest) }
}

/// Watches a descriptor that other code uses too, and leaves it open after the watch.
pub(crate) fn watch_shared(fd: Arc<OwnedFd>, interest: Interest) -> Result<SharedWatch, CallError> {
    // SAFETY: the descriptor stays open as long as the AsyncFd has its reference.
    unsafe { register(fd, interest) }
}

/// A watch of a descriptor that other code uses too.
pub(crate) type SharedWatch = AsyncFd<Arc<OwnedFd>>;

/// # Safety
///
/// `fd` is open until it is dropped.
unsafe fn register<T: AsRawFd>(fd: T, interest: Interest) -> Result<AsyncFd<T>, CallError> {
    // SAFETY: the caller keeps it open, and an OwnedFd always gives the same number.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    watched.map_err(|error| CallError::of(CALL)(error.into_parts().1))
}
