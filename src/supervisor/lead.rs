//! The workers that JavaScript's thread leads: it reads their channels itself.
//!
//! Usually the supervisor thread reads a reply, and then wakes JavaScript's thread. For a lone
//! short task that second wake-up costs more than everything else. So the supervisor lends the
//! reader of such a worker to JavaScript's thread, which then waits for the channel in its own
//! event loop.
//!
//! The thread that has the [`Reader`] may read, and it moves as a value, under the driver's lock:
//!
//! ```text
//!  worker's task ──lend──▶ Turn::JavaScript ──give back──▶ Turn::Returned
//!        ▲                        │                              │
//!        └───────take back────────┴──────────take back───────────┘
//! ```
//!
//! The worker's task watches the channel as long as it has the reader. The set of channels that
//! JavaScript's event loop watches has exactly those of `Turn::JavaScript`. A returned reader waits
//! for the worker's task, which has been woken.
//!
//! No reply waits for a blocked JavaScript thread. The worker's task takes the reader back after
//! two milliseconds in which JavaScript's thread has read nothing (`reading.rs`). Before the pool
//! acts on a deadline, or on JavaScript's wish to end tasks, all readers here are read
//! ([`Leading::read`]).

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::pool::ids::{Micros, WorkerKey};
use crate::process::ready_set::ReadySet;
use crate::supervisor::driver::Driver;
use crate::supervisor::link;
use crate::supervisor::reader::{READ_BYTES, Reader};

/// The most workers that are led: each event of one costs a read of each.
const MOST: usize = 4;
/// The number of frames in a read with which a reader is given back.
const MANY_FRAMES: usize = 8;

/// The readers that are lent to JavaScript's thread.
#[derive(Default)]
pub(super) struct Leading {
    /// The channels that JavaScript's event loop watches. `None`: it does not lead.
    set: Option<ReadySet>,
    loans: Vec<Loan>,
}

/// The reader of one worker, lent by the worker's task.
pub(super) struct Loan {
    key: WorkerKey,
    reader: Box<Reader>,
    channel: Arc<OwnedFd>,
    /// Wakes the worker's task.
    wake: Arc<Notify>,
    turn: Turn,
    /// The worker was read since the last [`Leading::judge`].
    unjudged: bool,
    /// The number of reads by JavaScript's thread that found something.
    reads: u64,
}

/// The thread that waits for the channel of a lent reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    JavaScript,
    /// The supervisor thread, whose task of the worker will take the reader back.
    Returned,
}

/// The outcome of one read.
enum Found {
    Nothing,
    /// A few complete frames.
    FewFrames,
    /// The end of the channel, many frames, or a part of one: the worker's task has to go on.
    More,
}

/// The thread that reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    JavaScript,
    Supervisor,
}

/// Returns whether this worker is worth a lead: little is under way there, and it goes on.
pub(super) fn is_worth_it(driver: &mut Driver, key: WorkerKey) -> bool {
    driver.is_light(key) && driver.link(key).is_some_and(|link| link.is_open())
}

impl Loan {
    pub(super) fn new(
        key: WorkerKey,
        reader: Box<Reader>,
        channel: Arc<OwnedFd>,
        wake: Arc<Notify>,
    ) -> Self {
        Self { key, reader, channel, wake, turn: Turn::JavaScript, unjudged: false, reads: 0 }
    }

    /// Reads once.
    fn read(&mut self, now: Micros, driver: &mut Driver) -> Found {
        if self.reader.is_closed() {
            return Found::Nothing;
        }
        match link::receive(&self.channel, self.reader.buffer(READ_BYTES)) {
            Ok((0, _)) => self.hang_up(now, driver),
            Ok((n, all)) => {
                let frames = self.reader.on_bytes(n, now, driver);
                if all && frames < MANY_FRAMES && self.reader.is_at_rest() {
                    return Found::FewFrames;
                }
            }
            Err(error) if link::is_transient(&error) => return Found::Nothing,
            // A reset: the other end is gone, and has left bytes unread.
            Err(_) => self.hang_up(now, driver),
        }
        Found::More
    }

    /// Leaves the reader to the worker's task. `set`: the one that has its channel.
    fn give_back(&mut self, set: Option<&ReadySet>) {
        if self.turn == Turn::JavaScript {
            self.turn = Turn::Returned;
            // A channel that has hung up would wake JavaScript's thread for ever.
            set.inspect(|set| set.remove(&self.channel));
            self.wake.notify_one();
        }
    }

    fn hang_up(&mut self, now: Micros, driver: &mut Driver) {
        self.reader.close();
        driver.channel_closed(now, self.key);
    }
}

impl Leading {
    /// Lets JavaScript's thread lead. Its event loop watches `set`.
    pub(super) fn allow(&mut self, set: ReadySet) {
        self.set = Some(set);
    }

    /// Gives back all readers. JavaScript's thread does not lead any more.
    pub(super) fn end(&mut self) {
        let set = self.set.take();
        for loan in &mut self.loans {
            loan.give_back(set.as_ref());
        }
    }

    /// Lends a worker's reader to JavaScript's thread. Fails, with the reader, if that thread does
    /// not lead or leads enough workers.
    pub(super) fn lend(&mut self, loan: Loan) -> Result<(), Box<Reader>> {
        let set = self.set.as_ref().filter(|_| self.loans.len() < MOST);
        match set.map(|set| set.add(&loan.channel)) {
            Some(Ok(())) => {
                tracing::trace!(worker = loan.key.worker_id(), "led by JavaScript");
                self.loans.push(loan);
                Ok(())
            }
            // Without room in the kernel the supervisor thread goes on.
            Some(Err(_)) | None => Err(loan.reader),
        }
    }

    /// Reads once from every worker whose reader is here. To be followed by [`Self::judge`] after
    /// waiting tasks have been dispatched.
    pub(super) fn read(&mut self, by: By, now: Micros, driver: &mut Driver) {
        for loan in &mut self.loans {
            match loan.read(now, driver) {
                Found::Nothing => continue,
                Found::FewFrames => loan.unjudged = true,
                Found::More => loan.give_back(self.set.as_ref()),
            }
            loan.reads += u64::from(by == By::JavaScript);
        }
    }

    /// Gives back the readers of workers that were read since the last call and have more to do
    /// than a few short tasks.
    pub(super) fn judge(&mut self, driver: &mut Driver) {
        for loan in &mut self.loans {
            if std::mem::take(&mut loan.unjudged) && !is_worth_it(driver, loan.key) {
                loan.give_back(self.set.as_ref());
            }
        }
    }

    /// Returns how often JavaScript's thread has read this worker. `None`: the worker's task has to
    /// take the reader back.
    pub(super) fn reads(&self, key: WorkerKey) -> Option<u64> {
        let loan = self.loans.iter().find(|loan| loan.key == key)?;
        (loan.turn != Turn::Returned).then_some(loan.reads)
    }

    /// Takes back the reader of a worker. `None`: it is not here.
    pub(super) fn take_back(&mut self, key: WorkerKey) -> Option<Box<Reader>> {
        let index = self.loans.iter().position(|loan| loan.key == key)?;
        let loan = self.loans.swap_remove(index);
        if loan.turn != Turn::Returned
            && let Some(set) = &self.set
        {
            set.remove(&loan.channel);
        }
        Some(loan.reader)
    }
}

#[cfg(test)]
mod tests;
