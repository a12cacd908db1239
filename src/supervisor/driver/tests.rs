//! A driver without a handle: no lock, no inbox, no thread.

use std::os::unix::net::UnixStream;

use tokio::sync::Notify;

use super::*;
use crate::pool::config::RestartConfig;
use crate::process::{Pid, Target};
use crate::supervisor::config::QueueLimits;
use crate::supervisor::reader::Reader;

/// Makes a pool of one worker that may fail to start once, and has no time to get ready.
fn hasty(outbox: &Arc<Outbox>) -> Driver {
    let restart = RestartConfig { limit: 0, window: 1_000_000, min_delay: 1, max_delay: 1 };
    let pool = PoolConfig { start_timeout: 0, restart, ..PoolConfig::default() };
    let worker = WorkerConfig::of(c"/nonexistent", Vec::new());
    let admission = Admission::new(QueueLimits { tasks: 1, bytes: 1 << 20 }, 1);
    Driver::new(pool, Arc::new(worker), Arc::new(admission), Arc::clone(outbox))
}

#[test]
fn a_worker_that_says_ready_when_its_time_is_over_has_failed_to_start_and_the_pool_says_why() {
    let outbox = Arc::new(Outbox::new(|| {}));
    let mut driver = hasty(&outbox);
    driver.handle(0, Event::Start);
    driver.dispatch(0);
    let key = driver.spawns.pop_front().expect("a worker is wanted");
    let (ours, _theirs) = UnixStream::pair().expect("a socket pair");
    let channel = Arc::new(ours.into());
    // No process has such a number.
    let pid = Pid::from_raw(i32::MAX).expect("it is positive");
    driver.spawned(1, Link::new(key, Target::of(pid), 0, channel, None, Arc::new(Notify::new())));
    driver.tick(2);
    assert_eq!(driver.stop_reason(key), Some(ExitReason::Startup));

    let late = b"{\"type\":\"ready\",\"version\":1}\n";
    let mut reader = Reader::new(key, 1024);
    reader.buffer(late.len())[..late.len()].copy_from_slice(late);
    reader.on_bytes(late.len(), 3, &mut driver);
    let link = driver.take_link(key).expect("it was not taken before");
    assert!(!link.ready);
    driver.reaped(4, link, ExitReport { worker_id: 1, ..ExitReport::default() });
    driver.dispatch(4);
    driver.flush();
    let told = outbox.take().expect("the pool is broken").json;
    let told = String::from_utf8(told).expect("what is told is UTF-8");
    assert!(
        told.contains("\"broken\"") && told.contains("the worker was not ready within 0"),
        "{told}"
    );
}
