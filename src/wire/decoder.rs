//! Reads the frames of a worker, which the supervisor does not trust.

use super::stream::{self, Framer, Lines};
use super::up::{self, Up};
use crate::errors::WireError;

/// Cuts the bytes of a worker into frames, and reads their envelopes.
pub type Decoder = Framer<WorkerLines>;

/// One complete frame of a worker.
pub(crate) type Frame<'a> = stream::Frame<'a, Up<'a>>;

/// The lines of a worker: any JSON text that `up` accepts as a frame.
#[derive(Debug)]
pub enum WorkerLines {}

impl Lines for WorkerLines {
    type Meaning<'a> = Up<'a>;

    fn read<'a>(
        line: &'a [u8],
        lengths: &mut Vec<usize>,
    ) -> Result<(Up<'a>, Option<u64>), WireError> {
        up::parse(line, lengths)
    }
}

#[cfg(test)]
mod tests;
