//! The input: texts, items of every kind, and what clients replay.

use serde_json::{Value, json};

use super::client::create;
use crate::support::turns::{Turns, saying};

/// The messages that an input becomes.
async fn messages(fields: Value) -> Value {
    let turns = saying("");
    let answer = create(&turns.api(), fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    turns.messages()
}

async fn fault(input: Value) -> (u16, Value, Value) {
    create(&saying("").api(), json!({"input": input})).await.fault()
}

#[tokio::test]
async fn a_text_is_a_users_message_behind_the_instructions() {
    let expected = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]);
    assert_eq!(messages(json!({"input": "hi", "instructions": "Be brief."})).await, expected);
}

#[tokio::test]
async fn a_message_may_have_any_role_and_needs_no_type() {
    let input = json!([
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "input_text", "text": "u", "prompt_cache_breakpoint": {"mode": "explicit"}}]},
        {"role": "assistant", "content": "a"},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "phase": "final_answer",
            "content": [{"type": "output_text", "text": "b", "annotations": [], "logprobs": []},
                        {"type": "refusal", "refusal": "no"}]},
        {"role": "user", "content": "v"},
    ]);
    let text = |text: &str| json!({"type": "text", "text": text});
    let expected = json!([
        {"role": "developer", "content": [text("d")]},
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "u", "cache_control": {"type": "ephemeral"}}]},
        // As an answer of several texts is where it is one.
        {"role": "assistant", "content": "a\n\nb\nno"},
        {"role": "user", "content": "v"},
    ]);
    assert_eq!(messages(json!({"input": input})).await, expected);
}

#[tokio::test]
async fn an_answer_may_be_a_call_alone() {
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "look", "arguments": "{}"});
    let output = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "seen"});
    let input = json!([{"role": "user", "content": "go"}, call("c1"), output("c1"), call("c2"), output("c2")]);
    let roles: Vec<_> =
        messages(json!({"input": input})).await.as_array().unwrap().iter().map(|m| m["role"].clone()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant", "tool"]);
}

#[tokio::test]
async fn images_and_files_are_what_they_are_in_chat() {
    let input = json!([{"role": "user", "content": [
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "auto"},
        {"type": "input_image", "image_url": "https://e.example/x.png"},
        {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGk="},
    ]}]);
    let expected = json!([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "image_url", "image_url": {"url": "https://e.example/x.png"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk=", "filename": "a.txt"}},
    ]}]);
    assert_eq!(messages(json!({"input": input})).await, expected);
}

