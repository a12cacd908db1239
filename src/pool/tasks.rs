//! The accepted tasks that have not ended: where each one is, and how it ends.
//!
//! A task enters by [`TaskTable::accept`] or [`TaskTable::refuse`]. It leaves by
//! [`TaskTable::complete`] or [`TaskTable::fail`], which remove it and return the effect that
//! tells its end. So every accepted task ends exactly once.
//!
//! ```text
//!             accept                send
//!    (new) ──────────▶ Queued ──────────────▶ Sent ──▶ complete
//!                        ▲                     │ │
//!                        ├─── requeue_front ───┘ │ pause
//!                        └─── requeue_front ── Pausing
//!
//!    fail: from each of the three states
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slotmap::SlotMap;

use crate::pool::ids::{AttemptId, Micros, TaskKey, Ticket, WorkerKey};
use crate::pool::key::AffinityKey;
use crate::pool::messages::{Body, ClosedReport, Effect, Failure, NewTask, RunInfo};
use crate::pool::queue::{Due, Entry, Queue};

/// One accepted task that has not ended. Only the [`TaskTable`] changes it.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) ticket: Ticket,
    pub(crate) handler: u8,
    /// Attempts so far, without those that provably never started.
    pub(crate) attempt: u32,
    pub(crate) retries: u32,
    pub(crate) timeout: Option<Micros>,
    /// Time on top of `timeout` for the worker to claim the task.
    pub(crate) delivery_allowance: Micros,
    pub(crate) accepted_at: Micros,
    pub(crate) affinity: Option<Box<AffinityKey>>,
    pub(crate) state: TaskState,
    pub(crate) body: Body,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskState {
    Queued,
    /// Between two attempts.
    Pausing,
    Sent {
        worker: WorkerKey,
        attempt_id: AttemptId,
    },
}

/// Tasks by outcome, since the pool was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub accepted: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub retried: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct TaskTable {
    tasks: SlotMap<TaskKey, Task>,
    /// `tickets[ticket]` is the unsettled task of that ticket, or the null key.
    tickets: Vec<TaskKey>,
    queue: Queue,
    /// When the pause before a task's next attempt is over. The entry of a task that was cancelled
    /// stays until its time comes.
    pauses: BinaryHeap<Reverse<(Micros, TaskKey)>>,
    counters: Counters,
    /// Tasks that ended since the last [`Self::restart_report`].
    report: ClosedReport,
}

impl Task {
    /// Returns the slot that this task is bound to, if it has a key.
    pub(crate) fn assigned_slot(&self) -> Option<usize> {
        self.affinity.as_ref().map(|affinity| affinity.assigned_slot())
    }
}

impl TaskTable {
    // ---- Entry

    /// Accepts a task, which waits for the worker of `slot`, or for any worker. `advance`: the
    /// time that its priority is worth, if that is not 0.
    pub(crate) fn accept(&mut self, task: NewTask, slot: Option<usize>, advance: Option<Due>) {
        let size = task.body.size();
        let due = advance.map(|advance| due(task.accepted_at).saturating_sub(advance));
        let key = self.insert(task);
        self.queue.accept(Entry { key, size, slot }, due);
    }

    /// Accepts a task that cannot run any more, and fails it.
    pub(crate) fn refuse(&mut self, task: NewTask, failure: Failure) -> Effect {
        self.queue.pass_by(task.body.size());
        let key = self.insert(task);
        self.end_without_reply(key, None, failure).expect("the task was inserted right here")
    }

    fn insert(&mut self, task: NewTask) -> TaskKey {
        self.counters.accepted += 1;
        let ticket = task.ticket;
        let key = self.tasks.insert(Task {
            ticket,
            handler: task.handler,
            attempt: 0,
            retries: task.retries,
            timeout: task.timeout,
            delivery_allowance: 0,
            accepted_at: task.accepted_at,
            affinity: task.affinity,
            state: TaskState::Queued,
            body: task.body,
        });
        let index = ticket as usize;
        if self.tickets.len() <= index {
            self.tickets.resize(index + 1, TaskKey::default());
        }
        self.tickets[index] = key;
        key
    }

    // ---- Exits

