//! The server's health: `GET /health` for people, `/live` for a supervisor, `/ready` for a load balancer.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::body::Body;
use super::body_memory::BodyMemory;
use super::response::{RETRY_SOON, json_response};
use crate::Error;

/// What the operator adds to the server's health.
#[derive(Clone, Default)]
pub(crate) struct Health {
    report: Option<Arc<dyn Fn() -> Value + Send + Sync>>,
    /// Why no requests should be sent here now, if there is a reason.
    ready: Option<Arc<dyn Fn() -> Result<(), String> + Send + Sync>>,
}

impl Health {
    /// Sets what reports for `/health`.
    pub(crate) fn ask(&mut self, report: impl Fn() -> Value + Send + Sync + 'static) {
        self.report = Some(Arc::new(report));
    }

    /// Sets what decides `/ready`.
    pub(crate) fn ask_ready<E: fmt::Display>(&mut self, ready: impl Fn() -> Result<(), E> + Send + Sync + 'static) {
        self.ready = Some(Arc::new(move || ready().map_err(|reason| reason.to_string())));
    }

    /// `/live`: says only that the process runs.
    pub(crate) fn live() -> Result<Response<Body>, Error> {
        json_response(StatusCode::OK, &json!({"status": "live"}))
    }

    /// `/ready`: 200 if requests should be sent here, else 503 with the reason.
    pub(crate) fn ready(&self) -> Result<Response<Body>, Error> {
        match self.ready.as_ref().map_or(Ok(()), |ready| ready()) {
            Ok(()) => json_response(StatusCode::OK, &json!({"status": "ready"})),
            Err(reason) => unavailable(&json!({"status": reason})),
        }
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
            body.entry("bodies").or_insert_with(|| json!({"bytes": bodies.taken(), "max": bodies.limit()}));
        }
        let well = matches!(body["status"].as_str(), Some("ok" | "degraded"));
        if well { json_response(StatusCode::OK, &body) } else { unavailable(&body) }
    }
}

fn unavailable(body: &Value) -> Result<Response<Body>, Error> {
    let mut response = json_response(StatusCode::SERVICE_UNAVAILABLE, body)?;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SOON.as_secs()));
    Ok(response)
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}
