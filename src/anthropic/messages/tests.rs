//! Requests as they are understood, and answers as they are written.

use bytes::BytesMut;
use serde_json::{Value, json};

use super::decode::{Decoded, decode};
use super::events::EventEncoder;
use super::message::MessageCollector;
use crate::chat::{Abilities, Content, Message, Reasoning, Role, Thinking, ToolChoice};
use crate::http::door::{Collector, Encoder};
use crate::{ChatEvent, Error, ErrorKind, FinishReason, Usage};

/// A request with these fields beside the ones that each must have.
fn request(fields: Value) -> Result<Decoded, Error> {
    let mut request = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let abilities = Abilities::new().ignores(["context_management", "temperature", "thinking.budget_tokens"]);
    let abilities = abilities.refuses_prefill("End with a user's message.");
    decode(serde_json::from_value(request).unwrap(), abilities)
}

fn refusal(fields: Value) -> (String, String) {
    let error = request(fields).unwrap_err();
    assert_eq!(error.status(), 400);
    (error.param().unwrap_or_default().to_owned(), error.to_string())
}

fn texts(message: &Message) -> Vec<&str> {
    match &message.content {
        Some(Content::Text(text)) => vec![text],
        Some(Content::Parts(parts)) => parts.iter().filter_map(|part| part.as_text()).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_tool_loop_becomes_the_conversations_turns_with_the_models_own_thinking() {
    let messages = json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "ZGF0YQ"},
            {"type": "text", "text": "I look"},
            {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a", "n": 1.0}}
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
                {"type": "text", "text": "gone"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
            ]},
            {"type": "text", "text": "what now?", "cache_control": {"type": "ephemeral"}}
        ]},
        {"role": "system", "content": "It is late."}
    ]);
    let decoded = request(json!({"messages": messages, "system": [{"type": "text", "text": "be terse"}]})).unwrap();
    assert_eq!(decoded.ignored, [""; 0]);
    let request = decoded.request;
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool, Role::User, Role::System]);
    let assistant = &request.messages[2];
    let signed = Reasoning::Signed { text: "hm".to_owned(), signature: "c2ln".to_owned(), place: 0 };
    assert_eq!(assistant.reasoning, [signed, Reasoning::Redacted { data: "ZGF0YQ".to_owned(), place: 0 }]);
    assert_eq!(assistant.calls()[0].function.arguments, r#"{"path":"a","n":1.0}"#);
    let result = &request.messages[3];
    assert_eq!((result.tool_call_id.as_deref(), result.is_error), (Some("toolu_1"), true));
    let Some(Content::Parts(parts)) = &result.content else { panic!("{result:?}") };
    assert_eq!((parts[1].kind.as_str(), &parts[1].extra["source"]["data"]), ("image", &json!("AA==")));
    let Some(Content::Parts(parts)) = &request.messages[4].content else { panic!("{request:?}") };
    assert_eq!(parts[0].extra["cache_control"], json!({"type": "ephemeral"}));
    assert!(request.keeps_blocks);
}

