//! The shapes in which Cursor asks at `/v1/chat/completions`: some of them are the Responses API's.

use serde_json::{Value, json};
use tower_claude::chat::ToolChoice;
use tower_claude::{Error, FinishReason};

use crate::support::answer::{Answer, ask, body, post};
use crate::support::turns::{Turns, arguments, call, finished, saying};

const PATCH: &str = "*** Begin Patch\n+\"é\"";

fn tools() -> Value {
    json!([
        {"type": "function", "name": "read_file", "description": "Reads.", "strict": false, "parameters": {
            "type": "object", "properties": {"path": {"type": "string"}}
        }},
        {"type": "custom", "name": "ApplyPatch", "description": "Edits.", "format": {
            "type": "grammar", "syntax": "lark", "definition": "start: \"x\""
        }},
    ])
}

/// What Cursor has in the place of messages: these items behind its instructions.
fn input(items: &[Value]) -> Value {
    let mut input = vec![json!({"role": "system", "content": "You are a coding assistant."})];
    input.extend_from_slice(items);
    json!({"model": "claude-opus-4", "input": input, "tools": tools(), "tool_choice": "auto", "store": false, "user": "u",
        "include": ["reasoning.encrypted_content"], "text": {"verbosity": "medium"}, "reasoning": {"effort": "high"}})
}

