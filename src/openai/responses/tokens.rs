//! `POST /v1/responses/input_tokens`: about how many tokens a request has.

use serde_json::{Value, json};

use crate::ChatRequest;
use crate::http::tokens;

/// The answer's body. It is an estimate: Claude Code does not count tokens before a turn.
pub(crate) fn body(chat: &ChatRequest) -> Value {
    json!({"object": "response.input_tokens", "input_tokens": tokens::of(chat)})
}
