//! The pool's own task on the supervisor thread: lets timers run, takes in what JavaScript
//! submitted while the lock was held elsewhere, and starts workers, which only this thread may do.

use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::supervisor::handle::SharedPool;
use crate::supervisor::lead::By;
use crate::supervisor::{launch, standby_task};

/// Runs until the pool is closed and its last worker reaped.
pub(crate) async fn run(shared: SharedPool) {
    loop {
        let (spawns, standbys, deadline) = {
            let mut driver = shared.lock();
            // A reply that JavaScript's thread was to read, and has not yet, is in time.
            driver.read_led(By::Supervisor);
            driver.tick(shared.now());
            driver.run_once();
            if driver.is_over() {
                return;
            }
            (std::mem::take(&mut driver.spawns), driver.take_standby_requests(), driver.arm())
        };
        if !(spawns.is_empty() && standbys.is_empty()) {
            for worker in spawns {
                launch::start(&shared, worker);
            }
            for id in standbys {
                standby_task::start(&shared, id);
            }
            continue;
        }
        let Some(deadline) = deadline else {
            shared.wake.notified().await;
            continue;
        };
        let pause = Duration::from_micros(deadline.saturating_sub(shared.now()));
        tokio::select! {
            () = shared.wake.notified() => {}
            // A worker whose deadline passes may have replied in time: its bytes are read first.
            () = sleep_until(Instant::now() + pause) => yield_now().await,
        }
        shared.note_suspension(deadline);
    }
}
