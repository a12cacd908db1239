//! The stand-in for sets of descriptors on systems without epoll.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::errno::CallError;

/// A set that never exists here.
#[derive(Debug)]
pub(crate) struct ReadySet(Infallible);

impl ReadySet {
    #[expect(clippy::unnecessary_wraps, reason = "the real one can fail")]
    pub(crate) fn create() -> Result<Option<Self>, CallError> {
        Ok(None)
    }

    pub(crate) fn descriptor(&self) -> Arc<OwnedFd> {
        match self.0 {}
    }

    pub(crate) fn add(&self, _: &OwnedFd) -> Result<(), CallError> {
        match self.0 {}
    }

    pub(crate) fn remove(&self, _: &OwnedFd) {
        match self.0 {}
    }
}
