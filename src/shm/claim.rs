//! The claim word: the proof that a task has, or has not, started.
//!
//! ```text
//!  63            32 31             0
//!  |     epoch     |    started    |     both wrap around
//! ```
//!
//! The supervisor sends every task with the current epoch. Before user code runs, the worker claims
//! the next task: it moves `(e, k)` to `(e, k + 1)`. If the epoch is not that of the task, it drops
//! the task instead. The supervisor reclaims all tasks that have not started: it moves `(e, k)` to
//! `(e + 1, k)`.
//!
//! One of the two moves comes first, so both sides agree on `k`. The first `k` of the tasks that
//! were sent have started, and no other ever will.
//!
//! `started` counts on across epochs, as long as the worker lives.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// The claim word of one worker, in shared memory or (in tests) in any other.
///
/// One thread of the worker claims, and one thread of the supervisor reclaims. If the other side is
/// dishonest, the only promise is that no call waits or loops for it.
#[derive(Debug)]
#[repr(transparent)]
pub struct ClaimWord(AtomicU64);

/// The worker has changed the epoch, which only the supervisor may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("claim word is in epoch {found} where the supervisor left it in {expected}")]
pub struct Violation {
    /// The epoch that the supervisor set last.
    pub expected: u32,
    /// The epoch in the claim word.
    pub found: u32,
}

impl ClaimWord {
    /// Makes a claim word in epoch 0, with nothing started.
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Claims a task that was sent in `epoch`, before the worker runs it. `false`: the supervisor
    /// has reclaimed the task, and the worker must drop it.
    #[must_use = "a task that could not be claimed must not run"]
    pub fn claim(&self, epoch: u32) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let (current, started) = split(seen);
            if current != epoch {
                return false;
            }
            // This fails at most once for each reclaim, and then the epoch differs. The supervisor
            // reads only this word, so the order of other memory does not matter. AcqRel costs
            // nothing more.
            let next = join(current, started.wrapping_add(1));
            match self.0.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(found) => seen = found,
            }
        }
    }

    /// Returns `(epoch, started)`.
    pub fn load(&self) -> (u32, u32) {
        split(self.0.load(Ordering::Acquire))
    }

    /// Reclaims the tasks of `epoch`: none of them starts after this call. Returns `(new epoch,
    /// started)`: the first `started` of all tasks sent so far have started, counted since the
    /// worker's birth, modulo 2^32. The caller checks that `started` lies between the value that it
    /// knew and the number of tasks that it sent.
    ///
    /// After a [`Violation`] the word has no meaning any more.
    pub fn reclaim(&self, epoch: u32) -> Result<(u32, u32), Violation> {
        // An addition in the upper half, and not a compare-and-swap loop: a worker that keeps
        // claiming cannot keep the supervisor here. A carry out of the epoch is lost, and so the
        // epoch wraps.
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

    /// The supervisor sends tasks, reclaims those that have not started, and sends them again, as
    /// fast as both sides can.
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
                        // The worker gets a moment for tasks of the new epoch.
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

/// Tries every order of the moves of the two sides. See `model/Cargo.toml`.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// The worker tries tasks 0, 1 and 2 of epoch 0, then task 3 of epoch 1, while the supervisor
    /// reclaims once.
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
            // The supervisor's number is exact: the worker ran the first tasks, and only those.
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