#[test]
fn what_anthropics_servers_put_into_a_history_is_named_and_a_compaction_is_its_summary() {
    let server = |kind: &str, content: Value| json!({"type": kind, "tool_use_id": "srvtoolu_1", "content": content});
    let error = json!({"type": "web_search_tool_result_error", "error_code": "unavailable"});
    let kinds = [
        json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}),
        server("web_search_tool_result", error.clone()),
        server("web_search_tool_result", json!([{"type": "web_search_result", "url": "https://e", "title": "E"}])),
        server("web_fetch_tool_result", json!({"type": "web_fetch_result", "content": {"type": "document"}})),
        server("bash_code_execution_tool_result", json!({"type": "bash_code_execution_result", "stdout": "x"})),
        server("text_editor_code_execution_tool_result", json!({"type": "text_editor_code_execution_view_result"})),
        server("advisor_tool_result", json!({"type": "advisor_result", "text": "x"})),
        json!({"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "f", "server_name": "s", "input": {}}),
        json!({"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": false, "content": [
            {"type": "text", "text": "x"}]}),
        json!({"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}),
        server("of_tomorrow_tool_result", json!({"type": "of_tomorrow", "found": [1]})),
    ];
    for block in kinds {
        let said = json!([{"type": "text", "text": "a"}, block, {"type": "text", "text": "b"}]);
        let messages = json!([{"role": "assistant", "content": said}, {"role": "user", "content": "and?"}]);
        let decoded = request(json!({"messages": messages})).unwrap();
        assert_eq!(texts(&decoded.request.messages[0]), ["a", "b"], "{block}");
        assert_eq!(decoded.ignored, [format!("messages[].content[].{}", block["type"].as_str().unwrap())]);
    }
    let upload = json!([{"type": "container_upload", "file_id": "file_1"}, {"type": "text", "text": "hi"}]);
    let decoded = request(json!({"messages": [{"role": "user", "content": upload}]})).unwrap();
    assert_eq!(texts(&decoded.request.messages[0]), ["hi"]);
    assert_eq!(decoded.ignored, ["messages[].content[].container_upload"]);

    for (summary, said, named) in
        [(json!("So far."), vec!["So far.", "a"], ""), (Value::Null, vec!["a"], "messages[].content[].compaction")]
    {
        let said_then = json!([{"type": "compaction", "content": summary}, {"type": "text", "text": "a"}]);
        let messages = json!([{"role": "assistant", "content": said_then}, {"role": "user", "content": "and?"}]);
        let decoded = request(json!({"messages": messages})).unwrap();
        assert_eq!((texts(&decoded.request.messages[0]), decoded.ignored.concat()), (said, named.to_owned()));
    }
}

#[test]
fn messages_of_one_role_beside_each_other_are_one() {
    let call = |id: &str| {
        json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": id, "signature": "c2ln"},
            {"type": "text", "text": id},
            {"type": "tool_use", "id": id, "name": "f", "input": {}}
        ]})
    };
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": id});
    let user = |content: Value| json!({"role": "user", "content": content});
    for results in [
        vec![user(json!([result("a"), result("b")])), user(json!("so?"))],
        vec![user(json!([result("a")])), user(json!([result("b"), {"type": "text", "text": "so?"}]))],
        vec![user(json!("so?")), user(json!([result("a"), result("b")]))],
    ] {
        let messages = [vec![user(json!("go")), call("a"), call("b")], results].concat();
        let messages = request(json!({"messages": messages})).unwrap().request.messages;
        let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::Tool, Role::User]);
        let both = &messages[1];
        let ids: Vec<&str> = both.calls().iter().map(|call| call.id.as_str()).collect();
        assert_eq!((ids, texts(both)), (vec!["a", "b"], vec!["a", "b"]));
        assert_eq!(both.reasoning, [Reasoning::signed("a", "c2ln", 0), Reasoning::signed("b", "c2ln", 2)]);
    }
    let unanswered = json!([user(json!("go")), call("a"), call("b"), user(json!([result("b")]))]);
    let (param, message) = refusal(json!({"messages": unanswered}));
    assert!(param == "messages.2" && message.contains("\"a\""), "{param} {message}");
}

#[test]
fn a_conversation_that_is_too_long_is_told_in_anthropics_words() {
    let error = Error::new(ErrorKind::ContextLengthExceeded, "So many tokens.").with_param("messages");
    let body = crate::anthropic::error::body(&error, None);
    assert_eq!(body["error"]["message"], "prompt is too long: So many tokens.");
}

#[test]
fn the_accounting_line_of_claude_code_as_a_client_is_left_out_and_named() {
    let system = json!([
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.328.30b; cc_entrypoint=sdk-cli;"},
        {"type": "text", "text": "You are a Claude agent."}
    ]);
    let user_id = json!({"device_id": "d", "session_id": "s-1"}).to_string();
    let decoded =
        request(json!({"system": system, "metadata": {"user_id": user_id}, "context_management": {"edits": []}}));
    let decoded = decoded.unwrap();
    assert_eq!(texts(&decoded.request.messages[0]), ["You are a Claude agent."]);
    assert_eq!(decoded.ignored, ["context_management", "system[0]"]);
    assert_eq!(decoded.request.caller.session.as_deref(), Some("s-1"));
}

