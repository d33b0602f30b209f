//! Bodies of requests: how slowly they may come, how much memory they may take, and what is not read.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tower::ServiceExt;
use tower_claude::FinishReason;
use tower_claude::http::{ApiService, Body};

use crate::support::answer::{ask, body, get, post};
use crate::support::turns::{Inner, finished, inner, response, says};

const MIB: usize = 1024 * 1024;

fn service() -> ApiService<Inner> {
    ApiService::new(says([finished(FinishReason::Stop)]))
}

/// A request whose body comes as this stream does.
fn streamed(
    chunks: impl Stream<Item = Bytes> + Send + 'static,
) -> Request<StreamBody<impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>> {
    let frames = chunks.map(|chunk| Ok(Frame::data(chunk)));
    Request::post("/v1/chat/completions").body(StreamBody::new(frames)).unwrap()
}

/// A chunk each time so much time is over.
fn each(pause: Duration, chunks: impl IntoIterator<Item = Bytes>) -> impl Stream<Item = Bytes> {
    stream::iter(chunks.into_iter().collect::<Vec<_>>()).then(move |chunk| async move {
        tokio::time::sleep(pause).await;
        chunk
    })
}

/// A body that never ends, with what is sent into it.
fn unfinished() -> (mpsc::UnboundedSender<Bytes>, impl Stream<Item = Bytes>) {
    let (send, chunks) = mpsc::unbounded_channel();
    (send, stream::unfold(chunks, |mut chunks| async { Some((chunks.recv().await?, chunks)) }))
}

async fn told(response: Response<Body>) -> (StatusCode, Value) {
    let (parts, body) = response.into_parts();
    (parts.status, serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap())
}

