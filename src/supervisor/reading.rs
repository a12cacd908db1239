//! The reading of one worker's channel, as the worker's task sees it: the task has the reader, or
//! has lent it to JavaScript's thread (see [`crate::supervisor::lead`]).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::{Instant, sleep};

use crate::pool::ids::Micros;
use crate::process::readiness::{SharedWatch, watch_shared};
use crate::supervisor::link;
use crate::supervisor::reader::{READ_BYTES, Reader};

/// The time after which a worker's task takes back the reader of a worker that JavaScript's thread
/// has not read. A reply may wait that long, once, if that thread is blocked.
const TICK: Duration = Duration::from_millis(2);
/// The most frames in a lone read. More show that work is plentiful.
const FEW_FRAMES: usize = 2;
/// The pause between two reads of a channel that cannot be watched.
const UNWATCHED_PAUSE: Duration = Duration::from_millis(1);

/// Who reads the channel.
pub(super) enum Reading {
    /// The worker's task. `watch`: `None` if the kernel had no room for one.
    Own { reader: Box<Reader>, watch: Option<SharedWatch> },
    /// JavaScript's thread. `check_at`: the time at which the task checks that it does. `reads`:
    /// how often that thread had read at the last check.
    Lent { check_at: Instant, reads: u64 },
}

impl Reading {
    /// Reads by the task, which watches the channel from now on.
    pub(super) fn own(reader: Box<Reader>, channel: &Arc<OwnedFd>) -> Self {
        // Without a watch the task reads now and then.
        let watch = watch_shared(Arc::clone(channel), Interest::READABLE).ok();
        Self::Own { reader, watch }
    }

    /// Lends the reader by `lend`, which gives it back if that fails.
    pub(super) fn lend(&mut self, lend: impl FnOnce(Box<Reader>) -> Result<(), Box<Reader>>) {
        let lent = Self::Lent { check_at: Instant::now() + TICK, reads: 0 };
        if let Self::Own { reader, watch } = std::mem::replace(self, lent)
            && let Err(reader) = lend(reader)
        {
            *self = Self::Own { reader, watch };
        }
    }

    /// Returns the reader, if the task has it.
    pub(super) fn reader(&mut self) -> Option<&mut Reader> {
        match self {
            Self::Own { reader, .. } => Some(reader),
            Self::Lent { .. } => None,
        }
    }

    /// Returns whether a partial frame is being read by the task.
    pub(super) fn has_partial(&self) -> bool {
        matches!(self, Self::Own { reader, .. } if reader.has_partial())
    }

    /// Returns whether the task has the reader, and the stream goes on.
    pub(super) fn is_listening(&self) -> bool {
        matches!(self, Self::Own { reader, .. } if !reader.is_closed())
    }

    pub(super) fn is_lent(&self) -> bool {
        matches!(self, Self::Lent { .. })
    }

    /// Returns when a read of the task may succeed.
    pub(super) async fn readable(&self) {
        match self {
            Self::Own { watch: Some(watch), .. } => {
                // An error means that the runtime is shutting down, which it never does.
                let _ = watch.readable().await.map(|mut guard| guard.retain_ready());
            }
            Self::Own { watch: None, .. } => sleep(UNWATCHED_PAUSE).await,
            Self::Lent { .. } => std::future::pending().await,
        }
    }

    /// Reads the bytes that are there, as [`link::receive`] does. `None`: the reader is lent.
    pub(super) fn receive(&mut self, channel: &OwnedFd) -> Option<io::Result<(usize, bool)>> {
        let Self::Own { reader, watch } = self else { return None };
        let received = link::receive(channel, reader.buffer(READ_BYTES));
        let is_empty = match &received {
            // Another read would tell the same, at the cost of a system call.
            Ok((_, all)) => *all,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if is_empty && let Some(watch) = watch {
            // This only tells the runtime that there is nothing left to read.
            let _: io::Result<()> =
                watch.try_io(Interest::READABLE, |_| Err(io::ErrorKind::WouldBlock.into()));
        }
        Some(received)
    }

    /// Returns the time of the next check of a lent reader.
    pub(super) fn check_at(&self) -> Option<Instant> {
        match self {
            Self::Own { .. } => None,
            Self::Lent { check_at, .. } => Some(*check_at),
        }
    }

    /// Takes in how often JavaScript's thread has read. Returns whether the loan goes on, because
    /// that thread has read since the last check.
    pub(super) fn check(&mut self, now: u64) -> bool {
        let Self::Lent { check_at, reads } = self else { return false };
        let before = std::mem::replace(reads, now);
        *check_at = Instant::now() + TICK;
        now != before
    }
}

/// Decides when the task lends its reader.
#[derive(Debug, Default)]
pub(super) struct LoneReads {
    /// The time of the last read, if it was a lone one.
    last: Option<Micros>,
}

impl LoneReads {
    /// Takes in a read at `now` of this many frames. Returns whether it was the second lone read
    /// within a tick. A worker that replies more seldom would be taken back before its next reply.
    ///
    /// `all`: the read has left nothing behind. `awaited`: JavaScript's thread had taken
    /// everything. If that thread is blocked, the first reply of that time still waits in the
    /// outbox at the second, so a reader is lent in vain at most once.
    pub(super) fn is_second(
        &mut self,
        now: Micros,
        frames: usize,
        all: bool,
        awaited: bool,
    ) -> bool {
        let is_lone = all && awaited && frames <= FEW_FRAMES;
        let last = std::mem::replace(&mut self.last, is_lone.then_some(now));
        let is_soon = |last: Micros| u128::from(now.saturating_sub(last)) <= TICK.as_micros();
        is_lone && last.is_some_and(is_soon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_lent_after_two_lone_reads_within_a_tick() {
        let mut reads = LoneReads::default();
        assert!(!reads.is_second(0, 1, true, true));
        assert!(reads.is_second(2_000, 2, true, true));
        assert!(!reads.is_second(4_001, 1, true, true), "too late");
        assert!(!reads.is_second(4_100, 3, true, true), "work is plentiful");
        assert!(!reads.is_second(4_200, 1, true, true), "the read before was not a lone one");
        assert!(!reads.is_second(4_300, 1, false, true), "there is more to read");
        assert!(!reads.is_second(4_400, 1, true, true));
        assert!(!reads.is_second(4_500, 1, true, false), "JavaScript has not taken the last one");
    }
}
