//! Answers that are streamed: OpenAI's events, in OpenAI's order.

use serde_json::{Value, json};
use tower_claude::{ChatEvent, Error, ErrorKind, FinishReason};

use super::client::{create, shown};
use crate::support::snapshot::assert_snapshot;
use crate::support::turns::{Turns, arguments, call, finished, reasoning, saying, text};

#[tokio::test]
async fn a_text_is_an_item_with_a_part_that_grows() {
    let turns = Turns::new().says([
        ChatEvent::Started,
        ChatEvent::TextBlockStart,
        text("Hel"),
        text(""),
        text("lo \"you\"\n\u{2028}é"),
        finished(FinishReason::Stop),
    ]);
    let asked = json!({"stream": true});
    let answer = create(&turns.api(), asked).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_snapshot!("responses/stream_text", "A text is an item with one part that grows.", shown(&turns, &answer));
}

#[tokio::test]
async fn every_event_has_the_next_number() {
    let answer = create(&saying("hi").api(), json!({"stream": true})).await;
    let numbers: Vec<u64> = answer.events().iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn reasoning_text_and_calls_are_items_of_their_own() {
    let turns = Turns::new().says([
        reasoning("Which "),
        reasoning("way?"),
        text("Let me look."),
        call(0, "toolu01", "list"),
        call(1, "toolu02", "read"),
        arguments(1, r#"{"path":"#),
        arguments(1, r#""a"}"#),
        text("And so on."),
        finished(FinishReason::ToolCalls),
    ]);
    let asked = json!({"stream": true, "reasoning": {"effort": "low", "summary": "auto"},
        "tools": [{"type": "function", "name": "list"}, {"type": "function", "name": "read", "strict": true,
            "parameters": {"type": "object"}}]});
    let answer = create(&turns.api(), asked).await;
    let sentence = "Reasoning, text and calls are items, each complete before the next that is not a call.";
    assert_snapshot!("responses/stream_reasoning_text_and_calls", sentence, shown(&turns, &answer));
}

#[tokio::test]
async fn a_call_is_done_as_soon_as_the_next_one_begins() {
    let turns = Turns::new().says([
        call(0, "toolu01", "a"),
        arguments(0, "{}"),
        call(1, "toolu02", "b"),
        arguments(1, "{}"),
        finished(FinishReason::ToolCalls),
    ]);
    let answer = create(&turns.api(), json!({"stream": true, "tools": []})).await;
    let events = answer.events();
    let place = |kind: &str, index: u64| {
        let is = |event: &Value| event["type"] == kind && event["output_index"] == index;
        events.iter().position(is).unwrap()
    };
    assert!(place("response.output_item.done", 0) < place("response.output_item.added", 1));
}

#[tokio::test]
async fn arguments_of_a_call_that_another_has_ended_are_a_failure() {
    let turns = Turns::new().says([
        call(0, "toolu01", "a"),
        arguments(0, r#"{"x":"#),
        call(1, "toolu02", "b"),
        arguments(1, r#"{"y":"#),
        arguments(0, "1}"),
        arguments(1, "2}"),
        finished(FinishReason::ToolCalls),
    ]);
    let answer = create(&turns.api(), json!({"stream": true})).await;
    assert_eq!(answer.kinds().last().unwrap(), "response.failed");
    assert_eq!(answer.outcome()["error"]["code"], "server_error");
}

#[tokio::test]
async fn an_answer_cut_at_the_token_limit_is_incomplete() {
    let turns = Turns::new().says([text("Hel"), finished(FinishReason::Length)]);
    let answer = create(&turns.api(), json!({"stream": true, "max_output_tokens": 16})).await;
    assert_eq!(answer.kinds().last().unwrap(), "response.incomplete");
    let outcome = answer.outcome();
    assert_eq!(outcome["status"], "incomplete");
    assert_eq!(outcome["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(outcome["output"][0]["status"], "incomplete");
}

#[tokio::test]
async fn a_failure_in_the_middle_is_a_response_that_failed() {
    let error = Error::new(ErrorKind::RateLimited, "The limit was reached.");
    let turns = Turns::new().says_or_fails([Ok(text("Hel")), Err(error), Ok(text("lo"))]);
    let asked = json!({"stream": true});
    let answer = create(&turns.api(), asked).await;
    assert_snapshot!(
        "responses/stream_failure_in_the_middle",
        "A failure after the head is a response that failed.",
        shown(&turns, &answer)
    );
}

#[tokio::test]
async fn events_that_stop_without_a_finish_are_a_failure() {
    let answer = create(&Turns::new().says([text("Hel")]).api(), json!({"stream": true})).await;
    assert_eq!(answer.kinds().last().unwrap(), "response.failed");
    assert_eq!(answer.outcome()["error"]["code"], "server_error");
}

#[tokio::test]
async fn a_failure_before_the_head_has_its_status() {
    let turns = Turns::new().refuses(Error::new(ErrorKind::RateLimited, "Later."));
    let answer = create(&turns.api(), json!({"stream": true})).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"]["type"].as_str()), (429, Some("rate_limit_error")));
}

#[tokio::test]
async fn where_reasoning_was_asked_for_there_is_an_item_of_it_even_when_there_was_none() {
    for asked in [json!({"effort": "high"}), json!({"summary": "auto"})] {
        let answer = create(&saying("hi").api(), json!({"stream": true, "reasoning": asked})).await;
        let outcome = answer.outcome();
        let kinds: Vec<&Value> = outcome["output"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
        assert_eq!(kinds, ["reasoning", "message"]);
        assert_eq!(outcome["output"][0]["summary"], json!([]));
    }
    for asked in [json!({"effort": "none"}), json!({}), Value::Null] {
        let answer = create(&saying("hi").api(), json!({"stream": true, "reasoning": asked})).await;
        assert_eq!(answer.outcome()["output"][0]["type"], "message");
    }
}
