//! A request's tracing span: how long it waited for a process, for the first token, and took in all.

use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use crate::ChatEvent;
use crate::cli::pool::Lease;

/// Runs from the request's arrival until its answer has ended or been dropped, and then says so in the log.
#[derive(Debug)]
pub(crate) struct Watch {
    span: Span,
    began: Instant,
    /// Whether the first token has come.
    spoken: bool,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let span = tracing::info_span!(
            "turn",
            process = Empty,
            pid = Empty,
            queue_ms = Empty,
            first_token_ms = Empty,
            total_ms = Empty
        );
        Watch { span, began: Instant::now(), spoken: false }
    }

    /// The request has a process.
    pub(crate) fn leased(&self, lease: &Lease) {
        self.span.record("process", lease.origin.as_str());
        self.span.record("pid", lease.pooled.process.pid);
        self.span.record("queue_ms", self.milliseconds());
    }

    /// The answer goes on. Says whether this is its first token.
    pub(crate) fn heard(&mut self, event: &ChatEvent) -> bool {
        let first =
            !self.spoken && !matches!(event, ChatEvent::Started | ChatEvent::TextBlockStart | ChatEvent::Usage(_));
        if first {
            self.spoken = true;
            self.span.record("first_token_ms", self.milliseconds());
        }
        first
    }

    fn milliseconds(&self) -> f64 {
        // To the microsecond: more digits say nothing.
        (self.began.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.span.record("total_ms", self.milliseconds());
        tracing::info!(parent: &self.span, "the turn is over");
    }
}
