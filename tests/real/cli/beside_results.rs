//! What comes with the results of calls that a process waits in: the user's own words and files, and other settings.

use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::stack::{Stack, turns};

/// A red dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// A client of the Messages API whose first turn ends in a call of each of these functions.
async fn called(stack: &Stack, names: &[&str]) -> Value {
    let tools: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "input_schema": {"type": "object"}})).collect();
    let calls: Vec<String> = names.iter().map(|name| format!("{name} {{}}")).collect();
    let ask = json!({"role": "user", "content": format!("[[tool {}]]", calls.join(" ;; "))});
    let mut body =
        json!({"model": "claude-opus-4", "max_tokens": 4096, "system": "be terse", "tools": tools, "messages": [ask]});
    let answer = posted(stack, &body).await;
    let said = json!({"role": "assistant", "content": answer.json()["content"]});
    body["messages"].as_array_mut().unwrap().push(said);
    body
}

async fn posted(stack: &Stack, body: &Value) -> Answer {
    let answer = stack.post("/v1/messages", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// Sends these results, one for each call, and this beside them. Returns how the request came by its process, and the blocks of
/// the last user turn that the model got.
async fn bring(stack: &Stack, mut body: Value, results: &[Value], beside: &[Value]) -> (String, Vec<Value>) {
    let calls = body["messages"][1]["content"].as_array().unwrap().clone();
    let calls = calls.iter().filter(|block| block["type"] == "tool_use");
    let mut content: Vec<Value> = calls
        .zip(results)
        .map(|(call, result)| {
            let mut block = json!({"type": "tool_result", "tool_use_id": call["id"]});
            block.as_object_mut().unwrap().extend(result.as_object().unwrap().clone());
            block
        })
        .collect();
    content.extend_from_slice(beside);
    body["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": content}));
    let answer = posted(stack, &body).await;
    let (role, blocks) = turns(&stack.api.requests().pop().unwrap()).pop().unwrap();
    assert_eq!(role, "user");
    let mut blocks = blocks.as_array().unwrap().clone();
    for block in &mut blocks {
        block.as_object_mut().unwrap().remove("tool_use_id");
    }
    (answer.header("x-claude-process").unwrap().to_owned(), blocks)
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_beside_results_reaches_the_model_behind_them_as_it_is_and_in_its_order() {
    let Some(stack) = Stack::real().await else { return };
    let body = called(&stack, &["look", "exec"]).await;
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}});
    let document = json!({"type": "document", "title": "a.txt",
        "source": {"type": "text", "media_type": "text/plain", "data": "in the file"}});
    let beside = [text("one"), image, text(" two\n"), document, text("three")];
    let results = [json!({"content": [text("a"), text("b")]}), json!({"content": [text("done")]})];
    let (process, got) = bring(&stack, body, &results, &beside).await;
    let result = |content: Value| json!({"type": "tool_result", "content": content});
    let mut right = vec![result(json!([text("a"), text("b")])), result(json!([text("done")]))];
    right.extend(beside);
    assert_eq!((process.as_str(), got), ("live", right));
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_with_something_beside_it_is_replayed_as_it_is() {
    let Some(stack) = Stack::real().await else { return };
    let body = called(&stack, &["look"]).await;
    let failure = json!({"content": [text("no such file")], "is_error": true});
    let (process, got) = bring(&stack, body, std::slice::from_ref(&failure), &[text("try another")]).await;
    let right = json!({"type": "tool_result", "content": [text("no such file")], "is_error": true});
    assert_eq!((process.as_str(), got), ("cold", vec![right, text("try another")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_the_cli_would_change_are_replayed_as_they_are() {
    let Some(stack) = Stack::real().await else { return };
    for result in [
        json!({"content": []}),
        json!({"content": [text("  trimmed? \n")], "is_error": true}),
        json!({"content": [text("two"), text("parts")], "is_error": true}),
    ] {
        let body = called(&stack, &["look"]).await;
        let (process, got) = bring(&stack, body, std::slice::from_ref(&result), &[]).await;
        let mut right = json!({"type": "tool_result"});
        right.as_object_mut().unwrap().extend(result.as_object().unwrap().clone());
        assert_eq!((process.as_str(), got), ("cold", vec![right]));
        // The process that waited for them waits no more.
        assert_eq!(stack.claude.health().processes.parked, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_brings_results_has_its_own_settings() {
    let Some(stack) = Stack::real().await else { return };
    let results = [json!({"content": [text("done")]})];
    let mut body = called(&stack, &["look"]).await;
    body["max_tokens"] = json!(77);
    body["output_config"] = json!({"effort": "low"});
    for beside in [&[][..], &[text("and now?")]] {
        stack.kill_last().await;
        let mut body = body.clone();
        let first = called(&stack, &["look"]).await;
        body["messages"] = first["messages"].clone();
        let (process, got) = bring(&stack, body, &results, beside).await;
        assert_eq!((process.as_str(), got.len()), ("live", 1 + beside.len()));
        let asked = stack.api.requests().pop().unwrap();
        assert_eq!((&asked["max_tokens"], &asked["output_config"]["effort"]), (&json!(77), &json!("low")));
    }
}
