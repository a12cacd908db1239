//! Random acts: what may happen in a sequence, and how often.

use proptest::prelude::*;

use crate::pool::config::{PoolConfig, Prefetch, RestartConfig};
use crate::pool::ids::Micros;

/// The options of a task that is submitted. By default it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Submission {
    pub(super) timeout: Option<u16>,
    pub(super) retries: u8,
    pub(super) handler: u8,
    pub(super) priority: i8,
    pub(super) key: Option<u8>,
}

/// A random act. Numbers are reduced to what there is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Start,
    Submit(Submission),
    Cancel(u8),
    /// The reader of a task's values has room for another one.
    Credit(u8),
    /// The worker gives one of several values.
    Chunk(u8),
    /// One of the requested processes cannot be spawned.
    NoProcess {
        permanent: bool,
    },
    /// The worker gets ready.
    Ready(u8),
    /// The worker reports that it cannot start.
    Refuse {
        worker: u8,
        permanent: bool,
    },
    /// The worker claims up to `count` tasks.
    Claim {
        worker: u8,
        count: u8,
    },
    /// The worker replies to one of the tasks it has claimed.
    Reply {
        worker: u8,
        which: u8,
        elapsed: u16,
        failed: bool,
    },
    /// A capture has ended, with a stack or without one.
    Captured(u8),
    /// The worker replies to an attempt that it was never sent, or that was reclaimed.
    Lie(u8),
    /// The worker writes nonsense into the claim word.
    Forge(u8),
    Close(u8),
    /// The worker's resident memory is measured.
    Grow {
        worker: u8,
        rss: u64,
    },
    /// The process is dead; its last bytes are still to be read.
    Drop(u8),
    Die(u8),
    /// A process that stands by is dead.
    StandbyDies(u8),
    Wait(u32),
    Resize {
        min: usize,
        max: usize,
    },
    Reload,
    Shutdown {
        drop_waiting: bool,
        timeout: Option<u16>,
    },
    Terminate,
}

/// The time in which a waiting task gains a level (µs).
pub(super) const AGEING: Micros = 700;

pub(super) fn config(
    workers: usize,
    min: usize,
    concurrency: usize,
    prefetch: Prefetch,
) -> PoolConfig {
    PoolConfig {
        min_workers: min.min(workers),
        max_workers: workers,
        concurrency,
        prefetch,
        retry_delay: 1_000,
        priority_ageing: AGEING,
        start_timeout: 200_000,
        idle_timeout: 50_000,
        grace_period: 20_000,
        restart: RestartConfig { limit: 4, window: 100_000, min_delay: 1_000, max_delay: 8_000 },
        ..PoolConfig::default()
    }
}

/// How often acts happen in one sequence. Acts that are rare in every sequence would hardly ever
/// meet, so in some sequences they are frequent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    pub(super) keys: u32,
    pub(super) timeouts: u32,
    pub(super) priorities: u32,
    pub(super) streams: u32,
    pub(super) failed_starts: u32,
    pub(super) faults: u32,
    pub(super) deaths: u32,
    pub(super) memory: u32,
    pub(super) changes: u32,
    pub(super) pauses: u32,
}

pub(super) fn weights() -> impl Strategy<Value = Weights> {
    let weight = || prop_oneof![1 => Just(1u32), 2 => Just(8), 1 => Just(40)];
    let all = proptest::array::uniform10(weight());
    all.prop_map(
        |[
            keys,
            timeouts,
            priorities,
            streams,
            failed_starts,
            faults,
            deaths,
            memory,
            changes,
            pauses,
        ]| {
            Weights {
                keys,
                timeouts,
                priorities,
                streams,
                failed_starts,
                faults,
                deaths,
                memory,
                changes,
                pauses,
            }
        },
    )
}

