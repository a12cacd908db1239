//! Random sequences of events for the state machine, against a model world that keeps the books.
//!
//! The world stands in for everything outside: workers that claim, reply, die, hang and lie; a
//! clock that jumps; users who submit, cancel and close. After each sequence, everything still open
//! is brought to its end, and these promises are checked:
//!
//! Every accepted task ends exactly once (2). A task has at most `retries + 1` attempts that may
//! have started, and a claim that none started is true (3). A task that never started is sent
//! again, in order (4). Tasks are sent by priority and age, and in the order of acceptance among
//! equals; nothing of a worker comes after its exit (5). A pool breaks at most once, and only when
//! no worker serves or may still get ready. A pool that is not closed has its workers in the end.

mod acts;
mod world;

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::pool::config::{PoolConfig, Prefetch, RestartConfig};
use crate::pool::ids::{Micros, WorkerKey};
use crate::pool::messages::Event;
use crate::pool::policy;
use crate::pool::tests::acts::{AGEING, Act, Sequence, Submission, config, sequence};
use crate::pool::tests::world::World;

fn play(Sequence { config, pages, acts, close }: Sequence) {
    let mut world = World::new(config, pages);
    for act in &acts {
        world.act(act);
    }
    world.finish(close);
}

/// A sequence that failed is kept in `proptest-regressions/`, and played first from then on.
fn chance(cases: u32, rng_seed: RngSeed) -> ProptestConfig {
    ProptestConfig { cases, rng_seed, ..ProptestConfig::default() }
}

/// Returns the number of sequences of the test that plays others in each run. `npm run explore`
/// asks for a million.
fn cases() -> u32 {
    std::env::var("BULKHEAD_PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(5_000)
}

proptest! {
    #![proptest_config(chance(5_000, RngSeed::Fixed(20_261_128)))]

    #[test]
    fn keeps_its_promises_whatever_happened_once(sequence in sequence()) {
        play(sequence);
    }
}

proptest! {
    #![proptest_config(chance(cases(), RngSeed::Random))]

    // [B15]
    #[test]
    fn keeps_its_promises_whatever_happens(sequence in sequence()) {
        play(sequence);
    }
}

// ---- Single cases

fn submit(world: &mut World, count: usize) {
    for _ in 0..count {
        submit_with(world, Submission::default());
    }
}

fn submit_with(world: &mut World, options: Submission) {
    world.act(&Act::Submit(options));
}

#[test]
fn a_pool_of_one_starts_tasks_in_the_order_of_acceptance() {
    let mut world = World::new(config(1, 1, 1, Prefetch::Fixed(8)), true);
    submit(&mut world, 20);
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 2 });
    world.act(&Act::Die(0));
    world.finish(true);
    let mut orders: Vec<u64> = world.settled.iter().map(|record| record.order).collect();
    assert_eq!(orders.len(), 20);
    // The first two tasks were lost with their worker. All others ran in their order on the next
    // one.
    let rest = orders.split_off(2);
    assert!(rest.is_sorted(), "{rest:?}");
}

#[test]
fn a_task_overtakes_those_of_lower_priority_that_have_not_waited_for_long() {
    let mut world = World::new(config(1, 1, 1, Prefetch::Fixed(1)), true);
    for priority in [0, -1, 2, 0, 2] {
        submit_with(&mut world, Submission { priority, ..Submission::default() });
    }
    world.act(&Act::Wait(u32::try_from(3 * AGEING).expect("it is short")));
    for priority in [2, 3, 4] {
        submit_with(&mut world, Submission { priority, ..Submission::default() });
    }
    world.finish(true);
    let orders: Vec<u64> = world.settled.iter().map(|record| record.order).collect();
    // The first five tasks wait for three levels' time. To a task of priority 3 they are older, and
    // to one of priority 4 some are not.
    assert_eq!(orders, [3, 5, 8, 1, 4, 7, 2, 6]);
}

// [D6]
#[test]
fn what_was_sent_ahead_of_a_long_task_is_taken_back() {
    let mut world = World::new(config(2, 2, 1, Prefetch::Fixed(8)), true);
    world.act(&Act::Start);
    world.act(&Act::Ready(0));
    submit(&mut world, 8);
    world.act(&Act::Claim { worker: 0, count: 1 });
    assert_eq!(
        world.processes[&(0, 1)].inbox.len(),
        7,
        "all were sent to the only worker that was ready"
    );
    world.act(&Act::Ready(1));
    world.act(&Act::Wait(10_000));
    assert!(!world.processes[&(1, 1)].inbox.is_empty(), "the other worker has them now");
    world.finish(true);
}

