//! Reads one worker's frames from the bytes of its channel. A reader knows no descriptor and no
//! clock, so a test can play the worker byte by byte.

use crate::pool::ids::{AttemptId, Micros, WorkerKey};
use crate::supervisor::driver::Driver;
use crate::supervisor::output::Tail;
use crate::wire::{Decoder, Up, WireError, up};

/// One worker's stream.
#[derive(Debug)]
pub struct Reader {
    worker: WorkerKey,
    decoder: Decoder,
    /// Nothing more is read: the stream has ended, or the worker broke the protocol.
    closed: bool,
    progress: StallCheck,
    /// The texts of `log` frames that were not taken yet.
    log: Tail,
}

/// The room (bytes) for each read of a channel.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// The progress of a partial frame.
#[derive(Debug, Default)]
struct StallCheck {
    frames: u64,
    bytes: u64,
    /// `frames` and `bytes` at the last check.
    seen: (u64, u64),
    /// Checks in a row that found the same frame without progress.
    stalled: u32,
}

/// Checks in a row that may find a frame stalled. The next one ends the worker: with one check
/// every five seconds, after half a minute.
const MAX_STALLED_CHECKS: u32 = 6;
/// Bytes by which a partial frame must grow between two checks: a thousandth of what a slow machine
/// copies.
const MIN_PROGRESS_BYTES: u64 = 64 * 1024;
/// The beginnings of an outcome's frame, up to the id.
const OUTCOMES: [&[u8]; 2] = [up::RESULT, up::ERROR];

impl Reader {
    /// Makes a reader. `max_message` is as in [`Decoder::new`].
    pub fn new(worker: WorkerKey, max_message: usize) -> Self {
        Self {
            worker,
            decoder: Decoder::new(max_message),
            closed: false,
            progress: StallCheck::default(),
            log: Tail::default(),
        }
    }

    /// Returns whether nothing more is read.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Stops reading.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Returns whether a frame has begun and is not complete.
    pub fn has_partial(&self) -> bool {
        self.decoder.has_partial()
    }

    /// Returns whether nothing is left to do before the next read: no frame is partial, the stream
    /// goes on, and there is no text for [`Self::log`].
    pub fn is_at_rest(&self) -> bool {
        !self.closed && !self.has_partial() && self.log.is_empty()
    }

    /// Returns the texts of `log` frames since the last call, for crash reports. The caller empties
    /// it.
    pub fn log(&mut self) -> &mut Tail {
        &mut self.log
    }

    /// Returns whether the stream ended within an outcome that the worker still owes, as `owes`
    /// tells. The journal may have given an outcome whose frame was cut off.
    pub fn ends_in_outcome(&self, owes: impl FnOnce(AttemptId) -> bool) -> bool {
        self.has_partial() && outcome(self.decoder.tail()).is_none_or(owes)
    }

    /// Returns the buffer for the next read; see [`Decoder::buffer`].
    pub fn buffer(&mut self, min: usize) -> &mut [u8] {
        self.decoder.buffer(min)
    }

    /// `n` bytes were read into the beginning of the last [`Self::buffer`]: takes in all frames
    /// that are complete now, and returns their number. What follows a violation means nothing,
    /// however well it looks.
    pub fn on_bytes(&mut self, n: usize, now: Micros, driver: &mut Driver) -> usize {
        let mut frames = 0;
        self.decoder.filled(n);
        self.progress.bytes += n as u64;
        while !self.closed {
            match self.decoder.next() {
                Ok(Some(frame)) => {
                    frames += 1;
                    if let Up::Log { text } = &frame.envelope {
                        self.log.push(text.as_bytes());
                    }
                    driver.receive(now, self.worker, &frame);
                    self.closed = driver.has_violated(self.worker);
                }
                Ok(None) => break,
                Err(error) => {
                    self.closed = true;
                    driver.violated(now, self.worker, error);
                }
            }
        }
        self.progress.frames += frames as u64;
        frames
    }

    /// Checks whether a partial frame stalls, and returns an error once that is certain. Call it
    /// every five seconds in which the stream is read and [`Self::has_partial`].
    ///
    /// Checks are counted and no time is measured, so that a suspension of this process ends no
    /// worker.
    pub fn check_stalled(&mut self) -> Option<WireError> {
        self.progress.check_stalled().then(|| WireError::unfinished(self.decoder.tail()))
    }
}

impl StallCheck {
    fn check_stalled(&mut self) -> bool {
        let is_stalled =
            self.frames == self.seen.0 && self.bytes - self.seen.1 < MIN_PROGRESS_BYTES;
        self.seen = (self.frames, self.bytes);
        self.stalled = if is_stalled { self.stalled + 1 } else { 0 };
        self.stalled > MAX_STALLED_CHECKS
    }
}

/// Returns the attempt whose outcome a line begins, if bulkhead's own worker writes such a line.
fn outcome(line: &[u8]) -> Option<AttemptId> {
    let rest = OUTCOMES.iter().find_map(|start| line.strip_prefix(*start))?;
    let (digits, _) = rest.split_at(rest.iter().position(|byte| !byte.is_ascii_digit())?);
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Takes in the journal of a dead worker. Reading stops at the first malformed frame, without an
/// error.
pub fn read_journal(journal: &[u8], worker: WorkerKey, now: Micros, driver: &mut Driver) {
    let mut decoder = Decoder::new(driver.max_message_size());
    if journal.is_empty() {
        return;
    }
    decoder.buffer(journal.len())[..journal.len()].copy_from_slice(journal);
    decoder.filled(journal.len());
    while let Ok(Some(frame)) = decoder.next() {
        driver.receive_journaled(now, worker, &frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(mut step: impl FnMut(&mut StallCheck)) -> Option<u32> {
        let mut progress = StallCheck::default();
        (1..100).find(|_| {
            step(&mut progress);
            progress.check_stalled()
        })
    }

    // [E15]
    #[test]
    fn a_frame_that_does_not_get_on_is_found_out_after_half_a_minute_of_listening() {
        assert_eq!(checks(|_| ()), Some(7));
        assert_eq!(checks(|progress| progress.bytes += 5), Some(7));
    }

    #[test]
    fn the_task_of_an_outcome_that_was_cut_off_is_known_once_its_id_is_complete() {
        assert_eq!(outcome(b"{\"type\":\"result\",\"id\":17,\"elapsed\":3"), Some(17));
        assert_eq!(outcome(b"{\"type\":\"error\",\"id\":8,"), Some(8));
        for unknown in [
            "",
            "{\"type\":\"result\",\"id\":1",
            "{\"type\":\"message\",\"message\":{\"id\":1,",
            "{\"bytes\":[3],",
        ] {
            assert_eq!(outcome(unknown.as_bytes()), None, "{unknown}");
        }
    }

    #[test]
    fn a_frame_that_gets_on_or_is_another_one_each_time_is_not() {
        assert_eq!(checks(|progress| progress.bytes += MIN_PROGRESS_BYTES), None);
        assert_eq!(checks(|progress| progress.frames += 1), None);
        let mut checked = 0;
        let now_and_then = |progress: &mut StallCheck| {
            checked += 1;
            progress.bytes += if checked % 6 == 0 { MIN_PROGRESS_BYTES } else { 1 };
        };
        assert_eq!(checks(now_and_then), None);
    }
}
