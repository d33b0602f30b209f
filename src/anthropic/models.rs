//! The models list in Anthropic's shape: `GET /v1/models` where `anthropic-version` is sent.

use serde::Serialize;

/// The list, of which there is only one page.
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
    pub(crate) fn new(id: &'a str) -> Self {
        // Anthropic's own form of "not known", which the CLI does not say.
        let created_at = "1970-01-01T00:00:00Z";
        ModelInfo { r#type: "model", id, display_name: id, created_at, lifecycle: "active" }
    }
}

impl<'a> ModelList<'a> {
    pub(crate) fn new(ids: impl Iterator<Item = &'a str>) -> Self {
        let data: Vec<_> = ids.map(ModelInfo::new).collect();
        let (first_id, last_id) = (data.first().map(|model| model.id), data.last().map(|model| model.id));
        ModelList { data, has_more: false, first_id, last_id }
    }
}
