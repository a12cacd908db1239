//! The state of a child process: running, dead, or not this process's to ask about.

use rustix::process::{Pid, WaitId, WaitIdOptions};

/// The state of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChildState {
    /// The child runs, or is stopped.
    Running,
    /// The child is dead and not yet reaped, so its pid is still its own.
    Zombie,
    /// The child was reaped, by bulkhead or by other code of this process.
    Reaped,
}

/// Looks at the child `pid` without a change of its state.
pub(super) fn child_state(pid: Pid) -> ChildState {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    match rustix::process::waitid(WaitId::Pid(pid), options) {
        Ok(Some(_)) => ChildState::Zombie,
        Ok(None) => ChildState::Running,
        Err(_) => ChildState::Reaped,
    }
}
