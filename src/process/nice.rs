//! How much of the processors a worker gets, against everybody else.

use super::Pid;
use super::errno::CallError;

/// Gives a process that was just spawned, which leads its group, this nice value: -20 (most) to 19
/// (least).
///
/// On Linux threads have nice values, and inherit them. By its group all of them are reached,
/// however many the process has started by now; what it starts later inherits.
pub(crate) fn set(pid: Pid, nice: i32) -> Result<(), CallError> {
    rustix::process::setpriority_pgrp(Some(pid), nice).map_err(CallError::of("setpriority"))
}
