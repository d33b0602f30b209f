//! Places for processes: a process takes one before it starts, and frees it once it has been reaped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::room::{NEW, Room};
use crate::cli::process::Memory;

/// Limits the processes that exist at once, including those that are ending, to `max_processes` and to what fits into
/// `max_memory`.
#[derive(Clone, Debug)]
pub(super) struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    room: Room,
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
#[derive(Debug)]
struct PlacedProcess {
    is_ending: bool,
    /// `None` until the process has been spawned.
    pid: Option<u32>,
    has_had_a_turn: bool,
    /// Its last measurement since its first turn.
    last: Memory,
    /// How much it counts against the limit.
    memory: Memory,
    /// What it was last seen to hold, and when, if that was since its last turn, which changes it.
    seen: Option<(Instant, Memory)>,
}

impl PlacedProcess {
    fn holds(&mut self, now: Memory) {
        if self.has_had_a_turn {
            // For a second after a turn a process holds up to 30 MB that it is about to free (2.1.328), so the smaller of
            // the last two measurements counts.
            self.memory = Memory { own: now.own.min(self.last.own), ..now };
            self.last = now;
        } else {
            // Its first turn makes it grow, so room for that is reserved.
            self.memory = Memory { own: now.own.max(NEW.own), ..now };
        }
    }
}

impl Taken {
    fn memory(&self) -> impl Iterator<Item = Memory> {
        self.places.values().map(|process| process.memory)
    }

    /// The memory of the processes that are not ending.
    fn memory_to_stay(&self) -> impl Iterator<Item = Memory> {
        self.places.values().filter(|process| !process.is_ending).map(|process| process.memory)
    }
}

impl Places {
    pub(super) fn new(room: Room, maintainer: Arc<Notify>) -> Self {
        Places { shared: Arc::new(Shared { room, taken: Mutex::default(), freed: Notify::new(), maintainer }) }
    }

    /// A place, if one is free. `Place` is kept until the process is reaped, `Occupant` only as long as the process is
    /// wanted.
    pub(super) fn take(&self) -> Option<(Place, Occupant)> {
        let mut taken = self.shared.lock();
        if self.shared.room.beside(taken.memory()) == 0 {
            return None;
        }
        let number = taken.next;
        taken.next += 1;
        taken.places.insert(
            number,
            PlacedProcess { is_ending: false, pid: None, has_had_a_turn: false, last: NEW, memory: NEW, seen: None },
        );
        Some((Place { places: self.clone(), number }, Occupant { places: self.clone(), number }))
    }

    /// Whether a place is free that no request waits for.
    pub(super) fn has_spare(&self) -> bool {
        let taken = self.shared.lock();
        taken.wanted == 0 && self.shared.room.beside(taken.memory()) > 0
    }

    /// Counts a request as waiting for a place until the returned value is dropped.
    pub(super) fn want(&self) -> Wanted {
        self.shared.lock().wanted += 1;
        Wanted { places: self.clone() }
    }

    /// Whether more requests wait than places are free or about to be freed, so that another process has to be evicted.
    pub(super) fn is_short(&self) -> bool {
        let taken = self.shared.lock();
        taken.wanted > self.shared.room.beside(taken.memory_to_stay())
    }

    /// Whether no further process fits, and none is ending.
    pub(super) fn is_full(&self) -> bool {
        let taken = self.shared.lock();
        self.shared.room.beside(taken.memory()) == 0 && !taken.places.values().any(|process| process.is_ending)
    }

    /// Whether memory is limited.
    pub(super) fn has_memory_limit(&self) -> bool {
        self.shared.room.memory.is_some()
    }

    /// Whether the processes that are not ending exceed the memory limit.
    pub(super) fn exceeds_memory(&self) -> bool {
        self.shared.room.is_exceeded_by(self.shared.lock().memory_to_stay())
    }

    /// Notes that the process with this pid has had a turn.
    pub(super) fn had_a_turn(&self, pid: u32) {
        let mut taken = self.shared.lock();
        if let Some(process) = taken.places.values_mut().find(|process| process.pid == Some(pid)) {
            process.has_had_a_turn = true;
            process.seen = None;
        }
    }

    /// Records how much memory each process holds now, by pid.
    pub(super) fn record_memory(&self, measured: &[(u32, Memory)]) {
        let now = Instant::now();
        for process in self.shared.lock().places.values_mut() {
            if let Some((_, held)) = measured.iter().find(|(pid, _)| process.pid == Some(*pid)) {
                process.holds(*held);
                process.seen = Some((now, *held));
            }
        }
    }

    /// What all processes hold together. One that was not seen for this long is measured now, as `measure` says by its pid.
    pub(super) fn memory(&self, for_at_most: Duration, measure: impl Fn(u32) -> Option<Memory>) -> Memory {
        let now = Instant::now();
        let mut sum = Memory::default();
        let mut unseen = Vec::new();
        for process in self.shared.lock().places.values() {
            match process.seen {
                Some((at, held)) if now.saturating_duration_since(at) < for_at_most => sum = sum + held,
                _ => unseen.extend(process.pid),
            }
        }
        // Without the lock, which requests wait for.
        let measured: Vec<(u32, Memory)> = unseen.into_iter().filter_map(|pid| Some((pid, measure(pid)?))).collect();
        if !measured.is_empty() {
            for process in self.shared.lock().places.values_mut() {
                if let Some((_, held)) = measured.iter().find(|(pid, _)| process.pid == Some(*pid)) {
                    process.seen = Some((now, *held));
                }
            }
        }
        measured.into_iter().fold(sum, |sum, (_, held)| sum + held)
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
        self.process_waits();
        self.shared.maintainer.notify_one();
    }

