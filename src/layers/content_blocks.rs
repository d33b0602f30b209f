//! [`ContentBlocks`]: arrays of text parts become plain text, and a blank line stands between the answer's text blocks.

use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::macros::{inner_service_accessors, opaque_future};
use crate::chat::{Content, Events, Part, Translate, TranslateFuture};
use crate::{ChatEvent, ChatRequest, ChatResponse, Error};

/// Makes plain text of what is all text, on the way in and on the way out.
///
/// On the way in, a message whose content is an array of nothing but text parts (`text`, `input_text`, `output_text`,
/// `refusal`) gets a string for content, the parts joined by a line feed. Where there is an image, a file, or a part of
/// a kind that this crate does not know, the array is left as it is.
///
/// On the way out, the model's text blocks would run into each other, since a Chat Completions answer has one
/// `content`. The first text of each block but the first is given a blank line before it; blocks without text count for
/// nothing, and no blank line trails. [`ChatEvent::TextBlockStart`] is passed on.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::layers::ContentBlocksLayer;
/// use tower_claude::{ChatRequest, ChatResponse, Error, EventStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = ServiceBuilder::new().layer(ContentBlocksLayer::new()).service_fn(|request: ChatRequest| async move {
///     assert_eq!(serde_json::to_value(&request.messages[0].content).unwrap(), "Hello\nthere");
///     Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter([])))
/// });
///
/// let request: ChatRequest = serde_json::from_str(
///     r#"{"model": "opus", "messages": [{"role": "user", "content": [
///         {"type": "text", "text": "Hello"}, {"type": "input_text", "text": "there"}]}]}"#,
/// )?;
/// service.oneshot(request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ContentBlocksLayer {}

impl ContentBlocksLayer {
    /// The layer; it has nothing to set.
    pub const fn new() -> Self {
        ContentBlocksLayer {}
    }
}

impl<S> Layer<S> for ContentBlocksLayer {
    type Service = ContentBlocks<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ContentBlocks { inner }
    }
}

/// The service that [`ContentBlocksLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct ContentBlocks<S> {
    inner: S,
}

impl<S> ContentBlocks<S> {
    inner_service_accessors!();
}

impl<S> Service<ChatRequest> for ContentBlocks<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = ContentBlocksFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        for message in &mut request.messages {
            if let Some(content) = &mut message.content {
                flatten(content);
            }
        }
        ContentBlocksFuture::new(TranslateFuture::new(self.inner.call(request), Blocks::default()))
    }
}

opaque_future! {
    /// The response future of [`ContentBlocks`].
    pub struct ContentBlocksFuture<F>(TranslateFuture<F, Blocks>);
}

fn flatten(content: &mut Content) {
    let Content::Parts(parts) = content else { return };
    // An empty array says nothing that an empty string would say; whether it is allowed is not for a layer to decide.
    if parts.is_empty() || !parts.iter().all(|part| part.as_text().is_some()) {
        return;
    }
    let text = parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n");
    *content = Content::Text(text);
}

/// How far the answer's text is.
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

    fn flattened(json: serde_json::Value) -> serde_json::Value {
        let mut content: Content = serde_json::from_value(json).unwrap();
        flatten(&mut content);
        serde_json::to_value(content).unwrap()
    }

    #[test]
    fn every_kind_of_text_part_counts_as_text() {
        let parts = serde_json::json!([
            {"type": "text", "text": "a"},
            {"type": "input_text", "text": ""},
            {"type": "output_text", "text": "b"},
            {"type": "refusal", "refusal": "c"}
        ]);
        assert_eq!(flattened(parts), "a\n\nb\nc");
    }

    #[test]
    fn anything_else_leaves_the_array_as_it_is() {
        for parts in [
            serde_json::json!([]),
            serde_json::json!([{"type": "text"}]),
            serde_json::json!([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,"}}]),
            serde_json::json!([{"type": "of_tomorrow", "text": "a"}]),
        ] {
            assert_eq!(flattened(parts.clone()), parts);
        }
    }

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
