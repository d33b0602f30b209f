//! The audit: each use of a built-in tool is in the server's log, with the decision on it.

use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::claude_bin::real_cli;
use crate::support::messages_api::MessagesApi;
use crate::support::server_process::{ServerProcess, example, settings};

/// The log's lines of the audit, once the model has used these tools in a server with these flags.
async fn audit(toml: &str, uses: &[&str]) -> Option<(Vec<Value>, String)> {
    let program = real_cli()?;
    let api = MessagesApi::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (workspace, home) = (directory.path().join("ws"), directory.path().join("home"));
    std::fs::create_dir(&workspace).unwrap();
    std::fs::create_dir(&home).unwrap();
    let (_file, config) = settings(toml);
    let mut command = example("claude-max-api");
    command
        .args(["0", "--warm", "0", "--log-format", "json", "--mode", "agent", "--workspace"])
        .arg(&workspace)
        .args(config)
        .env("CLAUDE_BIN", program)
        .env("HOME", &home)
        .env("ANTHROPIC_BASE_URL", api.url())
        .env("ANTHROPIC_API_KEY", "test-key")
        .env("DISABLE_TELEMETRY", "1")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .stderr(File::create(directory.path().join("log")).unwrap());
    let server = ServerProcess::start(command).await;
    for tool_use in uses {
        let answer = server.say(&format!("[[tool {tool_use}]]")).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
    }
    // The last request's line comes behind all of its uses.
    let log = logged(&directory.path().join("log"), uses.len()).await;
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    Some((lines.filter(|line| line["target"] == "audit").collect(), log))
}

/// The log, once that many requests are in it.
async fn logged(path: &Path, requests: usize) -> String {
    let read = async {
        loop {
            let log = std::fs::read_to_string(path).unwrap();
            if log.matches("\"target\":\"access\"").count() >= requests && log.ends_with('\n') {
                return log;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the requests are logged in time")
}

#[tokio::test]
async fn each_use_is_on_record_with_its_decision_and_without_what_was_said() {
    let uses = [r#"Bash {"command":"touch a-secret"}"#, r#"Read {"file_path":"/etc/passwd"}"#];
    let Some((records, log)) = audit("", &uses).await else { return };
    let bash: Vec<&Value> = records.iter().filter(|record| record["tool"] == "Bash").collect();
    let read: Vec<&Value> = records.iter().filter(|record| record["tool"] == "Read").collect();
    assert!(!bash.is_empty() && read.len() == 1, "{records:?}");
    for record in bash {
        assert_eq!((&record["decision"], &record["command"]), (&json!("allowed"), &json!("\"touch\"")), "{record}");
    }
    let read = read[0];
    assert_eq!((&read["decision"], &read["decided_on"]), (&json!("denied"), &json!("use")));
    assert_eq!(read["paths"], r#"["/etc/passwd"]"#);
    assert!(read["reason"].as_str().unwrap().contains("outside the workspace"), "{read}");
    assert!(read["tool_use_id"].as_str().unwrap().starts_with("toolu_"), "{read}");
    let spans = read["spans"].as_array().unwrap();
    assert!(spans[0]["name"] == "request" && spans[0]["request_id"].is_string(), "{read}");
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn whole_commands_are_on_record_where_the_operator_wants_them() {
    let uses = [r#"Bash {"command":"touch made.md"}"#, r#"Bash {"command":"cat /etc/passwd"}"#];
    let Some((records, _)) = audit("audit-commands = true", &uses).await else { return };
    assert!(records.iter().any(|record| record["command"] == r#""touch made.md""#), "{records:?}");
    let denied = records.iter().find(|record| record["decision"] == "denied").expect("one is denied");
    assert_eq!(denied["command"], r#""cat /etc/passwd""#);
    assert!(denied["reason"].as_str().unwrap().contains("/etc/passwd"), "{denied}");
}
