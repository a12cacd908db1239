//! Starts one worker: its process, its task, and its link. A process that stands by has neither
//! until a worker takes it.

use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::sync::Notify;

use crate::inspect::announcement::Announcements;
use crate::inspect::ports::Port;
use crate::pool::ids::WorkerKey;
use crate::process::channel::{channel_pair, pipe};
use crate::process::directory::Directory;
use crate::process::oom;
use crate::process::readiness::{SharedWatch, watch_shared};
use crate::process::{self, CallError, Pid, SpawnError, SpawnSpec, Stdio, Waiter};
use crate::shm::SharedPage;
use crate::supervisor::config::StdioMode;
use crate::supervisor::handle::{self, SharedPool};
use crate::supervisor::link::Link;
use crate::supervisor::output;
use crate::supervisor::report::SpawnFailure;
use crate::supervisor::worker_task::{Spawned, Stream, WorkerTask};
use crate::wire;
use crate::wire::down::Init;

/// A process that was just started or stands by, with this side's ends of its channel and pipes.
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) waiter: Waiter,
    pub(super) channel: Arc<OwnedFd>,
    pub(super) watch: SharedWatch,
    pub(super) page: Option<SharedPage>,
    pub(super) stdout: Option<Stream>,
    pub(super) stderr: Stream,
    port: Option<Port>,
    /// The kernel's count of processes killed for memory, before this one could do harm.
    pub(super) oom: Option<oom::Mark>,
}

impl Process {
    pub(super) fn raw_pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }
}

/// Starts a process and its worker's task, or tells the driver why there is no process.
pub(super) fn start(shared: &SharedPool, key: WorkerKey) {
    let wanted = shared.lock().is_wanted(key);
    let started = if wanted { spawn(shared, Some(key)).map_err(Some) } else { Err(None) };
    match started {
        Ok(process) => employ(shared, key, process),
        Err(failure) => {
            tracing::debug!(worker = key.worker_id(), ?failure, "not spawned");
            let mut driver = shared.lock();
            driver.spawn_failed(shared.now(), key, failure);
            driver.run_once();
        }
    }
}

/// Makes the process a worker: starts its task, and sends `init`.
pub(super) fn employ(shared: &SharedPool, key: WorkerKey, process: Process) {
    tracing::debug!(worker = key.worker_id(), pid = process.raw_pid(), "spawned");
    let (task, link) = worker(shared, key, process);
    let mut driver = shared.lock();
    driver.spawned(shared.now(), link);
    tokio::task::spawn_local(task.run());
    driver.run_once();
}

impl From<CallError> for SpawnFailure {
    fn from(error: CallError) -> Self {
        Self {
            message: error.to_string(),
            code: error.code(),
            errno: error.errno,
            syscall: error.call,
            path: None,
            permanent: !error.is_temporary(),
        }
    }
}

impl SpawnFailure {
    fn nice(nice: i32, error: CallError) -> Self {
        Self {
            message: format!("giving a worker the nice value {nice} (option \"nice\"): {error}"),
            ..error.into()
        }
    }
}

impl From<SpawnError> for SpawnFailure {
    fn from(error: SpawnError) -> Self {
        Self {
            message: error.to_string(),
            code: error.code(),
            errno: error.errno,
            syscall: "spawn",
            permanent: !error.is_temporary(),
            path: Some(error.what),
        }
    }
}

/// Starts a process, for this worker if it has one already.
pub(super) fn spawn(shared: &SharedPool, key: Option<WorkerKey>) -> Result<Process, SpawnFailure> {
    let config = &shared.worker_config;
    let (channel, theirs) = channel_pair()?;
    // Without shared memory the pool does not prefetch.
    let page = SharedPage::create();
    let (stderr, their_stderr) = pipe()?;
    let (stdout, their_stdout) = match config.stdio {
        StdioMode::Pipe => Some(pipe()?).unzip(),
        StdioMode::Inherit | StdioMode::Ignore => (None, None),
    };
    // The channel is registered before the process exists, so that no step can fail after the
    // spawn.
    let channel = Arc::new(channel);
    let watch = watch_shared(Arc::clone(&channel), Interest::READABLE)?;
    let stdout = stdout.map(Stream::new).transpose()?;
    let stderr = Stream::new(stderr)?;
    let port = config.inspect.as_ref().zip(key).map(|(inspect, key)| inspect.port(key.worker_id()));
    let mut args = Cow::Borrowed(&config.args);
    if let (Some(inspect), Some(port)) = (&config.inspect, &port) {
        args.to_mut().insert(inspect.position.min(config.args.len()), port.flag());
    }
    let spec = SpawnSpec {
        program: &config.command,
        args: &args,
        env: &config.env,
        cwd: config.cwd.as_ref().and_then(Directory::to_enter),
        channel: theirs.as_fd(),
        page: page.as_ref().map(AsFd::as_fd),
        stdout: match (&their_stdout, config.stdio) {
            (Some(fd), _) => Stdio::Fd(fd.as_fd()),
            (None, StdioMode::Inherit) => Stdio::Inherit,
            (None, _) => Stdio::Null,
        },
        stderr: Stdio::Fd(their_stderr.as_fd()),
    };
    let oom = oom::mark();
    let pid = process::spawn(&spec)?;
    // A process must not live on if it cannot be watched, or has the wrong nice value.
    let undo = || {
        let _ = process::kill_and_reap(pid);
    };
    if let Some(nice) = config.nice {
        process::nice::set(pid, nice).map_err(|error| {
            undo();
            SpawnFailure::nice(nice, error)
        })?;
    }
    let waiter = Waiter::new(pid).inspect_err(|_| undo())?;
    Ok(Process { pid, waiter, channel, watch, page, stdout, stderr, port, oom })
}

/// Makes the task and the link of a worker with this process.
fn worker(shared: &SharedPool, key: WorkerKey, process: Process) -> (WorkerTask, Link) {
    let config = &shared.worker_config;
    let Process { pid, waiter, channel, watch, page, stdout, stderr, port, oom } = process;
    let wake = Arc::new(Notify::new());
    let mut link = Link::new(
        key,
        waiter.target(),
        handle::now(),
        Arc::clone(&channel),
        page,
        Arc::clone(&wake),
    );
    link.send_init(&wire::down::init(&Init {
        worker_id: key.worker_id(),
        pool: &config.name,
        depth: process::depth::depth().saturating_add(1),
        parent_pid: std::process::id(),
        concurrency: u32::try_from(config.concurrency).unwrap_or(u32::MAX),
        max_message_size: config.max_message_size as u64,
        serialization: config.serialization,
        options: &config.init_options,
    }));
    let label =
        || format!("{} worker {} (pid {}): ", config.name, key.worker_id(), pid.as_raw_nonzero());
    let passes_on =
        config.stdio == StdioMode::Inherit || port.is_some() && config.stdio == StdioMode::Ignore;
    let announcements = port.is_some().then(|| Announcements::labelled(label()));
    let spawned = Spawned {
        pid,
        channel,
        watch,
        waiter,
        wake,
        stdout,
        stderr,
        oom,
        announcements,
        port,
        forward: passes_on.then(output::stderr).flatten(),
    };
    (WorkerTask::new(Arc::clone(shared), key, spawned), link)
}