#[test]
fn unknown_run_times_are_not_sent_ahead() {
    let mut world = World::new(config(1, 1, 1, Prefetch::Auto), true);
    submit(&mut world, 10);
    world.act(&Act::Ready(0));
    assert_eq!(world.processes[&(0, 1)].inbox.len(), 1);
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 1, failed: false });
    assert_eq!(world.processes[&(0, 1)].inbox.len(), 9, "now they are known to be short");
    world.finish(true);
}

#[test]
fn of_tasks_of_a_millisecond_one_is_sent_ahead_and_none_of_longer_ones() {
    for (elapsed, held) in [(1_200, 2), (2_000, 1)] {
        let mut world = World::new(config(1, 1, 1, Prefetch::Auto), true);
        submit(&mut world, 10);
        world.act(&Act::Ready(0));
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Reply { worker: 0, which: 0, elapsed, failed: false });
        assert_eq!(world.processes[&(0, 1)].inbox.len(), held, "after a task of {elapsed} µs");
        world.finish(true);
    }
}

/// Makes a worker of `count` tasks of a millisecond. Each had waited for `wait` when it was sent.
fn behind_a_queue(count: usize, wait: u32) -> World {
    let mut world = World::new(config(1, 1, 1, Prefetch::Auto), true);
    submit(&mut world, count);
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 1_000, failed: false });
    world.act(&Act::Claim { worker: 0, count: 2 });
    world.act(&Act::Wait(wait));
    for _ in 0..2 {
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 1_000, failed: false });
    }
    world
}

#[test]
fn what_is_sent_ahead_and_held_back_is_an_eighth_of_what_tasks_have_waited_and_bounded() {
    // Of three and more, the worker has ended one, and is topped up at half.
    for (wait, ahead, hold) in
        [(0, 2, 0), (8_500, 2, 500), (25_000, 2, 1_000), (33_000, 3, 2_000), (900_000, 4, 2_000)]
    {
        let mut world = behind_a_queue(20, wait);
        let process = &world.processes[&(0, 1)];
        assert_eq!(process.inbox.len(), ahead, "sent ahead after {wait} µs");
        assert_eq!(process.hold, hold, "the time to hold results after {wait} µs");
        world.finish(true);
    }
}

#[test]
fn no_result_is_held_once_few_tasks_wait() {
    let mut world = behind_a_queue(8, 40_000);
    assert_eq!(world.processes[&(0, 1)].hold, 0, "one task waits");
    submit(&mut world, 1);
    assert_eq!(world.processes[&(0, 1)].hold, 2_000, "two wait");
    world.finish(true);
}

#[test]
fn the_result_of_an_urgent_task_is_not_held() {
    let mut world = behind_a_queue(20, 33_000);
    assert_eq!(world.processes[&(0, 1)].hold, 2_000);
    submit_with(&mut world, Submission { priority: 4, ..Submission::default() });
    while world.processes[&(0, 1)].inbox.len() > 1 {
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 1_000, failed: false });
    }
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 1_000, failed: false });
    assert_eq!(world.processes[&(0, 1)].hold, 0, "the urgent task was sent");
    world.finish(true);
}

// [C1]
#[test]
fn a_result_that_was_held_until_after_the_deadline_is_in_time() {
    let mut world = World::new(config(1, 1, 1, Prefetch::Auto), true);
    let limited = Submission { timeout: Some(50_000), ..Submission::default() };
    submit(&mut world, 1);
    for _ in 0..10 {
        submit_with(&mut world, limited);
    }
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Wait(40_000));
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 1_000, failed: false });
    assert_eq!(world.processes[&(0, 1)].hold, 2_000);
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Wait(51_900));
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 50_000, failed: false });
    assert_eq!(world.settled.len(), 2, "the task has completed");
    world.finish(true);
}

#[test]
fn a_pool_grows_when_tasks_would_wait_for_longer_than_a_start_takes() {
    /// The time that a start takes here, about (µs).
    const START: u32 = 40_000;
    let short = || {
        let mut world = World::new(config(4, 1, 1, Prefetch::Fixed(1)), true);
        world.act(&Act::Start);
        world.act(&Act::Wait(START));
        world.act(&Act::Ready(0));
        submit(&mut world, 1);
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 100, failed: false });
        world
    };
    let mut world = short();
    submit(&mut world, 100);
    assert_eq!(world.spawns, 1, "a hundred short tasks are sooner done than a process is started");
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Wait(START + 1_000));
    assert_eq!(world.spawns, 4, "but if one of them turns out to be long, they are not");
    world.finish(true);
    let mut world = short();
    submit(&mut world, 1_000);
    assert_eq!(world.spawns, 4, "a thousand are not");
    world.finish(true);
}

