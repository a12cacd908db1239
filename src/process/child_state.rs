//! How far a child process is: whether it lives, is dead, or is not ours to ask about.

use rustix::process::{Pid, WaitId, WaitIdOptions};

/// What has become of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChildState {
    /// It runs, or is stopped.
    Running,
    /// It has ended, and its pid is still its own.
    Zombie,
    /// It was reaped, by us or by someone else.
    Reaped,
}

/// Looks at our child `pid` without changing anything.
pub(super) fn child_state(pid: Pid) -> ChildState {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    match rustix::process::waitid(WaitId::Pid(pid), options) {
        Ok(Some(_)) => ChildState::Zombie,
        Ok(None) => ChildState::Running,
        Err(_) => ChildState::Reaped,
    }
}
