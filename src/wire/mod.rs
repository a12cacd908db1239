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

pub(crate) mod decoder;
pub(crate) mod down;
pub(crate) mod splitter;
pub(crate) mod stream;
pub(crate) mod up;

mod binary;
mod buffer;
mod json;

pub(crate) use crate::errors::{WireError, excerpt};
pub(crate) use decoder::{Decoder, Frame};
pub(crate) use down::Serialization;
pub(crate) use splitter::LineSplitter;
pub(crate) use up::{Encoding, Payload, Up};

/// The version that `init` and `ready` carry.
pub(crate) const PROTOCOL_VERSION: u32 = 1;
