//! The descriptors that are open when a worker starts.

#![expect(
    unsafe_code,
    reason = "descriptors that were open before this program began have no owner yet"
)]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::process::spawn::{CHANNEL_FD, PAGE_FD};

/// Returns the worker's end of its channel, and the shared page if there is one. Both are
/// close-on-exec duplicates, because user code may close the originals, or read from them. Fails if
/// descriptor 3 is no socket: this process is no worker.
pub(crate) fn inherited() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    // SAFETY: the number only goes to the kernel, which reports it if nothing is open there.
    let channel = unsafe { BorrowedFd::borrow_raw(CHANNEL_FD) };
    rustix::net::sockopt::socket_type(channel)?;
    // SAFETY: as above.
    let page = unsafe { BorrowedFd::borrow_raw(PAGE_FD) };
    let page = rustix::io::fcntl_dupfd_cloexec(page, PAGE_FD + 1).ok();
    Ok((rustix::io::fcntl_dupfd_cloexec(channel, PAGE_FD + 1)?, page))
}
