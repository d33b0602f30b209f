//! The one error type of this crate, and the one table of what each kind of failure looks like to a client.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tower::BoxError;

/// A request that could not be answered: its kind, and what a person needs to know.
///
/// The same value becomes an HTTP status and a JSON body before the answer's head is out, and an `error` event after.
///
/// Tower's own layers have boxed errors. A service of this crate turns them into this type, so `timeout`, `load_shed`, `buffer`
/// and `filter` may stand anywhere in a stack: see its `From<BoxError>`.
///
/// ```
/// use tower_claude::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::ModelNotFound, "There is no model `m`. Ask for one of `/v1/models`.").with_param("model");
/// assert_eq!(error.status(), 404);
/// assert_eq!(error.body()["error"]["code"], "model_not_found");
/// ```
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    param: Option<String>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What kind of failure it is, and so its HTTP status and the name that OpenAI clients know it by.
///
/// ```
/// use tower_claude::ErrorKind;
///
/// assert_eq!((ErrorKind::QueueFull.as_str(), ErrorKind::QueueFull.status().as_u16()), ("queue_full", 429));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is not valid.
    InvalidRequest,
    /// A field asks for something that the service behind this API cannot do.
    UnsupportedParameter,
    /// The conversation is longer than the model's context window.
    ContextLengthExceeded,
    /// The client's API key is missing or wrong.
    InvalidApiKey,
    /// The request is from a web page, or for a host name, that this server was not told to serve.
    Forbidden,
    /// There is no such route, or nothing is kept under that id.
    NotFound,
    /// The response that a request continues is not kept, or no longer.
    PreviousResponseNotFound,
    /// The route exists, but not with this method.
    MethodNotAllowed,
    /// There is no such model, or this account may not use it.
    ModelNotFound,
    /// The request's body is longer than this server, or the API behind the CLI, allows.
    RequestTooLarge,
    /// The request's body came too slowly, or stopped coming.
    BodyTimeout,
    /// The bodies of all requests together take all the memory that this server allows them.
    BodyMemoryFull,
    /// The request's body has a media type or an encoding that is not supported.
    UnsupportedMediaType,
    /// Claude Code is not logged in, or its login was refused.
    Authentication,
    /// The account behind Claude Code cannot pay.
    Billing,
    /// The request would draw on extra usage, which the account does not have.
    ExtraUsage,
    /// The account or its organisation is not allowed to do this.
    Permission,
    /// The account's rate or usage limit is reached.
    RateLimited,
    /// The subscription's window is used up, and the operator does not allow extra usage.
    Overage,
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

/// What a kind of failure looks like to an OpenAI client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorClass {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// OpenAI's `error.type`.
    pub(crate) kind: &'static str,
    /// OpenAI's `error.code`.
    pub(crate) code: Option<&'static str>,
}

impl ErrorKind {
    /// Every kind, in the table's order.
    pub const ALL: &'static [ErrorKind] = &[
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
        ErrorKind::BodyTimeout,
        ErrorKind::BodyMemoryFull,
        ErrorKind::UnsupportedMediaType,
        ErrorKind::Authentication,
        ErrorKind::Billing,
        ErrorKind::ExtraUsage,
        ErrorKind::Permission,
        ErrorKind::RateLimited,
        ErrorKind::Overage,
        ErrorKind::QueueFull,
        ErrorKind::Overloaded,
        ErrorKind::Upstream,
        ErrorKind::Cli,
        ErrorKind::FirstTokenTimeout,
        ErrorKind::RequestTimeout,
        ErrorKind::Internal,
    ];

    /// The HTTP status of an answer that is nothing but an error of this kind.
    pub const fn status(self) -> StatusCode {
        self.class().status
    }

    /// OpenAI's `code` for it, such as `queue_full`, or its `type` where it has no code.
    pub fn as_str(self) -> &'static str {
        let class = self.class();
        class.code.unwrap_or(class.kind)
    }

    /// The table of statuses, OpenAI `type`s and OpenAI `code`s.
    pub(crate) const fn class(self) -> ErrorClass {
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
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "invalid_request_error", Some("body_timeout")),
            Self::BodyMemoryFull => (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("body_memory_full")),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", Some("unsupported_media_type"))
            }
            Self::Authentication => (StatusCode::UNAUTHORIZED, "authentication_error", Some("claude_not_logged_in")),
            Self::Billing => (StatusCode::PAYMENT_REQUIRED, "billing_error", Some("billing_error")),
            Self::ExtraUsage => (StatusCode::PAYMENT_REQUIRED, "billing_error", Some("extra_usage_required")),
            Self::Permission => (StatusCode::FORBIDDEN, "permission_error", Some("permission_denied")),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("rate_limit_exceeded")),
            Self::Overage => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("overage")),
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
        Error { kind, message: bounded(message.into()), param: None, retry_after: None, source: None }
    }

    /// A request that is not valid.
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

    /// Keeps the error that led to this one, as its [`source`](std::error::Error::source).
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The HTTP status of an answer that is nothing but this error.
    pub fn status(&self) -> StatusCode {
        self.kind.status()
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Equal if they tell a client the same; their sources are not compared.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.message == other.message
            && self.param == other.param
            && self.retry_after == other.retry_after
    }
}