    /// Ends a task by the reply at hand. JavaScript need not hear of it for `patience`. `failed`:
    /// the handler threw.
    #[must_use]
    pub(crate) fn complete(
        &mut self,
        key: TaskKey,
        run: RunInfo,
        patience: Micros,
        failed: bool,
    ) -> Option<Effect> {
        let task = self.remove(key)?;
        if failed {
            self.counters.failed += 1;
            self.report.rejected += 1;
        } else {
            self.counters.completed += 1;
            self.report.completed += 1;
        }
        Some(Effect::Complete { ticket: task.ticket, run, patience })
    }

    /// Ends a task without a reply.
    #[must_use]
    pub(crate) fn fail(
        &mut self,
        key: TaskKey,
        run: Option<RunInfo>,
        failure: Failure,
    ) -> Option<Effect> {
        let task = self.tasks.get(key)?;
        if task.state == TaskState::Queued {
            self.queue.forget(task.body.size(), task.assigned_slot());
        }
        self.end_without_reply(key, run, failure)
    }

    /// Ends all tasks that wait in the queue or between two attempts. `failure` is told whether
    /// the task may have been executed.
    pub(crate) fn fail_waiting(&mut self, failure: impl Fn(bool) -> Failure) -> Vec<Effect> {
        let pauses = std::mem::take(&mut self.pauses).into_sorted_vec().into_iter().rev();
        let waiting = self.queue.take().chain(pauses.map(|Reverse((_, key))| key));
        let mut effects = Vec::new();
        for key in waiting {
            let waits = |task: &&Task| matches!(task.state, TaskState::Queued | TaskState::Pausing);
            if let Some(task) = self.tasks.get(key).filter(waits) {
                let failure = failure(task.attempt > 0);
                effects.extend(self.end_without_reply(key, None, failure));
            }
        }
        effects
    }

    /// The queue no longer counts the task.
    fn end_without_reply(
        &mut self,
        key: TaskKey,
        run: Option<RunInfo>,
        failure: Failure,
    ) -> Option<Effect> {
        let task = self.remove(key)?;
        match failure {
            Failure::Aborted => self.counters.cancelled += 1,
            _ => self.counters.failed += 1,
        }
        self.report.rejected += 1;
        Some(Effect::Fail { ticket: task.ticket, run, failure })
    }

    fn remove(&mut self, key: TaskKey) -> Option<Task> {
        let task = self.tasks.remove(key)?;
        self.tickets[task.ticket as usize] = TaskKey::default();
        Some(task)
    }

    /// Counts a task as failed whose result was counted as complete, but cannot be read.
    pub(crate) fn disown_result(&mut self) {
        self.counters.completed -= 1;
        self.counters.failed += 1;
        // The result may have come before the shutdown whose report this is.
        if self.report.completed > 0 {
            self.report.completed -= 1;
            self.report.rejected += 1;
        }
    }

    // ---- From state to state

    /// Takes a waiting task out of the queue for its next attempt.
    pub(crate) fn send(
        &mut self,
        key: TaskKey,
        worker: WorkerKey,
        attempt_id: AttemptId,
    ) -> Option<&Task> {
        let task = self.tasks.get_mut(key)?;
        self.queue.pop(Entry { key, size: task.body.size(), slot: task.assigned_slot() });
        task.attempt += 1;
        task.state = TaskState::Sent { worker, attempt_id };
        Some(task)
    }

    /// Puts a task to the front of the queue, for the worker of `slot` or for any worker: after its
    /// pause, or after an attempt that never started and so does not count.
    pub(crate) fn requeue_front(&mut self, key: TaskKey, slot: Option<usize>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        match task.state {
            TaskState::Queued => return,
            TaskState::Pausing => {}
            TaskState::Sent { .. } => task.attempt -= 1,
        }
        task.state = TaskState::Queued;
        self.queue.push_front(Entry { key, size: task.body.size(), slot });
    }

    /// Lets a task pause until `until` before its next attempt. Its ticket, and the number of that
    /// attempt.
    pub(crate) fn pause(&mut self, key: TaskKey, until: Micros) -> Option<(Ticket, u32)> {
        let task = self.tasks.get_mut(key)?;
        task.state = TaskState::Pausing;
        self.pauses.push(Reverse((until, key)));
        self.counters.retried += 1;
        Some((task.ticket, task.attempt + 1))
    }

    /// Returns the next task whose pause is over.
    pub(crate) fn take_paused(&mut self, now: Micros) -> Option<TaskKey> {
        while let Some(&Reverse((at, key))) = self.pauses.peek()
            && at <= now
        {
            self.pauses.pop();
            if self.tasks.get(key).is_some_and(|task| task.state == TaskState::Pausing) {
                return Some(key);
            }
        }
        None
    }

