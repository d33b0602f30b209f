//! No caller starves another: one key asks for everything at once, and another wants two answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::Full;

use crate::support::answer::Answer;
use crate::support::claude_bin::stand_in;
use crate::support::in_time;
use crate::support::server_process::{ServerProcess, example};

async fn server(directory: &Path, queue_limit: &str) -> Arc<ServerProcess> {
    let keys = directory.join("keys");
    std::fs::write(&keys, "ada: sk-of-ada\nbob: sk-of-bob\n").unwrap();
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "0", "--max-processes", "2", "--queue-limit", queue_limit, "--api-key-file"]);
    command.arg(keys).env("CLAUDE_BIN", stand_in());
    Arc::new(ServerProcess::start(command).await)
}

/// Asks a question that takes 60 ms to answer.
async fn ask(server: Arc<ServerProcess>, key: &'static str) -> StatusCode {
    let body = r#"{"model": "sonnet", "messages": [{"role": "user", "content": "[[slow 20 count 4]]"}]}"#;
    let request = Request::post("/").header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer sk-of-{key}")).body(Full::<Bytes>::from(body));
    Answer::of(server.send("/v1/chat/completions", request.unwrap()).await).await.status
}

async fn until_waiting(server: &ServerProcess, length: u64) {
    let wait = async {
        while server.get("/health").await.json()["queue"]["length"].as_u64() < Some(length) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    in_time("the queue to fill", wait).await;
}

#[tokio::test]
async fn who_asks_64_times_at_once_delays_another_by_a_turn_or_two() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path(), "100").await;
    let done = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let flood = (0..64).map(|_| {
        let (server, done) = (Arc::clone(&server), Arc::clone(&done));
        tokio::spawn(async move {
            let status = ask(server, "ada").await;
            done.fetch_add(1, Ordering::SeqCst);
            status
        })
    });
    let flood: Vec<_> = flood.collect();
    until_waiting(&server, 50).await;
    let (before, asked) = (done.load(Ordering::SeqCst), Instant::now());
    let statuses = join_all([ask(Arc::clone(&server), "bob"), ask(Arc::clone(&server), "bob")]).await;
    let (meanwhile, waited) = (done.load(Ordering::SeqCst) - before, asked.elapsed());
    assert_eq!(statuses, [200, 200]);
    // Two are answered when Bob comes; then the two take turns.
    assert!(meanwhile <= 8, "{meanwhile} of Ada's were answered before both of Bob's");
    for answer in flood {
        assert_eq!(in_time("an answer", answer).await.unwrap(), 200);
    }
    println!("Bob's two answers in {waited:?}, Ada's 64 in {:?}", began.elapsed());
}

#[tokio::test]
async fn who_fills_the_queue_makes_room_for_another_that_waits_for_less() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path(), "16").await;
    let flood: Vec<_> = (0..40).map(|_| tokio::spawn(ask(Arc::clone(&server), "ada"))).collect();
    until_waiting(&server, 16).await;
    let statuses = join_all([ask(Arc::clone(&server), "bob"), ask(Arc::clone(&server), "bob")]).await;
    assert_eq!(statuses, [200, 200]);
    let mut refused = 0;
    for answer in flood {
        let status = in_time("an answer", answer).await.unwrap();
        assert!([200, 429].contains(&status.as_u16()), "{status}");
        refused += usize::from(status == 429);
    }
    assert!(refused >= 2, "the last of Ada's made room");
}
