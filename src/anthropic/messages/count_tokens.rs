//! `POST /v1/messages/count_tokens`: an estimate, made without the inner service.
//!
//! The CLI could ask the API for a count, with `get_context_usage` after it was sent the history (2.1.328). But a process takes
//! its system prompt and tools only once, so each count would use up a process, at over half a second of CPU, and clients count
//! often: Claude Code before nearly every turn.

use serde::Serialize;

use super::request::MessagesRequest;
use super::{decode, fields};
use crate::Error;
use crate::chat::Abilities;
use crate::http::request::decode as read_json;
use crate::http::tokens;

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct TokenCount {
    input_tokens: u64,
}

/// The estimate for the request that a body holds.
pub(crate) fn count(body: &[u8]) -> Result<TokenCount, Error> {
    // Which tools the inner service has is not known here, and makes no difference to the estimate.
    let abilities = Abilities::new().honours(["tools.web_search", "tools.web_fetch"]);
    let wire: MessagesRequest = read_json(body, |name| fields::reads(name, &abilities))?;
    let request = decode::decode(wire, abilities)?.request;
    Ok(TokenCount { input_tokens: tokens::of(&request) })
}
