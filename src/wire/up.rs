//! Reads the envelopes of a worker's lines, without a look into the payload.
//!
//! A payload stays the text in which it arrived. That text is exactly one JSON value, so it can
//! stand between commas in a larger document: no hostile worker can reach beyond its own element.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::binary::{self, Lengths};
use super::json::{by_name, is_text, leading_integer, lossy_string, object, present};
use crate::errors::{WireError, excerpt, reason};

/// One line from a worker.
#[derive(Debug)]
pub enum Up<'a> {
    /// The worker has loaded its module and takes tasks.
    Ready {
        /// The worker's version of the protocol, which the caller checks.
        version: u32,
        /// The worker claims tasks in the shared page.
        page: bool,
        /// The worker reads large raw bytes from the page, and puts its own there.
        shares: bool,
    },
    /// A task has completed. `payload.json` is `None` for `undefined`, and `Some("null")` for
    /// `null`.
    Result {
        /// The attempt that this answers, unchecked.
        id: u64,
        /// The time in the handler (µs), by the worker's clock; 0: not told.
        elapsed: u64,
        /// The value is a whole `{taskId, result, processedBy}`.
        envelope: bool,
        /// The value that the handler returned.
        payload: Payload<'a>,
    },
    /// A task has failed.
    Error {
        /// The attempt that this answers, unchecked.
        id: u64,
        /// The time as in [`Up::Result`].
        elapsed: u64,
        /// A JSON object.
        error: &'a RawValue,
    },
    /// A message to the pool's listeners.
    Message {
        /// The message.
        payload: Payload<'a>,
    },
    /// A running task reports progress.
    Progress {
        /// The attempt that this belongs to, unchecked.
        id: u64,
        /// The reported value.
        payload: Payload<'a>,
    },
    /// A running task sends one of several values.
    Chunk {
        /// The attempt that this belongs to, unchecked.
        id: u64,
        /// The number of values before this one, if the worker tells it.
        index: Option<u64>,
        /// The value.
        payload: Payload<'a>,
    },
    /// Text for the worker's log tail. Lone surrogates are replaced.
    Log {
        /// The text, up to the limit of a line.
        text: Cow<'a, str>,
    },
    /// The worker cannot start.
    Fail {
        /// A JSON object.
        error: &'a RawValue,
        /// Another attempt cannot help.
        permanent: bool,
    },
}

/// A value that belongs to the user.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// Exactly one JSON value; `None`: the key is missing, which means `undefined`.
    pub json: Option<&'a RawValue>,
    /// `[[type, path], ...]` with one entry for each raw chunk of the frame; `None`: no chunks.
    /// Its shape is checked; the existence of the paths in the payload is not.
    pub binary: Option<&'a RawValue>,
    /// The encoding of the value.
    pub encoding: Encoding,
}

/// The encoding of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// JSON, with raw chunks in the places that `binary` names.
    Json,
    /// V8's format. With chunks, the first is the value, the others are bytes to which it refers by
    /// number, and `json` has no meaning. Without chunks, `json` is the value as text, in base64.
    V8,
}

impl<'de> Deserialize<'de> for Encoding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_name(deserializer, "an encoding", |name| match name {
            "json" => Some(Self::Json),
            "v8" => Some(Self::V8),
            _ => None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ready,
    Result,
    Error,
    Message,
    Progress,
    Chunk,
    Log,
    Fail,
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_name(deserializer, "a type of frame", |name| {
            Some(match name {
                "ready" => Self::Ready,
                "result" => Self::Result,
                "error" => Self::Error,
                "message" => Self::Message,
                "progress" => Self::Progress,
                "chunk" => Self::Chunk,
                "log" => Self::Log,
                "fail" => Self::Fail,
                _ => return None,
            })
        })
    }
}

