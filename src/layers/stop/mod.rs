//! Stop texts: the answer ends before the first of them, wherever the deltas were cut.

mod scanner;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

pub(crate) use self::scanner::{Scanned, StopScanner};
use crate::Error;
use crate::chat::{ChatEvent, EventStream, FinishReason, Usage};

/// Ends the answer before the first of these texts, and the turn behind it: the inner stream is dropped at once.
///
/// Only the answer's text is looked at, as one text whatever its blocks; reasoning and arguments of calls are not.
/// Text that may be the beginning of a match is held back, until it is known not to be, a call begins, or the answer
/// ends. With no stop texts the events come back untouched.
///
/// The CLI reports what a turn cost at its end, which a match does not wait for: the [`FinishReason::Stop`] that it
/// sends has the last [`ChatEvent::Usage`] seen, with at least a token for each four bytes of the answer.
pub(crate) fn cut_at_stop(events: EventStream, stop: &[String]) -> EventStream {
    if stop.is_empty() {
        return events;
    }
    EventStream::new(CutAtStop {
        inner: Some(events),
        scanner: StopScanner::new(stop),
        ready: VecDeque::new(),
        usage: Usage::default(),
        bytes: 0,
        reasoning_bytes: 0,
    })
}

struct CutAtStop {
    /// Gone after a match, and with it the process that worked on the turn.
    inner: Option<EventStream>,
    scanner: StopScanner,
    ready: VecDeque<Result<ChatEvent, Error>>,
    usage: Usage,
    /// Of all that the model wrote, reasoning included.
    bytes: usize,
    reasoning_bytes: usize,
}

impl CutAtStop {
    fn take(&mut self, event: Result<ChatEvent, Error>) {
        match event {
            Ok(ChatEvent::TextDelta(text)) => {
                self.bytes += text.len();
                let scanned = self.scanner.push(text);
                let usage = self.estimate();
                self.send(scanned, usage);
            }
            Ok(ChatEvent::ReasoningDelta(text)) => {
                self.bytes += text.len();
                self.reasoning_bytes += text.len();
                self.ready.push_back(Ok(ChatEvent::ReasoningDelta(text)));
            }
            Ok(ChatEvent::ToolCallDelta { index, arguments }) => {
                self.bytes += arguments.len();
                self.ready.push_back(Ok(ChatEvent::ToolCallDelta { index, arguments }));
            }
            Ok(ChatEvent::Usage(usage)) => {
                self.usage = usage;
                self.ready.push_back(Ok(ChatEvent::Usage(usage)));
            }
            Ok(ChatEvent::Finished { usage, .. }) => self.release(usage, Some(event)),
            Ok(ChatEvent::ToolCallStart { .. }) | Err(_) => self.release(self.estimate(), Some(event)),
            Ok(ChatEvent::Started | ChatEvent::TextBlockStart | ChatEvent::BuiltinToolUse { .. }) => {
                self.ready.push_back(event);
            }
        }
    }

    /// Lets go of the text held back, then of the event that it must not come after.
    fn release(&mut self, usage: Usage, event: Option<Result<ChatEvent, Error>>) {
        let scanned = self.scanner.finish();
        let matched = scanned.matched;
        self.send(scanned, usage);
        if !matched {
            self.ready.extend(event);
        }
    }

    fn send(&mut self, scanned: Scanned, usage: Usage) {
        if !scanned.text.is_empty() {
            self.ready.push_back(Ok(ChatEvent::TextDelta(scanned.text)));
        }
        if scanned.matched {
            self.inner = None;
            self.ready.push_back(Ok(ChatEvent::Finished { reason: FinishReason::Stop, usage }));
        }
    }

    fn estimate(&self) -> Usage {
        let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
        Usage {
            completion_tokens: self.usage.completion_tokens.max(tokens(self.bytes)),
            reasoning_tokens: self.usage.reasoning_tokens.max(tokens(self.reasoning_bytes)),
            ..self.usage
        }
    }
}

impl Stream for CutAtStop {
    type Item = Result<ChatEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.ready.pop_front() {
                return Poll::Ready(Some(event));
            }
            let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
            match ready!(Pin::new(inner).poll_next(cx)) {
                Some(event) => this.take(event),
                None => {
                    this.inner = None;
                    this.release(this.estimate(), None);
                }
            }
        }
    }
}
