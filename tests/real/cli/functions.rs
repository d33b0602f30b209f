//! The client's functions as real tools.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::chat::until;
use crate::support::stack::{Stack, content, request, turns};

/// A red dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

fn function(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": format!("The {name}."),
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}})
}

/// A client that offers functions and keeps the history.
struct Client<'a> {
    stack: &'a Stack,
    streams: bool,
    body: Value,
    /// How its last request came by its process.
    process: String,
}

impl<'a> Client<'a> {
    fn with(stack: &'a Stack, functions: &[&str]) -> Self {
        let mut body = request(json!([]));
        body["tools"] = functions.iter().map(|name| function(name)).collect();
        Client { stack, streams: false, body, process: String::new() }
    }

    fn field(mut self, name: &str, value: Value) -> Self {
        self.body[name] = value;
        self
    }

    fn add(&mut self, message: Value) {
        self.body["messages"].as_array_mut().unwrap().push(message);
    }

    fn user(&mut self, text: &str) {
        self.add(json!({"role": "user", "content": text}));
    }

    fn result(&mut self, call: &Value, content: Value) {
        self.add(json!({"role": "tool", "tool_call_id": call["id"], "content": content}));
    }

    /// The answer's text, its calls, and why it ended.
    async fn answer(&mut self) -> (String, Vec<Value>, String) {
        let (text, calls, reason);
        if self.streams {
            let whole = self.stack.stream(self.body.clone()).await.whole().await;
            assert_eq!(whole.error, None);
            self.process = whole.headers["x-claude-process"].to_str().unwrap().to_owned();
            (text, calls, reason) = (whole.content, whole.calls, whole.finish_reasons.concat());
        } else {
            let answer = self.stack.ask(self.body.clone()).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            self.process = answer.header("x-claude-process").unwrap().to_owned();
            let completion = answer.json();
            text = content(&completion).to_owned();
            let choice = &completion["choices"][0];
            calls = choice["message"]["tool_calls"].as_array().cloned().unwrap_or_default();
            reason = choice["finish_reason"].as_str().unwrap().to_owned();
        }
        let calls_or_none = if calls.is_empty() { Value::Null } else { json!(calls) };
        self.add(json!({"role": "assistant", "content": text, "tool_calls": calls_or_none}));
        (text, calls, reason)
    }

    /// The request that the API got last.
    fn upstream(&self) -> Value {
        self.stack.api.requests().pop().unwrap()
    }

    /// What the API got as the results of the calls in the last turn.
    fn results(&self) -> Vec<Value> {
        let (_, blocks) = turns(&self.upstream()).pop().unwrap();
        let blocks = blocks.as_array().unwrap().iter().filter(|block| block["type"] == "tool_result");
        blocks.map(|block| block["content"].clone()).collect()
    }
}

/// The text of a tool result, in whichever of its forms the API got it.
fn text_of(content: &Value) -> &str {
    content.as_str().or(content[0]["text"].as_str()).unwrap_or_default()
}

