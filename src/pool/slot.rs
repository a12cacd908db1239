//! A place for a worker: the process that serves there, and the one that replaces it or is
//! replaced by it.

use crate::pool::ids::{Micros, WorkerKey};
use crate::pool::worker::Worker;

/// A place for one worker at a time. While it is being replaced, it has two processes.
#[derive(Debug, Default)]
pub struct Slot {
    /// Processes started here so far.
    pub lives: u32,
    /// The present one: the only one here that is sent tasks.
    pub worker: Option<Worker>,
    /// The other one.
    pub replacement: Replacement,
    /// When the next one is to be started.
    pub restart_at: Option<Micros>,
    /// No process is started here before this.
    pub not_before: Micros,
    /// Deaths in a row without one finished task.
    pub crashes: usize,
    /// Its keys belong to other places for now: [`Slot::keeps_keys`] at the last
    /// [`Pool::move_keys`](super::state::Pool).
    pub lends_keys: bool,
}

/// Who shares a place with its worker. There is never more than one, so a pool has at most two
/// processes to a place, however quickly its workers are used up.
#[derive(Debug, Default)]
pub enum Replacement {
    #[default]
    None,
    /// Is to take the worker's place: it starts, or stands by.
    Successor(Box<Worker>),
    /// Has given its place away: it ends what it runs, and leaves.
    Predecessor(Box<Worker>),
}

impl Slot {
    /// The process of this life, if it is here.
    pub fn find(&self, key: WorkerKey) -> Option<&Worker> {
        match &self.worker {
            Some(worker) if worker.key == key => Some(worker),
            _ => self.other().filter(|other| other.key == key),
        }
    }

    /// The same.
    pub fn find_mut(&mut self, key: WorkerKey) -> Option<&mut Worker> {
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

    /// Whoever shares the place.
    pub fn other(&self) -> Option<&Worker> {
        match &self.replacement {
            Replacement::None => None,
            Replacement::Successor(other) | Replacement::Predecessor(other) => Some(other),
        }
    }

    /// All processes of this place, the one that serves first.
    pub fn processes(&self) -> impl Iterator<Item = &Worker> {
        self.worker.iter().chain(self.other())
    }

    /// The process of this life is gone: takes it out.
    pub fn remove(&mut self, key: WorkerKey) -> Option<Worker> {
        if let Some(worker) = self.worker.take_if(|worker| worker.key == key) {
            return Some(worker);
        }
        self.other().filter(|other| other.key == key)?;
        match std::mem::take(&mut self.replacement) {
            Replacement::None => None,
            Replacement::Successor(other) | Replacement::Predecessor(other) => Some(*other),
        }
    }

    /// What counts against the number of tasks that run here at a time.
    pub fn load(&self) -> usize {
        self.worker.as_ref().map_or(0, Worker::load) + self.predecessor_load()
    }

    /// What the process that has given its place away still runs. So much less is sent to the
    /// worker.
    pub fn predecessor_load(&self) -> usize {
        match &self.replacement {
            Replacement::Predecessor(other) => other.load(),
            Replacement::None | Replacement::Successor(_) => 0,
        }
    }

    /// Whether tasks of a key may wait for this place. One whose worker has had all its tasks
    /// serves again only once a successor is ready: without one on its way, they would wait for a
    /// start that may never succeed.
    pub fn keeps_keys(&self) -> bool {
        match &self.worker {
            Some(worker) => {
                worker.left > 0
                    || worker.load() > 0
                    || matches!(self.replacement, Replacement::Successor(_))
            }
            None => self.restart_at.is_none(),
        }
    }

    /// Whether the one that is to take over could do so now.
    pub fn has_standby(&self) -> bool {
        matches!(&self.replacement, Replacement::Successor(other) if other.life.is_ready())
    }

    /// Whoever stands by becomes the worker. The worker, if there is one, ends what it runs.
    pub fn promote_successor(&mut self, now: Micros) {
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
