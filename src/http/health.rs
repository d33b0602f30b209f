//! `GET /health`: how the server is, for people.

use std::fmt;
use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::Body;
use super::body_memory::BodyMemory;
use super::response::json_response;
use crate::Error;

/// What the operator has to say of the server's health.
#[derive(Clone, Default)]
pub(crate) struct Health {
    report: Option<Arc<dyn Fn() -> Value + Send + Sync>>,
}

impl Health {
    /// From here on this is asked.
    pub(crate) fn ask(&mut self, report: impl Fn() -> Value + Send + Sync + 'static) {
        self.report = Some(Arc::new(report));
    }

    /// `"status": "ok"`, the requests' bodies, and whatever the report adds or says instead.
    pub(crate) fn response(&self, bodies: &BodyMemory) -> Result<Response<Body>, Error> {
        let mut body = json!({"status": "ok"});
        if let (Some(body), Some(Value::Object(more))) =
            (body.as_object_mut(), self.report.as_ref().map(|report| report()))
        {
            body.extend(more);
        }
        if let Some(body) = body.as_object_mut() {
            body.entry("bodies").or_insert_with(|| json!({"bytes": bodies.taken(), "max": bodies.most()}));
        }
        let well = matches!(body["status"].as_str(), Some("ok" | "degraded"));
        json_response(if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}
