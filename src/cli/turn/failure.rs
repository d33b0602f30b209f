//! How the CLI's failures reach the client: from the CLI's failure kind and the API's status to an [`Error`].
//!
//! | the CLI says | HTTP | `type` | `code` | advice |
//! |---|---|---|---|---|
//! | "Prompt is too long", or the API says so | 400 | `invalid_request_error` | `context_length_exceeded` | send a shorter conversation |
//! | API status 401, `authentication_failed`, `oauth_org_not_allowed` | 401 | `authentication_error` | `claude_not_logged_in` | run `claude` and log in |
//! | API status 402, `billing_error` | 402 | `billing_error` | `billing_error` | look at the account's billing |
//! | the API says "extra usage" with status 400 | 402 | `billing_error` | `extra_usage_required` | enable it, or use an API key |
//! | API status 403, `account_on_hold` | 403 | `permission_error` | `permission_denied` | ask who runs the organisation |
//! | API status 404, `model_not_found` | 404 | `invalid_request_error` | `model_not_found` | name another model |
//! | API status 413 | 413 | `invalid_request_error` | `request_too_large` | send less |
//! | API status 429, `rate_limit` | 429 | `rate_limit_error` | `rate_limit_exceeded` | wait for `Retry-After` |
//! | API status 503 or 529, `overloaded` | 503 | `server_error` | `overloaded` | try again |
//! | API status 400, `invalid_request` | 400 | `invalid_request_error` | | as the message says |
//! | anything else | 502 | `server_error` | `upstream_error` | try again |
//!
//! The API's status takes precedence over the CLI's kind: a 403 comes with the kind `authentication_failed`, and a 400 with
//! `unknown` (2.1.328).

use std::time::Duration;

use crate::{Error, ErrorKind};

/// A failure as the CLI reports it, in its synthetic `assistant` message and its `result`.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    /// The CLI's name for it.
    pub(crate) kind: Option<String>,
    /// The HTTP status that the API answered with, if it answered.
    pub(crate) api_status: Option<u16>,
    /// The CLI's prose.
    pub(crate) text: String,
}

impl Failure {
    /// The error that the client gets for a turn with this model. `retry_after` is how long the subscription's window still
    /// lasts, if it is known.
    pub(crate) fn into_error(self, model: &str, retry_after: Option<Duration>) -> Error {
        let kind = self.error_kind();
        let said = if self.text.is_empty() { "no reason was given".to_owned() } else { self.text };
        let message = match kind {
            ErrorKind::ContextLengthExceeded => {
                format!("{} Send a shorter conversation, or start a new one. ({said})", too_long(&said))
            }
            ErrorKind::Authentication => format!(
                "Claude Code is not logged in, or its login was refused: run `claude` on the machine of this server and \
                 log in with /login, or set ANTHROPIC_API_KEY for it. ({said})"
            ),
            ErrorKind::Billing => {
                format!("The account behind Claude Code cannot be charged: look at its billing. ({said})")
            }
            ErrorKind::ExtraUsage => format!(
                "The account's plan does not cover this, and draws on extra usage, of which it has none: enable extra usage \
                 for the account, or set ANTHROPIC_API_KEY for Claude Code to use an API key. ({said})"
            ),
            ErrorKind::Permission => {
                format!("The account behind Claude Code, or its organisation, may not do this. ({said})")
            }
            ErrorKind::ModelNotFound => format!(
                "The model `{model}` does not exist or you do not have access to it: see GET /v1/models for names. ({said})"
            ),
            ErrorKind::RequestTooLarge => {
                format!("The request is larger than the API takes: send fewer or smaller images and files. ({said})")
            }
            ErrorKind::RateLimited => format!("Rate limit reached for the account behind Claude Code. ({said})"),
            ErrorKind::Overloaded => format!("The API is overloaded: try again soon. ({said})"),
            ErrorKind::InvalidRequest => format!("The API refused the request. ({said})"),
            _ => format!("The API failed: try again. ({said})"),
        };
        let error = Error::new(kind, message);
        match (kind, retry_after) {
            (ErrorKind::ModelNotFound, _) => error.with_param("model"),
            (ErrorKind::RateLimited, Some(wait)) => error.with_retry_after(wait),
            (ErrorKind::Overloaded, wait) => error.with_retry_after(wait.unwrap_or(Duration::from_secs(5))),
            _ => error,
        }
    }

    fn error_kind(&self) -> ErrorKind {
        let said = self.text.to_ascii_lowercase();
        if said.contains("prompt is too long") || said.contains("exceed context limit") {
            return ErrorKind::ContextLengthExceeded;
        }
        if self.api_status == Some(400) && said.contains("extra usage") {
            return ErrorKind::ExtraUsage;
        }
        let kind = self.kind.as_deref().unwrap_or_default();
        match (self.api_status, kind) {
            (Some(400), "billing_error") | (_, "billing_error") | (Some(402), _) => ErrorKind::Billing,
            (_, "account_on_hold") | (Some(403), _) => ErrorKind::Permission,
            (Some(401), _) => ErrorKind::Authentication,
            (Some(404), _) => ErrorKind::ModelNotFound,
            (Some(413), _) => ErrorKind::RequestTooLarge,
            (Some(429), _) => ErrorKind::RateLimited,
            (Some(503 | 529), _) => ErrorKind::Overloaded,
            (Some(400..=499), _) => ErrorKind::InvalidRequest,
            (Some(_), _) => ErrorKind::Upstream,
            (None, "authentication_failed" | "oauth_org_not_allowed") => ErrorKind::Authentication,
            (None, "model_not_found") => ErrorKind::ModelNotFound,
            (None, "rate_limit") => ErrorKind::RateLimited,
            (None, "overloaded") => ErrorKind::Overloaded,
            (None, "invalid_request") => ErrorKind::InvalidRequest,
            (None, _) => ErrorKind::Upstream,
        }
    }
}

