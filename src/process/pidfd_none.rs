//! The stand-in for pidfds on systems without them.

use std::convert::Infallible;
use std::io;

use rustix::process::{Pid, Signal};

use super::errno::CallError;

/// A handle that never exists here.
#[derive(Clone, Debug)]
pub(super) struct PidFd(Infallible);

/// The result of a request for a pidfd, here always `Unsupported`.
#[derive(Debug)]
#[allow(dead_code, reason = "the variants are those of the real one")]
pub(super) enum Opened {
    Handle(PidFd),
    Gone,
    Unsupported,
}

impl PidFd {
    #[expect(clippy::unnecessary_wraps, reason = "the real one can fail")]
    pub(super) fn open(_: Pid) -> Result<Opened, CallError> {
        Ok(Opened::Unsupported)
    }

    #[expect(clippy::unused_async, reason = "the real one waits")]
    pub(super) async fn exited(&self) {
        match self.0 {}
    }

    pub(super) fn signal(&self, _: Signal) -> io::Result<()> {
        match self.0 {}
    }
}
