//! `POST /v1/responses/input_tokens`: about how many tokens a request has.

use serde_json::{Value, json};

use crate::ChatRequest;
use crate::chat::{Content, Part};

/// What an image or a page costs, about.
const MEDIA: usize = 1600;

/// The answer's body. It is an estimate: Claude Code does not count before a turn.
pub(crate) fn body(chat: &ChatRequest) -> Value {
    json!({"object": "response.input_tokens", "input_tokens": estimate(chat)})
}

/// A token for each four bytes of text and JSON, and some for each message.
fn estimate(chat: &ChatRequest) -> usize {
    let mut bytes = 0;
    let mut media = 0;
    for message in &chat.messages {
        bytes += 16 + message.text().len();
        for call in message.calls() {
            bytes += call.function.name.len() + call.function.arguments.len();
        }
        if let Some(Content::Parts(parts)) = &message.content {
            media += parts.iter().filter(|part| is_media(part)).count();
        }
    }
    bytes += chat.tools.as_ref().and_then(|tools| serde_json::to_string(tools).ok()).map_or(0, |json| json.len());
    bytes.div_ceil(4) + media * MEDIA
}

fn is_media(part: &Part) -> bool {
    part.image_url.is_some() || part.file.is_some()
}
