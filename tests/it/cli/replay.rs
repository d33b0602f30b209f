//! Replay: a process that has not seen the conversation is told it as real turns, in order.

use serde_json::{Value, json};

use tower_claude::ErrorKind;
use tower_claude::chat::Reasoning;

use crate::support::chat::{
    ask, assistant, call, claude, function, hear, messages, request, result, system, try_ask, user,
};

fn block(role: &str, text: &str) -> Value {
    json!({"role": role, "content": [{"type": "text", "text": text}]})
}

fn called(id: &str, name: &str, arguments: &str) -> Value {
    let function = json!({"name": name, "arguments": arguments});
    json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function", "function": function}]})
}

#[tokio::test]
async fn a_history_is_told_as_real_turns_in_order() {
    let claude = claude().build();
    let history: Vec<Value> = (0..20).flat_map(|n| [user(&format!("q{n}")), assistant(&format!("a{n}"))]).collect();
    let told = ask(&claude, messages([&history[..], &[user("[[history]]")]].concat())).await.json();
    let expected: Vec<Value> = (0..20)
        .flat_map(|n| [block("user", &format!("q{n}")), block("assistant", &format!("a{n}"))])
        .chain([block("user", "[[history]]")])
        .collect();
    assert_eq!(told["messages"], json!(expected));
}

#[tokio::test]
async fn calls_and_results_are_told_as_such() {
    let claude = claude().build();
    let history = [
        user("look"),
        json!({"role": "assistant", "content": "Looking.", "tool_calls": [
            {"id": "call-1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": \"it\"}"}},
            {"id": "call-2", "type": "function", "function": {"name": "look", "arguments": ""}},
        ]}),
        result("call2", "two"),
        result("call-1", json!([{"type": "text", "text": "one"}])),
        assistant("Seen."),
        user("[[history]]"),
    ];
    let mut json = messages(history);
    json["tools"] = json!([function("look")]);
    let told = ask(&claude, json).await.json();
    assert_eq!(
        told["messages"][1]["content"],
        json!([
            {"type": "text", "text": "Looking."},
            {"type": "tool_use", "id": "call1", "name": "mcp__c__look", "input": {"at": "it"}},
            {"type": "tool_use", "id": "call2", "name": "mcp__c__look", "input": {}},
        ])
    );
    assert_eq!(
        told["messages"][2],
        json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "call2", "content": [{"type": "text", "text": "two"}]},
            {"type": "tool_result", "tool_use_id": "call1", "content": [{"type": "text", "text": "one"}]},
        ]})
    );
    assert_eq!(told["messages"][3], block("assistant", "Seen."));
}

