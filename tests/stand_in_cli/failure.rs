//! API failures, in the words of the real CLI: a synthetic `assistant` message, and what `result` says of it.

use serde_json::{Value, json};

use super::output::now;

/// One failure of the pretend API.
#[derive(Default)]
pub(crate) struct Failure {
    /// The HTTP status; none where the CLI failed without asking the API.
    pub(crate) status: Option<u16>,
    /// The API's `error.type`.
    pub(crate) api_type: Option<&'static str>,
    /// The CLI's name for the kind of failure.
    pub(crate) error: &'static str,
    pub(crate) text: String,
    pub(crate) terminal_reason: &'static str,
    /// The subscription window that is used up.
    pub(crate) limit: Option<Value>,
    /// Whether the CLI tries again first.
    pub(crate) retried: bool,
    /// The model's message that was refused.
    pub(crate) refused: Option<String>,
}

impl Failure {
    /// `CODE`, or `CODE no-retry`.
    pub(crate) fn parse(text: &str) -> Option<Failure> {
        let mut words = text.split_whitespace();
        let status: u16 = words.next()?.parse().ok()?;
        let (api_type, error) = match status {
            400 => ("invalid_request_error", "unknown"),
            401 => ("authentication_error", "authentication_failed"),
            402 => ("billing_error", "unknown"),
            403 => ("permission_error", "authentication_failed"),
            404 => ("not_found_error", "model_not_found"),
            413 => ("request_too_large", "invalid_request"),
            429 => ("rate_limit_error", "rate_limit"),
            529 => ("overloaded_error", "server_error"),
            500.. => ("api_error", "server_error"),
            _ => ("api_error", "unknown"),
        };
        let retried = !words.any(|word| word == "no-retry") && matches!(status, 401 | 408 | 409 | 429 | 500..);
        let failure = Failure { status: Some(status), api_type: Some(api_type), error, retried, ..Failure::default() };
        Some(Failure { text: failure.prose(status), terminal_reason: terminal_reason(status), ..failure })
    }

    fn prose(&self, status: u16) -> String {
        let message = format!("mock failure {status}");
        let gateway = std::env::var("ANTHROPIC_BASE_URL").unwrap_or_default();
        let gateway = gateway.split("://").nth(1).unwrap_or("api.anthropic.com");
        let later = "usually temporary \u{2014} try again in a moment. If it persists, check your inference gateway";
        match status {
            401 | 403 => format!("Failed to authenticate. API Error: {status} {message}"),
            404 => {
                "There's an issue with the selected model (MODEL). It may not exist or you may not have access to it. \
                    Run --model to pick a different model."
                    .to_owned()
            }
            413 => "Request too large (max 32MB). Accumulated images and attachments in the conversation pushed the \
                    request over the limit. Remove older images or compact the conversation."
                .to_owned(),
            429 => format!("API Error: Request rejected (429) \u{b7} {message}"),
            529 if self.retried && max_retries() > 1 => format!(
                "API Error: Repeated 529 Overloaded errors. The API is at capacity \u{2014} this is usually temporary. \
                 Try again in a moment. If it persists, check your inference gateway ({gateway})."
            ),
            500.. => format!("API Error: {status} {message}. This is a server-side issue, {later} ({gateway})."),
            _ => format!("API Error: {status} {message}"),
        }
    }

    /// The conversation is longer than the model's context window.
    pub(crate) fn overflow() -> Failure {
        Failure {
            status: Some(400),
            api_type: Some("invalid_request_error"),
            error: "invalid_request",
            text:
                "Prompt is too long \u{b7} the request is ~210000 tokens (limit 200000) but this conversation is only \
                   ~257 tokens \u{2014} the rest is system prompt, tool definitions, and attachment content. A \
                   single-exchange conversation cannot be compacted; reduce attached files/tools or start with less \
                   context."
                    .to_owned(),
            terminal_reason: "prompt_too_long",
            ..Failure::default()
        }
    }

    /// The conversation exceeds the limit that the CLI was given for it, so it does not ask the API.
    pub(crate) fn blocked() -> Failure {
        Failure {
            error: "invalid_request",
            text: "Prompt is too long".to_owned(),
            terminal_reason: "blocking_limit",
            ..Failure::default()
        }
    }

