//! OpenClaw's requests, written for these tests, through the whole stack in both directions.

use std::fmt::Write;

use serde_json::{Value, json};

use super::recorded::message;
use super::shown;
use super::told::Listening;
use crate::support::snapshot::assert_snapshot;

const PROMPT: &str = "\
<!-- openclaw:attempt:STABLE -->
You are a personal assistant running inside OpenClaw.
## Tooling
Call these by name.
- exec: Run a command
- read: Read a file
## Tool Call Style
Say nothing of routine calls.
## Safety
Stop when told to.
## Workspace
/home/robin/claw
<!-- /openclaw:attempt:STABLE -->
<!-- openclaw:attempt:DYNAMIC -->
## Temporal Context
Current date: 2026-11-22
<!-- /openclaw:attempt:DYNAMIC -->";

fn context(text: &str) -> Value {
    let text = format!("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\n{text}\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>");
    json!({"role": "user", "content": [{"type": "text", "text": text}]})
}

fn function(name: &str, description: &str, property: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": description, "parameters": {
        "type": "object", "properties": {property: {"type": "string"}}, "required": [property]
    }}})
}

fn body(history: &[Value]) -> Value {
    let mut messages = vec![json!({"role": "system", "content": PROMPT})];
    messages.extend_from_slice(history);
    json!({
        "model": "claude-sonnet-4", "messages": messages, "stream": true, "stream_options": {"include_usage": true},
        "tools": [function("exec", "Run a command", "command"), function("read", "Read a file", "path")],
        "tool_choice": "auto", "max_completion_tokens": 8192
    })
}

#[tokio::test]
async fn openclaw_tool_round_trip() {
    let mut listening = Listening::new();
    let mut text = String::new();
    let said =
        "[Sun 2026-11-22 09:15 UTC] what is here? [[tool exec {\"command\":\"ls\"} ;; read {\"path\":\"TODO\"}]]";
    let mut history = vec![json!({"role": "user", "content": said})];

    // The context is new in each request, and none of them is kept.
    let now =
        |history: &[Value], number: u32| body(&[history, &[context(&format!("Active sessions: {number}"))]].concat());
    let answer = listening.ask(&now(&history, 1)).await;
    assert_eq!(answer.header("x-claude-process"), Some("cold"));
    writeln!(text, "{}", shown(&answer, &listening.told())).unwrap();

    let mut called = message(&answer);
    let mut results = Vec::new();
    for (call, result) in called["tool_calls"].as_array_mut().unwrap().iter_mut().zip(["TODO\nnotes.md", "(no output)"])
    {
        let id: String = call["id"].as_str().unwrap().chars().filter(char::is_ascii_alphanumeric).take(40).collect();
        call["id"] = json!(id);
        results.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
    }
    history.push(called);
    history.extend(results);
    let answer = listening.ask(&now(&history, 2)).await;
    assert_eq!(answer.header("x-claude-process"), Some("live"));
    writeln!(text, "{}", shown(&answer, &listening.told())).unwrap();

    history.extend([message(&answer), json!({"role": "user", "content": "[Sun 2026-11-22 09:16 UTC] thanks"})]);
    let answer = listening.ask(&now(&history, 3)).await;
    assert_eq!(answer.header("x-claude-process"), Some("live"));
    text.push_str(&shown(&answer, &listening.told()));

    let description = "Two calls, their results, and a following message: one process, told what is new alone.";
    assert_snapshot!("openclaw/tool_round_trip", description, text);
}
