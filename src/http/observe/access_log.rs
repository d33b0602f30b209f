//! The access log: one line a request. [`ObserveLayer::access_log`](super::ObserveLayer::access_log) has its contract.

use std::time::Duration;

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
            conversation = report.conversation.map(|of| format!("{:016x}", of.id)),
            turn = report.conversation.map(|of| of.turn),
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

pub(super) fn log(report: &RequestReport) {
    let failed = report.status.is_none_or(|status| status.is_client_error() || status.is_server_error());
    if report.door.is_some() || failed {
        line!(INFO, report);
    } else {
        line!(DEBUG, report);
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}
