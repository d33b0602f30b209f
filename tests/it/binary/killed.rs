//! The server is killed: nothing that it has started stays behind.
#![cfg(target_os = "linux")] // Who is whose child is read from /proc.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::Signal;

use super::shutdown::{gone, read_until, streamed};
use crate::support::claude_bin::stand_in;
use crate::support::in_time;
use crate::support::process::{children, kill, mark, runs, watching};
use crate::support::server_process::{ServerProcess, example};

/// A CLI that has started a command in a session of its own, as Claude Code does. The command would touch `after`, next to
/// the CLI, once what it waits for has ended. Its pids are in `pids`.
fn with_command(directory: &Path) -> PathBuf {
    let program = directory.join("claude");
    let here = directory.display();
    let command = format!("echo $$ >> '{here}/pids'; sleep 300; touch '{here}/after'");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' --version '*) ;; *) setsid sh -c \"{}\" & ;; esac\nexec '{}' \"$@\"\n",
        command.replace('$', "\\$"),
        stand_in().display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    program
}

fn pids(directory: &Path) -> Vec<u32> {
    let pids = std::fs::read_to_string(directory.join("pids")).unwrap_or_default();
    pids.lines().map(|pid| pid.parse().unwrap()).collect()
}

/// Waits until the server's directories are gone.
async fn cleared(temporary: &Path) {
    let cleared = async {
        while std::fs::read_dir(temporary).unwrap().next().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    in_time("the end of the directory", cleared).await;
}

/// A server that is at work on an answer, has a live process, and warm ones; with what it has started.
async fn at_work(directory: &Path, args: &[&str]) -> (ServerProcess, hyper::body::Incoming, Vec<u32>) {
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "1"]).args(args).env("CLAUDE_BIN", with_command(directory));
    let server = ServerProcess::start(command).await;
    server.say("hello").await;
    let mut body = server.start_chat(&streamed("[[slow 100 count 100000]]")).await.into_body();
    read_until(&mut body, "w0 ").await;
    let mut started = children(server.pid());
    assert!(started.len() >= 2, "{started:?}");
    started.extend(pids(directory));
    (server, body, started)
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_no_process_no_command_and_no_directory() {
    for mode in ["client", "agent"] {
        let directory = tempfile::tempdir().unwrap();
        let workspace = directory.path().join("workspace");
        std::fs::create_dir(&workspace).unwrap();
        let agent = ["--mode", "agent", "--workspace", workspace.to_str().unwrap()];
        let args: &[&str] = if mode == "agent" { &agent } else { &[] };
        let (server, _body, started) = at_work(directory.path(), args).await;
        let temporary = server.kill().await;
        gone(&started).await;
        gone(&pids(directory.path())).await;
        cleared(temporary.path()).await;
        assert!(!directory.path().join("after").exists(), "a command went on");
    }
}

#[tokio::test]
async fn the_shell_that_watches_takes_one_line_in_a_list_of_processes() {
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "0"]).env("CLAUDE_BIN", stand_in());
    let server = ServerProcess::start(command).await;
    server.say("hello").await;
    let mark = children(server.pid()).into_iter().find_map(mark).unwrap();
    let watching = watching(&mark);
    assert!(!watching.is_empty());
    for pid in watching {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!command.contains('\n'), "{command}");
    }
}

#[tokio::test]
async fn nor_does_one_that_is_told_to_end() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _body, started) = at_work(directory.path(), &["--shutdown-timeout", "0s"]).await;
    server.signal(Signal::TERM);
    server.ended().await;
    gone(&started).await;
    gone(&pids(directory.path())).await;
    assert!(!directory.path().join("after").exists(), "a command went on");
}

#[tokio::test]
async fn what_one_leaves_that_is_killed_with_the_shell_that_watches_over_it_the_next_one_removes() {
    let directory = tempfile::tempdir().unwrap();
    let (killed, _body, started) = at_work(directory.path(), &[]).await;
    let mark = started.iter().find_map(|pid| mark(*pid)).unwrap();
    let temporary = killed.shared_temporary();
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "1"]).env("CLAUDE_BIN", stand_in());
    let other = ServerProcess::start_in(command, Arc::clone(&temporary)).await;
    assert_eq!(other.say("hello").await.status, 200);
    let others_directories = directories(temporary.path(), |name| !name.contains(&mark));

    watching(&mark).into_iter().for_each(kill);
    killed.kill().await;
    let left: Vec<u32> = pids(directory.path()).into_iter().filter(|pid| runs(*pid)).collect();
    assert!(!left.is_empty() && !directories(temporary.path(), |name| name.contains(&mark)).is_empty());

    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "1"]).env("CLAUDE_BIN", stand_in());
    let _next = ServerProcess::start_in(command, Arc::clone(&temporary)).await;
    gone(&left).await;
    let removed = async {
        while !directories(temporary.path(), |name| name.contains(&mark)).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    in_time("the end of the directories", removed).await;
    assert!(!directory.path().join("after").exists(), "a command went on");
    assert!(others_directories.iter().all(|directory| directory.exists()), "another server's are not touched");
    assert_eq!(other.say("hello").await.content(), "echo: hello");
}

fn directories(temporary: &Path, of: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let all = std::fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| of(path.file_name().unwrap().to_str().unwrap())).collect()
}
