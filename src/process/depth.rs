//! Pools within pools: the number of processes between this one and the one that no pool has
//! started.
//!
//! The number belongs to the whole process, whichever thread makes a pool. A worker learns it on
//! its channel, because the environment is the user's.

use std::sync::atomic::{AtomicU32, Ordering};

static DEPTH: AtomicU32 = AtomicU32::new(0);

/// Returns the depth of this process; 0: no pool has started it.
pub(crate) fn depth() -> u32 {
    DEPTH.load(Ordering::Relaxed)
}

/// Sets the depth that the pool has told this worker.
pub(crate) fn set_depth(depth: u32) {
    DEPTH.store(depth, Ordering::Relaxed);
}
