//! The Responses API: what of it only the real CLI can show.

use serde_json::{Value, json};

use crate::support::stack::{Stack, turns};

#[tokio::test]
async fn encrypted_content_is_the_signature_and_gives_the_model_its_thinking_back() {
    let Some(stack) = Stack::real().await else { return };
    let tool = json!({"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": false});
    let mut body = json!({"model": "claude-opus-4", "store": false, "tools": [tool], "reasoning": {"summary": "auto"},
        "include": ["reasoning.encrypted_content"], "input": [{"role": "user", "content": "[[ponder tool look {}]]"}]});
    let answer = stack.post("/v1/responses", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(stack.api.request(0).await["thinking"]["display"], "summarized");
    let output = answer.json()["output"].clone();
    let sealed: Vec<&Value> = output.as_array().unwrap().iter().map(|item| &item["encrypted_content"]).collect();
    assert_eq!(sealed[..2], ["c2ln", ".ZGF0YQ=="]);

    stack.kill_last().await;
    let call = output.as_array().unwrap().iter().find(|item| item["type"] == "function_call").unwrap();
    let result = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "seen"});
    let input = body["input"].as_array_mut().unwrap();
    input.extend(output.as_array().unwrap().iter().cloned().chain([result]));
    let answer = stack.post("/v1/responses", &body).await;
    assert_eq!(answer.header("x-claude-process"), Some("cold"), "{}", answer.text());
    let upstream = stack.api.requests().pop().unwrap();
    let thoughts = [
        json!({"type": "thinking", "thinking": "Hm, \"é\"\n", "signature": "c2ln"}),
        json!({"type": "redacted_thinking", "data": "ZGF0YQ=="}),
    ];
    assert_eq!(turns(&upstream)[1].1.as_array().unwrap()[..2], thoughts);
}
