//! A CLI that is missing, is not one, is too old, or does not come up.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tower_claude::cli::{ClaudeCli, HealthStatus, NotReady};
use tower_claude::{Error, ErrorKind};

use crate::support::chat::{ask_once, claude, messages, try_ask, until, user};
use crate::support::claude_bin::stand_in;

async fn failure(claude: &ClaudeCli) -> Error {
    let error = try_ask(claude, messages([user("hi")])).await.unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::Cli, 502));
    error
}

fn script(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("claude");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_missing_program_says_how_to_install_it() {
    for program in ["/nowhere/claude", "no-such-program-as-this"] {
        let error = failure(&ClaudeCli::builder().program(program).build()).await;
        assert!(error.to_string().contains("npm install -g @anthropic-ai/claude-code"), "{error}");
        assert!(error.to_string().contains(program), "{error}");
    }
}

#[tokio::test]
async fn a_program_that_may_not_be_run_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = script(directory.path(), "");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = failure(&ClaudeCli::builder().program(&path).build()).await;
    assert!(error.to_string().contains("Make it executable"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_not_claude_code_is_not_used() {
    let error = failure(&ClaudeCli::builder().program("echo").build()).await;
    assert!(error.to_string().contains("did not print a version"), "{error}");
}

#[tokio::test]
async fn a_version_that_would_read_the_users_files_is_not_used() {
    let error = failure(&claude().env("STAND_IN_VERSION", "2.1.320").build()).await;
    assert!(error.to_string().contains("2.1.320") && error.to_string().contains("2.1.321"), "{error}");
    assert!(error.to_string().contains("claude update"), "{error}");
    let oldest = claude().env("STAND_IN_VERSION", "2.1.321").build();
    assert_eq!(oldest.version().await.unwrap().to_string(), "2.1.321");
    assert_eq!(ask_once(&oldest, "hi").await.text, "echo: hi");
}

#[tokio::test]
async fn a_process_that_does_not_come_up_is_502_with_the_end_of_stderr() {
    let claude = claude().env("STAND_IN_FAIL_START", "3").build();
    let error = failure(&claude).await;
    assert!(error.to_string().contains("told by STAND_IN_FAIL_START not to start"), "{error}");
    crate::support::chat::until("no process", || claude.health().processes.total == 0).await;
}

#[tokio::test]
async fn a_long_stderr_is_cut_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[ \"$1\" = --version ] && { echo '2.1.332 (Claude Code)'; exit; }\n\
                i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1";
    let error = failure(&ClaudeCli::builder().program(script(directory.path(), text)).warm_processes(0).build()).await;
    let said = error.to_string();
    assert!(said.contains("line 1999") && !said.contains("line 1\n") && said.len() < 4096, "{said}");
}

#[tokio::test]
async fn a_grandchild_that_keeps_stderr_open_does_not_keep_the_error() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[ \"$1\" = --version ] && { echo '2.1.332 (Claude Code)'; exit; }\n\
                echo broken >&2; setsid sleep 5 >/dev/null & exit 1";
    let began = Instant::now();
    let error = failure(&ClaudeCli::builder().program(script(directory.path(), text)).warm_processes(0).build()).await;
    assert!(error.to_string().contains("broken"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_warm_process_that_does_not_come_up_is_tried_again_after_a_pause_and_never_in_a_loop() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("starts");
    let text = format!(
        "[ \"$1\" = --version ] && {{ echo '2.1.332 (Claude Code)'; exit; }}\necho >> '{}'; exit 1",
        log.display()
    );
    let claude = ClaudeCli::builder().program(script(directory.path(), &text)).warm_processes(2).build();
    let starts = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    let began = Instant::now();
    claude.warm_up();
    until("a second try", || starts() > 2).await;
    assert!(began.elapsed() >= Duration::from_millis(500));
    until("degraded health", || claude.health().status == HealthStatus::Degraded).await;
    assert_eq!(claude.ready(), Err(NotReady::Degraded));
    // 0.5 s, 1 s, 2 s, ... between the rounds, of two starts each at most.
    let rounds = (began.elapsed().as_secs_f64() / 0.5 + 1.0).log2().floor() as usize + 1;
    assert!(starts() <= 2 * rounds, "{} starts in {:?}", starts(), began.elapsed());
}

#[tokio::test]
async fn a_cli_that_is_well_again_is_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken");
    std::fs::write(&broken, "").unwrap();
    let text = format!("[ -e '{}' ] && exit 1\nexec '{}' \"$@\"", broken.display(), stand_in().display());
    let claude = ClaudeCli::builder().program(script(directory.path(), &text)).warm_processes(1).build();
    failure(&claude).await;
    std::fs::remove_file(&broken).unwrap();
    assert_eq!(ask_once(&claude, "hi").await.text, "echo: hi");
    until("a warm process", || claude.health().processes.warm == 1).await;
    assert_eq!(claude.health().status, HealthStatus::Ok);
}
