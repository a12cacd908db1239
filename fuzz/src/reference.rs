//! Reads the protocol a second time, by docs/protocol.md: the meaning of a worker's line, or that
//! it has none.

use std::collections::HashMap;

use crate::json;

/// The meaning of a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub kind: String,
    pub id: u64,
    pub elapsed: u64,
    pub version: u64,
    /// `page`, `envelope` or `permanent`, whichever belongs to the kind.
    pub flag: bool,
    pub shares: bool,
    /// The payload, or the error, as text.
    pub payload: Option<String>,
    pub binary: Option<String>,
    pub v8: bool,
    pub lengths: Vec<u64>,
    /// The position of the raw bytes in the shared memory, if they are there.
    pub shared: Option<u64>,
}

const KEYS: [&str; 18] = [
    "type",
    "id",
    "index",
    "elapsed",
    "version",
    "page",
    "shares",
    "envelope",
    "permanent",
    "encoding",
    "bytes",
    "shared",
    "binary",
    "result",
    "error",
    "message",
    "value",
    "text",
];

/// Returns the meaning of a line. `None`: the line is a violation. Limits are not checked.
pub fn read(line: &[u8]) -> Option<Said> {
    let mut found: HashMap<String, &str> = HashMap::new();
    for (key, value) in json::members(std::str::from_utf8(line).ok()?)? {
        let key = json::string(key)?;
        if KEYS.contains(&key.as_str()) && found.insert(key, value).is_some() {
            return None;
        }
    }
    // `null` counts as absent where a number or a flag belongs.
    let number = |key: &str, most: u64| match found.get(key) {
        None | Some(&"null") => Some(None),
        Some(text) => integer(text).filter(|number| *number <= most).map(Some),
    };
    let flag = |key: &str| match found.get(key) {
        None | Some(&"null") | Some(&"false") => Some(false),
        Some(&"true") => Some(true),
        Some(_) => None,
    };
    let mut said = Said { kind: json::string(found.get("type")?)?, ..Said::default() };
    let id = number("id", u64::MAX)?;
    let elapsed = number("elapsed", u64::MAX)?.unwrap_or(0);
    number("index", u64::MAX)?;
    let version = number("version", u64::from(u32::MAX))?;
    let (shared, shares) = (number("shared", u64::MAX)?, flag("shares")?);
    let (page, envelope, permanent) = (flag("page")?, flag("envelope")?, flag("permanent")?);
    said.v8 = match found.get("encoding") {
        None | Some(&"null") => false,
        Some(name) => match json::string(name)?.as_str() {
            "json" => false,
            "v8" => true,
            _ => return None,
        },
    };
    if let Some(list) = found.get("bytes") {
        said.lengths = json::elements(list)?.into_iter().map(integer).collect::<Option<_>>()?;
    }
    said.shared = shared.filter(|_| !said.lengths.is_empty());
    let owned = |key: &str| found.get(key).map(|text| (*text).to_owned());
    let is_object = |text: &String| text.starts_with('{');
    match said.kind.as_str() {
        "ready" => (said.version, said.flag, said.shares) = (version?, page, shares),
        "fail" => (said.payload, said.flag) = (Some(owned("error").filter(is_object)?), permanent),
        "error" => {
            (said.payload, said.id, said.elapsed) =
                (Some(owned("error").filter(is_object)?), id?, elapsed);
        }
        "result" => {
            (said.payload, said.id, said.elapsed, said.flag) =
                (owned("result"), id?, elapsed, envelope)
        }
        "message" => said.payload = owned("message"),
        "progress" | "chunk" => (said.payload, said.id) = (owned("value"), id?),
        "log" => said.payload = Some(owned("text").filter(|text| text.starts_with('"'))?),
        _ => return None,
    }
    if !matches!(said.kind.as_str(), "result" | "message" | "progress" | "chunk") {
        return said.lengths.is_empty().then_some(said);
    }
    match (said.v8, found.get("binary")) {
        // A chunk, and the others to which it refers; or text.
        (true, None) if !said.lengths.is_empty() => {}
        (true, None) if said.payload.as_ref().is_some_and(|text| text.starts_with('"')) => {}
        (true, _) => return None,
        (false, None) if said.lengths.is_empty() => {}
        (false, None) => return None,
        (false, Some(binary)) => {
            places(binary, &said.lengths)?;
            if !said.lengths.is_empty() {
                said.payload.as_ref()?;
                said.binary = owned("binary");
            }
        }
    }
    Some(said)
}

/// Reads an unsigned integer of 64 bits without fraction or exponent.
pub fn integer(text: &str) -> Option<u64> {
    (text.bytes().all(|byte| byte.is_ascii_digit()) && json::is_value(text.as_bytes()))
        .then(|| text.parse().ok())
        .flatten()
}

/// Returns `Some` if `binary` describes chunks of these lengths.
fn places(binary: &str, lengths: &[u64]) -> Option<()> {
    let places = json::elements(binary)?;
    if places.len() != lengths.len() {
        return None;
    }
    for (place, length) in places.into_iter().zip(lengths) {
        let [name, path] = json::elements(place)?.try_into().ok()?;
        let size = match json::string(name)?.as_str() {
            "Error" if *length > 0 => return None,
            "Error" => 1,
            "Buffer" | "String" | "ArrayBuffer" | "DataView" | "Int8Array" | "Uint8Array"
            | "Uint8ClampedArray" => 1,
            "Int16Array" | "Uint16Array" | "Float16Array" => 2,
            "Int32Array" | "Uint32Array" | "Float32Array" => 4,
            "Float64Array" | "BigInt64Array" | "BigUint64Array" => 8,
            _ => return None,
        };
        let step =
            |step: &str| step.starts_with('"') || step.bytes().all(|byte| byte.is_ascii_digit());
        if length % size != 0 || !json::elements(path)?.into_iter().all(step) {
            return None;
        }
    }
    Some(())
}