/// Two calls at once, results three seconds later, one of them of 300 KB, then the final answer and another turn.
async fn round_trip(streams: bool, killed: bool) {
    let Some(stack) = Stack::real().await else { return };
    let mut client = Client::with(&stack, &["weather", "clock"]);
    client.streams = streams;

    client.user(r#"[[tool weather {"city":"Oslo"} ;; clock]]"#);
    let (text, calls, reason) = client.answer().await;
    assert_eq!((text.as_str(), reason.as_str()), ("calling ", "tool_calls"));
    let called: Vec<_> = calls
        .iter()
        .map(|call| (call["function"]["name"].as_str().unwrap(), call["function"]["arguments"].as_str().unwrap()))
        .collect();
    assert_eq!(called, [("weather", r#"{"city":"Oslo"}"#), ("clock", "{}")]);
    for call in &calls {
        let id = call["id"].as_str().unwrap();
        let own = id.strip_prefix("call_toolu").unwrap_or_else(|| panic!("{id}"));
        assert!(id.len() <= 40 && own.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
    }

    if killed {
        stack.kill_last().await;
    }
    // The client runs its functions, while the process waits in the calls.
    until("the process waits, or is known to be gone", || {
        stack.claude.health().processes.parked == usize::from(!killed)
    })
    .await;
    let large = "sunny ".repeat(50_000);
    // In an order of its own.
    client.result(&calls[1], json!("noon"));
    client.result(&calls[0], json!(large));
    let (text, calls, reason) = client.answer().await;
    assert_eq!((calls.len(), reason.as_str()), (0, "stop"));
    assert!(text.starts_with("result: ") && text.contains("noon"), "{text:.80}");
    let mut results = client.results();
    results.sort_by_key(|result| text_of(result).len());
    assert_eq!(results.iter().map(text_of).collect::<Vec<_>>(), ["noon", &large]);

    client.user("thanks");
    assert_eq!(client.answer().await.0, "echo: thanks");
    assert_eq!(client.process, "live");
    assert_eq!(stack.started().len(), if killed { 2 } else { 1 });
    assert_eq!(stack.api.requests().len(), 3);
}

#[tokio::test]
async fn parallel_calls_are_answered_later_on_the_same_process_or_by_replay_where_it_has_gone() {
    join_all([round_trip(false, false), round_trip(true, false), round_trip(false, true), round_trip(true, true)])
        .await;
}

#[tokio::test]
async fn a_result_meets_its_process_by_the_id_of_either_api_and_by_what_clients_make_of_it() {
    let Some(stack) = Stack::real().await else { return };
    let made: [fn(&str) -> String; 3] = [
        str::to_owned,
        // As OpenClaw has them in its history.
        |id| id.chars().filter(char::is_ascii_alphanumeric).collect(),
        // As another API's client would have been told them.
        |id| id.replace("call_toolu", "toolu_"),
    ];
    for make in made {
        let mut client = Client::with(&stack, &["look"]);
        client.user("[[tool look]]");
        let (_, mut calls, _) = client.answer().await;
        calls[0]["id"] = json!(make(calls[0]["id"].as_str().unwrap()));
        client.body["messages"][1]["tool_calls"][0]["id"] = calls[0]["id"].clone();
        client.result(&calls[0], json!("seen"));
        client.answer().await;
        assert_eq!((client.process.as_str(), text_of(&client.results()[0])), ("live", "seen"), "{}", calls[0]["id"]);
    }
}

#[tokio::test]
async fn results_of_any_kind_arrive_whole() {
    let Some(stack) = Stack::real().await else { return };
    let mut client = Client::with(&stack, &["look"]);
    client.user("[[tool look ;; look ;; look ;; look]]");
    let (_, calls, _) = client.answer().await;

    client.result(&calls[0], json!(""));
    client.result(&calls[1], json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]));
    let image = json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}});
    client.result(&calls[2], json!([{"type": "text", "text": "a dot"}, image]));
    client.result(&calls[3], json!("Error: no such thing"));
    client.user("What do you see?");
    client.answer().await;
    // The CLI would fill the empty one.
    assert_eq!(client.process, "cold");

    let results = client.results();
    assert_eq!(results.len(), 4, "{results:#?}");
    let text = |wanted: &str| results.iter().any(|result| text_of(result) == wanted);
    assert!(text("one\ntwo") && text("Error: no such thing"), "{results:#?}");
    let dot = results.iter().find(|result| text_of(result) == "a dot").expect("the result with an image");
    assert_eq!(dot[1]["source"], json!({"type": "base64", "media_type": "image/png", "data": PNG}));
}

