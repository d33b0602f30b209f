//! The form in which tool-call ids are compared.

/// The longest id that clients reliably send back whole.
const MAX_LENGTH: usize = 40;

/// The id as clients may send it back: only its letters and digits, and at most 40 of them.
///
/// OpenClaw strips everything else from the ids in its history, so two ids name the same call if these forms are equal.
pub(crate) fn canonical(id: &str) -> String {
    id.chars().filter(char::is_ascii_alphanumeric).take(MAX_LENGTH).collect()
}

/// An id in both forms: what names a call to the letter does so before what only looks like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallId {
    exact: String,
    canonical: String,
}

impl<T: AsRef<str>> From<T> for CallId {
    fn from(id: T) -> Self {
        CallId { exact: id.as_ref().to_owned(), canonical: canonical(id.as_ref()) }
    }
}

impl CallId {
    /// Which of these ids name this call: those that are the same to the letter or, if none is, those of the same form.
    pub(crate) fn named_by<'a>(&self, ids: impl Iterator<Item = &'a CallId> + Clone) -> Vec<bool> {
        let is_exact = ids.clone().any(|id| id.exact == self.exact);
        ids.map(|id| if is_exact { id.exact == self.exact } else { id.canonical == self.canonical }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn an_id_is_the_same_before_and_after_a_client_has_stripped_it() {
        let id = "toolu_01-ABC.def|é_0123456789012345678901234567890123456789";
        let stripped = canonical(id);
        assert_eq!(stripped, "toolu01ABCdef012345678901234567890123456");
        assert_eq!(canonical(&stripped), stripped);
    }
}
