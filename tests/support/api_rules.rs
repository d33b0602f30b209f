//! What the Messages API refuses with 400, by its documentation and its own messages.
//!
//! Pages of <https://docs.anthropic.com>, as of November 2026: Messages, Tool use, Extended thinking, Prompt caching, Vision.
//! The rules of `cache_control` are in `marks.rs`.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// Why the API would refuse a request, whatever was asked before.
pub(crate) fn refusal(body: &Value) -> Option<String> {
    tools(body).or_else(|| texts("system", &body["system"])).or_else(|| messages(body)).or_else(|| choice(body))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A block's type, or "text" for a string.
fn kind(block: &Value) -> &str {
    block["type"].as_str().unwrap_or("text")
}

fn is_name(name: &Value, longest: usize) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    name.as_str().is_some_and(|name| (1..=longest).contains(&name.len()) && name.bytes().all(valid))
}

fn tools(body: &Value) -> Option<String> {
    let mut names = HashSet::new();
    for (at, tool) in list(&body["tools"]).iter().enumerate() {
        if tool.get("type").is_some_and(|kind| kind != "custom") {
            // Anthropic's own, which has no schema.
            continue;
        }
        let (name, schema) = (&tool["name"], &tool["input_schema"]);
        // "name: Regex string `^[a-zA-Z0-9_-]{1,128}$`" (Tool use).
        if !is_name(name, 128) {
            return Some(format!("tools.{at}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"));
        }
        if !names.insert(name.to_string()) {
            return Some("tools: Tool names must be unique.".to_owned());
        }
        if schema["type"] != "object" {
            return Some(format!("tools.{at}.custom.input_schema.type: Field required"));
        }
        if ["anyOf", "oneOf", "allOf"].iter().any(|word| !schema[word].is_null()) {
            return Some(format!(
                "tools.{at}.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
            ));
        }
        if has_tuple(schema) {
            return Some(format!(
                "tools.{at}.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12"
            ));
        }
    }
    None
}

/// Whether a schema has the tuples of drafts before 2020-12.
fn has_tuple(schema: &Value) -> bool {
    schema["items"].is_array()
        || schema.as_object().is_some_and(|fields| fields.values().any(has_tuple))
        || schema.as_array().is_some_and(|schemas| schemas.iter().any(has_tuple))
}

/// "text content blocks must be non-empty", and be more than white space.
fn texts(place: &str, content: &Value) -> Option<String> {
    let text = list(content).iter().filter(|block| kind(block) == "text").map(|block| block["text"].as_str());
    let text = text.map(Option::unwrap_or_default).find(|text| text.trim().is_empty())?;
    let fault = if text.is_empty() { "be non-empty" } else { "contain non-whitespace text" };
    Some(format!("{place}: text content blocks must {fault}"))
}

fn messages(body: &Value) -> Option<String> {
    let messages = list(&body["messages"]);
    // "Messages: the first must be of the user"; roles are user and assistant, and system within a conversation.
    if messages.first().is_none_or(|first| first["role"] != "user") {
        return Some("messages: first message must use the \"user\" role".to_owned());
    }
    // Not in the documentation: 5.5 answers so to a conversation that ends with the assistant's words.
    if messages.iter().rfind(|message| message["role"] != "system").is_some_and(|last| last["role"] == "assistant") {
        return Some("This model does not support assistant message prefill.".to_owned());
    }
    let mut open: Vec<&str> = Vec::new();
    let mut at_calls = 0;
    // "Consecutive user or assistant turns in your request will be combined into a single turn" (Messages).
    let mut turns: Vec<(usize, &Value, Vec<&Value>)> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let role = &message["role"];
        if role != "user" && role != "assistant" && role != "system" {
            return Some(format!("messages.{at}.role: Input should be 'user', 'assistant' or 'system'"));
        }
        if role == "system" {
            // What the CLI puts between the turns, which may be empty (2.1.328).
            continue;
        }
        let content = &message["content"];
        if content.as_str().is_some_and(|text| text.trim().is_empty()) || content.as_array().is_some_and(Vec::is_empty)
        {
            return Some(format!("messages.{at}: {role} messages must have non-empty content"));
        }
        if let Some(refusal) = texts(&format!("messages.{at}"), content) {
            return Some(refusal);
        }
        match turns.last_mut() {
            Some((_, of, blocks)) if *of == role => blocks.extend(list(content)),
            _ => turns.push((at, role, list(content).iter().collect())),
        }
    }
    for (at, role, blocks) in turns {
        let results: Vec<&Value> = blocks.iter().copied().filter(|block| kind(block) == "tool_result").collect();
        // "Tool result blocks must come first in the content array; any text must come after all tool results" (Tool use).
        if role == "user" && blocks.iter().take(results.len()).any(|block| kind(block) != "tool_result") {
            return Some(format!("messages.{at}: `tool_result` blocks must come first in the content"));
        }
        for result in &results {
            let id = result["tool_use_id"].as_str().unwrap_or_default();
            let Some(place) = open.iter().position(|open| *open == id) else {
                return Some(format!(
                    "messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` \
                     block must have a corresponding `tool_use` block in the previous message."
                ));
            };
            open.remove(place);
            let content = &result["content"];
            let empty = content.is_null() || content == "" || content.as_array().is_some_and(Vec::is_empty);
            if result["is_error"] == true && empty {
                return Some(format!("messages.{at}: content cannot be empty if `is_error` is true"));
            }
            if result["is_error"] == true && list(content).iter().any(|block| kind(block) != "text") {
                return Some(format!("messages.{at}: all content must be type `text` if `is_error` is true"));
            }
            if let Some(refusal) = texts(&format!("messages.{at}.tool_result"), content) {
                return Some(refusal);
            }
            if let Some(refusal) = list(content).iter().find_map(|block| picture(at, block)) {
                return Some(refusal);
            }
        }
        if !open.is_empty() {
            return Some(format!(
                "messages.{at_calls}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each \
                 `tool_use` block must have a corresponding `tool_result` block in the next message.",
                open.join(", ")
            ));
        }
        at_calls = at;
        for block in blocks.iter().filter(|block| kind(block) == "tool_use") {
            if !is_name(&block["id"], usize::MAX) {
                return Some(format!("messages.{at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"));
            }
            let id = block["id"].as_str().unwrap_or_default();
            if open.contains(&id) {
                return Some(format!("messages.{at}: `tool_use` ids must be unique"));
            }
            if !block["input"].is_object() {
                return Some(format!("messages.{at}.tool_use.input: Input should be a valid dictionary"));
            }
            open.push(id);
        }
        if let Some(refusal) = blocks.iter().find_map(|block| picture(at, block)) {
            return Some(refusal);
        }
    }
    (!open.is_empty()).then(|| format!("messages.{at_calls}: `tool_use` ids were found without `tool_result` blocks"))
}

