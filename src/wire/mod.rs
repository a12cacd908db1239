//! The wire protocol, version 1: the frames between supervisor and worker on descriptor 3.
//!
//! A frame is one line of JSON, ended by `\n`. A line may announce raw bytes (`"bytes":[n, ...]`),
//! which follow its newline directly, in order and without separators.
//!
//! - [`stream`] cuts a stream of bytes into frames: [`Decoder`] those of a worker, which the
//!   supervisor does not trust, and [`LineSplitter`] those of the supervisor.
//! - [`up`] reads the envelope of a worker's line, and begins the most frequent one. Payloads stay
//!   text. A JSON tree would refuse values that JavaScript may send (deep nesting, lone surrogates,
//!   `1e400`).
//! - [`down`] writes the supervisor's frames.
//!
//! Nothing here does I/O, keeps a clock or knows which ids are in flight. The caller checks that a
//! well-formed reply also makes sense.

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
