//! What an observer hears about a request when it is over.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::conversation::Conversation;
use crate::{ErrorKind, FinishReason, Usage};

/// How one request went. It holds neither content nor keys.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RequestReport {
    /// The request's method.
    pub method: Method,
    /// The request's path, without its query. The client chose it: quote it in a log.
    pub path: String,
    /// The request's id, if the answer has one (`x-request-id`).
    pub request_id: Option<String>,
    /// The API that was used, if a model was asked: `chat_completions`, `responses` or `messages`.
    pub door: Option<&'static str>,
    /// The name of the key that was sent ([`ApiService::api_keys`](crate::http::ApiService::api_keys)); `None` if any
    /// key will do, if the key has no name, or if no known key was sent.
    pub key: Option<Arc<str>>,
    /// Which conversation it belongs to, once it has been read.
    pub(crate) conversation: Option<Conversation>,
    /// The model that was asked for, its first 128 bytes. The client chose it: quote it in a log.
    pub requested_model: Option<String>,
    /// The model that answered, as the API behind the inner service names it.
    pub model: Option<String>,
    /// The answer's id, as its client sees it: `chatcmpl-`, `resp_` or `msg_`, and a unique rest.
    pub response_id: Option<String>,
    /// Whether the answer was sent as server-sent events.
    pub streamed: bool,
    /// How the request got its process (`x-claude-process`): `live`, `warm` or `cold`.
    pub process: Option<String>,
    /// The HTTP status; `None` if the client was gone before there was one.
    pub status: Option<StatusCode>,
    /// How it ended. An answer with several choices ended when the last of them did.
    pub outcome: Outcome,
    /// Why each choice of the answer ended, in their order; empty if the answer was not complete.
    pub finish_reasons: Vec<FinishReason>,
    /// Its token counts, as far as they were known at the end, for all choices together.
    pub usage: Usage,
    /// How long it waited for its turn, if the inner service has a queue.
    pub queued: Option<Duration>,
    /// From its arrival to the first token of the answer: text, reasoning or a call.
    pub first_token: Option<Duration>,
    /// From its arrival until all of the answer was sent, or nobody waited for it any more.
    pub total: Duration,
}

impl RequestReport {
    /// The share of the prompt that was read from the cache, from 0 to 1; `None` if the prompt had no tokens.
    pub fn cache_share(&self) -> Option<f64> {
        let Usage { prompt_tokens, cached_tokens, .. } = self.usage;
        (prompt_tokens > 0).then(|| cached_tokens as f64 / prompt_tokens as f64)
    }
}

/// How a request ended.
///
/// ```
/// use tower_claude::http::Outcome;
/// use tower_claude::{ErrorKind, FinishReason};
///
/// assert_eq!(Outcome::Finished(FinishReason::Length).as_str(), "length");
/// assert_eq!(Outcome::Failed(ErrorKind::QueueFull).as_str(), "queue_full");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The model answered; why the answer ended.
    Finished(FinishReason),
    /// It failed, before the answer's head was sent or in the middle of it.
    Failed(ErrorKind),
    /// The client was gone before the answer was complete.
    #[default]
    Cancelled,
    /// No model was asked; see the status.
    Responded,
}

impl Outcome {
    /// A word for it: OpenAI's finish reason (`stop`, `length`, `tool_calls`, `content_filter`), or its error code
    /// (`queue_full`) or type if there is no code, or `cancelled`, or `responded`.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Finished(reason) => reason.as_str(),
            Outcome::Failed(kind) => kind.as_str(),
            Outcome::Cancelled => "cancelled",
            Outcome::Responded => "responded",
        }
    }
}
