//! Turns the system prompt, the messages and their content blocks into the conversation's messages.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{invalid, quoted, unsupported};
use crate::Error;
use crate::anthropic::messages::request::{Block, BlockContent, Blocks, WireMessage, WireRole};
use crate::chat::{Content, Message, Part, Reasoning, Role, ToolCall};
use crate::http::fields::Ignored;

/// How Claude Code's accounting line begins, its first system block. The CLI behind this server writes its own, which is the
/// one that describes the traffic; this one would only be words in the prompt.
const ACCOUNTING_LINE: &str = "x-anthropic-billing-header:";

/// The system prompt as the first message of the conversation.
pub(super) fn system(system: Option<Blocks>, ignored: &mut Ignored) -> Result<Option<Message>, Error> {
    let blocks = match system {
        None => return Ok(None),
        Some(Blocks::Text(text)) => return Ok(Some(Message::new(Role::System, text))),
        Some(Blocks::Blocks(blocks)) => blocks,
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (i, block) in blocks.into_iter().enumerate() {
        if i == 0 && block.text.as_deref().is_some_and(|text| text.starts_with(ACCOUNTING_LINE)) {
            ignored.mention("system[0]");
            continue;
        }
        parts.push(text_part(block, || format!("system.{i}"))?);
    }
    Ok((!parts.is_empty()).then(|| Message { content: Some(Content::Parts(parts)), ..Message::new(Role::System, "") }))
}

fn text_part(block: Block, at: impl Fn() -> String) -> Result<Part, Error> {
    let (kind, text) = (block.kind.as_str(), block.text);
    match (kind, text) {
        ("text", Some(text)) => Ok(marked(Part::from_text(text), block.cache_control)),
        ("text", None) => Err(invalid(format!("{}.text", at()), "Field required")),
        (kind, _) => {
            Err(invalid(format!("{}.type", at()), format!("{kind:?} is not allowed here. Send `text` blocks.")))
        }
    }
}

/// A part with the client's mark for the prompt cache.
fn marked(mut part: Part, mark: Option<Box<Value>>) -> Part {
    if let Some(mark) = mark.filter(|mark| !mark.is_null()) {
        part.extra.insert("cache_control".to_owned(), *mark);
    }
    part
}

/// The top-level `cache_control` marks the last part of the last message.
pub(super) fn mark_last(messages: &mut [Message], mark: Option<Box<Value>>) {
    let Some(mark) = mark.filter(|mark| !mark.is_null()) else { return };
    let Some(last) = messages.last_mut() else { return };
    match &mut last.content {
        Some(Content::Text(text)) => {
            let part = marked(Part::from_text(std::mem::take(text)), Some(mark));
            last.content = Some(Content::Parts(vec![part]));
        }
        Some(Content::Parts(parts)) => {
            if let Some(part) = parts.last_mut() {
                part.extra.entry("cache_control").or_insert(*mark);
            }
        }
        _ => {}
    }
}

/// The messages, with each result as a message of its own, as the conversation has it.
pub(super) fn conversation(wire: Vec<WireMessage>, ignored: &mut Ignored) -> Result<Vec<Message>, Error> {
    let Some(last) = wire.last() else {
        return Err(invalid("messages", "at least one message is required"));
    };
    if last.role == WireRole::Assistant && ignored.abilities.no_prefill().is_some() {
        return Err(invalid(
            "messages",
            "This server does not support assistant message prefill. The conversation must end with a user message.",
        ));
    }
    let mut messages: Vec<Message> = Vec::with_capacity(wire.len());
    let mut open = OpenCalls::default();
    // Messages of one role beside each other are one to the API. What users say stands behind all results there.
    let (mut said, mut before) = (Vec::new(), WireRole::User);
    for (i, WireMessage { role, content }) in wire.into_iter().enumerate() {
        if role == WireRole::Assistant && before != WireRole::Assistant {
            open.check_answered()?;
            messages.append(&mut said);
        }
        match (role, content) {
            (WireRole::System, Blocks::Text(text)) => said.push(Message::new(Role::System, text)),
            (WireRole::System, Blocks::Blocks(blocks)) => {
                let parts = blocks.into_iter().enumerate();
                let parts = parts.map(|(j, block)| text_part(block, || format!("messages.{i}.content.{j}")));
                let content = Some(Content::Parts(parts.collect::<Result<_, _>>()?));
                said.push(Message { content, ..Message::new(Role::System, "") });
            }
            (WireRole::User, Blocks::Text(text)) => said.push(Message::new(Role::User, text)),
            (WireRole::User, Blocks::Blocks(blocks)) => {
                let parts = user(i, blocks, &mut open, &mut messages, ignored)?;
                if !parts.is_empty() {
                    said.push(Message { content: Some(Content::Parts(parts)), ..Message::new(Role::User, "") });
                }
            }
            (WireRole::Assistant, content) => {
                let mut message = assistant(i, content, ignored)?;
                if before == WireRole::Assistant
                    && let Some(last) = messages.pop()
                {
                    message = joined(last, message);
                }
                open = OpenCalls::made_in(i, message.calls())?;
                messages.push(message);
            }
        }
        before = role;
    }
    open.check_answered()?;
    messages.append(&mut said);
    Ok(messages)
}

/// Two assistant messages as one.
fn joined(mut first: Message, second: Message) -> Message {
    let parts = |content| match content {
        Some(Content::Text(text)) => vec![Part::from_text(text)],
        Some(Content::Parts(parts)) => parts,
        Some(Content::Null) | None => Vec::new(),
    };
    let mut content = parts(first.content);
    let before = content.len() + first.tool_calls.as_ref().map_or(0, Vec::len);
    content.extend(parts(second.content));
    first.content = Some(Content::Parts(content));
    first.reasoning.extend(second.reasoning.into_iter().map(|reasoning| match reasoning {
        Reasoning::Signed { text, signature, place } => Reasoning::signed(text, signature, before + place),
        Reasoning::Redacted { data, place } => Reasoning::redacted(data, before + place),
    }));
    if let Some(calls) = second.tool_calls {
        first.tool_calls.get_or_insert_default().extend(calls);
    }
    first
}

/// The calls of the last assistant message that have no result yet, by their ids.
#[derive(Default)]
struct OpenCalls {
    at: usize,
    open: HashSet<String>,
}

impl OpenCalls {
    fn made_in(at: usize, calls: &[ToolCall]) -> Result<Self, Error> {
        let mut open = HashSet::with_capacity(calls.len());
        for call in calls {
            if !open.insert(call.id.clone()) {
                return Err(invalid(format!("messages.{at}"), "`tool_use` ids must be unique"));
            }
        }
        Ok(OpenCalls { at, open })
    }

    fn answer(&mut self, id: &str, at: impl Fn() -> String) -> Result<(), Error> {
        if self.open.remove(id) {
            return Ok(());
        }
        let message = format!(
            "unexpected `tool_use_id` found in `tool_result` blocks: {}. Each `tool_result` block must have a \
             corresponding `tool_use` block in the previous message.",
            quoted(id)
        );
        Err(invalid(at(), message))
    }

    fn check_answered(&self) -> Result<(), Error> {
        let Some(id) = self.open.iter().min() else { return Ok(()) };
        Err(invalid(
            format!("messages.{}", self.at),
            format!(
                "`tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block \
                 must have a corresponding `tool_result` block in the next message.",
                quoted(id)
            ),
        ))
    }
}

/// Takes the results out of a user message. Returns its other parts.
fn user(
    i: usize,
    blocks: Vec<Block>,
    open: &mut OpenCalls,
    messages: &mut Vec<Message>,
    ignored: &mut Ignored,
) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::with_capacity(blocks.len());
    for (j, block) in blocks.into_iter().enumerate() {
        let at = || format!("messages.{i}.content.{j}");
        if block.kind == "tool_result" {
            messages.push(tool_result(block, open, at, ignored)?);
        } else {
            parts.extend(content_part(block, at, ignored)?);
        }
    }
    Ok(parts)
}

