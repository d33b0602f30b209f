//! The one error of this crate, and the one table of what each kind of failure is to a client.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

/// A request that could not be answered: its kind, and what a person needs to know.
///
/// The same value becomes an HTTP status and a JSON body before the answer's head is out, and an `error` event after.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    param: Option<String>,
    retry_after: Option<Duration>,
}

/// What kind of failure it is. [`ErrorKind::class`] is the table of their HTTP statuses and OpenAI names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is not one that can be answered as it is.
    InvalidRequest,
    /// A field asks for something that the CLI has no way to do.
    UnsupportedParameter,
    /// The conversation is longer than the model's context window.
    ContextLengthExceeded,
    /// The client's API key is missing or wrong.
    InvalidApiKey,
    /// A browser page or host name that this server was not told to serve.
    Forbidden,
    /// No such route, or nothing kept under that id.
    NotFound,
    /// The response that a request goes on from is not kept, or not any more.
    PreviousResponseNotFound,
    /// The route exists, with another method.
    MethodNotAllowed,
    /// No such model, or none that this account may use.
    ModelNotFound,
    /// The request's body is over the limit of this server, or of the API behind the CLI.
    RequestTooLarge,
    /// Claude Code is not logged in, or its login was refused.
    Authentication,
    /// The account behind Claude Code cannot pay.
    Billing,
    /// The account or its organisation may not do this.
    Permission,
    /// The account's rate or usage limit is reached.
    RateLimited,
    /// Every process is busy, and the queue is full or the wait in it was too long.
    QueueFull,
    /// The API is overloaded.
    Overloaded,
    /// The API failed.
    Upstream,
    /// The CLI is missing, too old, crashed, or broke its protocol.
    Cli,
    /// No sign of an answer within the time allowed.
    FirstTokenTimeout,
    /// No complete answer within the time allowed.
    RequestTimeout,
    /// A fault of this program.
    Internal,
}

/// How a kind of failure looks to an OpenAI client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorClass {
    /// The HTTP status.
    pub status: StatusCode,
    /// OpenAI's `error.type`.
    pub kind: &'static str,
    /// OpenAI's `error.code`.
    pub code: Option<&'static str>,
}

impl ErrorKind {
    /// Every kind, in the table's order.
    pub const ALL: [ErrorKind; 21] = [
        ErrorKind::InvalidRequest,
        ErrorKind::UnsupportedParameter,
        ErrorKind::ContextLengthExceeded,
        ErrorKind::InvalidApiKey,
        ErrorKind::Forbidden,
        ErrorKind::NotFound,
        ErrorKind::PreviousResponseNotFound,
        ErrorKind::MethodNotAllowed,
        ErrorKind::ModelNotFound,
        ErrorKind::RequestTooLarge,
        ErrorKind::Authentication,
        ErrorKind::Billing,
        ErrorKind::Permission,
        ErrorKind::RateLimited,
        ErrorKind::QueueFull,
        ErrorKind::Overloaded,
        ErrorKind::Upstream,
        ErrorKind::Cli,
        ErrorKind::FirstTokenTimeout,
        ErrorKind::RequestTimeout,
        ErrorKind::Internal,
    ];

    /// The kind's HTTP status, OpenAI `type` and OpenAI `code`.
    pub const fn class(self) -> ErrorClass {
        let (status, kind, code) = match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request_error", None),
            Self::UnsupportedParameter => {
                (StatusCode::BAD_REQUEST, "invalid_request_error", Some("unsupported_parameter"))
            }
            Self::ContextLengthExceeded => {
                (StatusCode::BAD_REQUEST, "invalid_request_error", Some("context_length_exceeded"))
            }
            Self::InvalidApiKey => (StatusCode::UNAUTHORIZED, "invalid_request_error", Some("invalid_api_key")),
            Self::Forbidden => (StatusCode::FORBIDDEN, "invalid_request_error", Some("forbidden")),
            Self::NotFound => (StatusCode::NOT_FOUND, "invalid_request_error", Some("not_found")),
            Self::PreviousResponseNotFound => {
                (StatusCode::NOT_FOUND, "invalid_request_error", Some("previous_response_not_found"))
            }
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", Some("method_not_allowed"))
            }
            Self::ModelNotFound => (StatusCode::NOT_FOUND, "invalid_request_error", Some("model_not_found")),
            Self::RequestTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", Some("request_too_large"))
            }
            Self::Authentication => (StatusCode::UNAUTHORIZED, "authentication_error", Some("claude_not_logged_in")),
            Self::Billing => (StatusCode::PAYMENT_REQUIRED, "billing_error", Some("billing_error")),
            Self::Permission => (StatusCode::FORBIDDEN, "permission_error", Some("permission_denied")),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("rate_limit_exceeded")),
            Self::QueueFull => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("queue_full")),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("overloaded")),
            Self::Upstream => (StatusCode::BAD_GATEWAY, "server_error", Some("upstream_error")),
            Self::Cli => (StatusCode::BAD_GATEWAY, "server_error", Some("claude_cli_error")),
            Self::FirstTokenTimeout => (StatusCode::GATEWAY_TIMEOUT, "server_error", Some("first_token_timeout")),
            Self::RequestTimeout => (StatusCode::GATEWAY_TIMEOUT, "server_error", Some("request_timeout")),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", Some("internal_error")),
        };
        ErrorClass { status, kind, code }
    }
}

impl Error {
    /// A failure of this kind. The message says what happened, what was expected and what to do next.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), param: None, retry_after: None }
    }

    /// A request that is not one that can be answered as it is.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::InvalidRequest, message)
    }

    /// Names the request's parameter that is at fault, such as `messages[2].content`.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when it is worth trying again; becomes the `Retry-After` header, in whole seconds.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The HTTP status of an answer that is nothing but this error.
    pub fn status(&self) -> StatusCode {
        self.kind.class().status
    }

    /// The parameter at fault, if one is.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// When it is worth trying again, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The body in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`.
    pub fn body(&self) -> Value {
        let class = self.kind.class();
        json!({"error": {"message": self.message, "type": class.kind, "param": self.param, "code": class.code}})
    }
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.body().serialize(serializer)
    }
}

/// A client's own words for a message, cut where they are long: an error is to be read.
pub(crate) fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    const MAX_CHARS: usize = 100;
    match text.char_indices().nth(MAX_CHARS) {
        None => text.into(),
        Some((end, _)) => format!("{}...", &text[..end]).into(),
    }
}