fn patching() -> Turns {
    let json = json!({"input": PATCH}).to_string();
    let (one, other) = json.split_at(20);
    Turns::new().says([
        call(0, "toolu01", "ApplyPatch"),
        arguments(0, one),
        arguments(0, other),
        call(1, "toolu02", "read_file"),
        arguments(1, r#"{"path":"a"}"#),
        finished(FinishReason::ToolCalls),
    ])
}

/// The calls of an answer, by name and arguments.
fn called(answer: &Answer) -> Vec<(String, String)> {
    let message = &answer.json()["choices"][0]["message"];
    let calls = message["tool_calls"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    calls.map(|call| (text(&call["function"]["name"]), text(&call["function"]["arguments"]))).collect()
}

fn both() -> Vec<(String, String)> {
    [("ApplyPatch", PATCH), ("read_file", r#"{"path":"a"}"#)].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec()
}

#[tokio::test]
async fn input_in_place_of_messages_is_read_as_the_responses_api_has_it_and_answered_as_a_completion() {
    let turns = saying("Hello!");
    let mut asked = input(&[json!({"role": "user", "content": [{"type": "input_text", "text": "hi"}]})]);
    for fields in [json!({}), json!({"messages": []}), json!({"messages": null})] {
        asked.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = ask(turns.api(), post(&asked)).await;
        assert_eq!((answer.content().as_str(), answer.header("x-ignored-parameters")), ("Hello!", None));
        let request = turns.last();
        let said: Vec<String> = request.messages.iter().map(|message| message.text()).collect();
        assert_eq!(said, ["You are a coding assistant.", "hi"]);
        assert_eq!(
            request.functions().map(|function| function.name.as_str()).collect::<Vec<_>>(),
            ["read_file", "ApplyPatch"]
        );
        assert_eq!(request.reasoning_effort.as_deref(), Some("high"));
    }
}

#[tokio::test]
async fn chats_own_settings_have_their_meaning_beside_an_input() {
    let turns = saying("Hello!");
    let asked = json!({"model": "claude-opus-4", "input": "hi", "max_tokens": 9, "reasoning_effort": "low", "stream": true,
        "stream_options": {"include_usage": true}});
    let answer = ask(turns.api(), post(&asked)).await;
    assert_eq!(answer.header("x-ignored-parameters"), None);
    assert!(answer.text().contains(r#""usage":{"prompt_tokens":100"#), "{}", answer.text());
    let request = turns.last();
    assert_eq!((request.token_limit(), request.reasoning_effort.as_deref()), (Some(9), Some("low")));
}

#[tokio::test]
async fn a_custom_tools_call_is_a_functions_whose_arguments_are_its_text() {
    for asked in [
        input(&[json!({"role": "user", "content": "patch it"})]),
        body(json!({"tools": tools(), "tool_choice": {"type": "custom", "name": "ApplyPatch"}})),
    ] {
        let turns = patching();
        assert_eq!(called(&ask(turns.api(), post(&asked)).await), both());
        let request = turns.last();
        let custom = request.functions().nth(1).unwrap();
        assert_eq!(custom.parameters.as_ref().unwrap()["required"], json!(["input"]));
        assert!(custom.description.as_deref().unwrap().ends_with("lark grammar:\n\nstart: \"x\""), "{custom:?}");

        let mut streamed = asked.clone();
        streamed["stream"] = json!(true);
        let answer = ask(turns.api(), post(&streamed)).await;
        let chunks = answer.text().lines().filter_map(|line| line.strip_prefix("data: {"));
        let chunks = chunks.map(|line| serde_json::from_str::<Value>(&format!("{{{line}")).unwrap());
        let calls = chunks.map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0].clone());
        let of_patch = calls.filter(|call| call["index"] == 0);
        let text: String =
            of_patch.filter_map(|call| call["function"]["arguments"].as_str().map(str::to_owned)).collect();
        assert_eq!(text, PATCH);
    }
}

#[tokio::test]
async fn a_custom_tools_call_comes_back_as_cursor_was_told_it() {
    let calls = [
        json!({"type": "function_call", "call_id": "toolu01", "name": "ApplyPatch", "arguments": PATCH}),
        json!({"type": "function_call_output", "call_id": "toolu01", "output": "done"}),
    ];
    let said = json!({"role": "user", "content": "patch it"});
    let in_messages = json!([said, {"role": "assistant", "content": null, "tool_calls": [
        {"id": "toolu01", "type": "function", "function": {"name": "ApplyPatch", "arguments": PATCH}}
    ]}, {"role": "tool", "tool_call_id": "toolu01", "content": "done"}]);
    for asked in [input(&[&[said][..], &calls].concat()), body(json!({"tools": tools(), "messages": in_messages}))] {
        let turns = saying("ok");
        assert_eq!(ask(turns.api(), post(&asked)).await.status, 200);
        let messages = turns.last().messages;
        let arguments = messages.iter().find_map(|message| Some(message.calls().first()?.function.arguments.clone()));
        assert_eq!(arguments, Some(json!({"input": PATCH}).to_string()));
    }
}

#[tokio::test]
async fn tools_may_stand_without_a_function_around_them_beside_others() {
    let turns = saying("ok");
    let mixed =
        json!([tools()[0], {"type": "function", "function": {"name": "list", "parameters": {"type": "object"}}}]);
    let choice = json!({"type": "function", "name": "read_file"});
    let answer = ask(turns.api(), post(&body(json!({"tools": mixed, "tool_choice": choice})))).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-ignored-parameters")), (200, None));
    let request = turns.last();
    let functions: Vec<_> =
        request.functions().map(|function| (&*function.name, function.parameters.is_some())).collect();
    assert_eq!(functions, [("read_file", true), ("list", true)]);
    assert_eq!(request.tool_choice, Some(ToolChoice::Function("read_file".to_owned())));
}

#[tokio::test]
async fn messages_may_be_empty_where_another_asks() {
    for empty in [json!(""), json!(null), json!([])] {
        let messages = json!([{"role": "system", "content": empty}, {"role": "user", "content": empty},
            {"role": "user", "content": "hi"}]);
        assert_eq!(ask(saying("ok").api(), post(&body(json!({"messages": messages})))).await.status, 200, "{empty}");
    }
}

#[tokio::test]
async fn what_has_no_plain_meaning_here_is_refused_by_name() {
    let user = json!({"role": "user", "content": "hi"});
    for (fields, param) in [
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"background": true}), "background"),
        (json!({"conversation": "conv_1"}), "conversation"),
        (json!({"input": []}), "input"),
        (json!({"input": [{"type": "item_reference", "id": "msg_1"}]}), "input[0].type"),
        (json!({"tools": [{"type": "custom", "name": "a b"}]}), "tools[0].name"),
    ] {
        let mut asked = input(std::slice::from_ref(&user));
        asked.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = ask(saying("").api(), post(&asked)).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1), (400, json!(param)), "{}", answer.text());
    }
    // An official custom tool, whose calls have no form in a stream.
    let nested = json!([{"type": "custom", "custom": {"name": "ApplyPatch"}}]);
    let answer = ask(saying("").api(), post(&body(json!({"tools": nested})))).await;
    assert_eq!(answer.fault().1, json!("tools[0].function"));
}

#[tokio::test]
async fn an_error_of_the_service_names_the_item() {
    let error = Error::invalid_request("too much").with_param("messages[1].content");
    let asked = input(&[json!({"role": "user", "content": "hi"})]);
    let answer = ask(Turns::new().refuses(error).api(), post(&asked)).await;
    assert_eq!(answer.fault().1, json!("input[1].content"));
}
