//! From a Messages request to a chat request: what each field, message, block and tool means to the conversation.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::fields;
use super::request::{
    Block, Blocks, MessagesRequest, OutputFormat, WireMessage, WireRole, WireThinking, WireTool, WireToolChoice,
};
use crate::chat::{
    CalledFunction, Content, Function, JsonSchema, Message, Part, Reasoning, ResponseFormat, Role, Stop, Thinking,
    Tool, ToolCall, ToolChoice,
};
use crate::{ChatRequest, Error, ErrorKind};

/// How Claude Code's own accounting line begins, which it sends as the first system block. The CLI behind this server
/// writes one of its own: that one speaks for the traffic, and this one would be words in the prompt.
const ACCOUNTING_LINE: &str = "x-anthropic-billing-header:";

/// A request in the conversation's terms.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) request: ChatRequest,
    /// Fields without effect, for `x-ignored-parameters`.
    pub(crate) ignored: Vec<String>,
    /// Whether the client wants to read what the model thinks.
    pub(crate) shows_thinking: bool,
}

/// Reads a request.
///
/// # Errors
/// 400, with the path to the fault as Anthropic writes it: `messages.2.content.0.source`.
pub(crate) fn decode(wire: MessagesRequest) -> Result<Decoded, Error> {
    let mut ignored = Ignored { names: fields::check(&wire.extra)? };
    if wire.max_tokens == Some(0) {
        return Err(invalid("max_tokens", "must be greater than or equal to 1"));
    }
    let mut messages: Vec<Message> = system(wire.system, &mut ignored)?.into_iter().collect();
    messages.extend(conversation(wire.messages, &mut ignored)?);
    mark_last(&mut messages, wire.cache_control);
    // The conversation has places for them, and the CLI is not told of them yet.
    if messages.iter().any(|message| !message.reasoning.is_empty()) {
        ignored.name("messages[].content[].thinking".to_owned());
    }
    if messages.iter().any(|message| message.is_error) {
        ignored.name("messages[].content[].is_error".to_owned());
    }
    let tools = wire.tools.map(|tools| self::tools(tools, &mut ignored)).transpose()?;
    let (tool_choice, parallel) = choice(wire.tool_choice, tools.as_deref().unwrap_or_default())?;
    let config = wire.output_config;
    let (effort, format) = config.map_or((None, None), |config| {
        ignored.all("output_config.", &config.extra);
        (config.effort, config.format)
    });
    if let Some(effort) = effort.as_deref().filter(|effort| !EFFORTS.contains(effort)) {
        let message = format!("{effort:?} is not a level of effort. Use one of: {}.", EFFORTS.join(", "));
        return Err(invalid("output_config.effort", message));
    }
    let shows_thinking = wire.thinking.as_ref().is_some_and(|thinking| thinking.display.as_deref() != Some("omitted"));
    let summarizes = wire.thinking.as_ref().is_some_and(|thinking| thinking.display.as_deref() == Some("summarized"));
    let thinking = wire.thinking.map(|thinking| self::thinking(thinking, &mut ignored)).transpose()?;
    let stop = stop(wire.stop_sequences)?;
    let mut request = ChatRequest {
        model: wire.model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: parallel,
        stream: wire.stream,
        max_completion_tokens: wire.max_tokens,
        stop,
        reasoning_effort: effort,
        thinking,
        response_format: format.or(wire.output_format).map(response_format).transpose()?,
        summarizes_reasoning: summarizes,
        keeps_blocks: true,
        ..ChatRequest::default()
    };
    request.caller.session = wire.metadata.and_then(|metadata| session(&metadata.user_id?));
    Ok(Decoded { request, ignored: ignored.names, shows_thinking })
}

const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// The names gathered so far, each once.
struct Ignored {
    names: Vec<String>,
}

impl Ignored {
    fn name(&mut self, name: String) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    fn all(&mut self, prefix: &str, fields: &Map<String, Value>) {
        for (name, value) in fields {
            if !value.is_null() {
                self.name(format!("{prefix}{name}"));
            }
        }
    }
}

