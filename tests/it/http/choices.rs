//! Requests for several answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tower_claude::http::ApiService;
use tower_claude::{ChatEvent, Error, ErrorKind, EventStream, FinishReason};

use crate::support::answer::{ask, body, post};
use crate::support::in_time;
use crate::support::snapshot::assert_snapshot;
use crate::support::turns::{Turns, arguments, call, finished, inner, response, text};

/// The first turn answers with a text, the second with a call.
fn two_turns() -> Turns {
    Turns::new().says([text("Hel"), text("lo"), finished(FinishReason::Stop)]).says([
        call(0, "c", "f"),
        arguments(0, "{}"),
        finished(FinishReason::Stop),
    ])
}

#[tokio::test]
async fn two_answers_are_two_choices_and_their_usage_is_added_up() {
    let turns = two_turns();
    let answer = ask(turns.api(), post(&body(json!({"n": 2})))).await;
    assert!(turns.asked.lock().unwrap().iter().all(|request| request.n.is_none()), "a turn is asked for one answer");
    let sentence = "Two answers are two choices, and their usage is added up.";
    assert_snapshot!("http/choices_plain", sentence, answer.shown(&turns.shown()));
}

#[tokio::test]
async fn two_streamed_answers_take_turns_under_their_own_index() {
    let request = body(json!({"n": 2, "stream": true, "stream_options": {"include_usage": true}}));
    let turns = two_turns();
    let answer = ask(turns.api(), post(&request)).await;
    let sentence = "Two streamed answers take turns, each under its own index.";
    assert_snapshot!("http/choices_stream", sentence, answer.shown(&turns.shown()));
}

#[tokio::test]
async fn the_turns_run_at_the_same_time() {
    let all_here = Arc::new(tokio::sync::Barrier::new(8));
    let service = ApiService::new(inner(move |_| {
        let all_here = Arc::clone(&all_here);
        async move {
            all_here.wait().await;
            Ok(response([finished(FinishReason::Stop)].into_iter().collect()))
        }
    }));
    let answer = ask(service, post(&body(json!({"n": 8})))).await.json();
    assert_eq!(answer["choices"].as_array().unwrap().len(), 8);
    assert_eq!(answer["usage"]["total_tokens"], 8 * 120);
}

#[tokio::test]
async fn a_turn_that_is_refused_refuses_the_whole_request() {
    let turns = Arc::new(AtomicU32::new(0));
    let service = ApiService::new(inner(move |_| {
        let first = turns.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            Err(Error::new(ErrorKind::QueueFull, "Full."))
        }
    }));
    let answer = ask(service, post(&body(json!({"n": 2, "stream": true})))).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (429, json!("queue_full")));
}

#[tokio::test]
async fn a_turn_that_fails_in_the_middle_ends_the_others() {
    let (silent, turn_dropped) = tokio::sync::mpsc::unbounded_channel::<()>();
    let turn_dropped = Arc::new(std::sync::Mutex::new(Some(turn_dropped)));
    let service = ApiService::new(inner(move |_| {
        let events = match turn_dropped.lock().unwrap().take() {
            Some(mut held) => EventStream::new(futures_util::stream::poll_fn(move |cx| {
                held.poll_recv(cx).map(|_| None::<Result<ChatEvent, Error>>)
            })),
            None => EventStream::new(futures_util::stream::iter([Err(Error::new(ErrorKind::Upstream, "It broke."))])),
        };
        std::future::ready(Ok(response(events)))
    }));
    let answer = ask(service, post(&body(json!({"n": 2, "stream": true})))).await;
    let last: Value = serde_json::from_str(answer.data().last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "upstream_error");
    in_time("the end of the other turn", silent.closed()).await;
}
