//! How an answer ends: for the reason of the model's one message, with its usage, on each door, plain and streamed. Where the
//! CLI would ask the API for another message by itself, the client gets nothing of that.

use serde_json::{Value, json};

use crate::support::stack::{Stack, content, gone, request, says, turns};

/// An answer of any door.
#[derive(Debug, Default)]
struct Heard {
    text: String,
    /// The input of each call, and what the door says of the call's state.
    calls: Vec<(Value, Value)>,
    reason: String,
    output_tokens: u64,
}

const DOORS: [&str; 3] = ["/v1/chat/completions", "/v1/responses", "/v1/messages"];

/// Has the model answer, with the function `look` on offer.
async fn hear(stack: &Stack, door: &str, stream: bool, prompt: &str) -> Heard {
    let schema = json!({"type": "object"});
    let messages = json!([{"role": "user", "content": prompt}]);
    let mut body = json!({"model": "claude-opus-4", "stream": stream});
    match door {
        "/v1/chat/completions" => {
            body["tools"] = json!([{"type": "function", "function": {"name": "look", "parameters": schema}}]);
            body["messages"] = messages;
            if stream {
                body["stream_options"] = json!({"include_usage": true});
                return of_chunks(&stack.post(door, &body).await.chunks());
            }
        }
        "/v1/responses" => {
            body["tools"] = json!([{"type": "function", "name": "look", "parameters": schema, "strict": false}]);
            body["input"] = messages;
        }
        _ => {
            body["tools"] = json!([{"name": "look", "input_schema": schema}]);
            (body["messages"], body["max_tokens"]) = (messages, json!(99));
        }
    }
    let answer = stack.post(door, &body).await;
    assert_eq!(answer.status, 200, "{door} {prompt}: {}", answer.text());
    match (door, stream) {
        ("/v1/chat/completions", _) => of_chunks(&[answer.json()]),
        ("/v1/responses", false) => of_response(&answer.json()),
        ("/v1/responses", true) => of_response(&answer.outcome()),
        (_, false) => of_message(&answer.json()),
        (_, true) => of_events(&answer.events()),
    }
}

/// Chunks of a chat completion, or a whole one.
fn of_chunks(chunks: &[Value]) -> Heard {
    let mut heard = Heard::default();
    for chunk in chunks {
        let choice = &chunk["choices"][0];
        let said = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        heard.text.push_str(said["content"].as_str().unwrap_or_default());
        for (at, call) in said["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let at = call["index"].as_u64().map_or(at, |index| index as usize);
            heard.calls.resize(heard.calls.len().max(at + 1), (json!(""), Value::Null));
            let came = call["function"]["arguments"].as_str().unwrap();
            heard.calls[at].0 = json!(heard.calls[at].0.as_str().unwrap().to_owned() + came);
        }
        heard.reason.push_str(choice["finish_reason"].as_str().unwrap_or_default());
        heard.output_tokens += chunk["usage"]["completion_tokens"].as_u64().unwrap_or(0);
    }
    heard
}

fn of_response(response: &Value) -> Heard {
    let mut heard = Heard::default();
    for item in response["output"].as_array().unwrap() {
        match item["type"].as_str() {
            Some("message") => heard.text.push_str(item["content"][0]["text"].as_str().unwrap()),
            Some("function_call") => heard.calls.push((item["arguments"].clone(), item["status"].clone())),
            _ => {}
        }
    }
    heard.reason =
        response["incomplete_details"]["reason"].as_str().or(response["status"].as_str()).unwrap().to_owned();
    heard.output_tokens = response["usage"]["output_tokens"].as_u64().unwrap();
    heard
}

fn of_message(message: &Value) -> Heard {
    let mut heard = Heard::default();
    for block in message["content"].as_array().unwrap() {
        heard.text.push_str(block["text"].as_str().unwrap_or_default());
        if block["type"] == "tool_use" {
            heard.calls.push((block["input"].clone(), Value::Null));
        }
    }
    heard.reason = message["stop_reason"].as_str().unwrap().to_owned();
    heard.output_tokens = message["usage"]["output_tokens"].as_u64().unwrap();
    heard
}

