//! A model, as a list of models shows it.

/// A model on offer: its id, and what else is known about it.
///
/// A plain id converts into a model about which nothing else is known.
///
/// ```
/// use tower_claude::chat::Model;
///
/// let model = Model::new("small").owned_by("us").context_window(32_000);
/// assert_eq!((model.id.as_str(), model.context_window), ("small", Some(32_000)));
/// assert_eq!(Model::from("large").owned_by, "tower-claude");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Model {
    /// What a request sends in `model`.
    pub id: String,
    /// The name that people see; the id unless set.
    pub display_name: Option<String>,
    /// Who owns the model; `tower-claude` unless set.
    pub owned_by: String,
    /// The size of its context window in tokens, if known.
    pub context_window: Option<u64>,
}

impl Model {
    /// The model of this id.
    pub fn new(id: impl Into<String>) -> Self {
        Model { id: id.into(), display_name: None, owned_by: "tower-claude".to_owned(), context_window: None }
    }

    /// Sets the name that people see in place of the id.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// Sets who owns the model.
    #[must_use]
    pub fn owned_by(mut self, owner: impl Into<String>) -> Self {
        self.owned_by = owner.into();
        self
    }

    /// Sets the size of its context window, in tokens.
    #[must_use]
    pub fn context_window(mut self, tokens: u64) -> Self {
        self.context_window = Some(tokens);
        self
    }
}

impl<T: Into<String>> From<T> for Model {
    fn from(id: T) -> Self {
        Model::new(id)
    }
}