pub(super) fn act(often: Weights) -> impl Strategy<Value = Act> {
    let number = any::<u8>;
    let timeout = prop_oneof![24 => Just(None), often.timeouts => (200u16..).prop_map(Some)];
    let priority = prop_oneof![24 => Just(0), often.priorities => -2..4i8];
    let key = prop_oneof![24 => Just(None), often.keys => (0..4u8).prop_map(Some)];
    let lost = prop_oneof![
        1 => number().prop_map(Act::Lie),
        1 => number().prop_map(Act::Forge),
        1 => number().prop_map(Act::Close),
    ];
    let failed_start = prop_oneof![
        1 => number().prop_map(|number| Act::NoProcess { permanent: number < 32 }),
        1 => (number(), any::<bool>()).prop_map(|(worker, hard)| {
            Act::Refuse { worker, permanent: hard && worker < 64 }
        }),
    ];
    let change = prop_oneof![
        1 => (0..5usize, 1..5usize).prop_map(|(min, max)| Act::Resize { min, max }),
        1 => Just(Act::Reload),
    ];
    prop_oneof![
        8 => Just(Act::Start),
        96 => (timeout, 0..3u8, 0..3u8, priority, key).prop_map(
            |(timeout, retries, handler, priority, key)| {
                Act::Submit(Submission { timeout, retries, handler, priority, key })
            },
        ),
        16 => number().prop_map(Act::Cancel),
        48 => number().prop_map(Act::Ready),
        64 => (number(), 1..6u8).prop_map(|(worker, count)| Act::Claim { worker, count }),
        80 => (number(), number(), prop_oneof![3 => 0u16..50, 1 => any::<u16>()], any::<bool>())
            .prop_map(|(worker, which, elapsed, failed)| {
                Act::Reply { worker, which, elapsed, failed }
            }),
        24 => number().prop_map(Act::Captured),
        2 * often.streams => prop_oneof![
            number().prop_map(Act::Credit),
            number().prop_map(Act::Chunk),
        ],
        2 * often.failed_starts => failed_start,
        3 * often.faults => lost,
        3 * often.deaths => prop_oneof![
            1 => number().prop_map(Act::Drop),
            2 => number().prop_map(Act::Die),
            1 => number().prop_map(Act::StandbyDies),
        ],
        often.memory => (number(), 0u64..1_200).prop_map(|(worker, rss)| Act::Grow { worker, rss }),
        4 * often.pauses => prop_oneof![
            6 => 0u32..3_000,
            2 => 0u32..300_000,
            1 => 0u32..1_500_000,
        ]
        .prop_map(Act::Wait),
        2 * often.changes => change,
    ]
}

pub(super) fn ending() -> impl Strategy<Value = Option<Act>> {
    let timeout = prop_oneof![1 => Just(None), 1 => any::<u16>().prop_map(Some)];
    prop_oneof![
        2 => Just(None),
        2 => (any::<bool>(), timeout)
            .prop_map(|(drop_waiting, timeout)| Some(Act::Shutdown { drop_waiting, timeout })),
        1 => Just(Some(Act::Terminate)),
    ]
}

pub(super) fn settings() -> impl Strategy<Value = (PoolConfig, bool)> {
    let prefetch =
        prop_oneof![2 => Just(Prefetch::Auto), 1 => (1..6usize).prop_map(Prefetch::Fixed)];
    let max_tasks = prop_oneof![2 => Just(None), 1 => (1..8u64).prop_map(Some)];
    let max_age = prop_oneof![3 => Just(None), 1 => (1_000..100_000u64).prop_map(Some)];
    let memory = prop_oneof![1 => Just((None, None)), 1 => Just((Some(500), Some(1_000)))];
    let pages = prop_oneof![3 => Just(true), 1 => Just(false)];
    let grace = prop_oneof![3 => Just(20_000), 1 => Just(0)];
    let standby = prop_oneof![1 => Just(0), 1 => 1..4usize];
    let rest = (memory, any::<bool>(), grace, standby);
    (1..4usize, 0..4usize, 1..4usize, prefetch, pages, max_tasks, max_age, rest).prop_map(
        |(
            workers,
            min,
            concurrency,
            prefetch,
            pages,
            max_tasks,
            max_age,
            ((recycle_memory, max_memory), capture_stack, grace_period, standby),
        )| {
            let config = PoolConfig { grace_period, ..config(workers, min, concurrency, prefetch) };
            (
                PoolConfig {
                    standby,
                    max_tasks,
                    max_age,
                    recycle_memory,
                    max_memory,
                    capture_stack,
                    ..config
                },
                pages,
            )
        },
    )
}

/// One random sequence: its settings and acts.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    pub(super) config: PoolConfig,
    pub(super) pages: bool,
    pub(super) acts: Vec<Act>,
    pub(super) close: bool,
}

pub(super) fn sequence() -> impl Strategy<Value = Sequence> {
    let acts = weights().prop_flat_map(|often| {
        let before = proptest::collection::vec(act(often), 0..60);
        // Another end may follow the first.
        let next = prop_oneof![12 => act(often).prop_map(Some), 1 => ending()];
        (before, ending(), proptest::collection::vec(next, 0..20))
    });
    (settings(), acts, any::<bool>()).prop_map(|((config, pages), (before, end, after), close)| {
        let acts: Vec<Act> =
            before.into_iter().chain(end).chain(after.into_iter().flatten()).collect();
        let ends = |act: &Act| matches!(act, Act::Shutdown { .. } | Act::Terminate);
        let close = close || acts.iter().any(ends);
        Sequence { config, pages, acts, close }
    })
}
