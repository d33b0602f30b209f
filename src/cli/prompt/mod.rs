//! What the CLI is told of a request: the setup that a process takes once, the settings that it takes at any time,
//! and the conversation as real turns.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use serde_json::{Value, json};

pub(crate) mod mcp;

use self::mcp::Functions;
use super::config::Config;
use super::permission;
use super::protocol::Outgoing;
use crate::chat::call_id;
use crate::chat::data_url::DataUrl;
use crate::chat::{ChatRequest, Content, Message, Part, ResponseFormat, Role, ToolCall};
use crate::{Error, ErrorKind};

/// What `initialize` fixes for the life of a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Setup {
    pub(crate) system: String,
    pub(crate) functions: Functions,
    /// The schema of the answer, where it is to be JSON.
    pub(crate) schema: Option<Value>,
}

impl Setup {
    pub(crate) fn of(request: &ChatRequest) -> Self {
        let functions = Functions::of(request);
        let mut system: Vec<String> = leading_system(&request.messages).iter().map(Message::text).collect();
        if !functions.note.is_empty() {
            system.push(functions.note.clone());
        }
        Setup { system: system.join("\n\n"), functions, schema: schema(request.response_format.as_ref()) }
    }

    /// The `initialize` request. With Claude Code's own tools on, its own system prompt stays and ours is appended.
    pub(crate) fn initialize(&self, config: &Config) -> Value {
        let mut initialize = json!({"subtype": "initialize"});
        if !config.agent() {
            // An empty list: no system prompt but the CLI's own line of identity.
            initialize["systemPrompt"] = if self.system.is_empty() { json!([]) } else { json!([self.system]) };
        } else if !self.system.is_empty() {
            initialize["appendSystemPrompt"] = json!(self.system);
        }
        if config.agent() {
            initialize["hooks"] = permission::hooks(config);
        }
        if let Some(schema) = &self.schema {
            initialize["jsonSchema"] = schema.clone();
        }
        self.functions.add_to(&mut initialize, config.tool_timeout);
        initialize
    }
}

/// The system messages before the conversation begins. Later ones stay where they are.
fn leading_system(messages: &[Message]) -> &[Message] {
    let end = messages.iter().position(|message| !is_system(message)).unwrap_or(messages.len());
    &messages[..end]
}

fn is_system(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

/// The schema that the answer must have, for the CLI's structured output.
fn schema(format: Option<&ResponseFormat>) -> Option<Value> {
    let format = format?;
    match (format.kind.as_str(), &format.json_schema) {
        ("json_object", _) | ("json_schema", None) => Some(json!({"type": "object", "additionalProperties": true})),
        ("json_schema", Some(named)) => {
            let mut schema = match &named.schema {
                Some(schema @ Value::Object(_)) => schema.clone(),
                _ => json!({"type": "object", "additionalProperties": true}),
            };
            if let (Some(description), None) = (&named.description, schema.get("description")) {
                schema["description"] = json!(description);
            }
            Some(schema)
        }
        _ => None,
    }
}

/// What can be set at any time. The CLI keeps each until it is undone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    pub(crate) model: Option<String>,
    pub(crate) effort: Option<&'static str>,
    pub(crate) max_tokens: Option<u32>,
    /// No thinking at all.
    pub(crate) no_thinking: bool,
}

impl Settings {
    pub(crate) fn of(request: &ChatRequest) -> Self {
        let effort = match request.reasoning_effort.as_deref() {
            Some("none" | "minimal" | "low") => Some("low"),
            Some("medium") => Some("medium"),
            Some("high") => Some("high"),
            Some("xhigh") => Some("xhigh"),
            Some("max") => Some("max"),
            _ => None,
        };
        Settings {
            model: (!request.model.is_empty()).then(|| request.model.clone()),
            effort,
            max_tokens: request.token_limit(),
            no_thinking: request.reasoning_effort.as_deref() == Some("none"),
        }
    }

    /// Writes the control requests that lead from these settings to others.
    pub(crate) fn change_to(&self, wanted: &Settings, out: &mut Outgoing) {
        if self.model != wanted.model {
            let model = wanted.model.as_deref().unwrap_or("default");
            out.control("model", &json!({"subtype": "set_model", "model": model}));
        }
        // "" undoes a variable; leaving it out, or null, does not (2.1.328).
        let mut variables = serde_json::Map::new();
        if self.max_tokens != wanted.max_tokens {
            let limit = wanted.max_tokens.map(|limit| limit.to_string()).unwrap_or_default();
            variables.insert("CLAUDE_CODE_MAX_OUTPUT_TOKENS".to_owned(), json!(limit));
        }
        if self.no_thinking != wanted.no_thinking {
            // `set_max_thinking_tokens` changes nothing on models with adaptive thinking (2.1.328).
            let disabled = if wanted.no_thinking { "1" } else { "" };
            variables.insert("CLAUDE_CODE_DISABLE_THINKING".to_owned(), json!(disabled));
        }
        let mut settings = serde_json::Map::new();
        if !variables.is_empty() {
            settings.insert("env".to_owned(), Value::Object(variables));
        }
        if self.effort != wanted.effort {
            settings.insert("effortLevel".to_owned(), json!(wanted.effort));
        }
        if !settings.is_empty() {
            out.control("settings", &json!({"subtype": "apply_flag_settings", "settings": settings}));
        }
    }
}

