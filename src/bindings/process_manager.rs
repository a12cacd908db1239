//! The native half of `lib/pool/process-manager.js`.
#![expect(unsafe_code, reason = "writing into an array that JavaScript owns")]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi::{Env, JsString};
use napi_derive::napi;

use crate::bindings::buffers::Blob;
use crate::bindings::environment::{EnvironmentGuard, Waker};
use crate::bindings::fast_function::{self, Arguments, FastFunction};
use crate::bindings::native_config::{self, NativeConfig};
use crate::bindings::{buffers, log, strings};
use crate::buffer_pool::Bytes;
use crate::pool::ids::{Micros, Ticket};
use crate::pool::key::AffinityKey;
use crate::pool::messages::{Body, Event, NewTask, RawBody};
use crate::process::memory;
use crate::supervisor::admission::QueueFull;
use crate::supervisor::handle::{self, PoolHandle, SharedPool};
use crate::supervisor::outbox::Outbox;
use crate::supervisor::rows::{BATCH_ROWS, Row};
use crate::supervisor::thread;

/// The number of rows, the text of the array of their values, the separate values.
type Drained<'env> = (u32, JsString<'env>, Vec<JsString<'env>>);

/// The queue is full (in tasks or in bytes), and the task is not accepted.
const FULL: f64 = -1.0;
const FULL_BYTES: f64 = -2.0;
/// The task is accepted.
const ACCEPTED: f64 = 0.0;

/// One pool. Every method is called on the thread of the environment that made the pool.
#[napi(custom_finalize)]
pub struct ProcessManager {
    shared: SharedPool,
    environment: EnvironmentGuard,
    meta: Float64Array,
    /// The text of the array of a batch's values, while it is put together.
    text: Vec<u8>,
    /// The raw bytes of the last batch. JavaScript has taken the empty ones.
    blobs: Vec<Bytes>,
    intake: Rc<RefCell<Intake>>,
}

/// Makes the bodies of tasks and hands them to the pool.
struct Intake {
    shared: SharedPool,
    scratch: Vec<u8>,
    max_message_size: usize,
    task_timeout: Option<Micros>,
    retries: u32,
}

/// `submit(ticket, json)`.
struct Submit(Rc<RefCell<Intake>>);

impl FastFunction for Submit {
    const NAME: &'static str = "submit";
    const ARGUMENTS: usize = 2;

    fn call(&self, arguments: &Arguments<'_>) -> Result<f64> {
        self.0.borrow_mut().submit(arguments.value(0)?, &arguments.value(1)?)
    }
}

/// `submit(ticket, json, handler, header)`.
struct SubmitWithHeader(Rc<RefCell<Intake>>);

impl FastFunction for SubmitWithHeader {
    const NAME: &'static str = "submit";
    const ARGUMENTS: usize = 4;

    fn call(&self, arguments: &Arguments<'_>) -> Result<f64> {
        let (json, header) = (arguments.value(1)?, arguments.value(3)?);
        self.0.borrow_mut().submit_with_header(
            arguments.value(0)?,
            &json,
            arguments.value(2)?,
            &header,
        )
    }
}

#[napi]
impl ProcessManager {
    /// Makes a pool. `drain` writes its rows into `meta`; `on_batch` is called when there are rows
    /// to drain.
    #[napi(constructor)]
    pub fn new(
        env: Env,
        config: NativeConfig,
        meta: Float64Array,
        on_batch: Function<'_, (), Unknown<'static>>,
    ) -> Result<Self> {
        log::start();
        if meta.len() < BATCH_ROWS * Row::WIDTH {
            return Err(Error::new(
                Status::InvalidArg,
                format!("meta must hold {BATCH_ROWS} rows of {}", Row::WIDTH),
            ));
        }
        let waker = Arc::new(Waker::new(on_batch)?);
        let wake = {
            let waker = Arc::clone(&waker);
            move || waker.wake()
        };
        let pool = config.pool();
        let (task_timeout, retries) = (pool.task_timeout, pool.retries);
        let shared =
            Arc::new(PoolHandle::new(pool, config.worker()?, config.limits(), Outbox::new(wake)));
        let environment = EnvironmentGuard::new(env, Arc::clone(&shared), waker)?;
        if let Err(error) = thread::host(Arc::clone(&shared)) {
            environment.detach(env)?;
            // Thrown here, because only such an error can have a code of its own.
            env.throw_error(&error.to_string(), Some(&error.code()))?;
            return Err(Error::new(Status::PendingException, String::new()));
        }
        let intake = Intake {
            shared: Arc::clone(&shared),
            scratch: Vec::new(),
            max_message_size: config.max_message_size as usize,
            task_timeout,
            retries,
        };
        Ok(Self {
            shared,
            environment,
            meta,
            text: Vec::new(),
            blobs: Vec::new(),
            intake: Rc::new(RefCell::new(intake)),
        })
    }

