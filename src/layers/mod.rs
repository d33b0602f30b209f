//! The layers: what a client says and what the CLI wants, translated one idea at a time.
//!
//! | layer | to the request | to the answer |
//! |---|---|---|
//! | [`ModelAlias`] | model ids become the CLI's | |
//! | [`StripSections`] | named sections of the instructions go | |
//! | [`ToolNames`] | functions get the names of a table | and the client's names back |
//! | [`ContentBlocks`] | arrays of text parts become text | a blank line between text blocks |
//! | [`ShowTools`] | | uses of built-in tools become lines of reasoning |
//! | [`openclaw()`](fn@openclaw) | all five, with OpenClaw's tables | |
//!
//! Each is a [`tower::Layer`], and makes a [`tower::Service`] of [`ChatRequest`](crate::ChatRequest) to
//! [`ChatResponse`](crate::ChatResponse). Whatever else is one fits among them. Here is one that has the model think
//! little, and keeps what it thinks from the client:
//!
//! ```
//! use std::task::{Context, Poll};
//!
//! use tower::{Layer, Service};
//! use tower_claude::chat::{Events, Translate, TranslateFuture};
//! use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error};
//!
//! #[derive(Clone)]
//! struct QuietLayer;
//!
//! impl<S> Layer<S> for QuietLayer {
//!     type Service = Quiet<S>;
//!
//!     fn layer(&self, inner: S) -> Quiet<S> {
//!         Quiet { inner }
//!     }
//! }
//!
//! #[derive(Clone)]
//! struct Quiet<S> {
//!     inner: S,
//! }
//!
//! impl<S> Service<ChatRequest> for Quiet<S>
//! where
//!     S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
//! {
//!     type Response = ChatResponse;
//!     type Error = Error;
//!     type Future = TranslateFuture<S::Future, WithoutReasoning>;
//!
//!     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
//!         self.inner.poll_ready(cx).map_err(Into::into)
//!     }
//!
//!     fn call(&mut self, mut request: ChatRequest) -> Self::Future {
//!         request.reasoning_effort.get_or_insert_with(|| "low".to_owned());
//!         TranslateFuture::new(self.inner.call(request), WithoutReasoning)
//!     }
//! }
//!
//! struct WithoutReasoning;
//!
//! impl Translate for WithoutReasoning {
//!     fn event(&mut self, event: ChatEvent, out: &mut Events) {
//!         if !matches!(event, ChatEvent::ReasoningDelta(_)) {
//!             out.push(event);
//!         }
//!     }
//! }
//! # use futures_util::StreamExt;
//! # use tower::{ServiceBuilder, ServiceExt};
//! # use tower_claude::EventStream;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! # let service = ServiceBuilder::new().layer(QuietLayer).service_fn(|request: ChatRequest| async move {
//! #     assert_eq!(request.reasoning_effort.as_deref(), Some("low"));
//! #     let events = [ChatEvent::ReasoningDelta("hm".into()), ChatEvent::TextDelta("hi".into())];
//! #     Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter(events)))
//! # });
//! # let events = service.oneshot(ChatRequest::default()).await?.events.collect::<Vec<_>>().await;
//! # assert_eq!(events, [Ok(ChatEvent::TextDelta("hi".into()))]);
//! # Ok(())
//! # }
//! ```

pub(crate) mod choices;
mod flatten_parts;
mod macros;
mod model_alias;
pub mod openclaw;
mod predicate;
mod recognize;
mod separate_blocks;
mod show_tools;
mod stop;
mod strip_sections;
mod tool_names;

pub use choices::{Choices, ChoicesFuture, ChoicesLayer};
pub use flatten_parts::{FlattenParts, FlattenPartsLayer};
pub use model_alias::{ModelAlias, ModelAliasFuture, ModelAliasLayer, UnknownModel};
pub use openclaw::{OpenClaw, OpenClawFuture, OpenClawLayer, openclaw};
pub use recognize::{Recognize, RecognizeFuture, RecognizeLayer};
pub use separate_blocks::{SeparateBlocks, SeparateBlocksFuture, SeparateBlocksLayer};
pub use show_tools::{ShowTools, ShowToolsFuture, ShowToolsLayer};
pub use stop::{Stop, StopFuture, StopLayer};
pub use strip_sections::{Sections, StripSections, StripSectionsLayer};
pub use tool_names::{ToolNames, ToolNamesFuture, ToolNamesLayer};
