//! The descriptors between the supervisor and a worker. Both ends are close-on-exec from the first
//! moment. Otherwise a child that other code starts at the same time would hold the channel open,
//! and the supervisor would never see its end.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::sockopt;

use super::errno::CallError;

/// The buffer size (bytes) to request for each direction. The kernel grants at most its own limit
/// (`net.core.wmem_max`).
const BUFFER: usize = 1024 * 1024;

/// Makes an unnamed socket pair: the supervisor's end, which never blocks, and the worker's end,
/// which does.
pub fn channel_pair() -> Result<(OwnedFd, OwnedFd), CallError> {
    let (ours, theirs) = UnixStream::pair().map_err(CallError::of("socketpair"))?;
    ours.set_nonblocking(true).map_err(CallError::of("ioctl"))?;
    for end in [ours.as_fd(), theirs.as_fd()] {
        // A smaller buffer only costs some more system calls.
        let _ = sockopt::set_socket_send_buffer_size(end, BUFFER);
        let _ = sockopt::set_socket_recv_buffer_size(end, BUFFER);
        #[cfg(target_vendor = "apple")]
        sockopt::set_socket_nosigpipe(end, true).map_err(CallError::of("setsockopt"))?;
    }
    Ok((ours.into(), theirs.into()))
}

/// Makes a pipe for one of a worker's standard streams: the supervisor's end to read from, which
/// never blocks, and the worker's end to write to, which does.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), CallError> {
    let (ours, theirs) = std::io::pipe().map_err(CallError::of("pipe"))?;
    // The two ends are two open files, so the worker's end still blocks.
    rustix::io::ioctl_fionbio(&ours, true).map_err(CallError::of("ioctl"))?;
    Ok((ours.into(), theirs.into()))
}
