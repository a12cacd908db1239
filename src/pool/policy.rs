//! The numbers the pool decides by: predicted run times, back-off, the restart budget, and the time
//! limits that are no options.

use std::collections::VecDeque;

use crate::pool::config::RestartConfig;
use crate::pool::ids::Micros;

/// Predicted work that is prefetched to one worker. Depth is worth an order of magnitude for tiny
/// tasks. For long tasks it is worth nothing, and only makes their wait unfair.
pub(crate) const PREFETCH_WORK: Micros = 1_000;
/// The most predicted work that is prefetched to one worker while tasks wait for long: see
/// [`prefetch_work`].
pub(crate) const PREFETCH_MOST: Micros = 5_000;
/// The longest predicted run time at which a single task is prefetched. The wake-ups between two
/// tasks of a millisecond cost a sixth of the throughput; those between two of ten cost nothing. It
/// is less than [`stall`], after which the task would be reclaimed before it can start.
pub(crate) const PREFETCH_ONE: Micros = 1_500;
/// The longest work of a worker that JavaScript's thread leads. Beyond it a wake-up of the
/// supervisor thread costs little in comparison, and takes the reading off JavaScript's thread.
pub(crate) const LED_WORK: Micros = 500;
/// The predicted run time of a handler whose tasks have not been seen: they may be long.
pub(crate) const UNKNOWN: Micros = 10_000;
/// The most tasks that are prefetched to one worker.
pub(crate) const PREFETCH_TASKS: usize = 256;
/// The most bytes that are prefetched to one worker. A single task may be larger.
pub(crate) const PREFETCH_BYTES: usize = 1 << 20;
/// A task that has waited may wait for this part of its wait once more, where that saves wake-ups:
/// behind prefetched tasks before it starts, and with its result after it has ended.
const WAIT_SHARE: Micros = 8;
/// The steps of [`patience`]. Few of them, so that a worker can count its attempts by step.
const PATIENCE: [Micros; PATIENCE_STEPS] = [0, 1_000, 2_000, 4_000];
/// The number of steps of [`patience`].
pub(crate) const PATIENCE_STEPS: usize = 4;
/// The granularity of the supervisor's timers: one may fire that much late.
const TIMER: Micros = 1_000;
/// The time that an aborted or overdue task has to end by itself before its worker is stopped. The
/// grace period, if that is shorter.
pub(crate) const COOPERATION: Micros = 100_000;

/// The least time that a worker has to claim a task that it should be running: a sound worker may
/// have to wait for a busy machine. The grace period, if that is longer.
pub(crate) const MIN_CLAIM_TIME: Micros = 500_000;

/// The time that the end of an overdue task waits for its worker's stack. The capture itself has a
/// shorter limit.
pub(crate) const CAPTURE: Micros = 2_000_000;

/// Returns the predicted work (µs) that a worker may hold ahead when it is sent a task that has
/// waited for `wait`.
pub(crate) fn prefetch_work(wait: Micros) -> Micros {
    (wait / WAIT_SHARE).clamp(PREFETCH_WORK, PREFETCH_MOST)
}

/// Returns the time without progress after which a worker gives back tasks that it has not claimed.
/// `ahead`: the [`prefetch_work`] of the last of them. A task of that length, whose predecessor's
/// result waits for it, is no stall.
pub(crate) fn stall(ahead: Micros) -> Micros {
    2 * ahead
}

/// Returns the step of the time for which the result of a task may wait so that it travels with
/// others: at most 4 ms, and an eighth of `wait`, for which the task has waited itself. A result
/// waits twice: in its worker ([`held_by_worker`]) and in the outbox ([`held_by_outbox`]).
pub(crate) fn patience(wait: Micros) -> u8 {
    let share = wait / WAIT_SHARE;
    (0..).zip(PATIENCE).filter(|&(_, time)| time <= share).map(|(step, _)| step).max().unwrap_or(0)
}