    /// Returns the time at which the next pause is over.
    pub(crate) fn next_pause(&self) -> Option<Micros> {
        self.pauses.peek().map(|Reverse((at, _))| *at)
    }

    /// Gives the next worker more time to claim this task, and twice as much after that: a large
    /// task may need longer for its way than it may run.
    pub(crate) fn extend_deadline(&mut self, ticket: Ticket, limit: Micros) {
        let key = self.by_ticket(ticket).unwrap_or_default();
        if let Some(task) = self.tasks.get_mut(key) {
            task.delivery_allowance = task.delivery_allowance.saturating_mul(2).max(limit);
        }
    }

    // ---- Keys

    /// Binds a task that does not wait to the slot that `assign` returns for its key, if it has
    /// one.
    pub(crate) fn assign(
        &mut self,
        key: TaskKey,
        assign: impl FnOnce(&mut AffinityKey) -> usize,
    ) -> Option<usize> {
        Some(assign(self.tasks.get_mut(key)?.affinity.as_mut()?))
    }

    /// Binds the tasks that wait for `slot` again, each to the slot that `assign` returns.
    pub(crate) fn reassign(
        &mut self,
        slot: usize,
        mut assign: impl FnMut(&mut AffinityKey) -> usize,
    ) {
        let tasks = &mut self.tasks;
        self.queue.rebind(slot, |key| {
            let task = tasks.get_mut(key).filter(|task| task.state == TaskState::Queued)?;
            let slot = assign(task.affinity.as_mut()?);
            Some((slot, due(task.accepted_at)))
        });
    }

    // ---- Questions

    /// Returns the task of this key.
    pub(crate) fn get(&self, key: TaskKey) -> Option<&Task> {
        self.tasks.get(key)
    }

    /// Returns the task of this ticket.
    pub(crate) fn by_ticket(&self, ticket: Ticket) -> Option<TaskKey> {
        self.tickets.get(ticket as usize).copied().filter(|key| self.tasks.contains_key(*key))
    }

    /// Tasks that have not ended.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Returns whether all tasks have ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Returns the tasks that wait for a worker.
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Returns the next task for the worker of this slot.
    pub(crate) fn peek(&mut self, slot: usize) -> Option<TaskKey> {
        let tasks = &self.tasks;
        self.queue.peek(slot, |key| waiting_since(tasks, key))
    }

    /// Returns the next task that any worker may run.
    pub(crate) fn peek_unbound(&mut self) -> Option<&Task> {
        let tasks = &self.tasks;
        let key = self.queue.peek_free(|key| waiting_since(tasks, key))?;
        self.tasks.get(key)
    }

    /// Tasks that wait in the queue or between two attempts, and the bytes of those in the queue.
    pub(crate) fn waiting(&self) -> (usize, u64) {
        let pauses = |entry: &&Reverse<(Micros, TaskKey)>| self.tasks.contains_key(entry.0.1);
        (self.queue.len() + self.pauses.iter().filter(pauses).count(), self.queue.bytes())
    }

    /// Returns whether a task waits in the queue or between two attempts.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.queue.is_empty() || !self.pauses.is_empty()
    }

    /// Returns the change of the waiting tasks' bytes since the last call. A task counts as waiting
    /// from its acceptance on.
    pub(crate) fn take_waiting_change(&mut self) -> i64 {
        self.queue.take_change()
    }

    /// Tasks by outcome.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Begins a new report: the shutdown begins.
    pub(crate) fn restart_report(&mut self) {
        self.report = ClosedReport::default();
    }

    /// Tasks that ended since [`Self::restart_report`].
    pub(crate) fn report(&self) -> ClosedReport {
        self.report
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }
}

/// Returns the time at which a waiting task is due with priority 0. `None`: the task does not wait.
fn waiting_since(tasks: &SlotMap<TaskKey, Task>, key: TaskKey) -> Option<Due> {
    tasks.get(key).filter(|task| task.state == TaskState::Queued).map(|task| due(task.accepted_at))
}

/// Returns the due time of a task of priority 0.
fn due(accepted_at: Micros) -> Due {
    Due::try_from(accepted_at).unwrap_or(Due::MAX)
}
