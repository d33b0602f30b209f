//! The models on offer, in the operator's order. Each dialect has its own form for them.

use crate::chat::Model;
use crate::{Error, ErrorKind};

/// The list behind `GET /v1/models`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Models {
    offered: Vec<Model>,
}

impl Models {
    pub(crate) fn new(models: impl IntoIterator<Item = impl Into<Model>>) -> Self {
        Models { offered: models.into_iter().map(Into::into).collect() }
    }

    pub(crate) fn as_slice(&self) -> &[Model] {
        &self.offered
    }

    /// The model of this id.
    pub(crate) fn get(&self, id: &str) -> Result<&Model, Error> {
        self.offered.iter().find(|model| model.id == id).ok_or_else(|| {
            let message = format!(
                "The model `{id}` does not exist or you do not have access to it. `GET /v1/models` lists those that do."
            );
            Error::new(ErrorKind::ModelNotFound, message).with_param("model")
        })
    }
}