/// Every key that a line of any kind can have. Unknown keys are skipped; a known key may come once.
#[derive(serde::Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    id: Option<u64>,
    index: Option<u64>,
    elapsed: Option<u64>,
    version: Option<u32>,
    page: Option<bool>,
    shares: Option<bool>,
    envelope: Option<bool>,
    permanent: Option<bool>,
    encoding: Option<Encoding>,
    #[serde(default)]
    bytes: Lengths,
    shared: Option<u64>,
    #[serde(borrow, default, deserialize_with = "present")]
    binary: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    message: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    text: Option<&'a RawValue>,
}

/// The content of a line, and the position of its raw bytes in the shared memory, if they are
/// there.
type Parsed<'a> = (Up<'a>, Option<u64>);

/// Reads `line` (without its newline) and puts the announced lengths into `lengths`, which it
/// empties first.
pub(super) fn parse<'a>(line: &'a [u8], lengths: &mut Vec<usize>) -> Result<Parsed<'a>, WireError> {
    lengths.clear();
    let text = std::str::from_utf8(line)
        .map_err(|error| WireError::NotUtf8 { at: error.valid_up_to(), excerpt: excerpt(line) })?;
    if let Some(up) = plain_result(text) {
        return Ok((up, None));
    }
    let mut fields: Line<'a> =
        serde_json::from_str(text).map_err(|error| WireError::malformed(error, line))?;
    *lengths = std::mem::take(&mut fields.bytes.0);
    let shared = fields.shared.filter(|_| !lengths.is_empty());
    fields
        .sort_out(lengths)
        .map(|up| (up, shared))
        .map_err(|reason| WireError::malformed(reason, line))
}

/// The beginning of a `result` frame, and of an `error` frame. The id follows.
pub(crate) const RESULT: &[u8] = b"{\"type\":\"result\",\"id\":";
pub(crate) const ERROR: &[u8] = b"{\"type\":\"error\",\"id\":";
/// The members of a plain result, in the order in which bulkhead's own worker writes them.
const ELAPSED: &[u8] = b",\"elapsed\":";
const IS_ENVELOPE: &[u8] = b",\"envelope\":true";
const IN_V8: &[u8] = b",\"encoding\":\"v8\"";
const VALUE: &[u8] = b",\"result\":";

/// The content of a plain result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ResultKind {
    /// A value, as JSON.
    Value = 0,
    /// A whole `{taskId, result, processedBy}`, as JSON.
    Envelope = 1,
    /// `undefined`: no JSON follows.
    Undefined = 2,
    /// A value in V8's format, as a JSON string.
    V8 = 3,
}

impl ResultKind {
    /// Returns the kind with this number; an unknown one is a value.
    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Envelope,
            2 => Self::Undefined,
            3 => Self::V8,
            _ => Self::Value,
        }
    }
}

/// Appends the beginning of a `result` frame, which [`parse`] reads without the general reader. The
/// caller appends the JSON (if there is any), `}` and a newline.
pub(crate) fn result_prefix(out: &mut Vec<u8>, id: u64, elapsed: u32, kind: ResultKind) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(RESULT);
    out.extend_from_slice(digits.format(id).as_bytes());
    out.extend_from_slice(ELAPSED);
    out.extend_from_slice(digits.format(elapsed).as_bytes());
    match kind {
        ResultKind::Undefined => return,
        ResultKind::Value => {}
        ResultKind::Envelope => out.extend_from_slice(IS_ENVELOPE),
        ResultKind::V8 => out.extend_from_slice(IN_V8),
    }
    out.extend_from_slice(VALUE);
}

