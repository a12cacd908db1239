//! The keys of tasks, and those that a worker has run tasks of.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Keys that are remembered of one worker, at most: of a worker that serves more, users learn of
/// these.
const REMEMBERED: usize = 65_536;

/// The key of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffinityKey {
    pub(super) name: Box<str>,
    hash: u64,
    /// The place that it belongs to.
    pub(super) home: usize,
}

/// The keys that a worker has run tasks of.
#[derive(Debug, Default)]
pub struct Keys(pub(super) HashSet<Box<str>>);

impl Keys {
    pub(super) fn remember(&mut self, name: &str) {
        if self.0.len() < REMEMBERED && !self.0.contains(name) {
            self.0.insert(name.into());
        }
    }
}

impl AffinityKey {
    pub fn new(name: &str) -> Self {
        // Of keys that nobody is attacked by: the same in every process, as nothing else depends on
        // it.
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self { name: name.into(), hash: hasher.finish(), home: 0 }
    }

    /// The place that it belongs to.
    pub(super) fn home(&self) -> usize {
        self.home
    }

    #[cfg(test)]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What this place draws.
    pub(super) fn draw(&self, place: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.hash, place).hash(&mut hasher);
        hasher.finish()
    }
}
