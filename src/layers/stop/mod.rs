//! [`Stop`]: the answer ends before the first of the request's stop texts, wherever the deltas were cut.

mod scanner;
#[cfg(test)]
mod tests;

use std::task::{Context, Poll};

use tower::{Layer, Service};

use self::scanner::{Scanned, StopScanner};
use super::macros::{inner_service_accessors, opaque_future};
use crate::chat::{ChatEvent, Events, FinishReason, Translate, TranslateFuture, Usage};
use crate::{ChatRequest, ChatResponse, Error};

/// Honours `stop`: takes it out of the request, and ends the answer before the first of its texts.
///
/// The turn ends there too: the inner stream is dropped at once. Only the answer's text is searched, as one text across its
/// blocks; reasoning and the arguments of calls are not. Text that may be the beginning of a match is held back until it
/// turns out not to be, a call begins, or the answer ends in any way. Without stop texts, events pass untouched.
///
/// A turn's usage is reported at its end, and a match does not wait for that: the answer's [`FinishReason::Stop`] has the last
/// [`ChatEvent::Usage`] seen, and counts at least one token for each four bytes of the answer.
///
/// [`ApiService`](crate::http::ApiService) puts this layer around its inner service.
///
/// ```
/// use futures_util::StreamExt;
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::layers::StopLayer;
/// use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = ServiceBuilder::new().layer(StopLayer::new()).service_fn(|request: ChatRequest| async move {
///     assert!(request.stop.is_empty());
///     let events = ["1, 2, 3, f", "our, 5"].map(|text| ChatEvent::TextDelta(text.into()));
///     Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter(events)))
/// });
///
/// let request: ChatRequest = serde_json::from_str(r#"{"model": "opus", "messages": [], "stop": ", four"}"#)?;
/// let events: Vec<_> = service.oneshot(request).await?.events.collect().await;
/// assert_eq!(events[0], Ok(ChatEvent::TextDelta("1, 2, 3".into())));
/// assert_eq!(events[1], Ok(ChatEvent::StopMatched(", four".into())));
/// assert!(matches!(events[2], Ok(ChatEvent::Finished { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct StopLayer {}

impl StopLayer {
    /// The layer; it has nothing to set.
    pub const fn new() -> Self {
        StopLayer {}
    }
}

impl<S> Layer<S> for StopLayer {
    type Service = Stop<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Stop { inner }
    }
}

/// The service that [`StopLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct Stop<S> {
    inner: S,
}

impl<S> Stop<S> {
    inner_service_accessors!();
}

impl<S> Service<ChatRequest> for Stop<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = StopFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        let mut texts = std::mem::take(&mut request.stop);
        // An empty text would end every answer at once.
        texts.retain(|text| !text.is_empty());
        let cut = (!texts.is_empty()).then(|| CutAtStop::new(texts));
        StopFuture::new(TranslateFuture::new(self.inner.call(request), cut))
    }
}

opaque_future! {
    /// The response future of [`Stop`].
    pub struct StopFuture<F>(TranslateFuture<F, CutAtStop>);
}

/// Ends the answer before the first of the stop texts.
struct CutAtStop {
    texts: Vec<String>,
    scanner: StopScanner,
    /// Whether the last text of the answer had a match.
    is_cut: bool,
    usage: Usage,
    /// Of all that the model wrote, reasoning included.
    bytes: usize,
    reasoning_bytes: usize,
}

impl CutAtStop {
    fn new(texts: Vec<String>) -> Self {
        let scanner = StopScanner::new(&texts);
        CutAtStop { texts, scanner, is_cut: false, usage: Usage::default(), bytes: 0, reasoning_bytes: 0 }
    }

    fn estimate(&self) -> Usage {
        let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
        Usage {
            completion_tokens: self.usage.completion_tokens.max(tokens(self.bytes)),
            reasoning_tokens: self.usage.reasoning_tokens.max(tokens(self.reasoning_bytes)),
            ..self.usage
        }
    }

    /// Sends text, and returns whether the answer ends with it.
    fn send(&self, scanned: Scanned, out: &mut Events) -> bool {
        if !scanned.text.is_empty() {
            out.push(ChatEvent::TextDelta(scanned.text));
        }
        let text = scanned.matched.and_then(|which| self.texts.get(which));
        out.extend(text.map(|text| ChatEvent::StopMatched(text.clone())));
        text.is_some()
    }
}

impl Translate for CutAtStop {
    fn event(&mut self, mut event: ChatEvent, out: &mut Events) {
        let is_cut = match &mut event {
            ChatEvent::TextDelta(text) => {
                self.bytes += text.len();
                let scanned = self.scanner.push(std::mem::take(text));
                if self.send(scanned, out) {
                    out.push(ChatEvent::Finished { reason: FinishReason::Stop, usage: self.estimate() });
                    out.finish();
                }
                return;
            }
            ChatEvent::ToolCallStart { .. } => {
                let scanned = self.scanner.finish();
                self.send(scanned, out)
            }
            ChatEvent::Finished { reason, .. } if self.is_cut => {
                *reason = FinishReason::Stop;
                false
            }
            ChatEvent::ReasoningDelta(text) => {
                self.bytes += text.len();
                self.reasoning_bytes += text.len();
                false
            }
            ChatEvent::ToolCallDelta { arguments, .. } => {
                self.bytes += arguments.len();
                false
            }
            ChatEvent::Usage(usage) => {
                self.usage = *usage;
                false
            }
            _ => false,
        };
        if is_cut {
            event = ChatEvent::Finished { reason: FinishReason::Stop, usage: self.estimate() };
            out.finish();
        }
        out.push(event);
    }

    fn end(&mut self, out: &mut Events) {
        let scanned = self.scanner.finish();
        self.is_cut = self.send(scanned, out);
    }
}