    /// Lets this thread read the replies to lone short tasks itself, where the system and the
    /// runtime can do that. `on_batch` is as in the constructor. To be called once, and only in
    /// Node.js.
    #[napi]
    pub fn lead(&self, env: Env, on_batch: Function<'_, (), Unknown<'static>>) -> Result<()> {
        self.environment.lead(env, &on_batch)
    }

    /// Starts `minWorkers` workers. A second call does nothing.
    #[napi]
    pub fn start(&self) {
        self.shared.post(Event::Start);
    }

    /// Makes a function `submit(ticket, json)`, which submits a task with all defaults. 0:
    /// accepted. -1 or -2: the queue is full, in tasks or in bytes. Any other number: the task's
    /// size, which is too large.
    #[napi(ts_return_type = "(ticket: number, json: string) => number")]
    pub fn create_submit<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        fast_function::create(env, Submit(Rc::clone(&self.intake)))
    }

    /// Makes a function `submit(ticket, json, handler, header)`, which submits a task with default
    /// options. `handler` is an index for the prediction of run times, and `header` has members of
    /// the task's frame.
    #[napi(
        ts_return_type = "(ticket: number, json: string, handler: number, header: string) => number"
    )]
    pub fn create_submit_with_header<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        fast_function::create(env, SubmitWithHeader(Rc::clone(&self.intake)))
    }

    /// Submits a task with options, as the function that `createSubmitWithHeader` makes does.
    /// `timeout` (ms): -1 is the default, 0 none. `retries`: -1 is the default. `priority`: 0 is
    /// the default. `key`: all tasks of one key go to one worker. `binaries`: values sent as raw
    /// bytes.
    #[napi]
    #[allow(
        clippy::too_many_arguments,
        reason = "an object would have to be taken apart, one property at a time"
    )]
    pub fn submit_with(
        &self,
        ticket: u32,
        json: JsString<'_>,
        handler: u32,
        header: JsString<'_>,
        timeout: f64,
        retries: i32,
        priority: f64,
        key: Option<String>,
        binaries: Option<Vec<Uint8ArraySlice<'_>>>,
    ) -> Result<f64> {
        let mut intake = self.intake.borrow_mut();
        let timeout =
            if timeout < 0.0 { intake.task_timeout } else { native_config::limit(timeout) };
        let retries = u32::try_from(retries).unwrap_or(intake.retries);
        let handler = u8::try_from(handler).unwrap_or(0);
        let body = match intake.body(TASK, &header, &json, &binaries.unwrap_or_default())? {
            Ok(body) => body,
            Err(size) => return Ok(size as f64),
        };
        let accepted_at = intake.shared.now();
        let affinity = key.map(|key| Box::new(AffinityKey::new(&key)));
        let task =
            NewTask { ticket, handler, timeout, retries, priority, affinity, accepted_at, body };
        Ok(intake.accept(task))
    }

    /// Sends a message to the worker of this number, or (0) to all that are ready, and returns the
    /// number of workers reached. `header` has members of the message's frame, `binaries` values
    /// sent as raw bytes. A negative result is the size of a message that is too large.
    #[napi]
    pub fn send(
        &self,
        worker_id: u32,
        json: JsString<'_>,
        header: JsString<'_>,
        binaries: Option<Vec<Uint8ArraySlice<'_>>>,
    ) -> Result<f64> {
        let body = self.intake.borrow_mut().body(
            MESSAGE,
            &header,
            &json,
            &binaries.unwrap_or_default(),
        )?;
        Ok(match body {
            Ok(body) => f64::from(self.shared.send((worker_id > 0).then_some(worker_id), &body)),
            Err(size) => -(size as f64),
        })
    }

    /// Lets the worker send `count` more values of a task.
    #[napi]
    pub fn credit(&self, ticket: u32, count: u32) {
        self.shared.post(Event::Credit { ticket, count });
    }

    /// Cancels a task, unless it has ended.
    #[napi]
    pub fn cancel(&self, ticket: u32) {
        self.shared.post(Event::Cancel(ticket));
    }

    /// Kills the worker with this process id, if it still runs, because JavaScript could not read
    /// what the worker sent. JavaScript has told the callers.
    #[napi]
    pub fn kill_for_protocol_error(&self, pid: i32, what: String) {
        self.shared.kill_for_protocol_error(pid, what);
    }

    /// Counts the task of a result that JavaScript could not read as failed.
    #[napi]
    pub fn disown_result(&self) {
        self.shared.disown_result();
    }

    /// Finishes the accepted tasks (only the running ones if `drop_waiting`), and stops all
    /// workers. `timeout` (ms): a negative number means none. A later call may be stricter.
    #[napi]
    pub fn shutdown(&self, drop_waiting: bool, timeout: f64) {
        let timeout = (timeout >= 0.0).then(|| native_config::micros(timeout));
        self.shared.post(Event::Shutdown { drop_waiting, timeout });
    }

    /// Changes the number of workers. The event `resized` with this number tells that it has
    /// changed.
    #[napi]
    pub fn resize(&self, min_workers: u32, max_workers: u32, number: u32) {
        self.shared.resize(min_workers as usize, max_workers.max(1) as usize, number);
    }

    /// Replaces all workers. The event `reloaded` or `reload-failed` with this number tells the
    /// outcome.
    #[napi]
    pub fn reload(&self, number: u32) {
        self.shared.post(Event::Reload { number });
    }

    /// Kills all workers and ends all tasks.
    #[napi]
    pub fn terminate(&self) {
        self.shared.post(Event::Terminate);
    }

    /// Takes the oldest batch. Returns the number of its rows, which are in `meta`, the text of an
    /// array of their values, and the separate values. `blobs` gives its raw bytes.
    #[napi(ts_return_type = "[rows: number, json: string, strings: string[]] | null")]
    pub fn drain<'env>(&mut self, env: &'env Env) -> Result<Option<Drained<'env>>> {
        let Some(mut batch) = self.shared.outbox.take() else { return Ok(None) };
        // SAFETY: JavaScript runs only on this thread, and so not now. `lib/pool/rows.js` never
        // shares the array with another thread.
        let meta = unsafe { self.meta.as_mut() };
        for (place, row) in meta.chunks_exact_mut(Row::WIDTH).zip(&batch.rows) {
            place.copy_from_slice(row);
        }
        self.text.clear();
        for part in [b"[", batch.json.as_slice(), b"]"] {
            self.text.extend_from_slice(part);
        }
        let json = strings::create(env, &self.text)?;
        let texts =
            batch.strings.iter().map(|text| strings::create(env, text)).collect::<Result<_>>()?;
        self.blobs.clear();
        std::mem::swap(&mut self.blobs, &mut batch.blobs);
        let rows = u32::try_from(batch.rows.len()).unwrap_or(u32::MAX);
        self.shared.outbox.give_back(batch);
        Ok(Some((rows, json, texts)))
    }

    /// Takes `count` raw bytes of the last batch, from the index `from` on. `texts` are the indices
    /// of strings among them, in ascending order. Those may come back as strings already.
    #[napi(ts_return_type = "(Buffer | string)[]")]
    pub fn blobs<'env>(
        &mut self,
        env: &'env Env,
        from: u32,
        count: u32,
        texts: Vec<u32>,
    ) -> Result<Vec<Blob<'env>>> {
        let range = from as usize..from as usize + count as usize;
        let Some(blobs) = self.blobs.get_mut(range) else {
            return Err(Error::new(Status::InvalidArg, "the batch has fewer raw bytes"));
        };
        buffers::deliver(env, blobs, &texts)
    }

    /// Returns whether there is more to drain. If not, `on_batch` will be called for the next
    /// batch.
    #[napi]
    pub fn rearm(&self) -> bool {
        self.shared.outbox.rearm()
    }

    /// Returns whether the queue has room for another task. If not, a `drain` event will tell when
    /// it has.
    #[napi]
    pub fn want_room(&self) -> bool {
        self.shared.want_room()
    }

    /// Sets whether the pool has listeners for the output of the workers.
    #[napi]
    pub fn set_stdio_listening(&self, listening: bool) {
        self.shared.set_stdio_listening(listening);
    }

    /// Makes the pool keep the process alive.
    #[napi(js_name = "ref")]
    pub fn ref_(&self, env: Env) {
        self.environment.waker().ref_(env);
    }

    /// Undoes `ref`.
    #[napi]
    pub fn unref(&self, env: Env) {
        self.environment.waker().unref(env);
    }

    /// Returns JSON text: `{ tasks, queue, waitTime, runTime, utilization, standby, workers }`.
    #[napi]
    pub fn stats(&self) -> String {
        let snapshot = self.shared.snapshot();
        let workers = snapshot.workers.iter().map(|(row, process)| {
            serde_json::json!({
                "id": row.key.worker_id(),
                "pid": process.map(|(pid, _)| pid),
                "state": row.state,
                "running": row.running,
                "uptime": process.map_or(0, |(_, since)| handle::now().saturating_sub(since) / 1000),
                "rss": process.and_then(|(pid, _)| memory::resident_set(pid)),
                "tasksDone": row.tasks_done,
                "restarts": row.restarts,
            })
        });
        let counters = snapshot.counters;
        let (tasks, bytes) = snapshot.waiting;
        let times = snapshot.times;
        serde_json::json!({
            "tasks": {
                "accepted": counters.accepted,
                "completed": counters.completed,
                "failed": counters.failed,
                "cancelled": counters.cancelled,
                "retried": counters.retried,
            },
            "queue": { "tasks": tasks, "bytes": bytes },
            "waitTime": times.wait,
            "runTime": times.run,
            "utilization": times.utilization,
            "standby": snapshot.standbys,
            "workers": workers.collect::<Vec<_>>(),
        })
        .to_string()
    }

    /// Detaches the pool from the environment, after the pool is closed and drained. No other
    /// method may be called after this.
    #[napi]
    pub fn release(&self, env: Env) -> Result<()> {
        self.environment.detach(env)
    }
}

