//! What an operator sees: a status report for programs and people, a page that shows it live, and metrics.
//!
//! | file | its idea |
//! |---|---|
//! | `report` | what `/status` says |
//! | `plan` | what the server's health means for its requests |
//! | `traffic` | the requests of the last hour, minute by minute |
//! | `advice` | what to do about each kind of failure |
//! | `live` | the report as server-sent events, for the page |
//! | `page` | the page at `/`, one file |
//! | `command` | `claude-max-api status`, which fetches the report |
//! | `terminal` | the report for a terminal |
//! | `span` | a duration in words |
//! | `metrics` | `/metrics`, in Prometheus' text format |

mod advice;
pub(crate) mod command;
mod live;
mod metrics;
mod page;
mod plan;
mod report;
mod span;
mod terminal;
mod traffic;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use tower_claude::cli::ClaudeCli;
use tower_claude::http::{Access, ApiService, Body};

pub(crate) use self::command::StatusCommand;
pub(crate) use self::metrics::Metrics;
pub(crate) use self::plan::Judged;
pub(crate) use self::report::{Reporter, now};
pub(crate) use self::traffic::Traffic;

/// Adds the operator's routes to the API's.
pub(crate) fn routes<S>(
    api: ApiService<S>,
    reporter: Arc<Reporter>,
    metrics: Metrics,
    claude: ClaudeCli,
    draining: Arc<AtomicBool>,
) -> ApiService<S> {
    let live = Arc::clone(&reporter);
    api.get("/", Access::Open, page::response)
        .get("/status", Access::Key, move || respond("application/json", reporter.json().into()))
        .get("/status/events", Access::Key, move || live::response(Arc::clone(&live), Arc::clone(&draining)))
        .get("/metrics", Access::Key, move || {
            respond("text/plain; version=0.0.4; charset=utf-8", metrics.render(&claude.status()).into())
        })
}

fn respond(content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