/// Returns the part (µs) of a step of [`patience`] for which the worker may hold the result.
pub(crate) fn held_by_worker(step: u8) -> Micros {
    PATIENCE[usize::from(step)] / 2
}

/// Returns the time (µs) after which JavaScript must be woken for a result of this step of
/// [`patience`]: the part that the worker leaves over, less what a timer may be late.
pub(crate) fn held_by_outbox(step: u8) -> Micros {
    (PATIENCE[usize::from(step)] - held_by_worker(step)).saturating_sub(TIMER)
}

/// Predicts how long a task will run, by handler: a moving average over what the workers measured.
#[derive(Debug)]
pub(crate) struct Predictor {
    averages: Vec<Option<f32>>,
}

impl Default for Predictor {
    fn default() -> Self {
        Self { averages: vec![None; usize::from(u8::MAX) + 1] }
    }
}

impl Predictor {
    /// Learns one measured run time (µs).
    pub(crate) fn learn(&mut self, handler: u8, elapsed: u32) {
        // The worker is not trusted with numbers: the average stays within a minute, whatever the
        // worker measures.
        let sample = elapsed.min(60_000_000) as f32;
        let average = &mut self.averages[usize::from(handler)];
        *average = Some(match *average {
            // One long task says more than many short ones: prefetched tasks would wait behind the
            // next long one.
            Some(old) if sample < PREFETCH_WORK as f32 => old + (sample - old) / 8.0,
            _ => sample,
        });
    }

    /// Returns the predicted run time (µs), or that of a long task while nothing is known. It is
    /// never 0, because every task costs something.
    pub(crate) fn predict(&self, handler: u8) -> Micros {
        self.averages[usize::from(handler)].map_or(UNKNOWN, |average| (average as Micros).max(1))
    }
}

/// A count of failed starts, which tells when to give up.
#[derive(Debug, Default)]
pub(crate) struct RestartBudget {
    recent: VecDeque<Micros>,
    in_a_row: usize,
}

impl RestartBudget {
    /// Counts a failed start, and returns whether the budget is spent. Slow failures (a start
    /// timeout longer than the window) count as well, as long as no worker gets ready in between.
    pub(crate) fn spend(&mut self, now: Micros, config: &RestartConfig) -> bool {
        self.in_a_row += 1;
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|&at| at.saturating_add(config.window) < now) {
            self.recent.pop_front();
        }
        self.recent.len() > config.limit || self.in_a_row > config.limit
    }

    /// Resets the row of failures: a worker got ready.
    pub(crate) fn succeed(&mut self) {
        self.in_a_row = 0;
    }

    /// Returns the number of failures since a worker last got ready.
    pub(crate) fn in_a_row(&self) -> usize {
        self.in_a_row
    }
}

/// Returns a pause that doubles with each failure: `first`, `2 * first`, … up to `most`.
pub(crate) fn backoff(first: Micros, most: Micros, failures: usize) -> Micros {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(32);
    first.saturating_mul(1u64 << doublings).min(most)
}

/// A small generator of jitter (splitmix64), so that workers which died together do not come back
/// together.
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    /// Makes a source of jitter. Any seed will do.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns `span`, shortened by up to a quarter.
    pub(crate) fn apply(&mut self, span: Micros) -> Micros {
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
    fn a_result_waits_for_at_most_an_eighth_of_its_tasks_wait_and_four_milliseconds() {
        for wait in (0..100_000).step_by(500).chain([Micros::MAX]) {
            let step = patience(wait);
            let timer = if held_by_outbox(step) > 0 { TIMER } else { 0 };
            let total = held_by_worker(step) + held_by_outbox(step) + timer;
            assert!(total <= (wait / 8).min(4_000), "{total} of {wait}");
        }
        assert_eq!((held_by_worker(patience(7_999)), held_by_outbox(patience(7_999))), (0, 0));
        assert!(held_by_worker(patience(8_000)) > 0 && held_by_outbox(patience(32_000)) > 0);
    }

    // [A12]
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

    // [A7]
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
