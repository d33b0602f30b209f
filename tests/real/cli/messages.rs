//! The Messages API: what the model is sent of a conversation's blocks, and what the client gets of the API's stream.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_claude::ChatRequest;
use tower_claude::chat::{Message, Role, Thinking};

use crate::support::answer::Answer;
use crate::support::pretend_model::{Block, Message as Said};
use crate::support::stack::{Stack, turns};

/// A red dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// The least that is a PDF: `%PDF-1.1`, a page tree without a page.
const PDF: &str = "JVBERi0xLjEKMSAwIG9iajw8L1R5cGUvQ2F0YWxvZy9QYWdlcyAyIDAgUj4+ZW5kb2JqCjIgMCBvYmo8PC9UeXBlL1BhZ2VzL0tpZHNb\
                   XS9Db3VudCAwPj5lbmRvYmoKdHJhaWxlcjw8L1Jvb3QgMSAwIFI+PgolJUVPRgo=";

/// A client of the Messages API that keeps its history.
pub(crate) struct Client<'a> {
    stack: &'a Stack,
    pub(crate) body: Value,
    /// How its last request came by its process.
    pub(crate) process: String,
    /// The fields that had no effect.
    pub(crate) ignored: String,
}

impl<'a> Client<'a> {
    pub(crate) fn new(stack: &'a Stack) -> Self {
        let tool = |name: &str| json!({"name": name, "input_schema": {"type": "object"}});
        let body = json!({"model": "claude-opus-4", "max_tokens": 99, "system": "be terse", "messages": [],
            "tools": [tool("look"), tool("exec")], "thinking": {"type": "adaptive", "display": "summarized"}});
        Client { stack, body, process: String::new(), ignored: String::new() }
    }

    /// Sends a user message, and keeps it and the answer. The answer is returned.
    pub(crate) async fn say(&mut self, content: impl Into<Value>) -> Value {
        let content = content.into();
        self.body["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": content}));
        let answer = self.send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let message = answer.json();
        let said = json!({"role": "assistant", "content": message["content"]});
        self.body["messages"].as_array_mut().unwrap().push(said);
        message
    }

    async fn send(&mut self) -> Answer {
        let answer = self.stack.post("/v1/messages", &self.body).await;
        self.process = answer.header("x-claude-process").unwrap_or_default().to_owned();
        self.ignored = answer.header("x-ignored-parameters").unwrap_or_default().to_owned();
        answer
    }

    /// What the model has been sent last of the conversation.
    fn told(&self) -> Vec<(String, Value)> {
        turns(&self.stack.api.requests().pop().unwrap())
    }
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// The results of a message's calls.
fn results(message: &Value, result: Value) -> Value {
    let calls = message["content"].as_array().unwrap().iter().filter(|block| block["type"] == "tool_use");
    let results = calls.map(|call| {
        let mut block = json!({"type": "tool_result", "tool_use_id": call["id"]});
        block.as_object_mut().unwrap().extend(result.as_object().unwrap().clone());
        block
    });
    results.collect()
}

/// The blocks of an answer, with calls as the model made them.
fn as_the_model_said_them(message: &Value) -> Value {
    let mut blocks = message["content"].clone();
    for block in blocks.as_array_mut().unwrap() {
        if block["type"] == "tool_use" {
            block["name"] = json!(format!("mcp__c__{}", block["name"].as_str().unwrap()));
            block.as_object_mut().unwrap().remove("id");
        }
    }
    blocks
}

fn without_ids(blocks: &Value) -> Value {
    let mut blocks = blocks.clone();
    for block in blocks.as_array_mut().unwrap() {
        block.as_object_mut().unwrap().remove("id");
    }
    blocks
}

