//! A CLI driven directly over its pipes: the least there can be between a client and its first token.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use memchr::memmem;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tower_claude::cli::{ClaudeCli, ClaudeCliBuilder};

use super::door::LIMIT;

/// The command line of an idle process, the same as the proxy's.
const ARGUMENTS: [&str; 18] = [
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
    "--disable-slash-commands",
    "--permission-prompt-tool",
    "stdio",
    "--allowed-tools",
    "mcp__c",
    "--tools",
    "",
];

/// A CLI, and what all processes of it are started with: the bare ones and the server's alike.
pub(crate) struct Cli {
    pub(crate) program: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
}

impl Cli {
    /// This program against the API at this address, with a home of its own.
    pub(crate) fn new(program: PathBuf, api: &str, home: &Path) -> Cli {
        Cli { program, environment: environment(api, home) }
    }

    /// Starts a bare process, idle.
    pub(crate) fn start(&self) -> Bare {
        Bare::start(&self.program, &self.environment)
    }

    /// What begins to configure the server's processes.
    pub(crate) fn builder(&self) -> ClaudeCliBuilder {
        let builder = ClaudeCli::builder().program(&self.program);
        self.environment.iter().fold(builder, |builder, (name, value)| builder.env(name, value))
    }
}

/// A process and its pipes.
pub(crate) struct Bare {
    stdin: ChildStdin,
    lines: Lines,
    _child: Child,
    _directory: TempDir,
}