/// "We currently support the base64 source type for images, and the image/jpeg, image/png, image/gif, and image/webp media
/// types" (Messages).
fn picture(at: usize, block: &Value) -> Option<String> {
    let media = block["source"]["media_type"].as_str().filter(|_| kind(block) == "image")?;
    let known = ["image/jpeg", "image/png", "image/gif", "image/webp"].contains(&media);
    (!known).then(|| {
        format!("messages.{at}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', ...")
    })
}

/// "tool_choice: any and tool are not supported with extended thinking" (Tool use), which 5.5 cannot turn off.
fn choice(body: &Value) -> Option<String> {
    let forced = ["any", "tool"].iter().any(|forced| body["tool_choice"]["type"] == *forced);
    forced.then(|| "Thinking may not be enabled when tool_choice forces tool use.".to_owned())
}

/// What stood before each block of thinking when it was made, by its signature.
///
/// To accounts made since 2026-08-31 the API says 400, "bound to a different conversation", if anything before such a block
/// (system, tools, earlier messages) is not what it was.
#[derive(Default)]
pub(crate) struct Bindings {
    made: Mutex<HashMap<String, u64>>,
}

impl Bindings {
    /// Notes the thinking in the answer to a request.
    pub(crate) fn note(&self, body: &Value, answer: &[Value]) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, block) in answer.iter().enumerate() {
            if let Some(signature) = signature(block) {
                made.insert(signature.to_owned(), prefix(body, list(&body["messages"]), &answer[..at]));
            }
        }
    }

    /// Why the API would refuse the thinking in a request.
    pub(crate) fn refusal(&self, body: &Value) -> Option<String> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = list(&body["messages"]);
        for (at, message) in messages.iter().enumerate() {
            let blocks = list(&message["content"]);
            for (place, block) in blocks.iter().enumerate() {
                let Some(then) = signature(block).and_then(|signature| made.get(signature)) else { continue };
                if prefix(body, &messages[..at], &blocks[..place]) != *then {
                    return Some(format!(
                        "messages.{at}.content.{place}: `thinking` block is bound to a different conversation"
                    ));
                }
            }
        }
        None
    }
}

fn signature(block: &Value) -> Option<&str> {
    match kind(block) {
        "thinking" => block["signature"].as_str(),
        "redacted_thinking" => block["data"].as_str(),
        _ => None,
    }
}

/// Digests what stands before a block: the system prompt but for the CLI's accounting line, the tools, the messages before its
/// own, and the blocks before it there. Marks for the cache do not count.
fn prefix(body: &Value, messages: &[Value], blocks: &[Value]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let accounting =
        |block: &&Value| block["text"].as_str().is_some_and(|text| text.starts_with("x-anthropic-billing-header"));
    list(&body["system"]).iter().filter(|block| !accounting(block)).for_each(|block| digest(block, &mut hasher));
    list(&body["tools"]).iter().for_each(|tool| digest(tool, &mut hasher));
    for message in messages {
        message["role"].to_string().hash(&mut hasher);
        match &message["content"] {
            Value::String(text) => digest(&json!({"type": "text", "text": text}), &mut hasher),
            content => list(content).iter().for_each(|block| digest(block, &mut hasher)),
        }
    }
    "assistant".hash(&mut hasher);
    // A fallback says only who has answered; the CLI does not send it back (2.1.332).
    blocks.iter().filter(|block| kind(block) != "fallback").for_each(|block| digest(block, &mut hasher));
    hasher.finish()
}

fn digest(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        // "the `signature` field carries the encrypted full thinking": its text may have been left out (Extended thinking).
        Value::Object(_) if kind(value) == "thinking" => value["signature"].to_string().hash(hasher),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(name, _)| *name != "cache_control").collect();
            fields.sort_by_key(|(name, _)| *name);
            for (name, value) in fields {
                name.hash(hasher);
                digest(value, hasher);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| digest(item, hasher)),
        scalar => scalar.to_string().hash(hasher),
    }
}