#[tokio::test]
async fn the_model_gets_its_own_thinking_back_byte_for_byte_live_and_in_a_replay() {
    let Some(stack) = Stack::real().await else { return };
    let mut client = Client::new(&stack);

    let called = client.say("[[ponder tool look {\"n\":1.5}]]").await;
    let kinds: Vec<_> = called["content"].as_array().unwrap().iter().map(|block| block["type"].clone()).collect();
    assert_eq!(kinds, ["thinking", "redacted_thinking", "text", "tool_use"]);
    let thinking = json!({"type": "thinking", "thinking": "Hm, \"é\"\n", "signature": "c2ln"});
    assert_eq!(called["content"][0], thinking);
    assert_eq!(called["content"][1], json!({"type": "redacted_thinking", "data": "ZGF0YQ=="}));

    client.say(results(&called, json!({"content": "seen"}))).await;
    assert_eq!(client.process, "live");
    assert_eq!(without_ids(&client.told()[1].1), as_the_model_said_them(&called));

    // The process is gone, and with it what it remembers.
    stack.kill_last().await;
    client.say("[[ponder x]]").await;
    assert_eq!(client.process, "cold");
    assert_eq!(without_ids(&client.told()[1].1), as_the_model_said_them(&called));
    let thought = client.body["messages"][5]["content"].clone();
    client.say("y").await;
    assert_eq!(client.process, "live");
    assert_eq!(client.told()[5].1, as_the_model_said_them(&json!({"content": thought})));
}

/// The API refuses thinking behind anything but what stood before it when it was made.
#[tokio::test]
async fn a_replay_brings_thinking_back_where_the_api_takes_it_and_leaves_it_out_elsewhere() {
    let Some(stack) = Stack::real().await else { return };
    let mut client = Client::new(&stack);
    let thinks = |signature: &str| {
        let start = json!({"type": "thinking", "thinking": "", "signature": ""});
        let deltas = [
            json!({"type": "thinking_delta", "thinking": "hm"}),
            json!({"type": "signature_delta", "signature": signature}),
        ];
        stack.api.script(
            "bound",
            Said::said([Block::Given { start, deltas: deltas.into() }, Block::Text(vec!["so".to_owned()])]),
        );
    };
    let signatures = |told: Vec<(String, Value)>| -> Vec<Value> {
        let blocks = told.iter().flat_map(|(_, blocks)| blocks.as_array().unwrap());
        blocks.filter_map(|block| block.get("signature").cloned()).collect()
    };
    thinks("first");
    client.say("conversation-bound. one").await;
    thinks("second");
    client.say("two").await;
    assert_eq!((client.process.as_str(), signatures(client.told())), ("live", vec![json!("first")]));

    stack.kill_last().await;
    thinks("third");
    client.say("three").await;
    assert_eq!((client.process.as_str(), signatures(client.told())), ("cold", vec![json!("first"), json!("second")]));

    client.body["messages"][0]["content"] = json!("conversation-bound. another");
    thinks("fourth");
    client.say("four").await;
    assert_eq!((client.process.as_str(), signatures(client.told())), ("cold", vec![]));
    // None was refused, and asked again without its thinking.
    assert_eq!(stack.api.requests().len(), 4);
}

#[tokio::test]
async fn thinking_that_stood_between_calls_stands_between_them_in_a_replay() {
    let Some(stack) = Stack::real().await else { return };
    let thought = |text: &str| json!({"type": "thinking", "thinking": text, "signature": "c2ln"});
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "look", "input": {}});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "r"});
    // Were there a text before the calls, the CLI itself would put the second thought before both of them (2.1.328).
    let said = json!({"content": [thought("a"), call("t1"), thought("b"), call("t2")]});

    let mut client = Client::new(&stack);
    client.body["messages"] =
        json!([{"role": "user", "content": "go"}, {"role": "assistant", "content": said["content"]}]);
    client.say(json!([result("t1"), result("t2")])).await;
    assert_eq!(without_ids(&client.told()[1].1), as_the_model_said_them(&said));
}

