//! The claim word: what proves that a task has, or has not, started.
//!
//! ```text
//!   63            32 31             0
//!   |     epoch     |    started    |     both wrap around
//! ```
//!
//! Every task is sent with the epoch of its time. Before any user code runs, the worker claims the
//! next task by moving `(e, k)` to `(e, k + 1)`; where the epoch is no longer that of the task, it
//! drops the task instead. The supervisor takes back all that has not started by moving `(e, k)` to
//! `(e + 1, k)`. Either move comes first, so the two never disagree about `k`: the first `k` of the
//! tasks that were sent have started, and no other ever will.
//!
//! `started` counts on across epochs, for as long as the worker lives.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// One worker's claim word, in shared memory or (for tests) anywhere else.
///
/// One thread of the worker claims, one thread of the supervisor takes back. That both go well
/// together with a dishonest other side is limited to this: no call ever waits or loops for it.
#[derive(Debug)]
#[repr(transparent)]
pub struct ClaimWord(AtomicU64);

/// A worker has changed the epoch, which is not its to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("claim word is in epoch {found} where the supervisor left it in {expected}")]
pub struct Violation {
    /// The epoch that the supervisor set last.
    pub expected: u32,
    /// The epoch that is there.
    pub found: u32,
}

impl ClaimWord {
    /// Epoch 0, nothing started.
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The worker's move, before it runs a task that was sent in `epoch`. `false`: the task has
    /// been taken back, and the worker has to forget it.
    #[must_use = "a task that could not be claimed must not run"]
    pub fn claim(&self, epoch: u32) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let (current, started) = split(seen);
            if current != epoch {
                return false;
            }
            // Fails at most as often as the supervisor takes back, and then the epoch is another.
            // The supervisor reads nothing but this word, so the order of other memory does not
            // matter; AcqRel costs nothing on top.
            let next = join(current, started.wrapping_add(1));
            match self.0.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(found) => seen = found,
            }
        }
    }

    /// `(epoch, started)` at this moment.
    pub fn load(&self) -> (u32, u32) {
        split(self.0.load(Ordering::Acquire))
    }

    /// The supervisor's move: nothing sent in `epoch` starts after this. Gives `(new epoch,
    /// started)`; of all tasks sent so far, the first `started` (counted since the worker's birth,
    /// modulo 2^32) have started. The caller checks that this lies between what it knew and what it
    /// sent.
    ///
    /// After a [`Violation`] the word means nothing any more.
    pub fn reclaim(&self, epoch: u32) -> Result<(u32, u32), Violation> {
        // An addition in the upper half, rather than a loop of compare-and-swap: a worker that
        // keeps claiming cannot keep us here. A carry out of the epoch falls off the end, which is
        // how it wraps.
        let (found, started) = split(self.0.fetch_add(1 << 32, Ordering::AcqRel));
        if found != epoch {
            return Err(Violation { expected: epoch, found });
        }
        Ok((epoch.wrapping_add(1), started))
    }
}

impl Default for ClaimWord {
    fn default() -> Self {
        Self::new()
    }
}

