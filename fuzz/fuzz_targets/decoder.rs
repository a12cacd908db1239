//! Fuzzes a worker's stream, cut anywhere. The frames do not depend on the cuts, and are where a
//! second reader finds them; the rest stays visible. The decoder takes no more memory than the
//! limit allows, whatever the stream announces.
//!
//! Input: the lengths of the pieces (their number first), the number of times that the rest is
//! repeated, the stream.

#![no_main]

use bulkhead::internals::{Decoder, WireError};
use bulkhead_fuzz::{memory, reference};
use libfuzzer_sys::fuzz_target;

/// The size of the largest message, in bytes.
const MAX_MESSAGE: usize = 2048;
/// The limits of a line, and of the raw bytes behind it.
const LIMIT: usize = MAX_MESSAGE + 64 * 1024;
/// The bytes for the buffer and the list of lengths. The buffer holds at most a frame and what was
/// read behind it, and grows. In the list, two bytes of text become eight or sixteen, and again
/// while it grows.
const ALLOWED: usize = 2 * (2 * LIMIT + 512 * 1024) + 12 * LIMIT;

/// A frame as text, and the position of its end in the stream.
type Seen = (String, usize);

fn decode(
    stream: &[u8],
    mut pieces: impl Iterator<Item = usize>,
) -> (Vec<Seen>, Result<Vec<u8>, WireError>) {
    let mut decoder = Decoder::new(MAX_MESSAGE);
    let (mut seen, mut at) = (Vec::new(), 0);
    let mut rest = stream;
    while !rest.is_empty() {
        let n = pieces.next().unwrap_or(usize::MAX).clamp(1, rest.len());
        let n = n.min(decoder.buffer(1).len());
        decoder.buffer(n)[..n].copy_from_slice(&rest[..n]);
        decoder.filled(n);
        rest = &rest[n..];
        loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    let begin = at;
                    at += frame.line.len() + 1 + frame.raw.behind.len();
                    assert_eq!(&stream[begin..begin + frame.line.len()], frame.line);
                    assert_eq!(stream[begin + frame.line.len()], b'\n');
                    assert!(!frame.line.contains(&b'\n'));
                    assert_eq!(&stream[at - frame.raw.behind.len()..at], frame.raw.behind);
                    let said =
                        reference::read(frame.line).expect("what is accepted is of the protocol");
                    assert_eq!(said.shared, frame.raw.shared);
                    assert!(
                        said.lengths.iter().copied().eq(frame
                            .raw
                            .lengths
                            .iter()
                            .map(|length| *length as u64))
                    );
                    if said.shared.is_none() {
                        let lengths: Vec<u64> =
                            frame.raw.chunks().map(|chunk| chunk.len() as u64).collect();
                        assert_eq!(said.lengths, lengths);
                    }
                    assert_eq!(frame.raw.chunks().collect::<Vec<_>>().concat(), frame.raw.behind);
                    seen.push((format!("{:?}", frame.envelope), at));
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next().err().as_ref(), Some(&error), "an error stays");
                    return (seen, Err(error));
                }
            }
        }
    }
    assert_eq!(decoder.tail(), &stream[at..]);
    assert_eq!(decoder.has_partial(), at < stream.len());
    // The rest is no whole frame.
    if let Some(end) = stream[at..].iter().position(|byte| *byte == b'\n') {
        let said = reference::read(&stream[at..at + end])
            .expect("only a line of the protocol is waited on");
        assert!(said.shared.is_none(), "nothing to wait for");
        assert!(said.lengths.iter().sum::<u64>() > (stream.len() - at - end - 1) as u64);
    }
    (seen, Ok(stream[at..].to_vec()))
}

fuzz_target!(|input: &[u8]| {
    let Some((&count, rest)) = input.split_first() else { return };
    let Some((pieces, rest)) = rest.split_at_checked(usize::from(count % 8)) else { return };
    let Some((&repeat, stream)) = rest.split_first() else { return };
    // Long streams are slow to work through, so most are short.
    let stream = if repeat < 0xf0 { stream.to_vec() } else { stream.repeat(1 << (repeat & 7)) };
    let length = stream.len();
    let ((whole, end), peak) = memory::peak_of(|| decode(&stream, std::iter::repeat(usize::MAX)));
    // The frames seen so far are kept here, too.
    assert!(peak < ALLOWED + 40 * length, "{peak} bytes were allocated for {length}");
    for pieces in [pieces, &[1]] {
        if pieces.is_empty() || length > 8192 {
            continue;
        }
        let cut = decode(&stream, pieces.iter().cycle().map(|piece| usize::from(*piece)));
        assert_eq!((&cut.0, &cut.1), (&whole, &end));
    }
});
