//! The descriptors between us and a worker. Both ends are close-on-exec from their first moment on:
//! a child that someone else starts at the same time would otherwise hold our channel open, and its
//! end would never be seen.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::sockopt;

use super::errno::CallError;

/// What we ask for in each direction. The kernel grants what its own limit allows
/// (`net.core.wmem_max`).
const BUFFER: usize = 1024 * 1024;

/// An unnamed socket pair: our end, which never blocks, and the worker's, which does.
pub fn channel_pair() -> Result<(OwnedFd, OwnedFd), CallError> {
    let (ours, theirs) = UnixStream::pair().map_err(CallError::of("socketpair"))?;
    ours.set_nonblocking(true).map_err(CallError::of("ioctl"))?;
    for end in [ours.as_fd(), theirs.as_fd()] {
        // A smaller buffer costs some system calls and nothing else.
        let _ = sockopt::set_socket_send_buffer_size(end, BUFFER);
        let _ = sockopt::set_socket_recv_buffer_size(end, BUFFER);
        #[cfg(target_vendor = "apple")]
        sockopt::set_socket_nosigpipe(end, true).map_err(CallError::of("setsockopt"))?;
    }
    Ok((ours.into(), theirs.into()))
}

/// A pipe for one of a worker's standard streams: our end to read from, which never blocks, and the
/// worker's to write to, which does.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), CallError> {
    let (ours, theirs) = std::io::pipe().map_err(CallError::of("pipe"))?;
    // The two ends are two open files: this leaves the worker's end as it is.
    rustix::io::ioctl_fionbio(&ours, true).map_err(CallError::of("ioctl"))?;
    Ok((ours.into(), theirs.into()))
}
