//! The failures and events for JavaScript, as JSON. They stand in one file, so that
//! `lib/errors/from-native.js` has one counterpart.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::errors::{Breach, NotReady};
use crate::pool::ids::Micros;
use crate::pool::lifecycle::ExitReason;
use crate::pool::messages::ClosedReport;
use crate::process::{CallError, Signal, signal};
use crate::supervisor::config::WorkerConfig;
use crate::supervisor::oom_message;

/// Converts microseconds to milliseconds with three decimals, the unit of users.
pub(crate) fn millis(span: Micros) -> f64 {
    span as f64 / 1000.0
}

/// Returns the JSON text of a report. Reports hold nothing that could fail to serialize.
pub(crate) fn text(report: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(report).unwrap_or_else(|_| b"null".to_vec())
}

/// The known facts of a worker that has exited, or that never had a process.
#[derive(Clone, Debug, Default)]
pub struct ExitReport {
    pub worker_id: u32,
    pub pid: Option<i32>,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// The worker died while it wrote what may be the outcome of a task.
    pub mid_outcome: bool,
    /// The end of its standard error, and of its `log` frames.
    pub stderr: String,
    pub uptime: Micros,
    /// The largest known resident set, in bytes; 0: unknown.
    pub rss: u64,
    /// The violation of the protocol.
    pub violation: Option<String>,
    /// The error with which the worker refused to start.
    pub refusal: Option<Box<RawValue>>,
    /// The reason for which there is no process.
    pub spawn_failure: Option<SpawnFailure>,
    /// The start deadline (µs), if the worker missed it.
    pub start_timeout: Option<Micros>,
    /// The pool ended the worker because it had closed its channel.
    pub channel_closed: bool,
    /// The kernel killed the worker because memory ran out.
    pub oom_killed: bool,
    /// The reason for which the pool was stopping the worker, if it was.
    pub stop_reason: Option<ExitReason>,
    /// The limit (bytes) for which the pool killed the worker.
    pub memory_limit: Option<u64>,
}

/// The reason for which there is no process, in the words of Node's own system errors.
#[derive(Clone, Debug)]
pub struct SpawnFailure {
    pub message: String,
    /// The error's name, such as `ENOENT`.
    pub code: Cow<'static, str>,
    pub errno: i32,
    pub syscall: &'static str,
    /// The path of the executable or of the working directory.
    pub path: Option<String>,
    /// Another attempt cannot help.
    pub permanent: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Crashed<'a> {
    kind: &'static str,
    worker_id: u32,
    pid: Option<i32>,
    exit_code: Option<i32>,
    signal: Option<Cow<'static, str>>,
    phase: &'static str,
    reason: &'static str,
    maybe_executed: bool,
    out_of_memory: bool,
    channel_closed: bool,
    stderr: &'a str,
    uptime: f64,
    rss: u64,
    /// `maxMemory` (bytes), if the pool killed the worker for it.
    memory_limit: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StartFailure<'a> {
    reason: &'static str,
    message: String,
    exit_code: Option<i32>,
    signal: Option<Cow<'static, str>>,
    out_of_memory: bool,
    channel_closed: bool,
    stderr: &'a str,
    error: Option<Said<'a>>,
    worker_id: u32,
    pid: Option<i32>,
}

/// An error as workers report them.
#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    ByWorker(&'a RawValue),
    BySystem { message: &'a str, code: &'a str, fields: SystemFields<'a> },
}

#[derive(Serialize)]
struct SystemFields<'a> {
    errno: i32,
    syscall: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

impl<'a> From<&'a SpawnFailure> for Said<'a> {
    fn from(SpawnFailure { message, code, errno, syscall, path, .. }: &'a SpawnFailure) -> Self {
        // Negative, as in libuv.
        Self::BySystem {
            message,
            code,
            fields: SystemFields { errno: -errno, syscall, path: path.as_deref() },
        }
    }
}

