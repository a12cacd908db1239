//! The configuration of workers, and the bounds of the queue.

use std::ffi::{CStr, CString};

use serde_json::value::RawValue;

use crate::inspect::ports::InspectConfig;
use crate::process::directory::Directory;
use crate::wire::Serialization;

/// The configuration of a worker process; constant for the life of the pool.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The pool's name, which the worker learns in `init`.
    pub name: String,
    /// The executable: a path, or a name that is looked up in `PATH`.
    pub command: CString,
    /// Arguments after the executable's own name.
    pub args: Vec<CString>,
    /// The executable is Node.js, and runs a worker of this package.
    pub is_node: bool,
    /// The port of each worker's inspector. `None`: neither arguments nor environment open one.
    pub inspect: Option<InspectConfig>,
    /// The whole environment, as `KEY=value`.
    pub env: Vec<CString>,
    /// Working directory; `None`: the parent's at the time.
    pub cwd: Option<Directory>,
    /// Nice value, -20 to 19; `None`: the parent's.
    pub nice: Option<i32>,
    /// The destination of a worker's output.
    pub stdio: StdioMode,
    /// JSON object that is handed through to the worker in `init`.
    pub init_options: Box<RawValue>,
    /// The serialization of tasks, which the worker learns in `init`.
    pub serialization: Serialization,
    /// Bytes of the largest message in either direction.
    pub max_message_size: usize,
    /// Tasks that one worker runs at a time, which it learns in `init`.
    pub concurrency: usize,
}

impl WorkerConfig {
    /// Returns the configuration of a worker with this command line, without output, environment or
    /// options. Messages have at most 1 MiB.
    pub fn of(command: &CStr, args: Vec<CString>) -> Self {
        Self {
            name: "bulkhead".to_owned(),
            command: command.to_owned(),
            args,
            is_node: false,
            inspect: None,
            env: Vec::new(),
            cwd: None,
            nice: None,
            stdio: StdioMode::Ignore,
            init_options: RawValue::from_string("{}".to_owned()).expect("it is JSON"),
            serialization: Serialization::Json,
            max_message_size: 1 << 20,
            concurrency: 1,
        }
    }
}

/// See the `stdio` option. Standard error is read in every mode, for crash reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdioMode {
    /// The worker writes where the parent does.
    Inherit,
    /// Output becomes `stdout` and `stderr` events.
    Pipe,
    /// Output is thrown away.
    Ignore,
}

/// The bounds of the queue, beyond which a submission gets `QueueFullError`.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// `maxQueue`: tasks that may wait beyond those that can run at once.
    pub tasks: usize,
    /// `maxQueueBytes`: bytes of the tasks that wait.
    pub bytes: usize,
}
