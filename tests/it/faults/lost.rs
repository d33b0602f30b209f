//! A connection to the API that is lost in mid-answer: the CLI abandons what it streamed, and fetches a whole message.

use std::path::Path;

use serde_json::{Value, json};
use tower_claude::cli::ClaudeCli;
use tower_claude::{ErrorKind, FinishReason};

use crate::support::chat::{call, function, hear, hear_what_there_is, messages, request, result, user};

/// A child that writes these lines, and does not care what it is told.
fn playing(directory: &Path, lines: &[Value]) -> ClaudeCli {
    let path = directory.join("lines");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).unwrap();
    let script = format!(
        "[ \"$1\" = --version ] && {{ echo '2.1.332 (Claude Code)'; exit; }}; cat '{}'; exec cat > /dev/null",
        path.display()
    );
    ClaudeCli::builder().warm_processes(0).program("sh").args(["-c", &script, "sh"]).build()
}

pub(super) fn event(event: Value) -> Value {
    json!({"type": "stream_event", "event": event, "parent_tool_use_id": null})
}

/// The lines of an answer that was streamed up to "It is " and then lost, and fetched as these blocks.
fn lost(blocks: Value) -> Vec<Value> {
    let message = json!({"id": "msg_1", "model": "claude-opus-5-5", "usage": {"input_tokens": 10, "output_tokens": 1}});
    let fetched = json!({"id": "msg_2", "model": "claude-opus-5-5", "content": blocks,
        "usage": {"input_tokens": 10, "output_tokens": 5}});
    vec![
        json!({"type": "system", "subtype": "init", "tools": ["mcp__c__look"]}),
        event(json!({"type": "message_start", "message": message})),
        event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})),
        event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "It is "}})),
        event(json!({"type": "content_block_stop", "index": 0})),
        event(json!({"type": "message_stop"})),
        json!({"type": "assistant", "message": fetched, "parent_tool_use_id": null}),
    ]
}

fn asked(history: impl Into<Vec<Value>>) -> tower_claude::ChatRequest {
    let mut json = messages(history);
    json["tools"] = json!([function("look")]);
    request(json)
}

#[tokio::test]
async fn another_answer_than_the_one_that_was_begun_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let claude = playing(directory.path(), &lost(json!([{"type": "text", "text": "Perhaps not."}])));
    let (answer, error) = hear_what_there_is(call(&claude, asked([user("well?")])).await.unwrap()).await;
    assert_eq!((answer.text.as_str(), answer.reason), ("It is ", None));
    assert_eq!(error.unwrap().kind(), ErrorKind::Upstream);
    crate::support::chat::until("no process", || claude.health().processes.total == 0).await;
}

#[tokio::test]
async fn calls_that_were_never_streamed_are_told_and_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = lost(json!([
        {"type": "text", "text": "It is here."},
        {"type": "tool_use", "id": "toolu_1", "name": "mcp__c__look", "input": {"at": 1}}
    ]));
    let meta = json!({"claudecode/toolUseId": "toolu_1"});
    let message = json!({"method": "tools/call", "id": 2, "params": {"name": "look", "_meta": meta}});
    lines.push(json!({"type": "control_request", "request_id": "r1",
        "request": {"subtype": "mcp_message", "server_name": "c", "message": message}}));
    let claude = playing(directory.path(), &lines);
    let answer = hear(call(&claude, asked([user("where?")])).await.unwrap()).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.reason), ("It is here.", Some(FinishReason::ToolCalls)));
    assert_eq!((answer.calls[0].name.as_str(), answer.calls[0].arguments.as_str()), ("look", r#"{"at":1}"#));
    assert_eq!((answer.usage.prompt_tokens, answer.usage.completion_tokens), (10, 5));
    assert_eq!(claude.health().processes.parked, 1);
    // The client's history with the whole of it is this conversation.
    let history = [user("where?"), answer.message(), result(&answer.calls[0].id, "a cat")];
    let mut waiting = std::pin::pin!(call(&claude, asked(history)));
    assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none());
    assert_eq!(claude.health().requests.live, 1);
}
