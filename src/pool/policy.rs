//! The numbers the pool decides by: predicted run times, back-off, the restart budget.

use std::collections::VecDeque;

use crate::pool::config::RestartConfig;
use crate::pool::ids::Micros;

/// Work that is sent ahead to one worker, by prediction: depth is worth an order of magnitude for
/// tiny tasks and nothing for long ones, whose wait it would only make unfair.
pub const PREFETCH_WORK: Micros = 1_000;
/// A single task is sent ahead up to this length: the wake-ups between two tasks of a millisecond
/// cost a sixth of the throughput, those between two of ten cost nothing. Less than [`STALL`], as
/// it would be taken back before it can begin.
pub const PREFETCH_ONE: Micros = 1_500;
/// What is assumed of a handler whose tasks have not been seen: they may be long.
pub const UNKNOWN: Micros = 10_000;
/// Tasks that are sent ahead to one worker, at most.
pub const PREFETCH_TASKS: usize = 256;
/// Bytes that are sent ahead to one worker, at most (a single task may be larger).
pub const PREFETCH_BYTES: usize = 1 << 20;
/// A worker that has shown no progress for this long gives back what it has not started.
pub const STALL: Micros = 2 * PREFETCH_WORK;
/// How long a task that was aborted or is overdue may take to end by itself before its worker is
/// asked to die. The grace period, where that is shorter.
pub const COOPERATION: Micros = 100_000;

/// How long a worker may leave lying what it is due to run, at least: a sound one may have to wait
/// for a busy machine. The grace period, where that is longer.
pub const MIN_CLAIM_TIME: Micros = 500_000;

/// How long the end of an overdue task waits for its worker's stack. Fetching that is bounded by
/// itself, and shorter.
pub const CAPTURE: Micros = 2_000_000;

/// Predicts how long a task will run, by handler: a moving average over what the workers measured.
#[derive(Debug)]
pub struct Predictor {
    averages: Vec<Option<f32>>,
}

impl Default for Predictor {
    fn default() -> Self {
        Self { averages: vec![None; usize::from(u8::MAX) + 1] }
    }
}

impl Predictor {
    /// Takes in one measured run time.
    pub fn learn(&mut self, handler: u8, elapsed: u32) {
        // The worker is not trusted with numbers: whatever it says, the average stays within a
        // minute.
        let sample = elapsed.min(60_000_000) as f32;
        let average = &mut self.averages[usize::from(handler)];
        *average = Some(match *average {
            // One long task says more than many short ones: what was sent ahead would wait behind
            // the next.
            Some(old) if sample < PREFETCH_WORK as f32 => old + (sample - old) / 8.0,
            _ => sample,
        });
    }

    /// The predicted run time; that of a long task while nothing is known. Never 0, as every task
    /// costs something.
    pub fn predict(&self, handler: u8) -> Micros {
        self.averages[usize::from(handler)].map_or(UNKNOWN, |average| (average as Micros).max(1))
    }
}

/// Counts starts that failed, and says when to give up.
#[derive(Debug, Default)]
pub struct RestartBudget {
    recent: VecDeque<Micros>,
    in_a_row: usize,
}

impl RestartBudget {
    /// Takes in a failed start; whether the budget is spent. Slow failures (a start timeout longer
    /// than the window) count as well, as long as no worker gets ready in between.
    pub fn spend(&mut self, now: Micros, config: &RestartConfig) -> bool {
        self.in_a_row += 1;
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|&at| at.saturating_add(config.window) < now) {
            self.recent.pop_front();
        }
        self.recent.len() > config.limit || self.in_a_row > config.limit
    }

    /// A worker got ready.
    pub fn succeed(&mut self) {
        self.in_a_row = 0;
    }

    /// Failures since a worker last got ready.
    pub fn in_a_row(&self) -> usize {
        self.in_a_row
    }
}

/// A pause that doubles with each failure: `first`, `2 * first`, … up to `most`.
pub fn backoff(first: Micros, most: Micros, failures: usize) -> Micros {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(32);
    first.saturating_mul(1u64 << doublings).min(most)
}

/// A small generator of jitter (splitmix64), so that workers which died together do not come back
/// together.
#[derive(Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `span`, shortened by up to a quarter.
    pub fn apply(&mut self, span: Micros) -> Micros {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        span - if span < 4 { 0 } else { z % (span / 4) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: RestartConfig =
        RestartConfig { limit: 2, window: 1_000, min_delay: 10, max_delay: 35 };

    #[test]
    fn the_budget_counts_failures_within_the_window_or_in_a_row() {
        let mut budget = RestartBudget::default();
        assert!(!budget.spend(0, &CONFIG));
        budget.succeed();
        assert!(!budget.spend(5_000, &CONFIG));
        assert!(!budget.spend(9_000, &CONFIG));
        assert!(budget.spend(20_000, &CONFIG), "three in a row, however slow");
        let mut budget = RestartBudget::default();
        assert!(!budget.spend(0, &CONFIG));
        assert!(!budget.spend(1, &CONFIG));
        budget.succeed();
        assert!(budget.spend(2, &CONFIG), "three within the window");
    }

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let pauses: Vec<_> = (1..=5).map(|n| backoff(10, 35, n)).collect();
        assert_eq!(pauses, [10, 20, 35, 35, 35]);
        assert_eq!(backoff(u64::MAX / 2, u64::MAX, 500), u64::MAX);
    }

    #[test]
    fn jitter_takes_away_at_most_a_quarter() {
        let mut jitter = Jitter::new(7);
        for span in [0, 1, 3, 100, 5_000_000] {
            let pause = jitter.apply(span);
            assert!(pause <= span && pause >= span - span / 4, "{pause} of {span}");
        }
    }

    #[test]
    fn a_long_task_is_believed_at_once_and_short_ones_slowly() {
        let mut predictor = Predictor::default();
        assert_eq!(predictor.predict(0), UNKNOWN);
        predictor.learn(0, 0);
        assert_eq!(predictor.predict(0), 1);
        predictor.learn(0, 500_000);
        assert_eq!(predictor.predict(0), 500_000);
        for _ in 0..200 {
            predictor.learn(0, 2);
        }
        assert!(predictor.predict(0) < 10);
        assert_eq!(predictor.predict(1), UNKNOWN, "handlers do not share an average");
    }
}
