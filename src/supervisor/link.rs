//! The parent's hold on one worker process: what is written to its channel, its claim word, the
//! signals to it.
//!
//! A link exists exactly as long as its process has not been reaped, so its process id cannot have
//! been given away.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags, recvmsg,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::buffer_pool::Bytes;
use crate::pool::ids::{AttemptId, Micros, WorkerKey};
use crate::pool::messages::{Body, Evidence, ForgedClaim};
use crate::process::{CallError, Target};
use crate::shm::page::{Direction, SharedPage, Writer};
use crate::shm::ring::{self, Read};
use crate::supervisor::send_queue::{Content, SendQueue};
use crate::wire::down::{self, AbortReason};

/// How many bytes of messages may wait for a worker to read. What comes on top is not sent, unless
/// no other message waits.
const MESSAGE_BYTES: usize = 16 << 20;

/// See the module.
pub struct Link {
    pub key: WorkerKey,
    target: Target,
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
    /// Why it could not be, if that failed.
    pub unkillable: Option<CallError>,
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
    out: SendQueue,
    /// The sending side is closed once `out` is empty.
    last: bool,
    closed: bool,
}

impl Link {
    pub fn new(
        key: WorkerKey,
        target: Target,
        spawned_at: Micros,
        channel: Arc<AsyncFd<OwnedFd>>,
        page: Option<SharedPage>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            key,
            target,
            spawned_at,
            ready: false,
            shares: false,
            violation: None,
            violation_told: false,
            refusal: None,
            killed: false,
            unkillable: None,
            wants_stack: false,
            channel,
            page,
            down: Writer::default(),
            up: Read::default(),
            wake,
            out: SendQueue::default(),
            last: false,
            closed: false,
        }
    }

    /// The process id as a number.
    pub fn raw_pid(&self) -> i32 {
        self.target.pid().as_raw_nonzero().get()
    }

    /// Whether a worker that says it uses the claim word can.
    pub fn has_page(&self) -> bool {
        self.page.is_some()
    }

    /// Queues the first frame.
    pub fn send_init(&mut self, frame: &[u8]) {
        self.append(Content::Control, |out| out.extend_from_slice(frame));
    }

    /// Queues a task.
    pub fn send_task(
        &mut self,
        attempt_id: AttemptId,
        epoch: Option<u32>,
        attempt: u32,
        body: &Body,
    ) {
        // Where there is no claim word, an incomplete frame is the only proof that a task did not
        // start.
        let content = if epoch.is_some() { Content::Task } else { Content::Start(attempt_id) };
        self.send_body(content, body, |out, lengths, shared| {
            down::task_prefix(out, attempt_id, epoch, attempt, lengths, shared);
        });
    }

    /// Queues a message: `true`. `false`: too many bytes of messages wait already, or nothing is
    /// sent any more.
    pub fn send_message(&mut self, body: &Body) -> bool {
        let waiting = self.out.waiting_messages();
        let is_full = waiting > 0 && waiting.saturating_add(body.size()) > MESSAGE_BYTES;
        if is_full || self.last || self.closed {
            return false;
        }
        self.send_body(Content::Message, body, down::message_prefix);
        true
    }

    fn send_body(
        &mut self,
        content: Content,
        body: &Body,
        prefix: impl FnOnce(&mut Vec<u8>, &[usize], Option<u64>),
    ) {
        let (lengths, bytes) =
            body.raw.as_deref().map_or((&[][..], &[][..]), |raw| (&*raw.lengths, &*raw.bytes));
        // What lies in the shared memory is there until the worker has read its frame, so that such
        // a task stays in the channel when it is taken back. More text than raw bytes might then
        // pile up without end.
        let shared = if body.text.len() <= bytes.len() { self.share(bytes) } else { None };
        let content =
            if shared.is_some() && content == Content::Task { Content::Control } else { content };
        if self.last || self.closed {
            return;
        }
        let prefix = |out: &mut Vec<u8>| prefix(out, lengths, shared);
        self.out.add_body(content, prefix, body, shared.is_none());
    }

    /// Puts raw bytes where the worker finds them, if that pays and it looks there. Their position.
    fn share(&mut self, bytes: &[u8]) -> Option<u64> {
        let page = self
            .page
            .as_ref()
            .filter(|_| self.shares && bytes.len() >= ring::FROM && !self.closed)?;
        page.put(Direction::ToWorker, &mut self.down, &[bytes])
    }

    /// What the worker has put into the shared memory; `None`: there is no such thing.
    pub fn take_shared(&mut self, at: u64, lengths: &[usize]) -> Option<Vec<Bytes>> {
        self.page.as_ref().filter(|_| self.shares)?.take(
            Direction::FromWorker,
            &mut self.up,
            at,
            lengths,
        )
    }

    /// Queues word that nobody waits for this start any more.
    pub fn send_abort(&mut self, attempt_id: AttemptId, reason: AbortReason) {
        self.append(Content::Control, |out| down::abort(out, attempt_id, reason));
    }

    /// Queues word that this start may give so many more values.
    pub fn send_credit(&mut self, attempt_id: AttemptId, count: u32) {
        self.append(Content::Control, |out| down::credit(out, attempt_id, count));
    }

    /// Queues `stop`; nothing is sent after it.
    pub fn send_stop(&mut self) {
        self.append(Content::Control, down::stop);
        self.last = true;
    }

    /// Writes what can be written without waiting. The rest is written by the worker's actor.
    pub fn flush(&mut self) {
        if let Some(page) = &self.page {
            page.release(Direction::FromWorker, &mut self.up);
        }
        while self.out.waiting() > 0 && !self.closed {
            let channel = self.channel.get_ref();
            match self.out.write(|bytes| send(channel, bytes)) {
                Ok(()) => {}
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    self.wake.notify_one();
                    return;
                }
                // It is dead, or has closed its end: its actor finds out by itself, and what was
                // not written counts as such.
                Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => self.closed = true,
                // We cannot write (the kernel has no memory to spare), and nothing would tell us
                // when we could: a worker that cannot be talked to is as good as dead.
                Err(_) => {
                    self.closed = true;
                    self.kill();
                }
            }
        }
        if self.closed {
            return self.out.cut_off();
        }
        if self.last {
            self.closed = true;
            // Fails only where the other end is gone already.
            let _ = rustix::net::shutdown(self.channel.get_ref(), rustix::net::Shutdown::Write);
        }
    }

    /// Whether something waits for the channel to become writable.
    pub fn is_backed_up(&self) -> bool {
        self.out.waiting() > 0 && !self.closed
    }

    /// Moves the claim word on: the number of starts claimed until now; none will be claimed of
    /// what was sent so far, and what of it is not on its way is not sent.
    pub fn reclaim(&mut self, epoch: u32) -> Result<u32, ForgedClaim> {
        let started = self.move_on(epoch)?;
        self.out.drop_tasks();
        Ok(started)
    }

    fn move_on(&self, epoch: u32) -> Result<u32, ForgedClaim> {
        let page = self.page.as_ref().ok_or(ForgedClaim)?;
        let (_, started) = page.claim_word().reclaim(epoch).map_err(|_| ForgedClaim)?;
        Ok(started)
    }

    /// What is known of its starts, once it is dead. `epoch`: the one that the claim word should be
    /// in.
    pub fn evidence(&self, epoch: Option<u32>) -> Evidence {
        match epoch {
            Some(epoch) => Evidence::Claims(self.move_on(epoch)),
            None => Evidence::Unwritten(self.out.unwritten()),
        }
    }

    /// What it had to say and had not written when it died.
    pub fn journal(&self) -> Vec<u8> {
        self.page.as_ref().map_or_else(Vec::new, SharedPage::journal)
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

    /// SIGTERM, and SIGCONT, as a stopped process does not act on it.
    pub fn terminate(&self) {
        // If it may not be signalled, that is told when it is to be killed: it may leave by itself
        // before.
        let _ = self.target.ask_to_stop();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.kill_untold();
        // Which waits only so long for its end.
        self.wake.notify_one();
    }

    /// SIGKILL, of which the worker's actor is not told.
    pub fn kill_untold(&mut self) {
        self.killed = true;
        let killed = self.target.kill().map_err(CallError::of("kill"));
        // One that is gone is as good as killed.
        self.unkillable = killed.err().filter(|error| error.errno != libc::ESRCH);
    }

    fn append(&mut self, content: Content, write: impl FnOnce(&mut Vec<u8>)) {
        if !(self.last || self.closed) {
            self.out.add(content, write);
        }
    }
}

