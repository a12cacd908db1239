//! The task of one standby on the supervisor thread. It only waits: for the worker that takes the
//! process, for the process's death, or for the end of the standby. Until a worker takes it, its
//! channel and its output stay unread.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::pool::ids::{StandbyId, WorkerKey};
use crate::process::{CallError, oom};
use crate::supervisor::handle::SharedPool;
use crate::supervisor::launch::{self, Process};
use crate::supervisor::output::Tail;
use crate::supervisor::report::ExitReport;
use crate::supervisor::worker_task::{KILL_TIMEOUT, reap};

/// Starts the process of a standby and its task, or tells the driver why there is no process.
pub(super) fn start(shared: &SharedPool, id: StandbyId) {
    let wanted = shared.lock().is_standby_wanted(id);
    let started = if wanted { launch::spawn(shared, None).map_err(Some) } else { Err(None) };
    let mut driver = shared.lock();
    match started {
        Ok(process) => {
            tracing::debug!(standby = id.0, pid = process.raw_pid(), "spawned");
            let ordered = driver.standby_spawned(shared.now(), id, process.waiter.target());
            tokio::task::spawn_local(stand_by(Arc::clone(shared), id, process, ordered));
        }
        Err(failure) => {
            tracing::debug!(standby = id.0, ?failure, "not spawned");
            let report = ExitReport { spawn_failure: failure, ..ExitReport::default() };
            driver.standby_ended(shared.now(), id, &report);
        }
    }
    driver.run_once();
}

/// The task of a standby.
async fn stand_by(
    shared: SharedPool,
    id: StandbyId,
    mut process: Process,
    mut ordered: oneshot::Receiver<WorkerKey>,
) {
    let dead = tokio::select! {
        biased;
        () = process.waiter.exited() => true,
        worker = &mut ordered => match worker {
            Ok(worker) => {
                // What died while the process stood by says nothing about the worker's death.
                process.oom = oom::mark();
                return launch::employ(&shared, worker, process);
            }
            Err(_) => false,
        },
    };
    // The pool may have given the process away at this moment. The worker gets a living one.
    ordered.close();
    let taker = ordered.try_recv().ok();
    if let Some(worker) = taker {
        launch::start(&shared, worker);
    }
    end(shared, id, process, dead).await;
}

/// Kills the process, reaps it, and tells the driver.
async fn end(shared: SharedPool, id: StandbyId, process: Process, dead: bool) {
    let Process { pid, mut waiter, channel, watch, page, stdout, stderr, .. } = process;
    let killed = waiter.target().kill().map_err(CallError::of("kill"));
    let unkillable = killed.err().filter(|error| error.errno != libc::ESRCH);
    let patience = if unkillable.is_some() && !dead { Duration::ZERO } else { KILL_TIMEOUT };
    let mut tail = Tail::default();
    tail.push(&stderr.rest());
    // The descriptors are closed before JavaScript hears of the end of the pool. A process that
    // cannot be killed leaves at the end of its channel.
    drop((watch, channel, page, stdout, stderr));
    let exit = reap(&mut waiter, Some(Instant::now() + patience)).await;
    let left = exit.is_none().then_some(waiter);
    let pid = pid.as_raw_nonzero().get();
    tracing::debug!(standby = id.0, pid, ?exit, "exited");
    {
        let mut driver = shared.lock();
        if left.is_some() {
            driver.standby_left_behind(pid, patience, unkillable);
        }
        let exit = exit.unwrap_or_default();
        let report = ExitReport {
            pid: Some(pid),
            code: exit.code,
            signal: exit.signal,
            stderr: tail.text(),
            ..ExitReport::default()
        };
        driver.standby_ended(shared.now(), id, &report);
        driver.run_once();
    }
    drop(shared);
    if let Some(mut waiter) = left {
        // The pool no longer waits for the process, which still must not stay a zombie.
        waiter.exited().await;
        reap(&mut waiter, None).await;
    }
}