#[test]
fn settings_mean_what_they_mean_to_the_api() {
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}, "defer_loading": true, "strict": true}]);
    let decoded = request(json!({
        "tools": tools,
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 2048, "display": "summarized"},
        "stop_sequences": ["a", "b", "c", "d", "e"],
        "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "temperature": 0.5
    }))
    .unwrap();
    let request = decoded.request;
    assert_eq!(request.tool_choice, Some(ToolChoice::Function("f".to_owned())));
    assert_eq!(request.parallel_tool_calls, Some(false));
    assert_eq!((request.thinking, request.summarizes_reasoning), (Some(Thinking::Budget(2048)), true));
    assert_eq!(request.stop.len(), 5);
    assert_eq!((request.reasoning_effort.as_deref(), request.token_limit()), (Some("max"), Some(9)));
    assert_eq!(request.response_format.unwrap().kind, "json_schema");
    let ignored = ["temperature", "tools[].defer_loading", "tools[].strict", "thinking.budget_tokens"];
    assert_eq!(decoded.ignored, ignored);
    assert_eq!(
        self::request(json!({"thinking": {"type": "disabled"}})).unwrap().request.thinking,
        Some(Thinking::Disabled)
    );
}

#[test]
fn tools_that_anthropic_defines_and_the_client_runs_are_functions_with_their_documented_schemas() {
    let tools = json!([
        {"type": "bash_20250124", "name": "bash", "cache_control": {"type": "ephemeral"}},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 9},
        {"type": "text_editor_20250124", "name": "str_replace_editor"},
        {"type": "memory_20250818", "name": "memory"},
    ]);
    let choice = json!({"type": "tool", "name": "memory"});
    let decoded = request(json!({"tools": tools, "tool_choice": choice})).unwrap();
    let parameters = |function: &crate::chat::Function, name: &str| {
        function.parameters.as_ref().unwrap()["properties"].get(name).cloned()
    };
    let functions: Vec<_> = decoded.request.functions().collect();
    let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["bash", "str_replace_based_edit_tool", "str_replace_editor", "memory"]);
    assert!(functions.iter().all(|function| function.description.is_some()));
    for (function, has, has_not) in [
        (functions[0], &["command", "restart"][..], "path"),
        (functions[1], &["command", "path", "view_range", "insert_text"], "old_path"),
        (functions[2], &["command", "path", "new_str", "insert_line"], "insert_text"),
        (functions[3], &["command", "path", "insert_text", "old_path", "new_path"], "restart"),
    ] {
        assert!(has.iter().all(|name| parameters(function, name).is_some()), "{function:?}");
        assert_eq!(parameters(function, has_not), None, "{function:?}");
    }
    let commands = |function| parameters(function, "command").unwrap()["enum"].as_array().unwrap().len();
    assert_eq!([1, 2, 3].map(|i| commands(functions[i])), [4, 5, 6]);
    assert_eq!(decoded.request.tools.as_ref().unwrap()[0].extra["cache_control"]["type"], "ephemeral");
    assert_eq!(decoded.request.tool_choice, Some(ToolChoice::Function("memory".to_owned())));
    assert_eq!(decoded.ignored, ["tools[].max_characters"]);
}

#[test]
fn a_call_keeps_its_mark_for_the_prompt_cache() {
    let mark = json!({"type": "ephemeral"});
    let call = json!([{"type": "tool_use", "id": "t", "name": "f", "input": {}, "cache_control": mark}]);
    let result = json!([{"type": "tool_result", "tool_use_id": "t"}]);
    let messages = json!([
        {"role": "user", "content": "go"}, {"role": "assistant", "content": call}, {"role": "user", "content": result}
    ]);
    let decoded = request(json!({"messages": messages})).unwrap();
    assert_eq!(decoded.request.messages[1].calls()[0].extra["cache_control"], mark);
}

#[test]
fn the_web_is_searched_by_a_service_that_has_a_tool_for_it() {
    let tools = json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]);
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "tools": tools});
    let decoded =
        decode(serde_json::from_value(body).unwrap(), Abilities::new().honours(["tools.web_search"])).unwrap();
    assert_eq!(decoded.request.functions().count(), 0);
    assert_eq!(decoded.ignored, ["tools[].max_uses"]);
}

