//! The texts of the errors that users see and that are made here, in one place so that they can be
//! read as copy.
//!
//! Each is lower case and fits behind the words that name its object: [`WireError`] and [`Breach`]
//! behind "worker 3 (pid 7) broke the protocol: ", [`NotReady`] stands for itself. What a system
//! call says is in [`process::errno`](crate::process); what JavaScript makes of all of it, in
//! `lib/errors/from-native.js`.

/// A frame that no honest worker writes. The stream is of no further use: the caller ends the
/// worker.
///
/// Every variant quotes the beginning of what arrived, made harmless by [`excerpt`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No newline came in time. The limit is in bytes.
    #[error("line is longer than {limit} bytes: {excerpt}")]
    LineTooLong {
        /// The longest line allowed.
        limit: usize,
        /// How the line begins.
        excerpt: String,
    },
    /// The sum of `bytes` is above the limit. Nothing was allocated for them.
    #[error("frame announces {announced} raw bytes, more than maxMessageSize ({limit}): {excerpt}")]
    TooManyBytes {
        /// What the line announced; `u64::MAX` stands for that and more.
        announced: u64,
        /// The most allowed.
        limit: usize,
        /// How the line begins.
        excerpt: String,
    },
    /// The line is not UTF-8.
    #[error("line is not UTF-8: the first invalid byte is byte {at}: {excerpt}")]
    NotUtf8 {
        /// The first byte that is not, from 0.
        at: usize,
        /// How the line begins.
        excerpt: String,
    },
    /// The rest of a frame does not come.
    #[error("incomplete frame: no progress for 30 s: {excerpt}")]
    Unfinished {
        /// How the frame begins.
        excerpt: String,
    },
    /// The line is not JSON, or not a frame of this protocol.
    #[error("line is not a frame of protocol version 1: {reason}: {excerpt}")]
    Malformed {
        /// One of [`reason`], or what the JSON reader says, shortened: it can quote the line.
        reason: String,
        /// How the line begins.
        excerpt: String,
    },
}

impl WireError {
    /// `begun`: what there is of the frame.
    pub fn unfinished(begun: &[u8]) -> Self {
        Self::Unfinished { excerpt: excerpt(begun) }
    }

    /// `reason` may repeat any part of the line (serde_json quotes strings in full), so it is
    /// shortened as well.
    pub fn malformed(reason: impl std::fmt::Display, line: &[u8]) -> Self {
        Self::Malformed { reason: shorten(reason.to_string().chars(), 160), excerpt: excerpt(line) }
    }
}

/// Why a line is not a frame, where it is JSON.
pub(crate) mod reason {
    pub(crate) const NO_VERSION: &str = "`version` is missing";
    pub(crate) const NO_ID: &str = "`id` is missing";
    pub(crate) const NO_TEXT: &str = "`text` is missing";
    pub(crate) const TEXT_TYPE: &str = "`text` is not a string";
    pub(crate) const ERROR_TYPE: &str = "`error` is not an object";
    pub(crate) const BYTES_TYPE: &str = "`bytes` is not a list of lengths";
    pub(crate) const SHARED_TYPE: &str = "`shared` is not a position";
    pub(crate) const BYTES_WITHOUT_PAYLOAD: &str =
        "`bytes` is for frames with a payload, and this frame has none";
    pub(crate) const BYTES_WITHOUT_BINARY: &str = "`bytes` needs `binary`, which is missing";
    pub(crate) const BINARY_TOO_SHORT: &str = "`binary` has fewer entries than `bytes`";
    pub(crate) const BINARY_TOO_LONG: &str = "`binary` has more entries than `bytes`";
    pub(crate) const PLACE_TOO_SHORT: &str =
        "an entry of `binary` has fewer than two items, and must be [type, path]";
    pub(crate) const PLACE_TOO_LONG: &str =
        "an entry of `binary` has more than two items, and must be [type, path]";
    pub(crate) const PATH_STEP: &str =
        "a path in `binary` has an item that is neither a key nor an index";
    pub(crate) const ERROR_BYTES: &str =
        "an entry of `binary` for an error has raw bytes, and must have none";
    pub(crate) const V8_FORM: &str = "the encoding `v8` needs raw bytes, or text";
    pub(crate) const V8_BINARY: &str = "the encoding `v8` excludes `binary`";
}

