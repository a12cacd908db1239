//! A pool's settings, validated on the JavaScript side and plain from here on.

use crate::pool::ids::Micros;

/// What the pure state machine decides by. Times are microseconds.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Workers that are kept alive from `start` on, `0..=max_workers`.
    pub min_workers: usize,
    /// Slots of the pool, at least 1. Workers above `min_workers` come and go with the load.
    pub max_workers: usize,
    /// Tasks that one worker runs at a time, at least 1.
    pub concurrency: usize,
    /// Tasks that a worker may hold ahead of the running ones.
    pub prefetch: Prefetch,
    /// Run-time limit of tasks that bring none of their own.
    pub task_timeout: Option<Micros>,
    /// After so long a waiting task has gained one level of priority.
    pub priority_ageing: Micros,
    /// How often a task is started again after the death of its worker, unless it says otherwise.
    pub retries: u32,
    /// Pause before the first repetition; doubles with each further one.
    pub retry_delay: Micros,
    /// From spawn to `ready`.
    pub start_timeout: Micros,
    /// How long a worker above `min_workers` may idle.
    pub idle_timeout: Micros,
    /// On a missed deadline, ask the worker where it hangs before the task ends.
    pub capture_stack: bool,
    /// Between SIGTERM and SIGKILL.
    pub grace_period: Micros,
    /// Tasks that one worker is started on, at most; at least 1. Then another takes its place.
    pub max_tasks: Option<u64>,
    /// So long after it got ready another takes its place.
    pub max_age: Option<Micros>,
    /// Bytes of resident memory beyond which another takes its place.
    pub recycle_memory: Option<u64>,
    /// Bytes of resident memory beyond which it is killed.
    pub max_memory: Option<u64>,
    /// When a pool whose workers do not get ready is given up, and how slowly it tries until then.
    pub restart: RestartConfig,
    /// Start of the jitter's random sequence. Any value will do; a test fixes it.
    pub seed: u64,
}

impl Default for PoolConfig {
    /// One worker, and what users get who set nothing. The pools that they make have each of these
    /// set on the JavaScript side; this is for all others.
    fn default() -> Self {
        Self {
            min_workers: 1,
            max_workers: 1,
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
    /// This many tasks, of which the first runs, whatever they cost. 1: nothing is sent ahead.
    Fixed(usize),
}

/// See the `restart` option.
#[derive(Clone, Copy, Debug)]
pub struct RestartConfig {
    /// Failed starts that are still followed by another; one more breaks the pool.
    pub limit: usize,
    /// The time within which that many count.
    pub window: Micros,
    /// Pause after the first failure; doubles with each further one.
    pub min_delay: Micros,
    /// The pause grows no longer than this.
    pub max_delay: Micros,
}
