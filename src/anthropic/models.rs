//! The models list in Anthropic's shape: `GET /v1/models` with `anthropic-version`.

use serde::Serialize;

use crate::chat::Model;

/// The list, always one page.
#[derive(Debug, Serialize)]
pub(crate) struct ModelList<'a> {
    data: Vec<ModelInfo<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

/// One model.
#[derive(Debug, Serialize)]
pub(crate) struct ModelInfo<'a> {
    r#type: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: &'static str,
    lifecycle: &'static str,
}

impl<'a> ModelInfo<'a> {
    pub(crate) fn new(model: &'a Model) -> Self {
        let Model { id, display_name, .. } = model;
        let display_name = display_name.as_ref().unwrap_or(id);
        // Anthropic's own value for "not known".
        let created_at = "1970-01-01T00:00:00Z";
        ModelInfo { r#type: "model", id, display_name, created_at, lifecycle: "active" }
    }
}

impl<'a> ModelList<'a> {
    pub(crate) fn new(models: &'a [Model]) -> Self {
        let data: Vec<_> = models.iter().map(ModelInfo::new).collect();
        let (first_id, last_id) = (data.first().map(|model| model.id), data.last().map(|model| model.id));
        ModelList { data, has_more: false, first_id, last_id }
    }
}
