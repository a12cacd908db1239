//! The numbers that JavaScript and Rust must agree on. JavaScript reads them when it loads.
//!
//! Each has one definition: here, or where the Rust code needs it. The members carry the names that
//! `lib/` uses, and `native.d.cts` declares them, so that `npm run lint` finds a missing one.

use napi_derive::napi;

use crate::shm::ring;
use crate::supervisor::rows::{self, Kind, Row, flags};
use crate::wire::PROTOCOL_VERSION;
use crate::wire::up::ResultKind;

/// The length (UTF-16 units) from which on a string travels as raw bytes. Such a string is at least
/// as large as the smallest raw bytes that go through shared memory.
#[napi]
pub const LONG_STRING: u32 = ring::FROM as u32;

/// The format of the rows that `drain` gives.
#[napi(object)]
pub struct RowConstants {
    /// The number of numbers in a row.
    #[napi(js_name = "FIELDS")]
    pub fields: u32,
    /// The most rows in a batch.
    #[napi(js_name = "ROWS")]
    pub rows: u32,
    #[napi(js_name = "KIND")]
    pub kind: RowKinds,
    #[napi(js_name = "FLAG")]
    pub flag: RowFlags,
}

/// The kinds of rows.
#[napi(object)]
pub struct RowKinds {
    /// The value that a handler returned. Ends the task.
    #[napi(js_name = "RESULT")]
    pub result: u32,
    /// The error that a handler threw. Ends the task.
    #[napi(js_name = "TASK_ERROR")]
    pub task_error: u32,
    /// A failure object. Ends the task.
    #[napi(js_name = "TASK_FAILED")]
    pub task_failed: u32,
    #[napi(js_name = "MESSAGE")]
    pub message: u32,
    #[napi(js_name = "PROGRESS")]
    pub progress: u32,
    #[napi(js_name = "EVENT")]
    pub event: u32,
    #[napi(js_name = "STDOUT")]
    pub stdout: u32,
    #[napi(js_name = "STDERR")]
    pub stderr: u32,
    /// One of several values of a task.
    #[napi(js_name = "CHUNK")]
    pub chunk: u32,
}

/// The flags that tell how to read a row's value.
#[napi(object)]
pub struct RowFlags {
    /// The value is `undefined`.
    #[napi(js_name = "UNDEFINED")]
    pub undefined: u32,
    /// The value is the whole envelope of a result.
    #[napi(js_name = "ENVELOPE")]
    pub envelope: u32,
    /// The value's JSON is the next of the separate strings, because it is too long to be parsed
    /// with others.
    #[napi(js_name = "APART")]
    pub apart: u32,
    /// The value is in V8's format: a blob, or text if the row has none.
    #[napi(js_name = "V8")]
    pub v8: u32,
    /// The value is `{ value, binary }`, with one blob for each entry of `binary`.
    #[napi(js_name = "BINARY")]
    pub binary: u32,
    /// The multiples of this flag: the size (MiB) that the value's text may take in the heap, if
    /// that is worth a check.
    #[napi(js_name = "HEAP")]
    pub heap: u32,
}

/// Returns the constants of `drain`.
#[napi]
pub fn row_constants() -> RowConstants {
    RowConstants {
        fields: Row::WIDTH as u32,
        rows: rows::BATCH_ROWS as u32,
        kind: RowKinds {
            result: Kind::Result as u32,
            task_error: Kind::TaskError as u32,
            task_failed: Kind::TaskFailed as u32,
            message: Kind::Message as u32,
            progress: Kind::Progress as u32,
            event: Kind::Event as u32,
            stdout: Kind::Stdout as u32,
            stderr: Kind::Stderr as u32,
            chunk: Kind::Chunk as u32,
        },
        flag: RowFlags {
            undefined: flags::UNDEFINED,
            envelope: flags::ENVELOPE,
            apart: flags::APART,
            v8: flags::V8,
            binary: flags::BINARY,
            heap: 1 << flags::HEAP,
        },
    }
}

/// The numbers that a worker's JavaScript shares with its port.
#[napi(object)]
pub struct PortConstants {
    /// The version of the protocol.
    #[napi(js_name = "VERSION")]
    pub version: u32,
    /// The most frames that `take` returns at a time.
    #[napi(js_name = "FRAMES")]
    pub frames: u32,
    #[napi(js_name = "RESULT")]
    pub result: ResultKinds,
}

/// The kinds of results that `reply` takes.
#[napi(object)]
pub struct ResultKinds {
    #[napi(js_name = "VALUE")]
    pub value: u32,
    /// A whole `{ taskId, result, processedBy }`.
    #[napi(js_name = "ENVELOPE")]
    pub envelope: u32,
    #[napi(js_name = "UNDEFINED")]
    pub undefined: u32,
    /// Text in V8's format.
    #[napi(js_name = "V8")]
    pub v8: u32,
    /// Added to the kind while user code still runs, so that the reply is written within a
    /// millisecond.
    #[napi(js_name = "DURING_USER_CODE")]
    pub during_user_code: u32,
}

/// The most frames that `WorkerPort::take` returns at a time.
pub(super) const BATCH_FRAMES: usize = 64;

/// The number behind [`ResultKinds::during_user_code`].
pub(super) const DURING_USER_CODE: u32 = 4;

/// Returns the constants of [`WorkerPort`](super::worker_port::WorkerPort).
#[napi]
pub fn port_constants() -> PortConstants {
    PortConstants {
        version: PROTOCOL_VERSION,
        frames: BATCH_FRAMES as u32,
        result: ResultKinds {
            value: ResultKind::Value as u32,
            envelope: ResultKind::Envelope as u32,
            undefined: ResultKind::Undefined as u32,
            v8: ResultKind::V8 as u32,
            during_user_code: DURING_USER_CODE,
        },
    }
}
