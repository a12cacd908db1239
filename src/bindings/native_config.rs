//! Turns the one configuration object of `lib/options/pool-options.js` into the pool's settings.

use std::ffi::CString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::Ipv4Addr;

use napi::{Error, Result, Status};
use napi_derive::napi;
use serde_json::value::RawValue;

use crate::inspect::ports::InspectConfig;
use crate::pool::config::{PoolConfig, Prefetch, RestartConfig};
use crate::pool::ids::Micros;
use crate::process::directory::Directory;
use crate::supervisor::config::{QueueLimits, StdioMode, WorkerConfig};
use crate::wire::Serialization;

/// The configuration of a pool. Every field is present; times are in milliseconds, sizes in bytes.
#[napi(object, use_nullable = true)]
pub struct NativeConfig {
    pub name: String,
    pub command: String,
    pub args: Vec<String>,
    /// The command is Node.js, and its arguments start bulkhead's own worker.
    pub is_node: bool,
    /// The inspectors of Node workers; null: the flags open none.
    pub inspect: Option<NativeInspect>,
    /// `KEY=value`.
    pub env: Vec<String>,
    /// An absolute path; null: the directory of this process when the worker starts.
    pub cwd: Option<String>,
    /// `cwd` is the current directory of this process.
    pub own_cwd: bool,
    /// -20 to 19.
    pub nice: Option<i32>,
    #[napi(ts_type = "'inherit' | 'pipe' | 'ignore'")]
    pub stdio: String,
    /// The text of a JSON object, which the workers get unchanged.
    pub init_options: String,
    #[napi(ts_type = "'json' | 'advanced'")]
    pub serialization: String,
    pub min_workers: u32,
    pub max_workers: u32,
    /// The number of processes that stand by.
    pub standby: u32,
    /// (ms)
    pub idle_timeout: f64,
    pub concurrency: u32,
    /// (tasks)
    pub max_queue: f64,
    /// (bytes)
    pub max_queue_bytes: f64,
    /// The number of tasks that a worker holds in advance; 0: as many as the predicted run times
    /// allow.
    pub prefetch: u32,
    /// (ms), 0: none.
    pub task_timeout: f64,
    /// (ms)
    pub priority_ageing: f64,
    pub retries: u32,
    /// (ms)
    pub retry_delay: f64,
    /// (ms)
    pub start_timeout: f64,
    pub restart_limit: u32,
    /// (ms)
    pub restart_window: f64,
    /// (ms)
    pub restart_min_delay: f64,
    /// (ms)
    pub restart_max_delay: f64,
    /// (ms)
    pub grace_period: f64,
    /// 0: any number.
    pub max_tasks_per_worker: f64,
    /// (ms), 0: none.
    pub max_worker_age: f64,
    /// (bytes), 0: none.
    pub recycle_memory: f64,
    /// (bytes), 0: none.
    pub max_memory: f64,
    pub capture_stack: bool,
    /// (bytes)
    pub max_message_size: f64,
}

/// The inspectors that the flags of Node workers open.
#[napi(object, use_nullable = true)]
pub struct NativeInspect {
    /// Index in `args` where each worker's port goes.
    pub position: u32,
    /// An IP address; anything else means the default address.
    pub host: String,
    /// 0: any.
    pub port: u16,
}

/// Returns the microseconds of a number of milliseconds. A number that is not positive gives 0, one
/// that is too large the longest time.
pub fn micros(millis: f64) -> Micros {
    // `as` saturates, as this function must.
    (millis * 1000.0) as Micros
}

/// Returns a time limit; 0 (ms): none.
pub fn limit(millis: f64) -> Option<Micros> {
    (millis > 0.0).then(|| micros(millis))
}

/// Returns a limit in whole numbers; 0: none.
fn count(limit: f64) -> Option<u64> {
    (limit > 0.0).then_some(limit as u64)
}

impl NativeConfig {
    pub fn pool(&self) -> PoolConfig {
        PoolConfig {
            min_workers: self.min_workers as usize,
            max_workers: self.max_workers.max(1) as usize,
            standby: self.standby as usize,
            concurrency: self.concurrency.max(1) as usize,
            prefetch: match self.prefetch {
                0 => Prefetch::Auto,
                tasks => Prefetch::Fixed(tasks as usize),
            },
            task_timeout: limit(self.task_timeout),
            priority_ageing: micros(self.priority_ageing),
            retries: self.retries,
            retry_delay: micros(self.retry_delay),
            start_timeout: micros(self.start_timeout),
            idle_timeout: micros(self.idle_timeout),
            capture_stack: self.capture_stack,
            grace_period: micros(self.grace_period),
            max_tasks: count(self.max_tasks_per_worker),
            max_age: limit(self.max_worker_age),
            recycle_memory: count(self.recycle_memory),
            max_memory: count(self.max_memory),
            restart: RestartConfig {
                limit: self.restart_limit as usize,
                window: micros(self.restart_window),
                min_delay: micros(self.restart_min_delay),
                max_delay: micros(self.restart_max_delay),
            },
            // A good enough seed for jitter, without a crate for it.
            seed: RandomState::new().build_hasher().finish(),
        }
    }

    pub fn limits(&self) -> QueueLimits {
        QueueLimits { tasks: self.max_queue as usize, bytes: self.max_queue_bytes as usize }
    }

    pub fn worker(&self) -> Result<WorkerConfig> {
        Ok(WorkerConfig {
            name: self.name.clone(),
            command: c_string("command", &self.command)?,
            args: c_strings("args", &self.args)?,
            is_node: self.is_node,
            inspect: self.inspect.as_ref().map(|inspect| InspectConfig {
                position: inspect.position as usize,
                host: inspect.host.parse().unwrap_or(Ipv4Addr::LOCALHOST.into()),
                first: inspect.port,
            }),
            env: c_strings("env", &self.env)?,
            cwd: self
                .cwd
                .as_deref()
                .map(|cwd| c_string("cwd", cwd))
                .transpose()?
                .map(if self.own_cwd { Directory::own } else { Directory::at }),
            nice: self.nice,
            stdio: match self.stdio.as_str() {
                "inherit" => StdioMode::Inherit,
                "pipe" => StdioMode::Pipe,
                "ignore" => StdioMode::Ignore,
                other => return Err(invalid("stdio", other)),
            },
            init_options: RawValue::from_string(self.init_options.clone())
                .map_err(|_| invalid("initOptions", &self.init_options))?,
            serialization: match self.serialization.as_str() {
                "json" => Serialization::Json,
                "advanced" => Serialization::Advanced,
                other => return Err(invalid("serialization", other)),
            },
            max_message_size: self.max_message_size as usize,
            concurrency: self.concurrency.max(1) as usize,
        })
    }
}

fn c_strings(field: &str, texts: &[String]) -> Result<Vec<CString>> {
    texts.iter().map(|text| c_string(field, text)).collect()
}

fn c_string(field: &str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| invalid(field, text))
}

/// Returns the error for an invalid field, which `lib/options/pool-options.js` never lets through.
fn invalid(field: &str, value: &str) -> Error {
    Error::new(Status::InvalidArg, format!("the native option {field} cannot be {value:?}"))
}