#[tokio::test]
async fn a_tool_that_anthropic_defines_is_the_clients_to_run() {
    let Some(stack) = Stack::real().await else { return };
    let mut client = Client::new(&stack);
    client.body["tools"] = json!([
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
        {"type": "memory_20250818", "name": "memory"},
    ]);
    let called = client.say(r#"[[tool bash {"command":"ls -la"}]]"#).await;
    let call = called["content"].as_array().unwrap().iter().find(|block| block["type"] == "tool_use").unwrap();
    assert_eq!((&call["name"], &call["input"]), (&json!("bash"), &json!({"command": "ls -la"})));
    let offered = stack.api.request(0).await["tools"].to_string();
    for name in ["bash", "str_replace_based_edit_tool", "memory"] {
        assert!(offered.contains(&format!("mcp__c__{name}")), "{offered}");
    }

    client.say(results(&called, json!({"content": "a.txt"}))).await;
    assert_eq!(client.process, "live");
}

#[tokio::test]
async fn every_event_of_the_apis_stream_reaches_the_client() {
    let Some(stack) = Stack::real().await else { return };
    for asked in [
        r#"[[ponder tool look {"city":"Köln"} ;; exec {"command":"ls -la"}]]"#,
        "[[blocks A|B|C]]",
        "[[cite a source]]",
        "[[count 5]]",
        "[[long]]",
        "[[refusal]]",
        "[[window]]",
        "[[pause x]]",
    ] {
        let mut client = Client::new(&stack);
        client.body["messages"] = json!([{"role": "user", "content": asked}]);
        client.body["stream"] = json!(true);
        let answer = client.send().await;
        let data = answer.text().split_terminator("\n\n").map(|event| event.split_once("\ndata: ").unwrap().1);
        let told: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
        assert!(told.iter().any(|event| event["type"] == "ping"));
        let told: Vec<Value> = told.into_iter().filter(|event| event["type"] != "ping").map(comparable).collect();
        let sent: Vec<Value> = stack.api.last_stream().into_iter().map(comparable).collect();
        // Where the client is told of the end before the API has said `message_stop`.
        assert_eq!(told[..sent.len()], sent, "{asked}");
        assert!(told[sent.len()..].iter().all(|event| event["type"] == "message_stop"), "{asked}: {told:?}");
    }
}

/// An event without what is the server's own: ids, the names that the model knows tools by, and fields of later versions
/// that say nothing.
fn comparable(mut event: Value) -> Value {
    if let Some(message) = event.get_mut("message") {
        *message = json!({"role": message["role"], "content": message["content"],
            "input_tokens": message["usage"]["input_tokens"], "read": message["usage"]["cache_read_input_tokens"]});
    }
    if let Some(usage) = event.get_mut("usage") {
        *usage = usage["output_tokens"].clone();
    }
    if let Some(block) = event.get_mut("content_block").and_then(Value::as_object_mut) {
        block.remove("id");
        block.remove("citations");
        if let Some(name) = block.get_mut("name") {
            *name = json!(name.as_str().unwrap().trim_start_matches("mcp__c__"));
        }
    }
    event
}

#[tokio::test]
async fn messages_of_one_role_beside_each_other_and_a_compaction_reach_the_model() {
    let Some(stack) = Stack::real().await else { return };
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "look", "input": {}});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": id});
    let (searched, found) = (
        json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}),
        json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": {
            "type": "web_search_tool_result_error", "error_code": "unavailable"}}),
    );
    let summary = json!({"type": "compaction", "content": "So far: nothing."});
    let mut client = Client::new(&stack);
    client.body["messages"] = json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [summary, searched, found, call("a")]},
        {"role": "assistant", "content": [call("b")]},
        {"role": "user", "content": [result("a")]},
        {"role": "user", "content": [result("b")]},
        {"role": "user", "content": "and?"},
    ]);
    let answer = client.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(client.ignored, "messages[].content[].server_tool_use, messages[].content[].web_search_tool_result");
    let told = client.told();
    let kinds = |content: &Value| -> Vec<String> {
        let blocks = content.as_array().unwrap().iter();
        blocks.map(|block| block["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(told[1].1[0]["text"], "So far: nothing.");
    assert_eq!(kinds(&told[1].1), ["text", "tool_use", "tool_use"]);
    assert_eq!(kinds(&told[2].1), ["tool_result", "tool_result", "text"]);
    let said: Vec<&Value> = told[2].1.as_array().unwrap().iter().take(2).map(|block| &block["content"]).collect();
    assert!(said[0].to_string().contains("\"a\"") && said[1].to_string().contains("\"b\""), "{said:?}");
}

#[tokio::test]
async fn calls_have_anthropics_ids() {
    let Some(stack) = Stack::real().await else { return };
    let mut client = Client::new(&stack);
    let called = client.say("[[tool look {}]]").await;
    let call = called["content"].as_array().unwrap().iter().find(|block| block["type"] == "tool_use").unwrap();
    assert!(call["id"].as_str().unwrap().starts_with("toolu_"), "{call}");
    client.say(results(&called, json!({"content": "seen"}))).await;
    assert_eq!(client.process, "live");
}

#[tokio::test]
async fn a_failed_call_is_told_as_one_in_the_process_that_waits_and_in_a_replay() {
    let Some(stack) = Stack::real().await else { return };
    let long = "x".repeat(30_000);
    for (content, told) in [
        (json!("it is gone"), json!("it is gone")),
        // What does not say what is wrong is given the CLI's own words.
        (json!([]), json!("Unknown error")),
        // The CLI would cut it if it came over the control channel.
        (json!(long), json!([text(&long)])),
    ] {
        let mut client = Client::new(&stack);
        let called = client.say("[[tool look {}]]").await;
        client.say(results(&called, json!({"content": content, "is_error": true}))).await;
        let process = if told.is_string() { "live" } else { "cold" };
        assert_eq!(client.process, process);
        let failed = client.told()[2].1[0].clone();
        assert_eq!((&failed["is_error"], &failed["content"]), (&json!(true), &told));

        stack.kill_last().await;
        client.say("go on").await;
        let failed = &client.told()[2].1[0];
        let told = if told.is_string() { json!([text(told.as_str().unwrap())]) } else { told };
        assert_eq!((&failed["is_error"], &failed["content"]), (&json!(true), &told));
    }
}

#[tokio::test]
async fn images_and_documents_go_to_the_model_as_they_came() {
    let Some(stack) = Stack::real().await else { return };
    let blocks = json!([
        text("Look."),
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.jpg"}},
        {"type": "document", "title": "a.pdf", "context": "old", "citations": {"enabled": true},
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "notes"}},
        {"type": "document", "source": {"type": "content", "content": [text("chunk")]}},
        {"type": "search_result", "source": "https://example.com", "title": "S", "content": [text("found")],
            "citations": {"enabled": true}},
        text("Done."),
    ]);
    let mut client = Client::new(&stack);
    let answer = client.say(blocks.clone()).await;
    assert_eq!(answer["content"][0]["text"], "echo: Done.");
    assert_eq!(client.told()[0].1, blocks);
}

#[tokio::test]
async fn results_hold_images_and_whatever_only_a_replay_can_carry() {
    let Some(stack) = Stack::real().await else { return };
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}});
    let document = json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "notes"}});
    for (block, process) in [(image, "live"), (document, "cold")] {
        let mut client = Client::new(&stack);
        let called = client.say("[[tool look {} ;; exec {}]]").await;
        client.say(results(&called, json!({"content": [text("see"), block]}))).await;
        assert_eq!(client.process, process);
        for result in client.told()[2].1.as_array().unwrap() {
            assert_eq!(result["content"], json!([text("see"), block]));
        }
    }
}

