//! Cuts the bytes of the supervisor into frames, in a worker, where JavaScript reads the lines.
//! Only `bytes` and `shared` are read here; the supervisor always writes them first, in this order.

use super::binary::Lengths;
use super::stream::{Framer, Lines};
use crate::errors::{WireError, reason};

/// Cuts the bytes of the supervisor into frames. A worker learns the limit only from the first
/// frame, and trusts its supervisor, so `usize::MAX` (no limit) is a good choice.
pub type LineSplitter = Framer<SupervisorLines>;

/// The lines of the supervisor, which the worker's JavaScript reads.
#[derive(Debug)]
pub enum SupervisorLines {}

impl Lines for SupervisorLines {
    type Meaning<'a> = ();

    fn read(line: &[u8], lengths: &mut Vec<usize>) -> Result<((), Option<u64>), WireError> {
        leading_lengths(line, lengths).map(|shared| ((), shared))
    }
}

/// Reads `bytes` if it is the first key of `line`, and `shared` if it is the second. Otherwise the
/// line has neither.
fn leading_lengths(line: &[u8], lengths: &mut Vec<usize>) -> Result<Option<u64>, WireError> {
    lengths.clear();
    let Some(list) = line.strip_prefix(b"{\"bytes\":").filter(|list| list.starts_with(b"[")) else {
        return Ok(None);
    };
    let mut values = serde_json::Deserializer::from_slice(list).into_iter::<Lengths>();
    match values.next() {
        Some(Ok(Lengths(found))) => *lengths = found,
        Some(Err(error)) => return Err(WireError::malformed(error, line)),
        None => return Err(WireError::malformed(reason::BYTES_TYPE, line)),
    }
    let Some(position) = list[values.byte_offset()..].strip_prefix(b",\"shared\":") else {
        return Ok(None);
    };
    match serde_json::Deserializer::from_slice(position).into_iter::<u64>().next() {
        Some(Ok(position)) => Ok(Some(position).filter(|_| !lengths.is_empty())),
        _ => Err(WireError::malformed(reason::SHARED_TYPE, line)),
    }
}