impl ExitReport {
    fn signal_name(&self) -> Option<Cow<'static, str>> {
        self.signal.map(signal::name)
    }

    /// Returns whether the pool's signals may have ended the worker, which may exit in its own way
    /// on SIGTERM.
    pub fn ended_by_us(&self) -> bool {
        self.signal
            .is_none_or(|signal| [Signal::TERM, Signal::KILL].map(Signal::as_raw).contains(&signal))
    }

    fn out_of_memory(&self) -> bool {
        self.memory_limit.is_some()
            || self.oom_killed
            || oom_message::detect_oom_message(&self.stderr, self.code, self.signal)
    }

    /// Returns whether this was a Node.js that could not even begin, and that the pool has not
    /// ended.
    pub(crate) fn node_cannot_begin(&self, config: &WorkerConfig) -> bool {
        config.is_node
            && matches!(self.stop_reason, None | Some(ExitReason::Startup))
            && oom_message::detect_node_start_failure(
                &self.stderr,
                self.code,
                &config.command.to_string_lossy(),
            )
    }

    /// Returns the phase in which the worker died.
    fn phase(&self) -> &'static str {
        match self.stop_reason {
            _ if self.mid_outcome => "result",
            None | Some(ExitReason::Crashed | ExitReason::Memory) => "running",
            Some(_) => "stopping",
        }
    }

    /// Returns the failure object of a task that may have been running.
    pub fn crashed(&self) -> Vec<u8> {
        text(&Crashed {
            kind: "crashed",
            worker_id: self.worker_id,
            pid: self.pid,
            exit_code: self.code,
            signal: self.signal_name(),
            phase: self.phase(),
            reason: self.stop_reason.unwrap_or(ExitReason::Crashed).as_str(),
            maybe_executed: true,
            out_of_memory: self.out_of_memory(),
            channel_closed: self.channel_closed,
            stderr: &self.stderr,
            uptime: millis(self.uptime),
            rss: self.rss,
            memory_limit: self.memory_limit,
        })
    }

    /// Returns the failure object of a task whose worker broke the protocol.
    pub fn protocol(&self) -> Vec<u8> {
        let unknown = Breach::Unknown.to_string();
        let what = self.violation.as_deref().unwrap_or(&unknown);
        text(&serde_json::json!({
            "kind": "protocol", "what": what, "workerId": self.worker_id, "pid": self.pid, "maybeExecuted": true,
        }))
    }

    /// Returns the event of a worker that broke the protocol.
    pub fn violation(&self) -> Option<Vec<u8>> {
        let what = self.violation.as_deref()?;
        Some(text(&serde_json::json!({
            "event": "protocol", "what": what, "workerId": self.worker_id, "pid": self.pid,
        })))
    }

    /// Returns the start failure of a worker that never got ready.
    pub fn start_failure(&self) -> Vec<u8> {
        let (reason, why) = if self.spawn_failure.is_some() {
            ("spawn", NotReady::Spawn)
        } else if self.refusal.is_some() {
            ("fail", NotReady::Refused)
        } else if let Some(what) = &self.violation {
            ("protocol", NotReady::Protocol { what: what.clone() })
        } else if let Some(limit) = self.memory_limit {
            ("exit", NotReady::Memory { used: self.rss, limit })
        } else if let Some(limit) = self.start_timeout {
            ("timeout", NotReady::Timeout { limit: millis(limit) })
        } else if self.channel_closed {
            ("exit", NotReady::ChannelClosed)
        } else {
            let why = match (self.code, self.signal_name()) {
                (_, Some(signal)) => NotReady::Killed { signal: signal.into_owned() },
                (Some(code), None) => NotReady::Exited { code },
                (None, None) => NotReady::Gone,
            };
            ("exit", why)
        };
        text(&StartFailure {
            reason,
            message: why.to_string(),
            exit_code: self.code,
            signal: self.signal_name(),
            out_of_memory: self.out_of_memory(),
            channel_closed: self.channel_closed,
            stderr: &self.stderr,
            error: self
                .refusal
                .as_deref()
                .map(Said::ByWorker)
                .or(self.spawn_failure.as_ref().map(Said::from)),
            worker_id: self.worker_id,
            pid: self.pid,
        })
    }

    /// Returns the `exit` event.
    pub fn exit(&self, reason: &str, tasks_done: u64) -> Vec<u8> {
        text(&serde_json::json!({
            "event": "exit", "workerId": self.worker_id, "pid": self.pid, "code": self.code,
            "signal": self.signal_name(), "reason": reason, "uptime": millis(self.uptime), "tasksDone": tasks_done,
        }))
    }
}