async fn taken(service: &ApiService<Inner>) -> u64 {
    ask(service.clone(), get("/health")).await.json()["bodies"]["bytes"].as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_makes_no_progress_is_cut_off() {
    let began = Instant::now();
    let bytes = each(Duration::from_secs(5), std::iter::repeat_n(Bytes::from_static(b" "), 1000));
    let (status, error) = told(service().oneshot(streamed(bytes)).await.unwrap()).await;
    assert_eq!((status.as_u16(), &error["error"]["code"]), (408, &json!("body_timeout")));
    assert_eq!(began.elapsed().as_secs(), 30);

    let stalled = stream::iter([Bytes::from(vec![b' '; 5 * MIB])]).chain(stream::pending());
    let (status, error) = told(service().oneshot(streamed(stalled)).await.unwrap()).await;
    assert_eq!(status, 408);
    assert!(error["error"]["message"].as_str().unwrap().contains("after 5242880 bytes"), "{error}");
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_of_a_picture_goes_through() {
    let began = Instant::now();
    let request = body(json!({"user": "x".repeat(MIB)})).to_string().into_bytes();
    // 16 KiB each 20 s: a modem does better.
    let chunks = request.chunks(16 * 1024).map(Bytes::copy_from_slice).collect::<Vec<_>>();
    let (status, _) = told(service().oneshot(streamed(each(Duration::from_secs(20), chunks))).await.unwrap()).await;
    assert_eq!(status, 200);
    assert!(began.elapsed() > Duration::from_secs(1200));
}

#[tokio::test]
async fn all_unfinished_bodies_together_have_one_budget_and_short_questions_are_answered_beside_them() {
    let service = service().body_memory(64 * MIB);
    let chunk = Bytes::from(vec![b' '; MIB]);
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..20 {
        let (send, bytes) = unfinished();
        (0..31).for_each(|_| send.send(chunk.clone()).unwrap());
        let mut answer = Box::pin(service.clone().oneshot(streamed(bytes)));
        match answer.as_mut().now_or_never() {
            None => open.push((send, answer)),
            Some(answer) => {
                let answer = answer.unwrap();
                assert_eq!(answer.headers()["retry-after"], "5");
                let (status, error) = told(answer).await;
                assert_eq!((status.as_u16(), &error["error"]["code"]), (503, &json!("body_memory_full")));
                refused += 1;
            }
        }
    }
    assert_eq!((open.len(), refused), (2, 18));
    assert_eq!(taken(&service).await, 2 * (31 * MIB as u64 - 64 * 1024));
    assert_eq!(ask(service.clone(), post(&body(json!({})))).await.status, 200);

    open.pop();
    let large = body(json!({"user": "x".repeat(20 * MIB)}));
    assert_eq!(ask(service.clone(), post(&large)).await.status, 200, "what hung up has given its share back");
    open.clear();
    assert_eq!(taken(&service).await, 0);
}

#[tokio::test(start_paused = true)]
async fn clients_that_send_slowly_keep_nobody_out_who_sends_fast() {
    let service = service().body_memory(64 * MIB);
    let mut open = Vec::new();
    // Each as slow as it may be, and all of them together fill the memory.
    for _ in 0..64 {
        let drip = each(Duration::from_secs(29), std::iter::repeat_n(Bytes::from(vec![b' '; 16 * 1024]), 1000));
        let bytes = stream::iter([Bytes::from(vec![b' '; MIB + 64 * 1024 - 16 * 1024])]).chain(drip);
        open.push(tokio::spawn(service.clone().oneshot(streamed(bytes))));
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(taken(&service).await, 64 * MIB as u64);
    let large = body(json!({"user": "x".repeat(20 * MIB)}));
    assert_eq!(ask(service.clone(), post(&large)).await.status, 200);
    let (cut, others): (Vec<_>, Vec<_>) = open.into_iter().partition(|answer| answer.is_finished());
    assert_eq!((cut.len(), others.len()), (20, 44), "no more than it takes");
    for answer in cut {
        let (status, error) = told(answer.await.unwrap().unwrap()).await;
        assert_eq!((status.as_u16(), &error["error"]["code"]), (408, &json!("body_timeout")));
        assert!(error["error"]["message"].as_str().unwrap().contains("cut off for another's"), "{error}");
    }
    others.iter().for_each(|answer| answer.abort());
}

#[tokio::test]
async fn a_body_keeps_its_share_until_its_answer_begins() {
    let (asked, let_go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let service = ApiService::new(inner({
        let (asked, let_go) = (Arc::clone(&asked), Arc::clone(&let_go));
        move |_| {
            let (asked, let_go) = (Arc::clone(&asked), Arc::clone(&let_go));
            async move {
                asked.notify_one();
                let_go.notified().await;
                Ok(response([finished(FinishReason::Stop)].into_iter().collect()))
            }
        }
    }));
    let large = post(&body(json!({"stream": true, "user": "x".repeat(MIB)})));
    let answer = tokio::spawn(service.clone().oneshot(large));
    asked.notified().await;
    assert!(taken(&service).await > 900_000);
    let_go.notify_one();
    let _events = answer.await.unwrap().unwrap();
    assert_eq!(taken(&service).await, 0);
}

#[tokio::test]
async fn a_compressed_body_is_refused_by_name() {
    for (coding, status) in [("gzip", 415), ("br, gzip", 415), ("identity", 200), ("", 200)] {
        let mut request = post(&body(json!({})));
        request.headers_mut().insert("content-encoding", coding.parse().unwrap());
        let answer = ask(service(), request).await;
        assert_eq!(answer.status, status, "{coding}");
        if status == 415 {
            assert_eq!(answer.code(), "unsupported_media_type");
            assert!(answer.text().contains(&format!("encoded ({coding})")), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn more_values_than_are_read_are_refused_wherever_they_are() {
    let zeros = format!("[{}0]", "0,".repeat(600_000));
    for body in [
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"unread":{zeros}}}"#),
        format!(r#"{{"model":"m","messages":{zeros}}}"#),
    ] {
        let request = Request::post("/v1/chat/completions").body(Full::from(body)).unwrap();
        let answer = ask(service(), request).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (413, json!("request_too_large")));
        assert!(answer.text().contains("200000"), "{}", answer.text());
    }
}
