//! Writes the worker's frames into the channel.
//!
//! The worker writes the replies of tiny tasks several at a time, because a system call for each
//! would cost more than the tasks. But a reply must not wait for user code, which may run for
//! minutes, or for ever. So the worker *holds* its unwritten lines before user code runs.
//!
//! The page keeps held lines, and the supervisor reads them if the worker dies. A thread writes
//! them if no other write has happened within a millisecond. That thread sleeps unless there are
//! held lines while user code runs.
//!
//! Where many tasks wait, the supervisor allows a longer hold: the worker may then go on with the
//! next task before it writes, so that several results share the wake-ups of their way.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::process::signal;
use crate::shm::SharedPage;
use crate::worker::fail_points::{self, Phase};

/// The longest time for which a line is held, unless the supervisor allows more.
const HOLD: Duration = Duration::from_millis(1);
/// The capacity (bytes) beyond which a buffer is freed once it is written.
const KEEP_BUFFER: usize = 1 << 20;

/// The worker's end of the channel, and the lines that it holds.
pub(crate) struct Outgoing {
    inner: Arc<Inner>,
    /// The thread that writes lines that were held for too long, once there is one. `None`: there
    /// is no thread left, and held lines wait for the next write.
    flusher: OnceLock<Option<Thread>>,
}

struct Inner {
    channel: OwnedFd,
    page: Option<Arc<SharedPage>>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    text: Vec<u8>,
    /// The time of the first held line.
    since: Option<Instant>,
    /// The time at which the thread looks again by itself. `None`: it sleeps until it is woken.
    alarm: Option<Instant>,
}

impl Outgoing {
    /// Makes a writer to `channel` that holds lines in `page`.
    pub(crate) fn new(channel: OwnedFd, page: Option<Arc<SharedPage>>) -> Self {
        let inner = Inner { channel, page, held: Mutex::default() };
        Self { inner: Arc::new(inner), flusher: OnceLock::new() }
    }

