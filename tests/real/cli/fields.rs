//! Fields of the request: limits, stop texts, formats, effort, `n`; and what an answer carries beside its text.

use serde_json::{Value, json};

use crate::support::stack::{Stack, content, request, says, turns};

/// A request with one user message and these fields.
pub(super) fn says_with(text: &str, fields: Value) -> Value {
    let mut body = says(text);
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn an_answer_at_its_limit_ends_once_and_the_cli_asks_for_no_more() {
    let Some(stack) = Stack::real().await else { return };

    let completion = stack.completion(says_with("[[long]]", json!({"max_tokens": 20}))).await;
    assert_eq!(content(&completion), "cut here");
    assert_eq!(completion["choices"][0]["finish_reason"], "length");

    let whole = stack.stream(says_with("[[long]]", json!({"max_completion_tokens": 21}))).await.whole().await;
    assert_eq!((whole.content.as_str(), whole.error), ("cut here", None));
    assert_eq!(whole.finish_reasons, ["length"]);

    for pid in stack.started() {
        crate::support::stack::gone(pid).await;
    }
    let limits: Vec<_> = stack.api.requests().iter().map(|upstream| upstream["max_tokens"].clone()).collect();
    assert_eq!(limits, [20, 21], "one request each");
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_and_the_conversation_goes_on() {
    let Some(stack) = Stack::real().await else { return };

    let stop = json!({"stop": ["w3", "never"]});
    let completion = stack.completion(says_with("[[count 20]]", stop.clone())).await;
    assert_eq!(content(&completion), "w0 w1 w2 ");
    assert_eq!(completion["choices"][0]["finish_reason"], "stop");

    // The stop text lies across two deltas.
    let stop = json!({"stop": "2 w3"});
    let whole = stack.stream(says_with("[[slow 20 count 20]]", stop)).await.whole().await;
    assert_eq!((whole.content.as_str(), whole.error), ("w0 w1 w", None));
    assert_eq!(whole.finish_reasons, ["stop"]);

    let answer = stack
        .ask(request(json!([
            {"role": "user", "content": "[[count 20]]"},
            {"role": "assistant", "content": "w0 w1 w2 "},
            {"role": "user", "content": "next"},
        ])))
        .await;
    // What the model had said beyond the stop text is in no process any more.
    assert_eq!(answer.header("x-claude-process"), Some("cold"));
    assert_eq!(content(&answer.json()), "echo: next");
    let upstream = stack.api.requests().pop().unwrap();
    assert!(turns(&upstream)[1].1[0]["text"].as_str().unwrap().starts_with("w0 w1 w2"));
    assert!(!turns(&upstream)[1].1.to_string().contains("w3"));
}

#[tokio::test]
async fn a_schema_makes_the_answer_json_streamed_and_not() {
    let Some(stack) = Stack::real().await else { return };

    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"],
        "additionalProperties": false});
    let format =
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}});
    let completion = stack.completion(says_with("Who?", format.clone())).await;
    assert_eq!(serde_json::from_str::<Value>(content(&completion)).unwrap(), json!({"name": "Ada"}));
    assert_eq!(completion["choices"][0]["finish_reason"], "stop");
    assert_eq!(completion["choices"][0]["message"].get("tool_calls"), None);

    let whole = stack.stream(says_with("Who?", format)).await.whole().await;
    assert_eq!(serde_json::from_str::<Value>(&whole.content).unwrap(), json!({"name": "Ada"}));
    assert_eq!((whole.finish_reasons, whole.calls.len()), (vec!["stop".to_owned()], 0));

    let format = json!({"response_format": {"type": "json_object"}});
    let completion = stack.completion(says_with(r#"[[json {"any": [1, {"x": null}]}]]"#, format)).await;
    assert_eq!(serde_json::from_str::<Value>(content(&completion)).unwrap(), json!({"any": [1, {"x": null}]}));
}

#[tokio::test]
async fn a_schema_of_the_answer_that_the_cli_refuses_is_a_400() {
    let Some(stack) = Stack::real().await else { return };

    let schema = json!({"type": "object", "properties": {"a": {"type": "strange"}}});
    let format = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "bad", "schema": schema}}});
    let answer = stack.ask(says_with("Who?", format)).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.json()["error"]["param"], "response_format.json_schema.schema");
}

