//! Fuzzes one line. The decoder accepts exactly the lines that a second reader of the protocol
//! accepts, with the same meaning. Each payload is one JSON value, passed through byte for byte. So
//! results can be joined by commas and parsed together, and none can shift its neighbours.

#![no_main]

use bulkhead::internals::{Decoder, Encoding, Payload, Up, WireError};
use bulkhead_fuzz::reference::{self, Said};
use bulkhead_fuzz::{json, memory};
use libfuzzer_sys::fuzz_target;

const MAX_MESSAGE: usize = 64 * 1024;
const LIMIT: usize = MAX_MESSAGE + 64 * 1024;
/// The bytes as in the target `decoder`, and for texts, which may be unescaped, or quoted in a
/// message.
const ALLOWED: usize = 2 * (2 * LIMIT + 512 * 1024) + 12 * LIMIT;

fuzz_target!(|line: &[u8]| {
    let line: Vec<u8> = line.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
    let expected = reference::read(&line);
    let announced = expected
        .as_ref()
        .map_or(0, |said| said.lengths.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)));
    let ((), peak) = memory::peak_of(|| {
        let mut decoder = Decoder::new(MAX_MESSAGE);
        let mut feed = |bytes: &[u8]| {
            decoder.buffer(bytes.len())[..bytes.len()].copy_from_slice(bytes);
            decoder.filled(bytes.len());
        };
        feed(&line);
        feed(b"\n");
        let behind = expected.as_ref().is_some_and(|said| said.shared.is_none());
        if behind && announced <= LIMIT as u64 {
            feed(&vec![b'\n'; announced as usize]);
        }
        match (decoder.next(), expected) {
            (Ok(Some(frame)), Some(expected)) => {
                let (said, payload) =
                    said(&frame.envelope, expected.lengths.clone(), frame.raw.shared);
                if let Up::Log { text } = &frame.envelope {
                    // A text is read, and not passed through. Half a surrogate pair in it is
                    // replaced.
                    let expected = expected.payload.and_then(|text| json::string(&text));
                    assert!(expected.is_none_or(|expected| expected == **text), "{text}");
                    return;
                }
                assert_eq!(said, expected);
                assert_eq!(frame.raw.lengths.iter().sum::<usize>() as u64, announced);
                assert_eq!(
                    frame.raw.behind.len() as u64,
                    if frame.raw.shared.is_some() { 0 } else { announced }
                );
                let Some(payload) = payload else { return };
                assert!(json::is_value(payload.as_bytes()), "{payload}");
                // The payload is that very piece of the line.
                let (from, line_from) = (payload.as_ptr() as usize, frame.line.as_ptr() as usize);
                assert!(from >= line_from && from + payload.len() <= line_from + frame.line.len());
                // Between two neighbours the payload is one of three values.
                let joined = format!("[1,{payload},2]");
                assert_eq!(json::elements(&joined), Some(vec!["1", payload, "2"]));
            }
            (Ok(None), _) => panic!("the frame is complete"),
            (Ok(Some(frame)), None) => panic!("accepted: {:?}", frame.envelope),
            (Err(WireError::TooManyBytes { .. }), Some(_)) => assert!(announced > LIMIT as u64),
            (Err(error), Some(said)) => {
                let size = said.lengths.len();
                assert!(size > 1 << 20 || line.len() > LIMIT, "refused: {error}");
            }
            (Err(error), None) => assert!(error.to_string().chars().count() < 400, "{error}"),
        }
    });
    assert!(peak < ALLOWED + 24 * line.len(), "{peak} bytes were allocated for {}", line.len());
});

/// Returns the reading of the code under test in the form of the second reader, and the payload.
fn said<'a>(up: &Up<'a>, lengths: Vec<u64>, shared: Option<u64>) -> (Said, Option<&'a str>) {
    let of = |kind: &str| Said { kind: kind.to_owned(), ..Said::default() };
    let carry = |said: Said, payload: &Payload<'a>| {
        let json = payload.json.map(|json| json.get());
        let said = Said {
            payload: json.map(str::to_owned),
            binary: payload.binary.map(|binary| binary.get().to_owned()),
            v8: payload.encoding == Encoding::V8,
            lengths,
            shared,
            ..said
        };
        (said, json)
    };
    match up {
        Up::Ready { version, page, shares } => (
            Said { version: u64::from(*version), flag: *page, shares: *shares, ..of("ready") },
            None,
        ),
        Up::Result { id, elapsed, envelope, payload } => {
            carry(Said { id: *id, elapsed: *elapsed, flag: *envelope, ..of("result") }, payload)
        }
        Up::Error { id, elapsed, error } => {
            let text = error.get();
            let said =
                Said { id: *id, elapsed: *elapsed, payload: Some(text.to_owned()), ..of("error") };
            (said, Some(text))
        }
        Up::Message { payload } => carry(of("message"), payload),
        Up::Progress { id, payload } => carry(Said { id: *id, ..of("progress") }, payload),
        Up::Chunk { id, payload, .. } => carry(Said { id: *id, ..of("chunk") }, payload),
        Up::Fail { error, permanent } => {
            let text = error.get();
            (Said { payload: Some(text.to_owned()), flag: *permanent, ..of("fail") }, Some(text))
        }
        Up::Log { .. } => (of("log"), None),
    }
}