    /// Wakes waiting requests: a process is available.
    pub(super) fn process_waits(&self) {
        self.shared.freed.notify_waiters();
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
        Places::new(Room { processes, memory: None }, Arc::default())
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
    fn there_are_no_more_places_than_memory_has_room_for() {
        let memory = Some(NEW.shared + 2 * NEW.own);
        let places = Places::new(Room { processes: 8, memory }, Arc::default());
        let (_one, first) = places.take().unwrap();
        let _two = places.take().unwrap();
        assert!(places.take().is_none() && places.is_full() && !places.exceeds_memory());
        let _waits = places.want();
        assert!(places.is_short());
        drop(first);
        assert!(!places.is_short(), "the first is on its way out");
        assert!(places.take().is_none(), "and there until then");
    }

    #[test]
    fn what_a_process_holds_only_for_a_moment_does_not_count() {
        let mut process =
            PlacedProcess { is_ending: false, pid: None, has_had_a_turn: false, last: NEW, memory: NEW, seen: None };
        let mut counts = |megabytes: u64, has_had_a_turn: bool| {
            process.has_had_a_turn = has_had_a_turn;
            process.holds(Memory { own: megabytes * 1_000_000, shared: 0 });
            process.memory.own / 1_000_000
        };
        assert_eq!([10, 90].map(|held| counts(held, false)), [110, 110], "it comes up");
        assert_eq!([140, 105, 106].map(|held| counts(held, true)), [110, 105, 105], "its first turn");
        assert_eq!([180, 185, 120].map(|held| counts(held, true)), [106, 180, 120], "a large one");
    }

    #[test]
    fn what_is_measured_of_a_process_counts_for_that_one_and_once_it_has_had_a_turn() {
        let places = Places::new(Room { processes: 8, memory: Some(u64::MAX) }, Arc::default());
        let taken = [1, 2, 3].map(|pid| {
            let taken = places.take().unwrap();
            taken.0.set_pid(pid);
            taken
        });
        let counted = || {
            let mut counted: Vec<u64> = places.shared.lock().memory().map(|memory| memory.own / 1_000_000).collect();
            counted.sort_unstable();
            counted
        };
        let measured = [(1, 20), (2, 30)].map(|(pid, own)| (pid, Memory { own: own * 1_000_000, shared: 0 }));
        places.record_memory(&measured);
        assert_eq!(counted(), [110, 110, 110]);
        places.had_a_turn(1);
        places.record_memory(&measured);
        assert_eq!(counted(), [20, 110, 110]);
        places.had_a_turn(2);
        places.record_memory(&measured);
        assert_eq!(counted(), [20, 30, 110]);
        drop(taken);
        assert!(counted().is_empty());
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

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_counts_what_it_holds_once_it_has_had_a_turn() {
        let pid = std::process::id();
        let places = Places::new(Room { processes: 8, memory: Some(NEW.shared + NEW.own) }, Arc::default());
        let (place, _occupant) = places.take().unwrap();
        place.set_pid(pid);
        let now = Memory::of(pid).unwrap();
        places.record_memory(&[(pid, now)]);
        assert!(!places.has_spare(), "it grows with its first turn");
        places.had_a_turn(pid);
        places.record_memory(&[(pid, now)]);
        let own = now.own;
        assert!(own < NEW.own / 2, "this test's own memory");
        assert_eq!(places.pids(), [pid]);
        assert_eq!(places.shared.room.beside(places.shared.lock().memory()), 0, "half of a new one does not fit");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_a_moment_ago_is_not_measured_again() {
        let places = places(2);
        let (one, _occupant) = places.take().unwrap();
        one.set_pid(1);
        let measured = std::cell::RefCell::new(Vec::new());
        let held = || {
            let measure = |pid: u32| {
                measured.borrow_mut().push(pid);
                Some(Memory { own: u64::from(pid), shared: 10 })
            };
            let held = places.memory(Duration::from_secs(3), measure);
            (held.own, held.shared, std::mem::take(&mut *measured.borrow_mut()))
        };
        assert_eq!(held(), (1, 10, vec![1]));
        let (two, _occupant) = places.take().unwrap();
        assert_eq!(held(), (1, 10, vec![]), "the second has no pid yet");
        two.set_pid(2);
        assert_eq!(held(), (3, 10, vec![2]));
        assert_eq!(held(), (3, 10, vec![]));
        drop(one);
        assert_eq!(held(), (2, 10, vec![]), "the first is gone");
        places.had_a_turn(2);
        assert_eq!(held(), (2, 10, vec![2]), "its turn has changed it");
        places.record_memory(&[(2, Memory { own: 5, shared: 10 })]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(held(), (5, 10, vec![]));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(held(), (2, 10, vec![2]));
    }
}
