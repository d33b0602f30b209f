//! What is put on record: a line for each request, of text or JSON.

use std::fs::File;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::PATIENCE;
use crate::support::claude_bin::stand_in;
use crate::support::server_process::{ServerProcess, example};

/// A server that logs into a file.
struct Logging {
    server: ServerProcess,
    directory: TempDir,
}

impl Logging {
    async fn started(args: &[&str]) -> Logging {
        let directory = tempfile::tempdir().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let mut command = example("claude-max-api");
        command.args(["0", "--warm", "0"]).args(args).env("CLAUDE_BIN", stand_in()).stderr(log);
        Logging { server: ServerProcess::start(command).await, directory }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// The lines with this in them, once there are so many.
    async fn lines(&self, text: &str, count: usize) -> Vec<String> {
        let found = async {
            loop {
                let log = self.log();
                let lines: Vec<String> = log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect();
                if lines.len() >= count {
                    return lines;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(lines) => lines,
            Err(_) => panic!("no {count} lines with {text} in\n{}", self.log()),
        }
    }
}

#[tokio::test]
async fn each_request_has_a_line_of_text_without_a_word_of_what_was_said() {
    let server = Logging::started(&["--api-key", "sk-secret"]).await;
    let body = json!({"model": "sonnet", "messages": [{"role": "user", "content": "a secret"}]});
    let request = |key: &str| {
        http::Request::post("/")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
            .header("x-request-id", "id-1")
            .body(http_body_util::Full::from(body.to_string()))
            .unwrap()
    };
    for key in ["sk-secret", "sk-other-secret"] {
        let answer = server.server.send("/v1/chat/completions?secret", request(key)).await;
        crate::support::answer::Answer::of(answer).await;
    }
    let lines = server.lines("access: request", 2).await;
    for words in [
        "door=\"chat_completions\" conversation=\"",
        "turn=1 method=POST path=\"/v1/chat/completions\" model=\"claude-sonnet",
        "process=\"cold\" streamed=false status=200 outcome=\"stop\" input_tokens=",
        "queue_ms=",
        "first_token_ms=",
        "total_ms=",
        "request_id=\"id-1\"",
    ] {
        assert!(lines[0].contains(words), "no {words} in {}", lines[0]);
    }
    assert!(lines[1].contains("status=401 outcome=\"invalid_api_key\""), "{}", lines[1]);
    assert!(!server.log().contains("secret"), "{}", server.log());
}

#[tokio::test]
async fn the_log_can_be_json_a_line() {
    let server = Logging::started(&["--log-format", "json"]).await;
    server.server.say("hello").await;
    let again = json!([{"role": "user", "content": "hello"}, {"role": "assistant", "content": "echo: hello"},
        {"role": "user", "content": "again"}]);
    server.server.chat(&json!({"model": "sonnet", "messages": again})).await;
    let lines = server.lines("\"target\":\"access\"", 2).await;
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (&line["door"], &line["status"], &line["outcome"]),
        (&json!("chat_completions"), &json!(200), &json!("stop"))
    );
    assert_eq!((&line["turn"], line["conversation"].as_str().map(str::len)), (&json!(1), Some(16)));
    let second: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!((&second["turn"], &second["conversation"]), (&json!(2), &line["conversation"]));
    assert!(line["total_ms"].as_f64() >= line["first_token_ms"].as_f64(), "{line}");
    assert!(line["input_tokens"].as_u64() > Some(0), "{line}");
    for line in server.log().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[tokio::test]
async fn what_is_logged_is_still_for_rust_log_to_say() {
    let directory = tempfile::tempdir().unwrap();
    let log = File::create(directory.path().join("log")).unwrap();
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "0"]).env("CLAUDE_BIN", stand_in()).env("RUST_LOG", "access=off,tower_claude=debug");
    let server = Logging {
        server: ServerProcess::start({
            command.stderr(log);
            command
        })
        .await,
        directory,
    };
    server.server.say("hello").await;
    server.lines("the turn is over", 1).await;
    assert!(!server.log().contains("access:"), "{}", server.log());
}
