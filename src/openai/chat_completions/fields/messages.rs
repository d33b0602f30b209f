//! Checks of the conversation: who speaks when, and that each call has exactly one result.

use serde_json::{Map, Value};

use super::parts;
use crate::Error;
use crate::chat::call_id::{Waiting, canonical};
use crate::chat::{Content, Message, Role, ToolCall};
use crate::error::shortened;
use crate::http::fields::{Ignored, invalid, unsupported};

/// Fields of a message that may be left as they are: those of our own answers, which clients send back, and marks for a prompt
/// cache, which do not change the answer.
const ACCEPTED: [&str; 3] = ["annotations", "parsed", "cache_control"];

/// The most calls that an error names.
const MAX_NAMED: usize = 8;

pub(super) fn check(messages: &[Message], ignored: &mut Ignored) -> Result<(), Error> {
    let mut calls = Calls::default();
    for (i, message) in messages.iter().enumerate() {
        if message.role != Role::Assistant && !message.calls().is_empty() {
            let message = "Only an `assistant` message can have `tool_calls`. Leave them out.";
            return Err(invalid(format!("messages[{i}].tool_calls"), message));
        }
        match message.role {
            Role::System | Role::Developer => {}
            Role::User => calls.check_answered()?,
            Role::Assistant => {
                calls.check_answered()?;
                calls = Calls::made_in(i, message.calls())?;
                check_no_relics(i, &message.extra)?;
            }
            Role::Tool => calls.answer(i, message)?,
            Role::Function => {
                let message =
                    "The role `function` is deprecated and not supported. Send the result as a `tool` message.";
                return Err(unsupported(format!("messages[{i}].role"), message));
            }
        }
        parts::check(i, message, ignored)?;
        if message.role != Role::Tool && message.tool_call_id.is_some() {
            ignored.name("messages[].", "tool_call_id", &Value::Bool(true));
        }
        if message.role != Role::Assistant && message.refusal.is_some() {
            ignored.name("messages[].", "refusal", &Value::Bool(true));
        }
        ignored.name_all("messages[].", &message.extra, &ACCEPTED);
    }
    calls.check_answered()?;
    check_turn(messages, ignored.abilities.no_prefill())
}

/// Checks that it is the model's turn to speak, or that the inner service can continue the assistant's words.
fn check_turn(messages: &[Message], no_prefill: Option<&str>) -> Result<(), Error> {
    let Some((last, _)) = messages.split_last() else {
        return Err(invalid("messages", "`messages` is empty. Send at least one `user` message."));
    };
    if let (Role::Assistant, Some(advice)) = (last.role, no_prefill) {
        let message = format!("The last message is the assistant's own. {advice}");
        return Err(invalid(format!("messages[{}].role", messages.len() - 1), message));
    }
    let asks = |message: &Message| match (message.role, &message.content) {
        (Role::Tool, _) => true,
        (Role::User, Some(Content::Text(_))) => true,
        (Role::User, Some(Content::Parts(parts))) => !parts.is_empty(),
        _ => false,
    };
    if !messages.iter().any(asks) && !messages.iter().all(|message| message.role.is_instructions()) {
        let message = "There is nothing to answer: no `user` message says anything. Send at least one that does.";
        return Err(invalid("messages", message));
    }
    Ok(())
}

/// Refuses what older or speaking models put into assistant messages: leaving it out would change the history.
fn check_no_relics(i: usize, extra: &Map<String, Value>) -> Result<(), Error> {
    let relics = [
        ("function_call", "It is deprecated: send the call in `tool_calls`, its result as a `tool` message."),
        ("audio", "Conversations are text here: send what was said as `content`."),
    ];
    for (name, advice) in relics {
        if extra.get(name).is_some_and(|value| !value.is_null()) {
            let message = format!("`{name}` in an assistant message is not supported. {advice}");
            return Err(unsupported(format!("messages[{i}].{name}"), message));
        }
    }
    Ok(())
}

/// The calls of the last assistant message, and which of them have their result.
#[derive(Default)]
struct Calls<'a> {
    at: usize,
    calls: &'a [ToolCall],
    waiting: Waiting,
}

impl<'a> Calls<'a> {
    fn made_in(at: usize, calls: &'a [ToolCall]) -> Result<Self, Error> {
        let mut waiting = Waiting::default();
        for (j, call) in calls.iter().enumerate() {
            let at = |field: &str| format!("messages[{at}].tool_calls[{j}].{field}");
            if call.kind != "function" {
                let message = format!("Calls of type {:?} are not supported. Send `function` calls alone.", call.kind);
                return Err(unsupported(at("type"), message));
            }
            if call.function.name.is_empty() {
                return Err(invalid(at("function.name"), "The call names no function. Send the name that was called."));
            }
            if canonical(&call.id).is_empty() {
                let message = format!("The id {:?} has no letter or digit to know the call by. Give it some.", call.id);
                return Err(invalid(at("id"), message));
            }
            if waiting.knows(&call.id) {
                let message = format!("Two calls of this message have the id {:?}. Give each its own.", call.id);
                return Err(invalid(at("id"), message));
            }
            waiting.call(&call.id);
        }
        Ok(Calls { at, calls, waiting })
    }

    fn answer(&mut self, i: usize, message: &Message) -> Result<(), Error> {
        let at = || format!("messages[{i}].tool_call_id");
        let Some(id) = &message.tool_call_id else {
            return Err(invalid(
                at(),
                "A `tool` message needs the `tool_call_id` of the call that it answers. Add it.",
            ));
        };
        if self.waiting.result(id).is_some() {
            return Ok(());
        }
        let is_of_call = |call: &ToolCall| call.id == *id || canonical(&call.id) == canonical(id);
        if self.calls.iter().any(is_of_call) {
            let message = format!("The call {id:?} already has its result. Send one `tool` message for each call.");
            return Err(invalid(at(), message));
        }
        let message = format!(
            "No call of the assistant message before it has the id {id:?}. Send the assistant message with its \
             `tool_calls` first, and each result with the id of its call."
        );
        Err(invalid(at(), message))
    }

    fn check_answered(&self) -> Result<(), Error> {
        let open = self.waiting.open();
        if open == 0 {
            return Ok(());
        }
        let calls = self.calls.iter().enumerate().filter(|(place, _)| self.waiting.is_open(*place));
        let mut missing: Vec<String> =
            calls.take(MAX_NAMED).map(|(_, call)| format!("{:?}", shortened(&call.id))).collect();
        if open > missing.len() {
            missing.push(format!("and {} more", open - missing.len()));
        }
        let message = format!(
            "Calls without a result: {}. Send one `tool` message for each before the conversation goes on.",
            missing.join(", ")
        );
        Err(invalid(format!("messages[{}].tool_calls", self.at), message))
    }
}
