//! What the CLI is told of OpenClaw's requests, line by line, in both modes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::snapshot::assert_snapshot;
use crate::support::{claude_bin, in_time};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_claude::cli::{ClaudeCli, ClaudeCliBuilder};
use tower_claude::layers::{self, OpenClaw, OpenClawLayer};
use tower_claude::{ChatEvent, ChatRequest, FinishReason};

const PROMPT: &str = "<!-- openclaw:attempt:STABLE -->\nYou are a personal assistant running inside OpenClaw.\n\
                      ## Tooling\n- exec: Run a command\n## Safety\nStop when told to.\n\
                      <!-- /openclaw:attempt:STABLE -->";

/// The stand-in CLI, and what it was told.
struct Told {
    service: OpenClaw<ClaudeCli>,
    lines: PathBuf,
    /// What was asked, and every line that the CLI was told, laid out to be read.
    transcript: Mutex<String>,
    heard: AtomicUsize,
    _directory: tempfile::TempDir,
}

impl Told {
    fn new(preset: OpenClawLayer, configure: impl FnOnce(ClaudeCliBuilder, &Path) -> ClaudeCliBuilder) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let lines = directory.path().join("lines");
        // No process but the one that takes the turns, so that the lines are of one process.
        let stand_in = ClaudeCli::builder()
            .program(claude_bin::stand_in())
            .env("STAND_IN_LOG", &lines)
            .env("STAND_IN_ID", "1")
            .warm_processes(0);
        let claude = configure(stand_in, directory.path()).build();
        Told {
            service: preset.layer(claude),
            lines,
            transcript: Mutex::default(),
            heard: AtomicUsize::new(0),
            _directory: directory,
        }
    }

    /// The events of an answer.
    async fn answer(&self, conversation: &[Value]) -> Vec<ChatEvent> {
        let request = request(conversation);
        let asked = format!("=== OpenClaw asks ===\n{:#}\n", serde_json::to_value(&request).unwrap());
        let response = in_time("the head", self.service.clone().oneshot(request)).await.unwrap();
        let events = in_time("the events", response.events.map(Result::unwrap).collect()).await;
        self.transcript.lock().unwrap().push_str(&(asked + &self.new_lines()));
        events
    }

    /// The lines since the last time; ids that the CLI has made up, and this crate's version, are left out.
    fn new_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.lines).unwrap();
        let mut out = "=== Claude Code is told ===\n".to_owned();
        for line in text[self.heard.swap(text.len(), Ordering::SeqCst)..].lines() {
            let mut line: Value = serde_json::from_str(line).unwrap();
            if let Some(id) = line.pointer_mut("/response/request_id") {
                *id = json!("…");
            }
            if let Some(version) =
                line.pointer_mut("/request/sdkMcpServerManifests/c/initializeResult/serverInfo/version")
            {
                *version = json!("…");
            }
            writeln!(out, "{line:#}").unwrap();
        }
        out
    }

    fn transcript(self) -> String {
        self.transcript.into_inner().unwrap()
    }
}

fn request(conversation: &[Value]) -> ChatRequest {
    let context = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nnone\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>";
    let mut messages = vec![json!({"role": "system", "content": PROMPT})];
    messages.extend_from_slice(conversation);
    messages.push(json!({"role": "user", "content": [{"type": "text", "text": context}]}));
    let function = |name: &str| {
        let parameters = json!({"type": "object", "properties": {}});
        json!({"type": "function", "function": {"name": name, "description": "Does it.", "parameters": parameters}})
    };
    let tools = ["exec", "message"].map(function);
    let request = json!({"model": "claude-sonnet-4", "messages": messages, "stream": true, "tools": tools,
        "tool_choice": "auto", "max_completion_tokens": 8192});
    serde_json::from_value(request).unwrap()
}

fn calls(calls: &[(&str, &str, &str)]) -> Value {
    let call = |(id, name, arguments): &(&str, &str, &str)| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    calls.iter().map(call).collect()
}

/// A conversation that the CLI has to be told of, a call of the client's `message` in it, and its result.
async fn round_trip(told: &Told) {
    let mut conversation = vec![
        json!({"role": "user", "content": "what is here?"}),
        json!({"role": "assistant", "content": null, "tool_calls": calls(&[
            ("call1", "exec", r#"{"command":"ls"}"#), ("call2", "message", r#"{"text":"looking"}"#)])}),
        json!({"role": "tool", "tool_call_id": "call1", "content": "notes.md"}),
        json!({"role": "tool", "tool_call_id": "call2", "content": "(no output)"}),
        json!({"role": "assistant", "content": "Notes."}),
        json!({"role": "user", "content": r#"tell them [[tool message {"text":"notes"}]]"#}),
    ];
    let events = told.answer(&conversation).await;
    let Some(ChatEvent::ToolCallStart { id, name, .. }) =
        events.iter().find(|event| matches!(event, ChatEvent::ToolCallStart { .. }))
    else {
        panic!("no call in {events:?}");
    };
    let text = |event: &ChatEvent| if let ChatEvent::TextDelta(text) = event { text.clone() } else { String::new() };
    let text: String = events.iter().map(text).collect();
    conversation.push(json!({"role": "assistant", "content": text,
        "tool_calls": calls(&[(id, name, r#"{"text":"notes"}"#)])}));
    conversation.push(json!({"role": "tool", "tool_call_id": id, "content": "sent"}));
    told.answer(&conversation).await;
}

#[tokio::test]
async fn in_client_mode_the_cli_is_told_of_openclaws_functions_and_of_its_whole_prompt() {
    let told = Told::new(layers::OpenClawLayer::new(), |cli, _| cli);
    round_trip(&told).await;
    let description = "The history as turns; a call of the model's; its result, after the new internal context.";
    assert_snapshot!("openclaw/client_mode_told", description, told.transcript());
}

#[tokio::test]
async fn in_agent_mode_the_cli_is_told_of_the_other_functions_and_asks_before_it_uses_its_own() {
    let told = Told::new(layers::OpenClawLayer::new().agent(["Bash"]), |cli, directory| {
        cli.workspace(directory).builtin_tools(["Bash"])
    });
    round_trip(&told).await;
    let description =
        "exec is Bash, in the history too; the prompt is appended to Claude Code's; a hook is registered.";
    assert_snapshot!("openclaw/agent_mode_told", description, told.transcript());
}

#[tokio::test]
async fn a_built_in_tool_is_never_a_call_of_the_clients() {
    let told = Told::new(layers::OpenClawLayer::new().agent(["Bash"]).show_tools(true), |cli, directory| {
        cli.workspace(directory).builtin_tools(["Bash"])
    });
    let message = r#"[[tool Bash {"command":"ls"}]]"#;
    let events = told.answer(&[json!({"role": "user", "content": message})]).await;
    assert!(!events.iter().any(|event| matches!(event, ChatEvent::ToolCallStart { .. })), "{events:?}");
    assert!(events.contains(&ChatEvent::ReasoningDelta("exec: ls\n".to_owned())), "{events:?}");
    let Some(ChatEvent::Finished { reason, .. }) = events.last() else { panic!("no end: {events:?}") };
    assert_eq!(*reason, FinishReason::Stop);
}