impl ObjectFinalize for ProcessManager {
    /// Ends a pool that was collected without `close`. For a closed pool this does nothing.
    fn finalize(self, env: Env) -> Result<()> {
        self.shared.abandon();
        self.environment.detach(env)
    }
}

/// The body of a task, or the size of one that is too large.
type Sized = std::result::Result<Body, usize>;

impl Intake {
    fn submit(&mut self, ticket: Ticket, json: &JsString<'_>) -> Result<f64> {
        self.scratch.clear();
        self.scratch.extend_from_slice(TASK);
        strings::append_utf8(json, &mut self.scratch)?;
        let size = self.scratch.len() - TASK.len();
        if size > self.max_message_size {
            return Ok(size as f64);
        }
        let body = self.finish();
        let (timeout, retries, accepted_at) = (self.task_timeout, self.retries, self.shared.now());
        let task = NewTask { ticket, timeout, retries, accepted_at, body, ..NewTask::default() };
        Ok(self.accept(task))
    }

    /// Makes the body of a task or a message; `key` is the text before the payload.
    fn body(
        &mut self,
        key: &[u8],
        header: &JsString<'_>,
        json: &JsString<'_>,
        binaries: &[Uint8ArraySlice<'_>],
    ) -> Result<Sized> {
        self.scratch.clear();
        self.scratch.push(b',');
        strings::append_utf8(header, &mut self.scratch)?;
        if self.scratch.len() == 1 {
            self.scratch.clear();
        }
        self.scratch.extend_from_slice(key);
        let before = self.scratch.len();
        strings::append_utf8(json, &mut self.scratch)?;
        let lengths: Box<[usize]> = binaries.iter().map(|binary| binary.len()).collect();
        let total = lengths.iter().sum();
        let size = self.scratch.len() - before + total;
        if size > self.max_message_size {
            return Ok(Err(size));
        }
        let mut body = self.finish();
        if !lengths.is_empty() {
            let mut bytes = Bytes::with_capacity(total);
            for binary in binaries {
                bytes.append(binary);
            }
            body.raw = Some(Arc::new(RawBody { bytes, lengths }));
        }
        Ok(Ok(body))
    }

    fn submit_with_header(
        &mut self,
        ticket: Ticket,
        json: &JsString<'_>,
        handler: u32,
        header: &JsString<'_>,
    ) -> Result<f64> {
        let body = match self.body(TASK, header, json, &[])? {
            Ok(body) => body,
            Err(size) => return Ok(size as f64),
        };
        let handler = u8::try_from(handler).unwrap_or(0);
        let (timeout, retries, accepted_at) = (self.task_timeout, self.retries, self.shared.now());
        let task =
            NewTask { ticket, handler, timeout, retries, accepted_at, body, ..NewTask::default() };
        Ok(self.accept(task))
    }

    fn accept(&self, task: NewTask) -> f64 {
        match self.shared.submit(task) {
            Ok(()) => ACCEPTED,
            Err(QueueFull::Tasks) => FULL,
            Err(QueueFull::Bytes) => FULL_BYTES,
        }
    }

    /// Copies the text into a piece of memory of exactly its size.
    fn finish(&mut self) -> Body {
        self.scratch.extend_from_slice(END);
        let body = Body::plain(&self.scratch);
        self.tidy();
        body
    }

    /// Frees a giant buffer, so that one giant task does not cost its size for ever.
    fn tidy(&mut self) {
        if self.scratch.capacity() > 1 << 20 {
            self.scratch = Vec::new();
        }
    }
}

/// The text before a task's payload in its frame, and the one after any payload.
const TASK: &[u8] = b",\"task\":";
const MESSAGE: &[u8] = b",\"message\":";
const END: &[u8] = b"}\n";
