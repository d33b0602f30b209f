//! OpenAI-compatible APIs as a tower service, backed by the Claude Code CLI as a long-lived process.
//!
//! A client speaks Chat Completions, Responses or Anthropic's Messages; the `claude` that is installed and logged in on this
//! machine answers. In between is a stack of ordinary [`tower`] services, whose layers translate a typed request and its
//! stream of events:
//!
//! ```text
//!  http::Request                                                             claude (child process, NDJSON on stdio)
//!       │                                                                        ▲             │
//!    ApiService ── ChatRequest ─► ModelAlias ► StripSections ► ToolNames ► FlattenParts ► ClaudeCli
//!       │                                                                                      │
//!  JSON or SSE ◄──── ChatResponse { events } ◄── ToolNames ◄── SeparateBlocks ◄────────────────┘
//! ```
//!
//! | part | where | its idea |
//! |---|---|---|
//! | the HTTP edge | [`http`] | JSON becomes a [`ChatRequest`] once, and events become JSON: the APIs, routes, keys, bodies |
//! | the layers | [`layers`] | what clients say and what the inner service wants, one idea at a time |
//! | the inner service | [`cli`] | a request becomes a turn on a `claude` process |
//! | what flows between them | [`chat`], [`Error`] | requests, events, and the one error |
//! | all of it, assembled | [`http::HttpStack`] | with request ids, tracing, and protection from panics and web pages |
//! | tests of layers | [`testing`] | whether a conversation survives a layer |
//!
//! # Example
//!
//! The inner service may be [`cli::ClaudeCli`], or anything else that answers a [`ChatRequest`], such as this parrot:
//!
//! ```
//! use http_body_util::{BodyExt, Full};
//! use tower::{Layer, ServiceExt};
//! use tower_claude::http::{ApiService, GuardLayer, HttpStack};
//! use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream, FinishReason, Usage, layers};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let parrot = tower::service_fn(|request: ChatRequest| async move {
//!     let said = request.messages.last().map(|message| message.text()).unwrap_or_default();
//!     let done = ChatEvent::finished(FinishReason::Stop, Usage::default());
//!     let events = EventStream::from_iter([ChatEvent::TextDelta(said), done]);
//!     Ok::<_, Error>(ChatResponse::new(request.model, events))
//! });
//! // With Claude: let claude = tower_claude::cli::ClaudeCli::builder().warm_processes(2).build();
//! let service = HttpStack::new(ApiService::new(layers::OpenClawLayer::new().layer(parrot)), GuardLayer::new());
//!
//! let json = r#"{"model": "openai/claude-sonnet-4", "messages": [{"role": "user", "content": "hello"}]}"#;
//! let request = http::Request::post("/v1/chat/completions").header("content-type", "application/json");
//! let response = service.oneshot(request.body(Full::<bytes::Bytes>::from(json))?).await?;
//!
//! let body = response.into_body().collect().await?.to_bytes();
//! let answer: serde_json::Value = serde_json::from_slice(&body)?;
//! assert_eq!(answer["choices"][0]["message"]["content"], "hello");
//! assert_eq!(answer["model"], "sonnet");
//! # Ok(())
//! # }
//! ```
//!
//! That service goes into axum (`nest_service`, `route_service`, `fallback_service`) or hyper
//! (`TowerToHyperService`): see the directory `examples`, where the reference server `claude-max-api` is as well.
//!
//! # Features
//!
//! All are on unless `default-features = false` is set. Without any of them, the conversation ([`chat`], [`Error`]), the
//! [`layers`] and [`testing`] remain.
//!
//! | feature | what it adds |
//! |---|---|
//! | `cli` | [`cli`], on Unix only |
//! | `http` | [`http`] |
//! | `metrics` | `http::MetricsLayer` and `cli::Status::record_metrics`, and with it `http` |
//!
//! # A turn has one owner
//!
//! A turn's process and its place in the queue belong to its [`EventStream`], and are given back when that ends or is
//! dropped. `tower::timeout::Timeout` and `tower::limit::ConcurrencyLimit` fit into the stack, but only cover the time until
//! the answer begins. To limit whole turns, use the limits of [`cli::ClaudeCliBuilder`].

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "http")]
mod anthropic;
#[cfg(any(feature = "cli", feature = "http"))]
mod blocking;
pub mod chat;
#[cfg(all(feature = "cli", unix))]
#[cfg_attr(docsrs, doc(cfg(feature = "cli")))]
pub mod cli;
mod error;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
pub mod layers;
#[cfg(feature = "http")]
mod openai;
pub mod testing;

#[cfg(all(feature = "cli", not(unix)))]
compile_error!(
    "tower-claude's feature `cli` needs a Unix: ending a process with all that it has started needs process groups. For \
     the layers and the HTTP edge alone, set `default-features = false, features = [\"http\"]`."
);

pub use chat::request::ChatRequest;
pub use chat::response::{ChatEvent, ChatResponse, FinishReason, Usage};
pub use chat::translate::EventStream;
pub use error::{Error, ErrorKind};

/// The README's Rust blocks, compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
