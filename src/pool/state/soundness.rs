//! The invariants of a pool between two events. Tests check them after each event.

use std::collections::HashMap;

use crate::pool::lifecycle::Life;
use crate::pool::policy;
use crate::pool::slot::Slot;
use crate::pool::state::{Phase, Pool, Trust};
use crate::pool::tasks::TaskState;
use crate::pool::worker::{InFlight, Worker};

impl Pool {
    /// Panics if an invariant does not hold.
    pub(crate) fn assert_sound(&self) {
        for slot in self.tasks.queue().assigned_slots() {
            assert!(self.is_active_slot(slot), "a task waits for slot {slot}, which was given up");
        }
        let mut slots: HashMap<&str, usize> = HashMap::new();
        let mut queued = 0;
        for task in self.tasks.iter().filter(|task| task.state == TaskState::Queued) {
            queued += 1;
            let Some(affinity) = &task.affinity else { continue };
            let slot = *slots.entry(affinity.name()).or_insert(affinity.assigned_slot());
            assert_eq!(
                slot,
                affinity.assigned_slot(),
                "two tasks of one key wait for different slots"
            );
        }
        assert_eq!(self.tasks.queue().len(), queued, "the queue has lost count");
        for worker in self.slots.iter().flat_map(Slot::processes) {
            if !worker.dead {
                let patience = |attempt: &InFlight| policy::held_by_worker(attempt.patience);
                let least = worker.in_flight().map(patience).min().unwrap_or(0);
                assert_eq!(worker.patience(), least, "the attempts by patience have lost count");
            }
            for attempt in worker.in_flight() {
                let Some(task) = attempt.task.and_then(|key| self.tasks.get(key)) else { continue };
                assert_eq!(
                    task.state,
                    TaskState::Sent { worker: worker.key, attempt_id: attempt.attempt_id },
                    "a task is elsewhere"
                );
            }
        }
        if self.trust == Trust::Suspended {
            assert!(!self.serves(), "starts are suspended, though a worker serves");
            let pending = |worker: &Worker| {
                matches!(worker.life, Life::Starting { .. } | Life::Stopping { .. })
            };
            let any = self.slots.iter().flat_map(Slot::processes).any(pending);
            assert!(any || self.phase == Phase::Closed, "starts are suspended for ever");
        }
    }
}
