//! Answers that are streamed as server-sent events.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tower::ServiceExt;
use tower_claude::http::{ApiService, Body};
use tower_claude::{ChatEvent, Error, ErrorKind, FinishReason};

use crate::support::answer::{Answer, ask, body, post};
use crate::support::in_time;
use crate::support::snapshot::assert_snapshot;
use crate::support::turns::{Inner, Turns, arguments, call, finished, inner, reasoning, says, text};

async fn streamed(events: impl IntoIterator<Item = ChatEvent>) -> Answer {
    ask(ApiService::new(says(events)), post(&body(json!({"stream": true})))).await
}

/// A turn whose events the test sends when it likes.
fn live() -> (mpsc::UnboundedSender<ChatEvent>, Inner) {
    let (events, turns) = Turns::new().live();
    (events, turns.inner())
}

async fn open(service: ApiService<Inner>) -> Body {
    in_time("the head", service.oneshot(post(&body(json!({"stream": true}))))).await.unwrap().into_body()
}

async fn frame(body: &mut Body) -> Option<Bytes> {
    in_time("a frame", body.frame()).await.map(|frame| frame.unwrap().into_data().unwrap())
}

/// Whether a future has to wait, now that it is polled.
async fn is_pending<F: Future>(mut future: Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn a_text_is_a_role_then_deltas_then_the_reason_then_done() {
    let turns = Turns::new().says([
        ChatEvent::Started,
        ChatEvent::TextBlockStart,
        text("Hel"),
        text(""),
        text("lo \"you\"\n\u{2028}é"),
        finished(FinishReason::Stop),
    ]);
    let answer = ask(turns.api(), post(&body(json!({"stream": true})))).await;
    let sentence = "The role, then each delta, then the reason, then [DONE]; an empty delta is none.";
    assert_snapshot!("http/stream_text", sentence, answer.shown(&turns.shown()));
}

#[tokio::test]
async fn reasoning_comes_first_and_calls_have_arguments_even_when_they_have_none() {
    let turns = Turns::new().says([
        reasoning("Which way?"),
        text("Let me look."),
        call(0, "toolu01", "list"),
        arguments(0, ""),
        call(1, "toolu02", "read"),
        arguments(1, r#"{"path":"#),
        arguments(1, r#""a"}"#),
        call(2, "toolu03", "list"),
        finished(FinishReason::Stop),
    ]);
    let answer = ask(turns.api(), post(&body(json!({"stream": true})))).await;
    let sentence = "Reasoning comes first; calls have arguments, {} where the model gave none.";
    assert_snapshot!("http/stream_reasoning_text_and_calls", sentence, answer.shown(&turns.shown()));
}

#[tokio::test]
async fn the_usage_has_a_chunk_of_its_own_where_it_is_asked_for() {
    let request = body(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let turns = Turns::new().says([text("Hello"), finished(FinishReason::Length)]);
    let answer = ask(turns.api(), post(&request)).await;
    let sentence = "The usage that was asked for is in a last chunk without choices, and null before.";
    assert_snapshot!("http/stream_usage", sentence, answer.shown(&turns.shown()));
}

#[tokio::test]
async fn a_failure_in_the_middle_is_an_error_event_and_the_end() {
    let error = Error::new(ErrorKind::RateLimited, "The limit was reached.");
    let turns = Turns::new().says_or_fails([Ok(text("Hel")), Err(error), Ok(text("lo"))]);
    let answer = ask(turns.api(), post(&body(json!({"stream": true})))).await;
    let sentence = "A failure in the middle is an error event, and nothing follows it.";
    assert_snapshot!("http/stream_failure_in_the_middle", sentence, answer.shown(&turns.shown()));
}

#[tokio::test]
async fn events_that_stop_without_a_finish_are_an_error_event() {
    let answer = streamed([text("Hel")]).await;
    let last: Value = serde_json::from_str(answer.data().last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "internal_error");
    assert!(!answer.text().contains("[DONE]") && !answer.text().contains(r#""finish_reason":""#));
}

#[tokio::test]
async fn arguments_of_no_call_are_an_error_event() {
    let answer = streamed([arguments(0, "{}"), finished(FinishReason::Stop)]).await;
    let last: Value = serde_json::from_str(answer.data().last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "internal_error");
}

#[tokio::test]
async fn the_head_waits_for_the_inner_service() {
    let (answer_now, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(Some(wait)));
    let service = ApiService::new(inner(move |_| {
        let wait = wait.lock().unwrap().take();
        async move {
            wait.unwrap().await.unwrap();
            Err(Error::new(ErrorKind::RateLimited, "Later.").with_retry_after(Duration::from_secs_f64(61.2)))
        }
    }));
    let mut answer = pin!(ask(service, post(&body(json!({"stream": true})))));
    assert!(is_pending(answer.as_mut()).await);
    answer_now.send(()).unwrap();
    let answer = answer.await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("62")));
}

#[tokio::test]
async fn a_delta_is_sent_when_it_comes_and_those_that_came_together_go_together() {
    let (events, inner) = live();
    let mut body = open(ApiService::new(inner)).await;
    let role = frame(&mut body).await.unwrap();
    assert!(std::str::from_utf8(&role).unwrap().contains(r#""role":"assistant""#));
    assert!(is_pending(pin!(body.frame())).await);

    events.send(text("one")).unwrap();
    assert!(std::str::from_utf8(&frame(&mut body).await.unwrap()).unwrap().contains(r#""content":"one""#));

    for delta in ["two", "three"] {
        events.send(text(delta)).unwrap();
    }
    let both = frame(&mut body).await.unwrap();
    assert_eq!(std::str::from_utf8(&both).unwrap().matches("data: ").count(), 2);
}

#[tokio::test]
async fn a_long_answer_goes_in_frames_of_bounded_size() {
    let deltas = (0..10_000).map(|_| text("0123456789")).chain([finished(FinishReason::Stop)]);
    let mut body = open(ApiService::new(says(deltas))).await;
    let mut whole = 0;
    while let Some(bytes) = frame(&mut body).await {
        assert!(bytes.len() <= 33 * 1024, "{}", bytes.len());
        whole += std::str::from_utf8(&bytes).unwrap().matches("0123456789").count();
    }
    assert_eq!(whole, 10_000);
}

#[tokio::test(start_paused = true)]
async fn silence_is_filled_with_a_comment_every_fifteen_seconds() {
    let (events, inner) = live();
    let mut body = open(ApiService::new(inner)).await;
    frame(&mut body).await.unwrap();

    let start = Instant::now();
    for seconds in [15, 30] {
        assert_eq!(frame(&mut body).await.unwrap(), ": keep-alive\n");
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
    // Ten seconds on, a delta: the silence begins anew.
    assert!(tokio::time::timeout(Duration::from_secs(10), body.frame()).await.is_err());
    events.send(text("x")).unwrap();
    assert!(frame(&mut body).await.unwrap().starts_with(b"data: "));
    assert_eq!(frame(&mut body).await.unwrap(), ": keep-alive\n");
    assert_eq!(start.elapsed().as_secs(), 55);

    events.send(finished(FinishReason::Stop)).unwrap();
    assert!(frame(&mut body).await.unwrap().ends_with(b"data: [DONE]\n\n"));
    assert_eq!(frame(&mut body).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_of_zero_sends_no_comments() {
    let (_events, inner) = live();
    let mut body = open(ApiService::new(inner).keep_alive(Duration::ZERO)).await;
    frame(&mut body).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(3600), body.frame()).await.is_err());
}

#[tokio::test]
async fn a_body_that_is_dropped_drops_the_turn() {
    let (events, inner) = live();
    let mut body = open(ApiService::new(inner)).await;
    frame(&mut body).await.unwrap();
    drop(body);
    in_time("the end of the turn", events.closed()).await;
}

#[tokio::test]
async fn the_turn_is_given_back_when_it_has_finished_even_if_the_client_reads_no_further() {
    let (events, inner) = live();
    let mut body = open(ApiService::new(inner)).await;
    events.send(finished(FinishReason::Stop)).unwrap();
    frame(&mut body).await.unwrap();
    in_time("the end of the turn", events.closed()).await;
    assert_eq!(frame(&mut body).await, None);
}
