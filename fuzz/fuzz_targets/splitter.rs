//! Fuzzes the way down: how the addon in a worker reads its supervisor's stream, cut anywhere.
//!
//! Input: as for the target `decoder`, without the repetition.

#![no_main]

use bulkhead::internals::LineSplitter;
use bulkhead_fuzz::{json, memory, reference};
use libfuzzer_sys::fuzz_target;

const MAX_MESSAGE: usize = 2048;
const LIMIT: usize = MAX_MESSAGE + 64 * 1024;
/// The bytes as in the target `decoder`.
const ALLOWED: usize = 2 * (2 * LIMIT + 512 * 1024) + 12 * LIMIT;

/// The lines with their chunks, and the rest; `None` after an error.
type Split = (Vec<(Vec<u8>, Vec<Vec<u8>>)>, Option<Vec<u8>>);

fn split(stream: &[u8], mut pieces: impl Iterator<Item = usize>) -> Split {
    let mut splitter = LineSplitter::new(MAX_MESSAGE);
    let (mut frames, mut rest) = (Vec::new(), stream);
    while !rest.is_empty() {
        let n = pieces.next().unwrap_or(usize::MAX).clamp(1, rest.len());
        splitter.push(&rest[..n]);
        rest = &rest[n..];
        loop {
            match splitter.next() {
                Ok(Some(frame)) => {
                    let chunks: Vec<Vec<u8>> = frame.raw.chunks().map(<[u8]>::to_vec).collect();
                    assert_eq!(chunks.concat(), frame.raw.behind);
                    frames.push((frame.line.to_vec(), chunks));
                }
                Ok(None) => break,
                Err(_) => return (frames, None),
            }
        }
    }
    assert_eq!(splitter.has_partial(), !splitter.tail().is_empty());
    (frames, Some(splitter.tail().to_vec()))
}

/// Splits the stream by the definition.
fn expected(stream: &[u8]) -> Split {
    let (mut frames, mut rest) = (Vec::new(), stream);
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        let lengths = match line.strip_prefix(b"{\"bytes\":") {
            Some(list) if list.first() == Some(&b'[') => lengths(list),
            _ => Some(Vec::new()),
        };
        let sum = lengths
            .as_ref()
            .map(|lengths| lengths.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)));
        let Some(lengths) = lengths.filter(|_| sum.is_some_and(|sum| sum <= LIMIT as u64)) else {
            return (frames, None);
        };
        let mut raw = &rest[end + 1..];
        let lengths = match shared(line) {
            Ok(true) => Vec::new(),
            Ok(false) => lengths,
            // The code under test must refuse the line, too.
            Err(()) => return (frames, None),
        };
        if (raw.len() as u64) < lengths.iter().sum() {
            break;
        }
        let mut chunks = Vec::new();
        for length in lengths {
            let (chunk, others) = raw.split_at(length as usize);
            chunks.push(chunk.to_vec());
            raw = others;
        }
        frames.push((line.to_vec(), chunks));
        rest = raw;
    }
    (frames, Some(rest.to_vec()))
}

/// Returns whether the raw bytes that `line` announces are in the shared memory: a position follows
/// their lengths.
fn shared(line: &[u8]) -> Result<bool, ()> {
    let Some(list) = line.strip_prefix(b"{\"bytes\":").filter(|list| list.first() == Some(&b'['))
    else {
        return Ok(false);
    };
    let Some(end) = json::value_end(list, 0) else { return Ok(false) };
    let Some(position) = list[end..].strip_prefix(b",\"shared\":") else { return Ok(false) };
    let position = &position[json::skip_space(position, 0)..];
    let digits = position.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ends = position.get(digits).is_none_or(|byte| b" \n\t\r\"[]{},:".contains(byte));
    let number = std::str::from_utf8(&position[..digits]).ok().and_then(reference::integer);
    if ends && number.is_some() { Ok(true) } else { Err(()) }
}

/// Returns the array of lengths at the beginning of `text`.
fn lengths(text: &[u8]) -> Option<Vec<u64>> {
    let end = json::value_end(text, 0)?;
    json::elements(std::str::from_utf8(&text[..end]).ok()?)?
        .into_iter()
        .map(reference::integer)
        .collect()
}

fuzz_target!(|input: &[u8]| {
    let Some((&count, rest)) = input.split_first() else { return };
    let Some((pieces, stream)) = rest.split_at_checked(usize::from(count % 8)) else { return };
    if stream.len() > LIMIT {
        return;
    }
    let expected = expected(stream);
    for pieces in [pieces, &[1], &[255]] {
        if pieces.is_empty() || (stream.len() > 8192 && pieces == [1]) {
            continue;
        }
        let pieces = pieces.iter().cycle().map(|piece| usize::from(*piece));
        let (split, peak) = memory::peak_of(|| split(stream, pieces));
        assert_eq!(split, expected);
        assert!(
            peak < ALLOWED + 64 * stream.len(),
            "{peak} bytes were allocated for {}",
            stream.len()
        );
    }
});