// [D6]
#[test]
fn a_task_that_is_longer_on_its_way_than_it_may_run_is_started_all_the_same() {
    /// The time from sending a frame to its being read, far beyond the time limit and the grace
    /// period.
    const WAY: Micros = 9 * policy::MIN_CLAIM_TIME / 5;
    let mut world = World::new(config(2, 2, 1, Prefetch::Auto), true);
    world.act(&Act::Start);
    submit_with(&mut world, Submission { timeout: Some(1_000), ..Submission::default() });
    let mut sent = HashMap::new();
    let mut lives = 0;
    while world.settled.is_empty() {
        lives = world.spawns;
        assert!(lives < 20, "the task wanders from worker to worker");
        for worker in 0..2 {
            world.act(&Act::Ready(worker));
            let Some(key) = world.pick(worker) else { continue };
            let Some(&(attempt_id, epoch, _)) = world.processes[&key].inbox.back() else {
                continue;
            };
            let since = *sent.entry(attempt_id).or_insert(world.now);
            if epoch == world.processes[&key].epoch && world.now - since >= WAY {
                world.act(&Act::Claim { worker, count: 1 });
                world.act(&Act::Reply { worker, which: 0, elapsed: 10, failed: false });
            }
        }
        world.act(&Act::Wait(1_000));
    }
    assert!(lives > 2, "a worker that does not claim it in the grace period is replaced");
    assert_eq!((world.settled[0].ran, world.pool.counters().completed), (1, 1));
    world.finish(true);
}

// [A12]
#[test]
fn a_pool_whose_workers_never_get_ready_breaks() {
    let mut world = World::new(config(2, 2, 1, Prefetch::Auto), true);
    submit(&mut world, 3);
    for _ in 0..5 {
        assert!(!world.broken);
        world.act(&Act::Die(0));
        world.act(&Act::Wait(10_000));
    }
    assert!(!world.broken, "one more is on its way, and may get ready");
    world.act(&Act::Die(0));
    assert!(world.broken);
    assert!(world.tasks.is_empty(), "every task has ended");
    assert_eq!(world.spawns, 6, "none was started in vain");
    world.finish(true);
}

/// Makes a pool of four with a task, where one worker permanently cannot start.
fn refused() -> World {
    let mut world = World::new(config(4, 4, 1, Prefetch::Auto), true);
    submit(&mut world, 1);
    world.act(&Act::Refuse { worker: 0, permanent: true });
    assert!(!world.broken, "three others may still get ready");
    world.act(&Act::Wait(100_000));
    assert_eq!(world.spawns, 4, "no other is started until it is known what becomes of them");
    world
}

// [A12]
#[test]
fn a_pool_breaks_once_all_starts_under_way_have_failed_and_never_again() {
    for end in [Act::Shutdown { drop_waiting: false, timeout: None }, Act::Terminate] {
        let mut world = refused();
        for _ in 0..2 {
            world.act(&Act::Refuse { worker: 0, permanent: true });
            assert!(!world.broken);
        }
        world.act(&Act::Refuse { worker: 0, permanent: true });
        assert!(world.broken);
        // The world asserts that the failure is not told again.
        world.act(&end);
        world.finish(true);
        assert_eq!((world.spawns, world.pool.counters().failed), (4, 1));
    }
}

// [A11]
#[test]
fn a_pool_serves_with_the_workers_that_start_and_tries_the_others_again() {
    let mut world = refused();
    world.act(&Act::Ready(0));
    world.act(&Act::Wait(100_000));
    world.spawn();
    assert_eq!(world.spawns, 5, "the one that failed is started again");
    for _ in 0..20 {
        submit(&mut world, 1);
        world.act(&Act::Claim { worker: 1, count: 1 });
        world.act(&Act::Reply { worker: 1, which: 0, elapsed: 5, failed: false });
        world.act(&Act::Refuse { worker: 0, permanent: true });
        world.act(&Act::Wait(100_000));
    }
    assert!(world.short && !world.broken);
    assert!(world.pool.counters().completed >= 20);
    world.finish(false);
    assert_eq!(world.pool.counters().failed, 0);
}

#[test]
fn starts_that_cannot_be_had_for_now_leave_a_pool_with_those_that_can() {
    let mut world = World::new(config(16, 16, 1, Prefetch::Auto), true);
    submit(&mut world, 40);
    for _ in 0..10 {
        world.act(&Act::NoProcess { permanent: false });
    }
    assert!(!world.broken);
    world.finish(false);
    assert_eq!((world.pool.counters().completed, world.broken), (40, false));
}