#[tokio::test]
async fn a_conversation_that_ends_with_results_is_answered_from_them() {
    let mut json = messages([user("look"), called("c1", "look", "{}"), result("c1", "a cat")]);
    json["tools"] = json!([function("look")]);
    let answer = ask(&claude().build(), json).await;
    assert_eq!(answer.text, r#"result: [[{"type":"text","text":"a cat"}]]"#);
}

#[tokio::test]
async fn an_id_that_a_client_uses_twice_is_two_ids() {
    let history = [
        user("a"),
        called("x", "look", "{}"),
        result("x", "1"),
        called("x", "look", "{}"),
        result("x", "2"),
        assistant("b"),
        user("[[history]]"),
    ];
    let mut json = messages(history);
    json["tools"] = json!([function("look")]);
    let told = ask(&claude().build(), json).await.json();
    let id = |at: usize, key: &str| told["messages"][at]["content"][0][key].clone();
    assert_eq!((id(1, "id"), id(2, "tool_use_id")), (json!("x"), json!("x")));
    assert_eq!((id(3, "id"), id(4, "tool_use_id")), (json!("xn2"), json!("xn2")));
}

#[tokio::test]
async fn every_kind_of_message_has_its_place() {
    let history = [
        system("one"),
        json!({"role": "developer", "content": "two"}),
        json!({"role": "user", "name": "ada", "content": "hi"}),
        user("there"),
        system("in between"),
        assistant("yes"),
        assistant("and?"),
        user(" "),
        json!({"role": "assistant", "content": null, "refusal": "no"}),
        user("[[history]]"),
    ];
    let told = ask(&claude().build(), messages(history)).await.json();
    assert_eq!(told["system"], json!(["one\n\ntwo"]));
    let texts = |at: usize| {
        let content = told["messages"][at]["content"].as_array().unwrap();
        content.iter().map(|block| block["text"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts(0), ["ada: hi", "there", "<system-reminder>\nin between\n</system-reminder>"]);
    assert_eq!(texts(1), ["yes", "and?", "no"]);
    assert_eq!(texts(2), ["[[history]]"]);
}

#[tokio::test]
async fn a_conversation_may_begin_with_the_assistant() {
    let told = ask(&claude().build(), messages([assistant("hello"), user("[[history]]")])).await.json();
    // The API wants a user's message first.
    let told_first = [block("user", "Go ahead."), block("assistant", "hello"), block("user", "[[history]]")];
    assert_eq!(told["messages"], json!(told_first));
}

#[tokio::test]
async fn images_and_files_are_blocks() {
    let parts = json!([
        {"type": "text", "text": "[[history]]"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,aGVsbG8="}},
    ]);
    let told = ask(&claude().build(), messages([json!({"role": "user", "content": parts})])).await.json();
    assert_eq!(
        told["messages"][0]["content"],
        json!([
            {"type": "text", "text": "[[history]]"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}, "title": "a.pdf"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
        ])
    );
}

#[tokio::test]
async fn what_cannot_be_told_is_refused_and_costs_no_process() {
    let claude = claude().warm_processes(1).build();
    claude.warm_up();
    crate::support::chat::until("a warm process", || claude.health().processes.warm == 1).await;
    let image = json!({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}});
    let cases = [
        (messages([user("  ")]), "messages"),
        (messages([system("hi")]), "messages"),
        (messages([user("hi"), assistant("yes")]), "messages"),
        (messages([user("hi"), json!({"role": "user", "content": [image]})]), "messages[1].content[0]"),
    ];
    for (json, param) in cases {
        let error = try_ask(&claude, json).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.param()), (400, Some(param)), "{error}");
        assert_eq!(claude.health().processes.warm, 1, "{error}");
        assert_eq!(claude.health().requests.warm, 0, "{error}");
    }
}

#[tokio::test]
async fn arguments_that_are_no_object_are_told_as_the_cli_itself_keeps_them() {
    for (arguments, input) in [
        (r#"{"path":"a.t"#, json!({"__unparsedToolInput": {"raw": r#"{"path":"a.t"#, "len": 12}})),
        ("[1]", json!({"__unparsedToolInput": {"raw": "[1]", "len": 3}})),
        (r#"{"path":"\ud800"}"#, json!({"path": "\u{fffd}"})),
    ] {
        let history =
            [user("x"), called("c", "f", arguments), result("c", "cut"), assistant("oh"), user("[[history]]")];
        let told = ask(&claude().build(), messages(history)).await.json();
        assert_eq!(told["messages"][1]["content"][0]["input"], input);
    }
}

#[tokio::test]
async fn a_long_history_is_told_whole() {
    let long = "x".repeat(600_000);
    let history = [user(&long), assistant(&long), user("[[history]]")];
    let told = ask(&claude().build(), messages(history)).await.json();
    for at in 0..2 {
        assert_eq!(told["messages"][at]["content"][0]["text"].as_str().map(str::len), Some(long.len()));
    }
}

/// What the process was told of a conversation of two turns, after another has been answered.
async fn told_after_another(prompt_cache: &str) -> Value {
    let claude = claude().env("STAND_IN_PROMPT_CACHE", prompt_cache).build();
    ask(&claude, messages([user("hello")])).await;
    ask(&claude, messages([system("Terse."), user("q"), assistant("a"), user("[[history]]")])).await.json()
}

#[tokio::test]
async fn a_replay_is_marked_for_the_prompt_cache_before_its_end_which_claude_code_marks() {
    let mark = |ttl: Value| json!([{"type": "text", "text": "q", "cache_control": ttl}]);
    let told = told_after_another("5m").await;
    assert_eq!(told["messages"][0]["content"], mark(json!({"type": "ephemeral"})));
    assert_eq!(told["messages"][2], block("user", "[[history]]"), "the API's other three marks are Claude Code's");
    // It would be refused behind marks for an hour if it were for five minutes.
    let told = told_after_another("1h").await;
    assert_eq!(told["messages"][0]["content"], mark(json!({"type": "ephemeral", "ttl": "1h"})));
}

#[tokio::test]
async fn where_the_api_refuses_the_mark_the_turn_goes_on_without_it() {
    let told = told_after_another("refuse").await;
    assert_eq!(told["messages"][2], block("user", "[[history]]"));
}

#[tokio::test]
async fn a_refusal_is_the_clients_unless_it_is_of_marks_that_were_sent() {
    let refused = |history: Vec<Value>| async move {
        let claude = claude().env("STAND_IN_PROMPT_CACHE", "5m").build();
        ask(&claude, messages([user("hello")])).await;
        let error = try_ask(&claude, messages(history)).await.unwrap_err();
        (error.kind(), claude.status().events.starts)
    };
    // With a mark at its end, another process is not tried because of a refusal of something else.
    let marked = vec![user("q"), assistant("a"), user("[[fail 400]]")];
    assert_eq!(refused(marked).await, (ErrorKind::InvalidRequest, 2));
}

#[tokio::test]
async fn a_refusal_of_marks_is_the_clients_where_none_were_sent() {
    let directory = tempfile::tempdir().unwrap();
    let refusal = json!({"type": "result", "subtype": "success", "is_error": true, "num_turns": 1,
        "api_error_status": 400, "result": "API Error: 400 cache_control: of another's"});
    let lines = directory.path().join("lines");
    std::fs::write(&lines, format!("{refusal}\n")).unwrap();
    let script = format!(
        "[ \"$1\" = --version ] && {{ echo '2.1.328 (Claude Code)'; exit; }}; cat '{}'; exec cat > /dev/null",
        lines.display()
    );
    let claude = claude().program("sh").args(["-c", &script, "sh"]).build();
    let error = try_ask(&claude, messages([user("hello")])).await.unwrap_err();
    assert_eq!((error.kind(), claude.status().events.starts), (ErrorKind::InvalidRequest, 1));
}

#[tokio::test]
async fn a_mark_that_is_not_passed_on_is_named() {
    let marked = json!({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}});
    let said = json!({"role": "user", "content": [marked]});
    let response = call(&claude().build(), request(messages([said]))).await.unwrap();
    assert_eq!(response.headers["x-ignored-parameters"], "cache_control");
    hear(response).await.unwrap();
}

#[tokio::test]
async fn reasoning_that_comes_back_is_told_with_the_name_of_the_model_whose_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("lines");
    for model in ["", "sonnet"] {
        let claude = claude().env("STAND_IN_LOG", &log).build();
        let mut asked = request(messages([user("q"), assistant("a"), user("go on")]));
        asked.model = model.to_owned();
        asked.messages[1].reasoning = vec![Reasoning::signed("Hm.", "c2ln", 0)];
        hear(call(&claude, asked).await.unwrap()).await.unwrap();
        let lines = std::fs::read_to_string(&log).unwrap();
        let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told = lines.rfind(|line| line["type"] == "assistant").unwrap();
        let named = told["message"]["model"].as_str().unwrap();
        assert!(named.starts_with("claude-") && named.contains(if model.is_empty() { "" } else { model }), "{told}");
        assert_eq!(told["message"]["content"][0]["signature"], "c2ln");
    }
}
