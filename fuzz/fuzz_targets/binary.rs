//! Fuzzes the two lists that describe raw bytes. The decoder accepts exactly the lists that a
//! second reader accepts, and cuts the chunks as the list says.
//!
//! Input: the value of `bytes`, a newline, the value of `binary`.

#![no_main]

use bulkhead::internals::{Decoder, WireError};
use bulkhead_fuzz::{memory, reference};
use libfuzzer_sys::fuzz_target;

const MAX_MESSAGE: usize = 64 * 1024;
const LIMIT: u64 = MAX_MESSAGE as u64 + 64 * 1024;
/// The bytes for the buffer with a frame in it, while it grows, and for the lists.
const ALLOWED: usize = 1024 * 1024 + 2 * LIMIT as usize;

fuzz_target!(|input: &[u8]| {
    let Some(at) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (bytes, binary) = (&input[..at], &input[at + 1..]);
    if binary.contains(&b'\n') {
        return;
    }
    let line = [
        &b"{\"type\":\"message\",\"message\":[null],\"bytes\":"[..],
        bytes,
        b",\"binary\":",
        binary,
        b"}\n",
    ]
    .concat();
    let said = reference::read(&line[..line.len() - 1]);
    let lengths = said.as_ref().map_or(&[][..], |said| &said.lengths);
    let announced = lengths.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
    let behind = said.as_ref().is_some_and(|said| said.shared.is_none());
    let raw: Vec<u8> =
        (0..if behind { announced.min(LIMIT) } else { 0 }).map(|index| index as u8).collect();
    let (((), length), peak) = memory::peak_of(|| {
        let mut decoder = Decoder::new(MAX_MESSAGE);
        for part in [&line, &raw] {
            decoder.buffer(part.len())[..part.len()].copy_from_slice(part);
            decoder.filled(part.len());
            if behind && announced > 0 && part.len() == line.len() && raw.len() != line.len() {
                // The decoder waits for the rest, or refuses the frame.
                assert!(!matches!(decoder.next(), Ok(Some(_))));
            }
        }
        match (decoder.next(), &said) {
            (Ok(Some(frame)), Some(said)) => {
                assert_eq!(frame.raw.behind, raw);
                let cut: Vec<u64> = frame.raw.chunks().map(|chunk| chunk.len() as u64).collect();
                assert_eq!(cut, if behind { &said.lengths[..] } else { &[] });
                assert_eq!(frame.raw.chunks().collect::<Vec<_>>().concat(), raw);
            }
            (Ok(_), _) => panic!("accepted, or waited on"),
            (Err(WireError::TooManyBytes { .. }), Some(_)) => assert!(announced > LIMIT),
            (Err(error), Some(_)) => panic!("refused: {error}"),
            (Err(_), None) => {}
        }
        ((), line.len())
    });
    assert!(peak < ALLOWED + 64 * length, "{peak} bytes were allocated for {length}");
});
