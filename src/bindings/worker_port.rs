//! The native half of `lib/worker/`: a worker's end of its channel.
#![expect(unsafe_code, reason = "writing into an array that JavaScript owns")]

use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi::{Env, JsString};
use napi_derive::napi;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};

use crate::bindings::buffers::Blob;
use crate::bindings::constants::{BATCH_FRAMES, DURING_USER_CODE};
use crate::bindings::fast_function::{self, Arguments, FastFunction};
use crate::bindings::uv::Watch;
use crate::bindings::{buffers, strings};
use crate::buffer_pool::Bytes;
use crate::process::{depth, spawn};
use crate::shm::SharedPage;
use crate::shm::page::{Direction, Writer};
use crate::shm::ring::{self, Read};
use crate::wire::up::ResultKind;
use crate::wire::{LineSplitter, down, up};
use crate::worker::fail_points::{self, Phase};
use crate::worker::outgoing::Outgoing;
use crate::worker::{inherited, parent_watch};

/// The most bytes that are handed over at a time, unless a single frame is larger.
const BATCH_BYTES: usize = 1 << 20;
/// The capacity (bytes) beyond which the text of a giant frame is freed once it is handed over.
const KEEP_TEXT: usize = 2 * BATCH_BYTES;
/// The room (bytes) for each read.
const READ: usize = 64 * 1024;

/// The channel on descriptor 3 and the claim word on descriptor 4.
#[napi]
pub struct WorkerPort {
    channel: OwnedFd,
    page: Option<Arc<SharedPage>>,
    splitter: LineSplitter,
    /// The text of the array of a batch's frames, while it is put together.
    text: Vec<u8>,
    out: Rc<Outgoing>,
    /// The watch that calls JavaScript when there are bytes to read.
    watch: Option<Watch>,
    blobs: Vec<Bytes>,
    /// The attempt id and the epoch of each element of the last text: see `take`.
    attempts: Float64Array,
    /// The read position in the ring from the supervisor, and the write position in the ring to
    /// it.
    down: Read,
    up: Writer,
}

/// `claim(epoch)`.
struct Claim {
    page: Option<Arc<SharedPage>>,
    out: Rc<Outgoing>,
}

impl FastFunction for Claim {
    const NAME: &'static str = "claim";
    const ARGUMENTS: usize = 1;

    fn call(&self, arguments: &Arguments<'_>) -> Result<f64> {
        let epoch = arguments.value(0)?;
        fail_points::pass(Phase::BeforeClaim);
        let claimed = self.page.as_ref().is_none_or(|page| page.claim_word().claim(epoch));
        if claimed {
            self.out.watch();
            fail_points::pass(Phase::AfterClaim);
        }
        Ok(f64::from(u8::from(claimed)))
    }
}

/// `reply(id, elapsed, kind, json)`.
struct Reply(Rc<Outgoing>);

impl FastFunction for Reply {
    const NAME: &'static str = "reply";
    const ARGUMENTS: usize = 4;

    fn call(&self, arguments: &Arguments<'_>) -> Result<f64> {
        let (id, elapsed): (f64, u32) = (arguments.value(0)?, arguments.value(1)?);
        let kind: u32 = arguments.value(2)?;
        let json: JsString<'_> = arguments.value(3)?;
        let watched = kind & DURING_USER_CODE != 0;
        let kind = ResultKind::from_number(kind & !DURING_USER_CODE);
        self.0.add(|out| {
            // Attempt ids count up from 1, and stay far below the limit of a double's integers.
            up::result_prefix(out, id as u64, elapsed, kind);
            if kind != ResultKind::Undefined {
                strings::append_utf8(&json, out).map_err(Failed::NotText)?;
            }
            out.extend_from_slice(b"}\n");
            Ok::<_, Failed>(())
        })?;
        if watched {
            self.0.watch();
        }
        Ok(0.0)
    }
}

/// `mayHold(next)`.
struct MayHold(Rc<Outgoing>);

