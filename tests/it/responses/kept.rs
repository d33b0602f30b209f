//! Answers that are kept: conversations that go on from them, and what can be asked about them.

use std::time::Duration;

use serde_json::{Value, json};
use tower_claude::FinishReason;

use super::client::{body, create, get, send, send_as};
use crate::support::turns::{Turns, arguments, call, finished, reasoning, saying, text};

#[tokio::test]
async fn a_conversation_goes_on_from_a_kept_answer() {
    let turns = Turns::new()
        .says([text("Let me look."), call(0, "toolu01", "f"), arguments(0, "{}"), finished(FinishReason::ToolCalls)])
        .says([text("It is 7."), finished(FinishReason::Stop)])
        .says([text("Yes."), finished(FinishReason::Stop)]);
    let api = turns.api();
    let first = create(&api, json!({"input": "what is it?", "instructions": "old"})).await.json();
    let result = json!([{"type": "function_call_output", "call_id": "call_toolu01", "output": "7"}]);
    let second = create(&api, json!({"previous_response_id": first["id"], "input": result, "stream": true})).await;
    assert_eq!(second.outcome()["previous_response_id"], first["id"]);
    let third = json!({"previous_response_id": second.outcome()["id"], "input": "sure?", "instructions": "new"});
    assert_eq!(create(&api, third).await.status, 200);
    let calls = json!([{"id": "call_toolu01", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let said = |text: &str| json!([{"type": "text", "text": text}]);
    let expected = json!([
        {"role": "system", "content": "new"},
        {"role": "user", "content": "what is it?"},
        {"role": "assistant", "content": said("Let me look."), "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_toolu01", "content": "7"},
        {"role": "assistant", "content": said("It is 7.")},
        {"role": "user", "content": "sure?"},
    ]);
    assert_eq!(turns.messages(), expected);
}

#[tokio::test]
async fn items_can_be_sent_by_reference() {
    let turns = Turns::new()
        .says([reasoning("Hm."), text("Look: "), call(0, "toolu01", "f"), finished(FinishReason::ToolCalls)])
        .says([text("7"), finished(FinishReason::Stop)]);
    let api = turns.api();
    let first = create(&api, json!({"input": "what?", "reasoning": {"effort": "low"}})).await.json();
    let mut input = vec![json!({"role": "user", "content": "what?"})];
    for item in first["output"].as_array().unwrap() {
        input.push(json!({"type": "item_reference", "id": item["id"]}));
    }
    input.push(json!({"type": "function_call_output", "call_id": "call_toolu01", "output": "7"}));
    let answer = create(&api, json!({"input": input})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let messages = turns.messages();
    assert_eq!(messages.as_array().unwrap().len(), 3);
    assert_eq!(messages[1]["tool_calls"][0]["id"], "call_toolu01");

    let stranger = send_as(&api, "POST", "/v1/responses", Some(body(json!({"input": input}))), "another key").await;
    assert_eq!(stranger.fault(), (404, json!("input[1].id"), json!("not_found")));
}

#[tokio::test]
async fn a_kept_answer_can_be_had_again_and_forgotten() {
    let api = saying("hi").api();
    let made = create(&api, json!({"metadata": {"a": "b"}})).await.json();
    let path = format!("/v1/responses/{}", made["id"].as_str().unwrap());
    assert_eq!(get(&api, &path).await.json(), made);
    assert_eq!(get(&api, path.trim_start_matches("/v1")).await.json(), made);
    assert_eq!(send_as(&api, "GET", &path, None, "another key").await.status, 404);
    let deleted = send(&api, "DELETE", &path, None).await.json();
    assert_eq!(deleted, json!({"id": made["id"], "object": "response", "deleted": true}));
    assert_eq!(get(&api, &path).await.status, 404);
    let answer = create(&api, json!({"previous_response_id": made["id"]})).await;
    assert_eq!(answer.fault(), (404, json!("previous_response_id"), json!("previous_response_not_found")));
}

#[tokio::test]
async fn what_is_not_to_be_stored_is_not() {
    let api = saying("hi").api();
    let made = create(&api, json!({"store": false})).await.json();
    assert_eq!(made["store"], false);
    assert_eq!(get(&api, &format!("/v1/responses/{}", made["id"].as_str().unwrap())).await.status, 404);
}

#[tokio::test]
async fn the_stream_of_a_kept_answer_can_be_read_again_from_any_event() {
    let turns = Turns::new().says([
        reasoning("Hm."),
        text("Let "),
        text("me"),
        call(0, "toolu01", "f"),
        arguments(0, "{\"x\":"),
        arguments(0, "1}"),
        finished(FinishReason::ToolCalls),
    ]);
    let api = turns.api();
    let asked = json!({"stream": true, "reasoning": {"summary": "auto"}});
    let first = create(&api, asked).await;
    let path = format!("/v1/responses/{}", first.outcome()["id"].as_str().unwrap());
    assert_eq!(get(&api, &format!("{path}?stream=true")).await.text(), first.text(), "byte for byte");
    let events = first.events();
    for after in [0, 3, events.len() - 2, events.len() - 1] {
        let rest = get(&api, &format!("{path}?stream=true&starting_after={after}")).await;
        assert_eq!(rest.events(), events[after + 1..], "after {after}");
    }
    let wrong = get(&api, &format!("{path}?stream=true&starting_after=x")).await;
    assert_eq!(wrong.fault().1, "starting_after");
}

#[tokio::test]
async fn the_items_of_an_input_are_listed_page_by_page() {
    let turns = saying("hi");
    let api = turns.api();
    let first = create(&api, json!({"input": "one"})).await.json();
    let input = json!([
        {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,iVBORw=="}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]);
    let second = create(&api, json!({"input": input, "previous_response_id": first["id"]})).await.json();
    let path = format!("/v1/responses/{}/input_items", second["id"].as_str().unwrap());
    let all = get(&api, &format!("{path}?order=asc")).await.json();
    let kinds: Vec<&Value> = all["data"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
    assert_eq!(kinds, ["message", "message", "message", "function_call", "function_call_output", "message", "message"]);
    assert_eq!(all["data"][0]["content"][0]["text"], "one");
    assert_eq!(all["data"][1]["content"][0]["text"], "hi");
    let newest = get(&api, &format!("{path}?limit=2")).await.json();
    assert_eq!((newest["data"][0]["content"][0]["text"].as_str(), &newest["has_more"]), (Some("three"), &json!(true)));
    let next = get(&api, &format!("{path}?limit=100&after={}", newest["last_id"].as_str().unwrap())).await.json();
    assert_eq!((next["data"].as_array().unwrap().len(), &next["has_more"]), (5, &json!(false)));
    assert_eq!(next["last_id"], all["first_id"]);
    for (query, param) in [("limit=0", "limit"), ("order=up", "order"), ("after=nobody", "after")] {
        assert_eq!(get(&api, &format!("{path}?{query}")).await.fault().1, param);
    }
}

#[tokio::test]
async fn the_oldest_are_forgotten_when_there_are_too_many_bytes() {
    let turns = saying("hi");
    let api = turns.api().keep_responses(100_000, Duration::from_secs(60));
    let mut ids = Vec::new();
    for _ in 0..4 {
        let made = create(&api, json!({"input": "x".repeat(40_000)})).await.json();
        ids.push(format!("/v1/responses/{}", made["id"].as_str().unwrap()));
    }
    let mut kept = Vec::new();
    for id in &ids {
        kept.push(get(&api, id).await.status.as_u16());
    }
    assert_eq!(kept, [404, 404, 200, 200]);
}

#[tokio::test]
async fn what_a_kept_conversation_needs_is_kept_with_it_and_counts() {
    let turns = saying("hi");
    let api = turns.api().keep_responses(100_000, Duration::from_secs(60));
    let mut previous = Value::Null;
    for _ in 0..4 {
        let asked = json!({"input": "x".repeat(20_000), "previous_response_id": previous});
        previous = create(&api, asked).await.json()["id"].clone();
    }
    let count = turns.last().messages.len();
    assert_eq!(count, 7, "the whole conversation, though not all of it can be asked for");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_forgotten_when_it_is_too_old() {
    let turns = saying("hi");
    let api = turns.api().keep_responses(1_000_000, Duration::from_secs(60));
    let made = create(&api, json!({})).await.json();
    let path = format!("/v1/responses/{}", made["id"].as_str().unwrap());
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(get(&api, &path).await.status, 200);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(get(&api, &path).await.status, 404);
}

#[tokio::test]
async fn a_long_conversation_is_let_go_of_in_one_piece() {
    let turns = saying("hi");
    let api = turns.api();
    let first = create(&api, json!({})).await.json();
    let mut previous = first["id"].clone();
    for _ in 0..200 {
        previous = create(&api, json!({"input": "x", "previous_response_id": previous})).await.json()["id"].clone();
    }
    assert_eq!(turns.last().messages.len(), 401);
    drop(api);
}

#[tokio::test]
async fn head_of_a_kept_answer_is_its_head() {
    let api = saying("hi").api();
    let first = create(&api, json!({})).await.json();
    let path = format!("/v1/responses/{}", first["id"].as_str().unwrap());
    let (whole, head) = (get(&api, &path).await, send(&api, "HEAD", &path, None).await);
    assert_eq!((whole.json()["id"].clone(), head.status.as_u16(), head.body.len()), (first["id"].clone(), 200, 0));
    assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
}

#[tokio::test]
async fn routes_take_the_methods_that_they_are_for() {
    let api = saying("hi").api();
    for (method, path, allow) in [
        ("GET", "/v1/responses", "POST"),
        ("POST", "/v1/responses/resp_a", "GET, HEAD, DELETE"),
        ("DELETE", "/v1/responses/resp_a/input_items", "GET, HEAD"),
        ("GET", "/v1/responses/resp_a/cancel", "POST"),
    ] {
        let answer = send(&api, method, path, None).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    assert_eq!(get(&api, "/v1/responses/resp_a/other").await.status, 404);
    assert_eq!(get(&api, "/v1/responses/resp_a").await.fault(), (404, Value::Null, json!("not_found")));
}
