//! Ids of calls as the API wants them.

use std::collections::{HashMap, HashSet};

use crate::chat::call_id;

/// The ids of the history's calls as the API wants them: within its alphabet, each used once.
#[derive(Default)]
pub(in crate::cli::prompt) struct CallIds {
    used: HashSet<String>,
    /// For each id that came more than once, the number that its next use gets: counting from 2 would be quadratic.
    next: HashMap<String, usize>,
    /// From the client's id to the one that was written for its latest call.
    latest: HashMap<String, String>,
}

impl CallIds {
    pub(super) fn call(&mut self, id: &str) -> String {
        let canonical = call_id::canonical(id);
        let base = if canonical.is_empty() { "call".to_owned() } else { canonical.clone() };
        let mut unique = base.clone();
        while !self.used.insert(unique.clone()) {
            let next = self.next.entry(base.clone()).or_insert(2);
            unique = format!("{base}_{next}");
            *next += 1;
        }
        self.latest.insert(canonical, unique.clone());
        unique
    }

    pub(super) fn result(&self, id: &str) -> String {
        let canonical = call_id::canonical(id);
        self.latest.get(&canonical).cloned().unwrap_or(canonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_come_again_are_told_apart_whatever_the_client_called_others() {
        let mut ids = CallIds::default();
        let made: Vec<String> = ["a", "a_2", "a", "a2", "a", "", ""].iter().map(|id| ids.call(id)).collect();
        assert_eq!(made, ["a", "a2", "a_2", "a2_2", "a_3", "call", "call_2"]);
        assert_eq!((ids.result("a"), ids.result("a-2"), ids.result("b")), ("a_3".into(), "a2_2".into(), "b".into()));
    }

    #[test]
    fn a_hundred_thousand_calls_of_one_id_take_no_longer_than_as_many_others() {
        let mut ids = CallIds::default();
        // Counting up from the first number each time would take five billion steps: minutes.
        let made: HashSet<String> = (0..100_000).map(|_| ids.call("call_0")).collect();
        assert_eq!(made.len(), 100_000);
    }
}
