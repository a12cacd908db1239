//! Affinity keys of tasks, and the keys that a worker has run tasks of.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The most keys that are remembered of one worker. If a worker serves more, the user learns of
/// these.
const REMEMBERED: usize = 65_536;

/// The key of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffinityKey {
    pub(super) name: Box<str>,
    hash: u64,
    /// The slot that the key belongs to.
    pub(super) assigned_slot: usize,
}

/// The keys that a worker has run tasks of.
#[derive(Debug, Default)]
pub(crate) struct Keys(pub(super) HashSet<Box<str>>);

impl Keys {
    pub(super) fn remember(&mut self, name: &str) {
        if self.0.len() < REMEMBERED && !self.0.contains(name) {
            self.0.insert(name.into());
        }
    }
}

impl AffinityKey {
    pub fn new(name: &str) -> Self {
        // A fixed hash will do, since keys do not come from an attacker. Nothing else depends on
        // it.
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self { name: name.into(), hash: hasher.finish(), assigned_slot: 0 }
    }

    /// Returns the slot that the key belongs to.
    pub(super) fn assigned_slot(&self) -> usize {
        self.assigned_slot
    }

    #[cfg(test)]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key's score for this slot. The slot with the highest score gets the key.
    pub(super) fn rendezvous_score(&self, slot: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.hash, slot).hash(&mut hasher);
        hasher.finish()
    }
}
