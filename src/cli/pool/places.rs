//! The places for processes: one is taken before a process starts, and free once it has been reaped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// At most `max_processes` processes exist at once, those that are on their way out included.
#[derive(Clone, Debug)]
pub(super) struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    taken: Mutex<Taken>,
    /// Wakes whoever waits for a place, or for a process that needs none.
    freed: Notify,
    /// Wakes the maintainer.
    maintainer: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Taken {
    /// By number, whether the process in it is ending.
    places: HashMap<u64, bool>,
    next: u64,
    /// How many requests wait for a place.
    wanted: usize,
}

impl Places {
    pub(super) fn new(max: usize, maintainer: Arc<Notify>) -> Self {
        Places { shared: Arc::new(Shared { max, taken: Mutex::default(), freed: Notify::new(), maintainer }) }
    }

    /// A place, if one is free: the first half goes with the process until it is reaped, the second with whoever wants it.
    pub(super) fn take(&self) -> Option<(Place, Occupant)> {
        let mut taken = self.shared.lock();
        if taken.places.len() >= self.shared.max {
            return None;
        }
        let number = taken.next;
        taken.next += 1;
        taken.places.insert(number, false);
        Some((Place { places: self.clone(), number }, Occupant { places: self.clone(), number }))
    }

    /// Whether a place is free that no request waits for.
    pub(super) fn have_spare(&self) -> bool {
        let taken = self.shared.lock();
        taken.wanted == 0 && taken.places.len() < self.shared.max
    }

    /// Counts a request as waiting for a place, for as long as the value is kept.
    pub(super) fn want(&self) -> Wanted {
        self.shared.lock().wanted += 1;
        Wanted { places: self.clone() }
    }

    /// Whether more requests wait than places are free or about to be: then another process has to give way.
    pub(super) fn are_short(&self) -> bool {
        let taken = self.shared.lock();
        let free = self.shared.max - taken.places.len();
        taken.wanted > free + taken.places.values().filter(|ending| **ending).count()
    }

    /// Whether every place has a process in it that is wanted.
    pub(super) fn are_all_in_use(&self) -> bool {
        let taken = self.shared.lock();
        taken.places.len() >= self.shared.max && !taken.places.values().any(|ending| *ending)
    }

    pub(super) fn taken(&self) -> usize {
        self.shared.lock().places.len()
    }

    /// Resolves when a place has become free, or a process that needs none.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.shared.freed.notified()
    }

    /// There is a process that needs no place.
    pub(super) fn process_available(&self) {
        self.shared.freed.notify_waiters();
        self.shared.maintainer.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a process that has not been reaped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.shared.lock().places.remove(&self.number);
        self.places.process_available();
    }
}

/// A process that is wanted. Once it is not, it counts as ending.
#[derive(Debug)]
pub(super) struct Occupant {
    places: Places,
    number: u64,
}

impl Drop for Occupant {
    fn drop(&mut self) {
        if let Some(ending) = self.places.shared.lock().places.get_mut(&self.number) {
            *ending = true;
        }
    }
}

/// A request that waits for a place.
#[derive(Debug)]
pub(super) struct Wanted {
    places: Places,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.places.shared.lock().wanted -= 1;
        self.places.shared.maintainer.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_at_the_reap_and_not_when_its_process_is_no_longer_wanted() {
        let places = Places::new(1, Arc::default());
        let (place, occupant) = places.take().unwrap();
        drop(occupant);
        assert!(places.take().is_none());
        drop(place);
        assert!(places.take().is_some());
    }

    #[test]
    fn one_process_gives_way_for_each_request_that_waits_and_no_more() {
        let places = Places::new(2, Arc::default());
        let (_one, first) = places.take().unwrap();
        let (_two, second) = places.take().unwrap();
        assert!(!places.are_short());
        let _waits = places.want();
        assert!(places.are_short());
        drop(first);
        assert!(!places.are_short());
        let _waits_too = places.want();
        assert!(places.are_short());
        drop(second);
        assert!(!places.are_short());
    }

    #[test]
    fn nothing_gives_way_while_a_place_is_free() {
        let places = Places::new(2, Arc::default());
        let _one = places.take().unwrap();
        let _waits = places.want();
        assert!(!places.are_short());
        let _waits_too = places.want();
        assert!(places.are_short());
    }

    #[test]
    fn a_place_that_a_request_waits_for_is_not_spare() {
        let places = Places::new(1, Arc::default());
        let waits = places.want();
        assert!(!places.have_spare());
        drop(waits);
        assert!(places.have_spare());
    }
}