#[tokio::test]
async fn messages_behind_the_results_reach_the_model_together_with_them() {
    let Some(stack) = Stack::real().await else { return };
    let mut client = Client::with(&stack, &["look"]);
    client.user("[[tool look]]");
    let (_, calls, _) = client.answer().await;

    client.result(&calls[0], json!("nothing"));
    let image = json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}});
    client.add(json!({"role": "user", "content": [{"type": "text", "text": "And here?"}, image]}));
    client.user("Well?");
    client.answer().await;
    assert_eq!(client.process, "live");
    assert_eq!(stack.api.requests().len(), 2);
    assert_eq!(client.results().iter().map(text_of).collect::<Vec<_>>(), ["nothing"]);
    let sent = client.upstream()["messages"].to_string();
    assert!(sent.contains("And here?") && sent.contains(PNG) && sent.contains("Well?"), "{sent}");

    client.user("next");
    assert_eq!(client.answer().await.0, "echo: next");
    assert_eq!(client.process, "live");
}

#[tokio::test]
async fn a_result_that_the_control_channel_cannot_carry_is_replayed() {
    let Some(stack) = Stack::real().await else { return };
    let mut client = Client::with(&stack, &["look"]);
    client.user("[[tool look ;; look]]");
    let (_, calls, _) = client.answer().await;

    let huge = "x".repeat(700_000);
    client.result(&calls[0], json!(huge));
    let image = json!({"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}});
    client.result(&calls[1], json!([image]));
    client.answer().await;

    assert_eq!(client.process, "cold");
    let results = client.results();
    assert_eq!(text_of(&results[0]).len(), huge.len());
    assert_eq!(results[1][0]["source"], json!({"type": "url", "url": "https://example.com/cat.jpg"}));
}

#[tokio::test]
async fn without_parallel_calls_the_client_is_told_of_one_at_a_time() {
    let Some(stack) = Stack::real().await else { return };
    let mut client = Client::with(&stack, &["weather", "clock"]).field("parallel_tool_calls", json!(false));
    client.user(r#"[[tool weather {"city":"Oslo"} ;; clock]]"#);

    let (_, calls, reason) = client.answer().await;
    assert_eq!(reason, "tool_calls");
    let [first] = &calls[..] else { panic!("{calls:#?}") };
    assert_eq!(first["function"]["name"], "weather");

    client.result(first, json!("rain"));
    let (_, calls, reason) = client.answer().await;
    assert_eq!(reason, "tool_calls");
    let [second] = &calls[..] else { panic!("{calls:#?}") };
    assert_eq!(second["function"]["name"], "clock");
    assert_ne!(first["id"], second["id"]);

    client.result(second, json!("noon"));
    let (text, _, reason) = client.answer().await;
    assert_eq!(reason, "stop");
    assert!(text.contains("rain") && text.contains("noon"), "{text}");
    assert_eq!(stack.started().len(), 1);
    assert_eq!(stack.api.requests().len(), 2, "the second call was the first answer's");
}

#[tokio::test]
async fn a_tool_choice_decides_what_the_model_is_offered() {
    let Some(stack) = Stack::real().await else { return };
    let offered = async |choice: Value| {
        let mut client = Client::with(&stack, &["weather", "clock"]).field("tool_choice", choice);
        client.user("hello");
        let mut body = client.body.clone();
        // Nobody else's conversation.
        body["prompt_cache_key"] = json!(body["tool_choice"].to_string());
        stack.completion(body).await;
        let upstream = client.upstream();
        let names = upstream["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), upstream["system"].to_string())
    };

    // The CLI sorts them.
    let both = ["mcp__c__clock", "mcp__c__weather"];
    assert_eq!(offered(json!("auto")).await.0, both);
    assert_eq!(offered(json!("none")).await.0, [""; 0]);
    let (names, system) = offered(json!("required")).await;
    assert_eq!(names, both);
    assert!(system.contains("must call at least one"), "{system}");
    let (names, system) = offered(json!({"type": "function", "function": {"name": "clock"}})).await;
    assert_eq!(names, ["mcp__c__clock"]);
    assert!(system.contains("must call the tool mcp__c__clock"), "{system}");
}

#[tokio::test]
async fn sixty_four_functions_with_long_names_and_descriptions_work() {
    let Some(stack) = Stack::real().await else { return };
    let names: Vec<String> = (0..64).map(|number| format!("{}{number:02}", "n".repeat(62))).collect();
    let mut client = Client::with(&stack, &names.iter().map(String::as_str).collect::<Vec<_>>());
    for (number, tool) in client.body["tools"].as_array_mut().unwrap().iter_mut().enumerate() {
        tool["function"]["description"] = json!(format!("Number {number}. {}END{number}.", "word ".repeat(1000)));
    }

    client.user("hello");
    client.answer().await;
    let upstream = client.upstream();
    let tools = upstream["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 64);
    let told = upstream.to_string();
    for number in 0..64 {
        assert!(told.contains(&format!("END{number}.")), "the end of description {number}");
    }
    let wire = |number: usize| {
        let begins = format!("Number {number}.");
        let tool = tools.iter().find(|tool| tool["description"].as_str().unwrap().starts_with(&begins)).unwrap();
        tool["name"].as_str().unwrap().strip_prefix("mcp__c__").unwrap()
    };

    client.user(&format!("[[tool {} ;; {}]]", wire(0), wire(63)));
    let (_, calls, _) = client.answer().await;
    assert_eq!(client.process, "live");
    assert_eq!(calls[0]["function"]["name"], json!(names[0]));
    assert_eq!(calls[1]["function"]["name"], json!(names[63]));
    client.result(&calls[0], json!("a"));
    client.result(&calls[1], json!("b"));
    assert!(client.answer().await.0.contains("result: "));
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn a_schema_that_the_cli_refuses_is_a_400() {
    let Some(stack) = Stack::real().await else { return };
    // What `fields` refuses comes no further than that; these it lets through.
    for (parameters, process) in [(json!({"properties": {"a": 5}}), 1), (json!({"type": "object", "required": "a"}), 2)]
    {
        let mut client = Client::with(&stack, &["good", "bad"]);
        client.body["tools"][1]["function"]["parameters"] = parameters;
        client.user("hello");
        let answer = stack.ask(client.body.clone()).await;
        assert_eq!((answer.status.as_u16(), stack.started().len()), (400, process), "{}", answer.text());
        let error = &answer.json()["error"];
        assert_eq!(error["param"], "tools");
        assert!(error["message"].as_str().unwrap().contains("JSON schema"), "{error}");
    }
    assert_eq!(stack.api.requests().len(), 0);
}

/// Cursor's shapes: `input` in place of messages, tools without `function` around them, one of free text.
#[tokio::test]
async fn a_custom_tool_of_cursors_goes_round_on_one_process() {
    let Some(stack) = Stack::real().await else { return };
    let tools = json!([
        {"type": "function", "name": "read_file", "parameters": {"type": "object"}},
        {"type": "custom", "name": "ApplyPatch", "description": "Edits.", "format": {
            "type": "grammar", "syntax": "lark", "definition": "start: \"x\""}},
    ]);
    let call = json!({"input": "*** Begin Patch\n+é"});
    let mut body = json!({"model": "claude-opus-4", "tools": tools, "store": false,
        "input": [{"role": "user", "content": format!("[[tool ApplyPatch {call}]]")}]});
    let answer = stack.completion(body.clone()).await;
    let said = &answer["choices"][0]["message"]["content"];
    let called = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(called["function"], json!({"name": "ApplyPatch", "arguments": "*** Begin Patch\n+é"}));

    let arguments = &called["function"]["arguments"];
    body["input"].as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": said}),
        json!({"type": "function_call", "call_id": called["id"], "name": "ApplyPatch", "arguments": arguments}),
        json!({"type": "function_call_output", "call_id": called["id"], "output": "patched"}),
    ]);
    let answer = stack.ask(body).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-claude-process")), (200, Some("live")), "{}", answer.text());
    assert_eq!(stack.started().len(), 1);
}
