//! A request's tracing span: how long it waited for a process and for its first token, and how long it took in all.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use crate::cli::pool::Lease;

/// Runs from the request's arrival until its answer has ended or been dropped, and then logs that.
#[derive(Debug)]
pub(crate) struct TurnSpan {
    span: Span,
    began: Instant,
}

impl TurnSpan {
    pub(crate) fn start() -> Self {
        let span = tracing::info_span!(
            "turn",
            process = Empty,
            pid = Empty,
            queue_ms = Empty,
            first_token_ms = Empty,
            total_ms = Empty
        );
        TurnSpan { span, began: Instant::now() }
    }

    /// The span, for what belongs to the turn.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Records that the request has a process. Returns how long it waited for one.
    pub(crate) fn leased(&self, lease: &Lease) -> Duration {
        let queued = self.began.elapsed();
        self.span.record("process", lease.origin.as_str());
        self.span.record("pid", lease.pooled.process.pid);
        self.span.record("queue_ms", milliseconds(queued));
        queued
    }

    /// The first token has come.
    pub(crate) fn first_token(&self) {
        self.span.record("first_token_ms", milliseconds(self.began.elapsed()));
    }
}

fn milliseconds(time: Duration) -> f64 {
    // To the microsecond: more digits say nothing.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Drop for TurnSpan {
    fn drop(&mut self) {
        self.span.record("total_ms", milliseconds(self.began.elapsed()));
        tracing::debug!(parent: &self.span, "the turn is over");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_milliseconds_to_the_microsecond() {
        let told =
            [0, 1_499, 250_000, 2_000_000_600].map(|nanoseconds| milliseconds(Duration::from_nanos(nanoseconds)));
        assert_eq!(told, [0.0, 0.001, 0.25, 2000.001]);
    }
}
