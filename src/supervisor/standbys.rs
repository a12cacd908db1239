//! The standbys of one pool: processes without a slot, and so without a link.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::pool::ids::{StandbyId, WorkerKey};
use crate::process::Target;

/// The standbys of a pool, as its driver holds them.
#[derive(Default)]
pub(super) struct Standbys {
    /// The standbys that the supervisor thread has to start.
    requests: VecDeque<StandbyId>,
    waiting: Vec<Waiting>,
}

/// A process that stands by.
struct Waiting {
    id: StandbyId,
    target: Target,
    /// The way to its task. Without it, the task ends the process.
    order: oneshot::Sender<WorkerKey>,
}

impl Standbys {
    /// Queues the start of a standby.
    pub(super) fn request(&mut self, id: StandbyId) {
        self.requests.push_back(id);
    }

    pub(super) fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Takes the standbys that the supervisor thread has to start.
    pub(super) fn take_requests(&mut self) -> VecDeque<StandbyId> {
        std::mem::take(&mut self.requests)
    }

    /// Adds a process, and returns where its task learns which worker takes it.
    pub(super) fn add(&mut self, id: StandbyId, target: Target) -> oneshot::Receiver<WorkerKey> {
        let (order, ordered) = oneshot::channel();
        self.waiting.push(Waiting { id, target, order });
        ordered
    }

    /// Gives the process to the worker. `false`: the process is dead.
    pub(super) fn give(&mut self, id: StandbyId, worker: WorkerKey) -> bool {
        self.remove(id).is_some_and(|standby| standby.order.send(worker).is_ok())
    }

    /// Ends the standby.
    pub(super) fn end(&mut self, id: StandbyId) {
        drop(self.remove(id));
    }

    /// Sends SIGKILL to all, because this process ends.
    pub(super) fn kill(&self) {
        for standby in &self.waiting {
            let _ = standby.target.kill();
        }
    }

    fn remove(&mut self, id: StandbyId) -> Option<Waiting> {
        let index = self.waiting.iter().position(|standby| standby.id == id)?;
        Some(self.waiting.swap_remove(index))
    }
}
