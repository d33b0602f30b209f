//! Failures in the form of Anthropic's API: its types, its statuses, its JSON.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::http::Body;
use crate::http::response::error_headers;
use crate::{Error, ErrorKind};

/// The HTTP status and the `error.type` of a kind of failure on Anthropic's doors.
pub(crate) fn class(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::UnsupportedParameter | ErrorKind::ContextLengthExceeded => {
            (StatusCode::BAD_REQUEST, "invalid_request_error")
        }
        ErrorKind::InvalidApiKey | ErrorKind::Authentication => (StatusCode::UNAUTHORIZED, "authentication_error"),
        ErrorKind::Billing | ErrorKind::ExtraUsage => (StatusCode::PAYMENT_REQUIRED, "billing_error"),
        ErrorKind::Forbidden | ErrorKind::Permission => (StatusCode::FORBIDDEN, "permission_error"),
        ErrorKind::NotFound | ErrorKind::ModelNotFound => (StatusCode::NOT_FOUND, "not_found_error"),
        ErrorKind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error"),
        ErrorKind::RequestTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
        ErrorKind::RateLimited | ErrorKind::Overage | ErrorKind::QueueFull => {
            (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error")
        }
        ErrorKind::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "timeout_error"),
        ErrorKind::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error"),
        ErrorKind::Overloaded | ErrorKind::BodyMemoryFull => (overloaded(), "overloaded_error"),
        ErrorKind::FirstTokenTimeout | ErrorKind::RequestTimeout => (StatusCode::GATEWAY_TIMEOUT, "timeout_error"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "api_error"),
    }
}

/// Anthropic's own status for "overloaded".
fn overloaded() -> StatusCode {
    StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// The JSON of a failure: a body, or the data of an `error` event.
pub(crate) fn body(error: &Error, request_id: Option<&str>) -> Value {
    let (_, kind) = class(error.kind());
    let message = match error.param() {
        // Programs recognise the error by these words of Anthropic's at the beginning.
        _ if error.kind() == ErrorKind::ContextLengthExceeded => format!("prompt is too long: {error}"),
        // Anthropic's own messages begin with the path to the fault: `messages.0.content: ...`.
        Some(param) if !error.to_string().contains(param) => format!("{param}: {error}"),
        _ => error.to_string(),
    };
    let mut body = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id});
    if error.param() == Some("thread") {
        // Anthropic's tool runners for Python and Node ask for a `thread` (a beta), and go on without one where they read this.
        body["error"]["details"] = json!({"error_code": "thread_unsupported_request"});
    }
    body
}

/// A response that is nothing but this error, in Anthropic's form.
pub(crate) fn response(error: &Error, request_id: Option<&str>) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(body(error, request_id).to_string())));
    *response.status_mut() = class(error.kind()).0;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    error_headers(error, headers);
    response
}