/// OpenAI's message for a conversation that is too long, by which programs recognise that error, with the API's token
/// counts.
fn too_long(said: &str) -> String {
    let mut numbers = said.split(|c: char| !c.is_ascii_digit()).filter(|digits| digits.len() > 3);
    match (numbers.next(), numbers.next()) {
        (Some(sent), Some(most)) if said.contains('>') => {
            format!(
                "This model's maximum context length is {most} tokens. However, your messages resulted in {sent} tokens."
            )
        }
        _ => "This model's maximum context length is exceeded by your messages.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_the_documentation_has_it() {
        let cases = [
            (Some(400), "unknown", "API Error: 400 prompt is too long: 210000 tokens", 400),
            (None, "invalid_request", "Prompt is too long", 400),
            (Some(400), "unknown", "messages: bad", 400),
            (Some(400), "billing_error", "Credit balance is too low", 402),
            (
                Some(400),
                "unknown",
                "API Error: 400 Third-party apps now draw from your extra usage, not your plan limits.",
                402,
            ),
            (Some(401), "authentication_failed", "", 401),
            (None, "authentication_failed", "Not logged in", 401),
            (Some(402), "unknown", "", 402),
            (Some(403), "authentication_failed", "", 403),
            (Some(404), "model_not_found", "", 404),
            (Some(413), "invalid_request", "", 413),
            (Some(429), "rate_limit", "", 429),
            (None, "rate_limit", "", 429),
            (Some(500), "server_error", "", 502),
            (Some(529), "server_error", "", 503),
            (None, "overloaded", "", 503),
            (None, "of_tomorrow", "", 502),
            (None, "account_on_hold", "", 403),
        ];
        for (api_status, kind, text, status) in cases {
            let failure = Failure { kind: Some(kind.to_owned()), api_status, text: text.to_owned() };
            assert_eq!(failure.into_error("opus", None).status(), status, "{api_status:?} {kind} {text}");
        }
    }

    #[test]
    fn each_failure_says_what_to_do_and_what_the_api_said() {
        let cases = [
            (401, "run `claude` on the machine of this server"),
            (402, "look at its billing"),
            (403, "or its organisation, may not do this"),
            (404, "see GET /v1/models for names"),
            (413, "send fewer or smaller images and files"),
            (422, "The API refused the request."),
            (429, "Rate limit reached for the account"),
            (500, "The API failed: try again."),
            (529, "The API is overloaded: try again soon."),
        ];
        for (status, advice) in cases {
            let failure = Failure { kind: None, api_status: Some(status), text: "as it is".to_owned() };
            let message = failure.into_error("opus", None).to_string();
            assert!(message.contains(advice) && message.ends_with("(as it is)"), "{status}: {message}");
        }
    }

    #[test]
    fn a_model_that_is_not_there_is_the_fault_of_that_parameter() {
        let param = |status: u16| {
            let failure = Failure { kind: None, api_status: Some(status), text: String::new() };
            failure.into_error("opus", None).param().map(str::to_owned)
        };
        assert_eq!((param(404).as_deref(), param(413)), (Some("model"), None));
    }

    #[test]
    fn extra_usage_is_to_be_enabled() {
        let text = "Third-party apps now draw from your extra usage, not your plan limits.".to_owned();
        let error = Failure { kind: None, api_status: Some(400), text }.into_error("opus", None);
        assert_eq!(error.kind(), ErrorKind::ExtraUsage);
        assert!(error.to_string().contains("enable extra usage for the account"), "{error}");
    }

    #[test]
    fn who_is_told_to_wait_is_told_how_long() {
        let wait = |status: u16, known: Option<u64>| {
            let failure = Failure { kind: None, api_status: Some(status), text: String::new() };
            failure.into_error("opus", known.map(Duration::from_secs)).retry_after().map(|wait| wait.as_secs())
        };
        assert_eq!((wait(429, Some(90)), wait(429, None)), (Some(90), None));
        assert_eq!((wait(529, Some(90)), wait(529, None)), (Some(90), Some(5)));
        assert_eq!(wait(500, Some(90)), None);
    }

    #[test]
    fn failures_that_openai_has_words_for_begin_with_them() {
        let message = |status: u16, text: &str| {
            let failure = Failure { kind: None, api_status: Some(status), text: text.to_owned() };
            failure.into_error("opus", None).to_string()
        };
        let counted = message(400, "API Error: 400 prompt is too long: 210000 tokens > 200000 maximum");
        let words =
            "This model's maximum context length is 200000 tokens. However, your messages resulted in 210000 tokens.";
        assert!(counted.starts_with(words), "{counted}");
        let words = "This model's maximum context length is exceeded by your messages. ";
        assert!(message(400, "Prompt is too long").starts_with(words));
        assert!(message(404, "").starts_with("The model `opus` does not exist or you do not have access to it"));
        assert!(message(429, "").starts_with("Rate limit reached for "));
    }
}