/// The events of a message: its calls' inputs as text.
fn of_events(events: &[Value]) -> Heard {
    let mut heard = Heard::default();
    for event in events {
        if event["content_block"]["type"] == "tool_use" {
            heard.calls.push((json!(""), Value::Null));
        }
        heard.text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
        if let Some(came) = event["delta"]["partial_json"].as_str() {
            let input = &mut heard.calls.last_mut().unwrap().0;
            *input = json!(input.as_str().unwrap().to_owned() + came);
        }
        heard.reason.push_str(event["delta"]["stop_reason"].as_str().unwrap_or_default());
        heard.output_tokens = event["usage"]["output_tokens"].as_u64().unwrap_or(heard.output_tokens);
    }
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    heard
}

/// After so many answers the processes are gone, and the API has been asked for no more.
async fn each_was_the_only_one(stack: &Stack, answers: usize) {
    for pid in stack.started() {
        gone(pid).await;
    }
    assert_eq!(stack.api.requests().len(), answers, "the CLI asked again by itself");
}

#[tokio::test]
async fn a_call_that_the_token_limit_cuts_is_told_as_cut() {
    let Some(stack) = Stack::real().await else { return };

    let mut answers = 0;
    for door in DOORS {
        for stream in [false, true] {
            let prompt = r#"[[end max_tokens tool look {"city":"Rome"} ;; look {"a":1,"city":"Par]]"#;
            let heard = hear(&stack, door, stream, prompt).await;
            answers += 1;
            let (whole, cut) = (json!(r#"{"city":"Rome"}"#), json!(r#"{"a":1,"city":"Par"#));
            let (reason, calls) = match (door, stream) {
                ("/v1/chat/completions", _) => ("length", [(whole, Value::Null), (cut, Value::Null)]),
                ("/v1/responses", _) => {
                    ("max_output_tokens", [(whole, json!("completed")), (cut, json!("incomplete"))])
                }
                (_, true) => ("max_tokens", [(whole, Value::Null), (cut, Value::Null)]),
                _ => ("max_tokens", [(json!({"city": "Rome"}), Value::Null), (json!({"a": 1}), Value::Null)]),
            };
            assert_eq!((heard.reason.as_str(), heard.text.as_str()), (reason, "calling "), "{door} {stream}");
            assert_eq!(heard.calls, calls, "{door} {stream}");
            // The API counts one token to begin with, and one a delta.
            assert_eq!(heard.output_tokens, 6, "{door} {stream}");
        }
    }
    each_was_the_only_one(&stack, answers).await;
}

#[tokio::test]
async fn whatever_cuts_a_call_is_the_reason_that_the_client_is_told() {
    let Some(stack) = Stack::real().await else { return };

    let cases = [
        ("model_context_window_exceeded", ["length", "max_output_tokens", "model_context_window_exceeded"]),
        ("refusal", ["content_filter", "content_filter", "refusal"]),
        ("pause_turn", ["stop", "completed", "pause_turn"]),
    ];
    let mut answers = 0;
    for (reason, told) in cases {
        for (door, told) in DOORS.into_iter().zip(told) {
            let heard = hear(&stack, door, true, &format!(r#"[[end {reason} tool look {{"city":"Par]]"#)).await;
            answers += 1;
            assert_eq!(
                (heard.reason.as_str(), heard.calls.len(), heard.output_tokens),
                (told, 1, 4),
                "{reason} {door}"
            );
        }
    }
    each_was_the_only_one(&stack, answers).await;
}

#[tokio::test]
async fn a_call_waits_for_its_result_though_its_message_ends_for_a_reason_of_its_own() {
    let Some(stack) = Stack::real().await else { return };

    for reason in ["end_turn", "of_tomorrow"] {
        let heard = hear(&stack, DOORS[0], false, &format!("[[end {reason} tool look {{}}]]")).await;
        assert_eq!((heard.reason.as_str(), heard.calls.len()), ("tool_calls", 1), "{reason}");
    }
    let heard = hear(&stack, DOORS[0], false, "[[end of_tomorrow count 2]]").await;
    assert_eq!((heard.reason.as_str(), heard.text.as_str(), heard.output_tokens), ("stop", "w0 w1 ", 3));
}

#[tokio::test]
async fn an_answer_without_a_word_is_the_answer() {
    let Some(stack) = Stack::real().await else { return };

    let mut answers = 0;
    let reasons = ["stop", "completed", "end_turn"];
    for (door, reason) in DOORS.into_iter().zip(reasons) {
        for stream in [false, true] {
            let heard = hear(&stack, door, stream, "[[nothing]]").await;
            answers += 1;
            let told = (heard.reason.as_str(), heard.text.as_str(), heard.output_tokens);
            assert_eq!(told, (reason, "", 1), "{door} {stream}");
        }
    }
    for prompt in ["[[blocks ]]", "[[end tool_use count 2]]", "[[end pause_turn nothing]]"] {
        let heard = hear(&stack, DOORS[0], false, prompt).await;
        answers += 1;
        assert_eq!((heard.reason.as_str(), heard.calls.len()), ("stop", 0), "{prompt}");
    }
    each_was_the_only_one(&stack, answers).await;
}

#[tokio::test]
async fn a_refusal_is_counted_once() {
    let Some(stack) = Stack::real().await else { return };

    let mut answers = 0;
    for (door, reason) in DOORS.into_iter().zip(["content_filter", "content_filter", "refusal"]) {
        for stream in [false, true] {
            for (prompt, text, tokens) in [("[[refusal]]", "I cannot", 3), ("[[end refusal nothing]]", "", 1)] {
                let heard = hear(&stack, door, stream, prompt).await;
                answers += 1;
                let told = (heard.reason.as_str(), heard.text.as_str(), heard.output_tokens);
                assert_eq!(told, (reason, text, tokens), "{door} {stream}");
            }
        }
    }
    each_was_the_only_one(&stack, answers).await;
}

#[tokio::test]
async fn what_follows_a_block_that_the_cli_does_not_stream_is_told() {
    let Some(stack) = Stack::real().await else { return };

    for door in DOORS {
        for stream in [false, true] {
            let heard = hear(&stack, door, stream, "[[fallback blocks one|two]]").await;
            assert_eq!(heard.text.replace(char::is_whitespace, ""), "onetwo", "{door} {stream}");
            assert_eq!(heard.output_tokens, 3);
        }
        let heard = hear(&stack, door, true, r#"[[fallback tool look {"at":1}]]"#).await;
        assert_eq!(heard.calls[0].0, json!(r#"{"at":1}"#), "{door}");
    }
}

#[tokio::test]
async fn arguments_that_were_given_out_come_back_whatever_they_are() {
    let Some(stack) = Stack::real().await else { return };

    let cut = r#"{"city":"Par"#;
    let unparsed = json!({"__unparsedToolInput": {"raw": cut, "len": cut.len()}});
    let half = json!({"city": "\u{fffd}"});
    for (prompt, input) in [
        (format!("[[end max_tokens tool look {cut}]]"), unparsed.clone()),
        (r#"[[tool look {"city":"\ud800"}]]"#.to_owned(), half),
    ] {
        let mut body = says(&prompt);
        body["tools"] = json!([{"type": "function", "function": {"name": "look"}}]);
        let answer = stack.completion(body.clone()).await["choices"][0]["message"].clone();
        let result = json!({"role": "tool", "tool_call_id": answer["tool_calls"][0]["id"], "content": "seen"});
        body["messages"].as_array_mut().unwrap().extend([answer, result]);
        for pid in stack.started() {
            let _ = rustix::process::kill_process(
                rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
                rustix::process::Signal::KILL,
            );
            gone(pid).await;
        }
        let answer = stack.completion(body).await;
        assert!(content(&answer).starts_with("result: "), "{answer}");
        let (_, blocks) = turns(&stack.api.requests().pop().unwrap())[1].clone();
        assert_eq!(blocks[1]["input"], input);
    }

    // On the other doors, and longer than the CLI keeps of what it could not read itself.
    let long = format!("{{\"city\":\"{}", "x".repeat(5_000));
    let call =
        json!({"type": "function_call", "call_id": "c", "name": "look", "arguments": long, "status": "incomplete"});
    let result = json!({"type": "function_call_output", "call_id": "c", "output": "seen"});
    let body = json!({"model": "claude-opus-4", "input": [{"role": "user", "content": "x"}, call, result]});
    let answer = stack.post("/v1/responses", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (_, blocks) = turns(&stack.api.requests().pop().unwrap())[1].clone();
    assert_eq!(blocks[0]["input"], json!({"__unparsedToolInput": {"raw": long, "len": long.len()}}));

    let call = json!({"type": "tool_use", "id": "c", "name": "look", "input": {"city": "HALF"}});
    let result = json!({"type": "tool_result", "tool_use_id": "c", "content": "seen"});
    let mut body = request(json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]}]));
    body["max_tokens"] = json!(9);
    let body = body.to_string().replace("HALF", "\\ud800");
    let answer = stack.post_text("/v1/messages", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (_, blocks) = turns(&stack.api.requests().pop().unwrap())[1].clone();
    assert_eq!(blocks[0]["input"], json!({"city": "\u{fffd}"}));
}