#[tokio::test]
async fn thinking_is_asked_for_as_the_client_wants_it() {
    let Some(stack) = Stack::real().await else { return };
    for (thinking, display) in [
        (json!({"type": "adaptive", "display": "summarized"}), json!("summarized")),
        (json!({"type": "disabled"}), Value::Null),
    ] {
        let mut client = Client::new(&stack);
        client.body["thinking"] = thinking;
        client.say("hi").await;
        assert_eq!(stack.api.requests().pop().unwrap()["thinking"]["display"], display);
    }
}

#[tokio::test]
async fn a_budget_of_thinking_is_one_to_models_that_go_by_it() {
    let Some(stack) = Stack::real().await else { return };
    // By its full name, which no layer has made the newest of its family.
    let mut request = ChatRequest::new("claude-sonnet-4-5", [Message::new(Role::User, "hi")]);
    request.thinking = Some(Thinking::Budget(2048));
    let mut events = stack.claude.clone().oneshot(request).await.unwrap().events;
    while let Some(event) = events.next().await {
        event.unwrap();
    }
    assert_eq!(stack.api.requests().pop().unwrap()["thinking"]["budget_tokens"], 2048);
}

#[tokio::test]
async fn a_live_process_changes_how_it_thinks_with_the_request() {
    let Some(stack) = Stack::real().await else { return };
    let mut client = Client::new(&stack);
    client.say("hi").await;
    let default = {
        client.body.as_object_mut().unwrap().remove("thinking");
        client.say("ho").await;
        stack.api.requests().pop().unwrap()["thinking"].clone()
    };
    assert_eq!(client.process, "live");
    assert_ne!(default["display"], "summarized");
    client.body["thinking"] = json!({"type": "adaptive", "display": "summarized"});
    client.say("hu").await;
    assert_eq!(client.process, "live");
    assert_eq!(stack.api.requests().pop().unwrap()["thinking"]["display"], "summarized");
}
