//! Pools within pools: how many processes up it is to the one that no pool has started.
//!
//! Known to the whole process, whichever of its threads makes a pool, and told to a worker on its
//! channel: the environment is the user's.

use std::sync::atomic::{AtomicU32, Ordering};

static DEPTH: AtomicU32 = AtomicU32::new(0);

/// 0: no pool has started this process.
pub(crate) fn depth() -> u32 {
    DEPTH.load(Ordering::Relaxed)
}

/// What the pool has told this worker.
pub(crate) fn set_depth(depth: u32) {
    DEPTH.store(depth, Ordering::Relaxed);
}
