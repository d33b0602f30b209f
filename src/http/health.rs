//! How the server is: `GET /health` for people, `/live` for who would restart it, `/ready` for who sends it requests.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::body::Body;
use super::body_memory::BodyMemory;
use super::response::{RETRY_SOON, json_response};
use crate::Error;

/// What the operator has to say of the server's health.
#[derive(Clone, Default)]
pub(crate) struct Health {
    report: Option<Arc<dyn Fn() -> Value + Send + Sync>>,
    /// Why no requests should be sent here now, if there is a reason.
    ready: Option<Arc<dyn Fn() -> Result<(), String> + Send + Sync>>,
}

impl Health {
    /// From here on this is asked.
    pub(crate) fn ask(&mut self, report: impl Fn() -> Value + Send + Sync + 'static) {
        self.report = Some(Arc::new(report));
    }

    /// From here on this is asked whether requests should be sent here.
    pub(crate) fn ask_ready<E: fmt::Display>(&mut self, ready: impl Fn() -> Result<(), E> + Send + Sync + 'static) {
        self.ready = Some(Arc::new(move || ready().map_err(|reason| reason.to_string())));
    }

    /// That the process runs, and nothing else.
    pub(crate) fn live() -> Result<Response<Body>, Error> {
        json_response(StatusCode::OK, &json!({"status": "live"}))
    }

    /// Whether requests should be sent here; if not, 503 and the reason.
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
            body.entry("bodies").or_insert_with(|| json!({"bytes": bodies.taken(), "max": bodies.most()}));
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
