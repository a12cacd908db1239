//! How long tasks wait and run, and how much of the workers' time they use.

use hdrhistogram::Histogram;

use crate::pool::ids::Micros;
use crate::pool::messages::RunInfo;

/// Significant decimal digits of a histogram: its figures are right within one percent, and it
/// takes 28 KiB.
const DIGITS: u8 = 2;
/// The longest time that a histogram tells from longer ones: fifty days.
const LONGEST: Micros = 1 << 42;

/// The times since the pool was made.
#[derive(Debug)]
pub(crate) struct Timing {
    /// From acceptance to the attempt that ended the task.
    wait: Histogram<u64>,
    /// From that attempt to the reply.
    run: Histogram<u64>,
    /// The sum of the run times of all attempts that have ended.
    worked: Micros,
    /// The sum of the times for which workers that are gone were ready.
    served: Micros,
}

/// The figures of a histogram (ms); all 0 while it is empty.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Spread {
    pub count: u64,
    pub min: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Default for Timing {
    fn default() -> Self {
        let histogram =
            || Histogram::new_with_max(LONGEST, DIGITS).expect("there are at most five digits");
        Self { wait: histogram(), run: histogram(), worked: 0, served: 0 }
    }
}

impl Timing {
    /// Records a reply.
    pub(crate) fn replied(&mut self, run: &RunInfo) {
        self.wait.saturating_record(run.wait);
        self.run.saturating_record(run.run);
    }

    /// Records the end of an attempt that took `took`.
    pub(crate) fn ended(&mut self, took: Micros) {
        self.worked += took;
    }

    /// Records the exit of a worker that was ready for `after`.
    pub(crate) fn exited(&mut self, after: Micros) {
        self.served += after;
    }

    /// Returns the part of the workers' time that tasks have used, from 0 to 1. `running`: the run
    /// times so far of running attempts. `serving`: the times for which present workers have been
    /// ready. `concurrency`: tasks that a worker runs at a time.
    pub(crate) fn utilization(&self, running: Micros, serving: Micros, concurrency: usize) -> f64 {
        let capacity = (self.served + serving) as f64 * concurrency as f64;
        if capacity == 0.0 { 0.0 } else { ((self.worked + running) as f64 / capacity).min(1.0) }
    }

    /// Returns how long tasks have waited.
    pub(crate) fn wait(&self) -> Spread {
        spread(&self.wait)
    }

    /// Returns how long tasks have run.
    pub(crate) fn run(&self) -> Spread {
        spread(&self.run)
    }
}

fn spread(histogram: &Histogram<u64>) -> Spread {
    if histogram.is_empty() {
        return Spread::default();
    }
    let millis = |micros: u64| micros as f64 / 1000.0;
    let at = |quantile| millis(histogram.value_at_quantile(quantile).min(histogram.max()));
    Spread {
        count: histogram.len(),
        min: millis(histogram.min()),
        mean: histogram.mean() / 1000.0,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: millis(histogram.max()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::ids::WorkerKey;

    #[test]
    fn a_spread_is_right_within_a_percent_whatever_the_size_of_the_numbers() {
        let mut timing = Timing::default();
        assert_eq!(timing.wait().count, 0);
        for n in 1..=1000u64 {
            let worker = WorkerKey { slot: 0, life: 1 };
            timing.replied(&RunInfo { worker, attempt: 1, wait: n, run: n * 1_000_000 });
        }
        let near = |got: f64, wanted: f64| {
            assert!((got / wanted - 1.0).abs() < 0.01, "{got}, not {wanted}")
        };
        let (wait, run) = (timing.wait(), timing.run());
        assert_eq!((wait.count, wait.min), (1000, 0.001));
        for (got, wanted) in [
            (wait.mean, 0.5005),
            (wait.p50, 0.5),
            (wait.p90, 0.9),
            (wait.p99, 0.99),
            (wait.max, 1.0),
        ] {
            near(got, wanted);
        }
        near(run.p999, 999_000.0);
        near(run.max, 1_000_000.0);
    }

    #[test]
    fn utilization_is_that_of_all_workers_gone_or_not() {
        let mut timing = Timing::default();
        assert!(timing.utilization(0, 0, 1) == 0.0);
        timing.ended(300);
        timing.exited(500);
        assert!((timing.utilization(100, 500, 1) - 0.4).abs() < 1e-9);
        assert!((timing.utilization(100, 500, 2) - 0.2).abs() < 1e-9);
        assert!(timing.utilization(10_000, 0, 1) <= 1.0, "what replies take is not counted twice");
    }
}