/// A block of a user message or of a result. There is nothing to tell of some.
fn content_part(block: Block, at: impl Fn() -> String, ignored: &mut Ignored) -> Result<Option<Part>, Error> {
    match block.kind.as_str() {
        "text" => text_part(block, at).map(Some),
        // The CLI takes the API's own blocks, so these are passed on unchanged.
        "image" | "document" | "search_result" => {
            let Block { kind, content, cache_control, mut extra, .. } = block;
            if kind == "search_result" {
                let content = match content {
                    Some(BlockContent::Blocks(Blocks::Blocks(blocks))) => blocks,
                    _ => return Err(invalid(format!("{}.content", at()), "Field required")),
                };
                let texts = content.into_iter().filter_map(|block| block.text);
                let texts: Vec<Value> = texts.map(|text| json!({"type": "text", "text": text})).collect();
                extra.insert("content".to_owned(), Value::Array(texts));
            } else {
                check_source(extra.get("source"), || format!("{}.source", at()))?;
            }
            Ok(Some(marked(Part { kind, extra, ..Part::default() }, cache_control)))
        }
        "tool_reference" => {
            // The tool is among `tools`, and the model sees all of those.
            let name = block.extra.get("tool_name").and_then(Value::as_str).unwrap_or_default();
            Ok(Some(Part::from_text(format!("The tool {name} is available."))))
        }
        kind if is_of_a_server(kind) => {
            ignored.name("messages[].content[].", kind, &Value::Bool(true));
            Ok(None)
        }
        kind => Err(invalid(
            format!("{}.type", at()),
            format!(
                "Blocks of type {} are not supported here. Send text, image, document, search_result or tool_result \
                 blocks.",
                quoted(kind)
            ),
        )),
    }
}

/// Whether Anthropic's servers put blocks of this type into answers, which clients send back: calls and results of the tools
/// that run there, known or to come, and notes. They mean nothing to the model here.
fn is_of_a_server(kind: &str) -> bool {
    kind.ends_with("_tool_use") || kind.ends_with("_tool_result") || matches!(kind, "container_upload" | "fallback")
}