    /// Takes in whole lines, which go out with the next write. `add` appends them; if it fails,
    /// nothing has happened.
    pub(crate) fn add<E: From<io::Error>>(
        &self,
        add: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut held = self.inner.lock();
        let before = held.text.len();
        add(&mut held.text).inspect_err(|_| held.text.truncate(before))?;
        if held.text.len() == before {
            return Ok(());
        }
        if !self.inner.keep(&held, before) {
            return self.inner.write(&mut held, &[]).map_err(E::from);
        }
        held.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Has held lines written soon, because user code is about to run for an unknown time.
    pub(crate) fn watch(&self) {
        let mut held = self.inner.lock();
        let Some(due) = self.inner.due(&held) else { return };
        if held.alarm.is_some_and(|alarm| alarm <= due) {
            return;
        }
        held.alarm = Some(due);
        drop(held);
        if let Some(flusher) = self.flusher() {
            flusher.unpark();
        }
    }

    fn flusher(&self) -> Option<&Thread> {
        self.flusher.get_or_init(|| start(Arc::clone(&self.inner))).as_ref()
    }

    /// Returns whether the supervisor allows the held lines to wait for `next` more, the time that
    /// the next task is expected to take. Then has them written in time whatever happens.
    pub(crate) fn may_hold(&self, next: Duration) -> bool {
        let allowed = self.inner.allowed_hold();
        if allowed.is_zero() {
            return false;
        }
        let held = self.inner.lock();
        let fits = held.since.is_some_and(|since| since.elapsed() + next <= allowed);
        drop(held);
        // Without the thread, nothing would write them while the next task takes longer.
        if !fits || self.flusher().is_none() {
            return false;
        }
        self.watch();
        fail_points::pass(Phase::Hold);
        true
    }

    /// Writes the held lines, the lines that `add` appends, and `blobs`. Returns when the kernel
    /// has all of it, which then survives this process.
    pub(crate) fn write<E: From<io::Error>>(
        &self,
        add: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
        blobs: &[&[u8]],
    ) -> Result<(), E> {
        let mut held = self.inner.lock();
        let before = held.text.len();
        add(&mut held.text).inspect_err(|_| held.text.truncate(before))?;
        self.inner.keep(&held, before);
        self.inner.write(&mut held, blobs)?;
        Ok(())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time for which the supervisor allows lines to be held while tasks wait.
    fn allowed_hold(&self) -> Duration {
        self.page.as_ref().map_or(Duration::ZERO, |page| page.allowed_hold())
    }

    /// Returns the time at which the held lines must be written, whatever user code does.
    fn due(&self, held: &Held) -> Option<Instant> {
        Some(held.since? + self.allowed_hold().max(HOLD))
    }

    /// Puts the text from `from` on into the journal, so that it survives this process. `false`:
    /// there is too much of it, or no page.
    fn keep(&self, held: &Held, from: usize) -> bool {
        self.page.as_ref().is_none_or(|page| page.hold(from, &held.text[from..]))
    }

    /// Writes the held lines and `blobs`, which the last line announces.
    fn write(&self, held: &mut Held, blobs: &[&[u8]]) -> io::Result<()> {
        held.since = None;
        let written = self.write_frames(&held.text, blobs);
        if let Some(page) = &self.page {
            page.journal_clear();
        }
        held.text.clear();
        if held.text.capacity() > KEEP_BUFFER {
            held.text = Vec::new();
        }
        written
    }

    fn write_frames(&self, lines: &[u8], blobs: &[&[u8]]) -> io::Result<()> {
        if let Some((length, fail_point)) =
            fail_points::bytes_before_death(lines, blobs.iter().map(|blob| blob.len()).sum())
        {
            write_all(&self.channel, &[&[lines], blobs].concat().concat()[..length])?;
            fail_point.die();
        }
        write_all(&self.channel, lines)?;
        for blob in blobs {
            write_all(&self.channel, blob)?;
        }
        fail_points::pass_written(lines);
        Ok(())
    }
}

fn start(inner: Arc<Inner>) -> Option<Thread> {
    let look = move || {
        signal::block_all();
        loop {
            let mut held = inner.lock();
            let now = Instant::now();
            held.alarm = inner.due(&held);
            match held.alarm {
                // The supervisor may be gone; the next write reports that.
                Some(due) if due <= now => drop(inner.write(&mut held, &[])),
                // A line that is due earlier than this wakes the thread, as does the next line.
                Some(due) => {
                    drop(held);
                    std::thread::park_timeout(due - now);
                }
                None => {
                    drop(held);
                    std::thread::park();
                }
            }
        }
    };
    let thread =
        std::thread::Builder::new().name("bulkhead-flush".to_owned()).stack_size(64 * 1024);
    thread.spawn(look).ok().map(|handle| handle.thread().clone())
}

fn write_all(channel: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(channel, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            // The supervisor reads all the time, so the wait is short. If it does not read, a
            // worker without room for its results must not make more.
            Err(Errno::AGAIN) => {
                match poll(&mut [PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::OUT)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn outgoing() -> (Outgoing, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        (Outgoing::new(ours.into(), None), theirs)
    }

    fn add(text: &'static str) -> impl FnOnce(&mut Vec<u8>) -> io::Result<()> {
        move |out| {
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }

    fn read(stream: &mut UnixStream, length: usize) -> String {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).expect("it arrives");
        String::from_utf8(bytes).expect("it is text")
    }

    #[test]
    fn what_is_held_goes_out_by_itself_again_and_again() {
        let (outgoing, mut theirs) = outgoing();
        for _ in 0..3 {
            outgoing.add(add("held\n")).expect("it is taken in");
            outgoing.watch();
            assert_eq!(read(&mut theirs, 5), "held\n");
            // Long enough for the thread to go to sleep in some rounds, which must not matter.
            std::thread::sleep(HOLD * 60);
        }
    }

    #[test]
    fn what_is_held_goes_out_before_what_is_written() {
        let (outgoing, mut theirs) = outgoing();
        outgoing.add(add("1\n")).expect("it is taken in");
        outgoing.write(add("2\n"), &[b"raw", b"bytes"]).expect("it is written");
        assert_eq!(read(&mut theirs, 12), "1\n2\nrawbytes");
    }

    #[test]
    fn what_may_be_held_longer_is_written_all_the_same() {
        let Some(page) = SharedPage::create().map(Arc::new) else { return };
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        let outgoing = Outgoing::new(ours.into(), Some(Arc::clone(&page)));
        let long = Duration::from_secs(1);
        outgoing.add(add("held\n")).expect("it is taken in");
        assert!(!outgoing.may_hold(Duration::ZERO), "the supervisor has not allowed it");
        page.allow_hold(long);
        assert!(!outgoing.may_hold(long), "the next task would take too long");
        outgoing.write(add(""), &[]).expect("it is written");
        assert_eq!(read(&mut theirs, 5), "held\n");
        assert!(!outgoing.may_hold(Duration::ZERO), "nothing is held");
        // Whether the line may still be held depends on how long ago it was added.
        outgoing.add(add("again\n")).expect("it is taken in");
        assert_eq!(page.journal(), b"again\n");
        outgoing.watch();
        assert_eq!(read(&mut theirs, 6), "again\n");
        // Written by the thread, which empties the journal before it looks again.
        drop(outgoing.inner.lock());
        assert!(page.journal().is_empty());
    }

    #[test]
    fn a_failure_to_add_leaves_no_trace() {
        let (outgoing, mut theirs) = outgoing();
        let fail = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"half a li");
            Err(io::Error::other("on purpose"))
        };
        assert!(outgoing.add(fail).is_err());
        assert!(outgoing.write(fail, &[]).is_err());
        outgoing.write(add("whole\n"), &[]).expect("it is written");
        assert_eq!(read(&mut theirs, 6), "whole\n");
    }

    #[test]
    fn a_closed_channel_is_an_error() {
        let (outgoing, theirs) = outgoing();
        drop(theirs);
        assert!(outgoing.write(add("into the void\n"), &[]).is_err());
    }
}
