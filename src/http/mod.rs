//! The HTTP edge: what every door of the API shares, in front of any service of chat requests.
//!
//! [`ApiService`] is the one place where bytes become a [`ChatRequest`](crate::ChatRequest) and events become JSON or
//! server-sent events. It is an ordinary `tower::Service` of HTTP requests that never fails, so it mounts in axum and in
//! hyper; whatever is only about HTTP goes around it, as [`HttpStack`] does with tower-http.
//!
//! | route | answer |
//! |---|---|
//! | `POST /v1/chat/completions` | a chat completion, or its chunks as server-sent events |
//! | `POST /v1/responses`, and what is below it | [Responses](#the-responses-api) |
//! | `POST /v1/messages`, `POST /v1/messages/count_tokens` | Anthropic's Messages API |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the models that [`ApiService::models`] was given |
//! | `GET /live` | that the process runs |
//! | `GET /ready` | whether requests should be sent here: [`ApiService::ready`] |
//! | `GET /health` | `{"status": "ok"}` and what [`ApiService::health`] adds |
//!
//! [`ApiService::get`] adds routes of your own, behind the same keys.
//!
//! The `/v1` may be missing, since a router may have stripped it, and a path may end with a slash. `HEAD` works wherever
//! `GET` does. Everything else is 404, or 405 with an `Allow` header; every failure has the error body of its API.
//!
//! The edge knows the APIs: shapes, types, ids, and who speaks when. What happens to a setting such as `temperature` is
//! up to the inner service, by [`ApiService::abilities`].
//!
//! ```
//! use std::convert::Infallible;
//!
//! use tower::ServiceExt;
//! use tower_claude::http::ApiService;
//! use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream, FinishReason, Usage};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let parrot = tower::service_fn(|request: ChatRequest| async move {
//!     let said = request.messages.last().map(|message| message.text()).unwrap_or_default();
//!     let events = [
//!         ChatEvent::TextDelta(said),
//!         ChatEvent::finished(FinishReason::Stop, Usage::default()),
//!     ];
//!     Ok::<_, Error>(ChatResponse::new("parrot", EventStream::from_iter(events)))
//! });
//! let service = ApiService::new(parrot).models(["parrot"]);
//!
//! let request = http::Request::post("/v1/chat/completions").header("content-type", "application/json").body(
//!     http_body_util::Full::<bytes::Bytes>::from(r#"{"model":"parrot","messages":[{"role":"user","content":"hi"}]}"#),
//! )?;
//! let response: http::Response<_> = service.oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # The Responses API
//!
//! ## What is kept
//! Unless `store` is false, a response is kept in memory under the API key that it was made with, for
//! `previous_response_id`, for item references, and for the routes above. [`ApiService::keep_responses`] bounds their age
//! and total size. A response whose client hung up before its end is not kept, unless it ran in the background. With a
//! [`ResponseStore`] ([`ApiService::store_responses`]) responses outlive the process: a conversation can continue after a
//! restart.
//!
//! ## Reasoning
//! The client gets the model's reasoning as a summary if `reasoning.summary` asks for one. `encrypted_content` holds the
//! reasoning's signature, and also its text if there is no summary. When a client sends it back, the inner service gets the
//! model's own reasoning again, provided that it gave a signature, as [`ClaudeCli`](crate::cli::ClaudeCli) does. If
//! reasoning was asked for and the model did none, the answer begins with an empty reasoning item.
//!
//! ## Tools
//! The model sees a `custom` tool as a function with one text argument; the client gets that text alone. It sees the tools
//! of a `namespace` as functions named `namespace__tool`. Hosted tools are named in `x-ignored-parameters`.

// How to read it: start at `answer`, one request from its body to the head of its answer. In the order in which a request
// passes through:
//
// | what happens | where |
// |---|---|
// | what concerns HTTP alone goes around everything | `stack`, `guard`, `observe` |
// | a path finds its route | `service` with its `options`, `route`, `dispatch`; `own_route` for the operator's |
// | whose request it is | `authorize` |
// | the body is read within limits, and is JSON | `receive`, `body_memory`, `count_values`, `request` |
// | a dialect decodes it, and each of its fields is judged | `door` (implemented in `openai` and `anthropic`), `fields`, `abilities` |
// | the inner service answers, and its events are corrected | `answer`, `settle` |
// | the answer is written | `sse` for a stream, `response` for one piece, `body` for both |
// | what needs no model | `health`, `models`, `tokens` |

mod abilities;
pub(crate) mod answer;
mod authorize;
mod body;
mod body_memory;
mod count_values;
mod dispatch;
pub(crate) mod door;
pub(crate) mod fields;
mod guard;
mod health;
mod models;
pub(crate) mod observe;
mod options;
mod own_route;
mod receive;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod route;
mod service;
pub(crate) mod settle;
pub(crate) mod sse;
mod stack;
pub(crate) mod text_or_list;
pub(crate) mod tokens;
mod unread;

pub use body::Body;
pub use guard::{Guard, GuardLayer};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use observe::MetricsLayer;
pub use observe::{ObserveLayer, Observed, Outcome, RequestReport};
pub use own_route::Access;
pub use service::ApiService;
pub use stack::HttpStack;

pub use crate::openai::responses::{ResponseStore, StoreFuture, StoredResponse};
