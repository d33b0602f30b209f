//! Places for processes: a process takes one before it starts, and frees it once it has been reaped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Limits the processes that exist at once, including those that are ending.
#[derive(Clone, Debug)]
pub(super) struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    taken: Mutex<Taken>,
    /// Wakes requests that wait for a place, or for a process that already has one.
    freed: Notify,
    /// Wakes the maintainer.
    maintainer: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Taken {
    /// By the place's number.
    places: HashMap<u64, PlacedProcess>,
    next: u64,
    /// How many requests wait for a place.
    wanted: usize,
}

/// The process in a place.
#[derive(Debug, Default)]
struct PlacedProcess {
    is_ending: bool,
    /// `None` until the process has been spawned.
    pid: Option<u32>,
}

impl Places {
    pub(super) fn new(max: usize, maintainer: Arc<Notify>) -> Self {
        Places { shared: Arc::new(Shared { max, taken: Mutex::default(), freed: Notify::new(), maintainer }) }
    }

    /// A place, if one is free. `Place` is kept until the process is reaped, `Occupant` only as long as the process is
    /// wanted.
    pub(super) fn take(&self) -> Option<(Place, Occupant)> {
        let mut taken = self.shared.lock();
        if taken.places.len() >= self.shared.max {
            return None;
        }
        let number = taken.next;
        taken.next += 1;
        taken.places.insert(number, PlacedProcess::default());
        Some((Place { places: self.clone(), number }, Occupant { places: self.clone(), number }))
    }

    /// Whether a place is free that no request waits for.
    pub(super) fn has_spare(&self) -> bool {
        let taken = self.shared.lock();
        taken.wanted == 0 && taken.places.len() < self.shared.max
    }

    /// Counts a request as waiting for a place until the returned value is dropped.
    pub(super) fn want(&self) -> Wanted {
        self.shared.lock().wanted += 1;
        Wanted { places: self.clone() }
    }

    /// Whether more requests wait than places are free or about to be freed, so that another process has to be evicted.
    pub(super) fn is_short(&self) -> bool {
        let taken = self.shared.lock();
        let to_stay = taken.places.values().filter(|process| !process.is_ending).count();
        taken.wanted > self.shared.max.saturating_sub(to_stay)
    }

    /// Whether all places are taken, and none of their processes is ending.
    pub(super) fn is_full(&self) -> bool {
        let taken = self.shared.lock();
        taken.places.len() >= self.shared.max && !taken.places.values().any(|process| process.is_ending)
    }

    /// The pids of all processes that have not been reaped.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.shared.lock().places.values().filter_map(|process| process.pid).collect()
    }

    pub(super) fn taken(&self) -> usize {
        self.shared.lock().places.len()
    }

    /// Resolves when a place becomes free, or a process that already has one becomes available.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.shared.freed.notified()
    }

    /// Wakes waiting requests and the maintainer: a process, or a place for one, is available.
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

impl Place {
    /// Notes the pid of the process that takes this place.
    pub(super) fn set_pid(&self, pid: u32) {
        if let Some(process) = self.places.shared.lock().places.get_mut(&self.number) {
            process.pid = Some(pid);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.shared.lock().places.remove(&self.number);
        self.places.process_available();
    }
}

/// Kept for as long as the process is wanted. Once this is dropped, the process counts as ending.
#[derive(Debug)]
pub(super) struct Occupant {
    places: Places,
    number: u64,
}

impl Drop for Occupant {
    fn drop(&mut self) {
        if let Some(process) = self.places.shared.lock().places.get_mut(&self.number) {
            process.is_ending = true;
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

    fn places(processes: usize) -> Places {
        Places::new(processes, Arc::default())
    }

    #[test]
    fn a_place_is_free_at_the_reap_and_not_when_its_process_is_no_longer_wanted() {
        let places = places(1);
        let (place, occupant) = places.take().unwrap();
        drop(occupant);
        assert!(places.take().is_none());
        drop(place);
        assert!(places.take().is_some());
    }

    #[test]
    fn one_process_gives_way_for_each_request_that_waits_and_no_more() {
        let places = places(2);
        let (_one, first) = places.take().unwrap();
        let (_two, second) = places.take().unwrap();
        assert!(!places.is_short());
        let _waits = places.want();
        assert!(places.is_short());
        drop(first);
        assert!(!places.is_short());
        let _waits_too = places.want();
        assert!(places.is_short());
        drop(second);
        assert!(!places.is_short());
    }

    #[test]
    fn nothing_gives_way_while_a_place_is_free() {
        let places = places(2);
        let _one = places.take().unwrap();
        let _waits = places.want();
        assert!(!places.is_short());
        let _waits_too = places.want();
        assert!(places.is_short());
    }

    #[test]
    fn a_place_that_a_request_waits_for_is_not_spare() {
        let places = places(1);
        let waits = places.want();
        assert!(!places.has_spare());
        drop(waits);
        assert!(places.has_spare());
    }

    #[test]
    fn the_places_are_full_when_no_process_fits_and_none_is_ending() {
        let places = places(2);
        let (_one, _first) = places.take().unwrap();
        assert!(!places.is_full());
        let (_two, second) = places.take().unwrap();
        assert!(places.is_full());
        drop(second);
        assert!(!places.is_full());
    }
}