#[test]
fn what_cannot_be_done_is_refused_by_its_path() {
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]});
    for (fields, param, says) in [
        (json!({"tools": [{"type": "bash_20250124", "name": "shell"}]}), "tools.0.name", "'bash'"),
        (
            json!({"tools": [{"type": "computer_20250124", "name": "computer"}]}),
            "tools.0.type",
            "\"computer_20250124\"",
        ),
        (
            json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            "tools.0.type",
            "web_search_20250305",
        ),
        (json!({"mcp_servers": [{"url": "https://e"}]}), "mcp_servers", "MCP"),
        (json!({"thread": {"type": "create"}}), "thread", "full conversation"),
        (
            json!({"messages": [{"role": "user", "content": "go"}, call, user(json!([
                {"type": "tool_result", "tool_use_id": "t", "content": {"type": "text"}}]))["messages"][0]]}),
            "messages.2.content.0.content",
            "array of blocks",
        ),
        (json!({"max_tokens": 0}), "max_tokens", "greater than or equal to 1"),
        (json!({"messages": []}), "messages", "at least one message"),
        (json!({"messages": [{"role": "assistant", "content": "Sure"}]}), "messages", "prefill"),
        (user(json!([{"type": "tool_result", "tool_use_id": "t"}])), "messages.0.content.0.tool_use_id", "unexpected"),
        (json!({"messages": [call, {"role": "user", "content": "?"}]}), "messages.0", "without `tool_result`"),
        (user(json!([{"type": "image"}])), "messages.0.content.0.source", "Field required"),
        (
            user(json!([{"type": "image", "source": {"type": "file", "file_id": "f"}}])),
            "messages.0.content.0.source",
            "Files API",
        ),
        (
            user(json!([{"type": "document", "source": {"type": "url", "url": "file:///etc/passwd"}}])),
            "messages.0.content.0.source.url",
            "https://",
        ),
        (user(json!([{"type": "of_tomorrow"}])), "messages.0.content.0.type", "of_tomorrow"),
        (json!({"tool_choice": {"type": "tool", "name": "f"}}), "tool_choice.name", "not found"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": 1}}), "thinking.budget_tokens", "1024"),
        (json!({"output_config": {"effort": "all"}}), "output_config.effort", "low, medium"),
        (json!({"stop_sequences": [" "]}), "stop_sequences.0", "non-whitespace"),
    ] {
        let (found, message) = refusal(fields.clone());
        assert_eq!(found, param, "{fields}");
        assert!(message.contains(says), "{fields}: {message}");
    }
}

fn usage() -> Usage {
    Usage {
        prompt_tokens: 100,
        cached_tokens: 60,
        cache_write_tokens: 30,
        cache_write_1h_tokens: 10,
        completion_tokens: 7,
        reasoning_tokens: 2,
    }
}

fn answer() -> Vec<ChatEvent> {
    let call = |index, id: &str| ChatEvent::ToolCallStart { index, id: id.to_owned(), name: "f".to_owned() };
    let arguments = |index, text: &str| ChatEvent::ToolCallDelta { index, arguments: text.to_owned() };
    vec![
        ChatEvent::Started,
        ChatEvent::Usage(Usage { completion_tokens: 1, reasoning_tokens: 0, ..usage() }),
        ChatEvent::ReasoningBlockStart,
        ChatEvent::ReasoningDelta("hm".to_owned()),
        ChatEvent::ReasoningSignature("c2ln".to_owned()),
        ChatEvent::RedactedReasoning("ZGF0YQ".to_owned()),
        ChatEvent::TextBlockStart,
        ChatEvent::TextDelta("I \"look\"".to_owned()),
        ChatEvent::Citation(json!({"type": "char_location"})),
        ChatEvent::TextBlockStart,
        ChatEvent::TextDelta("there".to_owned()),
        call(0, "a"),
        arguments(0, "{\"x\":"),
        arguments(0, "1}"),
        call(1, "b"),
        arguments(1, "{}"),
        ChatEvent::Finished { reason: FinishReason::ToolCalls, usage: usage() },
    ]
}

/// What a client gets as server-sent events: the data of each, whose name is its type.
fn streamed(events: Vec<ChatEvent>, shows_thinking: bool) -> Vec<Value> {
    let mut encoder = EventEncoder::new("msg_1".to_owned(), "m".to_owned(), shows_thinking, None);
    let mut out = BytesMut::new();
    encoder.start(&mut out);
    events.into_iter().for_each(|event| encoder.event(0, event, &mut out).unwrap());
    encoder.end(&mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    let events = text.split_terminator("\n\n").map(|event| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        data
    });
    events.filter(|event| event["type"] != "ping").collect()
}

