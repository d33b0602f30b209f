//! The API's prompt cache: a replay reads back what was told before, and no request is made that nobody asked for.

use serde_json::{Value, json};

use crate::support::messages_api::MessagesApi;
use crate::support::prompt_cache::{Bill, PromptCache};
use crate::support::stack::{Stack, gone, request};

/// The conversation's next answer, on a process that has not seen it.
async fn replay(stack: &Stack, body: &mut Value, said: Value) {
    let number = body["messages"].as_array().unwrap().len();
    // Another session of the client's: no process that waits is this one's.
    body["prompt_cache_key"] = json!(format!("session {number}"));
    body["messages"].as_array_mut().unwrap().push(said);
    let answer = stack.ask(body.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-claude-process"), Some("cold"));
    body["messages"].as_array_mut().unwrap().push(answer.json()["choices"][0]["message"].take());
}

/// A conversation with a call in it, replayed with each request. The answer before is where the server learns how long
/// prompts are kept.
async fn replayed(stack: &Stack) -> Value {
    stack.api.cache();
    stack.completion(request(json!([{"role": "user", "content": "hello"}]))).await;
    let long = "What it is about. ".repeat(2000);
    let mut body = request(json!([{"role": "system", "content": long}]));
    body["tools"] = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    replay(stack, &mut body, json!({"role": "user", "content": "[[tool look {}]]"})).await;
    let call = body["messages"][2]["tool_calls"][0]["id"].clone();
    replay(stack, &mut body, json!({"role": "tool", "tool_call_id": call, "content": "a cat. ".repeat(1000)})).await;
    replay(stack, &mut body, json!({"role": "user", "content": "and now?"})).await;
    body
}

fn bills(api: &MessagesApi) -> Vec<Bill> {
    let mut cache = PromptCache::default();
    api.requests()[1..].iter().map(|request| cache.bill(request)).collect()
}

fn blocks(request: &Value) -> Vec<Value> {
    let messages = request["messages"].as_array().unwrap();
    messages.iter().filter_map(|message| message["content"].as_array()).flatten().cloned().collect()
}

#[tokio::test]
async fn a_replay_reads_from_the_cache_all_that_was_told_before() {
    let Some(stack) = Stack::real().await else { return };

    replayed(&stack).await;
    let bills = bills(&stack.api);
    assert_eq!(bills.len(), 3);
    for bill in &bills[1..] {
        assert!(bill.readable > 8000.0 && bill.read == bill.readable, "{bill:?}");
    }
    // The result, too, is there already.
    assert!(bills[2].readable > bills[1].readable + 1500.0);
}

#[tokio::test]
async fn a_subscriptions_marks_are_for_an_hour_as_claude_codes_are() {
    let Some(stack) = Stack::real_with(|builder| builder.env("CLAUDE_CODE_PROMPT_CACHE_TTL", "1h")).await else {
        return;
    };

    replayed(&stack).await;
    let last = stack.api.requests().pop().unwrap();
    let marks: Vec<Value> = blocks(&last).iter().filter_map(|block| block.get("cache_control").cloned()).collect();
    // 2.1.252 has no note of its own behind the user's message, and marks that.
    assert!((1..=2).contains(&marks.len()));
    assert!(marks.iter().all(|mark| *mark == json!({"type": "ephemeral", "ttl": "1h"})), "{marks:?}");
    assert!(bills(&stack.api).iter().skip(1).all(|bill| bill.read == bill.readable));
}

#[tokio::test]
async fn where_the_api_takes_fewer_marks_everything_is_answered_all_the_same() {
    let Some(stack) = Stack::real().await else { return };

    stack.api.take_marks(3);
    replayed(&stack).await;
}

#[tokio::test]
async fn a_process_that_is_parked_in_a_call_gives_way_without_another_request() {
    let Some(stack) = Stack::real_with(|builder| builder.max_processes(1)).await else { return };

    let mut body = request(json!([{"role": "user", "content": "[[tool look {}]]"}]));
    body["tools"] = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    stack.completion(body).await;
    let parked = stack.started()[0];
    stack.completion(request(json!([{"role": "user", "content": "hello"}]))).await;
    gone(parked).await;
    // Told to end, it would tell the API that the call was interrupted, at the price of the whole conversation (2.1.328).
    assert_eq!(stack.api.requests().len(), 2);
}
