//! What the CLI is told of a request: the exact lines on its standard input.

use std::fmt::Write;

use serde_json::{Value, json};
use tower::ServiceExt;
use tower_claude::cli::ClaudeCli;

use super::recorded::message;
use super::{post, shown, stack};
use crate::support::answer::{Answer, ask};
use crate::support::claude_bin::stand_in;
use crate::support::snapshot::assert_snapshot;

/// One stand-in at a time, and the lines that it is told.
pub(crate) struct Listening {
    pub(crate) claude: ClaudeCli,
    directory: tempfile::TempDir,
    heard: usize,
}

impl Listening {
    pub(crate) fn new() -> Listening {
        let directory = tempfile::tempdir().unwrap();
        let claude = ClaudeCli::builder()
            .program(stand_in())
            .warm_processes(0)
            .env("STAND_IN_LOG", directory.path().join("lines"))
            .env("STAND_IN_ID", "1")
            .build();
        Listening { claude, directory, heard: 0 }
    }

    pub(crate) async fn ask(&self, body: &Value) -> Answer {
        ask(stack(&self.claude), post(body)).await
    }

    /// The lines since the last time, to be read in a snapshot.
    pub(crate) fn told(&mut self) -> String {
        let lines = std::fs::read_to_string(self.directory.path().join("lines")).unwrap();
        let new = format!("=== Claude Code is told ===\n{}", &lines[self.heard..]);
        self.heard = lines.len();
        new
    }
}

async fn assert_told(name: &str, description: &str, body: Value) {
    let mut listening = Listening::new();
    let answer = listening.ask(&body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_snapshot!(name, description, shown(&answer, &listening.told()));
}

#[tokio::test]
async fn a_system_prompt_and_a_message() {
    let body = json!({
        "model": "claude-sonnet-4",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    });
    assert_told("told/hello", "The system prompt is set, the model is set, the message is sent.", body).await;
}

#[tokio::test]
async fn settings() {
    let body = json!({
        "model": "claude-max/claude-haiku-4-5",
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "what is it?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        ]}],
        "max_completion_tokens": 100,
        "reasoning_effort": "none",
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "thing", "schema": {"type": "object", "properties": {"name": {"type": "string"}}}, "strict": true
        }},
        "temperature": 0.5
    });
    assert_told("told/settings", "Limits and effort go in as settings, the schema with the setup.", body).await;
}

#[tokio::test]
async fn a_history_with_calls() {
    let body = json!({
        "model": "opus",
        "messages": [
            {"role": "user", "content": "what is in /tmp?"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "list", "arguments": "{\"path\":\"/tmp\"}"}}
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "nothing"},
            {"role": "assistant", "content": "Nothing."},
            {"role": "user", "content": "sure?"}
        ],
        "tools": [{"type": "function", "function": {
            "name": "list", "description": "Lists a directory.",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
        }}],
        "tool_choice": "required"
    });
    assert_told("told/history", "History is told as real turns, each of the user's waited for.", body).await;
}

#[tokio::test]
async fn a_following_turn() {
    let mut listening = Listening::new();
    let mut body = json!({
        "model": "claude-sonnet-4", "max_tokens": 50,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one"}]
    });
    let mut text = String::new();
    for next in ["two", "three"] {
        let answer = listening.ask(&body).await;
        let messages = body["messages"].as_array_mut().unwrap();
        messages.push(message(&answer));
        messages.push(json!({"role": "user", "content": next}));
        writeln!(text, "{}", shown(&answer, &listening.told())).unwrap();
        body.as_object_mut().unwrap().remove("max_tokens");
    }
    let answer = listening.ask(&body).await;
    text.push_str(&shown(&answer, &listening.told()));
    let description = "A live process is told the new message alone, and what is undone of the first one's settings.";
    assert_snapshot!("told/following_turns", description, text);
}

/// The doors differ in what they cost the server, then, and in nothing that the CLI does.
#[tokio::test]
async fn the_same_request_is_told_in_the_same_words_at_every_door() {
    let system = "You are terse.";
    let question = json!({"role": "user", "content": "hello"});
    let requests = [
        (
            "/v1/chat/completions",
            json!({"max_completion_tokens": 4096,
            "messages": [{"role": "system", "content": system}, question]}),
        ),
        (
            "/v1/responses",
            json!({"max_output_tokens": 4096, "instructions": system, "store": false, "input": [question]}),
        ),
        ("/v1/messages", json!({"max_tokens": 4096, "system": system, "messages": [question]})),
    ];
    let mut told = Vec::new();
    for (path, mut body) in requests {
        body["model"] = "claude-opus-4".into();
        let mut listening = Listening::new();
        let mut request = post(&body);
        *request.uri_mut() = path.parse().unwrap();
        let Ok(response) = stack(&listening.claude).oneshot(request).await;
        let answer = Answer::of(response).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        told.push(listening.told());
    }
    assert!(told[0].contains("4096") && told[0].contains("hello"), "{}", told[0]);
    assert_eq!((&told[1], &told[2]), (&told[0], &told[0]));
}