#[test]
fn what_a_layer_tells_as_reasoning_is_no_block_where_thinking_is_not_shown() {
    let done = ChatEvent::Finished { reason: FinishReason::Stop, usage: usage() };
    let events = [ChatEvent::ReasoningDelta("exec: ls".to_owned()), ChatEvent::TextDelta("ok".to_owned()), done];
    let begun = |shown: bool| {
        let events = streamed(events.to_vec(), shown).into_iter();
        let begun = events.filter(|event| event["type"] == "content_block_start");
        begun.map(|event| event["content_block"]["type"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((begun(false), begun(true)), (vec![json!("text")], vec![json!("thinking"), json!("text")]));
}

#[test]
fn a_stream_has_the_apis_events_in_its_order_and_loses_nothing() {
    let block =
        |index: u32, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u32, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: u32| json!({"type": "content_block_stop", "index": index});
    let counts = |output: u64, thinking: u64| {
        json!({"input_tokens": 10, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 60,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
            "output_tokens": output, "output_tokens_details": {"thinking_tokens": thinking}})
    };
    // Anthropic's type of it has no lifetimes of the cache at a stream's end.
    let mut final_counts = counts(7, 2);
    final_counts.as_object_mut().unwrap().remove("cache_creation");
    let text = json!({"type": "text", "text": ""});
    let expected = vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [], "stop_reason": null, "stop_sequence": null, "stop_details": null, "usage": counts(1, 0)}}),
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        delta(0, json!({"type": "signature_delta", "signature": "c2ln"})),
        stop(0),
        block(1, json!({"type": "redacted_thinking", "data": "ZGF0YQ"})),
        stop(1),
        block(2, text.clone()),
        delta(2, json!({"type": "text_delta", "text": "I \"look\""})),
        delta(2, json!({"type": "citations_delta", "citation": {"type": "char_location"}})),
        stop(2),
        block(3, text),
        delta(3, json!({"type": "text_delta", "text": "there"})),
        stop(3),
        block(4, json!({"type": "tool_use", "id": "a", "name": "f", "input": {}})),
        delta(4, json!({"type": "input_json_delta", "partial_json": "{\"x\":"})),
        delta(4, json!({"type": "input_json_delta", "partial_json": "1}"})),
        stop(4),
        block(5, json!({"type": "tool_use", "id": "b", "name": "f", "input": {}})),
        delta(5, json!({"type": "input_json_delta", "partial_json": "{}"})),
        stop(5),
        json!({"type": "message_delta", "usage": final_counts,
            "delta": {"stop_reason": "tool_use", "stop_sequence": null, "stop_details": null}}),
        json!({"type": "message_stop"}),
    ];
    assert_eq!(streamed(answer(), true), expected);
}

#[test]
fn a_client_that_omits_thinking_gets_its_signature_alone() {
    let hidden = streamed(answer(), false);
    assert!(!hidden.iter().any(|event| event["delta"]["type"] == "thinking_delta"));
    assert!(hidden.iter().any(|event| event["delta"]["signature"] == "c2ln"));
}

#[test]
fn a_stop_sequence_is_told_by_name() {
    let events = vec![
        ChatEvent::TextDelta("one ".to_owned()),
        ChatEvent::StopMatched("END".to_owned()),
        ChatEvent::Finished { reason: FinishReason::Stop, usage: usage() },
    ];
    let delta = streamed(events, false).into_iter().rev().nth(1).unwrap();
    assert_eq!(delta["delta"], json!({"stop_reason": "stop_sequence", "stop_sequence": "END", "stop_details": null}));
}

#[tokio::test]
async fn a_plain_answer_has_the_blocks_of_the_stream() {
    use http_body_util::BodyExt;

    let mut collector = Box::new(MessageCollector::new("msg_1".to_owned(), "m".to_owned(), true));
    answer().into_iter().for_each(|event| collector.event(0, event).unwrap());
    let body = collector.finish().unwrap().collect().await.unwrap().to_bytes();
    let message: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        message["content"],
        json!([
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "ZGF0YQ"},
            {"type": "text", "text": "I \"look\"", "citations": [{"type": "char_location"}]},
            {"type": "text", "text": "there"},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "b", "name": "f", "input": {}}
        ])
    );
    assert_eq!((&message["stop_reason"], &message["id"]), (&json!("tool_use"), &json!("msg_1")));
}
