//! How it starts, and what it says where it cannot.

use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::claude_bin::stand_in;
use crate::support::in_time;
use crate::support::server_process::{ServerProcess, example};

/// Runs what is to fail: the exit code, and what it said. Nothing may have been announced.
pub async fn fails(command: &mut Command) -> (Option<i32>, String) {
    let output = in_time("its end", command.output()).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn it_says_where_it_listens_and_with_what() {
    let mut command = example("claude-max-api");
    command.args(["--port", "0", "--claude-bin"]).arg(stand_in()).env("STAND_IN_VERSION", "2.1.999");
    let server = ServerProcess::start(command).await;
    assert_eq!(server.announced, format!("Listening on {}/v1 (Claude Code 2.1.999)", server.url));
    let port = server.url.strip_prefix("http://127.0.0.1:").unwrap();
    assert_ne!(port.parse::<u16>().unwrap(), 0);
    assert_eq!(server.get("/health").await.json()["claude_code_version"], "2.1.999");
}

#[tokio::test]
async fn the_program_comes_from_the_environment_too_and_may_be_relative() {
    let stand_in = stand_in();
    let mut command = example("claude-max-api");
    let name = std::path::Path::new(".").join(stand_in.file_name().unwrap());
    command.arg("0").env("CLAUDE_BIN", name).current_dir(stand_in.parent().unwrap());
    let server = ServerProcess::start(command).await;
    assert_eq!(server.say("hi").await.content(), "echo: hi");
}

#[tokio::test]
async fn without_claude_it_says_how_to_get_it() {
    let (code, stderr) = fails(example("claude-max-api").args(["0", "--claude-bin", "/nowhere/claude"])).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("npm install -g @anthropic-ai/claude-code"), "{stderr}");
    assert!(stderr.contains("--claude-bin"), "{stderr}");
}

#[tokio::test]
async fn a_claude_that_is_too_old_is_refused_with_the_version_it_needs() {
    let mut command = example("claude-max-api");
    command.arg("0").env("CLAUDE_BIN", stand_in()).env("STAND_IN_VERSION", "2.1.320");
    let (code, stderr) = fails(&mut command).await;
    assert_eq!(code, Some(1));
    for part in ["2.1.320", "too old", "2.1.321", "claude update"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[tokio::test]
async fn a_program_that_is_not_claude_is_refused() {
    let (code, stderr) = fails(example("claude-max-api").args(["0", "--claude-bin", "echo"])).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("Is it Claude Code?"), "{stderr}");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let (code, stderr) = fails(example("claude-max-api").arg("--demo").arg(address.port().to_string())).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&address.to_string()) && stderr.contains("another port with --port"), "{stderr}");
}

#[tokio::test]
async fn open_doors_are_warned_of() {
    let mut command = example("claude-max-api");
    command.args(["0", "--host", "0.0.0.0"]).env("CLAUDE_BIN", stand_in());
    ServerProcess::start(command).await.until_logged("EVERYONE who can reach 0.0.0.0").await;

    let mut command = example("claude-max-api");
    command.args(["0", "--allow-origin", "*"]).env("CLAUDE_BIN", stand_in());
    ServerProcess::start(command).await.until_logged("EVERY web page").await;
}
