//! What the CLI's lines mean, and what becomes of lines that mean nothing.

mod calls;
mod damaged;
mod meaning;
mod whole;

use serde_json::{Value, json};

use super::{AfterTurn, Context, Step, TurnReader};
use crate::cli::conversation::{Answered, PreparedRequest};
use crate::cli::prompt::marks::KnownLifetime;
use crate::cli::prompt::prefix::KnownThinking;
use crate::cli::protocol::Line;
use crate::cli::rate_limits::Subscription;
use crate::{ChatEvent, ChatRequest, Error, FinishReason};

/// A request with the functions `exec` and `look`, for any JSON if there is to be a `schema`.
fn prepared(schema: bool) -> PreparedRequest {
    let format = if schema { r#","response_format":{"type":"json_object"}"# } else { "" };
    let tools = ["exec", "look"].map(|name| format!(r#"{{"type":"function","function":{{"name":"{name}"}}}}"#));
    let json = format!(
        r#"{{"model":"opus","messages":[{{"role":"user","content":"hi"}}],"tools":[{}]{format}}}"#,
        tools.join(",")
    );
    let request: ChatRequest = serde_json::from_str(&json).unwrap();
    PreparedRequest::of(request)
}

/// A turn that is read.
struct Turn {
    reader: TurnReader,
    request: PreparedRequest,
    subscription: Subscription,
    cache_lifetime: KnownLifetime,
    step: Step,
}

/// A turn whose request offers `exec` and `look`, and asks for JSON if there is to be a `schema`.
fn turn(reader: TurnReader, schema: bool) -> Turn {
    Turn {
        reader,
        request: prepared(schema),
        subscription: Subscription::default(),
        cache_lifetime: KnownLifetime::default(),
        step: Step::default(),
    }
}

/// A turn that the model has begun to answer.
fn begun(schema: bool) -> Turn {
    let mut turn = turn(TurnReader::live(), schema);
    turn.hears([message_start("msg_1")]);
    turn
}

impl Turn {
    fn take(&mut self, line: &Value) -> Result<(), Error> {
        let text = line.to_string();
        let context = Context {
            request: &self.request,
            subscription: &self.subscription,
            cache_lifetime: &self.cache_lifetime,
            thinking: &KnownThinking::default(),
        };
        self.reader.take(Line::parse(text.as_bytes()).unwrap(), context, &mut self.step)
    }

    /// What the client is told because of these lines.
    #[track_caller]
    fn hears(&mut self, lines: impl IntoIterator<Item = Value>) -> Vec<ChatEvent> {
        for line in lines {
            self.take(&line).unwrap();
        }
        self.step.events.drain(..).collect()
    }

    /// What the client is told last, and the answer if the process goes on.
    fn ends(mut self, lines: impl IntoIterator<Item = Value>) -> (FinishReason, Option<Answered>) {
        let Some(ChatEvent::Finished { reason, .. }) = self.hears(lines).pop() else { panic!("it did not end") };
        match self.step.after.take() {
            Some(AfterTurn::Keep(answered)) => (reason, Some(answered)),
            Some(AfterTurn::Kill) => (reason, None),
            None => panic!("nothing becomes of the process"),
        }
    }
}

fn event(event: Value) -> Value {
    json!({"type": "stream_event", "event": event, "parent_tool_use_id": null})
}

fn message_start(id: &str) -> Value {
    let usage = json!({"input_tokens": 12, "output_tokens": 1});
    event(json!({"type": "message_start", "message": {"id": id, "model": "claude-opus-5-5", "usage": usage}}))
}

fn block(index: u32, block: Value) -> Value {
    event(json!({"type": "content_block_start", "index": index, "content_block": block}))
}

fn text_block(index: u32) -> Value {
    block(index, json!({"type": "text", "text": ""}))
}

fn call_block(index: u32, id: &str, name: &str) -> Value {
    block(index, json!({"type": "tool_use", "id": id, "name": name, "input": {}}))
}

fn delta(index: u32, delta: Value) -> Value {
    event(json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

fn text_delta(index: u32, text: &str) -> Value {
    delta(index, json!({"type": "text_delta", "text": text}))
}

fn input_delta(index: u32, json: &str) -> Value {
    delta(index, json!({"type": "input_json_delta", "partial_json": json}))
}

fn block_stop(index: u32) -> Value {
    event(json!({"type": "content_block_stop", "index": index}))
}

/// A block of the message in one piece.
fn whole(message: &str, block: &Value) -> Value {
    let message = json!({"id": message, "model": "claude-opus-5-5", "content": [block]});
    json!({"type": "assistant", "message": message, "parent_tool_use_id": null})
}

fn stop(reason: &str) -> Value {
    event(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 3}}))
}

fn result(turns: u64) -> Value {
    json!({"type": "result", "subtype": "success", "is_error": false, "num_turns": turns, "result": ""})
}

/// The CLI asks for the result of a call.
fn issued(id: &str) -> Value {
    let params = json!({"name": "look", "arguments": {}, "_meta": {"claudecode/toolUseId": id}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    json!({"type": "control_request", "request_id": format!("r_{id}"),
        "request": {"subtype": "mcp_message", "server_name": "c", "message": message}})
}

/// A call has been answered by the CLI itself.
fn answered_by_the_cli(id: &str) -> Value {
    let block = json!({"type": "tool_result", "tool_use_id": id, "content": "no", "is_error": true});
    json!({"type": "user", "message": {"role": "user", "content": [block]}, "parent_tool_use_id": null})
}

fn delta_of(text: &str) -> ChatEvent {
    ChatEvent::TextDelta(text.to_owned())
}

fn finished(events: &[ChatEvent]) -> bool {
    events.iter().any(|event| matches!(event, ChatEvent::Finished { .. }))
}
