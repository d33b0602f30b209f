//! What can be typed, and what cannot.

use std::time::Duration;

use super::duration::{parse, parse_positive};
use super::start::fails;
use crate::support::server_process::example;
use crate::support::snapshot::assert_snapshot;

#[test]
fn durations_are_a_number_and_a_unit() {
    let cases = [
        ("600", 600_000),
        ("600s", 600_000),
        ("10m", 600_000),
        ("1h", 3_600_000),
        ("2d", 172_800_000),
        ("250ms", 250),
        ("0", 0),
        (" 5 s ", 5000),
    ];
    for (text, milliseconds) in cases {
        assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in ["", "m", "-1s", "1.5h", "1h30m", "10 minutes", "1M", "٣s", "99999999999999999999"] {
        assert!(parse(text).unwrap_err().contains("such as 90s"), "{text}");
    }
    for text in ["366d", "18446744073709551615h"] {
        assert!(parse(text).unwrap_err().contains("a year"), "{text}");
    }
    assert!(parse_positive("0ms").unwrap_err().contains("more than 0"));
}

#[tokio::test]
async fn help_tells_a_newcomer_everything() {
    let output = example("claude-max-api").arg("--help").output().await.unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    assert_snapshot!("binary/help", "claude-max-api --help", help);
}

/// Those whose flags are not all in the help above.
#[tokio::test]
async fn so_does_the_help_of_each_command() {
    let commands: [&[&str]; 7] = [
        &["service"],
        &["service", "status"],
        &["service", "uninstall"],
        &["status"],
        &["config"],
        &["completions"],
        &["doctor"],
    ];
    let mut all = String::new();
    for command in commands {
        let output = example("claude-max-api").args(command).arg("--help").output().await.unwrap();
        assert!(output.status.success(), "{command:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        // The flags of serving follow.
        let own = help.split("\nWhere it listens:").next().unwrap();
        all += &format!("=== {}\n{}\n\n", command.join(" "), own.trim_end());
    }
    assert_snapshot!("binary/help_of_commands", "claude-max-api COMMAND --help", all);
}

#[tokio::test]
async fn help_does_not_show_what_variables_hold() {
    let output =
        example("claude-max-api").arg("--help").env("TOWER_CLAUDE_API_KEY", "sk-secret").output().await.unwrap();
    assert!(!String::from_utf8(output.stdout).unwrap().contains("sk-secret"));
}

#[tokio::test]
async fn the_version_is_the_crates() {
    let output = example("claude-max-api").arg("--version").output().await.unwrap();
    let expected = format!("claude-max-api {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[tokio::test]
async fn what_does_not_go_together_is_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().to_str().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let agent = ["--mode", "agent", "--workspace", here];
    let cases: [(&[&str], &str); 16] = [
        (&["--mode", "agent"], "needs --workspace DIR"),
        (&["--mode", "agent", "--workspace", "/nowhere/at/all"], "Create it, or name another"),
        (&["--mode", "agent", "--workspace", file], "is not a directory"),
        (&["--builtin-tools", "Bash"], "add --mode agent, or leave --builtin-tools out"),
        (&["--mode", "client", "--builtin-tools", "Bash"], "add --mode agent, or leave --builtin-tools out"),
        (&["--workspace", here], "add --mode agent, or leave --workspace out"),
        (&["--show-tools"], "add --mode agent, or leave --show-tools out"),
        (&[&agent[..], &["--builtin-tools", "bash"]].concat(), "tool is called Bash"),
        (&[&agent[..], &["--builtin-tools", ","]].concat(), "names no tool"),
        (&[&agent[..], &["--builtin-tools", "Bash(ls)"]].concat(), "is of letters"),
        (&[&agent[..], &["--host", "0.0.0.0"]].concat(), "run commands on this machine: set --api-key-file"),
        (&[&agent[..], &["--allow-origin", "*"]].concat(), "name the origins"),
        (&["--warm", "9"], "more than --max-processes 8"),
        (&["--demo", "--claude-bin", "claude"], "leave one of them out"),
        (&["--port", "1", "2"], "cannot be used with"),
        (&["--host", "not a host"], "is no address"),
    ];
    for (args, advice) in cases {
        let (code, stderr) = fails(example("claude-max-api").args(args)).await;
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(advice), "{args:?}: {stderr}");
    }
}

#[tokio::test]
async fn a_value_that_is_none_is_refused() {
    let cases: [&[&str]; 8] = [
        &["70000"],
        &["--api-key", ""],
        &["--unknown-model", "gpt"],
        &["--max-processes", "0"],
        &["--queue-timeout", "soon"],
        &["--first-token-timeout", "0"],
        &["--body-limit", "0"],
        &["--mode", "both"],
    ];
    for args in cases {
        let (code, stderr) = fails(example("claude-max-api").args(args)).await;
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains("--help"), "{args:?}: {stderr}");
    }
}
