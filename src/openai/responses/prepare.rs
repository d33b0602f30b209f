//! Turns a request of this door into a chat request, and into the plan of its answer.

use serde_json::{Map, Value};

use super::answer::Plan;
use super::conversation;
use super::items::{Item, OwnItems};
use super::output::Shown;
use super::request::{CreateResponse, Format};
use super::tools::{self, Tools};
use crate::Error;
use crate::chat::{ChatRequest, Extra, JsonSchema, Message, ResponseFormat, Role};
use crate::http::fields::{Ignored, invalid};

/// A request that can be answered.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) chat: ChatRequest,
    pub(crate) plan: Plan,
    pub(crate) places: Places,
}

/// Which item of the client's input each message began with.
#[derive(Debug)]
pub(crate) struct Places {
    /// How many messages come before the first item's.
    before: usize,
    /// How many items come from answers that are kept here.
    kept: usize,
    origins: Vec<usize>,
}

/// Makes the chat request. `kept` are the items of answers that are kept here, which `own` follow; `settings` are the unnamed fields that the inner service is to see.
pub(crate) fn prepare(
    request: &mut CreateResponse,
    kept: Vec<Item>,
    own: OwnItems,
    settings: Map<String, Value>,
    ignored: &mut Ignored,
) -> Result<Prepared, Error> {
    let offered = request.tools.take().unwrap_or_default();
    let web_search = offered.iter().any(|tool| tool.kind.starts_with("web_search"));
    let (tools, functions) = Tools::of(offered, ignored)?;
    let tool_choice = tools::choice(request.tool_choice.as_ref(), &tools, &functions, ignored)?;

    let mut messages = Vec::new();
    if let Some(instructions) = request.instructions.as_deref().filter(|text| !text.is_empty()) {
        messages.push(Message::new(Role::System, instructions));
    }
    let (before, places_kept) = (messages.len(), kept.len());
    let read = conversation::read(kept, own, &tools, ignored)?;
    messages.extend(read.messages);
    if messages.is_empty() {
        return Err(invalid(
            "input",
            "There is nothing to answer: `input` is empty. Send a text, or a user's message.",
        ));
    }
    if messages.iter().all(|message| message.role.is_instructions()) {
        messages.push(Message::go_ahead());
    }

    let chat = ChatRequest {
        model: request.model.clone().unwrap_or_default(),
        messages,
        tools: (!functions.is_empty()).then_some(functions),
        tool_choice,
        parallel_tool_calls: request.parallel_tool_calls,
        max_completion_tokens: request.max_output_tokens,
        stream: request.stream,
        reasoning_effort: request.reasoning.as_ref().and_then(|asked| asked.effort.clone()),
        response_format: request.text.as_ref().and_then(|text| text.format.as_ref()).and_then(response_format),
        prompt_cache_key: request.prompt_cache_key.clone(),
        summarizes_reasoning: request.wants_summary(),
        extra: settings.into(),
        ..ChatRequest::default()
    };
    let shown = Shown { summary: request.wants_summary(), encrypted: request.includes("reasoning.encrypted_content") };
    let plan = Plan { model: chat.model.clone(), shown, reasoning: request.wants_reasoning(), web_search, tools };
    Ok(Prepared { chat, plan, places: Places { before, kept: places_kept, origins: read.origins } })
}

fn response_format(format: &Format) -> Option<ResponseFormat> {
    let json_schema = match format.kind.as_str() {
        "json_schema" => Some(JsonSchema {
            name: format.name.clone().unwrap_or_default(),
            description: format.description.clone(),
            schema: format.schema.clone(),
            extra: Extra::default(),
        }),
        "json_object" => None,
        _ => return None,
    };
    Some(ResponseFormat { kind: format.kind.clone(), json_schema, extra: Extra::default() })
}

impl Places {
    /// Translates an error of the inner service, which names messages, into this door's terms, which are items.
    pub(crate) fn name(&self, error: Error) -> Error {
        let Some(param) = error.param() else { return error };
        let Some(rest) = param.strip_prefix("messages") else { return error };
        let place = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let item = place.and_then(|(number, rest)| {
            let message: usize = number.parse().ok()?;
            let item = *self.origins.get(message.checked_sub(self.before)?)?;
            Some(format!("input[{}]{rest}", item.checked_sub(self.kept)?))
        });
        error.with_param(item.unwrap_or_else(|| "input".to_owned()))
    }
}