impl From<BoxError> for Error {
    /// The [`Error`] in the box, or the first one among its sources. Of tower's errors, that of `timeout` is
    /// [`ErrorKind::RequestTimeout`], and that of `load_shed` [`ErrorKind::QueueFull`]. Anything else is
    /// [`ErrorKind::Internal`], with the error as its source.
    fn from(error: BoxError) -> Self {
        let error = match error.downcast::<Error>() {
            Ok(error) => return *error,
            Err(error) => error,
        };
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&*error);
        while let Some(this) = cause {
            if let Some(known) = this.downcast_ref::<Error>() {
                return known.clone();
            }
            if this.is::<tower::timeout::error::Elapsed>() {
                let message = "The answer did not begin within the time that this server allows. Try again, or ask for \
                               less at once.";
                return Error::new(ErrorKind::RequestTimeout, message).with_source(error);
            }
            if this.is::<tower::load_shed::error::Overloaded>() {
                let message = "This server is busy with other requests. Try again in a moment.";
                return Error::new(ErrorKind::QueueFull, message)
                    .with_retry_after(Duration::from_secs(1))
                    .with_source(error);
            }
            cause = this.source();
        }
        let message = format!("The request failed inside of this server: {error}.");
        Error::new(ErrorKind::Internal, message).with_source(error)
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.body().serialize(serializer)
    }
}

/// A message short enough to read, whatever it quotes: its first 8 kB.
fn bounded(mut message: String) -> String {
    const MAX_BYTES: usize = 8 * 1024;
    if message.len() > MAX_BYTES {
        message.truncate(message.floor_char_boundary(MAX_BYTES));
        message.push_str("...");
        message.shrink_to_fit();
    }
    message
}

/// A client's own text, cut short to be quoted in a message.
pub(crate) fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    const MAX_CHARS: usize = 100;
    match text.char_indices().nth(MAX_CHARS) {
        None => text.into(),
        Some((end, _)) => format!("{}...", &text[..end]).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] BoxError);

    #[test]
    fn an_error_of_ours_comes_out_of_any_box() {
        let ours = Error::invalid_request("no").with_param("p");
        assert_eq!(Error::from(BoxError::from(ours.clone())), ours);
        assert_eq!(Error::from(BoxError::from(Outer(ours.clone().into()))), ours);
    }

    #[test]
    fn towers_errors_have_their_kinds() {
        let elapsed = tower::timeout::error::Elapsed::new();
        assert_eq!(Error::from(BoxError::from(elapsed)).kind(), ErrorKind::RequestTimeout);
        let shed = Outer(tower::load_shed::error::Overloaded::new().into());
        assert_eq!(Error::from(BoxError::from(shed)).kind(), ErrorKind::QueueFull);
    }

    #[test]
    fn any_other_error_is_kept_as_the_source() {
        let error = Error::from(BoxError::from("disk on fire"));
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert_eq!(error.to_string(), "The request failed inside of this server: disk on fire.");
        assert_eq!(StdError::source(&error).unwrap().to_string(), "disk on fire");
    }

    #[test]
    fn a_message_stays_short_whatever_is_quoted_in_it() {
        let error = Error::invalid_request(format!("The name {:?} is not known.", "\u{7f}".repeat(1_000_000)));
        assert!(error.to_string().len() < 9_000);
        assert_eq!(Error::invalid_request("é").to_string(), "é");
    }
}