    /// What is asked is not in the plan.
    pub(crate) fn extra_usage() -> Failure {
        Failure {
            status: Some(400),
            api_type: Some("invalid_request_error"),
            error: "unknown",
            text: "API Error: 400 Third-party apps now draw from your extra usage, not your plan limits. Add more at \
                   claude.ai/settings/usage and keep going."
                .to_owned(),
            terminal_reason: "api_error",
            ..Failure::default()
        }
    }

    /// The model refused, and nobody else is to be asked.
    pub(crate) fn refusal(message: &str) -> Failure {
        let text = format!(
            "API Error: Opus 5.5's safeguards flagged this session (https://www.anthropic.com/legal/aup). You may be seeing \
             this for the first time: Opus 5.5 is more capable and has stronger safeguards as a result, which can sometimes \
             flag biology-research-adjacent work. We're improving these safeguards to reduce the amount of incorrectly flagged \
             messages. Claude Code can't respond to your last message with Opus 5.5.\n\nTry rephrasing the request in a new \
             session or change your model.\n\nLearn more: https://support.claude.com/en/articles/8106465\n\nDetails: \
             `[bio]`\n\nMessage ID: {message}"
        );
        let (error, terminal_reason) = ("invalid_request", "api_error");
        Failure { error, text, terminal_reason, refused: Some(message.to_owned()), ..Failure::default() }
    }

    /// The model has announced a call again and again, and made none.
    pub(crate) fn no_call() -> Failure {
        Failure {
            text: "The model's tool call could not be parsed (retry also failed).".to_owned(),
            terminal_reason: "malformed_tool_use_exhausted",
            ..Failure::default()
        }
    }

    /// A subscription whose five hours are used up.
    pub(crate) fn usage_limit() -> Failure {
        Failure {
            status: Some(429),
            api_type: Some("rate_limit_error"),
            error: "rate_limit",
            text: "You've hit your 5-hour limit \u{b7} resets 3:28am (UTC)".to_owned(),
            terminal_reason: "api_error",
            limit: Some(limits("rejected", 1.0)),
            ..Failure::default()
        }
    }

    /// Nobody has logged in: the CLI does not even ask the API.
    pub(crate) fn not_logged_in() -> Failure {
        Failure {
            error: "authentication_failed",
            text: "Not logged in \u{b7} Please run /login".to_owned(),
            terminal_reason: "api_error",
            ..Failure::default()
        }
    }

    /// Why the turn ended.
    pub(crate) fn stop_reason(&self) -> &'static str {
        if self.refused.is_some() { "refusal" } else { "stop_sequence" }
    }

    /// What the `assistant` line and the `result` line both say.
    pub(crate) fn fields(&self) -> Value {
        let mut fields = json!({});
        if let Some(status) = self.status {
            fields["api_error_status"] = json!(status);
        }
        if let Some(message) = &self.refused {
            fields["refused_message_id"] = json!(message);
        }
        if self.limit.is_some() {
            fields["api_error"] = json!("usage_limit_reached");
        }
        if let Some(api_type) = self.api_type {
            fields["api_error_type"] = json!(api_type);
        }
        fields
    }
}

fn terminal_reason(status: u16) -> &'static str {
    if status == 413 { "image_error" } else { "api_error" }
}

/// How often the CLI tries again by itself; ten times unless its environment says otherwise.
pub(crate) fn max_retries() -> u32 {
    std::env::var("CLAUDE_CODE_MAX_RETRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// The kind that an `api_retry` line names, which is not always the one that the end result has.
pub(crate) fn retry_kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_failed",
        429 => "rate_limit",
        529 => "overloaded",
        _ => "server_error",
    }
}

/// The same of one that goes on into extra usage.
pub(crate) fn overage() -> Value {
    let mut limits = limits("rejected", 1.0);
    limits["overageStatus"] = json!("allowed");
    limits["isUsingOverage"] = json!(true);
    if let Some(limits) = limits.as_object_mut() {
        limits.shift_remove("overageDisabledReason");
    }
    limits
}

/// The `rate_limit_info` of a subscription, whose five-hour window is used this far.
pub(crate) fn limits(status: &str, used: f64) -> Value {
    let (five_hours, seven_days) = (now() + 3_600, now() + 86_400);
    json!({
        "status": status, "resetsAt": five_hours, "rateLimitType": "five_hour", "overageStatus": "rejected",
        "overageDisabledReason": "org_level_disabled", "isUsingOverage": false,
        "unifiedWindows": {
            "five_hour": {"utilization": used, "resetsAt": five_hours, "status": status},
            "seven_day": {"utilization": 0.4, "resetsAt": seven_days, "status": "allowed"},
        },
    })
}
