//! What is rare and must be right all the same: odd histories, refusals, commands in a text, tools beside a format.

use serde_json::{Value, json};

use crate::support::stack::{Stack, content, request, says, turn, turns};

#[tokio::test]
async fn a_text_that_is_a_command_to_claude_code_is_a_text() {
    let Some(stack) = Stack::real().await else { return };

    for text in ["/clear", "/help", "@/etc/hostname", "!ls", "#remember"] {
        let completion = stack.completion(says(text)).await;
        assert_eq!(content(&completion), format!("echo: {text}"));
        assert_eq!(turns(&stack.api.requests().pop().unwrap()), [turn("user", text)]);
    }
}

#[tokio::test]
async fn an_odd_history_reaches_the_model_in_its_order_though_its_functions_are_offered_no_more() {
    let Some(stack) = Stack::real().await else { return };

    let call = json!({"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}});
    stack
        .completion(request(json!([
            {"role": "user", "content": "one", "name": "Ada"},
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
            {"role": "assistant", "content": null, "refusal": "I will not."},
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "three"},
        ])))
        .await;
    let said = |role: &str, blocks: Value| (role.to_owned(), blocks);
    let text = |text: &str| json!({"type": "text", "text": text});
    let expected = [
        said("user", json!([text("Ada: one"), text("two")])),
        said("assistant", json!([{"type": "tool_use", "id": "call1", "name": "mcp__c__look", "input": {"at": 1}}])),
        said("user", json!([{"type": "tool_result", "tool_use_id": "call1", "content": [text("seen")]}])),
        turn("assistant", "I will not."),
        said("user", json!([text("<system-reminder>\nBe brief.\n</system-reminder>"), text("three")])),
    ];
    assert_eq!(turns(&stack.api.request(0).await), expected);
}

#[tokio::test]
async fn a_refusal_is_the_end_of_the_answer_and_the_cli_asks_for_no_other() {
    let Some(stack) = Stack::real().await else { return };

    let completion = stack.completion(says("[[refusal]]")).await;
    assert_eq!(content(&completion), "I cannot");
    assert_eq!(completion["choices"][0]["finish_reason"], "content_filter");

    let whole = stack.stream(says("[[refusal]]")).await.whole().await;
    assert_eq!((whole.content.as_str(), whole.error), ("I cannot", None));
    assert_eq!(whole.finish_reasons, ["content_filter"]);

    for pid in stack.started() {
        crate::support::stack::gone(pid).await;
    }
    assert_eq!(stack.api.requests().len(), 2);
}

#[tokio::test]
async fn functions_can_be_called_before_an_answer_of_a_schema() {
    let Some(stack) = Stack::real().await else { return };

    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let mut body = says("[[tool look]]");
    body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "person", "schema": schema}});
    body["tools"] = json!([{"type": "function", "function": {"name": "look"}}]);
    let mut completion = stack.completion(body.clone()).await;
    let choice = &mut completion["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["name"], "look");

    let messages = body["messages"].as_array_mut().unwrap();
    let id = choice["message"]["tool_calls"][0]["id"].clone();
    messages.push(choice["message"].take());
    messages.push(json!({"role": "tool", "tool_call_id": id, "content": "seen"}));
    let answer = stack.ask(body).await;
    assert_eq!(answer.header("x-claude-process"), Some("live"));
    assert_eq!(serde_json::from_str::<Value>(content(&answer.json())).unwrap(), json!({"name": "Ada"}));
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn a_message_of_a_megabyte_arrives_whole() {
    let Some(stack) = Stack::real().await else { return };

    let text = "é☃ ".repeat(170_000);
    let text = text.trim();
    stack.completion(says(&format!("[[count 1]] {text}"))).await;
    let upstream = stack.api.request(0).await;
    assert_eq!(turns(&upstream), [turn("user", &format!("[[count 1]] {text}"))]);
}
