//! A slot of the pool: the worker that serves there, and its successor or predecessor.

use crate::pool::ids::{Micros, WorkerKey};
use crate::pool::worker::Worker;

/// A slot for one worker. While the worker is being replaced, the slot has two processes.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Processes started in this slot so far.
    pub lives: u32,
    /// The serving worker: the only process of the slot that is sent tasks.
    pub worker: Option<Worker>,
    /// The other process, while the worker is being replaced.
    pub replacement: Replacement,
    /// When the next process starts, if that is scheduled.
    pub restart_at: Option<Micros>,
    /// The earliest time for the next start: the end of the back-off.
    pub not_before: Micros,
    /// Crashes in a row without one finished task.
    pub crashes: usize,
    /// True if the slot's keys belong to other slots for now: the opposite of [`Slot::keeps_keys`]
    /// when the pool last moved keys.
    pub lends_keys: bool,
}

/// The process that shares a slot with its worker. There is at most one, so a pool has at most two
/// processes to a slot, however quickly its workers are used up.
#[derive(Debug, Default)]
pub(crate) enum Replacement {
    #[default]
    None,
    /// The process that takes over from the worker: it starts, or is ready and waits.
    Successor(Box<Worker>),
    /// The process that the worker has replaced: it ends what it runs, and stops.
    Predecessor(Box<Worker>),
}

impl Slot {
    /// Finds the process of this key.
    pub(crate) fn find(&self, key: WorkerKey) -> Option<&Worker> {
        match &self.worker {
            Some(worker) if worker.key == key => Some(worker),
            _ => self.other().filter(|other| other.key == key),
        }
    }

    /// Finds the process of this key.
    pub(crate) fn find_mut(&mut self, key: WorkerKey) -> Option<&mut Worker> {
        match &mut self.worker {
            Some(worker) if worker.key == key => Some(worker),
            _ => match &mut self.replacement {
                Replacement::Successor(other) | Replacement::Predecessor(other)
                    if other.key == key =>
                {
                    Some(other)
                }
                _ => None,
            },
        }
    }

    /// Returns the successor or predecessor.
    pub(crate) fn other(&self) -> Option<&Worker> {
        match &self.replacement {
            Replacement::None => None,
            Replacement::Successor(other) | Replacement::Predecessor(other) => Some(other),
        }
    }

    /// Returns all processes of this slot, the serving worker first.
    pub(crate) fn processes(&self) -> impl Iterator<Item = &Worker> {
        self.worker.iter().chain(self.other())
    }

    /// Returns all processes of this slot, the serving worker first.
    pub(crate) fn processes_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        let other = match &mut self.replacement {
            Replacement::None => None,
            Replacement::Successor(other) | Replacement::Predecessor(other) => Some(&mut **other),
        };
        self.worker.iter_mut().chain(other)
    }

    /// Removes the process of this key, which is gone.
    pub(crate) fn remove(&mut self, key: WorkerKey) -> Option<Worker> {
        if let Some(worker) = self.worker.take_if(|worker| worker.key == key) {
            return Some(worker);
        }
        self.other().filter(|other| other.key == key)?;
        match std::mem::take(&mut self.replacement) {
            Replacement::None => None,
            Replacement::Successor(other) | Replacement::Predecessor(other) => Some(*other),
        }
    }

    /// Returns the number of attempts that count against the slot's concurrency.
    pub(crate) fn load(&self) -> usize {
        self.worker.as_ref().map_or(0, Worker::load) + self.predecessor_load()
    }

    /// Returns the number of attempts that the predecessor still runs. The worker is sent that many
    /// less.
    pub(crate) fn predecessor_load(&self) -> usize {
        match &self.replacement {
            Replacement::Predecessor(other) => other.load(),
            Replacement::None | Replacement::Successor(_) => 0,
        }
    }

    /// Returns whether tasks of a key may wait for this slot. A worker that has had all its tasks
    /// serves no more. Without a successor on its way, tasks would wait for a start that may never
    /// succeed.
    pub(crate) fn keeps_keys(&self) -> bool {
        match &self.worker {
            Some(worker) => {
                worker.left > 0
                    || worker.load() > 0
                    || matches!(self.replacement, Replacement::Successor(_))
            }
            None => self.restart_at.is_none(),
        }
    }

    /// Returns whether the successor is ready to take over.
    pub(crate) fn has_ready_successor(&self) -> bool {
        matches!(&self.replacement, Replacement::Successor(other) if other.life.is_ready())
    }

    /// Makes the successor the serving worker. The worker, if there is one, becomes the
    /// predecessor.
    pub(crate) fn promote_successor(&mut self, now: Micros) {
        match std::mem::take(&mut self.replacement) {
            Replacement::Successor(mut other) => {
                other.progress_at = now;
                if let Some(worker) = self.worker.replace(*other) {
                    self.replacement = Replacement::Predecessor(Box::new(worker));
                }
            }
            replacement => self.replacement = replacement,
        }
    }
}
