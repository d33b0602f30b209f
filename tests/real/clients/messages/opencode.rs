//! opencode with its built-in `anthropic` provider, told no more than where its API is.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::claude_bin::{real_cli, say_skipped, target_directory};
use crate::support::stack::Stack;

/// A run takes about 5 s on an idle machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A picture of one dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// The binary that npm has installed under the target directory.
fn installed() -> Option<PathBuf> {
    let program = target_directory().join("opencode/node_modules/opencode-linux-x64/bin/opencode");
    if program.exists() {
        return Some(program);
    }
    assert!(std::env::var_os("TOWER_CLAUDE_REQUIRE_CLIENTS").is_none(), "no opencode; .ci/run installs it");
    say_skipped(&format!("no opencode at {}", program.display()));
    None
}

/// What it says to this message, in the conversation that its directory has.
async fn says(program: &Path, home: &Path, arguments: &[&str], message: &str) -> String {
    let mut child = Command::new(program)
        .arg("run")
        .args(arguments)
        .current_dir(home.join("project"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .envs([("OPENCODE_DISABLE_AUTOUPDATE", "1"), ("OPENCODE_DISABLE_MODELS_FETCH", "1")])
        .envs([("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"), ("NO_PROXY", "127.0.0.1,localhost")])
        // Whatever it wants of the world, it does not get.
        .envs([("HTTP_PROXY", "http://127.0.0.1:9"), ("HTTPS_PROXY", "http://127.0.0.1:9")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // As an argument it would put quotation marks around it.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(message.as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("an end in time").unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode_runs_its_tool_goes_on_in_a_second_turn_and_its_picture_arrives() {
    let (Some(program), Some(cli)) = (installed(), real_cli()) else { return };
    let stack = Stack::over(&cli, |builder| builder).await;
    let address = stack.serve().await;
    let home = tempfile::tempdir().unwrap();
    let project = home.path().join("project");
    std::fs::create_dir(&project).unwrap();
    let options = json!({"baseURL": format!("http://{address}/v1"), "apiKey": "any key"});
    let config = json!({"provider": {"anthropic": {"options": options}}, "model": "anthropic/claude-sonnet-4-5"});
    std::fs::write(project.join("opencode.json"), config.to_string()).unwrap();
    std::fs::write(project.join("dot.png"), base64::engine::general_purpose::STANDARD.decode(PNG).unwrap()).unwrap();
    let live = || serde_json::to_value(stack.claude.health()).unwrap()["requests"]["live"].as_u64().unwrap();

    let command = r#"Run it: [[tool bash {"command":"echo ran-$((40+2))","description":"x"}]]"#;
    let said = says(&program, home.path(), &[], command).await;
    assert!(said.contains("ran-42"), "opencode ran its tool, and the result is in the answer: {said}");
    assert!(live() >= 1, "the result went to the process that waited for it");

    let before = live();
    let said = says(&program, home.path(), &["--continue", "--file", "dot.png"], "And now? [[count 3]]").await;
    assert!(said.contains("w0 w1 w2"), "{said}");
    assert_eq!(live(), before + 1, "a second run of opencode goes on with the process");
    let upstream = stack.api.requests().pop().unwrap().to_string();
    assert!(upstream.contains(PNG), "the picture reaches the model");
}