#[test]
fn starts_that_are_withdrawn_while_others_depend_on_them_are_made_up_for() {
    let mut world = refused();
    world.act(&Act::Reload);
    for _ in 0..3 {
        world.act(&Act::Die(0));
    }
    assert!(!world.broken, "they were told to go, and have not failed");
    world.finish(false);
    assert_eq!(world.pool.counters().completed, 1);
}

#[test]
fn a_pool_that_drains_and_can_start_no_worker_any_more_breaks_once() {
    let mut world = World::new(config(2, 2, 1, Prefetch::Fixed(1)), true);
    submit(&mut world, 5);
    for worker in [0, 1] {
        world.act(&Act::Ready(worker));
        world.act(&Act::Claim { worker, count: 1 });
    }
    world.act(&Act::Shutdown { drop_waiting: false, timeout: None });
    world.act(&Act::Die(0));
    world.act(&Act::Refuse { worker: 0, permanent: true });
    assert!(!world.broken, "the other serves");
    world.act(&Act::Die(0));
    world.act(&Act::Wait(100_000));
    while !world.broken {
        world.act(&Act::Refuse { worker: 0, permanent: true });
        world.act(&Act::Wait(100_000));
    }
    assert_eq!(world.closed, 1, "nothing is left of it");
    assert_eq!(world.pool.counters().failed, 5);
}

#[test]
fn a_start_that_fails_when_a_closing_pool_has_no_task_left_is_no_news() {
    let mut world = World::new(config(2, 2, 1, Prefetch::Fixed(1)), true);
    submit(&mut world, 1);
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Close(1));
    world.act(&Act::Shutdown { drop_waiting: false, timeout: None });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 5, failed: false });
    world.act(&Act::Die(1));
    assert!(world.start_failure.is_none());
    world.finish(true);
}

// [XC5]
#[test]
fn a_task_that_comes_back_after_its_place_was_given_up_moves_to_another_one() {
    let mut moved = 0;
    for key in 0..4 {
        // Two tasks of a predecessor, which has had all its tasks.
        let mut world = World::new(
            PoolConfig { max_tasks: Some(2), ..config(2, 2, 2, Prefetch::Fixed(1)) },
            true,
        );
        world.act(&Act::Start);
        for worker in [0, 1] {
            world.act(&Act::Ready(worker));
        }
        for timeout in [None, Some(500)] {
            submit_with(
                &mut world,
                Submission { timeout, key: Some(key), ..Submission::default() },
            );
        }
        world.spawn();
        if world.processes.contains_key(&(1, 2)) {
            world.act(&Act::Ready(2));
            world.act(&Act::Resize { min: 0, max: 1 });
            world.act(&Act::Die(2));
            // One task is overdue and unclaimed: both come back. Now only the predecessor is left
            // in the slot, and no other process may start there, as the world asserts.
            world.act(&Act::Wait(1_000));
            moved += 1;
        }
        world.finish(false);
        assert_eq!(world.pool.counters().completed, 2);
    }
    assert!(moved > 0, "no key belongs to the second place");
    // The same for every key, and for every state of the process when its slot is given up.
    for key in 0..16 {
        for end in [
            None,
            Some(Act::Die(0)),
            Some(Act::Close(0)),
            Some(Act::Forge(0)),
            Some(Act::Terminate),
        ] {
            let mut world = World::new(config(4, 4, 1, Prefetch::Fixed(4)), true);
            for _ in 0..6 {
                submit_with(
                    &mut world,
                    Submission { retries: 1, key: Some(key), ..Submission::default() },
                );
            }
            for worker in 0..4 {
                world.act(&Act::Ready(worker));
            }
            world.act(&Act::Resize { min: 1, max: 1 });
            let closes = end == Some(Act::Terminate);
            end.iter().for_each(|act| world.act(act));
            world.finish(closes);
            assert_eq!(world.settled.len(), 6);
        }
    }
}

#[test]
fn a_sound_worker_is_not_killed_for_taking_up_a_task_late_even_without_a_grace_period() {
    let config = PoolConfig { grace_period: 0, ..config(1, 1, 1, Prefetch::Fixed(1)) };
    let mut world = World::new(config, true);
    for _ in 0..50 {
        submit_with(&mut world, Submission { timeout: Some(1_000), ..Submission::default() });
    }
    world.act(&Act::Ready(0));
    // Every task's time is over before the worker claims it: the machine is busy.
    world.act(&Act::Wait(100_000));
    assert_eq!((world.spawns, world.processes[&(0, 1)].told), (1, false));
    while !world.tasks.is_empty() {
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 5, failed: false });
    }
    assert_eq!((world.spawns, world.pool.counters().completed), (1, 50));
    // A worker that claims no task at all is replaced in the end.
    submit_with(&mut world, Submission { timeout: Some(1_000), ..Submission::default() });
    world.act(&Act::Wait(u32::try_from(2 * policy::MIN_CLAIM_TIME).expect("it is short")));
    world.spawn();
    assert_eq!(world.spawns, 2);
    world.finish(true);
}

