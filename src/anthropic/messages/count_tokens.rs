//! `POST /v1/messages/count_tokens`: an estimate, for which the inner service is not asked.

use serde::Serialize;

use super::decode;
use super::request::MessagesRequest;
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
    let wire: MessagesRequest = read_json(body)?;
    let request = decode::decode(wire, Abilities::new())?.request;
    Ok(TokenCount { input_tokens: tokens::of(&request) })
}
