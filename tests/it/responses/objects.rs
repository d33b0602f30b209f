//! Answers that are not streamed: one object, which repeats what it was asked.

use serde_json::{Value, json};
use tower_claude::{ChatEvent, Error, ErrorKind, FinishReason};

use super::client::{create, send, shown};
use crate::support::snapshot::assert_snapshot;
use crate::support::turns::{Turns, arguments, call, finished, reasoning, saying, text};

#[tokio::test]
async fn an_answer_repeats_its_request() {
    let asked = json!({
        "instructions": "Be brief.",
        "max_output_tokens": 100,
        "max_tool_calls": 3,
        "metadata": {"a": "b"},
        "parallel_tool_calls": false,
        "prompt_cache_key": "k",
        "reasoning": {"effort": "high", "summary": "detailed"},
        "safety_identifier": "s",
        "store": false,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}},
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}],
        "tool_choice": "auto",
        "truncation": "disabled",
        "user": "u",
    });
    let turns = Turns::new().says([
        reasoning("Hm."),
        text("Let me "),
        text("look."),
        call(0, "toolu01", "f"),
        arguments(0, r#"{"x":1}"#),
        finished(FinishReason::ToolCalls),
    ]);
    let answer = create(&turns.api(), asked).await;
    assert_snapshot!(
        "responses/object",
        "An answer has its items, and repeats what it was asked.",
        shown(&turns, &answer)
    );

    let request = turns.last();
    assert_eq!(request.max_completion_tokens, Some(100));
    assert_eq!(request.parallel_tool_calls, Some(false));
    assert_eq!(request.prompt_cache_key.as_deref(), Some("k"));
    assert_eq!(request.reasoning_effort.as_deref(), Some("high"));
    let format = request.response_format.unwrap();
    assert_eq!((format.kind.as_str(), format.json_schema.unwrap().name.as_str()), ("json_schema", "n"));
}

#[tokio::test]
async fn a_streamed_answer_ends_with_the_object_that_it_would_have_been() {
    let turns = Turns::new().says([
        reasoning("Hm."),
        text("Let me look."),
        call(0, "toolu01", "f"),
        finished(FinishReason::ToolCalls),
    ]);
    let (streamed, whole) = (turns.clone(), turns);
    let mut ends = create(&streamed.api(), json!({"stream": true})).await.outcome();
    let mut is = create(&whole.api(), json!({})).await.json();
    let scrub = |value: &mut Value| {
        let text = value.to_string().replace("a0", "aN").replace("a1", "aN");
        *value = serde_json::from_str(&text).unwrap();
        value["completed_at"] = Value::Null;
    };
    scrub(&mut ends);
    scrub(&mut is);
    assert_eq!(ends, is);
}

#[tokio::test]
async fn a_refusal_without_words_is_incomplete() {
    let answer = create(&Turns::new().says([text("I"), finished(FinishReason::ContentFilter)]).api(), json!({})).await;
    let json = answer.json();
    assert_eq!(
        (json["status"].as_str(), json["incomplete_details"]["reason"].as_str()),
        (Some("incomplete"), Some("content_filter"))
    );
}

#[tokio::test]
async fn a_failure_is_the_requests_whenever_it_comes() {
    let error = Error::new(ErrorKind::Overloaded, "Later.");
    for turns in [Turns::new().refuses(error.clone()), Turns::new().says_or_fails([Ok(text("x")), Err(error)])] {
        let answer = create(&turns.api(), json!({})).await;
        assert_eq!(answer.fault(), (503, Value::Null, json!("overloaded")));
    }
    let answer = create(&Turns::new().says([ChatEvent::Started]).api(), json!({})).await;
    assert_eq!(answer.fault(), (500, Value::Null, json!("internal_error")));
}

#[tokio::test]
async fn nothing_said_is_an_answer_without_items() {
    let answer = create(&Turns::new().says([finished(FinishReason::Stop)]).api(), json!({})).await.json();
    assert_eq!((answer["status"].as_str(), answer["output"].as_array().unwrap().len()), (Some("completed"), 0));
}

#[tokio::test]
async fn the_tokens_of_a_request_can_be_asked_for() {
    let api = saying("").api();
    let count = async |fields: Value| {
        let answer = send(&api, "POST", "/v1/responses/input_tokens", Some(fields)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["input_tokens"].as_u64().unwrap()
    };
    let small = count(json!({"model": "m", "input": "hello"})).await;
    let large = count(json!({"model": "m", "input": "hello ".repeat(1000)})).await;
    assert!(small > 0 && (1000..2000).contains(&large), "{small} {large}");
}
