//! The replies of workers, as the rows that JavaScript reads.

use crate::buffer_pool::Bytes;
use crate::pool::ids::Ticket;
use crate::pool::messages::RunInfo;
use crate::supervisor::report::millis;
use crate::supervisor::rows::{Kind, Row, flags};
use crate::wire::{Encoding, Payload, Up};

/// A reply that is being handled.
pub(super) struct Reply<'a> {
    pub(super) kind: Kind,
    pub(super) pid: i32,
    pub(super) flags: u32,
    pub(super) value: &'a [u8],
    pub(super) blobs: Vec<Bytes>,
}

pub(super) fn task_row(kind: Kind, ticket: Ticket, flags: u32, run: &RunInfo) -> Row {
    Row {
        kind,
        ticket,
        flags,
        worker_id: run.worker.worker_id(),
        pid: 0,
        attempt: run.attempt,
        wait: millis(run.wait),
        run: millis(run.run),
        due: 0,
    }
}

pub(super) fn uses_v8(said: &Up<'_>) -> bool {
    match said {
        Up::Result { payload, .. }
        | Up::Message { payload }
        | Up::Progress { payload, .. }
        | Up::Chunk { payload, .. } => payload.encoding == Encoding::V8,
        Up::Ready { .. } | Up::Error { .. } | Up::Log { .. } | Up::Fail { .. } => false,
    }
}

/// A user's value as a row carries it. `scratch` holds the value where it has to be put together.
pub(super) fn payload_reply<'a>(
    kind: Kind,
    pid: i32,
    payload: &Payload<'a>,
    blobs: Vec<Bytes>,
    scratch: &'a mut Vec<u8>,
) -> Reply<'a> {
    let text = payload.json.map(|json| json.get().as_bytes());
    match (payload.encoding, payload.binary, text) {
        (Encoding::V8, _, Some(value)) if blobs.is_empty() => {
            Reply { kind, pid, flags: flags::V8, value, blobs }
        }
        (Encoding::V8, _, _) => Reply { kind, pid, flags: flags::V8, value: b"0", blobs },
        (Encoding::Json, Some(binary), Some(text)) => {
            scratch.extend_from_slice(b"{\"value\":");
            scratch.extend_from_slice(text);
            scratch.extend_from_slice(b",\"binary\":");
            scratch.extend_from_slice(binary.get().as_bytes());
            scratch.push(b'}');
            Reply { kind, pid, flags: flags::BINARY, value: scratch, blobs }
        }
        (Encoding::Json, _, Some(value)) => Reply { kind, pid, flags: 0, value, blobs: Vec::new() },
        (Encoding::Json, _, None) => {
            Reply { kind, pid, flags: flags::UNDEFINED, value: b"0", blobs: Vec::new() }
        }
    }
}
