//! The layers: each translates one thing between what a client says and what the inner service expects.
//!
//! | layer | to the request | to the answer |
//! |---|---|---|
//! | [`ModelAlias`] | model ids become those of the inner service | |
//! | [`StripSections`] | named sections of the instructions are removed | |
//! | [`ToolNames`] | functions are renamed by a table | and get the client's names back |
//! | [`FlattenParts`] | arrays of text parts become one text | |
//! | [`SeparateBlocks`] | | a blank line between text blocks |
//! | [`ShowTools`] | | uses of built-in tools become lines of reasoning |
//! | [`OpenClaw`] | all of these, with OpenClaw's tables | |
//! | [`Choices`] | `n` is taken out | as many answers become one, told apart |
//! | [`Stop`] | `stop` is taken out | the answer ends before the first of its texts |
//! | [`Recognize`] | notes what the client sent | notes what the client is told |
//!
//! Each is a [`tower::Layer`], and makes a [`tower::Service`] of [`ChatRequest`](crate::ChatRequest) to
//! [`ChatResponse`](crate::ChatResponse). Where one of their futures has to be named, it is
//! `<ToolNames<S> as Service<ChatRequest>>::Future`. The last three are put around every inner service by
//! [`ApiService`](crate::http::ApiService); mount them yourself where you serve another edge.
//!
//! # A layer of your own
//!
//! Most need no type. `map_request` changes requests, and `map_response` answers; tower's `timeout`, `load_shed`,
//! `buffer` and `filter` fit in anywhere as well:
//!
//! ```
//! use tower::ServiceBuilder;
//! use tower_claude::chat::{Events, Message, Role};
//! use tower_claude::{ChatEvent, ChatRequest, ChatResponse};
//!
//! # use futures_util::StreamExt;
//! # use tower::ServiceExt;
//! # use tower_claude::{Error, EventStream};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let stack = ServiceBuilder::new()
//!     .map_request(|mut request: ChatRequest| {
//!         request.messages.insert(0, Message::new(Role::System, "Answer in French."));
//!         request
//!     })
//!     .map_response(|response: ChatResponse| {
//!         response.translate(|event, out: &mut Events| match event {
//!             ChatEvent::ReasoningDelta(_) => {}
//!             other => out.push(other),
//!         })
//!     });
//! # let service = stack.service_fn(|request: ChatRequest| async move {
//! #     assert_eq!(request.messages[0].text(), "Answer in French.");
//! #     let events = [ChatEvent::ReasoningDelta("hm".into()), ChatEvent::TextDelta("salut".into())];
//! #     Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter(events)))
//! # });
//! # let events = service.oneshot(ChatRequest::default()).await?.events.collect::<Vec<_>>().await;
//! # assert_eq!(events, [Ok(ChatEvent::TextDelta("salut".into()))]);
//! # Ok(())
//! # }
//! ```
//!
//! Write a type for a layer that carries state from the request to the answer. This one replaces a secret on the way in
//! and restores it on the way out, wherever the deltas were cut; [`Translate`](crate::chat::Translate) says when text that
//! was held back must be released:
//!
//! ```
//! use std::task::{Context, Poll};
//!
//! use tower::{Layer, Service};
//! use tower_claude::chat::{Events, Translate, TranslateFuture};
//! use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error};
//!
//! #[derive(Clone)]
//! struct SecretLayer(&'static str);
//!
//! impl<S> Layer<S> for SecretLayer {
//!     type Service = Secret<S>;
//!
//!     fn layer(&self, inner: S) -> Secret<S> {
//!         Secret { inner, secret: self.0 }
//!     }
//! }
//!
//! #[derive(Clone)]
//! struct Secret<S> {
//!     inner: S,
//!     secret: &'static str,
//! }
//!
//! impl<S> Service<ChatRequest> for Secret<S>
//! where
//!     S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
//! {
//!     type Response = ChatResponse;
//!     type Error = Error;
//!     type Future = TranslateFuture<S::Future, Reveal>;
//!
//!     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
//!         self.inner.poll_ready(cx).map_err(Into::into)
//!     }
//!
//!     fn call(&mut self, mut request: ChatRequest) -> Self::Future {
//!         for text in request.messages.iter_mut().flat_map(|message| message.texts_mut()) {
//!             *text = text.replace(self.secret, "<secret>");
//!         }
//!         TranslateFuture::new(self.inner.call(request), Reveal { secret: self.secret, held: String::new() })
//!     }
//! }
//!
//! struct Reveal {
//!     secret: &'static str,
//!     held: String,
//! }
//!
//! impl Translate for Reveal {
//!     fn event(&mut self, event: ChatEvent, out: &mut Events) {
//!         let ChatEvent::TextDelta(text) = event else { return out.push(event) };
//!         self.held = (std::mem::take(&mut self.held) + &text).replace("<secret>", self.secret);
//!         let ready = self.held.rfind('<').unwrap_or(self.held.len());
//!         let rest = self.held.split_off(ready);
//!         out.push(ChatEvent::TextDelta(std::mem::replace(&mut self.held, rest)));
//!     }
//!
//!     fn end(&mut self, out: &mut Events) {
//!         out.push(ChatEvent::TextDelta(std::mem::take(&mut self.held)));
//!     }
//! }
//! # use futures_util::StreamExt;
//! # use tower::{ServiceBuilder, ServiceExt};
//! # use tower_claude::EventStream;
//! # use tower_claude::chat::{Message, Role};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! # let service = ServiceBuilder::new().layer(SecretLayer("s3same")).service_fn(|request: ChatRequest| async move {
//! #     assert_eq!(request.messages[0].text(), "It is <secret>.");
//! #     let events = ["Say <sec", "ret>, ", "a <b"].map(|text| ChatEvent::TextDelta(text.into()));
//! #     Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter(events)))
//! # });
//! # let events = service.oneshot(ChatRequest::new("m", [Message::new(Role::User, "It is s3same.")])).await?.events;
//! # let said = events.map(|event| if let Ok(ChatEvent::TextDelta(text)) = event { text } else { String::new() });
//! # assert_eq!(said.collect::<String>().await, "Say s3same, a <b");
//! # tower_claude::testing::assert_conversation_survives(SecretLayer("table")).await;
//! # Ok(())
//! # }
//! ```
//!
//! # What a layer owes the conversation
//!
//! A conversation goes on in the process that holds it (`x-claude-process: live`) only if the next request is recognised
//! as its continuation. Otherwise the whole history is replayed on another process, while this one, at about 150 MB, waits
//! in vain until it times out or is evicted.
//!
//! [`Recognize`] stands outside of all other layers and does most of this for you. It notes what the client sent and what
//! it was finally told, and the conversation is recognised by that, not by what layers made of it. So a layer may
//!
//! - add to the request, or change it, differently each time: the time of day in a system message;
//! - change the answer without undoing that on the way in: a footer, a redaction, another language;
//! - withhold one of the model's calls from the client. When the client goes on, the call is answered with an error.
//!
//! If a layer has changed the leading system messages since the last turn, the process is told them again. It remembers
//! all other messages as they were when it was told them.
//!
//! What remains for a layer to do:
//!
//! - **Keep the setup the same.** A process cannot be given other functions, another `response_format` or another model. A
//!   layer that changes those must change them in the same way each turn.
//! - **Let ids of calls and results through.** A layer that changes the id of a call must change it back in the result.
//! - **Change messages in place** where you can, or carry [`Message::sent`](crate::chat::Message::sent) over: it tells which
//!   messages are new. [`Message::ephemeral`](crate::chat::Message::ephemeral) marks one that the client
//!   will not send again.
//! - **Ask the inner service once** for each answer. Two turns for one request are not recognised by what the client was
//!   told, only by what the model said.
//! - **Say so if the history is meant to change.** A layer that summarises old messages, to give the model less to read,
//!   takes the note out of the request (`request.told = None`): then the messages that reach the inner service count.
//!
//! Without [`Recognize`], as when a [`ClaudeCli`](crate::cli::ClaudeCli) is called directly, they always count: every layer
//! must then change the same message in the same way each turn, and undo on the way in what it did to the answer.
//!
//! [`assert_conversation_survives`](crate::testing::assert_conversation_survives) tries a layer out, and says which
//! comparison failed first. In a running server the log says so at the level `debug`.

pub(crate) mod choices;
mod flatten_parts;
mod macros;
mod model_alias;
mod openclaw;
mod predicate;
mod recognize;
mod separate_blocks;
mod show_tools;
mod stop;
mod strip_sections;
mod tool_names;

pub use choices::{Choices, ChoicesLayer};
pub use flatten_parts::{FlattenParts, FlattenPartsLayer};
pub use model_alias::{ModelAlias, ModelAliasLayer, UnknownModel};
pub use openclaw::{OpenClaw, OpenClawLayer};
pub use recognize::{Recognize, RecognizeLayer};
pub use separate_blocks::{SeparateBlocks, SeparateBlocksLayer};
pub use show_tools::{ShowTools, ShowToolsLayer};
pub use stop::{Stop, StopLayer};
pub use strip_sections::{Sections, StripSections, StripSectionsLayer};
pub use tool_names::{ToolNames, ToolNamesLayer};
