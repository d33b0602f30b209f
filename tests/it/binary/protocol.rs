//! The corners of HTTP/1: each ends in the right answer or in a clear refusal.

use super::raw::{CHAT, HEALTH, Raw, chat};
use crate::support::claude_bin::stand_in;
use crate::support::server_process::{ServerProcess, example};

async fn started() -> ServerProcess {
    let mut command = example("claude-max-api");
    command.args(["0", "--body-limit", "1"]).env("CLAUDE_BIN", stand_in());
    ServerProcess::start(command).await
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let server = started().await;
    let mut client = Raw::connect(&server).await;
    client.send(chat("hello", "").replace("HTTP/1.1", "HTTP/1.0")).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("echo: hello"), "{answer:?}");
    client.closed().await;

    // It knows no chunks: the end of a stream is the end of the connection.
    let mut client = Raw::connect(&server).await;
    client.send(chat("hello", r#","stream":true"#).replace("HTTP/1.1", "HTTP/1.0")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("transfer-encoding")), (200, None));
    assert!(answer.body.ends_with("data: [DONE]\n\n"), "{answer:?}");
}

#[tokio::test]
async fn http_1_0_may_keep_its_connection() {
    let server = started().await;
    let mut client = Raw::connect(&server).await;
    for _ in 0..2 {
        client.send("GET /health HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = started().await;
    let mut client = Raw::connect(&server).await;
    client.send([chat("one", ""), HEALTH.to_owned(), chat("two", ""), chat("three", "")].concat()).await;
    for expected in ["echo: one", "\"status\":\"ok\"", "echo: two", "echo: three"] {
        let answer = client.answer().await;
        assert!(answer.status == 200 && answer.body.contains(expected), "{expected}: {answer:?}");
    }
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it_or_the_refusal() {
    let server = started().await;
    let mut client = Raw::connect(&server).await;
    let request = chat("hello", "").replace("content-length", "expect: 100-continue\r\ncontent-length");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    client.send(format!("{head}\r\n\r\n")).await;
    assert_eq!(client.answer().await.status, 100);
    client.send(body).await;
    assert!(client.answer().await.body.contains("echo: hello"));

    let mut client = Raw::connect(&server).await;
    client.send(format!("{CHAT}expect: 100-continue\r\ncontent-length: 40000000\r\n\r\n")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    client.closed().await;
}

#[tokio::test]
async fn a_length_and_chunks_at_once_are_chunks_and_the_connection_is_not_used_again() {
    let server = started().await;
    let mut client = Raw::connect(&server).await;
    let (_, body) = chat("hello", "").split_once("\r\n\r\n").map(|(head, body)| (head.len(), body.to_owned())).unwrap();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    // One who goes by the length sees a second request in the chunks' rest.
    client.send(format!("{CHAT}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n{chunked}{HEALTH}")).await;
    let answer = client.answer().await;
    assert!(answer.body.contains("echo: hello"), "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"));
    client.closed().await;
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_closed() {
    let server = started().await;
    let long = "x".repeat(1_000_000);
    for (request, statuses) in [
        (format!("{CHAT}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"), &[400][..]),
        (format!("{CHAT}content-length: +2\r\n\r\n{{}}"), &[400]),
        (format!("{CHAT}content-length: -1\r\n\r\n{{}}"), &[400]),
        (format!("{CHAT}transfer-encoding: gzip\r\n\r\n{{}}"), &[400]),
        (format!("{CHAT}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n"), &[400]),
        (format!("{CHAT}transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{{}}\r\n0\r\n\r\n"), &[400]),
        (format!("{CHAT}x-folded: a\r\n b\r\n\r\n"), &[400]),
        ("GET /health HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n".to_owned(), &[400]),
        ("GET /health HTTP/3.7\r\nhost: localhost\r\n\r\n".to_owned(), &[400]),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\r\n\r\n".to_owned(), &[400]),
        (format!("GET /health HTTP/1.1\r\nhost: localhost\r\nx-long: {long}\r\n\r\n"), &[431]),
        (format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), &[414, 431]),
    ] {
        let shown: String = request.chars().take(200).collect();
        let mut client = Raw::connect(&server).await;
        client.send(&request).await;
        let answer = client.answer().await;
        assert!(statuses.contains(&answer.status), "{shown:?}: {answer:?}");
        client.closed().await;
    }
    assert_eq!(server.say("hello").await.content(), "echo: hello");
}

#[tokio::test]
async fn half_a_close_is_a_hang_up() {
    let server = started().await;
    let mut client = Raw::connect(&server).await;
    client.send(chat("[[slow 600000 count 2]]", "")).await;
    super::raw::processes(&server, "busy", 1).await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    client.closed().await;
    super::raw::processes(&server, "busy", 0).await;
}
