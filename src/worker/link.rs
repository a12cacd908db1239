//! The parent's hold on one worker process: what is written to its channel, its claim word, its process group.
//!
//! A link exists exactly as long as its process has not been reaped, so its process id cannot have been given away.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recvmsg};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::pool::messages::{Body, Evidence, ForgedClaim, Micros, WireId, WorkerKey};
use crate::process::{Pid, Signal, signal};
use crate::shm::page::{SharedPage, Way, Writer};
use crate::shm::ring::{self, Read};
use crate::warm::Bytes;
use crate::wire::down::{self, AbortReason};

/// An output buffer larger than this is given back once it is empty.
const KEEP_BUFFER: usize = 1 << 20;

/// See the module.
pub struct Link {
    pub key: WorkerKey,
    pub pid: Pid,
    pub spawned_at: Micros,
    /// The handshake is complete, and was in time.
    pub ready: bool,
    /// The worker takes large raw bytes from the shared memory, and puts its own there.
    pub shares: bool,
    /// How it broke the protocol, if it did.
    pub violation: Option<String>,
    /// Whoever has to know of the violation knows it.
    pub violation_told: bool,
    /// What it said when it could not start, if it did.
    pub refusal: Option<Box<serde_json::value::RawValue>>,
    /// It was killed by us.
    pub killed: bool,
    /// The worker's actor is to find out where it hangs.
    wants_stack: bool,
    channel: Arc<AsyncFd<OwnedFd>>,
    page: Option<SharedPage>,
    /// Its ring of raw bytes to the worker.
    down: Writer,
    /// And how far the one from it was read.
    up: Read,
    /// Tells the worker's actor that something waits for the channel to become writable.
    wake: Arc<Notify>,
    out: Vec<u8>,
    /// How much of `out` is written.
    at: usize,
    /// Bytes ever put into `out`, and ever written.
    queued: u64,
    written: u64,
    /// Starts whose frames are not completely written, with where they end.
    unwritten: VecDeque<(WireId, u64)>,
    /// The sending side is closed once `out` is empty.
    last: bool,
    closed: bool,
}