// [XC14]
#[test]
fn a_worker_that_has_ended_an_overdue_task_is_not_killed_for_it_while_it_runs_the_next() {
    let config = PoolConfig { grace_period: 0, ..config(1, 1, 1, Prefetch::Fixed(8)) };
    let mut world = World::new(config, true);
    submit_with(&mut world, Submission { timeout: Some(1_000), ..Submission::default() });
    submit(&mut world, 1);
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 2 });
    world.act(&Act::Wait(5_000));
    assert_eq!(world.settled.len(), 1, "the first task is overdue: its reply has not come");
    assert!(!world.processes[&(0, 1)].killed, "the worker runs the second");
    for _ in 0..2 {
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 5, failed: false });
    }
    assert_eq!((world.spawns, world.pool.counters().completed), (1, 1));
    // The same worker without a reply, and without another task, is killed at once.
    submit_with(&mut world, Submission { timeout: Some(1_000), ..Submission::default() });
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Wait(5_000));
    assert!(world.processes.get(&(0, 1)).is_none_or(|process| process.killed));
    world.finish(true);
}

#[test]
fn a_worker_that_has_closed_its_channel_is_given_a_moment_to_die_by_itself() {
    let config = PoolConfig { grace_period: 0, ..config(1, 1, 1, Prefetch::Fixed(1)) };
    let mut world = World::new(config, true);
    submit(&mut world, 1);
    world.act(&Act::Ready(0));
    let worker = WorkerKey { slot: 0, life: 1 };
    world.act(&Act::Close(0));
    world.act(&Act::Wait(50_000));
    assert!(!world.processes[&(0, 1)].killed && !world.pool.was_stopped_after_hang_up(worker));
    world.now += policy::COOPERATION;
    world.event(Event::Tick);
    assert!(world.pool.was_stopped_after_hang_up(worker), "and then it is made to");
    world.act(&Act::Wait(1_000));
    world.finish(true);
}

#[test]
fn only_a_worker_that_was_killed_at_its_start_deadline_has_missed_it() {
    let mut world = World::new(config(3, 3, 1, Prefetch::Auto), true);
    world.act(&Act::Start);
    world.spawn();
    let missed = |world: &World, slot| world.pool.has_missed_start(WorkerKey { slot, life: 1 });
    world.event(Event::Memory { worker: WorkerKey { slot: 0, life: 1 }, rss: 1 });
    world.act(&Act::Lie(1));
    assert!(!missed(&world, 0));
    world.now += 200_000;
    world.event(Event::Tick);
    assert!(missed(&world, 0) && missed(&world, 2));
    world.reap_killed();
    world.finish(true);
}

#[test]
fn what_is_decided_while_a_process_is_being_spawned_is_done_once_it_exists() {
    let mut world = World::new(config(1, 1, 1, Prefetch::Auto), true);
    world.act(&Act::Start);
    world.act(&Act::Terminate);
    assert_eq!((world.closed, world.processes.len()), (0, 1), "there is no process to kill yet");
    world.spawn();
    world.reap_killed();
    assert_eq!((world.closed, world.processes.len()), (1, 0));
}

#[test]
fn a_worker_of_so_many_tasks_is_succeeded_by_one_that_stood_by() {
    let mut world =
        World::new(PoolConfig { max_tasks: Some(2), ..config(1, 1, 1, Prefetch::Auto) }, true);
    submit(&mut world, 4);
    world.act(&Act::Ready(0));
    assert_eq!(world.processes.len(), 1);
    world.act(&Act::Wait(10));
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 1_900, failed: false });
    world.spawn();
    assert_eq!(world.processes.len(), 2, "its last task is sent: the other is started");
    world.act(&Act::Ready(1));
    assert!(world.processes[&(0, 2)].inbox.is_empty(), "only one of them runs tasks at a time");
    assert!(!world.processes[&(0, 1)].asked, "nor is a task disturbed");
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 1_900, failed: false });
    assert!(world.processes[&(0, 1)].asked, "it has had its tasks");
    assert_eq!(world.processes[&(0, 2)].inbox.len(), 1, "at the same moment the other has one");
    world.finish(true);
}