/// A value of the client's as a message quotes it.
fn quoted(value: &str) -> String {
    format!("{:?}", crate::error::shortened(value))
}

fn invalid(param: impl Into<String>, message: impl Into<String>) -> Error {
    Error::invalid_request(message).with_param(param)
}

fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::UnsupportedParameter, message).with_param(param)
}

/// The system prompt as the message that begins the conversation.
fn system(system: Option<Blocks>, ignored: &mut Ignored) -> Result<Option<Message>, Error> {
    let blocks = match system {
        None => return Ok(None),
        Some(Blocks::Text(text)) => return Ok(Some(Message::new(Role::System, text))),
        Some(Blocks::Blocks(blocks)) => blocks,
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (i, block) in blocks.into_iter().enumerate() {
        if i == 0 && block.text.as_deref().is_some_and(|text| text.starts_with(ACCOUNTING_LINE)) {
            ignored.name("system[0]".to_owned());
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

/// A part with the client's mark of what the prompt cache is to keep.
fn marked(mut part: Part, mark: Option<Value>) -> Part {
    if let Some(mark) = mark.filter(|mark| !mark.is_null()) {
        part.extra.insert("cache_control".to_owned(), mark);
    }
    part
}

/// The top-level `cache_control` marks the last part of the last message.
fn mark_last(messages: &mut [Message], mark: Option<Value>) {
    let Some(mark) = mark.filter(|mark| !mark.is_null()) else { return };
    let Some(last) = messages.last_mut() else { return };
    match &mut last.content {
        Some(Content::Text(text)) => {
            let part = marked(Part::from_text(std::mem::take(text)), Some(mark));
            last.content = Some(Content::Parts(vec![part]));
        }
        Some(Content::Parts(parts)) => {
            if let Some(part) = parts.last_mut() {
                part.extra.entry("cache_control").or_insert(mark);
            }
        }
        _ => {}
    }
}

/// The messages, with results as messages of their own, as the conversation has them.
fn conversation(wire: Vec<WireMessage>, ignored: &mut Ignored) -> Result<Vec<Message>, Error> {
    let Some(last) = wire.last() else {
        return Err(invalid("messages", "at least one message is required"));
    };
    if last.role == WireRole::Assistant {
        return Err(invalid(
            "messages",
            "This server does not support assistant message prefill. The conversation must end with a user message.",
        ));
    }
    let mut messages = Vec::with_capacity(wire.len());
    let mut open = OpenCalls::default();
    for (i, WireMessage { role, content }) in wire.into_iter().enumerate() {
        match (role, content) {
            (WireRole::System, Blocks::Text(text)) => messages.push(Message::new(Role::System, text)),
            (WireRole::System, Blocks::Blocks(blocks)) => {
                let parts = blocks.into_iter().enumerate();
                let parts = parts.map(|(j, block)| text_part(block, || format!("messages.{i}.content.{j}")));
                let content = Some(Content::Parts(parts.collect::<Result<_, _>>()?));
                messages.push(Message { content, ..Message::new(Role::System, "") });
            }
            (WireRole::User, Blocks::Text(text)) => {
                open.check_answered()?;
                messages.push(Message::new(Role::User, text));
            }
            (WireRole::User, Blocks::Blocks(blocks)) => user(i, blocks, &mut open, &mut messages, ignored)?,
            (WireRole::Assistant, content) => {
                open.check_answered()?;
                let message = assistant(i, content)?;
                open = OpenCalls::made_in(i, message.calls())?;
                messages.push(message);
            }
        }
    }
    open.check_answered()?;
    Ok(messages)
}

/// The calls of the last assistant message that have no result yet, by their ids.
#[derive(Default)]
struct OpenCalls {
    at: usize,
    open: HashMap<String, ()>,
}

impl OpenCalls {
    fn made_in(at: usize, calls: &[ToolCall]) -> Result<Self, Error> {
        let mut open = HashMap::with_capacity(calls.len());
        for call in calls {
            if open.insert(call.id.clone(), ()).is_some() {
                return Err(invalid(format!("messages.{at}"), "`tool_use` ids must be unique"));
            }
        }
        Ok(OpenCalls { at, open })
    }

    fn answer(&mut self, id: &str, at: impl Fn() -> String) -> Result<(), Error> {
        match self.open.remove(id) {
            Some(()) => Ok(()),
            None => Err(invalid(
                at(),
                format!(
                    "unexpected `tool_use_id` found in `tool_result` blocks: {}. Each `tool_result` block must have a \
                     corresponding `tool_use` block in the previous message.",
                    quoted(id)
                ),
            )),
        }
    }

    fn check_answered(&self) -> Result<(), Error> {
        let Some(id) = self.open.keys().min() else { return Ok(()) };
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

fn user(
    i: usize,
    blocks: Vec<Block>,
    open: &mut OpenCalls,
    messages: &mut Vec<Message>,
    ignored: &mut Ignored,
) -> Result<(), Error> {
    let mut parts = Vec::new();
    for (j, block) in blocks.into_iter().enumerate() {
        let at = || format!("messages.{i}.content.{j}");
        if block.kind == "tool_result" {
            messages.push(tool_result(block, open, at, ignored)?);
        } else {
            parts.push(content_part(block, at, ignored)?);
        }
    }
    open.check_answered()?;
    if !parts.is_empty() {
        messages.push(Message { content: Some(Content::Parts(parts)), ..Message::new(Role::User, "") });
    }
    Ok(())
}

/// A block of the user's, or of a result's.
fn content_part(block: Block, at: impl Fn() -> String, ignored: &mut Ignored) -> Result<Part, Error> {
    match block.kind.as_str() {
        "text" => text_part(block, at),
        // The CLI takes the API's own blocks, so these go on as they are.
        "image" | "document" | "search_result" => {
            let Block { kind, content, cache_control, mut extra, .. } = block;
            if kind == "search_result" {
                let content = match content {
                    Some(Blocks::Blocks(blocks)) => blocks,
                    _ => return Err(invalid(format!("{}.content", at()), "Field required")),
                };
                let texts = content.into_iter().filter_map(|block| block.text);
                let texts: Vec<Value> = texts.map(|text| json!({"type": "text", "text": text})).collect();
                extra.insert("content".to_owned(), Value::Array(texts));
            } else {
                check_source(extra.get("source"), || format!("{}.source", at()))?;
            }
            Ok(marked(Part { kind, extra, ..Part::default() }, cache_control))
        }
        "tool_reference" => {
            // The tool is among `tools`, all of which the model sees.
            let name = block.extra.get("tool_name").and_then(Value::as_str).unwrap_or_default();
            Ok(Part::from_text(format!("The tool {name} is available.")))
        }
        kind if SERVER_BLOCKS.iter().any(|server| kind.starts_with(server)) => {
            ignored.name(format!("messages[].content[].{kind}"));
            Ok(Part::from_text(""))
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

/// What servers of Anthropic's put into answers of theirs, which clients send back: nothing to the model here.
const SERVER_BLOCKS: [&str; 6] = [
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "tool_search_tool_result",
    "compaction",
];

/// A file that was uploaded to Anthropic is not known to the account that the CLI uses, or not by this id.
fn check_source(source: Option<&Value>, at: impl Fn() -> String) -> Result<(), Error> {
    let Some(source) = source else { return Err(invalid(at(), "Field required")) };
    match source["type"].as_str() {
        Some("base64" | "text" | "content") => Ok(()),
        // The API fetches it, this machine never does.
        Some("url") if source["url"].as_str().is_some_and(|url| url.starts_with("https://")) => Ok(()),
        Some("url") => Err(invalid(format!("{}.url", at()), "must be an https:// URL")),
        Some("file") => Err(unsupported(
            at(),
            "The Files API cannot be reached through Claude Code, so no `file_id` is known. Send the data as base64.",
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
        Some(Blocks::Text(text)) => Content::Text(text),
        Some(Blocks::Blocks(blocks)) => {
            let parts = blocks.into_iter().enumerate();
            let parts = parts.map(|(k, block)| content_part(block, || format!("{}.content.{k}", at()), ignored));
            Content::Parts(parts.collect::<Result<_, _>>()?)
        }
    };
    let mut message = Message { content: Some(content), tool_call_id: Some(id), ..Message::new(Role::Tool, "") };
    message.is_error = block.is_error == Some(true);
    if let Some(mark) = block.cache_control.filter(|mark| !mark.is_null()) {
        message.extra.insert("cache_control".to_owned(), mark);
    }
    Ok(message)
}

fn assistant(i: usize, content: Blocks) -> Result<Message, Error> {
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
                    Some(input @ Value::Object(_)) => input.to_string(),
                    None => "{}".to_owned(),
                    Some(_) => return Err(invalid(at("input"), "Input should be an object")),
                };
                let function = CalledFunction { name, arguments };
                calls.push(ToolCall { id, kind: "function".to_owned(), function, ..ToolCall::default() });
            }
            // Without its signature the API would not know it for the model's own.
            "thinking" => {
                let signature = block.signature.filter(|signature| !signature.is_empty());
                let text = block.thinking.unwrap_or_default();
                let place = parts.len();
                reasoning.extend(signature.map(|signature| Reasoning::Signed { text, signature, place }));
            }
            "redacted_thinking" => {
                let place = parts.len();
                reasoning.extend(block.data.map(|data| Reasoning::Redacted { data, place }));
            }
            kind if SERVER_BLOCKS.iter().any(|server| kind.starts_with(server)) => {}
            kind => {
                let kind = quoted(kind);
                return Err(invalid(at("type"), format!("An assistant message cannot have blocks of type {kind}.")));
            }
        }
    }
    Ok(Message {
        content: Some(Content::Parts(parts)),
        tool_calls: (!calls.is_empty()).then_some(calls),
        reasoning,
        ..Message::new(Role::Assistant, "")
    })
}

/// Tools of Anthropic's own by how their types begin, and what to do instead.
const SERVER_TOOLS: [(&str, &str); 10] = [
    ("web_search_", "Offer a search tool of your own, or have the server's operator enable agent mode with WebSearch."),
    ("web_fetch_", "Offer a fetch tool of your own, or have the server's operator enable agent mode with WebFetch."),
    ("code_execution_", "Offer a tool of your own that runs code."),
    ("tool_search_tool_", "Leave it out: the model sees all tools that you offer."),
    ("mcp_toolset", "Connect to the MCP server in your client, and offer its tools."),
    ("memory_", "Offer a tool of your own with an `input_schema`."),
    ("computer_", "Offer a tool of your own with an `input_schema`."),
    ("browser_", "Offer a tool of your own with an `input_schema`."),
    ("bash_", "Offer a tool of your own with an `input_schema`."),
    ("text_editor_", "Offer a tool of your own with an `input_schema`."),
];

fn tools(wire: Vec<WireTool>, ignored: &mut Ignored) -> Result<Vec<Tool>, Error> {
    let mut names = HashMap::with_capacity(wire.len());
    let mut tools = Vec::with_capacity(wire.len());
    for (i, tool) in wire.into_iter().enumerate() {
        let at = |field: &str| format!("tools.{i}.{field}");
        if let Some(kind) = tool.kind.filter(|kind| kind != "custom") {
            let known = SERVER_TOOLS.iter().find(|(begins, _)| kind.starts_with(begins));
            let advice = known.map_or("Offer a tool of your own with an `input_schema`.", |(_, advice)| *advice);
            let kind = quoted(&kind);
            return Err(unsupported(
                at("type"),
                format!("The tool {kind} cannot be had through Claude Code. {advice}"),
            ));
        }
        let name = tool.name.ok_or_else(|| invalid(at("name"), "Field required"))?;
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=128).contains(&name.len()) || !name.bytes().all(valid) {
            let name = quoted(&name);
            let message = format!("{name} should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'");
            return Err(invalid(at("name"), message));
        }
        if names.insert(name.clone(), ()).is_some() {
            return Err(invalid("tools", "Tool names must be unique."));
        }
        let Some(schema @ Value::Object(_)) = tool.input_schema else {
            return Err(invalid(at("input_schema"), "Field required"));
        };
        if schema.get("type").is_some_and(|kind| kind != "object") {
            return Err(invalid(at("input_schema.type"), "Input should be 'object'"));
        }
        let mut extra = Map::new();
        for (field, value) in tool.extra {
            match field.as_str() {
                // Of no consequence to what the model is offered: arguments are streamed as they come in any case.
                "strict" | "eager_input_streaming" => {}
                _ if value.is_null() => {}
                _ => ignored.name(format!("tools[].{field}")),
            }
        }
        if let Some(mark) = tool.cache_control.filter(|mark| !mark.is_null()) {
            extra.insert("cache_control".to_owned(), mark);
        }
        let function =
            Function { name, description: tool.description, parameters: Some(schema), ..Function::default() };
        tools.push(Tool { kind: "function".to_owned(), function, extra });
    }
    Ok(tools)
}

fn choice(choice: Option<WireToolChoice>, tools: &[Tool]) -> Result<(Option<ToolChoice>, Option<bool>), Error> {
    let Some(WireToolChoice { kind, name, disable_parallel_tool_use }) = choice else { return Ok((None, None)) };
    let parallel = (disable_parallel_tool_use == Some(true)).then_some(false);
    let choice = match (kind.as_str(), name) {
        ("auto", _) => ToolChoice::Auto,
        ("none", _) => ToolChoice::None,
        ("any", _) if tools.is_empty() => {
            return Err(invalid("tool_choice", "may only be specified while providing tools"));
        }
        ("any", _) => ToolChoice::Required,
        ("tool", Some(name)) if tools.iter().any(|tool| tool.function.name == name) => ToolChoice::Function(name),
        ("tool", Some(name)) => {
            let name = quoted(&name);
            return Err(invalid("tool_choice.name", format!("Tool {name} not found in provided tools")));
        }
        ("tool", None) => return Err(invalid("tool_choice.name", "Field required")),
        _ => return Err(invalid("tool_choice.type", "Use `auto`, `any`, `tool` or `none`.")),
    };
    Ok((Some(choice), parallel))
}

fn thinking(thinking: WireThinking, ignored: &mut Ignored) -> Result<Thinking, Error> {
    ignored.all("thinking.", &thinking.extra);
    match (thinking.kind.as_str(), thinking.budget_tokens) {
        ("disabled", _) => Ok(Thinking::Disabled),
        ("adaptive" | "between_tools", _) => Ok(Thinking::Adaptive),
        ("enabled", Some(budget)) if budget >= 1024 => Ok(Thinking::Budget(u32::try_from(budget).unwrap_or(u32::MAX))),
        ("enabled", Some(_)) => Err(invalid("thinking.budget_tokens", "Input should be greater than or equal to 1024")),
        ("enabled", None) => Err(invalid("thinking.budget_tokens", "Field required")),
        _ => Err(invalid("thinking.type", "Use `enabled`, `adaptive` or `disabled`.")),
    }
}

fn stop(sequences: Option<Vec<String>>) -> Result<Option<Stop>, Error> {
    let Some(sequences) = sequences.filter(|sequences| !sequences.is_empty()) else { return Ok(None) };
    match sequences.iter().position(|text| text.trim().is_empty()) {
        Some(i) => Err(invalid(format!("stop_sequences.{i}"), "each stop sequence must contain non-whitespace")),
        None => Ok(Some(Stop::Many(sequences))),
    }
}

fn response_format(format: OutputFormat) -> Result<ResponseFormat, Error> {
    let Some(schema @ Value::Object(_)) = format.schema.filter(|_| format.kind == "json_schema") else {
        return Err(invalid("output_config.format", "Send {\"type\": \"json_schema\", \"schema\": {...}}."));
    };
    let named = JsonSchema { name: "output".to_owned(), description: None, schema: Some(schema), extra: Map::new() };
    Ok(ResponseFormat { kind: format.kind, json_schema: Some(named), extra: Map::new() })
}

/// The session in Claude Code's `metadata.user_id`, which is JSON in a string. Others send an id of a user's.
fn session(user_id: &str) -> Option<String> {
    let value: Value = serde_json::from_str(user_id).ok()?;
    value["session_id"].as_str().map(str::to_owned)
}
