//! Connections: how many there may be, which one goes, and clients that do not read, send too much or are gone.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::raw::{CHAT, HEALTH, Raw, chat, processes};
use super::start::fails;
use crate::support::claude_bin::{example as path_of, stand_in};
use crate::support::in_time;
use crate::support::server_process::{ServerProcess, example, settings};

async fn started(args: &[&str]) -> ServerProcess {
    started_with("", args).await
}

/// One with these settings in a file as well.
async fn started_with(toml: &str, args: &[&str]) -> ServerProcess {
    let (_file, config) = settings(toml);
    let mut command = example("claude-max-api");
    command.arg("0").args(config).args(args).env("CLAUDE_BIN", stand_in());
    ServerProcess::start(command).await
}

/// The server below a shell that allows it so many open files and no more.
fn limited(files: u32, args: &[&str]) -> Command {
    let mut command = example("claude-max-api");
    let program = path_of("claude-max-api");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(program).arg("0").args(args);
    let unset: Vec<_> = command.as_std_mut().get_envs().map(|(name, _)| name.to_owned()).collect();
    for name in unset {
        shell.env_remove(name);
    }
    shell.env("CLAUDE_BIN", stand_in()).kill_on_drop(true);
    shell.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    shell.stderr(std::process::Stdio::piped());
    shell
}

