//! The end of this process by `exit`.

#![expect(unsafe_code, reason = "atexit is C")]

use std::sync::atomic::{AtomicU32, Ordering};

/// The process that has asked to be called. 0: none has.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// Has `act` called when the process ends by `exit` or by returning from `main`. Node's own
/// clean-up hooks are not called when JavaScript calls `process.exit()`, nor after an uncaught
/// exception; this is. Best effort: C guarantees 32 such calls.
///
/// A child that this process forks inherits the call, and may leave by `exit` as well: `act` asks
/// [`is_ours`] first.
pub(crate) fn at_exit(act: extern "C" fn()) {
    ASKED.store(std::process::id(), Ordering::Relaxed);
    // SAFETY: the function is never unloaded before it is called: glibc and musl both call the
    // functions of a library that is being unloaded at that moment, and this one is pinned anyway
    // as soon as a pool was made.
    unsafe { libc::atexit(act) };
}

/// Whether the process that ends is the one that has called [`at_exit`], and no copy of it that
/// `fork` has made. Takes no lock and no memory: a copy has those as they were at that moment, and
/// none of the other threads.
pub(crate) fn is_ours() -> bool {
    ASKED.load(Ordering::Relaxed) == std::process::id()
}
