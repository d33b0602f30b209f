//! Roughly how large a request is, in bytes: for work that is done otherwise where there is much of it.
//!
//! Texts are not read, only their lengths.

use serde_json::Value;

use super::message::{Content, Message, Part, Reasoning};
use super::request::ChatRequest;

/// Of a whole request.
pub(crate) fn of(request: &ChatRequest) -> usize {
    let functions = request.functions().map(|function| {
        let description = function.description.as_ref().map_or(0, String::len);
        64 + description + function.parameters.as_ref().map_or(0, of_value)
    });
    let schema = request.response_format.as_ref().and_then(|format| format.json_schema.as_ref()?.schema.as_ref());
    of_messages(&request.messages) + functions.sum::<usize>() + schema.map_or(0, of_value)
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::String(text) => 2 + text.len(),
        Value::Array(values) => 2 + values.iter().map(|value| 1 + of_value(value)).sum::<usize>(),
        Value::Object(fields) => 2 + fields.iter().map(|(name, value)| 4 + name.len() + of_value(value)).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
    }
}

/// The same of messages alone.
pub(crate) fn of_messages(messages: &[Message]) -> usize {
    let content = |message: &Message| match &message.content {
        Some(Content::Text(text)) => text.len(),
        Some(Content::Parts(parts)) => {
            let part = |part: &Part| {
                let text = part.text.as_ref().map_or(0, String::len);
                let image = part.image_url.as_ref().map_or(0, |image| image.url.len());
                let file = part.file.as_ref().and_then(|file| file.file_data.as_ref()).map_or(0, String::len);
                let source = part.extra.get("source").and_then(|source| source["data"].as_str()).map_or(0, str::len);
                64 + text + image + file + source
            };
            parts.iter().map(part).sum()
        }
        Some(Content::Null) | None => 0,
    };
    let calls =
        |message: &Message| message.calls().iter().map(|call| 64 + call.function.arguments.len()).sum::<usize>();
    let reasoning = |message: &Message| {
        let size = |reasoning: &Reasoning| match reasoning {
            Reasoning::Signed { text, signature, .. } => 64 + text.len() + signature.len(),
            Reasoning::Redacted { data, .. } => 64 + data.len(),
        };
        message.reasoning.iter().map(size).sum::<usize>()
    };
    messages.iter().map(|message| 64 + content(message) + calls(message) + reasoning(message)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_large_parts_of_a_request_count_whatever_they_are() {
        let long = "x".repeat(1000);
        for large in [
            serde_json::json!({"messages": [{"role": "user", "content": long}]}),
            serde_json::json!({"messages": [{"role": "user", "content": [{"type": "text", "text": long}]}]}),
            serde_json::json!({"tools": [{"type": "function", "function": {"name": "f", "description": long}}]}),
            serde_json::json!({"tools": [{"type": "function",
                "function": {"name": "f", "parameters": {"properties": {"a": {"enum": [long]}}}}}]}),
            serde_json::json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n",
                "schema": {"description": long}}}}),
        ] {
            let mut json = serde_json::json!({"model": "m", "messages": []});
            json.as_object_mut().unwrap().extend(large.as_object().unwrap().clone());
            let size = of(&serde_json::from_value(json).unwrap());
            assert!((1000..1200).contains(&size), "{size}: {large}");
        }
    }
}
