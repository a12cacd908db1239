//! What a worker can say: the envelope of its line, read without touching the payload.
//!
//! Payloads are handed on as the text they arrived in. That text is known to be exactly one JSON
//! value, so it can be put between commas in a larger document without a hostile worker reaching
//! beyond its own element.

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
        /// The protocol it speaks; the caller compares.
        version: u32,
        /// It claims tasks in the shared page.
        page: bool,
        /// It finds large raw bytes there, and puts its own there.
        shares: bool,
    },
    /// A task has ended well. `payload.json` is `None` for `undefined`, and `Some("null")` for
    /// `null`.
    Result {
        /// The start that this answers, unchecked.
        id: u64,
        /// Microseconds in the handler, by the worker's clock; 0 when it does not say.
        elapsed: u64,
        /// The value is a whole `{taskId, result, processedBy}`.
        envelope: bool,
        /// What the handler returned.
        payload: Payload<'a>,
    },
    /// A task has thrown.
    Error {
        /// The start that this answers, unchecked.
        id: u64,
        /// As in [`Up::Result`].
        elapsed: u64,
        /// A JSON object.
        error: &'a RawValue,
    },
    /// A free message to the pool's listeners.
    Message {
        /// What was sent.
        payload: Payload<'a>,
    },
    /// A running task reports progress.
    Progress {
        /// The start that this belongs to, unchecked.
        id: u64,
        /// What was reported.
        payload: Payload<'a>,
    },
    /// A running task gives one of several values.
    Chunk {
        /// The start that this belongs to, unchecked.
        id: u64,
        /// How many came before it, if the worker says so.
        index: Option<u64>,
        /// The value.
        payload: Payload<'a>,
    },
    /// Text for the worker's log tail. Lone surrogates are replaced.
    Log {
        /// As long as the worker likes, within the limit of a line.
        text: Cow<'a, str>,
    },
    /// The worker cannot start.
    Fail {
        /// A JSON object.
        error: &'a RawValue,
        /// Trying again cannot help.
        permanent: bool,
    },
}

/// A value that belongs to the user.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// Exactly one JSON value, or `None` where the key is missing, which means `undefined`.
    pub json: Option<&'a RawValue>,
    /// `[[type, path], ...]`, one for each raw chunk of the frame; `None` when there is none. Its
    /// shape is checked, that the paths exist in the payload is not.
    pub binary: Option<&'a RawValue>,
    /// How the value is written.
    pub encoding: Encoding,
}

/// How a payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As JSON, with raw chunks in the places that `binary` names.
    Json,
    /// By V8's serializer: the frame's first chunk is the value, the others are bytes that it
    /// refers to by number, and `json` says nothing; or there is no chunk, and `json` is the value
    /// as text, in base64.
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

/// Every key that any kind of line can have. Unknown keys are skipped, known ones may come once.
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

/// What a line says, and where in the shared memory its raw bytes are, if not behind it.
type Parsed<'a> = (Up<'a>, Option<u64>);

/// Reads `line` (without its newline) and leaves the announced lengths in `lengths`, which is
/// emptied first.
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

/// How the frame of a task's result begins, and that of its error. The id follows.
pub(crate) const RESULT: &[u8] = b"{\"type\":\"result\",\"id\":";
pub(crate) const ERROR: &[u8] = b"{\"type\":\"error\",\"id\":";
/// The members of the usual result, in the order in which our own worker writes them.
const ELAPSED: &[u8] = b",\"elapsed\":";
const IS_ENVELOPE: &[u8] = b",\"envelope\":true";
const IN_V8: &[u8] = b",\"encoding\":\"v8\"";
const VALUE: &[u8] = b",\"result\":";

/// What the usual result holds.
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
    /// The kind with this number; an unknown one is a value.
    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Envelope,
            2 => Self::Undefined,
            3 => Self::V8,
            _ => Self::Value,
        }
    }
}

/// Appends the beginning of a `result` frame, as [`parse`] reads it without the general reader. The
/// caller appends the JSON, unless there is none, `}` and a newline.
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

/// The text that our own worker writes for nearly every task,
/// `{"type":"result","id":1,"elapsed":2,"result":<json>}` with `"envelope":true` or
/// `"encoding":"v8"` before the last key for a whole envelope or V8's format, and the last key left
/// out for `undefined`. `None` sends the line through the general reader, which also finds the
/// words for what is wrong with it.
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
        // The value ends where the JSON reader says, never where the line's last brace suggests:
        // `1},{"x":2` would be two values. Only a brace and nothing more may follow it.
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
