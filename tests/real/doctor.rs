//! `claude-max-api doctor` and the real CLI: that it finds nothing where nothing is wrong, and something where it is.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::claude_bin::real_cli;
use crate::support::in_time;
use crate::support::server_process::example;

/// What it prints about this Claude Code, and its exit code.
async fn examine(claude: &Path) -> (String, Option<i32>) {
    let home = tempfile::tempdir().unwrap();
    let mut command = example("claude-max-api");
    command
        .args(["doctor", "0"])
        .env("CLAUDE_BIN", claude)
        .env("HOME", home.path())
        .env("ANTHROPIC_API_KEY", "sk-test");
    let output = in_time("its end", command.output()).await.unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

fn line<'a>(report: &'a str, name: &str) -> &'a str {
    let found = report.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
    found.unwrap_or_else(|| panic!("no {name} in:\n{report}"))
}

#[tokio::test]
async fn nothing_is_broken_about_a_claude_code_that_this_release_was_tested_with() {
    let Some(claude) = real_cli() else { return };
    let (report, code) = examine(&claude).await;
    assert!(!report.contains("\nbroken") && code == Some(0), "{report}");
    assert!(line(&report, "login").contains("with an API key"), "{report}");
    for name in
        ["answers", "guard", "isolation", "replay", "live", "functions", "schema", "limit", "failures", "interruption"]
    {
        assert!(line(&report, name).starts_with("ok "), "{report}");
    }
}

/// The mark that keeps texts as they are is taken out on the way, as an older CLI would ignore it.
#[tokio::test]
async fn a_claude_code_that_reads_the_files_which_a_message_names_is_found_out() {
    let Some(claude) = real_cli() else { return };
    let directory = tempfile::tempdir().unwrap();
    let shim = directory.path().join("claude");
    let claude = claude.canonicalize().unwrap();
    let claude = claude.display();
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec {claude} --version\n[ \"$1\" = auth ] && exec {claude} \"$@\"\n\
         sed -u 's/\"client_composed\":true/\"composed\":true/' | {claude} \"$@\"\n"
    );
    std::fs::write(&shim, text).unwrap();
    std::fs::set_permissions(&shim, PermissionsExt::from_mode(0o755)).unwrap();

    let (report, code) = examine(&shim).await;
    assert_eq!(code, Some(1), "{report}");
    assert!(line(&report, "guard").starts_with("broken"), "{report}");
    assert!(line(&report, "replay").starts_with("ok"), "{report}");
}
