//! Reading JSON piece by piece: names, strings, leading integers, and members that may be absent.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;

use crate::errors::reason;

/// Reads a string that names a value. An enum that derives Deserialize would also accept
/// `{"ready":null}` for `"ready"`.
pub(super) fn by_name<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    what: &'static str,
    find: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct NameVisitor<T> {
        what: &'static str,
        find: fn(&str) -> Option<T>,
    }

    impl<T> Visitor<'_> for NameVisitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "the name of {}", self.what)
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<T, E> {
            (self.find)(name)
                .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(name), &self))
        }
    }

    deserializer.deserialize_str(NameVisitor { what, find })
}

/// Reads a member, and tells `null` from an absent one. serde's own `Option` makes both `None`.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a JSON integer of at most 19 digits, which always fits, and returns it with the text
/// behind it.
pub(super) fn leading_integer(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    let mut digits = 0;
    for byte in text.iter().take_while(|byte| byte.is_ascii_digit()) {
        if digits == 19 {
            return None;
        }
        number = number * 10 + u64::from(byte - b'0');
        digits += 1;
    }
    if digits == 0 || (digits > 1 && text[0] == b'0') {
        return None;
    }
    Some((number, &text[digits..]))
}

pub(super) fn is_text(json: &RawValue) -> bool {
    json.get().starts_with('"')
}

pub(super) fn object(error: Option<&RawValue>) -> Result<&RawValue, Cow<'static, str>> {
    error.filter(|error| error.get().starts_with('{')).ok_or_else(|| reason::ERROR_TYPE.into())
}

/// Reads a JSON string. Lone surrogates, which JavaScript strings may hold and `str` cannot, are
/// replaced: a log line is no reason to end a worker.
pub(super) fn lossy_string(raw: &RawValue) -> Result<Cow<'_, str>, Cow<'static, str>> {
    struct Text<'a>(Cow<'a, str>);

    impl<'de> Deserialize<'de> for Text<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct TextVisitor;
            impl<'de> Visitor<'de> for TextVisitor {
                type Value = Text<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a string")
                }

                fn visit_borrowed_bytes<E: de::Error>(
                    self,
                    bytes: &'de [u8],
                ) -> Result<Text<'de>, E> {
                    Ok(Text(String::from_utf8_lossy(bytes)))
                }

                fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
                    Ok(Text(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
                }
            }
            // serde_json accepts lone surrogates in a string that is read as bytes.
            deserializer.deserialize_bytes(TextVisitor)
        }
    }

    if !raw.get().starts_with('"') {
        return Err(reason::TEXT_TYPE.into());
    }
    let Text(text) = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    Ok(text)
}