/// Reads the line that bulkhead's own worker writes for nearly every task:
/// `{"type":"result","id":1,"elapsed":2,"result":<json>}`. A whole envelope has `"envelope":true`
/// before the last key, V8's format has `"encoding":"v8"` there, and `undefined` has no last key.
///
/// `None`: the general reader must read the line. It also finds the words for any error in it.
fn plain_result(text: &str) -> Option<Up<'_>> {
    let rest = text.as_bytes().strip_prefix(RESULT)?;
    let (id, rest) = leading_integer(rest)?;
    let rest = rest.strip_prefix(ELAPSED)?;
    let (elapsed, rest) = leading_integer(rest)?;
    let (envelope, rest) = match rest.strip_prefix(IS_ENVELOPE) {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (encoding, rest) = match rest.strip_prefix(IN_V8) {
        Some(rest) => (Encoding::V8, rest),
        None => (Encoding::Json, rest),
    };
    let json = if rest == b"}" {
        None
    } else {
        // The JSON reader finds the end of the value, and not the line's last brace: `1},{"x":2`
        // would be two values. Only one brace may follow the value.
        let rest = rest.strip_prefix(VALUE)?;
        let rest = text.get(text.len() - rest.len()..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let value = values.next()?.ok()?;
        if &rest[values.byte_offset()..] != "}" {
            return None;
        }
        Some(value)
    };
    if encoding == Encoding::V8 && !json.is_some_and(is_text) {
        return None;
    }
    let payload = Payload { json, binary: None, encoding };
    Some(Up::Result { id, elapsed, envelope, payload })
}

impl<'a> Line<'a> {
    fn sort_out(self, lengths: &[usize]) -> Result<Up<'a>, Cow<'static, str>> {
        let carries_payload =
            matches!(self.kind, Kind::Result | Kind::Message | Kind::Progress | Kind::Chunk);
        if !carries_payload && !lengths.is_empty() {
            return Err(reason::BYTES_WITHOUT_PAYLOAD.into());
        }
        Ok(match self.kind {
            Kind::Ready => Up::Ready {
                version: self.version.ok_or(reason::NO_VERSION)?,
                page: self.page.unwrap_or(false),
                shares: self.shares.unwrap_or(false),
            },
            Kind::Result => Up::Result {
                id: self.id.ok_or(reason::NO_ID)?,
                elapsed: self.elapsed.unwrap_or(0),
                envelope: self.envelope.unwrap_or(false),
                payload: self.payload(self.result, lengths)?,
            },
            Kind::Error => Up::Error {
                id: self.id.ok_or(reason::NO_ID)?,
                elapsed: self.elapsed.unwrap_or(0),
                error: object(self.error)?,
            },
            Kind::Message => Up::Message { payload: self.payload(self.message, lengths)? },
            Kind::Progress => Up::Progress {
                id: self.id.ok_or(reason::NO_ID)?,
                payload: self.payload(self.value, lengths)?,
            },
            Kind::Chunk => Up::Chunk {
                id: self.id.ok_or(reason::NO_ID)?,
                index: self.index,
                payload: self.payload(self.value, lengths)?,
            },
            Kind::Log => Up::Log { text: lossy_string(self.text.ok_or(reason::NO_TEXT)?)? },
            Kind::Fail => {
                Up::Fail { error: object(self.error)?, permanent: self.permanent.unwrap_or(false) }
            }
        })
    }

    fn payload(
        &self,
        json: Option<&'a RawValue>,
        lengths: &[usize],
    ) -> Result<Payload<'a>, Cow<'static, str>> {
        let encoding = self.encoding.unwrap_or(Encoding::Json);
        let binary = match (encoding, self.binary) {
            (Encoding::V8, None) if lengths.is_empty() => {
                if !json.is_some_and(is_text) {
                    return Err(reason::V8_FORM.into());
                }
                None
            }
            (Encoding::V8, Some(_)) => return Err(reason::V8_BINARY.into()),
            (Encoding::V8, None) => None,
            (Encoding::Json, None) if !lengths.is_empty() => {
                return Err(reason::BYTES_WITHOUT_BINARY.into());
            }
            (Encoding::Json, None) => None,
            (Encoding::Json, Some(binary)) => {
                binary::check(binary, lengths).map_err(|error| error.to_string())?;
                if !lengths.is_empty() && json.is_none() {
                    return Err(reason::BYTES_WITHOUT_PAYLOAD.into());
                }
                (!lengths.is_empty()).then_some(binary)
            }
        };
        Ok(Payload { json, binary, encoding })
    }
}
