//! The stand-in CLI prints what the real one prints: the same scripts through both, line by line.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use support::claude_bin::{real_cli, stand_in};
use support::messages_api::MessagesApi;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A hung process must fail its test, not hang it.
const PATIENCE: Duration = Duration::from_secs(60);

const ARGS: [&str; 19] = [
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
    "--debug-to-stderr",
];

/// One process, and all that it has printed.
struct Cli {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    printed: Vec<Value>,
    sent: usize,
    _home: tempfile::TempDir,
}

impl Cli {
    fn start(binary: &Path, api: &str, env: &[(&str, &str)]) -> Cli {
        let home = tempfile::tempdir().unwrap();
        let mut child = Command::new(binary)
            .args(&ARGS[..18])
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
        Cli { child, stdin, stdout, printed: Vec::new(), sent: 0, _home: home }
    }

    async fn write(&mut self, line: Value) {
        self.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn control(&mut self, request: Value) {
        self.sent += 1;
        let id = format!("c{}", self.sent);
        self.write(json!({"type": "control_request", "request_id": id, "request": request})).await;
        self.until(|line| line["type"] == "control_response").await;
    }

    async fn initialize(&mut self, tools: Option<Value>, schema: Option<Value>) {
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

    async fn user(&mut self, content: impl Into<Value>) {
        self.message(content.into(), json!({})).await;
    }

    async fn message(&mut self, content: Value, more: Value) {
        let mut line = json!({"type": "user", "message": {"role": "user", "content": content},
            "parent_tool_use_id": null, "session_id": "", "client_composed": true});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.write(line).await;
    }

    async fn append_user(&mut self, content: impl Into<Value>) {
        self.message(content.into(), json!({"shouldQuery": false})).await;
        self.result().await;
    }

    async fn append_assistant(&mut self, content: Value) {
        let message = json!({"role": "assistant", "content": content});
        let line = json!({"type": "assistant", "message": message, "parent_tool_use_id": null, "session_id": ""});
        self.write(line).await;
    }

    /// Reads up to a line that is wanted.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.stdout.next_line()).await.expect("a line in time").unwrap();
            let line = line.expect("the process is still there");
            let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
            self.printed.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    async fn result(&mut self) -> Value {
        self.until(|line| line["type"] == "result").await
    }

    async fn call(&mut self) -> Value {
        self.until(|line| line["type"] == "control_request").await
    }

    async fn answer(&mut self, call: &Value, result: Value) {
        let response = json!({"jsonrpc": "2.0", "id": call["request"]["message"]["id"], "result": result});
        self.write(json!({"type": "control_response", "response": {"subtype": "success",
            "request_id": call["request_id"], "response": {"mcp_response": response}}}))
            .await;
    }

    async fn answer_text(&mut self, call: &Value, text: &str) {
        self.answer(call, json!({"content": [{"type": "text", "text": text}], "isError": false})).await;
    }

    /// Closes standard input and returns the exit code.
    async fn close(&mut self) -> Option<i32> {
        self.stdin = None;
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("an end in time").unwrap().code()
    }
}

/// What matters of a line, in one line of text; nothing where two runs of the real CLI differ.
fn normal(line: &Value) -> Option<String> {
    let kind = line["type"].as_str()?;
    Some(match (kind, line["subtype"].as_str()) {
        ("stream_event", _) => {
            let event = &line["event"];
            let rest = match event["type"].as_str()? {
                "message_start" => json!(event["message"]["model"]),
                "content_block_start" => {
                    json!([event["index"], event["content_block"]["type"], event["content_block"]["name"]])
                }
                "content_block_delta" => json!([event["index"], event["delta"]]),
                "content_block_stop" => event["index"].clone(),
                "message_delta" => event["delta"]["stop_reason"].clone(),
                _ => json!(line["abandoned_blocks"].is_object()),
            };
            let nested = if line["parent_tool_use_id"].is_null() { "" } else { "nested " };
            format!("{nested}{} {rest}", event["type"].as_str()?)
        }
        ("assistant", _) => format!(
            "assistant {} {} error={} api={} {} aborted={}",
            line["message"]["content"],
            line["message"]["stop_reason"],
            line["error"],
            line["api_error_status"],
            line["api_error_type"],
            line["aborted"],
        ),
        ("user", _) => format!("user {} synthetic={}", line["message"]["content"], line["isSynthetic"]),
        ("result", _) => {
            let fields = [
                "subtype",
                "is_error",
                "api_error_status",
                "api_error_type",
                "num_turns",
                "stop_reason",
                "terminal_reason",
                "result",
                "structured_output",
                "result_index",
                "permission_denials",
                "safety_stops",
            ];
            let fields: serde_json::Map<_, _> = fields
                .iter()
                .filter(|field| !line[**field].is_null())
                .map(|field| ((*field).to_owned(), line[*field].clone()))
                .collect();
            format!("result {}", Value::Object(fields))
        }
        ("system", Some("init")) => {
            format!("init {} {} {} {}", line["tools"], line["mcp_servers"], line["model"], line["claude_code_version"])
        }
        ("system", Some("api_retry")) => {
            format!("api_retry {} {} {}", line["attempt"], line["error_status"], line["error"])
        }
        ("system", Some("status")) => format!("status {}", line["status"]),
        ("system", subtype) => format!("system {}", subtype?),
        ("control_request", _) => format!("control_request {}", line["request"]),
        ("control_response", _) => {
            let response = &line["response"]["response"];
            let parked = &response["sdk_mcp_manifests_parked"];
            format!("control_response {} {} {parked}", line["response"]["subtype"], line["response"]["error"])
        }
        _ => kind.to_owned(),
    })
}

/// The lines of one run, with ids and addresses taken out. A call's answer is there as soon as the tool gives it,
/// which may be before the message that called has come to its end: it is moved there.
fn normalised(printed: &[Value], api: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for line in printed {
        let block = &line["event"]["content_block"];
        if block["type"] == "tool_use" {
            ids.push(block["id"].as_str().unwrap().to_owned());
        }
    }
    let (mut lines, mut late) = (Vec::<String>::new(), Vec::new());
    let mut open = false;
    for line in printed {
        let Some(mut text) = normal(line) else { continue };
        for (number, id) in ids.iter().enumerate() {
            text = text.replace(id, &format!("CALL{number}"));
        }
        text = text.replace(api.trim_start_matches("http://"), "ADDRESS");
        let event = line["event"]["type"].as_str();
        open = event.is_some_and(|event| event != "message_stop") || (open && event.is_none());
        if open && line["type"] == "user" && line["message"]["content"][0]["type"] == "tool_result" {
            late.push(text);
        } else {
            lines.push(text);
        }
        if !open {
            lines.append(&mut late);
        }
    }
    lines
}

/// Runs a script on the stand-in, and on the real CLI if it is there; compares them, and the snapshot.
async fn same<F>(name: &str, script: impl Fn(Cli) -> F)
where
    F: Future<Output = Cli>,
{
    let api = MessagesApi::start().await;
    let mut cli = script(Cli::start(&stand_in(), &api.url(), &[])).await;
    let ours = normalised(&cli.printed, &api.url());
    let exit = cli.close().await;
    assert_eq!(api.requests().len(), 0, "the stand-in asks nobody");
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("stand_in_{name}"), ours.join("\n")));
    let Some(real) = real_cli() else { return };
    let mut cli = script(Cli::start(&real, &api.url(), &[])).await;
    let theirs = normalised(&cli.printed, &api.url());
    for (at, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        assert_eq!(ours, theirs, "{name}: line {at} of the stand-in differs from the real CLI's");
    }
    assert_eq!(ours.len(), theirs.len(), "{name}: one has more to say:\n{ours:#?}\n{theirs:#?}");
    assert_eq!(exit, cli.close().await, "{name}: the exit codes differ");
}

