//! What can be typed, and what cannot.

use super::start::fails;
use crate::support::server_process::example;
use crate::support::snapshot::assert_snapshot;

#[tokio::test]
async fn help_tells_a_newcomer_everything() {
    let output = example("claude-max-api").arg("--help").output().await.unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    assert_snapshot!("binary/help", "claude-max-api --help", help);
}

#[tokio::test]
async fn the_short_help_is_one_screen() {
    let output = example("claude-max-api").arg("-h").output().await.unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.lines().count() <= 52 && help.lines().all(|line| line.len() <= 100), "{help}");
    assert_snapshot!("binary/short_help", "claude-max-api -h", help);
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
        let own = help.split("\nWho can reach it:").next().unwrap();
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
        &["--idle-timeout", "soon"],
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
