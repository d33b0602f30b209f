//! The forms of tool-call ids: how they are compared, and how each API's clients are told them.

#[cfg(any(feature = "cli", feature = "http"))]
use std::collections::{HashMap, VecDeque};

/// The longest id that clients reliably send back whole.
const MAX_LENGTH: usize = 40;

/// How the ids of Claude's calls begin. They have some 30 letters and digits.
const CLAUDES: &str = "toolu";

/// The id as clients may send it back: only its letters and digits, and at most 40 of them, without what [`openais`] put
/// before them.
///
/// OpenClaw strips everything else from the ids in its history, so two ids name the same call if these forms are equal.
pub(crate) fn canonical(id: &str) -> String {
    let mut canonical: String = id.chars().filter(char::is_ascii_alphanumeric).take(MAX_LENGTH).collect();
    if canonical.strip_prefix("call").is_some_and(|own| own.starts_with(CLAUDES)) {
        canonical.drain(.."call".len());
    }
    canonical
}

/// The id as OpenAI's clients are told it. Some of them give every call whose id does not begin so another one, which no
/// process would know.
#[cfg(feature = "http")]
pub(crate) fn openais(id: String) -> String {
    if id.starts_with(CLAUDES) { format!("call_{id}") } else { id }
}

/// The id as Anthropic's clients are told it.
#[cfg(feature = "http")]
pub(crate) fn anthropics(id: String) -> String {
    match id.strip_prefix(CLAUDES) {
        Some(rest) if !rest.starts_with('_') => format!("{CLAUDES}_{rest}"),
        _ => id,
    }
}

/// An id in both forms: what names a call to the letter does so before what only looks like it.
#[cfg(feature = "cli")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallId {
    exact: String,
    canonical: String,
}

#[cfg(feature = "cli")]
impl<T: AsRef<str>> From<T> for CallId {
    fn from(id: T) -> Self {
        CallId { exact: id.as_ref().to_owned(), canonical: canonical(id.as_ref()) }
    }
}

#[cfg(feature = "cli")]
impl CallId {
    /// Which of these ids name this call: those that are the same to the letter or, if none is, those of the same form.
    pub(crate) fn named_by<'a>(&self, ids: impl Iterator<Item = &'a CallId> + Clone) -> Vec<bool> {
        let is_exact = ids.clone().any(|id| id.exact == self.exact);
        ids.map(|id| if is_exact { id.exact == self.exact } else { id.canonical == self.canonical }).collect()
    }
}

/// Calls that wait for their results, in their order.
#[cfg(any(feature = "cli", feature = "http"))]
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    answered: Vec<bool>,
    by_id: HashMap<String, VecDeque<usize>>,
    by_canonical_id: HashMap<String, VecDeque<usize>>,
    open: usize,
}

#[cfg(any(feature = "cli", feature = "http"))]
impl Waiting {
    /// Adds a call, and returns its place.
    pub(crate) fn call(&mut self, id: &str) -> usize {
        let place = self.answered.len();
        self.answered.push(false);
        self.open += 1;
        self.by_id.entry(id.to_owned()).or_default().push_back(place);
        self.by_canonical_id.entry(canonical(id)).or_default().push_back(place);
        place
    }

    /// Whether there was a call of this id, to the letter.
    #[cfg(feature = "http")]
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// The place of the call that a result is of, which then waits no more: the first one of that id or, where there never was
    /// one, of its form.
    pub(crate) fn result(&mut self, id: &str) -> Option<usize> {
        let calls = match self.by_id.get_mut(id) {
            Some(calls) => calls,
            None => self.by_canonical_id.get_mut(&canonical(id))?,
        };
        while let Some(place) = calls.pop_front() {
            if !std::mem::replace(&mut self.answered[place], true) {
                self.open -= 1;
                return Some(place);
            }
        }
        None
    }

    /// How many calls wait.
    #[cfg(feature = "http")]
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Whether the call at this place waits.
    #[cfg(feature = "http")]
    pub(crate) fn is_open(&self, place: usize) -> bool {
        self.answered.get(place) == Some(&false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_before_and_after_a_client_has_stripped_it() {
        let id = "toolu_01-ABC.def|é_0123456789012345678901234567890123456789";
        let stripped = canonical(id);
        assert_eq!(stripped, "toolu01ABCdef012345678901234567890123456");
        assert_eq!(canonical(&stripped), stripped);
    }

    #[cfg(feature = "http")]
    #[test]
    fn an_id_is_the_same_as_either_apis_clients_are_told_it_and_as_openclaw_strips_that() {
        for id in ["toolu_01A09q90qw90lq917835lq9", "toolu_bdrk_01A09q90qw90lq917835lq9AB"] {
            let own = canonical(id);
            let (openais, anthropics) = (openais(own.clone()), anthropics(own.clone()));
            assert!(openais.starts_with("call_toolu") && anthropics.starts_with("toolu_"), "{openais} {anthropics}");
            for told in [openais, anthropics] {
                assert_eq!((canonical(&told), canonical(&canonical(&told))), (own.clone(), own.clone()));
            }
        }
        for others in ["call_1", "call_abc", "functions.f:0"] {
            assert_eq!(
                (openais(others.to_owned()), anthropics(others.to_owned())),
                (others.to_owned(), others.to_owned())
            );
        }
    }
}
