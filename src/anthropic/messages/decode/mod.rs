//! Turns a Messages request into a chat request: what each field, message, block and tool means there.

mod client_tools;
mod conversation;
mod tools;

use serde_json::Value;

use super::fields;
use super::request::{MessagesRequest, OutputFormat, WireThinking};
use crate::chat::{Abilities, JsonSchema, Message, ResponseFormat, Thinking};
use crate::http::fields::{Ignored, admit_setting};
use crate::{ChatRequest, Error, ErrorKind};

/// A request in the conversation's terms.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) request: ChatRequest,
    /// Fields without effect, for `x-ignored-parameters`.
    pub(crate) ignored: Vec<String>,
    /// Whether the client wants to read the model's thinking.
    pub(crate) shows_thinking: bool,
}

/// Turns a request into one for an inner service with these abilities.
///
/// # Errors
/// 400, with the path to the fault as Anthropic writes it: `messages.2.content.0.source`.
pub(crate) fn decode(wire: MessagesRequest, abilities: Abilities) -> Result<Decoded, Error> {
    let mut ignored = Ignored::by(abilities);
    let settings = fields::check(wire.extra, &mut ignored)?;
    if wire.max_tokens == Some(0) {
        return Err(invalid("max_tokens", "must be greater than or equal to 1"));
    }
    let mut messages: Vec<Message> = conversation::system(wire.system, &mut ignored)?.into_iter().collect();
    messages.extend(conversation::conversation(wire.messages, &mut ignored)?);
    conversation::mark_last(&mut messages, wire.cache_control);
    for (name, is_there) in [
        ("messages[].content[].thinking", messages.iter().any(|message| !message.reasoning.is_empty())),
        ("messages[].content[].is_error", messages.iter().any(|message| message.is_error)),
    ] {
        if is_there {
            admit_setting(name, name, &mut ignored)?;
        }
    }
    let tools = wire.tools.map(|tools| tools::tools(tools, &mut ignored)).transpose()?;
    let (tool_choice, parallel) = tools::choice(wire.tool_choice, tools.as_deref().unwrap_or_default())?;
    let config = wire.output_config;
    let (effort, format) = config.map_or((None, None), |config| {
        ignored.name_all("output_config.", &config.extra, &[]);
        (config.effort, config.format)
    });
    if let Some(effort) = effort.as_deref().filter(|effort| !EFFORTS.contains(effort)) {
        let message = format!("{effort:?} is not a level of effort. Use one of: {}.", EFFORTS.join(", "));
        return Err(invalid("output_config.effort", message));
    }
    let shows_thinking = wire.thinking.as_ref().is_some_and(|thinking| thinking.display.as_deref() != Some("omitted"));
    let summarizes = wire.thinking.as_ref().is_some_and(|thinking| thinking.display.as_deref() == Some("summarized"));
    if summarizes {
        admit_setting("thinking.display", "thinking.display", &mut ignored)?;
    }
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
        extra: settings.into(),
        ..ChatRequest::default()
    };
    request.caller.session = wire.metadata.and_then(|metadata| session(&metadata.user_id?));
    Ok(Decoded { request, ignored: ignored.names, shows_thinking })
}

const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// A value of the client's as an error message quotes it.
fn quoted(value: &str) -> String {
    format!("{:?}", crate::error::shortened(value))
}

fn invalid(param: impl Into<String>, message: impl Into<String>) -> Error {
    Error::invalid_request(message).with_param(param)
}

fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::UnsupportedParameter, message).with_param(param)
}

fn thinking(thinking: WireThinking, ignored: &mut Ignored) -> Result<Thinking, Error> {
    ignored.name_all("thinking.", &thinking.extra, &[]);
    match (thinking.kind.as_str(), thinking.budget_tokens) {
        ("disabled", _) => Ok(Thinking::Disabled),
        ("adaptive" | "between_tools", _) => Ok(Thinking::Adaptive),
        ("enabled", Some(budget)) if budget >= 1024 => {
            admit_setting("thinking.budget_tokens", "thinking.budget_tokens", ignored)?;
            Ok(Thinking::Budget(u32::try_from(budget).unwrap_or(u32::MAX)))
        }
        ("enabled", Some(_)) => Err(invalid("thinking.budget_tokens", "Input should be greater than or equal to 1024")),
        ("enabled", None) => Err(invalid("thinking.budget_tokens", "Field required")),
        _ => Err(invalid("thinking.type", "Use `enabled`, `adaptive` or `disabled`.")),
    }
}

fn stop(sequences: Option<Vec<String>>) -> Result<Vec<String>, Error> {
    let sequences = sequences.unwrap_or_default();
    match sequences.iter().position(|text| text.trim().is_empty()) {
        Some(i) => Err(invalid(format!("stop_sequences.{i}"), "each stop sequence must contain non-whitespace")),
        None => Ok(sequences),
    }
}

fn response_format(format: OutputFormat) -> Result<ResponseFormat, Error> {
    let Some(schema @ Value::Object(_)) = format.schema.filter(|_| format.kind == "json_schema") else {
        return Err(invalid("output_config.format", "Send {\"type\": \"json_schema\", \"schema\": {...}}."));
    };
    Ok(ResponseFormat::json_schema(JsonSchema::new("output", schema)))
}

/// The session in Claude Code's `metadata.user_id`, which is JSON in a string. Other clients send the id of a user.
fn session(user_id: &str) -> Option<String> {
    let value: Value = serde_json::from_str(user_id).ok()?;
    value["session_id"].as_str().map(str::to_owned)
}