#[tokio::test]
async fn what_the_model_did_in_one_go_is_one_message() {
    let input = json!([
        {"role": "user", "content": "go"},
        {"type": "reasoning", "id": "rs_elsewhere", "summary": [], "encrypted_content": "gAAAAAB"},
        {"role": "assistant", "content": "Let me look."},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{\"x\":1}", "status": "completed"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
        {"type": "function_call", "call_id": "c3", "name": "g", "arguments": "{\"x\":\"c", "status": "incomplete"},
        {"type": "function_call_output", "call_id": "c3", "output": ""},
        {"type": "function_call_output", "call_id": "c2", "output": [
            {"type": "input_text", "text": "two"},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw=="}]},
        {"type": "function_call_output", "id": "fco_1", "call_id": "c1", "output": "one"},
    ]);
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let expected = json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [
            call("c1", "f", "{\"x\":1}"), call("c2", "g", ""), call("c3", "g", "{\"x\":\"c")]},
        {"role": "tool", "tool_call_id": "c3", "content": ""},
        {"role": "tool", "tool_call_id": "c2", "content": [
            {"type": "text", "text": "two"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
    ]);
    assert_eq!(messages(json!({"input": input})).await, expected);
}

#[tokio::test]
async fn instructions_alone_are_answered() {
    let instructions = json!({"role": "developer", "content": "Greet."});
    let go_ahead = json!({"role": "user", "content": "Go ahead."});
    for (input, instructed) in [(json!([]), "system"), (json!([instructions]), "developer")] {
        let first = if instructed == "system" { json!("Greet.") } else { Value::Null };
        let expected = json!([{"role": instructed, "content": "Greet."}, go_ahead]);
        assert_eq!(messages(json!({"input": input, "instructions": first})).await, expected);
    }
    let answer = create(&saying("").api(), json!({"input": []})).await;
    assert_eq!(answer.fault(), (400, json!("input"), Value::Null));
}

#[tokio::test]
async fn what_clients_replay_without_a_thought_is_named() {
    let input = json!([
        {"role": "user", "content": "go"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "compaction", "encrypted_content": "x"},
        {"role": "user", "content": "on"},
    ]);
    let answer = create(&saying("").api(), json!({"input": input})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-ignored-parameters"), Some("input[].web_search_call, input[].compaction"));
}

#[tokio::test]
async fn what_cannot_be_part_of_a_conversation_is_refused_by_its_place() {
    let unsupported = json!("unsupported_parameter");
    let user = json!({"role": "user", "content": "go"});
    for (item, param, code) in [
        (
            json!({"role": "user", "content": [{"type": "input_image", "image_url": "file:///etc/passwd"}]}),
            "input[1].content[0].image_url",
            &unsupported,
        ),
        (
            json!({"role": "user", "content": [{"type": "input_file", "file_data": "aGk="}]}),
            "input[1].content[0].file_data",
            &Value::Null,
        ),
        (json!({"type": "computer_call_output", "call_id": "c"}), "input[1].type", &unsupported),
        (json!({"type": "of_tomorrow"}), "input[1].type", &unsupported),
        (json!({"content": "x"}), "input[1].type", &Value::Null),
        (json!({"type": "message", "content": "x"}), "input[1].role", &Value::Null),
        (json!({"role": "user"}), "input[1].content", &Value::Null),
        (json!({"role": "user", "content": [{"type": "input_audio"}]}), "input[1].content[0].type", &unsupported),
        (json!({"role": "user", "content": [{"type": "input_text"}]}), "input[1].content[0].text", &Value::Null),
        (
            json!({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}),
            "input[1].content[0].file_id",
            &unsupported,
        ),
        (
            json!({"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}),
            "input[1].content[0].file_url",
            &unsupported,
        ),
        (
            json!({"role": "system", "content": [{"type": "input_image", "image_url": "u"}]}),
            "input[1].content[0].type",
            &unsupported,
        ),
        (json!({"type": "function_call", "name": "f", "arguments": "{}"}), "input[1].call_id", &Value::Null),
        (json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}), "input", &Value::Null),
        (json!({"type": "function_call_output", "call_id": "c", "output": "x"}), "input[1].call_id", &Value::Null),
        (json!({"role": "robot", "content": "x"}), "input[1].role", &Value::Null),
        (json!({"type": "item_reference", "id": "msg_nobody_0"}), "input[1].id", &json!("not_found")),
    ] {
        let (status, found, found_code) = fault(json!([user, item])).await;
        assert_eq!((found, found_code), (json!(param), code.clone()), "{item}");
        assert_eq!(status, if *code == json!("not_found") { 404 } else { 400 });
    }
    assert_eq!(fault(json!([])).await, (400, json!("input"), Value::Null));
    assert_eq!(fault(json!(7)).await.1, json!("input"));
}

#[tokio::test]
async fn codex_and_openclaw_are_understood_as_they_are() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/openclaw/captured-responses-api.json");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let captured: Value = serde_json::from_str(&text).unwrap();
    let turns = saying("hi");
    let answer = create(&turns.api(), captured["body"].clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-ignored-parameters"), None);
    assert_eq!(turns.last().functions().count(), captured["body"]["tools"].as_array().unwrap().len());
    assert_eq!(turns.last().messages.len(), captured["body"]["input"].as_array().unwrap().len());
}

#[tokio::test]
async fn an_error_of_the_service_within_names_the_place_in_the_input() {
    let error = tower_claude::Error::invalid_request("no").with_param("messages[2].content[0]");
    let turns = Turns::new().refuses(error);
    let input = json!([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]);
    let answer = create(&turns.api(), json!({"instructions": "i", "input": input})).await;
    assert_eq!(answer.fault().1, "input[1].content[0]");
}
