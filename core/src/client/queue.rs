//! The exchanges that want to start, in their order, by where they go.
//!
//! An index may name ten thousand manifests, all at one host that takes eight requests at once. Whoever asks for the
//! next that may start asks once for each place that is full, not once for each exchange that waits for it.

use alloc::string::String;

use super::exchange::{Exchange, Priority, Target};
use crate::http::Origin;
use crate::map::{Map, Set};

/// Where an exchange goes next: what holds one up there holds up all that are behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// The registry itself, by whichever scheme it turns out to speak.
    Registry(String),
    /// A place that was named, or that a redirect led to.
    Place(Origin),
}

impl Lane {
    pub(super) fn of(exchange: &Exchange) -> Lane {
        match (exchange.trail.last(), &exchange.target) {
            (Some(url), _) | (None, Target::Named(url)) => Lane::Place(url.origin().clone()),
            (None, Target::Registry(_)) => Lane::Registry(exchange.registry.clone()),
        }
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// No lane is empty.
    lanes: Map<Lane, Set<Priority>>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    pub(super) fn insert(&mut self, lane: Lane, priority: Priority) {
        self.lanes.entry(lane).or_default().insert(priority);
    }

    pub(super) fn remove(&mut self, lane: &Lane, priority: &Priority) {
        let Some(waiting) = self.lanes.get_mut(lane) else { return };
        waiting.remove(priority);
        if waiting.is_empty() {
            self.lanes.remove(lane);
        }
    }

    /// The first in order, but for those in lanes that are held up.
    pub(super) fn first(&self, held_up: &Set<Lane>) -> Option<(&Lane, Priority)> {
        let heads = self.lanes.iter().filter_map(|(lane, waiting)| Some((lane, *waiting.first()?)));
        heads.filter(|(lane, _)| !held_up.contains(*lane)).min_by_key(|(_, priority)| *priority)
    }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::Key;
    use super::super::hosts::Class;
    use super::*;

    #[test]
    fn the_order_is_kept_over_all_lanes_that_are_free() {
        let lane = |name: &str| Lane::Registry(name.into());
        let mut queue = Queue::default();
        let blob = (Class::Blob, 0, 0, Key(1));
        let later = (Class::Document, 1, 0, Key(2));
        let document = (Class::Document, 0, 0, Key(3));
        queue.insert(lane("a"), blob);
        queue.insert(lane("a"), document);
        queue.insert(lane("b"), later);
        let none = Set::new();
        let a = Set::from_iter([lane("a")]);
        assert_eq!(queue.first(&none), Some((&lane("a"), document)));
        assert_eq!(queue.first(&a), Some((&lane("b"), later)));
        queue.remove(&lane("a"), &document);
        assert_eq!(queue.first(&none), Some((&lane("b"), later)));
        queue.remove(&lane("b"), &later);
        assert_eq!((queue.first(&none), queue.first(&a)), (Some((&lane("a"), blob)), None));
        queue.remove(&lane("a"), &blob);
        assert!(queue.is_empty());
    }
}
