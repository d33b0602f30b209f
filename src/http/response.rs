//! Responses that are sent in one piece: a value as JSON, an error, or the head alone.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::body::Body;
use crate::{Error, ErrorKind};

/// A response with this value as JSON.
pub(crate) fn json_response<T: Serialize>(status: StatusCode, value: &T) -> Result<Response<Body>, Error> {
    let mut response = Response::new(Body::json(value)?);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A response with this error, in OpenAI's form.
pub(crate) fn error_response<B: From<Bytes>>(error: &Error) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::from(error.body().to_string())));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    error_headers(error, headers);
    response
}

/// The status and headers of an error's response, whatever the form of its body.
pub(crate) fn error_headers(error: &Error, headers: &mut HeaderMap) {
    // Without a time, a client guesses one: Continue waits two and a half minutes.
    if let Some(wait) = error.retry_after().or_else(|| usual_wait(error.kind())) {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if error.kind() == ErrorKind::InvalidApiKey {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
}

/// The default wait for errors without a known one. Only for failures that may pass, not for faults of the request.
fn usual_wait(kind: ErrorKind) -> Option<Duration> {
    match kind.status() {
        StatusCode::TOO_MANY_REQUESTS if kind == ErrorKind::RateLimited => Some(Duration::from_secs(30)),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_SOON),
        _ => None,
    }
}

/// After this time, a server that was busy probably is not any more.
pub(crate) const RETRY_SOON: Duration = Duration::from_secs(5);

/// Adds the headers of a stream of events.
pub(crate) fn event_headers(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Otherwise nginx buffers the response.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
}

/// Turns a response into one to a `HEAD` request.
pub(crate) fn without_body(response: Response<Body>) -> Response<Body> {
    let length = http_body::Body::size_hint(response.body()).exact();
    let mut response = response.map(|_| Body::empty());
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// The names as one header. Clients choose the names, so characters that a header cannot hold are replaced, and a list that
/// is too long for a client to accept is cut.
pub(crate) fn header_list(names: &[String]) -> Option<HeaderValue> {
    const MAX_LENGTH: usize = 4096;
    let mut list = String::new();
    for name in names {
        if list.len() + name.len() > MAX_LENGTH {
            list.push_str(", ...");
            break;
        }
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.extend(name.chars().map(|char| if char.is_ascii_graphic() && char != ',' { char } else { '?' }));
    }
    if list.is_empty() { None } else { HeaderValue::from_str(&list).ok() }
}