#[test]
fn what_was_sent_ahead_to_a_worker_that_is_too_old_goes_to_its_successor() {
    let max_age = Some(5_000);
    let mut world = World::new(PoolConfig { max_age, ..config(1, 1, 1, Prefetch::Fixed(4)) }, true);
    submit(&mut world, 4);
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Wait(1_000));
    world.act(&Act::Wait(4_000));
    world.act(&Act::Ready(1));
    assert_eq!(world.pool.waiting().0, 3, "the task that runs still has the place");
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 900, failed: false });
    assert_eq!(world.processes[&(0, 2)].inbox.len(), 3);
    world.finish(true);
}

#[test]
fn a_pool_that_is_made_smaller_takes_back_what_waits_at_the_workers_that_leave() {
    let mut world = World::new(config(2, 2, 1, Prefetch::Fixed(4)), true);
    world.act(&Act::Start);
    for worker in [0, 1] {
        world.act(&Act::Ready(worker));
    }
    submit(&mut world, 8);
    for worker in [0, 1] {
        world.act(&Act::Claim { worker, count: 1 });
    }
    world.act(&Act::Resize { min: 1, max: 1 });
    assert!(!world.processes[&(1, 1)].asked, "it ends what it runs");
    assert_eq!(world.pool.waiting().0, 3, "and nothing else");
    world.act(&Act::Reply { worker: 1, which: 0, elapsed: 5, failed: false });
    assert!(world.processes[&(1, 1)].asked);
    assert!(world.resizing.is_some(), "it is not gone yet");
    world.act(&Act::Die(1));
    assert!(world.resizing.is_none());
    world.act(&Act::Resize { min: 3, max: 3 });
    world.spawn();
    assert_eq!(world.processes.len(), 3);
    world.finish(true);
    assert_eq!(world.pool.counters().completed, 8);
}

#[test]
fn a_reload_replaces_one_worker_after_the_other_and_those_that_are_just_starting() {
    let mut world = World::new(config(3, 3, 1, Prefetch::Auto), true);
    world.act(&Act::Start);
    for worker in [0, 1] {
        world.act(&Act::Ready(worker));
    }
    world.act(&Act::Reload);
    world.spawn();
    assert_eq!(
        world.processes.keys().filter(|(_, life)| *life == 2).count(),
        1,
        "one successor at a time"
    );
    world.finish(false);
    assert!(world.reloading.is_none());
    assert!(world.processes.keys().all(|(_, life)| *life == 2), "{:?}", world.processes.keys());
    world.finish(true);
}

#[test]
fn a_reload_whose_workers_cannot_start_leaves_the_old_ones_in_their_places() {
    let mut world = World::new(config(1, 1, 1, Prefetch::Auto), true);
    world.act(&Act::Start);
    world.act(&Act::Ready(0));
    world.act(&Act::Reload);
    world.act(&Act::Refuse { worker: 1, permanent: true });
    assert!(world.reloading.is_none(), "the reload has failed");
    submit(&mut world, 1);
    world.act(&Act::Wait(100_000));
    assert_eq!(world.spawns, 2, "nor is it tried again");
    world.finish(true);
    assert_eq!(world.pool.counters().completed, 1);
}

#[test]
fn a_worker_that_is_used_up_is_replaced_even_if_the_reload_that_was_to_do_so_is_given_up() {
    let mut world =
        World::new(PoolConfig { max_tasks: Some(2), ..config(1, 1, 1, Prefetch::Auto) }, true);
    submit(&mut world, 1);
    world.act(&Act::Ready(0));
    world.act(&Act::Reload);
    for _ in 0..2 {
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 5, failed: false });
        submit(&mut world, 1);
    }
    world.spawn();
    assert_eq!(world.processes.len(), 2);
    world.act(&Act::Close(1));
    world.act(&Act::Die(1));
    world.finish(false);
    assert_eq!(world.pool.counters().completed, 3);
}

#[test]
fn a_place_whose_worker_is_replaced_has_room_for_as_many_tasks_as_ever() {
    let mut world = World::new(
        PoolConfig { max_age: Some(5_000), ..config(1, 1, 3, Prefetch::Fixed(1)) },
        true,
    );
    submit(&mut world, 9);
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 3 });
    world.act(&Act::Wait(5_000));
    world.act(&Act::Ready(1));
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 900, failed: false });
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 900, failed: false });
    assert_eq!(world.processes[&(0, 1)].running.len(), 1);
    assert_eq!(world.processes[&(0, 2)].inbox.len(), 2);
    world.finish(true);
}