fn split(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

fn join(epoch: u32, started: u32) -> u64 {
    u64::from(epoch) << 32 | u64::from(started)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn claims_count_and_stop_when_taken_back() {
        let word = ClaimWord::new();
        assert!(word.claim(0));
        assert!(word.claim(0));
        assert!(!word.claim(1));
        assert_eq!(word.load(), (0, 2));
        assert_eq!(word.reclaim(0), Ok((1, 2)));
        assert!(!word.claim(0));
        assert_eq!(word.load(), (1, 2));
        assert!(word.claim(1));
        assert_eq!(word.load(), (1, 3));
    }

    #[test]
    fn both_halves_wrap_on_their_own() {
        let word = ClaimWord(AtomicU64::new(join(u32::MAX, u32::MAX)));
        assert!(word.claim(u32::MAX));
        assert_eq!(word.load(), (u32::MAX, 0));
        assert_eq!(word.reclaim(u32::MAX), Ok((0, 0)));
        assert_eq!(word.load(), (0, 0));
    }

    #[test]
    fn a_changed_epoch_is_noticed() {
        let word = ClaimWord(AtomicU64::new(join(7, 3)));
        assert_eq!(word.reclaim(6), Err(Violation { expected: 6, found: 7 }));
    }

    /// The supervisor sends, takes back what has not started and sends it again, as fast as both
    /// can.
    // [E20, E21]
    #[test]
    fn every_task_starts_once_under_stress() {
        const TASKS: u32 = 100_000;
        let word = ClaimWord::new();
        let starts: Vec<AtomicU32> = (0..TASKS).map(|_| AtomicU32::new(0)).collect();
        let (send, receive) = mpsc::channel::<(u32, u32)>();
        std::thread::scope(|scope| {
            let (word, starts) = (&word, &starts);
            scope.spawn(move || {
                for (epoch, task) in receive {
                    if word.claim(epoch) {
                        starts[task as usize].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            scope.spawn(move || {
                let mut queue: std::collections::VecDeque<u32> = (0..TASKS).collect();
                let mut sent = std::collections::VecDeque::new();
                let (mut epoch, mut settled) = (0, 0);
                while !queue.is_empty() || !sent.is_empty() {
                    for task in queue.drain(..queue.len().min(64)) {
                        send.send((epoch, task)).unwrap();
                        sent.push_back(task);
                    }
                    let (next, started) = word.reclaim(epoch).unwrap();
                    let newly = started.wrapping_sub(settled) as usize;
                    assert!(newly <= sent.len(), "{newly} of {} started", sent.len());
                    sent.drain(..newly);
                    while let Some(task) = sent.pop_back() {
                        queue.push_front(task);
                    }
                    (epoch, settled) = (next, started);
                    if newly == 0 {
                        // What follows in the new epoch gets a moment.
                        for task in queue.drain(..queue.len().min(8)) {
                            send.send((epoch, task)).unwrap();
                            sent.push_back(task);
                        }
                        std::thread::yield_now();
                    }
                }
            });
        });
        assert_eq!(word.load().1, TASKS);
        assert!(starts.iter().all(|starts| starts.load(Ordering::Relaxed) == 1));
    }
}

/// Every order in which the moves of the two sides can fall. See `model/Cargo.toml`.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// The worker tries tasks 0, 1, 2 of epoch 0, then 3 of epoch 1, while the supervisor takes
    /// back once.
    #[test]
    fn what_was_taken_back_never_starts() {
        loom::model(|| {
            let word = Arc::new(ClaimWord::new());
            let worker = {
                let word = Arc::clone(&word);
                thread::spawn(move || [0, 0, 0, 1].map(|epoch| word.claim(epoch)))
            };
            let (epoch, started) = word.reclaim(0).unwrap();
            let claimed = worker.join().unwrap();
            assert_eq!(epoch, 1);
            // The supervisor's number is exactly what the worker did: the first ones, and only
            // those.
            let first: Vec<bool> = (0..3).map(|task| task < started).collect();
            assert_eq!(claimed[..3], first);
            assert_eq!(word.load(), (1, started + u32::from(claimed[3])));
            if started < 3 {
                assert!(claimed[3], "a task of the new epoch can start");
            }
        });
    }

    #[test]
    fn started_goes_on_over_two_epochs() {
        loom::model(|| {
            let word = Arc::new(ClaimWord::new());
            let worker = {
                let word = Arc::clone(&word);
                thread::spawn(move || [0, 1, 1, 2].map(|epoch| word.claim(epoch)))
            };
            let (_, first) = word.reclaim(0).unwrap();
            let (epoch, second) = word.reclaim(1).unwrap();
            let claimed = worker.join().unwrap();
            assert_eq!(epoch, 2);
            assert_eq!(first, u32::from(claimed[0]));
            assert_eq!(second - first, u32::from(claimed[1]) + u32::from(claimed[2]));
            assert_eq!(word.load().1, second + u32::from(claimed[3]));
        });
    }
}
