//! What the real CLI wrote, recorded, as the exact answer over HTTP.

use std::fmt::Write;

use serde_json::{Value, json};
use tower_claude::cli::ClaudeCli;

use super::{post, shown, stack};
use crate::support::answer::{Answer, ask};
use crate::support::snapshot::assert_snapshot;

/// Writes the recording, each turn when it is told something: a user message, or the result of a call.
const PLAYER: &str = r#"
    [ "$1" = --version ] && { echo '2.1.332 (Claude Code)'; exit; }
    told() {
        while IFS= read -r line; do
            case "$line" in *'"type":"user"'* | *mcp_response*) return ;; esac
        done
    }
    over=yes calls=0
    while IFS= read -r line <&3; do
        # Word of the result of a call, after those that were waited for.
        case "$calls $line" in '0 '*) ;; *' {"type":"user"'*) calls=$((calls - 1)) over=yes ;; esac
        if [ $over = yes ]; then said=$line; told; line=$said over=no; fi
        printf '%s\n' "$line"
        case "$line" in
            *'"tools/call"'*) calls=$((calls + 1)) ;;
            *'"type":"result"'*'"num_turns":0'[,}]* | *'"num_turns":0'[,}]*'"type":"result"'*) ;;
            *'"type":"result"'*) over=yes ;;
        esac
    done 3< "$RECORDING"
    exec cat > /dev/null
"#;

/// A child that writes a recording, and does not care what it is told.
fn playing(recording: &str) -> ClaudeCli {
    let path = format!("{}/tests/fixtures/cli-2.1.328/{recording}.ndjson", env!("CARGO_MANIFEST_DIR"));
    assert!(std::fs::exists(&path).unwrap(), "{path}");
    ClaudeCli::builder().warm_processes(0).program("sh").args(["-c", PLAYER, "sh"]).env("RECORDING", path).build()
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn body(messages: Value, more: Value) -> Value {
    let mut body = json!({"model": "claude-opus-4", "messages": messages});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn functions(more: Value) -> Value {
    let function =
        |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let mut fields = json!({"tools": [function("exec"), function("look")]});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

fn schema() -> Value {
    json!({"response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": {"type": "object"}}}})
}

/// The answers to a recording's requests, each but the first made by the client from the answer before it, streamed and
/// not.
///
/// The snapshot is named as the recording is: `recorded/hello`.
async fn assert_answers(name: &str, description: &str, first: Value, next: Vec<fn(&Value) -> Vec<Value>>) {
    let recording = name.strip_prefix("recorded/").unwrap();
    let mut text = String::new();
    for streamed in [false, true] {
        let claude = playing(recording);
        let mut body = first.clone();
        if streamed {
            body["stream"] = json!(true);
            body["stream_options"] = json!({"include_usage": true});
        }
        let mut answer = ask(stack(&claude), post(&body)).await;
        let within = format!("=== the real CLI's lines: {recording}.ndjson ===\n");
        writeln!(text, "{}", shown(&answer, &within)).unwrap();
        for next in &next {
            let message = message(&answer);
            let messages = body["messages"].as_array_mut().unwrap();
            messages.push(message.clone());
            messages.extend(next(&message));
            answer = ask(stack(&claude), post(&body)).await;
            assert_eq!(answer.header("x-claude-process"), Some("live"));
            writeln!(text, "{}", shown(&answer, "")).unwrap();
        }
    }
    assert_snapshot!(name, description, text);
}

/// The message of an answer, as a client puts it together.
pub(crate) fn message(answer: &Answer) -> Value {
    if answer.header("content-type") == Some("application/json") {
        return answer.json()["choices"][0]["message"].clone();
    }
    let mut message = json!({"role": "assistant", "content": ""});
    let append = |to: &mut Value, more: &Value| {
        if let Some(more) = more.as_str() {
            *to = json!(format!("{}{more}", to.as_str().unwrap_or_default()));
        }
    };
    for chunk in answer.chunks() {
        let delta = &chunk["choices"][0]["delta"];
        append(&mut message["content"], &delta["content"]);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let at = call["index"].as_u64().unwrap() as usize;
            if message["tool_calls"].is_null() {
                message["tool_calls"] = json!([]);
            }
            let calls = message["tool_calls"].as_array_mut().unwrap();
            if at == calls.len() {
                calls.push(
                    json!({"id": call["id"], "type": "function", "function": {"name": call["function"]["name"]}}),
                );
            }
            append(&mut calls[at]["function"]["arguments"], &call["function"]["arguments"]);
        }
    }
    message
}

