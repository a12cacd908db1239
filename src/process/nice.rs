//! The share of the processors that a worker gets, against all other processes.

use super::Pid;
use super::errno::CallError;

/// Sets the nice value of a process that was just spawned and leads its group: -20 (most) to 19
/// (least).
///
/// On Linux each thread has a nice value, and inherits that of its maker. The call for the group
/// reaches all threads that the process has started by now. Later ones inherit the value.
pub(crate) fn set(pid: Pid, nice: i32) -> Result<(), CallError> {
    rustix::process::setpriority_pgrp(Some(pid), nice).map_err(CallError::of("setpriority"))
}
