//! The one thread that supervises all pools of the process.
//!
//! The thread is a plain one, and never ends. The kernel's parent-death signal follows the *thread*
//! that spawned a process. A worker that a thread of some runtime spawned would die with that
//! thread. It runs a current-thread tokio runtime, in which every pool and every worker is a task.
//! It installs no signal handler.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::process::CallError;
use crate::process::at_exit::{at_exit, is_ours};
use crate::supervisor::handle::{PoolHandle, SharedPool};
use crate::supervisor::pool_task;

/// The sender of pools to the thread, once there is one.
static SUPERVISOR: Mutex<Option<mpsc::UnboundedSender<SharedPool>>> = Mutex::new(None);

/// All pools that may have workers.
static POOLS: Mutex<Vec<Weak<PoolHandle>>> = Mutex::new(Vec::new());

/// The reason for which there is no supervisor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupervisorError {
    /// The runtime needs an epoll instance, a wake-up descriptor and a thread, and the process has
    /// no more of one of them. The attempt leaves nothing behind, and the next pool makes another.
    #[error("the supervisor thread cannot be started: {0}")]
    Start(#[from] CallError),
    /// The thread has panicked, which is a bug.
    #[error("the supervisor thread is gone")]
    Gone,
}

impl SupervisorError {
    /// Returns the error's code, such as `EMFILE`.
    pub(crate) fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Start(error) => error.code(),
            Self::Gone => Cow::Borrowed("ERR_BULKHEAD"),
        }
    }
}

/// Has the supervisor run this pool from now on.
pub(crate) fn host(pool: SharedPool) -> Result<(), SupervisorError> {
    let mut supervisor = SUPERVISOR.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = match &*supervisor {
        Some(pools) => pools,
        None => supervisor.insert(start()?),
    };
    let mut all = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|pool| pool.strong_count() > 0);
    all.push(Arc::downgrade(&pool));
    pools.send(pool).map_err(|_| SupervisorError::Gone)
}

/// Kills all workers and their process groups, because this process ends.
extern "C" fn end() {
    // In a copy of this process that `fork` made: the workers belong to the original.
    if !is_ours() {
        return;
    }
    // The lock is held only for moments, but a process that ends must not wait for it.
    if let Ok(pools) = POOLS.try_lock() {
        pools.iter().filter_map(Weak::upgrade).for_each(|pool| pool.end());
    }
}

fn start() -> Result<mpsc::UnboundedSender<SharedPool>, SupervisorError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(CallError::of("creating an event loop"))?;
    let (pools, mut incoming) = mpsc::unbounded_channel();
    let run = move || {
        let local = LocalSet::new();
        local.block_on(&runtime, async move {
            // The sender is static, so this loop ends with the process.
            while let Some(pool) = incoming.recv().await {
                tokio::task::spawn_local(pool_task::run(pool));
            }
        });
    };
    let thread = std::thread::Builder::new().name("bulkhead".to_owned());
    thread.spawn(run).map_err(CallError::of("pthread_create"))?;
    at_exit(end);
    Ok(pools)
}
