//! The API's prompt cache, as `STAND_IN_PROMPT_CACHE` has it: `5m` or `1h` is how long it says that it keeps a prompt;
//! `refuse` is `5m`, and refuses messages that are marked for it. Unset, nothing is said of it.

use serde_json::{Value, json};

use super::failure::Failure;
use super::script::Answer;
use super::told::Told;

/// Adds what was written to the cache.
pub(crate) fn tell(usage: &mut Value) {
    let Some(setting) = setting() else { return };
    let of = |is: bool| if is { 1000 } else { 0 };
    let hour = setting == "1h";
    usage["cache_creation"] = json!({"ephemeral_5m_input_tokens": of(!hour), "ephemeral_1h_input_tokens": of(hour)});
}

/// The answer to messages with marks that the API does not take.
pub(crate) fn refusal(told: &Told) -> Option<Answer> {
    let refuses = setting().is_some_and(|setting| setting == "refuse");
    let marked = || told.messages.iter().any(|message| message.to_string().contains("\"cache_control\":"));
    (refuses && marked()).then(|| {
        Answer::Failure(Failure {
            status: Some(400),
            api_type: Some("invalid_request_error"),
            error: "unknown",
            text: "API Error: 400 A maximum of 4 blocks with cache_control may be provided. Found 5.".to_owned(),
            terminal_reason: "api_error",
            ..Failure::default()
        })
    })
}

fn setting() -> Option<String> {
    std::env::var("STAND_IN_PROMPT_CACHE").ok()
}
