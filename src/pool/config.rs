//! A pool's settings, validated on the JavaScript side and plain from here on.

use crate::pool::ids::Micros;

/// The settings by which the policy decides. Times are in microseconds.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Workers that are kept alive from `start` on, `0..=max_workers`.
    pub min_workers: usize,
    /// Slots of the pool, at least 1. Workers above `min_workers` come and go with the load.
    pub max_workers: usize,
    /// Processes that stand by, in addition to the workers.
    pub standby: usize,
    /// Tasks that one worker runs at a time, at least 1.
    pub concurrency: usize,
    /// Tasks that a worker may hold ahead of the running ones.
    pub prefetch: Prefetch,
    /// Run-time limit of tasks that bring none of their own.
    pub task_timeout: Option<Micros>,
    /// The time in which a waiting task gains one level of priority.
    pub priority_ageing: Micros,
    /// The number of retries after the death of a task's worker, unless the task has its own.
    pub retries: u32,
    /// The pause before the first retry; doubles with each further one.
    pub retry_delay: Micros,
    /// The time from spawn to `ready`.
    pub start_timeout: Micros,
    /// The time that a worker above `min_workers` may idle.
    pub idle_timeout: Micros,
    /// True if a worker is asked where it hangs before its overdue task ends.
    pub capture_stack: bool,
    /// The time between SIGTERM and SIGKILL.
    pub grace_period: Micros,
    /// The most attempts of one worker before it is replaced, at least 1. `None`: unlimited.
    pub max_tasks: Option<u64>,
    /// The age after readiness at which a worker is replaced. `None`: unlimited.
    pub max_age: Option<Micros>,
    /// The resident memory (bytes) beyond which a worker is replaced. `None`: unlimited.
    pub recycle_memory: Option<u64>,
    /// The resident memory (bytes) beyond which a worker is killed. `None`: unlimited.
    pub max_memory: Option<u64>,
    /// When a pool breaks whose workers do not get ready, and how slowly it tries until then.
    pub restart: RestartConfig,
    /// Start of the jitter's random sequence. Any value will do; a test fixes it.
    pub seed: u64,
}

impl Default for PoolConfig {
    /// Returns the settings of one worker, and otherwise the defaults of the public options.
    /// JavaScript sets each option of its pools; these values serve all others.
    fn default() -> Self {
        Self {
            min_workers: 1,
            max_workers: 1,
            standby: 0,
            concurrency: 1,
            prefetch: Prefetch::Auto,
            task_timeout: None,
            priority_ageing: 1_000_000,
            retries: 0,
            retry_delay: 100_000,
            start_timeout: 30_000_000,
            idle_timeout: 10_000_000,
            capture_stack: false,
            grace_period: 2_000_000,
            max_tasks: None,
            max_age: None,
            recycle_memory: None,
            max_memory: None,
            restart: RestartConfig {
                limit: 5,
                window: 10_000_000,
                min_delay: 100_000,
                max_delay: 5_000_000,
            },
            seed: 1,
        }
    }
}

/// See the `prefetch` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefetch {
    /// About a millisecond of predicted work, at most 256 tasks.
    Auto,
    /// This many tasks, whatever they cost, with the running one. 1: no prefetching.
    Fixed(usize),
}

/// See the `restart` option.
#[derive(Clone, Copy, Debug)]
pub struct RestartConfig {
    /// Failed starts that are still followed by another; one more breaks the pool.
    pub limit: usize,
    /// The time within which failures count.
    pub window: Micros,
    /// Pause after the first failure; doubles with each further one.
    pub min_delay: Micros,
    /// The longest pause.
    pub max_delay: Micros,
}
