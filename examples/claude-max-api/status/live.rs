//! `/status/events`: the report once a second, as server-sent events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use tokio::time::MissedTickBehavior;
use tower_claude::http::Body;

use super::report::Reporter;

/// How often the report is sent.
const EVERY: Duration = Duration::from_secs(1);

/// The stream. It ends when the server drains; otherwise the drain would wait for it.
pub(super) fn response(reporter: Arc<Reporter>, draining: Arc<AtomicBool>) -> Response<Body> {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = futures_util::stream::unfold(ticks, move |mut ticks| {
        let (reporter, draining) = (Arc::clone(&reporter), Arc::clone(&draining));
        async move {
            ticks.tick().await;
            if draining.load(Ordering::Relaxed) {
                return None;
            }
            Some((Bytes::from(format!("data: {}\n\n", reporter.json())), ticks))
        }
    });
    let mut response = Response::new(Body::stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Otherwise nginx buffers the response.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
