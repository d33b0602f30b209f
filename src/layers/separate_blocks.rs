//! [`SeparateBlocks`]: a blank line between the text blocks of an answer.

use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::macros::{inner_service_accessors, opaque_future};
use crate::chat::{Events, Translate, TranslateFuture};
use crate::{ChatEvent, ChatRequest, ChatResponse, Error};

/// Sets the model's text blocks apart by a blank line.
///
/// A Chat Completions answer has one `content`, in which the blocks would run into each other. The first text of each
/// block but the first gets a blank line before it; blocks without text are skipped, and no blank line trails.
/// [`ChatEvent::TextBlockStart`] is passed on.
///
/// ```
/// use futures_util::StreamExt;
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::layers::SeparateBlocksLayer;
/// use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new().layer(SeparateBlocksLayer::new()).service_fn(|request: ChatRequest| async move {
///     let (a, b) = (ChatEvent::TextDelta("a".into()), ChatEvent::TextDelta("b".into()));
///     let events = [ChatEvent::TextBlockStart, a, ChatEvent::TextBlockStart, b];
///     Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter(events)))
/// });
///
/// let events: Vec<_> = service.oneshot(ChatRequest::default()).await?.events.collect().await;
/// assert_eq!(events[3], Ok(ChatEvent::TextDelta("\n\nb".into())));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SeparateBlocksLayer {}

impl SeparateBlocksLayer {
    /// The layer; it has nothing to set.
    pub const fn new() -> Self {
        SeparateBlocksLayer {}
    }
}

impl<S> Layer<S> for SeparateBlocksLayer {
    type Service = SeparateBlocks<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SeparateBlocks { inner }
    }
}

/// The service that [`SeparateBlocksLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct SeparateBlocks<S> {
    inner: S,
}

impl<S> SeparateBlocks<S> {
    inner_service_accessors!();
}

impl<S> Service<ChatRequest> for SeparateBlocks<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = SeparateBlocksFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: ChatRequest) -> Self::Future {
        let blocks = (!request.keeps_blocks).then(Blocks::default);
        SeparateBlocksFuture::new(TranslateFuture::new(self.inner.call(request), blocks))
    }
}

opaque_future! {
    /// The response future of [`SeparateBlocks`].
    pub struct SeparateBlocksFuture<F>(TranslateFuture<F, Blocks>);
}

/// The state of the answer's text.
#[derive(Debug, Default)]
struct Blocks {
    /// Some block has had text.
    text: bool,
    /// A further block has begun, and has had none.
    gap: bool,
}

impl Translate for Blocks {
    fn event(&mut self, event: ChatEvent, out: &mut Events) {
        out.push(match event {
            ChatEvent::TextBlockStart => {
                self.gap = self.text;
                ChatEvent::TextBlockStart
            }
            ChatEvent::TextDelta(mut text) if !text.is_empty() => {
                if self.gap {
                    text.insert_str(0, "\n\n");
                    self.gap = false;
                }
                self.text = true;
                ChatEvent::TextDelta(text)
            }
            other => other,
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::EventStream;

    fn answer(events: impl IntoIterator<Item = ChatEvent>) -> String {
        let events = EventStream::from_iter(events).translate(Blocks::default());
        let text = |event| if let Ok(ChatEvent::TextDelta(text)) = event { text } else { String::new() };
        events.map(text).collect().now_or_never().unwrap()
    }

    #[test]
    fn a_blank_line_stands_between_blocks_that_have_text_and_nowhere_else() {
        use ChatEvent::TextBlockStart;
        let delta = |text: &str| ChatEvent::TextDelta(text.to_owned());
        assert_eq!(
            answer([TextBlockStart, delta("a"), delta("b"), TextBlockStart, delta("c"), delta("d")]),
            "ab\n\ncd"
        );
        assert_eq!(answer([TextBlockStart, delta("")]), "");
        assert_eq!(answer([TextBlockStart, TextBlockStart, delta(""), delta("a"), TextBlockStart, delta("")]), "a");
        assert_eq!(answer([delta("a"), TextBlockStart, TextBlockStart, delta(""), delta("b")]), "a\n\nb");
    }
}
