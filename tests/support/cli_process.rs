//! Drives a CLI over its line protocol, one step of a script at a time.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::in_time;

const ARGS: [&str; 18] = [
    "--print",
    "--input-format",
    "stream-json",
    "--output-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--no-session-persistence",
    "--setting-sources",
    "",
    "--strict-mcp-config",
    "--tools",
    "",
    "--disable-slash-commands",
    "--permission-prompt-tool",
    "stdio",
    "--allowed-tools",
    "mcp__c",
];

/// One process, and everything that it has printed.
pub(crate) struct Cli {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    pub(crate) printed: Vec<Value>,
    /// Everything that was sent to it.
    pub(crate) told: Vec<Value>,
    /// How many of its lines were not JSON.
    pub(crate) junk: usize,
    sent: usize,
    _home: tempfile::TempDir,
}

impl Cli {
    pub(crate) fn start(binary: &Path, api: &str, env: &[(&str, &str)]) -> Cli {
        let home = tempfile::tempdir().unwrap();
        let mut child = Command::new(binary)
            .args(ARGS)
            .current_dir(home.path())
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("ANTHROPIC_API_KEY", "test-key"), ("ANTHROPIC_BASE_URL", api)])
            .envs([("DISABLE_AUTOUPDATER", "1"), ("DISABLE_TELEMETRY", "1"), ("ENABLE_TOOL_SEARCH", "false")])
            .envs([("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"), ("CLAUDE_CODE_MAX_RETRIES", "1")])
            .env("HOME", home.path())
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Cli { child, stdin, stdout, printed: Vec::new(), told: Vec::new(), junk: 0, sent: 0, _home: home }
    }

    pub(crate) async fn write(&mut self, line: Value) {
        self.write_text(&format!("{line}\n")).await;
        self.told.push(line);
    }

    pub(crate) async fn write_text(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn control(&mut self, request: Value) {
        self.sent += 1;
        let id = format!("c{}", self.sent);
        self.write(json!({"type": "control_request", "request_id": id, "request": request})).await;
        self.until(|line| line["type"] == "control_response").await;
    }

    pub(crate) async fn initialize(&mut self, tools: Option<Value>, schema: Option<Value>) {
        let mut request = json!({"subtype": "initialize", "systemPrompt": ["You are terse."]});
        if let Some(tools) = tools {
            request["sdkMcpServers"] = json!(["c"]);
            request["sdkMcpServerConfigs"] = json!({"c": {"timeout": 3_600_000}});
            request["sdkMcpServerManifests"] = json!({"c": {
                "initializeResult": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                    "serverInfo": {"name": "c", "version": "1"}},
                "toolsListResult": {"tools": tools}}});
        }
        if let Some(schema) = schema {
            request["jsonSchema"] = schema;
        }
        self.control(request).await;
    }

    pub(crate) async fn user(&mut self, content: impl Into<Value>) {
        self.message(content.into(), json!({})).await;
    }

    pub(crate) async fn message(&mut self, content: Value, more: Value) {
        let mut line = json!({"type": "user", "message": {"role": "user", "content": content},
            "parent_tool_use_id": null, "session_id": "", "client_composed": true});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.write(line).await;
    }

    pub(crate) async fn append_user(&mut self, content: impl Into<Value>) {
        self.message(content.into(), json!({"shouldQuery": false})).await;
        self.result().await;
    }

    pub(crate) async fn append_assistant(&mut self, content: Value) {
        let message = json!({"role": "assistant", "content": content});
        let line = json!({"type": "assistant", "message": message, "parent_tool_use_id": null, "session_id": ""});
        self.write(line).await;
    }

    /// Reads until the process closes its standard output.
    pub(crate) async fn rest(&mut self) {
        while let Some(line) = in_time("a line, or the end", self.stdout.next_line()).await.unwrap() {
            self.printed.extend(serde_json::from_str::<Value>(&line));
        }
    }

    /// Reads up to the first wanted line.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = in_time("a line", self.stdout.next_line()).await.unwrap();
            let line = line.expect("the process is still there");
            let Ok(line) = serde_json::from_str::<Value>(&line) else {
                self.junk += 1;
                continue;
            };
            self.printed.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    pub(crate) async fn result(&mut self) -> Value {
        self.until(|line| line["type"] == "result").await
    }

    pub(crate) async fn call(&mut self) -> Value {
        self.until(|line| line["type"] == "control_request").await
    }

    pub(crate) async fn answer(&mut self, call: &Value, result: Value) {
        let response = json!({"jsonrpc": "2.0", "id": call["request"]["message"]["id"], "result": result});
        self.write(json!({"type": "control_response", "response": {"subtype": "success",
            "request_id": call["request_id"], "response": {"mcp_response": response}}}))
            .await;
    }

    pub(crate) async fn answer_text(&mut self, call: &Value, text: &str) {
        self.answer(call, json!({"content": [{"type": "text", "text": text}], "isError": false})).await;
    }

    /// Closes standard input and returns the exit code.
    pub(crate) async fn close(&mut self) -> Option<i32> {
        self.stdin = None;
        in_time("its end", self.child.wait()).await.unwrap().code()
    }
}