/// One turn of the conversation, in the Messages API's blocks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Turn {
    pub(crate) assistant: bool,
    pub(crate) blocks: Vec<Value>,
}

/// The conversation as turns: messages of the same side in a row are one turn, as the API has it.
///
/// `messages[0]` is the request's message number `first`; errors name the parameter by it.
pub(crate) fn turns(messages: &[Message], first: usize, config: &Config) -> Result<Vec<Turn>, Error> {
    let skipped = if first == 0 { leading_system(messages).len() } else { 0 };
    let mut turns: Vec<Turn> = Vec::new();
    let mut ids = CallIds::default();
    for (index, message) in messages.iter().enumerate().skip(skipped) {
        let assistant = message.role == Role::Assistant;
        let blocks = blocks(message, &mut ids, config).map_err(|error| match error.param() {
            Some(param) => {
                let param = format!("messages[{}].{param}", first + index);
                error.with_param(param)
            }
            None => error,
        })?;
        if blocks.is_empty() {
            continue;
        }
        match turns.last_mut() {
            Some(turn) if turn.assistant == assistant => turn.blocks.extend(blocks),
            _ => turns.push(Turn { assistant, blocks }),
        }
    }
    for turn in turns.iter_mut().filter(|turn| !turn.assistant) {
        // The API wants the results first, right behind their calls.
        turn.blocks.sort_by_key(|block| block["type"] != "tool_result");
    }
    Ok(turns)
}

/// Refuses, before a process is taken for it, a conversation that cannot be told.
pub(crate) fn check(messages: &[Message]) -> Result<(), Error> {
    for (index, message) in messages.iter().enumerate() {
        let at = |error: Error| {
            let param = format!("messages[{index}].{}", error.param().unwrap_or_default());
            error.with_param(param)
        };
        if let Some(Content::Parts(parts)) = &message.content {
            let others = parts.iter().enumerate().filter(|(_, part)| part.as_text().is_none());
            for (part_index, part) in others {
                part_block(part).map_err(|error| at(error.with_param(format!("content[{part_index}]"))))?;
            }
        }
        for (call_index, call) in message.calls().iter().enumerate() {
            arguments(call, call_index).map_err(at)?;
        }
    }
    let conversation = &messages[leading_system(messages).len()..];
    match conversation.iter().rev().find(|message| says(message)) {
        Some(message) if message.role != Role::Assistant => Ok(()),
        _ => Err(nothing_to_answer()),
    }
}

/// Whether there is anything of the message in the conversation.
fn says(message: &Message) -> bool {
    let said = match &message.content {
        None | Some(Content::Null) => false,
        Some(Content::Text(text)) => !text.trim().is_empty(),
        Some(Content::Parts(parts)) => {
            parts.iter().any(|part| part.as_text().is_none_or(|text| !text.trim().is_empty()))
        }
    };
    let refused = message.refusal.as_deref().is_some_and(|refusal| !refusal.trim().is_empty());
    said || refused || message.tool_call_id.is_some() || !message.calls().is_empty()
}

pub(crate) fn nothing_to_answer() -> Error {
    Error::invalid_request(
        "There is nothing to answer: end the messages with a user or tool message that is not blank.",
    )
    .with_param("messages")
}

/// A call's arguments as the API wants them.
fn arguments(call: &ToolCall, index: usize) -> Result<Value, Error> {
    match call.function.arguments.trim() {
        "" => Ok(json!({})),
        arguments => serde_json::from_str(arguments).ok().filter(Value::is_object).ok_or_else(|| {
            Error::invalid_request(
                "The arguments of a call must be a JSON object. Send them back as they were received.",
            )
            .with_param(format!("tool_calls[{index}].function.arguments"))
        }),
    }
}

/// The ids of the history's calls as the API wants them: of its alphabet, and each used once.
#[derive(Default)]
struct CallIds {
    used: HashSet<String>,
    /// For each id that came more than once, the number that the next one gets: counting from 2 each time would take
    /// the square of their count.
    next: HashMap<String, usize>,
    /// The client's id to the one that was written for the latest call of that id.
    latest: HashMap<String, String>,
}

