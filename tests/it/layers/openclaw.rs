//! OpenClaw-shaped requests, written for these tests, through the preset in both its modes.

use serde_json::{Value, json};
use tower_claude::chat::ToolChoice;
use tower_claude::layers::{self, ModelAliasLayer, OpenClawLayer, UnknownModel};
use tower_claude::{ChatEvent, ChatRequest, FinishReason};

use super::transcript::{assert_answer, assert_request, through};
use super::{any_answer, arguments, call, finished, function, request, text};

/// The shape of 2026: two marked parts, the workspace's files in the first, one of them with headings like OpenClaw's.
const PROMPT: &str = "\
<!-- openclaw:attempt:STABLE -->
You are a personal assistant running inside OpenClaw.
## Tooling
Call these by name.
- exec: Run a command
### Deferred Tool Schemas
Search for the rest.
## Tool Call Style
Say nothing of routine calls.
```text
## Safety
```
## Safety
Stop when told to.
## OpenClaw Control
Ask `openclaw` for a restart.
## Workspace
/home/robin/claw
# Project Context
The user's files follow.
## /home/robin/claw/TOOLS.md
# TOOLS.md

## Tooling

The printer is called Bertha.

```
an open fence
<!-- /openclaw:attempt:STABLE -->
<!-- openclaw:attempt:DYNAMIC -->
## Temporal Context
Current date: 2026-11-22
## OpenClaw Control
Once more, in this part.
<!-- /openclaw:attempt:DYNAMIC -->";

/// The shape of early 2026: no markers, blank lines between the sections, and their older names.
const EARLY_PROMPT: &str = "\
You are a personal assistant running inside OpenClaw.

## Tooling
Tool availability:
- exec: Run shell commands

## Tool Call Style
Default: do not narrate.

## Safety
Stop when told to.

## OpenClaw CLI Quick Reference
- openclaw gateway status

## OpenClaw Self-Update
Only when the user asks.

## Runtime
Runtime: agent=main";

const CONTEXT: &str =
    "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nActive sessions: none\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>";

const USER: &str = "[Sun 2026-11-22 09:15 UTC] what is here?\n\nRuntime: agent=main | sessionId=s1 |";

fn turn(prompt: &str, functions: &[&str], history: &[Value]) -> ChatRequest {
    let mut messages = vec![json!({"role": "system", "content": prompt}), json!({"role": "user", "content": USER})];
    messages.extend_from_slice(history);
    messages.push(json!({"role": "user", "content": [{"type": "text", "text": CONTEXT}]}));
    let mut request = json!({
        "model": "claude-sonnet-4",
        "messages": messages,
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_completion_tokens": 8192
    });
    if !functions.is_empty() {
        request["tools"] = functions.iter().map(|name| function(name)).collect();
        request["tool_choice"] = json!("auto");
    }
    super::request(request)
}

/// A call of `exec` and of `process`, and their results.
fn tool_round() -> [Value; 3] {
    let called = |id: &str, name: &str, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        json!({"id": id, "type": "function", "function": function})
    };
    [
        json!({"role": "assistant", "content": "Let me look.", "tool_calls": [
            called("call0", "exec", r#"{"command":"ls"}"#), called("call1", "message", "{}")]}),
        json!({"role": "tool", "tool_call_id": "call0", "content": "notes.md"}),
        json!({"role": "tool", "tool_call_id": "call1", "content": "(no output)"}),
    ]
}

fn agent() -> OpenClawLayer {
    layers::OpenClawLayer::new().agent(["Bash", "Read", "Edit", "Write", "Glob", "Grep"])
}

#[tokio::test]
async fn in_client_mode_openclaws_functions_and_its_prompt_stay_as_they_are() {
    let before = turn(PROMPT, &["exec", "message", "process", "web_fetch"], &tool_round());
    let answer = [text("Let me look."), call(0, "exec"), arguments(0, "{}"), finished(FinishReason::ToolCalls)];
    let (after, events) = through(layers::OpenClawLayer::new(), before.clone(), &answer).await;
    let description = "Nothing changes but the model, and the internal context, which is marked and becomes text.";
    assert_request("openclaw/client_mode_request", description, &before, &after);
    assert_eq!(events, answer);
}

#[tokio::test]
async fn in_client_mode_a_request_without_functions_loses_what_the_prompt_says_of_them() {
    let before = turn(PROMPT, &[], &[]);
    let (after, _) = through(layers::OpenClawLayer::new(), before.clone(), &any_answer()).await;
    let description = "The sections go in both parts; the heading of the same name in the user's file stays.";
    assert_request("openclaw/client_mode_without_functions", description, &before, &after);
}

#[tokio::test]
async fn early_versions_have_other_section_names() {
    let before = turn(EARLY_PROMPT, &[], &[]);
    let (after, _) = through(layers::OpenClawLayer::new(), before.clone(), &any_answer()).await;
    assert_request("openclaw/early_prompt", "No markers, and the early names.", &before, &after);
}

#[tokio::test]
async fn in_agent_mode_the_cli_serves_what_it_has_tools_for() {
    let offered = ["apply_patch", "edit", "exec", "message", "process", "read", "web_fetch"];
    let before = turn(PROMPT, &offered, &tool_round());
    let answer = [text("Telling them."), call(0, "message"), arguments(0, "{}"), finished(FinishReason::ToolCalls)];
    let (after, events) = through(agent(), before.clone(), &answer).await;
    let description = "Five functions are the CLI's now; message and web_fetch, whose tool is not enabled, stay.";
    assert_request("openclaw/agent_mode_request", description, &before, &after);
    assert_answer("openclaw/agent_mode_answer", "The client's own functions come out as they are.", &answer, &events);
}

/// An answer for which Claude Code has used tools of its own.
fn answer_with_builtin_tools() -> [ChatEvent; 8] {
    let used = |name: &str, input: Value| ChatEvent::builtin_tool_use(name.to_owned(), input);
    [
        ChatEvent::Started,
        ChatEvent::ReasoningDelta("I shall look".to_owned()),
        used("Bash", json!({"command": "ls -la", "description": "List files"})),
        used("Read", json!({"file_path": "/home/robin/claw/notes.md"})),
        used("WebFetch", json!({"url": "https://example.com/", "prompt": "What is it?"})),
        ChatEvent::TextBlockStart,
        text("There are notes."),
        finished(FinishReason::Stop),
    ]
}

#[tokio::test]
async fn in_agent_mode_built_in_tools_can_be_shown_as_lines_of_reasoning() {
    let before = turn(PROMPT, &["process", "exec", "message", "view_image"], &[]);
    let answer = answer_with_builtin_tools();
    let (_, events) = through(agent().show_tools(true), before.clone(), &answer).await;
    let description = "By the names that the client offered, and WebFetch, for which it offered nothing, by its own.";
    assert_answer("openclaw/agent_mode_show_tools", description, &answer, &events);

    let (_, events) = through(agent(), before, &answer).await;
    assert_eq!(events, answer, "by default nothing is shown: the event is not one that clients get");
}

#[tokio::test]
async fn in_agent_mode_the_early_prompt_ends_with_the_note_as_well() {
    let before = turn(&format!("{EARLY_PROMPT}\n\n## Tooling\nAgain, at the end.\n"), &["ls", "read"], &[]);
    let (after, _) = through(agent(), before.clone(), &any_answer()).await;
    let description = "The note outlives a section at the prompt's end. With no function left, no choice is left.";
    assert_request("openclaw/agent_mode_early_prompt", description, &before, &after);
}

#[tokio::test]
async fn in_agent_mode_a_choice_of_what_the_cli_serves_is_no_choice() {
    let chosen = |choice: ToolChoice| async move {
        let mut before = turn(PROMPT, &["exec", "message"], &[]);
        before.tool_choice = Some(choice);
        through(agent(), before, &any_answer()).await.0.tool_choice
    };
    let allowed = |required, names: &[&str]| ToolChoice::allowed(required, names.iter().copied());
    assert_eq!(chosen(ToolChoice::Function("exec".into())).await, Some(ToolChoice::Auto));
    assert_eq!(chosen(ToolChoice::Function("message".into())).await, Some(ToolChoice::Function("message".into())));
    assert_eq!(chosen(allowed(true, &["exec", "message"])).await, Some(allowed(true, &["message"])));
    assert_eq!(chosen(allowed(true, &["exec"])).await, Some(ToolChoice::Auto));
    assert_eq!(chosen(allowed(false, &["exec"])).await, Some(ToolChoice::None));
    assert_eq!(chosen(ToolChoice::None).await, Some(ToolChoice::None));
}

#[tokio::test]
async fn internal_context_alone_tells_openclaw_apart_and_gets_a_prompt_for_the_note() {
    let mut before = turn(PROMPT, &["exec", "message"], &[]);
    before.messages.remove(0);
    let (after, _) = through(agent(), before, &any_answer()).await;
    let note = "In this session `exec` is the tool Bash. Where these instructions name one of them, use that tool.";
    assert_eq!(after.messages[0].text(), note);
}

#[tokio::test]
async fn internal_context_counts_only_at_the_end_and_only_as_a_whole_message() {
    let context = json!({"role": "user", "content": CONTEXT});
    let quoted = json!({"role": "user", "content": format!("What is this? {CONTEXT}")});
    let ephemeral = |history: Vec<Value>| async move {
        let (after, _) = through(layers::OpenClawLayer::new(), turn(PROMPT, &[], &history), &any_answer()).await;
        after.messages.iter().map(|message| message.ephemeral).collect::<Vec<_>>()
    };
    assert_eq!(ephemeral(vec![context.clone(), quoted.clone()]).await, [false, false, false, false, true]);
    assert_eq!(ephemeral(vec![quoted, context]).await, [false, false, false, true, true]);

    // Over the Responses API it stays where it is while the calls of its turn are run.
    let mut request = turn(PROMPT, &[], &[]);
    let context = request.messages.len() - 1;
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    for message in [
        json!({"role": "assistant", "content": "", "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": "c1", "content": "x"}),
    ] {
        request.messages.push(serde_json::from_value(message).unwrap());
    }
    let (after, _) = through(layers::OpenClawLayer::new(), request, &any_answer()).await;
    let marked: Vec<usize> =
        (0..).zip(&after.messages).filter(|(_, message)| message.ephemeral).map(|(place, _)| place).collect();
    assert_eq!(marked, [context]);
}

#[tokio::test]
async fn other_clients_are_left_alone_in_both_modes() {
    let before = request(json!({
        "model": "opus",
        "messages": [
            {"role": "system", "content": "You help with OpenClaw. A prompt of its says: You are a personal assistant \
                                           running inside OpenClaw.\n\n## Tooling\nMine."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "exec", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": ""}
        ],
        "tools": [function("exec"), function("read")],
        "tool_choice": {"type": "function", "function": {"name": "exec"}}
    }));
    for layer in [layers::OpenClawLayer::new(), agent()] {
        let (after, events) = through(layer.clone(), before.clone(), &any_answer()).await;
        assert_eq!((&after, events), (&before, any_answer()));

        let mut without = before.clone();
        (without.tools, without.tool_choice) = (None, None);
        let (after, _) = through(layer, without.clone(), &any_answer()).await;
        assert_eq!(after, without);
    }
}

#[tokio::test]
async fn the_presets_model_table_is_the_operators_to_change() {
    let layer =
        layers::OpenClawLayer::new().models(ModelAliasLayer::claude().unknown(UnknownModel::Use("haiku".into())));
    let (after, _) = through(layer, request(json!({"model": "gpt-4o", "messages": []})), &any_answer()).await;
    assert_eq!(after.model, "haiku");
}
