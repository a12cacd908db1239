//! The native half of `lib/worker/`: a worker's end of its channel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use napi::bindgen_prelude::*;
use napi::{Env, JsString};
use napi_derive::napi;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::RecvFlags;

use crate::bindings::hot::{self, Arguments, Hot};
use crate::bindings::strings;
use crate::process::{guard, inherited};
use crate::shm::SharedPage;
use crate::wire::LineSplitter;

/// Frames that are handed over at a time, and their bytes, at most (a single one may be larger).
const BATCH_FRAMES: usize = 64;
const BATCH_BYTES: usize = 1 << 20;
/// Room that is asked for at each read.
const READ: usize = 64 * 1024;
/// A write buffer larger than this is given back.
const KEEP_BUFFER: usize = 1 << 20;

/// The channel on descriptor 3 and the claim word on descriptor 4.
#[napi]
pub struct WorkerPort {
    channel: OwnedFd,
    page: Option<Rc<SharedPage>>,
    splitter: LineSplitter,
    out: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

/// `claim(epoch)`.
struct Claim(Option<Rc<SharedPage>>);

impl Hot for Claim {
    const NAME: &'static str = "claim";
    const ARGUMENTS: usize = 1;

    fn call(&self, arguments: &Arguments<'_>) -> Result<f64> {
        let epoch = arguments.value(0)?;
        let claimed = self.0.as_ref().is_none_or(|page| page.claim_word().claim(epoch));
        Ok(f64::from(u8::from(claimed)))
    }
}

#[napi]
impl WorkerPort {
    /// Throws where this process is not a worker.
    #[napi(constructor)]
    pub fn new() -> Result<Self> {
        let (channel, page) = inherited::inherited().map_err(|error| {
            Error::from_reason(format!(
                "descriptor 3 is not a channel of bulkhead ({error}): this is for its workers only"
            ))
        })?;
        let page = page.and_then(|fd| SharedPage::open(fd.as_fd())).map(Rc::new);
        Ok(Self { channel, page, splitter: LineSplitter::new(usize::MAX), out: Vec::new(), blobs: Vec::new() })
    }

    /// Bytes that were read from descriptor 3: the first `n` of `buffer`.
    #[napi]
    pub fn push(&mut self, buffer: Uint8ArraySlice<'_>, n: u32) {
        let n = (n as usize).min(buffer.len());
        self.splitter.push(&buffer[..n]);
    }

    /// Reads what has arrived, without waiting: the number of bytes, -1 at the end of the stream.
    #[napi]
    pub fn fill(&mut self) -> Result<i32> {
        let buffer = self.splitter.buffer(READ);
        match rustix::net::recv(self.channel.as_fd(), buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Ok(-1),
            Ok((n, _)) => {
                self.splitter.filled(n);
                Ok(i32::try_from(n).unwrap_or(i32::MAX))
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            Err(rustix::io::Errno::CONNRESET) => Ok(-1),
            Err(error) => Err(failed("read from", error)),
        }
    }

    /// The text of an array of the frames at hand, or null. A frame with raw bytes is the last of its batch.
    #[napi]
    pub fn take<'env>(&mut self, env: &'env Env) -> Result<Option<JsString<'env>>> {
        let mut text = vec![b'['];
        let mut frames = 0;
        self.blobs.clear();
        while frames < BATCH_FRAMES && text.len() < BATCH_BYTES && self.blobs.is_empty() {
            let frame = self.splitter.next().map_err(|error| Error::from_reason(error.to_string()))?;
            let Some(frame) = frame else { break };
            if frames > 0 {
                text.push(b',');
            }
            text.extend_from_slice(frame.line);
            self.blobs.extend(frame.chunks().map(<[u8]>::to_vec));
            frames += 1;
        }
        if frames == 0 {
            return Ok(None);
        }
        text.push(b']');
        strings::create(env, &text).map(Some)
    }

    /// The raw bytes of the last frame that was taken.
    #[napi]
    pub fn blobs<'env>(&mut self, env: &'env Env) -> Result<Vec<BufferSlice<'env>>> {
        self.blobs.drain(..).map(|blob| BufferSlice::from_data(env, blob)).collect()
    }

    /// A function `claim(epoch)`: 1 if this process, and nobody in its place, runs the next task of this epoch. Always
    /// so where there is no page.
    #[napi(ts_return_type = "(epoch: number) => number")]
    pub fn claimer<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        hot::create(env, Claim(self.page.clone()))
    }

    /// Whether tasks are claimed.
    #[napi(getter)]
    pub fn has_page(&self) -> bool {
        self.page.is_some()
    }

    /// Writes whole lines, and returns when the kernel has them all: what was written survives this process.
    #[napi]
    pub fn write(&mut self, text: JsString<'_>) -> Result<()> {
        self.out.clear();
        strings::append_utf8(&text, &mut self.out)?;
        self.flush()
    }

    /// A line that announces raw bytes, and those bytes.
    #[napi]
    pub fn write_with(&mut self, text: JsString<'_>, blobs: Vec<Uint8ArraySlice<'_>>) -> Result<()> {
        self.write(text)?;
        blobs.iter().try_for_each(|blob| write_all(self.channel.as_fd(), blob))
    }

    /// Has this process die with its parent, whatever it is doing then. False: the parent is gone already.
    #[napi]
    pub fn arm(&self, parent_pid: u32) -> bool {
        guard::arm(parent_pid)
    }

    fn flush(&mut self) -> Result<()> {
        write_all(self.channel.as_fd(), &self.out)?;
        if self.out.capacity() > KEEP_BUFFER {
            self.out = Vec::new();
        }
        Ok(())
    }
}

fn write_all(channel: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(channel, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                // The supervisor reads all the time, so this is short; and if it does not, a worker that has nowhere to
                // put its results had better not make more.
                match poll(&mut [PollFd::from_borrowed_fd(channel, PollFlags::OUT)], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(failed("write to", error)),
                }
            }
            Err(error) => return Err(failed("write to", error)),
        }
    }
    Ok(())
}

fn failed(what: &str, error: rustix::io::Errno) -> Error {
    Error::from_reason(format!("failed to {what} the channel: {}", io::Error::from(error)))
}
