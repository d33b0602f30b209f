//! Anthropic's own clients, and Claude Code itself.

mod opencode;

use tokio::process::Command;

use super::{node, python, run, said_by};
use crate::support::claude_bin::{real_cli, target_directory};
use crate::support::stack::Stack;

fn anthropic_python() -> Option<Command> {
    python("python", "anthropic", "messages/anthropic_python.py")
}

fn anthropic_node() -> Option<Command> {
    node("node".into(), &target_directory().join("npm"), "@anthropic-ai/sdk", "messages/anthropic_node.mjs")
}

macro_rules! scenarios {
    ($($test:ident: $client:ident $scenario:literal;)*) => {$(
        #[tokio::test]
        async fn $test() {
            run($client(), $scenario).await;
        }
    )*};
}

scenarios! {
    python_reads_events_that_are_of_its_own_types: anthropic_python "events";
    python_reads_a_stream: anthropic_python "streaming";
    python_runs_tools_by_hand_in_the_process_that_waits: anthropic_python "tool_loop";
    python_tool_runner_runs_to_the_end: anthropic_python "tool_runner";
    python_parse_gets_an_object_of_its_class: anthropic_python "parse";
    python_is_told_which_stop_sequence_was_met: anthropic_python "stop_sequences";
    python_counts_tokens: anthropic_python "count_tokens";
    python_raises_the_error_that_a_failure_is: anthropic_python "errors";
    python_lists_the_models: anthropic_python "models";
    node_reads_a_stream: anthropic_node "streaming";
    node_tool_runner_runs_to_the_end: anthropic_node "tool_runner";
    node_rejects_with_the_error_that_a_failure_is: anthropic_node "errors";
}

#[tokio::test]
async fn python_ten_turns_are_on_one_process() {
    let Some(stack) = run(anthropic_python(), "ten_turns").await else { return };
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn python_turns_thinking_off() {
    let Some(stack) = run(anthropic_python(), "thinking_disabled").await else { return };
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