impl CallIds {
    fn call(&mut self, id: &str) -> String {
        let canonical = call_id::canonical(id);
        let base = if canonical.is_empty() { "call".to_owned() } else { canonical.clone() };
        let mut unique = base.clone();
        while !self.used.insert(unique.clone()) {
            let next = self.next.entry(base.clone()).or_insert(2);
            unique = format!("{base}_{next}");
            *next += 1;
        }
        self.latest.insert(canonical, unique.clone());
        unique
    }

    fn result(&self, id: &str) -> String {
        let canonical = call_id::canonical(id);
        self.latest.get(&canonical).cloned().unwrap_or(canonical)
    }
}

fn blocks(message: &Message, ids: &mut CallIds, config: &Config) -> Result<Vec<Value>, Error> {
    let mut blocks = Vec::new();
    match message.role {
        Role::System | Role::Developer => {
            // The tag by which Claude Code itself marks what is not the user's within a user turn.
            let text = message.text();
            if !text.trim().is_empty() {
                blocks.push(text_block(&format!("<system-reminder>\n{text}\n</system-reminder>")));
            }
        }
        Role::Tool | Role::Function => {
            let id = ids.result(message.tool_call_id.as_deref().unwrap_or_default());
            let content = content_blocks(message.content.as_ref())?;
            blocks.push(json!({"type": "tool_result", "tool_use_id": id, "content": content}));
        }
        Role::User => {
            blocks = content_blocks(message.content.as_ref())?;
            if let Some(name) = &message.name {
                match blocks.iter_mut().find(|block| block["type"] == "text") {
                    Some(block) => block["text"] = json!(format!("{name}: {}", block["text"].as_str().unwrap_or(""))),
                    None => blocks.insert(0, text_block(&format!("{name}:"))),
                }
            }
        }
        Role::Assistant => {
            blocks = content_blocks(message.content.as_ref())?;
            if let Some(refusal) = message.refusal.as_deref().filter(|refusal| !refusal.trim().is_empty()) {
                blocks.push(text_block(refusal));
            }
            for (index, call) in message.calls().iter().enumerate() {
                let arguments = arguments(call, index)?;
                let name = &call.function.name;
                let name = if config.builtin_tools.contains(name) { name.clone() } else { mcp::wire_name(name) };
                blocks.push(json!({"type": "tool_use", "id": ids.call(&call.id), "name": name, "input": arguments}));
            }
        }
    }
    Ok(blocks)
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// The content in the API's blocks. It refuses blank texts, so they are left out.
fn content_blocks(content: Option<&Content>) -> Result<Vec<Value>, Error> {
    let blank = |text: &str| text.trim().is_empty();
    match content {
        None | Some(Content::Null) => Ok(Vec::new()),
        Some(Content::Text(text)) if blank(text) => Ok(Vec::new()),
        Some(Content::Text(text)) => Ok(vec![text_block(text)]),
        Some(Content::Parts(parts)) => parts
            .iter()
            .enumerate()
            .filter(|(_, part)| !part.as_text().is_some_and(blank))
            .map(|(index, part)| part_block(part).map_err(|error| error.with_param(format!("content[{index}]"))))
            .collect(),
    }
}

fn part_block(part: &Part) -> Result<Value, Error> {
    if let Some(text) = part.as_text() {
        return Ok(text_block(text));
    }
    if let Some(image) = &part.image_url {
        return match DataUrl::parse(&image.url) {
            Ok(DataUrl { media_type, base64 }) => Ok(json!({
                "type": "image",
                "source": {"type": "base64", "media_type": media_type, "data": base64},
            })),
            // Handed on as it is: the API fetches it, this machine never does.
            Err(_) if image.url.starts_with("https://") => {
                Ok(json!({"type": "image", "source": {"type": "url", "url": image.url}}))
            }
            Err(_) => Err(Error::invalid_request("An image must be a data: URL in base64, or an https: URL.")),
        };
    }
    if let Some(file) = &part.file {
        let DataUrl { media_type, base64: data } =
            file.file_data.as_deref().and_then(|url| DataUrl::parse(url).ok()).ok_or_else(|| {
                Error::invalid_request("A file must be given as a data: URL in base64, in file_data.")
            })?;
        let source = if media_type == "application/pdf" {
            json!({"type": "base64", "media_type": media_type, "data": data})
        } else {
            let bytes = base64::engine::general_purpose::STANDARD.decode(data);
            let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.ok_or_else(|| {
                Error::invalid_request(format!("The file is of type {media_type}, but not UTF-8 text in base64."))
            })?;
            json!({"type": "text", "media_type": "text/plain", "data": text})
        };
        let mut block = json!({"type": "document", "source": source});
        if let Some(name) = &file.filename {
            block["title"] = json!(name);
        }
        return Ok(block);
    }
    Err(Error::new(
        ErrorKind::UnsupportedParameter,
        format!("Content parts of type {:?} are not supported. Send text, image_url or file parts.", part.kind),
    ))
}
