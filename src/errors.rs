//! The texts of the errors that native code makes and users see. They stand in one file, so that
//! they can be reviewed as copy.
//!
//! Each text is in lower case and follows the words that name its object. [`WireError`] and
//! [`Breach`] follow "worker 3 (pid 7) broke the protocol: "; [`NotReady`] stands for itself. The
//! texts of system calls are in [`process::errno`](crate::process). `lib/errors/from-native.js`
//! turns all of them into JavaScript errors.

/// A frame that no honest worker writes. The stream has no meaning after it, so the supervisor
/// kills the worker.
///
/// Every variant quotes the beginning of the frame, made harmless by [`excerpt`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The line has no newline within the limit.
    #[error("line is longer than {limit} bytes: {excerpt}")]
    LineTooLong {
        /// The longest line allowed, in bytes.
        limit: usize,
        /// The beginning of the line.
        excerpt: String,
    },
    /// The sum of `bytes` is above the limit. The decoder has allocated nothing for them.
    #[error("frame announces {announced} raw bytes, more than maxMessageSize ({limit}): {excerpt}")]
    TooManyBytes {
        /// The sum that the line announced, in bytes; `u64::MAX`: that or more.
        announced: u64,
        /// The largest sum allowed, in bytes.
        limit: usize,
        /// The beginning of the line.
        excerpt: String,
    },
    /// The line is not UTF-8.
    #[error("line is not UTF-8: the first invalid byte is byte {at}: {excerpt}")]
    NotUtf8 {
        /// The position of the first invalid byte, from 0.
        at: usize,
        /// The beginning of the line.
        excerpt: String,
    },
    /// The rest of a frame does not arrive.
    #[error("incomplete frame: no progress for 30 s: {excerpt}")]
    Unfinished {
        /// The beginning of the frame.
        excerpt: String,
    },
    /// The line is not JSON, or not a frame of this protocol.
    #[error("line is not a frame of protocol version 1: {reason}: {excerpt}")]
    Malformed {
        /// One of [`reason`], or the text of the JSON reader, shortened because it can quote the
        /// line.
        reason: String,
        /// The beginning of the line.
        excerpt: String,
    },
}

impl WireError {
    /// Makes the error of an incomplete frame; `begun`: the bytes that have arrived.
    pub fn unfinished(begun: &[u8]) -> Self {
        Self::Unfinished { excerpt: excerpt(begun) }
    }

    /// Makes the error of a line that is no frame. It shortens `reason`, because serde_json quotes
    /// strings of the line in full.
    pub fn malformed(reason: impl std::fmt::Display, line: &[u8]) -> Self {
        Self::Malformed { reason: shorten(reason.to_string().chars(), 160), excerpt: excerpt(line) }
    }
}

/// The reasons for which a line of JSON is not a frame.
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

/// A well-formed frame that this worker may not send now, or shared memory that contradicts the
/// frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    /// The frame holds a structured clone, and the values of the pool are JSON.
    #[error("frame has the encoding `v8`, but the pool's serialization is 'json'")]
    Encoding,
    /// The raw bytes are not where the frame says, in the shared memory.
    #[error("shared-memory offset is out of range")]
    SharedOffset,
    /// The worker and the pool have different versions of the protocol.
    #[error(
        "worker has protocol version {worker}, the pool has version {pool}; use the same version of bulkhead for both"
    )]
    Version {
        /// The version in the worker's `ready` frame.
        worker: u32,
        /// [`PROTOCOL_VERSION`](crate::wire::PROTOCOL_VERSION).
        pool: u32,
    },
    /// The worker sent a second `ready` frame.
    #[error("`ready` frame came twice")]
    ReadyTwice,
    /// The worker sent `fail` after it had got ready.
    #[error("`fail` frame came after `ready`")]
    FailAfterReady,
    /// The reply is for a task that this worker does not have, or has answered before.
    #[error("reply for an unknown task id: {excerpt}")]
    UnknownTask {
        /// The beginning of the line.
        excerpt: String,
    },
    /// The claim word has more tasks started than were sent, or another epoch.
    #[error("claim word does not match the tasks that were sent")]
    Claims,
    /// Stands in where the text of the violation is not known.
    #[error("unrecognized frame")]
    Unknown,
}

/// The reason for which a worker did not get ready. JavaScript appends the cause, if there is one:
/// the error of the system or of the worker itself.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum NotReady {
    /// There is no process.
    #[error("the worker could not be started")]
    Spawn,
    /// The worker reported the reason.
    #[error("the worker could not start")]
    Refused,
    /// The worker broke the protocol.
    #[error("the worker broke the protocol before it was ready: {what}")]
    Protocol {
        /// The text of a [`WireError`] or of a [`Breach`].
        what: String,
    },
    /// The worker used too much memory.
    #[error(
        "the worker was killed before it was ready: it used {used} bytes of memory, more than maxMemory ({limit})"
    )]
    Memory {
        /// The resident memory, in bytes.
        used: u64,
        /// The pool's option `maxMemory`, in bytes.
        limit: u64,
    },
    /// The start deadline passed.
    #[error("the worker was not ready within {limit} ms (startTimeout)")]
    Timeout {
        /// The pool's option `startTimeout` (ms).
        limit: f64,
    },
    /// The worker closed its channel.
    #[error("the worker closed its channel before it was ready, and was ended for that")]
    ChannelClosed,
    /// A signal that the pool did not send killed the worker.
    #[error("the worker was killed by {signal} before it was ready")]
    Killed {
        /// The name of the signal.
        signal: String,
    },
    /// The worker exited by itself.
    #[error("the worker exited with code {code} before it was ready")]
    Exited {
        /// The exit code.
        code: i32,
    },
    /// Other code of this process has reaped the worker.
    #[error("the worker exited with unknown status before it was ready")]
    Gone,
}

/// Returns the beginning of `bytes` for an error message, in at most 80 characters. It escapes
/// whatever could disturb a terminal or a log line, and replaces what is not UTF-8.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    // 80 characters are at most 320 bytes. One more byte shows that the text goes on.
    let head = &bytes[..bytes.len().min(MOST * 4 + 1)];
    shorten(String::from_utf8_lossy(head).chars(), MOST)
}

fn shorten(chars: impl Iterator<Item = char>, most: usize) -> String {
    let mut text = String::new();
    let mut length = 0;
    for c in chars {
        // JSON consists of quotes and backslashes, which are harmless in a log line.
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