impl Link {
    pub fn new(
        key: WorkerKey,
        pid: Pid,
        spawned_at: Micros,
        channel: Arc<AsyncFd<OwnedFd>>,
        page: Option<SharedPage>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            key,
            pid,
            spawned_at,
            ready: false,
            shares: false,
            violation: None,
            violation_told: false,
            refusal: None,
            killed: false,
            wants_stack: false,
            channel,
            page,
            down: Writer::default(),
            up: Read::default(),
            wake,
            out: Vec::new(),
            at: 0,
            queued: 0,
            written: 0,
            unwritten: VecDeque::new(),
            last: false,
            closed: false,
        }
    }

    /// The process id as a number.
    pub fn raw_pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whether a worker that says it uses the claim word can.
    pub fn has_page(&self) -> bool {
        self.page.is_some()
    }

    /// Queues the first frame.
    pub fn send_init(&mut self, frame: &[u8]) {
        self.append(|out| out.extend_from_slice(frame));
    }

    /// Queues a task.
    pub fn send_task(&mut self, wire: WireId, epoch: Option<u32>, attempt: u32, body: &Body) {
        self.send_body(body, |out, lengths, shared| down::task_prefix(out, wire, epoch, attempt, lengths, shared));
        if epoch.is_none() {
            // Where there is no claim word, an incomplete frame is the only proof that a task did not start.
            self.unwritten.push_back((wire, self.queued));
        }
    }

    /// Queues a message.
    pub fn send_message(&mut self, body: &Body) {
        self.send_body(body, down::message_prefix);
    }

    fn send_body(&mut self, body: &Body, prefix: impl FnOnce(&mut Vec<u8>, &[usize], Option<u64>)) {
        let (lengths, bytes) = body.raw.as_deref().map_or((&[][..], &[][..]), |raw| (&*raw.lengths, &*raw.bytes));
        let shared = self.share(bytes);
        self.append(|out| {
            prefix(out, lengths, shared);
            out.extend_from_slice(&body.text);
            if shared.is_none() {
                out.extend_from_slice(bytes);
            }
        });
    }

    /// Puts raw bytes where the worker finds them, if that pays and it looks there. Their position.
    fn share(&mut self, bytes: &[u8]) -> Option<u64> {
        let page = self.page.as_ref().filter(|_| self.shares && bytes.len() >= ring::FROM && !self.closed)?;
        page.put(Way::Down, &mut self.down, &[bytes])
    }

    /// What the worker has put into the shared memory; `None`: there is no such thing.
    pub fn take_shared(&mut self, at: u64, lengths: &[usize]) -> Option<Vec<Bytes>> {
        self.page.as_ref().filter(|_| self.shares)?.take(Way::Up, &mut self.up, at, lengths)
    }

    /// Queues word that nobody waits for this start any more.
    pub fn send_abort(&mut self, wire: WireId, reason: AbortReason) {
        self.append(|out| down::abort(out, wire, reason));
    }

    /// Queues word that this start may give so many more values.
    pub fn send_credit(&mut self, wire: WireId, count: u32) {
        self.append(|out| down::credit(out, wire, count));
    }

    /// Queues `stop`; nothing is sent after it.
    pub fn send_stop(&mut self) {
        self.append(down::stop);
        self.last = true;
    }

    /// Writes what can be written without waiting. The rest is written by the worker's actor.
    pub fn flush(&mut self) {
        if let Some(page) = &self.page {
            page.release(Way::Up, &mut self.up);
        }
        while self.at < self.out.len() && !self.closed {
            match send(self.channel.get_ref(), &self.out[self.at..]) {
                Ok(n) => {
                    self.at += n;
                    self.written += n as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    self.wake.notify_one();
                    return;
                }
                // It is dead, or has closed its end: its actor finds out by itself, and what was not written counts as
                // such.
                Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => self.closed = true,
                // We cannot write (the kernel has no memory to spare), and nothing would tell us when we could: a worker
                // that cannot be talked to is as good as dead.
                Err(_) => {
                    self.closed = true;
                    self.kill();
                }
            }
        }
        self.out.clear();
        self.at = 0;
        if self.out.capacity() > KEEP_BUFFER {
            self.out = Vec::new();
        }
        while self.unwritten.front().is_some_and(|&(_, end)| end <= self.written) {
            self.unwritten.pop_front();
        }
        if self.last && !self.closed {
            self.closed = true;
            // Fails only where the other end is gone already.
            let _ = rustix::net::shutdown(self.channel.get_ref(), rustix::net::Shutdown::Write);
        }
    }

    /// Whether something waits for the channel to become writable.
    pub fn is_backed_up(&self) -> bool {
        self.at < self.out.len() && !self.closed
    }

    /// Moves the claim word on: the number of starts claimed until now; none will be claimed of what was sent so far.
    pub fn take_back(&self, epoch: u32) -> Result<u32, ForgedClaim> {
        let page = self.page.as_ref().ok_or(ForgedClaim)?;
        let (_, started) = page.claim_word().take_back(epoch).map_err(|_| ForgedClaim)?;
        Ok(started)
    }

    /// What is known of its starts, once it is dead. `epoch`: the one that the claim word should be in.
    pub fn evidence(&self, epoch: Option<u32>) -> Evidence {
        match epoch {
            Some(epoch) => Evidence::Claims(self.take_back(epoch)),
            None => Evidence::Unwritten(self.unwritten.iter().map(|&(wire, _)| wire).collect()),
        }
    }

    /// What it had to say and had not written when it died.
    pub fn held(&self) -> Vec<u8> {
        self.page.as_ref().map_or_else(Vec::new, SharedPage::held)
    }

    /// Has the worker's actor find out where it hangs.
    pub fn want_stack(&mut self) {
        self.wants_stack = true;
        self.wake.notify_one();
    }

    /// Whether the actor is to do so now.
    pub fn take_wish(&mut self) -> bool {
        std::mem::take(&mut self.wants_stack)
    }

    /// SIGTERM to the group, and SIGCONT, as a stopped process does not act on it.
    pub fn terminate(&self) {
        // Fails only where nobody is left in the group.
        let _ = signal::ask_to_stop(self.pid);
    }

    /// SIGKILL to the group.
    pub fn kill(&mut self) {
        self.kill_untold();
        // Which waits only so long for its end.
        self.wake.notify_one();
    }

    /// SIGKILL to the group, of which the worker's actor is not told.
    pub fn kill_untold(&mut self) {
        self.killed = true;
        let _ = signal::kill_group(self.pid, Signal::KILL);
    }

    fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.last || self.closed {
            return;
        }
        let before = self.out.len();
        write(&mut self.out);
        self.queued += (self.out.len() - before) as u64;
    }
}

#[cfg(target_os = "linux")]
fn send(channel: &OwnedFd, bytes: &[u8]) -> rustix::io::Result<usize> {
    rustix::net::send(channel.as_fd(), bytes, rustix::net::SendFlags::NOSIGNAL)
}

// Elsewhere SIGPIPE is kept off by Node, which ignores it in every process it runs in.
#[cfg(not(target_os = "linux"))]
fn send(channel: &OwnedFd, bytes: &[u8]) -> rustix::io::Result<usize> {
    rustix::net::send(channel.as_fd(), bytes, rustix::net::SendFlags::empty())
}

/// Reads what is there: how much, and whether that is all of it.
pub fn receive(channel: &OwnedFd, into: &mut [u8]) -> io::Result<(usize, bool)> {
    let room = into.len();
    let mut pieces = [IoSliceMut::new(into)];
    let said = recvmsg(channel.as_fd(), &mut pieces, &mut RecvAncillaryBuffer::default(), RecvFlags::empty())?;
    // A read ends behind words that descriptors came with; those are dropped, as there is no room for them.
    let cut = said.flags.contains(ReturnFlags::CTRUNC);
    Ok((said.bytes, said.bytes < room && !cut))
}
