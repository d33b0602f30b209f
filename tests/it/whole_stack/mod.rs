//! The whole stack: from an HTTP request to the lines that the CLI is told, and from the lines that the real CLI wrote to
//! the bytes of the answer.

mod places;
mod recorded;
mod round_trip;
mod told;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceBuilder};
use tower_claude::ChatResponse;
use tower_claude::cli::ClaudeCli;
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::layers::OpenClawLayer;

use crate::support::answer::{self, Answer};
use crate::support::turns::Inner;

/// What the reference binary serves; but the answers' ids and times are the same in each run.
fn stack(claude: &ClaudeCli) -> HttpStack<Inner> {
    let fix = |mut response: ChatResponse| {
        response.id = "chatcmpl-a0".to_owned();
        response.created = 1_700_000_000;
        response
    };
    let service = ServiceBuilder::new().map_response(fix).service(OpenClawLayer::new().layer(claude.clone()));
    let edge = ApiService::new(BoxCloneSyncService::new(service)).abilities(ClaudeCli::abilities());
    HttpStack::new(edge, GuardLayer::new())
}

/// A request as a client on this machine sends it.
fn post(body: &Value) -> Request<Full<Bytes>> {
    let mut request = answer::post(body);
    request.headers_mut().insert("host", http::HeaderValue::from_static("127.0.0.1:3456"));
    request
}

/// The request, what came of it within and the answer, but for headers that differ in each run.
fn shown(answer: &Answer, within: &str) -> String {
    let mut answer = answer.clone();
    // A recording's window has opened since, or has not.
    for name in ["x-request-id", "retry-after", "x-ratelimit-reset-requests"] {
        answer.headers.remove(name);
    }
    answer.shown(within)
}