fn tools(read_only: bool) -> Value {
    let tool = |name: &str, properties: Value| {
        json!({"name": name, "description": name, "inputSchema": {"type": "object", "properties": properties},
            "annotations": {"readOnlyHint": read_only}})
    };
    json!([tool("exec", json!({"command": {"type": "string"}})), tool("look", json!({}))])
}

const TWO_CALLS: &str = r#"please [[tool exec {"command":"ls"} ;; look {}]]"#;

#[tokio::test]
async fn two_turns() {
    same("two_turns", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("hello").await;
        cli.result().await;
        cli.user("again").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn a_replayed_history() {
    same("replay", async |mut cli: Cli| {
        cli.initialize(Some(tools(true)), None).await;
        cli.append_user("one").await;
        cli.append_assistant(json!([{"type": "text", "text": "two"}])).await;
        cli.append_user("three").await;
        let call = json!({"type": "tool_use", "id": "toolu_x1", "name": "mcp__c__exec", "input": {"command": "ls"}});
        cli.append_assistant(json!([call])).await;
        cli.append_user(json!([{"type": "tool_result", "tool_use_id": "toolu_x1", "content": "files"}])).await;
        cli.append_assistant(json!([{"type": "text", "text": "done"}])).await;
        cli.user("four").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn calls_that_only_read_are_issued_at_once() {
    same("calls_at_once", async |mut cli: Cli| {
        cli.initialize(Some(tools(true)), None).await;
        cli.user(TWO_CALLS).await;
        let (one, two) = (cli.call().await, cli.call().await);
        cli.answer_text(&one, "R1").await;
        cli.answer_text(&two, "R2").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn other_calls_are_issued_one_after_another() {
    same("calls_in_sequence", async |mut cli: Cli| {
        cli.initialize(Some(tools(false)), None).await;
        cli.user(TWO_CALLS).await;
        let one = cli.call().await;
        cli.until(|line| line["event"]["type"] == "message_stop").await;
        cli.answer_text(&one, "R1").await;
        let two = cli.call().await;
        cli.answer(&two, json!({"content": [{"type": "text", "text": "bad"}], "isError": true})).await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn a_call_of_a_tool_that_is_not_there() {
    same("unknown_tool", async |mut cli: Cli| {
        cli.initialize(Some(tools(true)), None).await;
        cli.user("[[tool nosuch {}]]").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn an_interrupt_while_parked() {
    same("interrupt", async |mut cli: Cli| {
        cli.initialize(Some(tools(true)), None).await;
        cli.user(TWO_CALLS).await;
        cli.until(|line| line["event"]["type"] == "message_stop").await;
        cli.control(json!({"subtype": "interrupt"})).await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn a_manifest_with_a_bad_schema() {
    same("bad_manifest", async |mut cli: Cli| {
        let bad = json!([{"name": "exec", "inputSchema": {"properties": {}}}, {"name": "look", "inputSchema": {"type": "object"}}]);
        cli.initialize(Some(bad.clone()), None).await;
        cli.user("hi").await;
        loop {
            let line = cli.until(|line| line["type"] == "control_request" || line["type"] == "result").await;
            match line["request"]["message"]["method"].as_str() {
                Some("initialize") => {
                    let info = json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                        "serverInfo": {"name": "c", "version": "1"}});
                    cli.answer(&line, info).await;
                }
                Some("tools/list") => cli.answer(&line, json!({"tools": bad})).await,
                Some(_) => cli.answer(&line, json!({})).await,
                None => return cli,
            }
        }
    })
    .await;
}

#[tokio::test]
async fn structured_output() {
    same("structured_output", async |mut cli: Cli| {
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"],
            "additionalProperties": false});
        cli.initialize(None, Some(schema)).await;
        cli.user("who?").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn a_schema_that_is_none_is_ignored() {
    same("bad_schema", async |mut cli: Cli| {
        cli.initialize(None, Some(json!({"type": "bogus", "properties": 5}))).await;
        cli.user("who?").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn thinking_and_blocks() {
    same("thinking", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("[[think hard]]").await;
        cli.result().await;
        cli.user("[[blocks A|B|C]]").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn answers_that_are_cut() {
    same("cut_answers", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("[[long]]").await;
        cli.result().await;
        cli.user("[[refusal]]").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn api_failures() {
    for code in ["400", "401", "403", "404", "413", "429", "500", "529"] {
        same(&format!("fail_{code}"), async |mut cli: Cli| {
            cli.initialize(None, None).await;
            cli.user(format!("[[fail {code}]]")).await;
            cli.result().await;
            cli
        })
        .await;
    }
    same("overflow", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("[[overflow]]").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn an_unknown_control_request() {
    same("unknown_control_request", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.control(json!({"subtype": "bogus"})).await;
        cli.control(json!({"subtype": "set_model", "model": "sonnet"})).await;
        cli.control(json!({"subtype": "apply_flag_settings", "settings": {"effortLevel": "low"}})).await;
        cli.control(json!({"subtype": "interrupt"})).await;
        cli.user("hi").await;
        cli.result().await;
        cli
    })
    .await;
}