#[test]
fn a_worker_whose_successors_fail_goes_on_and_one_that_is_used_up_does_not_hold_a_pool_together() {
    for (max_tasks, max_age) in [(None, Some(5_000)), (Some(1), None)] {
        let mut world =
            World::new(PoolConfig { max_tasks, max_age, ..config(1, 1, 1, Prefetch::Auto) }, true);
        submit(&mut world, 1);
        world.act(&Act::Ready(0));
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 900, failed: false });
        submit(&mut world, 1);
        for _ in 0..8 {
            world.act(&Act::Wait(10_000));
            world.act(&Act::Die(1));
        }
        assert_eq!(world.pool.is_broken(), max_tasks.is_some());
        world.finish(true);
    }
}

#[test]
fn a_task_of_a_key_does_not_wait_for_a_used_up_worker_whose_successors_fail() {
    for key in 0..4 {
        let restart = RestartConfig { limit: 0, ..config(2, 2, 1, Prefetch::Auto).restart };
        let pool = PoolConfig { max_tasks: Some(1), restart, ..config(2, 2, 1, Prefetch::Auto) };
        let mut world = World::new(pool, true);
        world.act(&Act::Start);
        for worker in [0, 1] {
            world.act(&Act::Ready(worker));
        }
        let keyed = Submission { key: Some(key), ..Submission::default() };
        submit_with(&mut world, keyed);
        for worker in [0, 1] {
            world.act(&Act::Claim { worker, count: 1 });
            world.act(&Act::Reply { worker, which: 0, elapsed: 900, failed: false });
        }
        submit_with(&mut world, keyed);
        assert_eq!(
            world.pool.waiting().0,
            1,
            "it waits for the successor of the worker that had the first one"
        );
        world.spawn();
        let successor = *world
            .processes
            .keys()
            .find(|(_, life)| *life == 2)
            .expect("a successor is being started");
        world.die(successor);
        world.act(&Act::Wait(1));
        assert_eq!(world.pool.waiting().0, 0, "the other worker has it");
        assert!(!world.pool.is_broken());
        world.finish(true);
    }
}

#[test]
fn two_tasks_of_one_key_wait_for_one_place_though_a_worker_is_used_up_between_them() {
    for key in 0..4 {
        let pool = PoolConfig { max_tasks: Some(1), ..config(2, 1, 1, Prefetch::Auto) };
        let mut world = World::new(pool, true);
        let submit = |key| Act::Submit(Submission { key, ..Submission::default() });
        let claim = |worker| Act::Claim { worker, count: 1 };
        let reply = |worker| Act::Reply { worker, which: 0, elapsed: 0, failed: false };
        for act in [
            submit(None),
            Act::Ready(0),
            Act::Ready(125),
            submit(None),
            Act::Ready(53),
            claim(28),
            submit(None),
            reply(52),
            submit(Some(key)),
            claim(109),
            reply(233),
            submit(Some(key)),
        ] {
            world.act(&act);
            world.pool.assert_sound();
        }
        world.finish(true);
    }
}

#[test]
fn a_reply_that_a_dead_worker_left_behind_brings_it_no_other_task() {
    for pages in [true, false] {
        let mut world = World::new(config(1, 1, 1, Prefetch::Fixed(1)), pages);
        submit(&mut world, 2);
        world.act(&Act::Ready(0));
        world.act(&Act::Claim { worker: 0, count: 1 });
        world.act(&Act::Drop(0));
        world.act(&Act::Reply { worker: 0, which: 0, elapsed: 5, failed: false });
        assert_eq!(world.pool.waiting().0, 1, "the other task waits for the next worker");
        world.finish(true);
        assert_eq!((world.pool.counters().completed, world.pool.counters().failed), (2, 0));
    }
}

/// Makes a pool of one that captures stacks, with an overdue task.
fn overdue() -> World {
    let mut world =
        World::new(PoolConfig { capture_stack: true, ..config(1, 1, 1, Prefetch::Fixed(1)) }, true);
    submit_with(&mut world, Submission { timeout: Some(500), retries: 2, ..Submission::default() });
    world.act(&Act::Ready(0));
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Wait(600));
    assert_eq!(world.settled.len(), 0, "it ends once it is known where the worker hangs");
    world
}

#[test]
fn an_overdue_task_ends_when_its_worker_has_said_where_it_hangs() {
    let mut world = overdue();
    world.act(&Act::Captured(0));
    assert_eq!((world.settled.len(), world.pool.counters().failed), (1, 1));
    world.act(&Act::Captured(0));
    world.finish(true);
}