#[tokio::test]
async fn json_that_does_not_fit_its_schema_is_a_failure_and_never_followed_by_other_json() {
    let Some(stack) = Stack::real().await else { return };
    let schema = json!({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]});
    let format =
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}});
    let answer = stack.ask(says_with("How old?", format)).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("does not fit the schema"), "{}", answer.text());
}

#[tokio::test]
async fn each_effort_is_the_one_that_the_api_is_asked_for() {
    let Some(stack) = Stack::real().await else { return };

    let efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    for effort in efforts {
        stack.completion(says_with("hello", json!({"reasoning_effort": effort}))).await;
    }
    let requests = stack.api.requests();
    let asked: Vec<_> = requests.iter().map(|upstream| upstream["output_config"]["effort"].as_str().unwrap()).collect();
    assert_eq!(asked, ["low", "low", "low", "medium", "high", "xhigh", "max"]);
}

#[tokio::test]
async fn effort_none_is_no_thinking_and_the_next_request_of_the_conversation_thinks_again() {
    let Some(stack) = Stack::real().await else { return };

    let mut messages = Vec::new();
    for effort in ["none", "low", "none"] {
        messages.push(json!({"role": "user", "content": "hi"}));
        let mut body = request(json!(messages));
        body["reasoning_effort"] = json!(effort);
        messages.push(stack.completion(body).await["choices"][0]["message"].take());
    }
    let thinks: Vec<_> = stack.api.requests().iter().map(|upstream| upstream["thinking"].is_object()).collect();
    assert_eq!(thinks, [false, true, false]);
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn thinking_comes_first_and_usage_counts_cached_tokens() {
    let Some(stack) = Stack::real().await else { return };

    let completion = stack.completion(says("[[think]]")).await;
    let message = &completion["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "let me think");
    assert_eq!(message["content"], "echo: think");
    let usage = &completion["usage"];
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 7);
    let (prompt, answer) = (usage["prompt_tokens"].as_u64().unwrap(), usage["completion_tokens"].as_u64().unwrap());
    assert!(prompt > 100 && answer > 1, "{usage}");
    assert_eq!(usage["total_tokens"], prompt + answer);

    let fields = json!({"stream_options": {"include_usage": true}, "temperature": 0.5, "seed": 1});
    let mut events = stack.stream(says_with("[[think]]", fields)).await;
    assert_eq!(events.headers["x-ignored-parameters"], "temperature, seed");
    let mut order = Vec::new();
    let mut usage = Value::Null;
    while let Some(chunk) = events.next().await {
        let delta = &chunk["choices"][0]["delta"];
        let kind = if delta["reasoning_content"].is_string() { "thinking" } else { "text" };
        if (kind == "thinking" || delta["content"].as_str().is_some_and(|text| !text.is_empty()))
            && order.last() != Some(&kind)
        {
            order.push(kind);
        }
        usage = chunk["usage"].clone();
    }
    assert_eq!(order, ["thinking", "text"]);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 7);
}

#[tokio::test]
async fn two_answers_are_two_turns() {
    let Some(stack) = Stack::real().await else { return };

    let completion = stack.completion(says_with("hello", json!({"n": 2}))).await;
    let choices = completion["choices"].as_array().unwrap();
    let said: Vec<_> = choices.iter().map(|choice| (&choice["index"], &choice["message"]["content"])).collect();
    assert_eq!(said, [(&json!(0), &json!("echo: hello")), (&json!(1), &json!("echo: hello"))]);
    assert_eq!(stack.api.requests().len(), 2);
    assert_eq!(stack.started().len(), 2);
}
