//! Answers that are not streamed.

use serde_json::{Value, json};
use tower_claude::chat::Abilities;
use tower_claude::http::ApiService;
use tower_claude::{ChatEvent, Error, ErrorKind, FinishReason};

use crate::support::answer::{Answer, ask, body, post};
use crate::support::snapshot::assert_snapshot;
use crate::support::turns::{Turns, arguments, call, finished, inner, reasoning, refuses, response, says, text};

async fn plain(events: impl IntoIterator<Item = ChatEvent>) -> Answer {
    ask(ApiService::new(says(events)), post(&body(json!({})))).await
}

#[tokio::test]
async fn a_text_is_one_message() {
    let turns = Turns::new().says([
        ChatEvent::Started,
        ChatEvent::TextBlockStart,
        text("Hel"),
        text("lo \"you\"\n"),
        finished(FinishReason::Stop),
    ]);
    let answer = ask(turns.api(), post(&body(json!({})))).await;
    assert_snapshot!("http/plain_text", "A text is one message.", answer.shown(&turns.shown()));
}

#[tokio::test]
async fn reasoning_text_and_calls_each_have_their_place() {
    let turns = Turns::new().says([
        reasoning("Which "),
        reasoning("way?"),
        text("Let me look."),
        call(0, "toolu01", "read"),
        arguments(0, r#"{"path":"#),
        arguments(0, r#""a"}"#),
        call(1, "toolu02", "list"),
        finished(FinishReason::Stop),
    ]);
    let answer = ask(turns.api(), post(&body(json!({})))).await;
    let sentence = "Reasoning, text and calls each have their place; a call without arguments has {}.";
    assert_snapshot!("http/plain_reasoning_text_and_calls", sentence, answer.shown(&turns.shown()));
}

#[tokio::test]
async fn calls_alone_have_null_content() {
    let answer = plain([call(0, "c", "f"), arguments(0, "{}"), finished(FinishReason::ToolCalls)]).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], Value::Null);
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn nothing_at_all_is_an_empty_text() {
    let answer = plain([finished(FinishReason::Length)]).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn calls_that_were_cut_short_say_length() {
    let events = [call(0, "c", "f"), arguments(0, r#"{"a"#), finished(FinishReason::Length)];
    assert_eq!(plain(events).await.json()["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn a_failure_in_the_middle_has_its_status_since_nothing_was_sent() {
    let error = Error::new(ErrorKind::Overloaded, "Too much.").with_retry_after(std::time::Duration::from_millis(1200));
    let turns = Turns::new().says_or_fails([Ok(text("Hel")), Err(error)]);
    let answer = ask(turns.api(), post(&body(json!({})))).await;
    let sentence = "A failure in the middle has its own status, since nothing was sent yet.";
    assert_snapshot!("http/plain_failure_in_the_middle", sentence, answer.shown(&turns.shown()));
}

#[tokio::test]
async fn an_answer_without_an_end_is_a_failure() {
    let answer = plain([text("Hel")]).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (500, json!("internal_error")));
}

#[tokio::test]
async fn arguments_of_no_call_are_a_failure() {
    let answer = plain([arguments(3, "{}"), finished(FinishReason::Stop)]).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (500, json!("internal_error")));
}

#[tokio::test]
async fn each_kind_of_failure_has_the_status_and_body_of_its_kind() {
    for &kind in ErrorKind::ALL {
        let error = Error::new(kind, "What happened.").with_param("p");
        for streamed in [false, true] {
            let service = ApiService::new(refuses(error.clone()));
            let answer = ask(service, post(&body(json!({"stream": streamed})))).await;
            assert_eq!(answer.status, kind.status(), "{kind:?}");
            let named = &error.body()["error"];
            let expected = json!({"error": {
                "message": "What happened.", "type": named["type"], "param": "p", "code": named["code"],
            }});
            assert_eq!(answer.json(), expected);
        }
    }
}

#[tokio::test]
async fn the_answers_own_headers_are_sent_and_the_ignored_parameters_named() {
    let service = ApiService::new(inner(|_| async {
        let mut response = response([finished(FinishReason::Stop)].into_iter().collect());
        response.headers.append("x-claude-process", "warm".parse().unwrap());
        response.headers.append("x-twice", "1".parse().unwrap());
        response.headers.append("x-twice", "2".parse().unwrap());
        Ok(response)
    }))
    .abilities(Abilities::new().ignores(["temperature", "top_p"]));
    for streamed in [false, true] {
        let request = post(&body(json!({"stream": streamed, "temperature": 0.1, "top_p": 1})));
        let answer = ask(service.clone(), request).await;
        assert_eq!(answer.header("x-claude-process"), Some("warm"));
        assert_eq!(answer.headers.get_all("x-twice").iter().count(), 2);
        assert_eq!(answer.header("x-ignored-parameters"), Some("temperature, top_p"));
    }
    assert_eq!(ask(service, post(&body(json!({})))).await.header("x-ignored-parameters"), None);
}

#[tokio::test]
async fn ignored_names_that_no_header_can_hold_are_made_to_fit() {
    let service = ApiService::new(says([finished(FinishReason::Stop)]));
    let answer = ask(service.clone(), post(&body(json!({"a\r\nset-cookie: x": 1, "b,c": 1, "é": 1})))).await;
    assert_eq!(answer.header("x-ignored-parameters"), Some("a??set-cookie:?x, b?c, ?"));

    let many: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("field_{n}"), json!(1))).collect();
    let answer = ask(service, post(&body(Value::Object(many)))).await;
    let names = answer.header("x-ignored-parameters").unwrap();
    assert!(names.len() < 5000 && names.ends_with(", ..."), "{} bytes", names.len());
}
