//! Reads the two lists that describe raw bytes: `bytes` has the length of each chunk, `binary` its
//! type and its place in the payload. Both come from a worker, so every element is checked before
//! use.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::by_name;
use crate::errors::reason;

/// The most chunks in a frame. Two bytes of text (`0,`) become eight here, and many more in
/// JavaScript.
pub(super) const MAX_CHUNKS: usize = 1 << 20;

/// The value of `bytes`.
#[derive(Debug, Default)]
pub(super) struct Lengths(pub(super) Vec<usize>);

impl Lengths {
    /// Returns the sum of the lengths; `u64::MAX`: that or more.
    pub(super) fn sum(lengths: &[usize]) -> u64 {
        lengths.iter().fold(0, |sum: u64, &n| sum.saturating_add(n as u64))
    }
}

impl<'de> Deserialize<'de> for Lengths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LengthsVisitor;
        impl<'de> Visitor<'de> for LengthsVisitor {
            type Value = Lengths;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of lengths")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Lengths, A::Error> {
                let mut lengths = Vec::new();
                while let Some(n) = seq.next_element::<u64>()? {
                    if lengths.len() == MAX_CHUNKS {
                        return Err(de::Error::custom(format_args!(
                            "more than {MAX_CHUNKS} chunks"
                        )));
                    }
                    lengths.push(usize::try_from(n).unwrap_or(usize::MAX));
                }
                Ok(Lengths(lengths))
            }
        }
        deserializer.deserialize_seq(LengthsVisitor)
    }
}

/// Checks that `binary` is `[[type, path], ...]` with one entry for each chunk, and that each chunk
/// has a length that its type can have.
pub(super) fn check(binary: &RawValue, lengths: &[usize]) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(binary.get());
    json.deserialize_seq(PlacesVisitor(lengths))
}

/// Returns the size (bytes) of one element; the addon and JavaScript know no other types. 0: the
/// type has no bytes, and says what the JSON in its place is.
fn element_size(name: &str) -> Option<usize> {
    Some(match name {
        "Error" => 0,
        "Buffer" | "String" | "ArrayBuffer" | "DataView" | "Int8Array" | "Uint8Array"
        | "Uint8ClampedArray" => 1,
        "Int16Array" | "Uint16Array" | "Float16Array" => 2,
        "Int32Array" | "Uint32Array" | "Float32Array" => 4,
        "Float64Array" | "BigInt64Array" | "BigUint64Array" => 8,
        _ => return None,
    })
}

struct PlacesVisitor<'l>(&'l [usize]);

impl<'de> Visitor<'de> for PlacesVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of [type, path]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for &length in self.0 {
            let Some(Place { size }) = seq.next_element()? else {
                return Err(de::Error::custom(reason::BINARY_TOO_SHORT));
            };
            if size == 0 && length > 0 {
                return Err(de::Error::custom(reason::ERROR_BYTES));
            }
            if size > 0 && length % size != 0 {
                return Err(de::Error::custom(format_args!(
                    "{length} bytes do not make whole elements of {size} bytes"
                )));
            }
        }
        match seq.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(de::Error::custom(reason::BINARY_TOO_LONG)),
        }
    }
}

struct Place {
    size: usize,
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PlaceVisitor;
        impl<'de> Visitor<'de> for PlaceVisitor {
            type Value = Place;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[type, path]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Place, A::Error> {
                let short = || de::Error::custom(reason::PLACE_TOO_SHORT);
                let ElementSize(size) = seq.next_element()?.ok_or_else(short)?;
                let Path = seq.next_element()?.ok_or_else(short)?;
                match seq.next_element::<IgnoredAny>()? {
                    None => Ok(Place { size }),
                    Some(_) => Err(de::Error::custom(reason::PLACE_TOO_LONG)),
                }
            }
        }
        deserializer.deserialize_seq(PlaceVisitor)
    }
}

struct ElementSize(usize);

impl<'de> Deserialize<'de> for ElementSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_name(deserializer, "a type of binary", element_size).map(ElementSize)
    }
}

/// A path of keys and indices. It is read as raw text, because a key may hold a lone surrogate,
/// which no Rust string can.
struct Path;

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathVisitor;
        impl<'de> Visitor<'de> for PathVisitor {
            type Value = Path;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path of keys and indices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Path, A::Error> {
                while let Some(step) = seq.next_element::<&RawValue>()? {
                    // serde_json has read the step as one whole JSON value. So its first byte shows
                    // a string, and a number that consists of digits is a non-negative integer.
                    let text = step.get().as_bytes();
                    if text[0] != b'"' && !text.iter().all(u8::is_ascii_digit) {
                        return Err(de::Error::custom(reason::PATH_STEP));
                    }
                }
                Ok(Path)
            }
        }
        deserializer.deserialize_seq(PathVisitor)
    }
}