// [C1]
#[test]
fn an_overdue_task_ends_when_its_worker_never_says_where_it_hangs() {
    let mut world = overdue();
    world.act(&Act::Wait(u32::try_from(crate::pool::policy::CAPTURE).expect("it is seconds")));
    assert_eq!((world.settled.len(), world.pool.counters().failed), (1, 1));
    world.finish(true);
}

#[test]
fn a_reply_that_comes_while_the_worker_is_asked_is_too_late() {
    let mut world = overdue();
    world.act(&Act::Reply { worker: 0, which: 0, elapsed: 700, failed: false });
    assert_eq!((world.settled.len(), world.pool.counters().failed), (1, 1));
    // The worker lives, and takes the next task once the capture is over.
    submit(&mut world, 1);
    assert!(world.processes.values().all(|process| process.inbox.is_empty()));
    world.act(&Act::Captured(0));
    assert!(world.processes.values().all(|process| process.inbox.len() == 1));
    world.finish(true);
    assert_eq!((world.spawns, world.pool.counters().completed), (1, 1));
}

#[test]
fn a_worker_that_dies_while_it_is_asked_has_an_overdue_task_and_not_one_to_retry() {
    let mut world = overdue();
    world.act(&Act::Die(0));
    assert_eq!((world.settled.len(), world.pool.counters().retried), (1, 0));
    world.finish(true);
}

#[test]
fn what_waits_is_served_by_others_while_a_worker_is_asked() {
    let mut world =
        World::new(PoolConfig { capture_stack: true, ..config(2, 2, 1, Prefetch::Fixed(1)) }, true);
    submit_with(&mut world, Submission { timeout: Some(500), ..Submission::default() });
    for worker in [0, 1] {
        world.act(&Act::Ready(worker));
    }
    world.act(&Act::Claim { worker: 0, count: 1 });
    world.act(&Act::Wait(600));
    submit(&mut world, 3);
    for _ in 0..3 {
        world.act(&Act::Claim { worker: 1, count: 1 });
        world.act(&Act::Reply { worker: 1, which: 0, elapsed: 5, failed: false });
    }
    assert_eq!(world.pool.counters().completed, 3);
    assert_eq!(world.pool.counters().failed, 0);
    world.act(&Act::Terminate);
    world.finish(true);
}

/// Makes a pool with one worker that is ready, and with these standbys.
fn standing(standby: usize, limit: usize) -> World {
    let one = config(2, 1, 1, Prefetch::Fixed(1));
    let restart = RestartConfig { limit, ..one.restart };
    let mut world = World::new(PoolConfig { standby, restart, ..one }, true);
    world.act(&Act::Start);
    world.act(&Act::Ready(0));
    for _ in 0..=standby {
        world.act(&Act::Wait(10_000));
    }
    assert_eq!(world.pool.standbys(), standby);
    world
}

#[test]
fn a_worker_that_starts_takes_a_standby_and_another_stands_by() {
    let mut world = standing(2, 4);
    world.act(&Act::Die(0));
    assert_eq!((world.taken, world.pool.standbys()), (1, 1));
    world.act(&Act::Ready(0));
    world.act(&Act::Wait(10_000));
    world.act(&Act::Wait(10_000));
    assert_eq!(world.pool.standbys(), 2);
    submit(&mut world, 2);
    assert_eq!((world.taken, world.spawns), (2, 3), "the pool grows at once");
    world.act(&Act::Reload);
    assert_eq!(world.pool.standbys(), 0, "they may have loaded old code");
    world.finish(true);
}

// [A22]
#[test]
fn a_start_from_a_standby_that_fails_does_not_count_and_is_made_up_for_from_scratch() {
    let mut world = standing(2, 0);
    for _ in 0..2 {
        world.act(&Act::Die(0));
    }
    assert_eq!((world.taken, world.spawns, world.broken), (1, 3, false));
    world.act(&Act::Die(0));
    assert!(world.broken, "the start from scratch has counted");
    world.finish(true);
}

// [A21]
#[test]
fn standbys_that_die_are_given_up_until_a_worker_gets_ready() {
    let mut world = standing(1, 4);
    for death in 1..=5 {
        assert!(!world.standbys_die, "told after {death} deaths");
        world.act(&Act::StandbyDies(0));
        world.act(&Act::Wait(10_000));
    }
    assert!(world.standbys_die);
    world.act(&Act::Wait(1_000_000));
    assert_eq!((world.pool.standbys(), world.standbys.len(), world.spawns), (0, 0, 1));
    world.act(&Act::Die(0));
    world.act(&Act::Ready(0));
    world.act(&Act::Wait(10_000));
    assert_eq!((world.pool.standbys(), world.taken), (1, 0));
    world.finish(true);
}
