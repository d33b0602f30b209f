//! What systemd is told, which stands behind a socket.

use std::path::Path;

use rustix::process::Signal;
use tokio::net::UnixDatagram;

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
