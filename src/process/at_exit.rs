//! The end of this process by `exit`.

#![expect(unsafe_code, reason = "atexit is C")]

use std::sync::atomic::{AtomicU32, Ordering};

/// The process that called [`at_exit`]. 0: none.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// Has `act` called when the process ends by `exit` or by a return from `main`. Node does not call
/// its own clean-up hooks after `process.exit()` or an uncaught exception. This is best effort: C
/// guarantees 32 such calls.
///
/// A child that this process forks inherits the call, and may also end by `exit`. So `act` asks
/// [`is_ours`] first.
pub(crate) fn at_exit(act: extern "C" fn()) {
    ASKED.store(std::process::id(), Ordering::Relaxed);
    // SAFETY: `act` is never unloaded before its call. At an unload, glibc and musl call the
    // functions of the library at that moment. Besides, napi-rs pins this library as soon as a pool
    // exists.
    unsafe { libc::atexit(act) };
}

/// Returns whether this process called [`at_exit`], and is no copy of it that `fork` made. Takes no
/// lock and allocates nothing: a copy has locks and heap in the state of that moment, and no other
/// thread.
pub(crate) fn is_ours() -> bool {
    ASKED.load(Ordering::Relaxed) == std::process::id()
}