impl Bare {
    /// Starts one, in an empty directory as the proxy does, and leaves it idle.
    pub(crate) fn start(program: &Path, environment: &[(String, String)]) -> Bare {
        let directory = tempfile::tempdir().unwrap();
        let mut child = command(program, ARGUMENTS, environment, directory.path()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        Bare { stdin, lines, _child: child, _directory: directory }
    }

    /// Writes these lines at once and waits for the answer's first text. How long that took is returned.
    pub(crate) async fn first_delta(&mut self, lines: &[u8]) -> Duration {
        let began = Instant::now();
        self.write(lines).await;
        self.lines.until(b"\"type\":\"text_delta\"").await;
        began.elapsed()
    }

    /// Writes these lines at once.
    pub(crate) async fn write(&mut self, lines: &[u8]) {
        self.stdin.write_all(lines).await.unwrap();
    }

    /// What has come since the last time, and whether the turn is at its end with it.
    pub(crate) async fn read(&mut self) -> (Bytes, bool) {
        self.lines.read().await
    }

    /// Reads to the end of the turn.
    pub(crate) async fn finish(&mut self) {
        self.lines.until(b"\"type\":\"result\"").await;
    }

    /// Reads until the process is parked in a call, and returns what answers it with this text.
    pub(crate) async fn parked(&mut self, result: &str) -> Vec<u8> {
        let call: Value = serde_json::from_slice(self.lines.until(b"\"method\":\"tools/call\"").await).unwrap();
        let result = json!({"content": [{"type": "text", "text": result}], "isError": false});
        let response = json!({"mcp_response": {"jsonrpc": "2.0", "id": call["request"]["message"]["id"],
            "result": result}});
        line(&json!({"type": "control_response",
            "response": {"subtype": "success", "request_id": call["request_id"], "response": response}}))
    }
}

/// What every process of a benchmark is told of the API, of its home and of what it is to leave alone.
pub(crate) fn environment(api: &str, home: &Path) -> Vec<(String, String)> {
    let variables = [
        ("ANTHROPIC_BASE_URL", api),
        ("ANTHROPIC_API_KEY", "test-key"),
        ("HOME", home.to_str().unwrap()),
        ("DISABLE_TELEMETRY", "1"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// `claude` as proxies run it that start it for every request, without anything that it could do without.
pub(crate) async fn spawn_per_request(
    program: &Path,
    environment: &[(String, String)],
    model: &str,
    system: &str,
    prompt: &str,
) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["-p", "--output-format", "stream-json", "--include-partial-messages", "--verbose"];
    let lean = ["--no-session-persistence", "--setting-sources", "", "--strict-mcp-config", "--tools", ""];
    let of_request = ["--model", model, "--system-prompt", system];
    let began = Instant::now();
    let arguments = arguments.into_iter().chain(lean).chain(of_request);
    let mut child = command(program, arguments, environment, directory.path()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(prompt.as_bytes()).await.unwrap();
    drop(stdin);
    let mut lines = Lines::of(child.stdout.take().unwrap());
    lines.until(b"\"type\":\"text_delta\"").await;
    let took = began.elapsed();
    lines.until(b"\"type\":\"result\"").await;
    child.wait().await.unwrap();
    took
}

fn command<'a>(
    program: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
    environment: &[(String, String)],
    directory: &Path,
) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments.into_iter().map(OsStr::new))
        .envs([("ENABLE_TOOL_SEARCH", "false"), ("DISABLE_AUTO_COMPACT", "1"), ("DISABLE_AUTOUPDATER", "1")])
        .envs([("CLAUDE_CODE_MAX_RETRIES", "1"), ("CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK", "1")])
        .envs([("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1"), ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1")])
        .env("BUN_GC_TIMER_INTERVAL", "10000")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    for name in ["CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT", "CLAUDE_CODE_SESSION_ID"] {
        command.env_remove(name);
    }
    command
}

struct Lines {
    stdout: BufReader<ChildStdout>,
    line: Vec<u8>,
}

impl Lines {
    fn of(stdout: ChildStdout) -> Lines {
        Lines { stdout: BufReader::with_capacity(64 * 1024, stdout), line: Vec::new() }
    }

    /// What has come, and whether a turn's last line ends it.
    async fn read(&mut self) -> (Bytes, bool) {
        let read = self.stdout.fill_buf().await.unwrap();
        assert!(!read.is_empty(), "the process ended in its turn");
        let read = Bytes::copy_from_slice(read);
        self.stdout.consume(read.len());
        // The last line may come in pieces.
        let begin = memchr::memrchr(b'\n', &read[..read.len() - 1]).map_or(0, |before| before + 1);
        if begin > 0 || self.line.ends_with(b"\n") {
            self.line.clear();
        }
        self.line.extend_from_slice(&read[begin..]);
        let ended = self.line.ends_with(b"\n") && memmem::find(&self.line, b"\"type\":\"result\"").is_some();
        (read, ended)
    }

    /// The next line that holds this. What is part of a text does not count: its quotes are escaped.
    async fn until(&mut self, marker: &[u8]) -> &[u8] {
        let found = memmem::Finder::new(marker);
        loop {
            self.line.clear();
            let length = self.stdout.read_until(b'\n', &mut self.line).await.unwrap();
            assert!(length > 0, "the process ended before it said {}", String::from_utf8_lossy(marker));
            if found.find(&self.line).is_some() {
                return &self.line;
            }
        }
    }
}

/// The lines that make an idle process ready for its first turn, with the settings that the proxy's clients ask for; `tool`
/// is the name of the one function it may call.
pub(crate) fn setup(model: &str, system: &str, tool: Option<&str>) -> Vec<u8> {
    let mut initialize = json!({"subtype": "initialize", "systemPrompt": [system]});
    if let Some(name) = tool {
        let tool = json!({"name": name, "description": "Runs a command.", "inputSchema": parameters(),
            "annotations": {"readOnlyHint": true}, "_meta": {"anthropic/maxResultSizeChars": 500_000}});
        initialize["sdkMcpServers"] = json!(["c"]);
        initialize["sdkMcpServerConfigs"] = json!({"c": {"timeout": 3_600_000}});
        initialize["sdkMcpServerManifests"] = json!({"c": {
            "initializeResult": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "c", "version": "1"}},
            "toolsListResult": {"tools": [tool]}}});
    }
    let mut lines = line(&json!({"type": "control_request", "request_id": "initialize", "request": initialize}));
    let set_model = json!({"subtype": "set_model", "model": model});
    lines.extend(line(&json!({"type": "control_request", "request_id": "model", "request": set_model})));
    let limit = json!({"subtype": "apply_flag_settings",
        "settings": {"env": {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": LIMIT.to_string()}}});
    lines.extend(line(&json!({"type": "control_request", "request_id": "settings", "request": limit})));
    lines
}

/// What the benchmark's one function takes.
pub(crate) fn parameters() -> Value {
    json!({"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]})
}

/// A user message.
pub(crate) fn user(text: &str) -> Vec<u8> {
    line(&json!({"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": text}]},
        "parent_tool_use_id": null, "session_id": "", "client_composed": true}))
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}