/// A frame that is well formed, and that this worker may not send now; or shared memory that
/// contradicts what was said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    /// Structured clones, in a pool whose values are JSON.
    #[error("frame has the encoding `v8`, but the pool's serialization is 'json'")]
    Encoding,
    /// Raw bytes that the frame says are in the shared memory.
    #[error("shared-memory offset is out of range")]
    SharedOffset,
    /// The worker has another version of the protocol than the pool.
    #[error(
        "worker has protocol version {worker}, the pool has version {pool}; use the same version of bulkhead for both"
    )]
    Version {
        /// What `ready` says.
        worker: u32,
        /// [`PROTOCOL_VERSION`](crate::wire::PROTOCOL_VERSION).
        pool: u32,
    },
    /// A worker gets ready once.
    #[error("`ready` frame came twice")]
    ReadyTwice,
    /// A worker that serves can no longer fail to start.
    #[error("`fail` frame came after `ready`")]
    FailAfterReady,
    /// A reply to a task that this worker has not, or has replied to before.
    #[error("reply for an unknown task id: {excerpt}")]
    UnknownTask {
        /// How the line begins.
        excerpt: String,
    },
    /// The claim word says that more tasks began than were sent, or is of another epoch.
    #[error("claim word does not match the tasks that were sent")]
    Claims,
    /// For a worker that is ended for a breach that was told elsewhere.
    #[error("unrecognized frame")]
    Unknown,
}

/// Why a worker did not get ready. Where there is a cause (what the system, or the worker itself,
/// has said), JavaScript puts it behind this.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum NotReady {
    /// There is no process.
    #[error("the worker could not be started")]
    Spawn,
    /// The worker has said why.
    #[error("the worker could not start")]
    Refused,
    /// The worker broke the protocol.
    #[error("the worker broke the protocol before it was ready: {what}")]
    Protocol {
        /// A [`WireError`] or a [`Breach`].
        what: String,
    },
    /// The worker used too much memory. Both in bytes.
    #[error(
        "the worker was killed before it was ready: it used {used} bytes of memory, more than maxMemory ({limit})"
    )]
    Memory {
        /// What was resident.
        used: u64,
        /// The pool's option.
        limit: u64,
    },
    /// The start deadline passed.
    #[error("the worker was not ready within {limit} ms (startTimeout)")]
    Timeout {
        /// The pool's option, in ms.
        limit: f64,
    },
    /// The worker closed its channel.
    #[error("the worker closed its channel before it was ready, and was ended for that")]
    ChannelClosed,
    /// A signal that is not the pool's.
    #[error("the worker was killed by {signal} before it was ready")]
    Killed {
        /// The signal's name.
        signal: String,
    },
    /// The worker left by itself.
    #[error("the worker exited with code {code} before it was ready")]
    Exited {
        /// What it passed to `exit`.
        code: i32,
    },
    /// Other code of this process has reaped the worker.
    #[error("the worker exited with unknown status before it was ready")]
    Gone,
}

/// The beginning of `bytes` for an error message: at most 80 characters, with everything that could
/// disturb a terminal or a log line escaped, and what is not UTF-8 replaced.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    // 80 characters are at most 320 bytes; one more shows that something was left off.
    let head = &bytes[..bytes.len().min(MOST * 4 + 1)];
    shorten(String::from_utf8_lossy(head).chars(), MOST)
}

fn shorten(chars: impl Iterator<Item = char>, most: usize) -> String {
    let mut text = String::new();
    let mut length = 0;
    for c in chars {
        // Quotes and backslashes are what JSON is made of and harm nobody.
        let plain = matches!(c, '"' | '\'' | '\\');
        let width = if plain { 1 } else { c.escape_debug().count() };
        if length + width > most - 1 {
            text.push('…');
            break;
        }
        length += width;
        if plain {
            text.push(c);
        } else {
            text.extend(c.escape_debug());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_is_short_and_harmless() {
        assert_eq!(excerpt(b"{\"type\":1}"), "{\"type\":1}");
        assert_eq!(excerpt(b"a\x1b[31m\r\xff"), "a\\u{1b}[31m\\r\u{fffd}");
        let long = excerpt("é".repeat(1000).as_bytes());
        assert_eq!(long.chars().count(), 80);
        assert!(long.ends_with('…'));
        assert!(excerpt(&[7; 1000]).chars().count() <= 80);
    }
}