impl FastFunction for MayHold {
    const NAME: &'static str = "mayHold";
    const ARGUMENTS: usize = 1;

    fn call(&self, arguments: &Arguments<'_>) -> Result<f64> {
        let next: f64 = arguments.value(0)?;
        let next = Duration::try_from_secs_f64(next / 1000.0).unwrap_or(Duration::MAX);
        Ok(f64::from(u8::from(self.0.may_hold(next))))
    }
}

#[napi]
impl WorkerPort {
    /// Opens the port. Throws if this process is not a worker. `take` writes into `attempts`: two
    /// numbers for each of `FRAMES` frames (see
    /// [`port_constants`](super::constants::port_constants)).
    #[napi(constructor)]
    pub fn new(attempts: Float64Array) -> Result<Self> {
        if attempts.len() < 2 * BATCH_FRAMES {
            return Err(Error::new(
                Status::InvalidArg,
                format!("attempts must hold two numbers for {BATCH_FRAMES} frames"),
            ));
        }
        let (channel, page) = inherited::inherited().map_err(|error| {
            Error::from_reason(format!(
                "descriptor 3 is not a channel of bulkhead ({error}): this is for its workers only"
            ))
        })?;
        let page = page.and_then(|fd| SharedPage::open(fd.as_fd())).map(Arc::new);
        let out = Rc::new(Outgoing::new(channel.try_clone()?, page.clone()));
        Ok(Self {
            channel,
            page,
            splitter: LineSplitter::new(usize::MAX),
            text: Vec::new(),
            out,
            watch: None,
            blobs: Vec::new(),
            attempts,
            down: Read::default(),
            up: Writer::default(),
        })
    }

    /// Calls `on_readable` whenever there are bytes for `fill`, with a status that is below 0 after
    /// an error of the channel. Returns false if the channel cannot be watched in this way. Only
    /// for Node.js, and only once.
    #[napi(ts_args_type = "onReadable: (status: number) => void")]
    pub fn poll(
        &mut self,
        env: Env,
        on_readable: Function<'_, (i32,), Unknown<'static>>,
    ) -> Result<bool> {
        self.watch = Watch::new(env, self.duplicate()?, &on_readable)?;
        Ok(self.watch.is_some())
    }

