//! The models list: `GET /v1/models` and `GET /v1/models/{id}`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;

use crate::openai::responses::codex;
use crate::{Error, ErrorKind};

/// The list, in the operator's order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Models {
    object: &'static str,
    data: Vec<Model>,
    /// The same in the form that Codex reads.
    models: Vec<Value>,
}

/// One model.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl Models {
    pub(crate) fn new(ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        // The CLI does not say when a model was made, so it is as old as this list.
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let model = |id: String| Model { id, object: "model", created, owned_by: "anthropic" };
        let data: Vec<Model> = ids.into_iter().map(|id| model(id.into())).collect();
        let models = data.iter().enumerate().map(|(place, model)| codex::model(&model.id, place)).collect();
        Models { object: "list", data, models }
    }

    /// The ids, in the operator's order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.data.iter().map(|model| model.id.as_str())
    }

    /// The model of this id.
    pub(crate) fn get(&self, id: &str) -> Result<&Model, Error> {
        self.data.iter().find(|model| model.id == id).ok_or_else(|| {
            let message = format!("The model `{id}` is not in this server's list. `GET /v1/models` shows it.");
            Error::new(ErrorKind::ModelNotFound, message).with_param("model")
        })
    }
}
