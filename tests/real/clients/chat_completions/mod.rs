//! OpenAI's own clients, as programs use them, against the whole proxy on a real port: over the real CLI where it is
//! installed, over the stand-in otherwise.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::claude_bin::{real_cli, say_skipped, stand_in, target_directory};
use crate::support::stack::Stack;
use tokio::process::Command;

/// A hung client must fail its test, not hang it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client that is installed under the target directory.
enum Client {
    /// `openai` in a virtual environment: target/python.
    Python,
    /// `openai` by npm: target/npm.
    Node,
}

impl Client {
    /// The command that runs its script; none where the client is not installed.
    ///
    /// Where `TOWER_CLAUDE_REQUIRE_CLIENTS` is set, panics instead.
    fn command(&self) -> Option<Command> {
        let (program, script, check, install) = match self {
            Client::Python => (
                target_directory().join("python/bin/python"),
                "openai_python.py",
                ["-c", "import importlib.util, sys; sys.exit(not importlib.util.find_spec('openai'))"],
                "python3 -m venv target/python && target/python/bin/pip install openai==3.54.0",
            ),
            Client::Node => (
                PathBuf::from("node"),
                "openai_node.mjs",
                ["-e", "require.resolve(`${process.env.CLIENT_DIRECTORY}/node_modules/openai`)"],
                "npm install --prefix target/npm openai@7.57.0",
            ),
        };
        let directory = target_directory().join("npm");
        let checked = std::process::Command::new(&program).args(check).env("CLIENT_DIRECTORY", &directory).output();
        if !checked.is_ok_and(|checked| checked.status.success()) {
            let missing = format!("OpenAI's client is not installed; for it to be, run\n    {install}");
            assert!(std::env::var_os("TOWER_CLAUDE_REQUIRE_CLIENTS").is_none(), "{missing}");
            say_skipped(&missing);
            return None;
        }
        let mut command = Command::new(program);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/clients/chat_completions").join(script));
        command.env("CLIENT_DIRECTORY", directory);
        Some(command)
    }
}

/// Runs the client's scenario to its end. Returns the proxy, or nothing where the client is not installed.
async fn run(client: Client, scenario: &str) -> Option<Stack> {
    let mut command = client.command()?;
    let cli = real_cli().unwrap_or_else(stand_in);
    let stack = Stack::over(&cli, |builder| builder).await;
    let address = stack.serve().await;
    let output = command
        .arg(scenario)
        .env("OPENAI_BASE_URL", format!("http://{address}/v1"))
        .env("OPENAI_API_KEY", "any key")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("the client ends in time").unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{scenario}: {said}");
    Some(stack)
}

#[tokio::test]
async fn python_ten_turns_are_on_one_process() {
    let Some(stack) = run(Client::Python, "ten_turns").await else { return };
    assert_eq!(stack.started().len(), 1);
    assert_eq!(stack.claude.health().requests.live, 9);
}

#[tokio::test]
async fn python_reads_a_stream() {
    run(Client::Python, "streaming").await;
}

#[tokio::test]
async fn python_stream_helper_runs_its_tools_to_the_end_on_one_process() {
    let Some(stack) = run(Client::Python, "stream_helper_with_tools").await else { return };
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn python_parse_helper_runs_its_tools_to_the_end_on_one_process() {
    let Some(stack) = run(Client::Python, "parse_with_tools").await else { return };
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn python_parse_helper_gets_an_object_of_its_class() {
    run(Client::Python, "parse_with_a_format").await;
}

#[tokio::test]
async fn python_raises_the_error_that_a_failure_is() {
    run(Client::Python, "errors").await;
}

#[tokio::test]
async fn python_lists_the_models() {
    run(Client::Python, "models").await;
}

#[tokio::test]
async fn node_run_tools_runs_to_the_end_on_one_process() {
    let Some(stack) = run(Client::Node, "run_tools").await else { return };
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn node_run_tools_streamed_runs_to_the_end_on_one_process() {
    let Some(stack) = run(Client::Node, "run_tools_streamed").await else { return };
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn node_reads_a_stream() {
    run(Client::Node, "streaming").await;
}

#[tokio::test]
async fn node_stream_helper_gives_the_whole_answer() {
    run(Client::Node, "stream_helper").await;
}

#[tokio::test]
async fn node_rejects_with_the_error_that_a_failure_is() {
    run(Client::Node, "errors").await;
}
