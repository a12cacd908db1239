//! The supervisor's end of one worker: the send queue of its channel, its claim word, and its
//! signals.
//!
//! A link exists exactly as long as its process has not been reaped, so its process id cannot be
//! reused meanwhile.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags, recvmsg,
};
use tokio::sync::Notify;

use crate::buffer_pool::Bytes;
use crate::pool::ids::{AttemptId, Micros, WorkerKey};
use crate::pool::messages::{Body, Evidence, ForgedClaim};
use crate::process::{CallError, Target};
use crate::shm::page::{Direction, SharedPage, Writer};
use crate::shm::ring::{self, Read};
use crate::supervisor::send_queue::{Content, SendQueue};
use crate::wire::down::{self, AbortReason};

/// The bytes of messages that may wait for one worker. A message that exceeds them is not sent,
/// unless no other message waits.
const MESSAGE_BYTES: usize = 16 << 20;

/// The supervisor's end of one worker.
pub struct Link {
    pub key: WorkerKey,
    target: Target,
    pub spawned_at: Micros,
    /// The handshake completed in time.
    pub ready: bool,
    /// The worker takes large raw bytes from the shared memory, and puts its own there.
    pub shares: bool,
    /// The violation of the protocol, if the worker committed one.
    pub violation: Option<String>,
    /// JavaScript knows of the violation.
    pub violation_told: bool,
    /// The error that the worker reported when it could not start, if any.
    pub refusal: Option<Box<serde_json::value::RawValue>>,
    /// The supervisor killed the worker.
    pub killed: bool,
    /// The error of the attempt to kill the worker, if it failed.
    pub unkillable: Option<CallError>,
    /// The worker's task must capture the JavaScript stack.
    wants_stack: bool,
    channel: Arc<OwnedFd>,
    page: Option<SharedPage>,
    /// The ring of raw bytes to the worker.
    down: Writer,
    /// The position up to which the ring from the worker was read.
    up: Read,
    /// Wakes the worker's task: bytes wait for room in the channel, the stack is wanted, or the
    /// worker was killed.
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
        channel: Arc<OwnedFd>,
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

    /// Returns the process id as a number.
    pub fn raw_pid(&self) -> i32 {
        self.target.pid().as_raw_nonzero().get()
    }

    /// Returns whether there is shared memory for a claim word.
    pub fn has_page(&self) -> bool {
        self.page.is_some()
    }

    /// Returns whether frames may still go to the worker.
    pub fn is_open(&self) -> bool {
        self.ready && !(self.last || self.closed || self.killed)
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
        // Without a claim word, an incomplete frame is the only proof that a task did not start.
        let content = if epoch.is_some() { Content::Task } else { Content::Attempt(attempt_id) };
        self.send_body(content, body, |out, lengths, shared| {
            down::task_prefix(out, attempt_id, epoch, attempt, lengths, shared);
        });
    }

