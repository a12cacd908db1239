//! The wire protocol, version 1: how the supervisor and a worker talk over the channel on
//! descriptor 3.
//!
//! A frame is one line of JSON, ended by `\n`. A line may announce raw bytes (`"bytes":[n, ...]`),
//! which follow its newline directly, in order and without separators.
//!
//! - [`stream`] cuts a stream of bytes into frames: [`Decoder`] reads what a worker says, which the
//!   supervisor does not trust, and [`LineSplitter`] what the supervisor says.
//! - [`up`] reads the envelope of a worker's line, and begins the usual one. Payloads stay the text they are: nothing here
//!   builds a JSON tree, because a tree would refuse what JavaScript may send (deep nesting, lone
//!   surrogates, `1e400`).
//! - [`down`] writes the supervisor's frames.
//!
//! Nothing here does I/O, keeps a clock or knows which ids are in flight: that a well-formed reply
//! also makes sense is for the caller to check.

pub mod decoder;
pub mod down;
pub mod splitter;
pub mod stream;
pub mod up;

mod binary;
mod buffer;
mod json;

pub use crate::errors::{WireError, excerpt};
pub use decoder::{Decoder, Frame};
pub use down::{AbortReason, Init, Serialization};
pub use splitter::{DownFrame, LineSplitter};
pub use up::{Encoding, Payload, Up};

/// The version that `init` and `ready` carry.
pub const PROTOCOL_VERSION: u32 = 1;