/// A file that was uploaded to Anthropic is unknown to the CLI's account, or has another id there.
fn check_source(source: Option<&Value>, at: impl Fn() -> String) -> Result<(), Error> {
    let Some(source) = source else { return Err(invalid(at(), "Field required")) };
    match source["type"].as_str() {
        Some("base64" | "text" | "content") => Ok(()),
        // The API fetches it; this machine never does.
        Some("url") if source["url"].as_str().is_some_and(|url| url.starts_with("https://")) => Ok(()),
        Some("url") => Err(invalid(format!("{}.url", at()), "must be an https:// URL")),
        Some("file") => Err(unsupported(
            at(),
            "The Files API cannot be reached from here, so no `file_id` is known. Send the data as base64.",
        )),
        _ => Err(invalid(format!("{}.type", at()), "Use `base64`, `url`, `text` or `content`.")),
    }
}

fn tool_result(
    block: Block,
    open: &mut OpenCalls,
    at: impl Fn() -> String,
    ignored: &mut Ignored,
) -> Result<Message, Error> {
    let Some(id) = block.tool_use_id else { return Err(invalid(format!("{}.tool_use_id", at()), "Field required")) };
    open.answer(&id, || format!("{}.tool_use_id", at()))?;
    let content = match block.content {
        None => Content::Text(String::new()),
        Some(BlockContent::Blocks(Blocks::Text(text))) => Content::Text(text),
        Some(BlockContent::Blocks(Blocks::Blocks(blocks))) => {
            let parts = blocks.into_iter().enumerate();
            let parts = parts
                .filter_map(|(k, block)| content_part(block, || format!("{}.content.{k}", at()), ignored).transpose());
            Content::Parts(parts.collect::<Result<_, _>>()?)
        }
        Some(BlockContent::Object) => {
            return Err(invalid(format!("{}.content", at()), "Input should be a string or an array of blocks"));
        }
    };
    let mut message = Message { content: Some(content), tool_call_id: Some(id.into()), ..Message::new(Role::Tool, "") };
    message.is_error = block.is_error == Some(true);
    if let Some(mark) = block.cache_control.filter(|mark| !mark.is_null()) {
        message.extra.insert("cache_control".to_owned(), *mark);
    }
    Ok(message)
}

fn assistant(i: usize, content: Blocks, ignored: &mut Ignored) -> Result<Message, Error> {
    let blocks = match content {
        Blocks::Text(text) => return Ok(Message::new(Role::Assistant, text)),
        Blocks::Blocks(blocks) => blocks,
    };
    let (mut parts, mut calls, mut reasoning) = (Vec::new(), Vec::new(), Vec::new());
    for (j, block) in blocks.into_iter().enumerate() {
        let at = |field: &str| format!("messages.{i}.content.{j}.{field}");
        match block.kind.as_str() {
            "text" => parts.push(text_part(block, || format!("messages.{i}.content.{j}"))?),
            "tool_use" => {
                let (Some(id), Some(name)) = (block.id, block.name) else {
                    return Err(invalid(at("id"), "A `tool_use` block needs `id` and `name`."));
                };
                let arguments = match block.input {
                    None => "{}".to_owned(),
                    Some(input) => {
                        if !input.get().starts_with('{') {
                            return Err(invalid(at("input"), "Input should be an object"));
                        }
                        String::from(Box::<str>::from(input))
                    }
                };
                let mut call = ToolCall::new(id, name, arguments);
                if let Some(mark) = block.cache_control.filter(|mark| !mark.is_null()) {
                    call.extra.insert("cache_control".to_owned(), *mark);
                }
                calls.push(call);
            }
            // Without its signature the API would not accept it as the model's own.
            "thinking" => {
                let signature = block.signature.filter(|signature| !signature.is_empty());
                let text = block.thinking.unwrap_or_default().into();
                let place = parts.len() + calls.len();
                reasoning.extend(signature.map(|signature| Reasoning::Signed {
                    text,
                    signature: signature.into(),
                    place,
                }));
            }
            "redacted_thinking" => {
                let place = parts.len() + calls.len();
                reasoning.extend(block.data.map(|data| Reasoning::redacted(data, place)));
            }
            // The summary of what came before. The API writes none where it failed to make one.
            "compaction" => match block.content {
                Some(BlockContent::Blocks(Blocks::Text(summary))) => {
                    parts.push(marked(Part::from_text(summary), block.cache_control));
                }
                _ => ignored.name("messages[].content[].", "compaction", &Value::Bool(true)),
            },
            kind if is_of_a_server(kind) => ignored.name("messages[].content[].", kind, &Value::Bool(true)),
            kind => {
                let kind = quoted(kind);
                return Err(invalid(at("type"), format!("An assistant message cannot have blocks of type {kind}.")));
            }
        }
    }
    parts.shrink_to_fit();
    calls.shrink_to_fit();
    Ok(Message {
        content: Some(Content::Parts(parts)),
        tool_calls: (!calls.is_empty()).then_some(calls),
        reasoning,
        ..Message::new(Role::Assistant, "")
    })
}
