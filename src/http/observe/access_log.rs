//! [`AccessLog`]: one line a request.

use std::time::Duration;

use super::layer::Observe;
use super::report::RequestReport;

/// The line, at a level that tracing wants to know at compile time.
macro_rules! line {
    ($level:ident, $report:expr) => {{
        let report: &RequestReport = $report;
        let asked_a_model = report.door.is_some();
        let usage = asked_a_model.then_some(report.usage);
        tracing::event!(
            target: "access",
            tracing::Level::$level,
            key = report.key.as_deref(),
            door = report.door,
            method = %report.method,
            path = ?report.path,
            model = report.model.as_deref(),
            process = report.process.as_deref(),
            streamed = asked_a_model.then_some(report.streamed),
            status = report.status.map(|status| status.as_u16()),
            outcome = report.outcome.as_str(),
            input_tokens = usage.map(|usage| usage.prompt_tokens),
            output_tokens = usage.map(|usage| usage.completion_tokens),
            cache_share = report.cache_share().map(|share| (share * 1e3).round() / 1e3),
            queue_ms = report.queued.map(milliseconds),
            first_token_ms = report.first_token.map(milliseconds),
            total_ms = milliseconds(report.total),
            request_id = report.request_id.as_deref(),
            "request"
        );
    }};
}

/// An observer that logs one line a request with `tracing`, under the target `access`: who asked by the name of the key,
/// through which door, the model, tokens, how much of the prompt came from the cache, how it ended, and how long it took.
/// Never content, keys or queries.
///
/// Requests for a model, and those that failed, are logged at `info`; others (`/health`, `/metrics`) at `debug`. A field
/// that says nothing of a request is left out. `RUST_LOG=access=off` silences it.
///
/// ```
/// use tower_claude::http::{AccessLog, ObserveLayer};
///
/// let layer = ObserveLayer::new(AccessLog::new());
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AccessLog {}

impl AccessLog {
    /// It has nothing to set.
    pub const fn new() -> Self {
        AccessLog {}
    }
}

impl Observe for AccessLog {
    fn finished(&self, report: &RequestReport) {
        let failed = report.status.is_none_or(|status| status.is_client_error() || status.is_server_error());
        if report.door.is_some() || failed {
            line!(INFO, report);
        } else {
            line!(DEBUG, report);
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}
