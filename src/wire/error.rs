//! What can be wrong with a frame, in words that fit behind "worker 3 broke the protocol: ".

/// A frame that no honest worker writes. The stream is of no further use: the caller ends the worker.
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
    #[error("{announced} raw bytes announced, where {limit} are allowed: {excerpt}")]
    TooManyBytes {
        /// What the line announced; `u64::MAX` stands for that and more.
        announced: u64,
        /// The most allowed.
        limit: usize,
        /// How the line begins.
        excerpt: String,
    },
    /// The line is not UTF-8.
    #[error("line is not UTF-8 from byte {at} on: {excerpt}")]
    NotUtf8 {
        /// The first byte that is not.
        at: usize,
        /// How the line begins.
        excerpt: String,
    },
    /// A frame was begun and not gone on with.
    #[error("frame was begun, and for half a minute not gone on with: {excerpt}")]
    Unfinished {
        /// How it begins.
        excerpt: String,
    },
    /// The line is not JSON, or not a frame of this protocol.
    #[error("line is no frame of protocol 1 ({reason}): {excerpt}")]
    Malformed {
        /// What is wrong, shortened: it can quote the line.
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

    /// `reason` may repeat any part of the line (serde_json quotes strings in full), so it is shortened as well.
    pub(super) fn malformed(reason: impl std::fmt::Display, line: &[u8]) -> Self {
        Self::Malformed { reason: shorten(reason.to_string().chars(), 160), excerpt: excerpt(line) }
    }
}

/// The beginning of `bytes` for an error message: at most 80 characters, with everything that could disturb a terminal
/// or a log line escaped, and what is not UTF-8 replaced.
pub fn excerpt(bytes: &[u8]) -> String {
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
