//! `claude-max-api doctor` where something is wrong that takes no Claude Code to see. (tests/real has the rest.)

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::claude_bin::stand_in;
use crate::support::in_time;
use crate::support::server_process::{ServerProcess, example};

/// The findings, as `(name, status, message)`, and whether the program failed.
async fn examine(claude: &Path, args: &[&str]) -> (Vec<(String, String, String)>, bool) {
    let mut command = example("claude-max-api");
    command.args(["doctor", "--json"]).args(args).env("CLAUDE_BIN", claude);
    let output = in_time("its end", command.output()).await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    let findings: Vec<_> =
        findings.map(|finding| (text(finding, "name"), text(finding, "status"), text(finding, "message"))).collect();
    let broken = findings.iter().any(|(_, status, _)| status == "broken");
    assert_eq!((output.status.code(), report["status"] == "broken"), (Some(i32::from(broken)), broken));
    (findings, broken)
}

/// The status and message of one.
fn finding<'a>(findings: &'a [(String, String, String)], name: &str) -> (&'a str, &'a str) {
    let found = findings.iter().find(|(of, ..)| of == name);
    found.map(|(_, status, message)| (&**status, &**message)).unwrap_or_else(|| panic!("no {name} in {findings:?}"))
}

fn script(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("claude");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_claude_code_that_is_missing_is_said_so_with_what_to_do() {
    let (findings, broken) = examine(Path::new("/nowhere/claude"), &["0"]).await;
    let (status, message) = finding(&findings, "claude");
    assert!(broken && status == "broken" && message.contains("npm install -g @anthropic-ai/claude-code"), "{message}");
    assert!(message.contains("--claude-bin"), "{message}");
    assert_eq!(finding(&findings, "protocol").0, "note");
}

#[tokio::test]
async fn one_that_is_too_old_is_broken_and_one_of_tomorrow_a_note() {
    let directory = tempfile::tempdir().unwrap();
    let says = |version: &str| format!("[ \"$1\" = --version ] && echo '{version} (Claude Code)' && exit 0; exit 1");
    let (findings, _) = examine(&script(directory.path(), &says("2.1.246")), &["0"]).await;
    let (status, message) = finding(&findings, "claude");
    assert!(status == "broken" && message.contains("2.1.321"), "{message}");
    let (findings, _) = examine(&script(directory.path(), &says("3.0.0")), &["0"]).await;
    assert_eq!(finding(&findings, "claude").0, "ok");
    assert_eq!(finding(&findings, "version").0, "note");
}

#[tokio::test]
async fn a_program_that_is_no_claude_code_ends_the_examination_and_does_not_hang_it() {
    let directory = tempfile::tempdir().unwrap();
    let speaks = "[ \"$1\" = --version ] && echo '2.1.332 (Claude Code)' && exit 0; echo '{'; echo nonsense; exit 3";
    let (findings, broken) = examine(&script(directory.path(), speaks), &["0"]).await;
    assert!(broken);
    assert_eq!(finding(&findings, "login").0, "note");
    assert_eq!(finding(&findings, "answers").0, "broken");
    assert_eq!(findings.last().unwrap().0, "protocol", "nothing else is tried: {findings:?}");
}

#[tokio::test]
async fn a_port_is_free_or_has_a_server_of_ours_or_is_taken() {
    let missing = Path::new("/nowhere/claude");
    let port = |url: &str| url.rsplit(':').next().unwrap().to_owned();

    let mut command = example("claude-max-api");
    command.arg("0").env("CLAUDE_BIN", stand_in());
    let server = ServerProcess::start(command).await;
    server.say("[[overage]]").await;
    let (findings, _) = examine(missing, &[&port(&server.url)]).await;
    let (status, message) = finding(&findings, "port");
    assert!(status == "note" && message.contains("A server of this kind"), "{message}");
    let (status, message) = finding(&findings, "server");
    assert!(status == "note" && message.contains("requests draw on extra usage"), "{message}");

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    std::thread::spawn({
        let other = other.try_clone().unwrap();
        // It takes every connection and closes it without a word.
        move || other.incoming().for_each(drop)
    });
    let (findings, _) = examine(missing, &[&port(&other.local_addr().unwrap().to_string())]).await;
    assert_eq!(finding(&findings, "port").0, "broken");
    let (findings, _) = examine(missing, &["0"]).await;
    assert_eq!(finding(&findings, "port").0, "ok");
}

#[tokio::test]
async fn memory_that_processes_may_take_and_that_is_not_there_is_a_note() {
    for (args, status, words) in [
        (["--max-processes", "100000"], "note", "100000 processes (--max-processes) take up to 15000000 MB"),
        (["--max-processes", "1"], "ok", "1 processes (--max-processes) take up to 150 MB"),
    ] {
        let (findings, _) = examine(Path::new("/nowhere/claude"), &[&["0"], &args[..]].concat()).await;
        let (is, message) = finding(&findings, "memory");
        // Only Linux says what it has.
        let expected = if cfg!(target_os = "linux") { status } else { "ok" };
        assert!(is == expected && message.starts_with(words), "{is}: {message}");
    }
}

#[tokio::test]
async fn flags_that_do_not_go_together_are_a_finding() {
    let (findings, _) = examine(Path::new("/nowhere/claude"), &["0", "--warm", "3", "--max-processes", "2"]).await;
    let (status, message) = finding(&findings, "flags");
    assert!(status == "broken" && message.contains("--warm 3"), "{message}");
}
