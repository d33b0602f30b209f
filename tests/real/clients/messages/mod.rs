//! Programs that speak the Messages API, unmodified, against the whole proxy on a real port: over the real CLI where it
//! is installed, over the stand-in otherwise. One of them is Claude Code itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::claude_bin::{real_cli, say_skipped, stand_in, target_directory};
use crate::support::stack::Stack;
use tokio::process::Command;

/// A hung client must fail its test, not hang it.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy)]
enum Client {
    Python,
    Node,
}

impl Client {
    /// The command that runs its script; none where the client is not installed.
    fn command(self) -> Option<Command> {
        let modules = target_directory().join("npm");
        let (program, script, check) = match self {
            Client::Python => (
                target_directory().join("python/bin/python"),
                "anthropic_python.py",
                ["-c", "import importlib.util, sys; sys.exit(not importlib.util.find_spec('anthropic'))"],
            ),
            Client::Node => (
                PathBuf::from("node"),
                "anthropic_node.mjs",
                ["-e", "require.resolve(`${process.env.CLIENT_DIRECTORY}/node_modules/@anthropic-ai/sdk`)"],
            ),
        };
        let checked = std::process::Command::new(&program).args(check).env("CLIENT_DIRECTORY", &modules).output();
        if !checked.is_ok_and(|checked| checked.status.success()) {
            let missing = "Anthropic's client is not installed; .ci/run installs it";
            assert!(std::env::var_os("TOWER_CLAUDE_REQUIRE_CLIENTS").is_none(), "{missing}");
            say_skipped(missing);
            return None;
        }
        let mut command = Command::new(program);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/clients/messages").join(script));
        command.env("CLIENT_DIRECTORY", modules);
        Some(command)
    }
}

async fn said_by(command: &mut Command) -> String {
    let output = command.kill_on_drop(true).stdin(std::process::Stdio::null()).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("the client ends in time").unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    said
}

/// Runs the client's scenario to its end. Returns the proxy, or nothing where the client is not installed.
async fn run(client: Client, scenario: &str) -> Option<Stack> {
    let mut command = client.command()?;
    let cli = real_cli().unwrap_or_else(stand_in);
    let stack = Stack::over(&cli, |builder| builder).await;
    let address = stack.serve().await;
    command.arg(scenario).env("ANTHROPIC_BASE_URL", format!("http://{address}")).env("ANTHROPIC_API_KEY", "any key");
    said_by(&mut command).await;
    Some(stack)
}

macro_rules! scenarios {
    ($($test:ident: $client:ident $scenario:literal;)*) => {$(
        #[tokio::test]
        async fn $test() {
            run(Client::$client, $scenario).await;
        }
    )*};
}

scenarios! {
    python_reads_events_that_are_of_its_own_types: Python "events";
    python_reads_a_stream: Python "streaming";
    python_runs_tools_by_hand_in_the_process_that_waits: Python "tool_loop";
    python_tool_runner_runs_to_the_end: Python "tool_runner";
    python_parse_gets_an_object_of_its_class: Python "parse";
    python_is_told_which_stop_sequence_was_met: Python "stop_sequences";
    python_counts_tokens: Python "count_tokens";
    python_raises_the_error_that_a_failure_is: Python "errors";
    python_lists_the_models: Python "models";
    node_reads_a_stream: Node "streaming";
    node_tool_runner_runs_to_the_end: Node "tool_runner";
    node_rejects_with_the_error_that_a_failure_is: Node "errors";
}

#[tokio::test]
async fn python_ten_turns_are_on_one_process() {
    let Some(stack) = run(Client::Python, "ten_turns").await else { return };
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn python_turns_thinking_off() {
    let Some(stack) = run(Client::Python, "thinking_disabled").await else { return };
    // The stand-in asks no API.
    let thinks = |upstream: &serde_json::Value| upstream["thinking"].is_object();
    assert!(!stack.api.requests().iter().any(thinks), "{:?}", stack.api.requests());
}

#[tokio::test]
async fn claude_code_answers_uses_its_own_tools_and_goes_on_in_a_second_turn() {
    let Some(cli) = real_cli() else { return };
    let stack = Stack::over(&cli, |builder| builder).await;
    let address = stack.serve().await;
    let home = tempfile::tempdir().unwrap();
    let client = |arguments: &[&str]| {
        let mut command = Command::new(&cli);
        command.env_clear().current_dir(home.path()).args(["-p", "--dangerously-skip-permissions"]).args(arguments);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home.path());
        command.env("ANTHROPIC_BASE_URL", format!("http://{address}")).env("ANTHROPIC_API_KEY", "any key");
        command.env("DISABLE_AUTOUPDATER", "1").env("DISABLE_TELEMETRY", "1").env("IS_SANDBOX", "1");
        command
    };
    let command = r#"[[tool Bash {"command":"echo marker-$((6*7))","description":"x"}]]"#;
    let said = said_by(&mut client(&[command])).await;
    assert!(said.contains("marker-42"), "{said}");
    let said = said_by(&mut client(&["--continue", "a second turn"])).await;
    assert!(said.contains("a second turn"), "{said}");
}