#[cfg(target_os = "linux")]
const SEND: SendFlags = SendFlags::NOSIGNAL;
// Elsewhere SIGPIPE is kept off by Node, which ignores it in every process it runs in.
#[cfg(not(target_os = "linux"))]
const SEND: SendFlags = SendFlags::empty();

/// Writes as many of these bytes as there is room for.
fn send(channel: &OwnedFd, bytes: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    match bytes {
        [bytes] => rustix::net::send(channel.as_fd(), bytes, SEND),
        _ => {
            rustix::net::sendmsg(channel.as_fd(), bytes, &mut SendAncillaryBuffer::default(), SEND)
        }
    }
}

/// Reads what is there: how much, and whether that is all of it.
pub fn receive(channel: &OwnedFd, into: &mut [u8]) -> io::Result<(usize, bool)> {
    let room = into.len();
    let mut pieces = [IoSliceMut::new(into)];
    let said = recvmsg(
        channel.as_fd(),
        &mut pieces,
        &mut RecvAncillaryBuffer::default(),
        RecvFlags::empty(),
    )?;
    // A read ends behind words that descriptors came with; those are dropped, as there is no room
    // for them.
    let cut = said.flags.contains(ReturnFlags::CTRUNC);
    Ok((said.bytes, said.bytes < room && !cut))
}
