//! The end of this process by `exit`.

#![expect(unsafe_code, reason = "atexit is C")]

/// Has `act` called when the process ends by `exit` or by returning from `main`. Node's own clean-up hooks are not called
/// when JavaScript calls `process.exit()`, nor after an uncaught exception; this is. Best effort: C guarantees 32 such
/// calls.
pub fn at_exit(act: extern "C" fn()) {
    // SAFETY: the function is never unloaded before it is called: glibc and musl both call the functions of a library
    // that is being unloaded at that moment, and this one is pinned anyway as soon as a pool was made.
    unsafe { libc::atexit(act) };
}
