//! The models list in OpenAI's shape, and beside it the list that Codex reads.

use std::time::{SystemTime, UNIX_EPOCH};

use once_cell::sync::Lazy;
use serde::Serialize;
use serde_json::Value;

use super::responses::codex;
use crate::chat::Model;

/// The body of `GET /v1/models`.
#[derive(Debug, Serialize)]
pub(crate) struct ModelList<'a> {
    object: &'static str,
    data: Vec<ModelInfo<'a>>,
    /// For Codex. Other clients ignore it.
    models: Vec<Value>,
}

/// The body of `GET /v1/models/{id}`.
#[derive(Debug, Serialize)]
pub(crate) struct ModelInfo<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
}

/// When a model was made is not known, so each is as old as this process.
static CREATED: Lazy<u64> = Lazy::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()));

impl<'a> ModelList<'a> {
    pub(crate) fn new(models: &'a [Model]) -> Self {
        let data = models.iter().map(ModelInfo::new).collect();
        let models = models.iter().enumerate().map(|(place, model)| codex::model(model, place)).collect();
        ModelList { object: "list", data, models }
    }
}

impl<'a> ModelInfo<'a> {
    pub(crate) fn new(model: &'a Model) -> Self {
        ModelInfo { id: &model.id, object: "model", created: *CREATED, owned_by: &model.owned_by }
    }
}
