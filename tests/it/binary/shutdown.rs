//! How it ends: answers are finished, or cut where that is asked for, and no process stays behind.
#![cfg(target_os = "linux")] // Who is whose child is read from /proc.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::raw::{Raw, chat};
use crate::support::claude_bin::stand_in;
use crate::support::process::{children, mark, runs, stat, watching};
use crate::support::server_process::{ServerProcess, example};
use crate::support::{PATIENCE, in_time};

async fn started(args: &[&str]) -> ServerProcess {
    let mut command = example("claude-max-api");
    command.arg("0").args(args).env("CLAUDE_BIN", stand_in());
    ServerProcess::start(command).await
}

pub(super) fn streamed(text: &str) -> Value {
    json!({"model": "sonnet", "stream": true, "messages": [{"role": "user", "content": text}]})
}

/// Waits until these are gone. One that nobody has asked about yet (a zombie) is.
pub(super) async fn gone(pids: &[u32]) {
    let all_gone = async {
        while pids.iter().any(|pid| stat(*pid).is_some_and(|(state, _)| state != 'Z')) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time("the end of all processes", all_gone).await;
}

/// Waits until nobody takes connections there. A process that is just being started has the listener, too, for as long
/// as it is no program of its own yet.
async fn closed(address: &str) {
    let refused = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time("the end of taking connections", refused).await;
}

/// Reads up to what holds this text.
pub(super) async fn read_until(body: &mut Incoming, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let frame = in_time("a frame", body.frame()).await;
        let frame = frame.unwrap_or_else(|| panic!("the stream ended before {text:?}: {read}")).unwrap();
        read.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    read
}

#[tokio::test]
async fn a_running_stream_is_finished_and_nothing_stays_behind() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = started(&["--warm", "2"]).await;
        // One live, one at work, and those that are warm.
        server.say("hello").await;
        let mut body = server.start_chat(&streamed("[[slow 20 count 50]]")).await.into_body();
        read_until(&mut body, "w0 ").await;
        let processes = children(server.pid());
        assert!(processes.len() >= 2, "{processes:?}");

        server.signal(signal);
        server.until_logged("shutting down").await;
        closed(server.url.strip_prefix("http://").unwrap()).await;
        let rest = read_until(&mut body, "[DONE]").await;
        assert!(rest.contains("w49 ") && rest.contains(r#""finish_reason":"stop""#), "{rest}");

        let (status, more) = server.ended().await;
        assert!(status.success(), "{status}");
        assert_eq!(more, "", "one line on standard output is all there is");
        gone(&processes).await;
    }
}

/// A service manager kills at once what is left when the server has ended.
#[tokio::test]
async fn it_has_ended_when_its_processes_have_and_what_cleans_up_after_them() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("claude");
    let here = directory.path().display();
    // Told to end, it takes its time.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) exec {0:?} \"$@\" ;; esac\n\
         trap 'sleep 0.3; echo ended >> \"{here}/ended\"; exit' TERM\n\
         exec 3<&0\n{0:?} \"$@\" <&3 &\nexec 3<&-\nwait\n",
        stand_in()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "0"]).env("CLAUDE_BIN", &program);
    let server = ServerProcess::start(command).await;
    assert_eq!(server.say("hello").await.status, 200);
    let processes = children(server.pid());
    let mark = processes.iter().find_map(|pid| mark(*pid)).unwrap();
    let watching = watching(&mark);
    assert!(!watching.is_empty());
    server.signal(Signal::TERM);
    assert!(server.ended().await.0.success());
    assert_eq!(std::fs::read_to_string(directory.path().join("ended")).unwrap(), "ended\n");
    assert!(![processes, watching].concat().into_iter().any(runs));
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_it_up() {
    let server = started(&[]).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let idle = tokio::net::TcpStream::connect(address).await.unwrap();
    server.say("hello").await;
    let processes = children(server.pid());
    server.signal(Signal::TERM);
    let (status, _) = server.ended().await;
    assert!(status.success(), "{status}");
    gone(&processes).await;
    drop(idle);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut server = started(&["--shutdown-timeout", "1h"]).await;
    let mut body = server.start_chat(&streamed("[[slow 600000 count 50]]")).await.into_body();
    read_until(&mut body, r#""role":"assistant""#).await;
    let processes = children(server.pid());
    server.signal(Signal::TERM);
    server.until_logged("shutting down").await;
    server.signal(Signal::TERM);
    let (status, _) = server.ended().await;
    assert_eq!(status.code(), Some(1), "some answers were cut");
    gone(&processes).await;
    assert!(body.collect().await.is_err(), "a cut answer does not look complete");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_cut() {
    let server = started(&["--shutdown-timeout", "100ms"]).await;
    let mut body = server.start_chat(&streamed("[[slow 600000 count 50]]")).await.into_body();
    read_until(&mut body, r#""role":"assistant""#).await;
    let processes = children(server.pid());
    server.signal(Signal::INT);
    let (status, _) = server.ended().await;
    assert_eq!(status.code(), Some(1));
    gone(&processes).await;
}

#[tokio::test]
async fn requests_that_never_wholly_come_do_not_hold_it_up() {
    let mut server = started(&["--shutdown-timeout", "1h"]).await;
    let mut halves = Vec::new();
    for half in ["GET /health HTTP/1.1\r\nhost:", &chat("hello", "")[..120], &chat("hello", "").replace("\"}]}", "")] {
        let mut client = Raw::connect(&server).await;
        client.send(half).await;
        halves.push(client);
    }
    server.say("hello").await;
    server.signal(Signal::TERM);
    server.until_logged("shutting down").await;
    let (status, _) = tokio::time::timeout(Duration::from_secs(20), server.ended()).await.expect("an end in time");
    assert!(status.success(), "{status}");
    for client in &mut halves {
        client.closed().await;
    }
}

#[tokio::test]
async fn a_request_that_comes_wholly_after_the_signal_is_answered() {
    let mut server = started(&[]).await;
    let request = chat("hello", "");
    let mut client = Raw::connect(&server).await;
    client.send(&request[..request.len() - 10]).await;
    // Its head has been read when a later request was answered.
    server.say("hello").await;
    server.signal(Signal::TERM);
    server.until_logged("shutting down").await;
    client.send(&request[request.len() - 10..]).await;
    let answer = client.answer().await;
    assert!(answer.body.contains("echo: hello"), "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(server.ended().await.0.success());
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_in_time() {
    let mut server = started(&["--shutdown-timeout", "100ms"]).await;
    let mut client = Raw::connect_with(&server, |socket| socket.set_recv_buffer_size(4096).unwrap()).await;
    client.send(chat("[[big 3000000]]", "")).await;
    client.stream.readable().await.unwrap();
    server.signal(Signal::TERM);
    server.until_logged("had not wholly gone and are cut: 1").await;
    let (status, _) = server.ended().await;
    assert_eq!(status.code(), Some(1));
}

#[tokio::test]
async fn load_balancers_get_time_to_notice() {
    let mut server = started(&["--drain-delay", "1h"]).await;
    let began = tokio::time::Instant::now();
    while server.get("/ready").await.status != 200 {
        assert!(began.elapsed() < PATIENCE, "{:?}", server.get("/ready").await.body);
    }
    server.signal(Signal::TERM);
    server.until_logged("connections are taken for 3600s more").await;
    let answer = server.get("/ready").await;
    assert_eq!((answer.status.as_u16(), answer.json()), (503, json!({"status": "draining"})));
    assert_eq!(server.get("/live").await.status, 200);
    assert_eq!(server.say("hello").await.content(), "echo: hello");
    server.signal(Signal::TERM);
    assert!(server.ended().await.0.success(), "no answer was cut");

    let mut server = started(&["--drain-delay", "100ms"]).await;
    server.signal(Signal::TERM);
    server.until_logged("shutting down").await;
    assert!(server.ended().await.0.success());
}
