//! Tests of the decoder: honest streams cut anywhere, and all that a hostile worker may write.

use proptest::prelude::*;

use super::*;
use crate::wire::splitter::LineSplitter;
use crate::wire::stream::SLACK;
use crate::wire::up::ResultKind;
use crate::wire::{Encoding, Payload};

const LIMIT: usize = 1 << 20;

/// Feeds `stream` in pieces of the given lengths (repeated), and passes each frame to `see`.
fn decode(
    stream: &[u8],
    pieces: &[usize],
    mut see: impl FnMut(Frame<'_>),
) -> Result<Decoder, WireError> {
    let mut decoder = Decoder::new(LIMIT);
    let mut rest = stream;
    let mut pieces = pieces.iter().cycle();
    while !rest.is_empty() {
        let n = (*pieces.next().unwrap()).clamp(1, rest.len());
        decoder.buffer(n)[..n].copy_from_slice(&rest[..n]);
        decoder.filled(n);
        rest = &rest[n..];
        while let Some(frame) = decoder.next()? {
            see(frame);
        }
    }
    Ok(decoder)
}

fn one(line: &str) -> Result<String, WireError> {
    let mut seen = String::new();
    let stream = format!("{line}\n");
    let decoder =
        decode(stream.as_bytes(), &[usize::MAX], |frame| seen = format!("{:?}", frame.envelope))?;
    assert!(!decoder.has_partial(), "{line}");
    Ok(seen)
}

/// Describes a frame, for comparison with the expected reading.
fn describe(frame: &Frame<'_>) -> String {
    let chunks: Vec<&[u8]> = frame.raw.chunks().collect();
    format!("{:?} {:?} {chunks:?}", String::from_utf8_lossy(frame.line), frame.envelope)
}

#[test]
fn every_kind_of_line_is_read() {
    let table = [
        (
            r#"{"type":"ready","version":1,"page":true}"#,
            "Ready { version: 1, page: true, shares: false }",
        ),
        (
            r#"{"type":"ready","version":1,"page":true,"shares":true}"#,
            "Ready { version: 1, page: true, shares: true }",
        ),
        (r#"{"type":"ready","version":2}"#, "Ready { version: 2, page: false, shares: false }"),
        (
            r#"{"type":"log","text":"a\n\ud800b"}"#,
            "Log { text: \"a\\n\u{fffd}\u{fffd}\u{fffd}b\" }",
        ),
        (r#"{"type":"log","text":"plain"}"#, "Log { text: \"plain\" }"),
        (
            r#"{"type":"fail","error":{"name":"Error"},"permanent":true}"#,
            r#"Fail { error: RawValue({"name":"Error"}), permanent: true }"#,
        ),
        (
            r#"{"type":"error","id":5,"elapsed":9,"error":{"message":"no"}}"#,
            r#"Error { id: 5, elapsed: 9, error: RawValue({"message":"no"}) }"#,
        ),
    ];
    for (line, expected) in table {
        assert_eq!(one(line).unwrap(), expected, "{line}");
    }
}

#[test]
fn v8_data_may_be_text_in_the_line() {
    // As bulkhead's own worker writes it, and in another order, which the general reader reads.
    for line in [
        r#"{"type":"result","id":5,"elapsed":9,"encoding":"v8","result":"/w9f"}"#,
        r#"{"id":5,"type":"result","elapsed":9,"result":"/w9f","encoding":"v8"}"#,
    ] {
        let mut seen = false;
        decode(format!("{line}\n").as_bytes(), &[1], |frame| {
            let Up::Result { id: 5, payload, .. } = frame.envelope else { panic!("{line}") };
            assert_eq!(
                (payload.encoding, payload.json.map(|json| json.get())),
                (Encoding::V8, Some("\"/w9f\""))
            );
            seen = true;
        })
        .unwrap();
        assert!(seen);
    }
}

#[test]
fn v8_data_may_have_bytes_beside_it() {
    let line =
        b"{\"type\":\"message\",\"message\":null,\"bytes\":[2,0,3],\"encoding\":\"v8\"}\nv8abc";
    let mut seen = Vec::new();
    decode(line, &[1], |frame| {
        let Up::Message { payload } = frame.envelope else { panic!() };
        assert_eq!((payload.encoding, payload.binary.is_none()), (Encoding::V8, true));
        seen = frame.raw.chunks().map(<[u8]>::to_vec).collect();
    })
    .unwrap();
    assert_eq!(seen, [&b"v8"[..], b"", b"abc"]);
}

#[test]
fn an_error_in_a_payload_is_the_json_in_its_place() {
    let line = r#"{"type":"message","message":[{"message":"no"},null],"bytes":[0,2],"binary":[["Error",[0]],["Float16Array",[1]]]}"#;
    let mut seen = false;
    decode(format!("{line}\nab").as_bytes(), &[1], |frame| {
        let Up::Message { payload } = frame.envelope else { panic!() };
        assert_eq!(
            payload.binary.map(|json| json.get()),
            Some(r#"[["Error",[0]],["Float16Array",[1]]]"#)
        );
        assert_eq!(frame.raw.chunks().map(<[u8]>::len).collect::<Vec<_>>(), [0, 2]);
        seen = true;
    })
    .unwrap();
    assert!(seen);
}

// [F5]
#[test]
fn undefined_and_null_differ() {
    let value = |line: &str| {
        let mut seen = None;
        decode(format!("{line}\n").as_bytes(), &[1], |frame| {
            let (Up::Result { payload, .. }
            | Up::Message { payload }
            | Up::Progress { payload, .. }
            | Up::Chunk { payload, .. }) = frame.envelope
            else {
                panic!("{line}")
            };
            seen = Some(payload.json.map(|json| json.get().to_owned()));
        })
        .unwrap();
        seen.unwrap()
    };
    // Each line once as bulkhead's own worker writes it, and once in another order, which the
    // general reader reads.
    assert_eq!(value(r#"{"type":"result","id":1,"elapsed":2}"#), None);
    assert_eq!(value(r#"{"id":1,"type":"result"}"#), None);
    assert_eq!(
        value(r#"{"type":"result","id":1,"elapsed":2,"result":null}"#).as_deref(),
        Some("null")
    );
    assert_eq!(value(r#"{"result":null,"id":1,"type":"result"}"#).as_deref(), Some("null"));
    assert_eq!(value(r#"{"type":"message"}"#), None);
    assert_eq!(value(r#"{"type":"message","message":null}"#).as_deref(), Some("null"));
    assert_eq!(value(r#"{"type":"progress","id":1,"value":[1, 2]}"#).as_deref(), Some("[1, 2]"));
    // Values that no JSON tree of Rust would take.
    for json in
        [r#""\ud800""#, "1e400", "-0", r#"{"__proto__":1,"a":{},"a":2}"#, "\"\u{2028}é\u{1f600}\""]
    {
        for line in [
            format!(r#"{{"type":"result","id":1,"elapsed":2,"result":{json}}}"#),
            format!(r#"{{"type":"result","result":{json},"id":1}}"#),
        ] {
            assert_eq!(value(&line).as_deref(), Some(json), "{line}");
        }
    }
}

#[test]
fn unknown_keys_are_skipped() {
    assert_eq!(
        one(r#"{"cmd":"NODE_HANDLE","x":[{"deep":[1e999]}],"type":"ready","version":1}"#).unwrap(),
        "Ready { version: 1, page: false, shares: false }"
    );
}

#[test]
fn raw_bytes_follow_their_line() {
    let mut seen = Vec::new();
    let line = r#"{"type":"result","id":1,"result":[null,null],"bytes":[3,8],"binary":[["Buffer",[0]],["Float64Array",["a\ud800",1]]]}"#;
    let mut stream = format!("{line}\n").into_bytes();
    stream.extend_from_slice(
        b"a\nb12345678{\"type\":\"result\",\"id\":2,\"elapsed\":0,\"envelope\":true,\"result\":1}\n",
    );
    stream.extend_from_slice(
        b"{\"type\":\"message\",\"message\":null,\"encoding\":\"v8\",\"bytes\":[2]}\n\n\n",
    );
    decode(&stream, &[5], |frame| {
        let chunks: Vec<Vec<u8>> = frame.raw.chunks().map(<[u8]>::to_vec).collect();
        let (Up::Result { payload, .. } | Up::Message { payload }) = frame.envelope else {
            panic!()
        };
        let Payload { binary, encoding, .. } = payload;
        seen.push((chunks, binary.map(|b| b.get().to_owned()), encoding));
    })
    .unwrap();
    let places = r#"[["Buffer",[0]],["Float64Array",["a\ud800",1]]]"#.to_owned();
    assert_eq!(
        seen,
        [
            (vec![b"a\nb".to_vec(), b"12345678".to_vec()], Some(places), Encoding::Json),
            (vec![], None, Encoding::Json),
            (vec![b"\n\n".to_vec()], None, Encoding::V8),
        ]
    );
}

// [E10]
#[test]
fn hostile_lines_are_refused() {
    let table = [
        // Not JSON, or not all of it.
        "{bad",
        "",
        "hi",
        "[]",
        "null",
        "{}",
        r#"{"type":"result","id":1,"elapsed":1,"result":}"#,
        r#"{"type":"result","id":1,"elapsed":1,"result":1"#,
        r#"{"type":"result","id":1,"elapsed":1,"result":1}}"#,
        r#"{"type":"result","id":1,"elapsed":1,"result":1},{"x":2}"#,
        r#"{"type":"result","id":1,"elapsed":1,"result":1,2}"#,
        r#"{"type":"result","id":1,"elapsed":1,"result":1}{"type":"result","id":2,"elapsed":1}"#,
        r#"{"type":"result","id":1,"elapsed":1,"result":[1,]}"#,
        r#"{"type":"result","id":1,"elapsed":1,"result":NaN}"#,
        r#"{"type":"result","id":1,"elapsed":1,"result":01}"#,
        "{\"type\":\"result\",\"id\":1,\"elapsed\":1,\"result\":\"\u{1}\"}",
        // Ids and times that are no unsigned integers, and members that come twice.
        r#"{"type":"result","id":18446744073709551616,"elapsed":1,"result":1}"#,
        r#"{"type":"result","id":-1,"elapsed":1,"result":1}"#,
        r#"{"type":"result","id":1.0,"elapsed":1,"result":1}"#,
        r#"{"type":"result","id":01,"elapsed":1,"result":1}"#,
        r#"{"type":"result","id":"1","elapsed":1,"result":1}"#,
        r#"{"type":"result","id":null,"elapsed":1,"result":1}"#,
        r#"{"type":"result","id":,"elapsed":1,"result":1}"#,
        r#"{"type":"result","elapsed":1,"result":1}"#,
        r#"{"type":"result","id":1,"elapsed":-1,"result":1}"#,
        r#"{"type":"result","id":1,"elapsed":1,"result":1,"id":2}"#,
        r#"{"type":"result","id":1,"elapsed":1,"result":1,"result":2}"#,
        r#"{"type":"result","type":"error","id":1,"elapsed":1}"#,
        // Kinds and members.
        r#"{"type":"nonsense"}"#,
        r#"{"type":"constructor"}"#,
        r#"{"type":1}"#,
        r#"{"type":{"ready":null},"version":1}"#,
        r#"{"type":"ready"}"#,
        r#"{"type":"ready","version":"1"}"#,
        r#"{"type":"error","id":1}"#,
        r#"{"type":"error","id":1,"error":"text"}"#,
        r#"{"type":"error","id":1,"error":null}"#,
        r#"{"type":"fail"}"#,
        r#"{"type":"log","text":1}"#,
        r#"{"type":"log","text":[104]}"#,
        r#"{"type":"log"}"#,
        r#"{"type":"progress","value":1}"#,
        // Raw bytes.
        r#"{"type":"message","message":null,"bytes":[-1],"binary":[["Buffer",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1.5],"binary":[["Buffer",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":["1"],"binary":[["Buffer",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":1,"binary":[["Buffer",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":null}"#,
        r#"{"type":"message","message":null,"bytes":[1]}"#,
        r#"{"type":"message","message":null,"bytes":[2147483648],"binary":[["Buffer",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":[18446744073709551615,18446744073709551615],"binary":[["Buffer",[]],["Buffer",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":[99999999999999999999999],"binary":[["Buffer",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":[]}"#,
        r#"{"type":"message","message":null,"bytes":[],"binary":[["Buffer",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":[["Buffer",[]],["Buffer",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":[["Function",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":[["Buffer"]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":[["Buffer",[],0]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":[["Buffer",[-1]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":[["Buffer",[1.5]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":[["Buffer",[1e3]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":[["Buffer",[null]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":[["Buffer",[["a"]]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":[["Buffer","a"]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"binary":{"a":1}}"#,
        r#"{"type":"message","message":null,"bytes":[7],"binary":[["Float64Array",[]]]}"#,
        r#"{"type":"message","bytes":[1],"binary":[["Buffer",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"encoding":"v9"}"#,
        r#"{"type":"message","message":null,"bytes":[1],"encoding":{"v8":null}}"#,
        r#"{"type":"message","message":null,"bytes":[3],"binary":[["Float16Array",[]]]}"#,
        r#"{"type":"message","message":{},"bytes":[1],"binary":[["Error",[]]]}"#,
        r#"{"type":"message","message":{},"bytes":[],"binary":[["Error",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1,1],"encoding":"v8","binary":[["Buffer",[]],["Buffer",[]]]}"#,
        r#"{"type":"message","encoding":"v8"}"#,
        r#"{"type":"message","message":null,"encoding":"v8"}"#,
        r#"{"type":"message","message":["AA=="],"encoding":"v8"}"#,
        r#"{"type":"result","id":1,"elapsed":2,"encoding":"v8","result":7}"#,
        r#"{"type":"result","id":1,"elapsed":2,"encoding":"v8"}"#,
        r#"{"type":"message","message":"AA==","encoding":"v8","binary":[["Buffer",[]]]}"#,
        r#"{"type":"message","message":null,"bytes":[1],"encoding":"v8","binary":[["Buffer",[]]]}"#,
        r#"{"type":"ready","version":1,"bytes":[1]}"#,
        r#"{"type":"error","id":1,"error":{},"bytes":[1],"binary":[["Buffer",[]]]}"#,
    ];
    for line in table {
        let error = one(line).expect_err(line);
        assert!(error.to_string().chars().count() < 400, "{error}");
    }
}

#[test]
fn bad_utf8_is_refused_wherever_it_stands() {
    for line in [
        &b"{\"type\":\"result\",\"id\":1,\"elapsed\":1,\"result\":\"\xff\"}\n"[..],
        b"{\"type\":\"ready\",\"version\":1,\"unknown\":\"\xc3\"}\n",
        b"\xf0\x9f\n",
    ] {
        let error = decode(line, &[usize::MAX], |_| ()).unwrap_err();
        assert!(matches!(error, WireError::NotUtf8 { .. }), "{error}");
    }
}

#[test]
fn an_error_quotes_the_line_and_stays() {
    let mut decoder = Decoder::new(LIMIT);
    let line = b"hi \x1b[0m there\n";
    decoder.buffer(100)[..line.len()].copy_from_slice(line);
    decoder.filled(line.len());
    let error = decoder.next().unwrap_err();
    assert!(error.to_string().ends_with(": hi \\u{1b}[0m there"), "{error}");
    assert_eq!(decoder.next().unwrap_err(), error);
    // serde_json quotes whole strings; bulkhead's message does not.
    let error = one(&format!(r#"{{"type":"result","id":"{}"}}"#, "x".repeat(100_000))).unwrap_err();
    assert!(error.to_string().chars().count() < 400, "{error}");
}

// [E3]
#[test]
fn an_endless_line_is_cut_before_the_buffer_grows_further() {
    let mut decoder = Decoder::new(LIMIT);
    let mut fed = 0;
    let error = loop {
        let space = decoder.buffer(1000);
        space.fill(b'x');
        let n = space.len();
        decoder.filled(n);
        fed += n;
        match decoder.next() {
            Ok(None) => assert!(fed <= LIMIT + SLACK),
            Ok(Some(_)) => panic!(),
            Err(error) => break error,
        }
    };
    assert_eq!(
        error,
        WireError::LineTooLong { limit: LIMIT + SLACK, excerpt: format!("{}…", "x".repeat(79)) }
    );
    assert!(decoder.capacity() <= LIMIT + SLACK + (256 << 10));
}

// [E4]
#[test]
fn announced_bytes_are_not_allocated_before_they_arrive() {
    let mut decoder = Decoder::new(600 << 20);
    decode_into(
        &mut decoder,
        b"{\"type\":\"message\",\"message\":null,\"bytes\":[500000000],\"binary\":[[\"Buffer\",[]]]}\n",
    );
    assert!(decoder.next().unwrap().is_none());
    decode_into(&mut decoder, &[0; 1000]);
    assert!(decoder.next().unwrap().is_none());
    assert!(decoder.has_partial());
    assert!(decoder.capacity() <= 256 << 10);
}

#[test]
fn a_giant_frame_gives_its_memory_back() {
    let mut decoder = Decoder::new(64 << 20);
    let text = "x".repeat(4 << 20);
    let line =
        format!("{{\"type\":\"result\",\"id\":1,\"elapsed\":1,\"result\":\"{text}\"}}\n{{\"type\"");
    for piece in line.as_bytes().chunks(100_000) {
        decode_into(&mut decoder, piece);
        if let Some(frame) = decoder.next().unwrap() {
            assert_eq!(frame.line.len(), line.len() - 8);
        }
    }
    assert!(decoder.capacity() > 4 << 20);
    assert_eq!(decoder.tail(), b"{\"type\"");
    decoder.buffer(1000);
    assert_eq!(decoder.tail(), b"{\"type\"");
    assert!(decoder.capacity() <= 256 << 10);
}

// [E13]
#[test]
fn five_million_nested_arrays_are_one_value() {
    let depth = 5_000_000;
    let json = "[".repeat(depth) + &"]".repeat(depth);
    let mut decoder = Decoder::new(64 << 20);
    decode_into(
        &mut decoder,
        format!("{{\"type\":\"result\",\"id\":1,\"elapsed\":1,\"result\":{json}}}\n").as_bytes(),
    );
    decode_into(
        &mut decoder,
        format!("{{\"result\":{json},\"type\":\"result\",\"id\":1}}\n").as_bytes(),
    );
    decode_into(
        &mut decoder,
        format!("{{\"unknown\":{json},\"type\":\"ready\",\"version\":1}}\n").as_bytes(),
    );
    for _ in 0..2 {
        let frame = decoder.next().unwrap().unwrap();
        let Up::Result { payload, .. } = frame.envelope else { panic!() };
        assert_eq!(payload.json.unwrap().get().len(), 2 * depth);
    }
    assert!(matches!(decoder.next().unwrap().unwrap().envelope, Up::Ready { .. }));
    // Where a shallow list is expected, a deep one is refused before the reader follows it.
    let mut decoder = Decoder::new(64 << 20);
    decode_into(&mut decoder, format!("{{\"type\":\"message\",\"bytes\":{json}}}\n").as_bytes());
    assert!(decoder.next().is_err());
}

#[test]
fn the_frame_that_was_lent_is_not_part_of_the_tail() {
    let mut decoder = Decoder::new(LIMIT);
    decode_into(&mut decoder, b"{\"type\":\"ready\",\"version\":1}\n{\"ty");
    assert!(decoder.next().unwrap().is_some());
    assert_eq!(decoder.tail(), b"{\"ty");
    assert!(decoder.next().unwrap().is_none());
    assert_eq!(decoder.tail(), b"{\"ty");
    assert!(decoder.has_partial());
}

#[test]
fn the_splitter_reads_what_the_supervisor_writes() {
    use crate::wire::down;

    let mut stream = Vec::new();
    down::task_prefix(&mut stream, 1, Some(0), 1, &[3, 0, 2], None);
    stream.extend_from_slice(b",\"task\":null}\na\nb\n\n");
    down::abort(&mut stream, 1, down::AbortReason::Abort);
    down::task_prefix(&mut stream, 2, None, 1, &[], None);
    stream.extend_from_slice(b",\"task\":{\"bytes\":[9]}}\n");
    down::stop(&mut stream);
    for piece in 1..stream.len() {
        let mut splitter = LineSplitter::new(usize::MAX);
        let mut seen = Vec::new();
        for bytes in stream.chunks(piece) {
            splitter.push(bytes);
            while let Some(frame) = splitter.next().unwrap() {
                let chunks: Vec<Vec<u8>> = frame.raw.chunks().map(<[u8]>::to_vec).collect();
                seen.push((String::from_utf8(frame.line.to_vec()).unwrap(), chunks));
            }
        }
        assert!(!splitter.has_partial());
        assert_eq!(seen.len(), 4);
        assert_eq!(seen[0].1, [b"a\nb".to_vec(), vec![], b"\n\n".to_vec()]);
        assert_eq!(seen[0].0, r#"{"bytes":[3,0,2],"type":"task","id":1,"task":null}"#);
        assert!(seen[1..].iter().all(|(_, chunks)| chunks.is_empty()));
        assert_eq!(seen[3].0, r#"{"type":"stop"}"#);
    }
}

fn decode_into(decoder: &mut Decoder, bytes: &[u8]) {
    decoder.buffer(bytes.len())[..bytes.len()].copy_from_slice(bytes);
    decoder.filled(bytes.len());
}

/// Makes a frame as an honest worker might write it.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let json = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        proptest::collection::vec(any::<u8>(), 0..200)
            .prop_map(|bytes| serde_json::to_string(&bytes).unwrap()),
    ];
    let raw = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4);
    (json, raw, any::<u64>(), 0..4).prop_map(|(json, raw, id, shape)| {
        let lengths: Vec<usize> = raw.iter().map(Vec::len).collect();
        let places: Vec<_> = lengths.iter().map(|_| ("Buffer", ["a"])).collect();
        let bytes = serde_json::to_string(&lengths).unwrap();
        let places = serde_json::to_string(&places).unwrap();
        let binary = format!(r#""bytes":{bytes},"binary":{places}"#);
        let mut frame = match shape {
            0 => format!(r#"{{"type":"result","id":{id},"elapsed":3,"result":{json}}}"#),
            1 => format!(r#"{{"type":"result","id":{id},"elapsed":3,"result":{json},{binary}}}"#),
            2 => format!(r#"{{{binary},"type":"message","message":{json}}}"#),
            _ => format!(r#"{{"type":"progress","id":{id},"value":{json},{binary}}}"#),
        }
        .into_bytes();
        frame.push(b'\n');
        if shape != 0 {
            frame.extend(raw.into_iter().flatten());
        }
        frame
    })
}

proptest! {
    // [E2]
    #[test]
    fn any_cut_gives_the_same_frames(
        frames in proptest::collection::vec(frame(), 1..6),
        pieces in proptest::collection::vec(1usize..300, 1..8),
        last in 0usize..100,
    ) {
        let mut stream = frames.concat();
        let mut whole = Vec::new();
        decode(&stream, &[usize::MAX], |frame| whole.push(describe(&frame))).unwrap();
        prop_assert_eq!(whole.len(), frames.len());
        for pieces in [&pieces[..], &[1]] {
            let mut cut = Vec::new();
            let decoder = decode(&stream, pieces, |frame| cut.push(describe(&frame))).unwrap();
            prop_assert!(!decoder.has_partial());
            prop_assert_eq!(&cut, &whole);
        }
        // The last frame is cut off somewhere: all frames before it still arrive, and the rest
        // stays visible.
        let cut_off = 1 + last % (frames[frames.len() - 1].len() - 1);
        stream.truncate(stream.len() - cut_off);
        let mut before = Vec::new();
        let decoder = decode(&stream, &pieces, |frame| before.push(describe(&frame))).unwrap();
        prop_assert_eq!(&before[..], &whole[..whole.len() - 1]);
        prop_assert!(decoder.has_partial());
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        piece in 1usize..64,
    ) {
        let _ = decode(&bytes, &[piece], |frame| drop(describe(&frame)));
    }

    #[test]
    fn damaged_frames_never_panic(
        frames in proptest::collection::vec(frame(), 1..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        piece in 1usize..64,
    ) {
        let mut stream = frames.concat();
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let _ = decode(&stream, &[piece], |frame| drop(describe(&frame)));
    }

    /// The short way and the general way agree, also on what they refuse.
    #[test]
    fn plain_results_read_the_same_in_any_order(tail in r#"[0-9\[\]{}",:a ]{0,12}"#) {
        let plain = one(&format!(r#"{{"type":"result","id":1,"elapsed":2,"result":{tail}}}"#));
        let general = one(&format!(r#"{{"type":"result", "id":1,"elapsed":2,"result":{tail}}}"#));
        prop_assert_eq!(plain.ok(), general.ok());
    }
}

#[test]
#[ignore = "prints a timing; run it with --release"]
fn timing_of_a_short_result() {
    let line = format!(
        "{{\"type\":\"result\",\"id\":123456,\"elapsed\":789,\"result\":{{\"a\":\"{}\"}}}}\n",
        "x".repeat(39)
    );
    assert_eq!(line.len(), 101);
    let general = line.replace("\"id\"", " \"id\"");
    for line in [line, general] {
        let batch = line.repeat(2000);
        let mut decoder = Decoder::new(LIMIT);
        let started = std::time::Instant::now();
        let mut frames = 0;
        for _ in 0..500 {
            decode_into(&mut decoder, batch.as_bytes());
            while let Some(frame) = decoder.next().unwrap() {
                std::hint::black_box(&frame);
                frames += 1;
            }
        }
        println!("{} ns a frame: {}", started.elapsed().as_nanos() / frames, line.trim());
    }
}

#[test]
fn a_result_that_result_prefix_began_is_read_back() {
    let table = [
        (
            ResultKind::Value,
            "[1]",
            r#"envelope: false, payload: Payload { json: Some(RawValue([1])), binary: None, encoding: Json }"#,
        ),
        (
            ResultKind::Envelope,
            "{}",
            r#"envelope: true, payload: Payload { json: Some(RawValue({})), binary: None, encoding: Json }"#,
        ),
        (
            ResultKind::Undefined,
            "",
            "envelope: false, payload: Payload { json: None, binary: None, encoding: Json }",
        ),
        (
            ResultKind::V8,
            r#""/w8=""#,
            r#"envelope: false, payload: Payload { json: Some(RawValue("/w8=")), binary: None, encoding: V8 }"#,
        ),
    ];
    for (kind, json, expected) in table {
        let mut line = Vec::new();
        up::result_prefix(&mut line, 7, 9, kind);
        line.extend_from_slice(json.as_bytes());
        let line = format!("{}}}", String::from_utf8(line).unwrap());
        assert_eq!(
            one(&line).unwrap(),
            format!("Result {{ id: 7, elapsed: 9, {expected} }}"),
            "{line}"
        );
        assert_eq!(ResultKind::from_number(kind as u32), kind);
    }
}
