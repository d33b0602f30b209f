//! One request to Claude Code through the library, and its answer.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_claude::cli::ClaudeCli;
use tower_claude::{ChatEvent, ChatRequest, Error, EventStream, FinishReason};

/// A whole answer.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Its text, delta by delta.
    pub(super) deltas: Vec<String>,
    /// The ids, names and arguments of its calls.
    pub(super) calls: Vec<(String, String, String)>,
    pub(super) reason: Option<FinishReason>,
    /// How the request came by its process: `live`, `warm` or `cold`.
    pub(super) process: String,
}

impl Turn {
    pub(super) fn text(&self) -> String {
        self.deltas.concat()
    }
}

/// Sends a request and collects the whole answer.
pub(super) async fn ask(claude: &ClaudeCli, fields: Value) -> Result<Turn, Error> {
    let (process, mut events) = begin(claude, fields).await?;
    let mut turn = Turn { process, ..Turn::default() };
    while let Some(event) = events.next().await {
        match event? {
            ChatEvent::TextDelta(text) => turn.deltas.push(text),
            ChatEvent::ToolCallStart { id, name, .. } => turn.calls.push((id, name, String::new())),
            ChatEvent::ToolCallDelta { arguments, .. } => {
                if let Some(call) = turn.calls.last_mut() {
                    call.2.push_str(&arguments);
                }
            }
            ChatEvent::Finished { reason, .. } => turn.reason = Some(reason),
            _ => {}
        }
    }
    Ok(turn)
}

/// Sends a request and waits until the answer begins.
pub(super) async fn begin(claude: &ClaudeCli, fields: Value) -> Result<(String, EventStream), Error> {
    let mut request = json!({"model": "sonnet"});
    if let (Some(request), Value::Object(fields)) = (request.as_object_mut(), fields) {
        request.extend(fields);
    }
    let request: ChatRequest =
        serde_json::from_value(request).map_err(|error| Error::invalid_request(error.to_string()))?;
    let response = claude.clone().oneshot(request).await?;
    let process = response.headers.get("x-claude-process").and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok((process.to_owned(), response.events))
}
