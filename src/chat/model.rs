//! What lists of models tell of one.

/// A model that is offered: its id, and what is known of it.
///
/// A plain id is one, too, of which nothing else is known.
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
    /// What a request has in `model`.
    pub id: String,
    /// What people read. The id, unless it is set.
    pub display_name: Option<String>,
    /// Whose model it is. `tower-claude`, unless it is set.
    pub owned_by: String,
    /// How many tokens of conversation it can have before it, if that is known.
    pub context_window: Option<u64>,
}

impl Model {
    /// The model of this id.
    pub fn new(id: impl Into<String>) -> Self {
        Model { id: id.into(), display_name: None, owned_by: "tower-claude".to_owned(), context_window: None }
    }

    /// Says what people read in place of the id.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// Says whose model it is.
    #[must_use]
    pub fn owned_by(mut self, owner: impl Into<String>) -> Self {
        self.owned_by = owner.into();
        self
    }

    /// Says how many tokens of conversation it can have before it.
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