    /// Ends the calls of `on_readable`, and no longer keeps the process alive.
    #[napi]
    pub fn stop_polling(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.stop();
        }
    }

    /// Closes the sending side of the channel. The supervisor sees the end of the stream.
    #[napi]
    pub fn shut(&self) {
        // This fails only if the supervisor has already closed its side.
        let _ = rustix::net::shutdown(&self.channel, Shutdown::Write);
    }

    /// Returns a descriptor of the channel to read from, which the caller owns.
    #[napi]
    pub fn descriptor(&self) -> Result<i32> {
        Ok(self.duplicate()?.into_raw_fd())
    }

    /// Duplicates the channel, so that user code that closes descriptors 3 and 4 does not reach the
    /// copy.
    fn duplicate(&self) -> io::Result<OwnedFd> {
        Ok(rustix::io::fcntl_dupfd_cloexec(&self.channel, spawn::PAGE_FD + 1)?)
    }

    /// Takes in bytes that JavaScript read from the channel: the first `n` of `buffer`.
    #[napi]
    pub fn push(&mut self, buffer: Uint8ArraySlice<'_>, n: u32) {
        let n = (n as usize).min(buffer.len());
        fail_points::pass(Phase::Read);
        self.splitter.push(&buffer[..n]);
    }

    /// Reads the bytes that have arrived, without a wait. Returns their number, or -1 at the end of
    /// the stream or after an error.
    #[napi]
    pub fn fill(&mut self) -> i32 {
        let buffer = self.splitter.buffer(READ);
        match rustix::net::recv(self.channel.as_fd(), buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => -1,
            Ok((n, _)) => {
                fail_points::pass(Phase::Read);
                self.splitter.filled(n);
                i32::try_from(n).unwrap_or(i32::MAX)
            }
            Err(Errno::AGAIN) => {
                fail_points::pass(Phase::Idle);
                0
            }
            Err(Errno::INTR) => 0,
            Err(error) => {
                if error != Errno::CONNRESET {
                    tracing::warn!(%error, "failed to read from the channel");
                }
                -1
            }
        }
    }

    /// Returns the JSON text of an array with an element for each complete frame, or null if there
    /// is no frame. Most frames are tasks with only an id and a payload: their element is the
    /// payload, and `attempts` gets their id and epoch. For any other frame the element is the
    /// whole frame, and `attempts` gets zeros. A frame with raw bytes is the last of its batch.
    #[napi]
    pub fn take<'env>(&mut self, env: &'env Env) -> Result<Option<JsString<'env>>> {
        let text = &mut self.text;
        text.clear();
        text.push(b'[');
        let mut frames = 0;
        self.blobs.clear();
        // SAFETY: JavaScript runs only on this thread, and so not now. `lib/worker/` never shares
        // the array with another thread.
        let attempts = unsafe { self.attempts.as_mut() };
        while frames < BATCH_FRAMES && text.len() < BATCH_BYTES && self.blobs.is_empty() {
            let frame =
                self.splitter.next().map_err(|error| Error::from_reason(error.to_string()))?;
            let Some(frame) = frame else { break };
            if frames > 0 {
                text.push(b',');
            }
            let (id, epoch, value) = down::plain_task(frame.line).unwrap_or((0, 0, frame.line));
            // Both stay far below the limit of a double's integers.
            attempts[2 * frames..][..2].copy_from_slice(&[id as f64, epoch as f64]);
            text.extend_from_slice(value);
            let (page, down) = (&self.page, &mut self.down);
            let shared =
                |at, lengths: &[usize]| page.as_ref()?.take(Direction::ToWorker, down, at, lengths);
            let Some(copies) = frame.raw.copies(shared) else {
                return Err(Error::from_reason(
                    "raw bytes of a frame are missing from the shared memory",
                ));
            };
            self.blobs = copies;
            frames += 1;
        }
        if frames == 0 {
            return Ok(None);
        }
        if let Some(page) = &self.page {
            page.release(Direction::ToWorker, &mut self.down);
        }
        text.push(b']');
        let array = strings::create(env, text).map(Some);
        if text.capacity() > KEEP_TEXT {
            *text = Vec::new();
        }
        array
    }

    /// Takes the raw bytes of the last frame that was taken. `texts` are the indices of strings
    /// among them, in ascending order. Those may come back as strings already.
    #[napi(ts_return_type = "(Buffer | string)[]")]
    pub fn blobs<'env>(&mut self, env: &'env Env, texts: Vec<u32>) -> Result<Vec<Blob<'env>>> {
        buffers::deliver(env, &mut self.blobs, &texts)
    }

    /// Makes a function `claim(epoch)`: 1 if this process runs the next task of this epoch, and 0
    /// if the supervisor has reclaimed it. Without a page the result is always 1. After a claim,
    /// held lines are written within a millisecond, or the longer time that the supervisor allows,
    /// whatever user code does.
    #[napi(ts_return_type = "(epoch: number) => number")]
    pub fn create_claim<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        fast_function::create(env, Claim { page: self.page.clone(), out: Rc::clone(&self.out) })
    }

    /// Makes a function `reply(id, elapsed, kind, json)`, which takes in a `result` frame. The
    /// frame survives this process. `kind` is one of
    /// [`ResultKinds`](super::constants::ResultKinds).
    #[napi(ts_return_type = "(id: number, elapsed: number, kind: number, json: string) => number")]
    pub fn create_reply<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        fast_function::create(env, Reply(Rc::clone(&self.out)))
    }

    /// Makes a function `mayHold(next)`: 1 if the supervisor allows the held lines to wait for a
    /// task of `next` ms more, and else 0. If so, they are written in time, whatever user code
    /// does.
    #[napi(ts_return_type = "(next: number) => number")]
    pub fn create_may_hold<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        fast_function::create(env, MayHold(Rc::clone(&self.out)))
    }

    /// Takes in whole lines. They survive this process, and are written within a millisecond, or
    /// the longer time that the supervisor allows, whatever user code does.
    #[napi]
    pub fn hold(&self, text: JsString<'_>) -> Result<()> {
        self.out.add(|out| strings::append_utf8(&text, out).map_err(Failed::NotText))?;
        self.out.watch();
        Ok(())
    }

    /// Returns whether large raw bytes go through shared memory.
    #[napi(getter)]
    pub fn has_rings(&self) -> bool {
        self.page.as_ref().is_some_and(|page| page.has_rings())
    }

    /// Puts raw bytes into the shared memory, and returns their position, for `shared` in the line
    /// that announces them. -1: the bytes must follow their line, because they are too few, or
    /// there is no room.
    #[napi]
    pub fn share(&mut self, blobs: Vec<Uint8ArraySlice<'_>>) -> f64 {
        let blobs: Vec<&[u8]> = blobs.iter().map(|blob| &**blob).collect();
        let total: usize = blobs.iter().map(|blob| blob.len()).sum();
        let page = self.page.as_ref().filter(|_| total >= ring::FROM);
        // Positions stay far below the limit of a double's integers.
        page.and_then(|page| page.put(Direction::FromWorker, &mut self.up, &blobs))
            .map_or(-1.0, |at| at as f64)
    }

    /// Returns whether the worker claims its tasks.
    #[napi(getter)]
    pub fn has_page(&self) -> bool {
        self.page.is_some()
    }

    /// Writes whole lines. Returns when the kernel has them all, so that they survive this process.
    #[napi]
    pub fn write(&self, text: JsString<'_>) -> Result<()> {
        self.out
            .write(|out| strings::append_utf8(&text, out).map_err(Failed::NotText), &[])
            .map_err(Into::into)
    }

    /// Writes a line that announces raw bytes, and those bytes.
    #[napi]
    pub fn write_with(&self, text: JsString<'_>, blobs: Vec<Uint8ArraySlice<'_>>) -> Result<()> {
        let blobs: Vec<&[u8]> = blobs.iter().map(|blob| &**blob).collect();
        self.out
            .write(|out| strings::append_utf8(&text, out).map_err(Failed::NotText), &blobs)
            .map_err(Into::into)
    }

    /// Has this process end with its parent, whatever it does at the time. False: the parent is
    /// already gone. `depth` is this process's depth in pools within pools.
    #[napi]
    pub fn watch_parent(&self, parent_pid: u32, depth: u32) -> Result<bool> {
        depth::set_depth(depth);
        fail_points::read_environment().map_err(Error::from_reason)?;
        fail_points::pass(Phase::Start);
        Ok(parent_watch::watch_parent(parent_pid))
    }

    /// Returns whether the environment has set the fail point of this phase.
    #[napi]
    pub fn is_fail_point_set(&self, phase: String) -> Result<bool> {
        Ok(fail_points::is_set(self::phase(&phase)?))
    }

    /// Passes a fail point, and dies there if the environment has set it.
    #[napi]
    pub fn pass_fail_point(&self, phase: String) -> Result<()> {
        fail_points::pass(self::phase(&phase)?);
        Ok(())
    }
}

fn phase(text: &str) -> Result<Phase> {
    text.parse().map_err(Error::from_reason)
}

/// The reason for which lines could not be written.
enum Failed {
    /// The value is no text.
    NotText(Error),
    Channel(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Channel(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NotText(error) => error,
            Failed::Channel(error) => {
                Error::from_reason(format!("failed to write to the channel: {error}"))
            }
        }
    }
}
