//! Ids of calls as the API and the CLI want them.

use std::collections::{HashMap, HashSet};

use crate::chat::call_id::{self, Waiting};

/// The ids of the history's calls: within the API's alphabet, each used once, and each call's own result under it.
///
/// The n-th id depends on those before it alone, so a conversation that has grown begins as it did.
#[derive(Default)]
pub(in crate::cli::prompt) struct CallIds {
    /// In the order of the calls.
    made: Vec<String>,
    used: HashSet<String>,
    /// For each id that came more than once, the number that its next use gets: counting from 2 would be quadratic.
    next: HashMap<String, usize>,
    waiting: Waiting,
    /// The place of the latest call of each id.
    latest: HashMap<String, usize>,
}

impl CallIds {
    pub(super) fn call(&mut self, id: &str) -> String {
        let canonical = call_id::canonical(id);
        let base = if canonical.is_empty() { "call".to_owned() } else { as_the_api_made_it(&canonical) };
        let mut unique = base.clone();
        while !self.used.insert(unique.clone()) {
            let next = self.next.entry(base.clone()).or_insert(2);
            // Not `_2`: the CLI takes that for the first call once more, and puts an error in place of its result (2.1.332).
            unique = format!("{base}n{next}");
            *next += 1;
        }
        self.made.push(unique.clone());
        self.latest.insert(canonical, self.waiting.call(id));
        unique
    }

    /// The id of the call that a result is of: the first one of that id that has none, else the latest.
    pub(super) fn result(&mut self, id: &str) -> String {
        let canonical = call_id::canonical(id);
        let place = self.waiting.result(id).or_else(|| self.latest.get(&canonical).copied());
        place.map_or(canonical, |place| self.made[place].clone())
    }
}

/// An id of the API's own with its underscores, which canonical ids lack: `toolu_01` and 22 more characters. The API takes back
/// thinking only with the same calls before it, and caches no others.
fn as_the_api_made_it(canonical: &str) -> String {
    for (prefix, before) in [("toolu_", "toolu"), ("toolu_bdrk_", "toolubdrk"), ("toolu_vrtx_", "tooluvrtx")] {
        match canonical.strip_prefix(before) {
            Some(rest) if rest.len() == 24 && rest.starts_with("01") => return format!("{prefix}{rest}"),
            _ => {}
        }
    }
    canonical.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_come_again_are_told_apart_whatever_the_client_called_others() {
        let mut ids = CallIds::default();
        let made: Vec<String> = ["a", "a_2", "a", "an2", "a", "", ""].iter().map(|id| ids.call(id)).collect();
        assert_eq!(made, ["a", "a2", "an2", "an2n2", "an3", "call", "calln2"]);
    }

    #[test]
    fn each_result_is_of_the_call_that_waits_for_it() {
        let mut ids = CallIds::default();
        let (first, second) = (ids.call("call_0"), ids.call("call_0"));
        assert_eq!([ids.result("call_0"), ids.result("call0"), ids.result("call_0")], [first, second.clone(), second]);
        // Alike in their letters and digits, or in the first forty of them.
        let long = "functions.mcp__github__create_pull_request_review";
        for (one, other) in
            [("call_1_11".to_owned(), "call_11_1".to_owned()), (format!("{long}:0"), format!("{long}:1"))]
        {
            let (a, b) = (ids.call(&one), ids.call(&other));
            assert_ne!(a, b);
            assert_eq!((ids.result(&other), ids.result(&one)), (b, a));
        }
        assert_eq!(ids.result("of no call"), "ofnocall");
    }

    #[test]
    fn an_id_of_the_apis_own_is_what_it_was() {
        let mut ids = CallIds::default();
        let own = "toolu_01A09q90qw90lq917835lq9x";
        assert_eq!(ids.call(&call_id::canonical(own)), own);
        assert_eq!(ids.result(own), own);
    }

    #[test]
    fn a_hundred_thousand_calls_of_one_id_take_no_longer_than_as_many_others() {
        let mut ids = CallIds::default();
        // Counting up from the first number each time would take five billion steps: minutes.
        let made: HashSet<String> = (0..100_000).map(|_| ids.call("call_0")).collect();
        assert_eq!(made.len(), 100_000);
        let answered: HashSet<String> = (0..100_000).map(|_| ids.result("call_0")).collect();
        assert_eq!(answered.len(), 100_000);
    }
}
