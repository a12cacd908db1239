//! The links of one pool, by slot.

use crate::pool::ids::WorkerKey;
use crate::supervisor::link::Link;

/// The links to all processes that have not been reaped.
pub(super) struct Links {
    /// The links by slot.
    places: Vec<Option<Link>>,
    /// The other links of slots with two processes, while one replaces the other.
    others: Vec<Link>,
}

impl Links {
    /// Makes room for one link in each of `slots` slots.
    pub(super) fn new(slots: usize) -> Self {
        Self { places: (0..slots).map(|_| None).collect(), others: Vec::new() }
    }

    /// Returns the link of this process, if it has not been reaped.
    pub(super) fn get(&mut self, key: WorkerKey) -> Option<&mut Link> {
        match self.places.get_mut(key.slot)? {
            Some(link) if link.key == key => Some(link),
            _ => self.others.iter_mut().find(|link| link.key == key),
        }
    }

    pub(super) fn add(&mut self, link: Link) {
        let slot = link.key.slot;
        if self.places.len() <= slot {
            self.places.resize_with(slot + 1, || None);
        }
        match &mut self.places[slot] {
            place @ None => *place = Some(link),
            Some(_) => self.others.push(link),
        }
    }

    pub(super) fn remove(&mut self, key: WorkerKey) -> Option<Link> {
        let slot = self.places.get_mut(key.slot)?;
        let index = |others: &[Link], is: &dyn Fn(&Link) -> bool| others.iter().position(is);
        match slot.take_if(|link| link.key == key) {
            Some(link) => {
                *slot = index(&self.others, &|other| other.key.slot == key.slot)
                    .map(|at| self.others.swap_remove(at));
                Some(link)
            }
            None => {
                index(&self.others, &|other| other.key == key).map(|at| self.others.swap_remove(at))
            }
        }
    }

    pub(super) fn each(&mut self, act: impl FnMut(&mut Link)) {
        self.places.iter_mut().flatten().chain(&mut self.others).for_each(act);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.others.is_empty() && self.places.iter().all(Option::is_none)
    }
}