fn results(message: &Value) -> Vec<Value> {
    let calls = message["tool_calls"].as_array().unwrap().iter().zip(["R1", "R2"]);
    calls.map(|(call, text)| json!({"role": "tool", "tool_call_id": call["id"], "content": text})).collect()
}

#[tokio::test]
async fn a_hello_and_a_second_turn() {
    let description = "Two turns on one process.";
    assert_answers(
        "recorded/hello",
        description,
        body(json!([user("hello")]), json!({})),
        vec![|_| vec![user("again")]],
    )
    .await;
}

#[tokio::test]
async fn thinking() {
    let description = "Thinking is reasoning_content, before the text.";
    assert_answers("recorded/think", description, body(json!([user("[[think hard]]")]), json!({})), vec![]).await;
}

#[tokio::test]
async fn blocks() {
    let description = "A blank line between blocks of text.";
    assert_answers("recorded/blocks", description, body(json!([user("[[blocks A|B|C]]")]), json!({})), vec![]).await;
}

#[tokio::test]
async fn two_calls_at_once_and_their_results() {
    let description = "Two calls, then the answer to their results, on one process.";
    assert_answers("recorded/tools", description, body(json!([user("call")]), functions(json!({}))), vec![results])
        .await;
}

#[tokio::test]
async fn two_calls_one_after_the_other() {
    let fields = functions(json!({"parallel_tool_calls": false}));
    let second: fn(&Value) -> Vec<Value> =
        |message| vec![json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "R2"})];
    let description = "Calls that are not to be parallel: one an answer, though the model made both at once.";
    assert_answers(
        "recorded/tools_in_sequence",
        description,
        body(json!([user("call")]), fields),
        vec![results, second],
    )
    .await;
}

#[tokio::test]
async fn json_of_a_schema() {
    let description = "The second answer was text at first, which is not the JSON that was asked for.";
    let first = body(json!([user("who?")]), schema());
    assert_answers("recorded/structured_output", description, first, vec![|_| vec![user("and who else?")]]).await;
}

#[tokio::test]
async fn a_history_that_was_replayed() {
    let call = json!({"id": "call1", "type": "function", "function": {"name": "exec", "arguments": "{}"}});
    let history = json!([
        user("one"),
        {"role": "assistant", "content": "two"},
        user("three"),
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call1", "content": "ok"},
        {"role": "assistant", "content": "done"},
        user("four"),
    ]);
    let description = "The acknowledgements of the history are no answer.";
    assert_answers("recorded/replay", description, body(history, functions(json!({}))), vec![]).await;
}

#[tokio::test]
async fn answers_that_were_cut() {
    let description = "Cut at the token limit: length, and nothing of the CLI's own continuation.";
    assert_answers("recorded/max_tokens", description, body(json!([user("long")]), json!({})), vec![]).await;
    let description = "Refused: content_filter, and nothing of the CLI's own second try.";
    assert_answers("recorded/refusal", description, body(json!([user("no")]), json!({})), vec![]).await;
}

#[tokio::test]
async fn a_connection_that_was_lost() {
    let description = "What was fetched anew goes on from what was streamed.";
    assert_answers("recorded/dropped_connection", description, body(json!([user("drop")]), json!({})), vec![]).await;
}

#[tokio::test]
async fn failures() {
    for name in [
        "recorded/error_401",
        "recorded/error_404",
        "recorded/error_429",
        "recorded/error_529",
        "recorded/not_logged_in",
        "recorded/overflow",
        "recorded/usage_limit",
        "recorded/extra_usage",
    ] {
        let description = "The failure has its own status, streamed or not.";
        assert_answers(name, description, body(json!([user("hi")]), json!({})), vec![]).await;
    }
}

#[tokio::test]
async fn an_answer_with_word_of_the_subscription() {
    let description = "What the CLI says of the subscription is no part of the answer.";
    assert_answers("recorded/rate_limit_event", description, body(json!([user("hi")]), json!({})), vec![]).await;
    assert_answers("recorded/overage", description, body(json!([user("hi")]), json!({})), vec![]).await;
}