#[tokio::test]
async fn the_connection_that_has_been_idle_longest_goes() {
    let server = started_with("max-connections = 3", &[]).await;
    let mut busy = Raw::connect(&server).await;
    busy.send(chat("[[slow 1 count 300]]", r#","stream":true"#)).await;
    let mut oldest = Raw::connect(&server).await;
    oldest.send(HEALTH).await;
    oldest.answer().await;
    // Half a head is no request.
    let mut half = Raw::connect(&server).await;
    half.send("GET /health HTTP/1.1\r\n").await;
    let mut used = Raw::connect(&server).await;
    oldest.closed().await;
    used.send(HEALTH).await;
    assert_eq!(used.answer().await.status, 200);
    let mut last = Raw::connect(&server).await;
    half.closed().await;
    last.send(HEALTH).await;
    assert_eq!(last.answer().await.status, 200);
    used.send(HEALTH).await;
    assert_eq!(used.answer().await.status, 200, "it stays");
    assert!(busy.answer().await.body.contains("[DONE]"), "it is not idle");
}

/// hyper would keep up to 0.4 MB of each.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_keeps_little_of_its_request_and_nothing_of_its_answer() {
    const CONNECTIONS: u64 = 20;
    let mut command = example("claude-max-api");
    // Else it depends on the threads that have read a request how many of glibc's heaps have a part of it.
    command.arg("0").env("CLAUDE_BIN", stand_in()).env("MALLOC_ARENA_MAX", "1");
    let server = ServerProcess::start(command).await;
    let kilobytes = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let ask = async || {
        let mut connection = Raw::connect(&server).await;
        connection.send(chat(&format!("{} [[count 3000]]", "x".repeat(400_000)), r#","stream":true"#)).await;
        assert!(connection.answer().await.body.contains("[DONE]"));
        connection
    };
    drop(ask().await);
    let before = kilobytes();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(ask().await);
    }
    let of_each = kilobytes().saturating_sub(before) / CONNECTIONS;
    assert!(of_each < 200, "{of_each} kB");
}

#[tokio::test]
async fn where_all_are_at_work_a_new_one_waits_for_room() {
    let mut server = started_with("max-connections = 1", &[]).await;
    let mut busy = Raw::connect(&server).await;
    busy.send(chat("[[slow 600000 count 2]]", r#","stream":true"#)).await;
    in_time("a head", busy.stream.readable()).await.unwrap();
    let mut waiting = Raw::connect(&server).await;
    waiting.send(HEALTH).await;
    server.until_logged("all connections are at work").await;
    drop(busy);
    assert_eq!(waiting.answer().await.status, 200);
}

#[tokio::test]
async fn the_limit_of_open_files_bounds_them() {
    let mut server = ServerProcess::start(limited(96, &["--max-processes", "2"])).await;
    server.until_logged("leaves room for 48 connections").await;
    let mut idle = Vec::new();
    for _ in 0..150 {
        idle.push(Raw::connect(&server).await);
    }
    assert_eq!(server.say("hello").await.content(), "echo: hello");
    idle[0].closed().await;
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", server.pid()));
    if let Ok(descriptors) = descriptors {
        assert!(descriptors.count() < 96);
    }
}

#[tokio::test]
async fn a_limit_of_open_files_that_is_no_use_is_refused() {
    let (code, stderr) = fails(&mut limited(64, &["--max-processes", "8"])).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("64 files") && stderr.contains("lower --max-processes"), "{stderr}");
}

#[tokio::test]
async fn a_client_that_never_reads_loses_its_connection_and_its_process_comes_back() {
    let mut server = started_with("unread-timeout = \"300ms\"", &[]).await;
    let mut client = Raw::connect_with(&server, |socket| socket.set_recv_buffer_size(4096).unwrap()).await;
    client.send(chat("[[count 1000000000]]", r#","stream":true"#)).await;
    server.until_logged("a client has read nothing of its answer for 300ms").await;
    processes(&server, "busy", 0).await;
}

#[tokio::test]
async fn clients_that_never_read_lose_their_processes_at_the_request_timeout_though_their_connections_stay() {
    let toml = "unread-timeout = \"1h\"\nqueue-timeout = \"1s\"";
    let mut server = started_with(toml, &["--request-timeout", "2s", "--max-processes", "3"]).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Raw::connect_with(&server, |socket| socket.set_recv_buffer_size(4096).unwrap()).await;
        client.send(chat("[[count 1000000000]]", r#","stream":true"#)).await;
        clients.push(client);
    }
    server.until_logged("a turn is ended: The answer was not complete within 2s").await;
    processes(&server, "busy", 0).await;
    assert_eq!(server.say("hello").await.content(), "echo: hello");
    for client in &mut clients {
        assert!(client.answer().await.body.contains(r#""code":"request_timeout""#));
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_keeps_its_connection() {
    let server = started_with("unread-timeout = \"1s\"", &[]).await;
    let mut client = Raw::connect_with(&server, |socket| socket.set_recv_buffer_size(4096).unwrap()).await;
    client.send(chat("[[count 3000]]", r#","stream":true"#)).await;
    // Four seconds and more, of which it reads in a moment each.
    let mut read = Vec::new();
    let mut part = vec![0; 16 * 1024];
    for _ in 0..20 {
        let count = in_time("bytes", client.stream.read(&mut part)).await.unwrap();
        read.extend_from_slice(&part[..count]);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    while !read.ends_with(b"0\r\n\r\n") {
        let count = in_time("bytes", client.stream.read_buf(&mut read)).await.unwrap();
        assert!(count > 0, "it was cut off after {} bytes", read.len());
    }
    assert!(String::from_utf8(read).unwrap().contains("w2999 "));
}

#[tokio::test]
async fn a_client_that_writes_all_before_it_reads_reads_that_it_was_too_much() {
    let server = started(&["--body-limit", "1"]).await;
    for head in [
        format!("{CHAT}content-length: 33554432\r\n\r\n"),
        format!("{CHAT}transfer-encoding: chunked\r\n\r\n2000000\r\n"),
    ] {
        let mut client = Raw::connect(&server).await;
        client.send(head).await;
        for _ in 0..32 {
            client.send(vec![b' '; 1024 * 1024]).await;
        }
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
        client.closed().await;
    }
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_cut_off() {
    let server = started(&["--body-limit", "1"]).await;
    let mut client = Raw::connect(&server).await;
    client.send(format!("{CHAT}content-length: 4000000000\r\n\r\n")).await;
    let megabyte = vec![b' '; 1024 * 1024];
    let mut sent = 0;
    while in_time("an end", client.stream.write_all(&megabyte)).await.is_ok() {
        sent += 1;
        assert!(sent < 1000, "it reads on and on");
    }
}

#[tokio::test]
async fn a_hang_up_behind_more_than_the_request_is_noticed() {
    let server = started(&[]).await;
    let silent = chat("[[silence]]", "");
    for more in ["\r\n".to_owned(), "x".to_owned(), HEALTH.repeat(3), chat(&"x".repeat(30_000), "")] {
        let mut client = Raw::connect(&server).await;
        client.send(&silent).await;
        processes(&server, "busy", 1).await;
        client.send(more).await;
        drop(client);
        processes(&server, "busy", 0).await;
    }
}

/// Bodies of 31 MB of which the last byte never comes.
#[tokio::test]
async fn unfinished_requests_take_no_more_memory_than_they_may() {
    let server = started_with("body-memory = 64", &[]).await;
    let megabyte = vec![b' '; 1024 * 1024];
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Raw::connect(&server).await;
        client.send(format!("{CHAT}content-length: {}\r\n\r\n", 31 * megabyte.len() + 1)).await;
        for _ in 0..31 {
            client.send(&megabyte).await;
        }
        clients.push(client);
    }
    // There is room for two of them. Which two stay depends on how fast they came: after five seconds one gives way.
    let mut answers: FuturesUnordered<_> = clients.iter_mut().map(|client| client.answer()).collect();
    for _ in 0..18 {
        let answer = in_time("a refusal", answers.next()).await.unwrap();
        let refusal = (answer.status, answer.header("retry-after"));
        assert!(matches!(refusal, (503, Some("5")) | (408, None)), "{refusal:?}");
    }
    let bodies = server.get("/health").await.json()["bodies"].clone();
    assert_eq!(bodies["max"], 64 * 1024 * 1024);
    assert_eq!(server.say("hello").await.content(), "echo: hello");
    let peak = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.to_owned();
        line.parse::<u64>().ok()
    });
    // What is counted, a part of a third body, and the server itself.
    assert!(peak.is_none_or(|kilobytes| kilobytes < 128 * 1024), "{peak:?} kB");
}