    /// Queues a message. `false`: too many bytes of messages wait already, or nothing is sent any
    /// more.
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
        // Bytes in the shared memory stay there until the worker has read their frame. So such a
        // task stays in the channel when it is reclaimed. A task with more text than raw bytes is
        // not shared, because its text could then pile up without limit.
        let shared = if body.text.len() <= bytes.len() { self.share(bytes) } else { None };
        let content =
            if shared.is_some() && content == Content::Task { Content::Control } else { content };
        if self.last || self.closed {
            return;
        }
        let prefix = |out: &mut Vec<u8>| prefix(out, lengths, shared);
        self.out.add_body(content, prefix, body, shared.is_none());
    }

    /// Puts raw bytes into the shared memory, if that pays and the worker reads there. Returns
    /// their position.
    fn share(&mut self, bytes: &[u8]) -> Option<u64> {
        let page = self
            .page
            .as_ref()
            .filter(|_| self.shares && bytes.len() >= ring::FROM && !self.closed)?;
        page.put(Direction::ToWorker, &mut self.down, &[bytes])
    }

    /// Takes the bytes that the worker put into the shared memory. `None`: nothing valid is there.
    pub fn take_shared(&mut self, at: u64, lengths: &[usize]) -> Option<Vec<Bytes>> {
        self.page.as_ref().filter(|_| self.shares)?.take(
            Direction::FromWorker,
            &mut self.up,
            at,
            lengths,
        )
    }

    /// Queues an `abort` of this attempt.
    pub fn send_abort(&mut self, attempt_id: AttemptId, reason: AbortReason) {
        self.append(Content::Control, |out| down::abort(out, attempt_id, reason));
    }

    /// Queues a `credit`: this attempt may send `count` more values.
    pub fn send_credit(&mut self, attempt_id: AttemptId, count: u32) {
        self.append(Content::Control, |out| down::credit(out, attempt_id, count));
    }

    /// Queues `stop`; nothing is sent after it.
    pub fn send_stop(&mut self) {
        self.append(Content::Control, down::stop);
        self.last = true;
    }

    /// Writes as much of the queue as the channel takes without a wait. The worker's task writes
    /// the rest.
    pub fn flush(&mut self) {
        if let Some(page) = &self.page {
            page.release(Direction::FromWorker, &mut self.up);
        }
        while self.out.waiting() > 0 && !self.closed {
            match self.out.write(|bytes| send(&self.channel, bytes)) {
                Ok(()) => {}
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    self.wake.notify_one();
                    return;
                }
                // The worker is dead, or has closed its end. Its task notices that by itself, and
                // the rest counts as unwritten.
                Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => self.closed = true,
                // The kernel has no memory left, and no event would tell when a write can succeed.
                // The worker cannot be reached any more.
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
            // This fails only if the other end is already gone.
            let _ = rustix::net::shutdown(&*self.channel, rustix::net::Shutdown::Write);
        }
    }

    /// Returns whether bytes wait for room in the channel.
    pub fn is_backed_up(&self) -> bool {
        self.out.waiting() > 0 && !self.closed
    }

    /// Lets the worker hold results for this time (µs) while it has further tasks.
    pub fn allow_hold(&self, hold: Micros) {
        if let Some(page) = &self.page {
            page.allow_hold(Duration::from_micros(hold));
        }
    }

    /// Moves the claim word to the next epoch, and returns the number of tasks claimed until now.
    /// The worker claims no other task of the old epoch. Tasks that are still in the send queue are
    /// dropped from it.
    pub fn reclaim(&mut self, epoch: u32) -> Result<u32, ForgedClaim> {
        let started = self.advance_epoch(epoch)?;
        self.out.drop_tasks();
        Ok(started)
    }

    fn advance_epoch(&self, epoch: u32) -> Result<u32, ForgedClaim> {
        let page = self.page.as_ref().ok_or(ForgedClaim)?;
        let (_, started) = page.claim_word().reclaim(epoch).map_err(|_| ForgedClaim)?;
        Ok(started)
    }

    /// Returns the facts about a dead worker's attempts. `epoch`: the epoch that the claim word
    /// should have.
    pub fn evidence(&self, epoch: Option<u32>) -> Evidence {
        match epoch {
            Some(epoch) => Evidence::Claims(self.advance_epoch(epoch)),
            None => Evidence::Unwritten(self.out.unwritten()),
        }
    }

    /// Returns the journal of the dead worker: the lines that it had not written to the channel.
    pub fn journal(&self) -> Vec<u8> {
        self.page.as_ref().map_or_else(Vec::new, SharedPage::journal)
    }

    /// Has the worker's task capture the JavaScript stack.
    pub fn want_stack(&mut self) {
        self.wants_stack = true;
        self.wake.notify_one();
    }

    /// Returns whether the stack is wanted. Returns `true` once for each request.
    pub fn take_stack_request(&mut self) -> bool {
        std::mem::take(&mut self.wants_stack)
    }

    /// Sends SIGTERM, and then SIGCONT, because a stopped process does not act on SIGTERM.
    pub fn terminate(&self) {
        // The worker may exit by itself. If not, the same failure shows at SIGKILL.
        let _ = self.target.ask_to_stop();
    }

    /// Sends SIGKILL, and wakes the worker's task.
    pub fn kill(&mut self) {
        self.kill_without_wake();
        // From then on the worker's task waits only for a limited time.
        self.wake.notify_one();
    }

    /// Sends SIGKILL, without a wake-up of the worker's task.
    pub fn kill_without_wake(&mut self) {
        self.killed = true;
        let killed = self.target.kill().map_err(CallError::of("kill"));
        // A process that is gone needs no signal.
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
// On other systems Node keeps SIGPIPE away: it ignores the signal in every process that it runs in.
#[cfg(not(target_os = "linux"))]
const SEND: SendFlags = SendFlags::empty();

/// Writes as many of these bytes as there is room for, and returns their number.
fn send(channel: &OwnedFd, bytes: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    match bytes {
        [bytes] => rustix::net::send(channel.as_fd(), bytes, SEND),
        _ => {
            rustix::net::sendmsg(channel.as_fd(), bytes, &mut SendAncillaryBuffer::default(), SEND)
        }
    }
}

/// Returns whether a read has only found nothing, and a later one may succeed.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Reads the bytes that are there. Returns their number, and whether they are all.
pub fn receive(channel: &OwnedFd, into: &mut [u8]) -> io::Result<(usize, bool)> {
    let room = into.len();
    let mut pieces = [IoSliceMut::new(into)];
    let said = recvmsg(
        channel.as_fd(),
        &mut pieces,
        &mut RecvAncillaryBuffer::default(),
        RecvFlags::empty(),
    )?;
    // A read ends behind bytes that descriptors came with. The kernel drops the descriptors,
    // because there is no room for them.
    let cut = said.flags.contains(ReturnFlags::CTRUNC);
    Ok((said.bytes, said.bytes < room && !cut))
}
