//! What systemd is told, which stands behind a socket.

#[path = "../../../examples/claude-max-api/supervisor.rs"]
#[allow(dead_code)]
mod supervised;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::Command;

use crate::support::claude_bin::stand_in;
use crate::support::in_time;
use crate::support::server_process::{ServerProcess, example};

/// What comes next.
async fn told(systemd: &UnixDatagram) -> String {
    let mut message = [0; 4096];
    let length = in_time("a word", systemd.recv(&mut message)).await.unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap()
}

async fn serve(socket: &Path, watchdog: Option<&str>) -> ServerProcess {
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "0", "--drain-delay", "1s", "--shutdown-timeout", "4s"]);
    command.env("CLAUDE_BIN", stand_in()).env("NOTIFY_SOCKET", socket).envs(watchdog.map(|us| ("WATCHDOG_USEC", us)));
    ServerProcess::start(command).await
}

#[tokio::test]
async fn it_is_told_that_the_server_listens_that_it_is_alive_and_that_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    let server = serve(&socket, Some("100000")).await;

    let ready = told(&systemd).await;
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(ready.contains(&format!("STATUS=Listening on {}/v1", server.url)), "{ready}");
    assert_eq!(server.get("/health").await.status, 200);
    for _ in 0..3 {
        assert_eq!(told(&systemd).await.trim_end(), "WATCHDOG=1");
    }
    server.signal(Signal::TERM);
    let ending = loop {
        match told(&systemd).await {
            alive if alive.trim_end() == "WATCHDOG=1" => {}
            other => break other,
        }
    };
    assert!(ending.starts_with("STOPPING=1\n") && ending.contains("EXTEND_TIMEOUT_USEC=15000000"), "{ending}");
    assert!(server.ended().await.0.success());
}

#[tokio::test]
async fn where_it_does_not_watch_it_is_told_nothing_between_beginning_and_end() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    let server = serve(&socket, None).await;
    assert!(told(&systemd).await.starts_with("READY=1\n"));
    // A socket that is gone is no reason to fail.
    drop(systemd);
    assert_eq!(server.say("hi").await.status, 200);
    server.signal(Signal::TERM);
    assert!(server.ended().await.0.success());
}

#[tokio::test]
async fn claude_is_not_told_where_it_listens() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    let claude = directory.path().join("claude");
    let seen = directory.path().join("environment");
    let script = format!("#!/bin/sh\nenv > {seen:?}\nexec {:?} \"$@\"\n", stand_in());
    std::fs::write(&claude, script).unwrap();
    std::fs::set_permissions(&claude, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "0"]).env("CLAUDE_BIN", claude).env("NOTIFY_SOCKET", &socket);
    command.env("WATCHDOG_USEC", "60000000");
    let server = ServerProcess::start(command).await;
    assert!(told(&systemd).await.starts_with("READY=1\n"));
    assert_eq!(server.say("hi").await.status, 200);
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("PATH=") && !seen.contains("NOTIFY_SOCKET") && !seen.contains("WATCHDOG"), "{seen}");
}

/// A program whose runtime is stuck between one line on its standard input and the next: no worker gets to any task.
#[test]
#[ignore = "a program for the next test, which starts it"]
fn a_runtime_that_gets_stuck() {
    const WORKERS: usize = 2;
    let wait_for_line = || std::io::stdin().read_line(&mut String::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().unwrap();
    runtime.spawn(supervised::stay_alive());
    wait_for_line();
    let (stuck, free) = (Arc::new(Barrier::new(WORKERS + 1)), Arc::new(Barrier::new(WORKERS + 1)));
    for _ in 0..WORKERS {
        let (stuck, free) = (Arc::clone(&stuck), Arc::clone(&free));
        runtime.spawn(async move {
            stuck.wait();
            free.wait();
        });
    }
    stuck.wait();
    // Past the test harness, which would keep it to itself.
    std::io::stdout().write_all(b"stuck\n").unwrap();
    wait_for_line();
    free.wait();
    wait_for_line();
}

#[tokio::test]
async fn it_is_not_told_that_the_server_is_alive_while_no_task_gets_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "binary::supervisor::a_runtime_that_gets_stuck", "--ignored", "--nocapture"]);
    program.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "20000").env_remove("WATCHDOG_PID");
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut program = program.spawn().unwrap();
    let mut stdin = program.stdin.take().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        assert_eq!(told(&systemd).await.trim_end(), "WATCHDOG=1");
    }

    stdin.write_all(b"\n").await.unwrap();
    while in_time("a line", lines.next_line()).await.unwrap().expect("it is stuck some time") != "stuck" {}
    // What it said before may still lie here; then it says nothing for twenty times as long as it should.
    let mut message = [0; 64];
    let mut before = 0;
    while tokio::time::timeout(Duration::from_millis(200), systemd.recv(&mut message)).await.is_ok() {
        before += 1;
        assert!(before < 100, "it goes on saying that it is alive");
    }

    stdin.write_all(b"\n").await.unwrap();
    assert_eq!(told(&systemd).await.trim_end(), "WATCHDOG=1");
    stdin.write_all(b"\n").await.unwrap();
    assert!(in_time("its end", program.wait()).await.unwrap().success());
}
