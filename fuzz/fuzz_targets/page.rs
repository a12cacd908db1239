//! Fuzzes the shared page in hostile hands. The worker writes there whatever it likes, also while
//! the supervisor reads. The supervisor reads a bounded number of bytes, each once, never waits,
//! and never breaks.
//!
//! Input: whether a thread writes all the time, the claim word, the length of the journal, the
//! epoch that the supervisor expects, the journal. The first sixteen bytes of the journal also
//! serve as a position and two lengths in the rings.

#![no_main]

use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use bulkhead::internals::{
    Decoder, Direction, JOURNAL_CAPACITY, PAGE_SIZE, RING, Read, SharedPage, Writer,
};
use bulkhead_fuzz::memory;
use libfuzzer_sys::fuzz_target;
use memmap2::MmapRaw;

/// The offsets of the parts of the page, from docs/protocol.md.
const LENGTH: usize = 64;
const CONSUMED: usize = 128;
const JOURNAL: usize = 4096;
/// The bytes for a copy of the journal, for the decoder's buffer with it, and for its errors.
const ALLOWED: usize = JOURNAL_CAPACITY + 2 * 512 * 1024 + 16 * JOURNAL_CAPACITY;

/// The supervisor's page, and the worker's own mapping of the same memory.
struct Shared {
    page: SharedPage,
    worker: MmapRaw,
    /// Two flags: the worker's other thread should write, and it may be writing.
    busy: AtomicBool,
    writing: AtomicBool,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let page = SharedPage::create().expect("there is sealed memory here");
        let worker = memmap2::MmapOptions::new()
            .len(PAGE_SIZE)
            .map_raw(&page.as_fd())
            .expect("it can be mapped");
        std::thread::spawn(scribble);
        Shared { page, worker, busy: AtomicBool::new(false), writing: AtomicBool::new(false) }
    })
}

/// Changes the claim word, the length and the journal, again and again.
fn scribble() {
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    loop {
        let Shared { worker, busy, writing, .. } = shared();
        writing.store(true, Ordering::SeqCst);
        if !busy.load(Ordering::SeqCst) {
            writing.store(false, Ordering::SeqCst);
            std::thread::yield_now();
            continue;
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at = [0, LENGTH, JOURNAL + (random >> 8) as usize % 64][random as usize % 3]
            + (random >> 40) as usize % 8;
        byte(worker, at).store((random >> 32) as u8, Ordering::Relaxed);
    }
}

fn byte(map: &MmapRaw, at: usize) -> &AtomicU8 {
    assert!(at < PAGE_SIZE);
    // SAFETY: the byte lies within the mapping, which lives as long as the process.
    unsafe { &*map.as_ptr().add(at).cast::<AtomicU8>() }
}

fn write(map: &MmapRaw, at: usize, bytes: &[u8]) {
    for (index, value) in bytes.iter().enumerate() {
        byte(map, at + index).store(*value, Ordering::Relaxed);
    }
}

/// The worker claims that its bytes are in the ring, and that it has read up to here.
fn rings(page: &SharedPage, worker: &MmapRaw, place: &[u8]) {
    let at = u64::from_ne_bytes(place[..8].try_into().expect("eight bytes"));
    let lengths = [&place[8..12], &place[12..16]]
        .map(|bytes| u32::from_ne_bytes(bytes.try_into().expect("four bytes")) as usize);
    let total = lengths[0] + lengths[1];
    let (taken, peak) =
        memory::peak_of(|| page.take(Direction::FromWorker, &mut Read::default(), at, &lengths));
    assert!(peak <= RING + 4096, "{peak} bytes were allocated");
    match taken {
        Some(pieces) => assert!(pieces.iter().map(|piece| piece.len()).eq(lengths)),
        None => assert!(at as usize % RING + total > RING || at > 2 * RING as u64 - total as u64),
    }
    write(worker, CONSUMED, &place[..8]);
    let mut writer = Writer::default();
    for length in lengths {
        let bytes = vec![1; length % (RING / 4)];
        if let Some(at) = page.put(Direction::ToWorker, &mut writer, &[&bytes]) {
            assert!(at as usize % RING + bytes.len() <= RING);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((head, text)) = input.split_at_checked(17) else { return };
    let Shared { page, worker, busy, writing } = shared();
    let racing = head[0] & 1 == 1;
    let word: [u8; 8] = head[1..9].try_into().expect("eight bytes");
    let length: [u8; 4] = head[9..13].try_into().expect("four bytes");
    let epoch = u32::from_ne_bytes(head[13..17].try_into().expect("four bytes"));
    let text = &text[..text.len().min(JOURNAL_CAPACITY)];
    write(worker, 0, &word);
    write(worker, JOURNAL, text);
    write(worker, LENGTH, &length);
    busy.store(racing, Ordering::SeqCst);

    let word = u64::from_ne_bytes(word);
    let (found_epoch, started) = ((word >> 32) as u32, word as u32);
    let claims = page.claim_word();
    let taken = claims.reclaim(epoch);
    let claimed = claims.claim(epoch.wrapping_add(1));
    if !racing {
        match taken {
            Ok(now) => assert_eq!((now, epoch), ((epoch.wrapping_add(1), started), found_epoch)),
            Err(violation) => {
                assert_eq!((violation.expected, violation.found), (epoch, found_epoch))
            }
        }
        // After a violation the word has changed all the same, and a worker that claims follows the
        // word.
        let next = found_epoch.wrapping_add(1);
        assert_eq!(claimed, epoch == found_epoch);
        assert_eq!(claims.load(), (next, started.wrapping_add(u32::from(claimed))));
    }

    let (held, peak) = memory::peak_of(|| {
        let held = page.journal();
        let mut decoder = Decoder::new(64 * 1024);
        decoder.buffer(held.len().max(1))[..held.len()].copy_from_slice(&held);
        decoder.filled(held.len());
        while let Ok(Some(frame)) = decoder.next() {
            assert_eq!(frame.raw.chunks().map(<[u8]>::len).sum::<usize>(), frame.raw.behind.len());
        }
        held
    });
    assert!(held.len() <= JOURNAL_CAPACITY);
    assert!(peak < ALLOWED, "{peak} bytes were allocated");
    if !racing {
        assert_eq!(held.len(), (u32::from_ne_bytes(length) as usize).min(JOURNAL_CAPACITY));
        let known = held.len().min(text.len());
        assert_eq!(held[..known], text[..known]);
    }
    if let Some((place, _)) = text.split_at_checked(16) {
        rings(page, worker, place);
    }
    busy.store(false, Ordering::SeqCst);
    while writing.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    // The page of a new worker is empty.
    // SAFETY: the page begins with the claim word, and is aligned. The mapping lives as long as the
    // process, and every other access to these bytes is atomic, too.
    let word = unsafe { &*worker.as_ptr().cast::<AtomicU64>() };
    word.store(0, Ordering::Relaxed);
});
