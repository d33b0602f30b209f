//! How many more processes fit, by number and by memory.

use crate::cli::process::Memory;

/// What a process counts before its first turn, or where the system does not say how much it holds. After its first turn a
/// process holds about 105 MB of its own, after several 110 MB (2.1.328).
pub(super) const NEW: Memory = Memory { own: 110_000_000, shared: 82_000_000 };

/// The limits on processes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) processes: usize,
    /// In bytes.
    pub(super) memory: Option<u64>,
}

impl Room {
    /// How many new processes fit beside those that hold this much. If there is none, one always fits.
    pub(super) fn beside(self, held: impl Iterator<Item = Memory>) -> usize {
        let (count, held) = total(held);
        let by_number = self.processes.saturating_sub(count);
        let Some(most) = self.memory else { return by_number };
        let shared = held.shared.max(NEW.shared);
        let by_memory = most.saturating_sub(held.own.saturating_add(shared)) / NEW.own;
        let at_least = usize::from(count == 0);
        by_number.min(usize::try_from(by_memory).unwrap_or(usize::MAX).max(at_least))
    }

    /// Whether these processes exceed the memory limit. A single process never does.
    pub(super) fn is_exceeded_by(self, held: impl Iterator<Item = Memory>) -> bool {
        let (count, held) = total(held);
        count > 1 && self.memory.is_some_and(|most| held.own.saturating_add(held.shared) > most)
    }
}

fn total(held: impl Iterator<Item = Memory>) -> (usize, Memory) {
    held.fold((0, Memory::default()), |(count, sum), held| (count + 1, sum + held))
}

#[cfg(test)]
mod tests {
    use std::iter::{empty, repeat_n};

    use super::*;

    const MB: u64 = 1_000_000;

    fn room(processes: usize, memory: u64) -> Room {
        Room { processes, memory: Some(memory) }
    }

    #[test]
    fn without_a_limit_on_memory_only_the_number_counts() {
        let room = Room { processes: 3, memory: None };
        assert_eq!(room.beside(repeat_n(Memory { own: u64::MAX, shared: u64::MAX }, 2)), 1);
        assert!(!room.is_exceeded_by(repeat_n(Memory { own: u64::MAX, shared: 0 }, 2)));
    }

    #[test]
    fn as_many_fit_as_the_scarcer_of_the_two_allows() {
        assert_eq!(room(8, 82 * MB + 330 * MB).beside(empty()), 3);
        assert_eq!(room(2, 82 * MB + 330 * MB).beside(empty()), 2);
        let grown = Memory { own: 150 * MB, shared: 90 * MB };
        assert_eq!(room(8, 90 * MB + 370 * MB).beside(repeat_n(grown, 1)), 2);
        assert_eq!(room(8, 90 * MB + 369 * MB).beside(repeat_n(grown, 1)), 1);
    }

    #[test]
    fn one_process_may_always_be_there_and_be_as_large_as_it_is() {
        assert_eq!(room(8, 1).beside(empty()), 1);
        assert_eq!(room(8, 1).beside(repeat_n(NEW, 1)), 0);
        assert!(!room(8, 1).is_exceeded_by(repeat_n(NEW, 1)));
        assert!(room(8, 1).is_exceeded_by(repeat_n(NEW, 2)));
    }
}