/// Returns the failure object of an overdue task. `stuck_at`: the worker's stack, if the pool
/// captured it.
pub(crate) fn timeout(
    limit: Micros,
    worker_id: u32,
    pid: Option<i32>,
    stuck_at: Option<&str>,
) -> Vec<u8> {
    let mut failure = serde_json::json!({ "kind": "timeout", "timeout": millis(limit), "workerId": worker_id, "pid": pid });
    if let Some(stack) = stuck_at {
        failure["stuckAt"] = stack.into();
    }
    text(&failure)
}

/// Returns the failure object of a task in a pool that was closed.
pub(crate) fn closed(maybe_executed: bool) -> Vec<u8> {
    text(&serde_json::json!({ "kind": "closed", "maybeExecuted": maybe_executed }))
}

/// Returns the failure object of a task in a pool that broke; `cause` is a start failure.
pub(crate) fn broken(cause: &[u8], maybe_executed: bool) -> Vec<u8> {
    let head = format!("{{\"kind\":\"broken\",\"maybeExecuted\":{maybe_executed},\"cause\":");
    [head.as_bytes(), cause, b"}"].concat()
}

/// Returns the event of a pool that broke; `cause` is a start failure.
pub(crate) fn broken_event(cause: &[u8]) -> Vec<u8> {
    [b"{\"event\":\"broken\",\"cause\":", cause, b"}"].concat()
}

/// Returns the event of a pool that lacks workers, while others serve; `cause` is a start failure.
pub(crate) fn short_event(cause: &[u8]) -> Vec<u8> {
    [b"{\"event\":\"short\",\"cause\":", cause, b"}"].concat()
}

/// Returns the event that standbys die unused; `cause` is the start failure that the last one would
/// be as a worker.
pub(crate) fn standbys_die(cause: &[u8]) -> Vec<u8> {
    [b"{\"event\":\"standbys-die\",\"cause\":", cause, b"}"].concat()
}

/// Returns the event that all workers were replaced, or their number changed; `number` is that of
/// the request.
pub(crate) fn changed(event: &str, number: u32) -> Vec<u8> {
    text(&serde_json::json!({ "event": event, "number": number }))
}

/// Returns the event that the workers were not replaced; `cause` is a start failure.
pub(crate) fn reload_failed(number: u32, cause: &[u8]) -> Vec<u8> {
    let head = format!("{{\"event\":\"reload-failed\",\"number\":{number},\"cause\":");
    [head.as_bytes(), cause, b"}"].concat()
}

/// Returns the `retry` event; `error` is a failure object.
pub(crate) fn retry(attempt: u32, error: &[u8]) -> Vec<u8> {
    let head = format!("{{\"event\":\"retry\",\"attempt\":{attempt},\"error\":");
    [head.as_bytes(), error, b"}"].concat()
}

/// Returns the `online` event.
pub(crate) fn online(worker_id: u32, pid: i32) -> Vec<u8> {
    text(&serde_json::json!({ "event": "online", "workerId": worker_id, "pid": pid }))
}

/// Returns the `lost-key` event.
pub(crate) fn lost_key(worker_id: u32, key: &str) -> Vec<u8> {
    text(&serde_json::json!({ "event": "lost-key", "workerId": worker_id, "key": key }))
}

/// Returns the event of a process that was killed and lives on, or could not be killed.
pub(crate) fn left_behind(
    worker_id: u32,
    pid: i32,
    after: Micros,
    unkillable: Option<CallError>,
) -> Vec<u8> {
    let code = unkillable.map(|error| error.code());
    let after = millis(after);
    text(&serde_json::json!({
        "event": "left-behind", "workerId": worker_id, "pid": pid, "after": after, "code": code,
    }))
}

/// Returns the event that a shutdown has ended.
pub(crate) fn shut_down(report: ClosedReport) -> Vec<u8> {
    let ClosedReport { completed, rejected, killed } = report;
    text(&serde_json::json!({
        "event": "closed", "completed": completed, "rejected": rejected, "killed": killed,
    }))
}
