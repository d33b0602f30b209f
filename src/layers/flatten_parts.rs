//! [`FlattenParts`]: content that is an array of texts becomes one text.

use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::macros::inner_service_accessors;
use crate::ChatRequest;
use crate::chat::{Content, Part};

/// Makes one text of content that is an array of text parts only.
///
/// The parts (`text`, `input_text`, `output_text`, `refusal`) are joined by a line feed. Where there is an image, a file,
/// or a part of a kind that this crate does not know, the array is left as it is; so it is where a part has a
/// `cache_control` mark, which says that the prompt is to be cached up to there.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::layers::FlattenPartsLayer;
/// use tower_claude::{ChatRequest, ChatResponse, Error, EventStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = ServiceBuilder::new().layer(FlattenPartsLayer::new()).service_fn(|request: ChatRequest| async move {
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
#[non_exhaustive]
pub struct FlattenPartsLayer {}

impl FlattenPartsLayer {
    /// The layer; it has nothing to set.
    pub const fn new() -> Self {
        FlattenPartsLayer {}
    }
}

impl<S> Layer<S> for FlattenPartsLayer {
    type Service = FlattenParts<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FlattenParts { inner }
    }
}

/// The service that [`FlattenPartsLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct FlattenParts<S> {
    inner: S,
}

impl<S> FlattenParts<S> {
    inner_service_accessors!();
}

impl<S> Service<ChatRequest> for FlattenParts<S>
where
    S: Service<ChatRequest>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        if !request.keeps_blocks {
            // The places of reasoning are counted in parts.
            let messages = request.messages.iter_mut().filter(|message| message.reasoning.is_empty());
            messages.filter_map(|message| message.content.as_mut()).for_each(flatten);
        }
        self.inner.call(request)
    }
}

fn flatten(content: &mut Content) {
    let Content::Parts(parts) = content else { return };
    // An empty array stays: whether it is allowed is not for a layer to decide.
    if parts.is_empty() || !parts.iter().all(is_plain_text) {
        return;
    }
    let text = parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n");
    *content = Content::Text(text);
}

/// Whether the part is nothing but its text.
fn is_plain_text(part: &Part) -> bool {
    part.as_text().is_some() && !part.extra.contains_key("cache_control")
}

#[cfg(test)]
mod tests {
    use super::*;

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
            serde_json::json!([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]),
        ] {
            assert_eq!(flattened(parts.clone()), parts);
        }
    }
}
