//! Answers that nobody reads: their time runs out all the same, and what they held is there for others.

use std::time::Duration;

use serde_json::{Value, json};
use tower_claude::cli::ClaudeCli;
use tower_claude::{ChatEvent, ChatResponse, Error, ErrorKind};

use crate::support::chat::{
    Chat, ask_once, call, claude, hear_what_there_is, in_time, messages, next, request, until, user,
};

/// An answer that goes on for hours.
fn endless() -> Value {
    messages([user("[[slow 10 count 1000000]]")])
}

async fn begun(claude: &ClaudeCli) -> ChatResponse {
    call(claude, request(endless())).await.unwrap()
}

/// The error at the end of an answer.
async fn error(answer: ChatResponse) -> Error {
    hear_what_there_is(answer).await.1.expect("an error")
}

#[tokio::test]
async fn answers_that_are_never_polled_lose_their_processes_at_the_request_timeout() {
    let claude = claude().max_processes(3).request_timeout(Duration::from_secs(1)).build();
    let answers = [begun(&claude).await, begun(&claude).await, begun(&claude).await];
    assert_eq!(claude.health().processes.busy, 3);
    until("the processes to be gone", || claude.health().processes.total == 0).await;
    assert_eq!(claude.health().processes.busy, 0);
    assert_eq!(ask_once(&claude, "hello").await.text, "echo: hello");
    for answer in answers {
        let error = error(answer).await;
        assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::RequestTimeout, 504));
        assert!(error.to_string().contains("within 1s (request_timeout)"), "{error}");
    }
}

#[tokio::test]
async fn a_request_that_is_no_longer_polled_loses_its_process_at_the_first_token_timeout() {
    let claude = claude().max_processes(1).first_token_timeout(Duration::from_millis(500)).build();
    let silent = request(messages([user("[[silence]]")]));
    let mut waiting = std::pin::pin!(call(&claude, silent));
    until("its process", || {
        let answered = futures_util::FutureExt::now_or_never(&mut waiting);
        answered.is_none() && claude.health().processes.busy == 1 && claude.health().processes.total == 1
    })
    .await;
    until("the process to be gone", || claude.health().processes.total == 0).await;
    assert_eq!(ask_once(&claude, "hello").await.text, "echo: hello");
    let error = in_time("the refusal", waiting).await.unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::FirstTokenTimeout, 504));
}

#[tokio::test]
async fn an_answer_that_lies_unread_loses_its_process_at_the_unread_timeout() {
    let claude = claude().max_processes(1).unread_timeout(Duration::from_millis(400)).build();
    let mut answer = begun(&claude).await;
    assert!(matches!(next(&mut answer.events).await, Some(Ok(ChatEvent::Started))));
    until("the process to be gone", || claude.health().processes.total == 0).await;
    assert_eq!(ask_once(&claude, "hello").await.text, "echo: hello");
    let error = error(answer).await;
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::RequestTimeout, 504));
    assert!(error.to_string().contains("400ms (unread_timeout)"), "{error}");
}

#[tokio::test]
async fn neither_a_slow_reader_nor_a_slow_model_is_taken_for_an_answer_that_lies_unread() {
    let claude = claude().unread_timeout(Duration::from_secs(1)).build();
    // The reader takes an event each 100 ms of an answer that is there at once, for twice as long as the limit.
    let mut answer = call(&claude, request(messages([user("[[count 20]]")]))).await.unwrap();
    let mut heard = 0;
    while let Some(event) = next(&mut answer.events).await {
        event.unwrap();
        heard += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(heard > 20, "{heard}");
    // The model says nothing for longer than it.
    let slow = call(&claude, request(messages([user("[[slow 1800 count 1]]")]))).await.unwrap();
    let (answer, error) = hear_what_there_is(slow).await;
    assert_eq!((answer.text.as_str(), error), ("w0 ", None));
}

#[tokio::test]
async fn a_live_process_whose_next_turn_nobody_reads_is_ended_too() {
    let claude = claude().max_processes(1).request_timeout(Duration::from_secs(1)).build();
    let mut chat = Chat::new(&claude);
    chat.say("hello").await;
    chat.messages().push(user("[[slow 10 count 1000000]]"));
    let answer = call(&claude, request(json!(chat.request))).await.unwrap();
    assert_eq!(answer.headers["x-claude-process"], "live");
    until("the process to be gone", || claude.health().processes.total == 0).await;
    assert_eq!(error(answer).await.kind(), ErrorKind::RequestTimeout);
    // The next one is replayed, and is not told of the answer that was cut.
    chat.messages().pop();
    assert_eq!(chat.say("and now?").await.process, "cold");
}
