//! Given a request with this field, or this conversation, to Claude Code: it is let through, ignored by name, or refused
//! with its place.

use std::fmt::Write as _;

use crate::support::snapshot::assert_snapshot;
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value, json};
use tower::ServiceExt;
use tower_claude::cli::ClaudeCli;
use tower_claude::http::ApiService;
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream, FinishReason, Usage};

/// A request that says "hi", and these fields.
fn request(fields: Value) -> Value {
    let mut request = json!({"model": "opus", "messages": [{"role": "user", "content": "hi"}]});
    request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    request
}

fn request_with(name: &str, value: Value) -> Value {
    request(Value::Object(Map::from_iter([(name.to_owned(), value)])))
}

fn conversation(messages: Value) -> Value {
    request(json!({"messages": messages}))
}

fn user(part: Value) -> Value {
    conversation(json!([{"role": "user", "content": [part]}]))
}

fn image(url: &str) -> Value {
    user(json!({"type": "image_url", "image_url": {"url": url}}))
}

fn file(data: &str) -> Value {
    user(json!({"type": "file", "file": {"filename": "f", "file_data": data}}))
}

fn function(name: &str, parameters: Value) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": parameters}})
}

/// An assistant message with a call of each of these ids.
fn calls(ids: &[&str]) -> Value {
    let call = |id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    json!({"role": "assistant", "content": null, "tool_calls": ids.iter().map(call).collect::<Vec<_>>()})
}

fn result(id: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": "done"})
}

fn hi() -> Value {
    json!({"role": "user", "content": "hi"})
}

/// What a request is answered with that is not let through.
#[derive(Debug, PartialEq)]
struct Refusal {
    status: u16,
    error: Value,
}

/// The names of the fields without effect, or the refusal, where Claude Code would have to answer.
fn checked(request: &Value) -> Result<Vec<String>, Refusal> {
    let inner = tower::service_fn(|request: ChatRequest| async move {
        let done = ChatEvent::finished(FinishReason::Stop, Usage::default());
        Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter([done])))
    });
    let api = ApiService::new(inner).abilities(ClaudeCli::abilities());
    let request =
        http::Request::post("/v1/chat/completions").body(Full::<bytes::Bytes>::from(request.to_string())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let response = api.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        if status == 200 {
            let names = response.headers().get("x-ignored-parameters").map(|names| names.to_str().unwrap());
            return Ok(names.into_iter().flat_map(|names| names.split(", ")).map(str::to_owned).collect());
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Err(Refusal { status, error: serde_json::from_slice::<Value>(&body).unwrap()["error"].take() })
    })
}

/// What becomes of a field.
enum Treatment {
    Accepted,
    Ignored,
    Refused,
}
use Treatment::{Accepted, Ignored, Refused};

/// The fields that are not honoured, each with a value that asks for something.
fn samples() -> Vec<(&'static str, Value, Treatment)> {
    vec![
        ("audio", json!({"voice": "alloy", "format": "wav"}), Refused),
        ("frequency_penalty", json!(0.5), Ignored),
        ("function_call", json!({"name": "f"}), Refused),
        ("functions", json!([{"name": "f"}]), Refused),
        ("logit_bias", json!({"50256": -100}), Ignored),
        ("logprobs", json!(true), Refused),
        ("metadata", json!({"job": "1"}), Accepted),
        ("modalities", json!(["text", "audio"]), Refused),
        ("moderation", json!({"model": "omni-moderation-latest"}), Refused),
        ("prediction", json!({"type": "content", "content": "x"}), Ignored),
        ("presence_penalty", json!(-0.5), Ignored),
        ("prompt_cache_options", json!({"mode": "explicit"}), Ignored),
        ("prompt_cache_retention", json!("24h"), Ignored),
        ("safety_identifier", json!("someone"), Accepted),
        ("seed", json!(7), Ignored),
        ("service_tier", json!("flex"), Ignored),
        ("store", json!(true), Accepted),
        ("temperature", json!(1), Ignored),
        ("top_logprobs", json!(3), Refused),
        ("top_p", json!(0.9), Ignored),
        ("user", json!("someone"), Accepted),
        ("verbosity", json!("low"), Ignored),
        ("web_search_options", json!({}), Refused),
    ]
}

#[test]
fn every_field_that_is_not_honoured_is_accepted_named_or_refused() {
    for (name, value, treatment) in samples() {
        let answer = checked(&request_with(name, value));
        match treatment {
            Accepted => assert_eq!(answer, Ok(vec![]), "{name}"),
            Ignored => assert_eq!(answer, Ok(vec![name.to_owned()])),
            Refused => {
                let Refusal { status, error } = answer.expect_err(name);
                assert_eq!(
                    (status, &error["param"], &error["code"]),
                    (400, &json!(name), &json!("unsupported_parameter"))
                );
            }
        }
    }
}

#[test]
fn a_value_that_asks_for_nothing_is_let_through_in_silence() {
    for (name, value) in [
        ("function_call", json!("auto")),
        ("function_call", json!("none")),
        ("functions", json!([])),
        ("logprobs", json!(false)),
        ("modalities", json!(["text"])),
        ("modalities", json!([])),
        ("top_logprobs", json!(0)),
    ] {
        assert_eq!(checked(&request_with(name, value)), Ok(vec![]), "{name}");
    }
}

#[test]
fn every_honoured_field_is_let_through_in_silence() {
    let request = request(json!({
        "tools": [function("f", json!({"type": "object", "properties": {}})), {"type": "function", "function": {"name": "g-1_"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": false,
        "stream": true,
        "stream_options": {"include_usage": true, "include_obfuscation": false},
        "max_tokens": 1,
        "max_completion_tokens": 1,
        "stop": ["a", "b", "c", "d"],
        "reasoning_effort": "xhigh",
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "strict": true, "schema": {"type": "object"}}},
        "n": 8,
        "prompt_cache_key": "k"
    }));
    assert_eq!(checked(&request), Ok(vec![]));
}

#[test]
fn a_field_that_is_null_counts_as_absent() {
    for (name, ..) in samples() {
        assert_eq!(checked(&request_with(name, Value::Null)), Ok(vec![]), "{name}");
    }
    assert_eq!(checked(&request_with("of_tomorrow", Value::Null)), Ok(vec![]));
}

#[test]
fn fields_without_effect_are_named_in_the_order_of_the_request_and_those_inside_of_it_after_them() {
    let part = json!({"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}, "x": 1});
    let image = json!({"type": "image_url", "image_url": {"url": "https://e/x.png", "detail": "low"}});
    let request = json!({
        "of_tomorrow": {},
        "model": "opus",
        "top_p": 0.5,
        "messages": [
            {"role": "user", "content": [part, part, image], "of_tomorrow": 1},
            {"role": "assistant", "content": "a", "reasoning_content": "r", "annotations": []},
            {"role": "user", "content": "b"}
        ],
        "stream_options": {"of_tomorrow": 1},
        "seed": 1,
        "tools": [{"type": "function", "function": {"name": "f", "x": 1}}]
    });
    let expected = [
        "of_tomorrow",
        "top_p",
        "seed",
        "stream_options.of_tomorrow",
        "tools[].function.x",
        "messages[].content[].x",
        "messages[].content[].image_url.detail",
        "messages[].of_tomorrow",
        "messages[].reasoning_content",
    ];
    assert_eq!(checked(&request).unwrap(), expected);
}

#[test]
fn conversations_as_clients_send_them_are_let_through() {
    let noted = json!({"role": "developer", "content": "a note"});
    let shown = json!({"role": "tool", "tool_call_id": "a", "content": [
        {"type": "text", "text": "t"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
    ]});
    let bare = json!({"role": "assistant", "tool_calls": [
        {"id": "a", "function": {"name": "f", "arguments": ""}}
    ]});
    let cut = json!({"role": "assistant", "tool_calls": [
        {"id": "a", "function": {"name": "f", "arguments": "{\"a\":\"b"}},
        {"id": "b", "function": {"name": "f", "arguments": "[\"\\ud800\"]"}}
    ]});
    for (case, messages) in [
        ("several users in a row", json!([hi(), hi()])),
        ("a system message alone", json!([{"role": "system", "content": "be brief"}])),
        ("a system message last", json!([hi(), {"role": "system", "content": "be brief"}])),
        ("an assistant who said nothing", json!([hi(), {"role": "assistant", "content": null}, hi()])),
        ("an assistant who refused", json!([hi(), {"role": "assistant", "refusal": "no"}, hi()])),
        (
            "refusal parts",
            json!([hi(), {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, hi()]),
        ),
        ("an assistant first", json!([{"role": "assistant", "content": "hello"}, hi()])),
        ("results in another order", json!([hi(), calls(&["a", "b"]), result("b"), result("a")])),
        ("ids stripped on one side", json!([hi(), calls(&["call_a-1"]), result("calla1"), hi()])),
        ("ids cut on one side", json!([hi(), calls(&[&"x".repeat(50)]), result(&"x".repeat(40)), hi()])),
        ("a note between results", json!([hi(), calls(&["a", "b"]), result("a"), noted, result("b"), hi()])),
        ("one id in two rounds", json!([hi(), calls(&["a"]), result("a"), calls(&["a"]), result("a")])),
        ("no arguments, no type, an image", json!([hi(), bare, shown])),
        ("arguments that are no object", json!([hi(), cut, result("a"), result("b")])),
        ("an empty list of calls", json!([hi(), {"role": "assistant", "content": "a", "tool_calls": []}, hi()])),
        ("an empty result", json!([hi(), calls(&["a"]), {"role": "tool", "tool_call_id": "a", "content": ""}])),
        ("contents of nothing", json!([{"role": "system", "content": null}, {"role": "user", "content": []}, hi()])),
        ("names", json!([{"role": "user", "name": "ann", "content": "hi"}])),
    ] {
        assert_eq!(checked(&conversation(messages)), Ok(vec![]), "{case}");
    }
    for url in [
        "data:image/jpeg;base64,AAAA",
        "data:image/jpg;base64,AAAA",
        "data:image/gif;base64,AAAA",
        "data:image/webp;base64,AAAA",
        "https://e/x",
    ] {
        assert_eq!(checked(&image(url)), Ok(vec![]), "{url}");
    }
    for data in
        ["data:application/pdf;base64,AAAA", "data:text/csv;base64,aGk=", "data:text/plain;charset=utf-8;base64,aGk="]
    {
        assert_eq!(checked(&file(data)), Ok(vec![]), "{data}");
    }
    for format in ["text", "json_object"] {
        assert_eq!(checked(&request(json!({"response_format": {"type": format}}))), Ok(vec![]), "{format}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_with_its_place_and_advice() {
    let mut snapshot = String::new();
    let fields = samples().into_iter().map(|(name, value, _)| request_with(name, value));
    for request in fields.filter(|request| checked(request).is_err()).chain(refusals()) {
        let shown = serde_json::to_string(&request).unwrap();
        let shown = shown.strip_prefix(r#"{"model":"opus","#).unwrap();
        let shown = shown.strip_prefix(r#""messages":[{"role":"user","content":"hi"}],"#).unwrap_or(shown);
        let shown =
            if shown.len() > 400 { format!("{}... ({} bytes)", &shown[..200], shown.len()) } else { shown.to_owned() };
        let Err(Refusal { status, error }) = checked(&request) else { panic!("let through: {shown}") };
        let kind = error["code"].as_str().unwrap_or("invalid");
        writeln!(snapshot, "{{{shown}\n  {status} {kind} {}", error["param"].as_str().unwrap()).unwrap();
        writeln!(snapshot, "  {}\n", error["message"].as_str().unwrap()).unwrap();
    }
    let sentence =
        "What a request has beside a model and one message, and how that is refused: status, code, place, advice.";
    assert_snapshot!("http/field_refusals", sentence, snapshot);
}

/// Requests beyond the table's own that must be refused.
fn refusals() -> Vec<Value> {
    let schema = |schema: Value| {
        let named = json!({"name": "s", "schema": schema});
        request(json!({"response_format": {"type": "json_schema", "json_schema": named}}))
    };
    let call = |call: Value| conversation(json!([hi(), {"role": "assistant", "tool_calls": [call]}, result("a")]));
    let tools = |tools: Value| request(json!({"tools": tools}));
    let many: Vec<Value> = (0..129).map(|i| function(&format!("f{i}"), json!({}))).collect();
    let long = "n".repeat(65);
    vec![
        request(json!({"temperature": "hot"})),
        request(json!({"seed": 1.5})),
        request(json!({"n": 0})),
        request(json!({"n": 9})),
        request(json!({"max_tokens": 0})),
        request(json!({"max_completion_tokens": 0})),
        request(json!({"stop": ["a", "b", "c", "d", "e"]})),
        request(json!({"stop": ["a", ""]})),
        request(json!({"stop": ""})),
        request(json!({"reasoning_effort": "huge"})),
        request(json!({"response_format": {"type": "xml"}})),
        request(json!({"response_format": {"type": "json_schema"}})),
        request(json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}})),
        schema(json!("object")),
        schema(json!({"type": "array"})),
        schema(json!({"type": ["object", "null"]})),
        schema(json!({"type": "object", "properties": ["a"]})),
        tools(json!(many)),
        tools(json!([{"type": "web", "function": {"name": "f"}}])),
        tools(json!([function("", json!({}))])),
        tools(json!([function("a.b", json!({}))])),
        tools(json!([function(&long, json!({}))])),
        tools(json!([function("f", json!({})), function("f", json!({}))])),
        tools(json!([function("f", json!(true))])),
        tools(json!([function("f", json!({"type": "string"}))])),
        tools(json!([function("f", json!({"properties": null}))])),
        request(json!({"tool_choice": "required"})),
        request(
            json!({"tool_choice": {"type": "function", "function": {"name": "g"}}, "tools": [function("f", json!({}))]}),
        ),
        request(json!({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}})),
        conversation(json!([])),
        conversation(json!([hi(), {"role": "assistant", "content": "so I"}])),
        conversation(json!([hi(), {"role": "function", "name": "f", "content": "x"}])),
        conversation(json!([{"role": "user", "content": "hi", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ]}])),
        conversation(
            json!([hi(), {"role": "assistant", "content": "a", "function_call": {"name": "f", "arguments": ""}}, hi()]),
        ),
        conversation(json!([hi(), {"role": "assistant", "audio": {"id": "audio_1"}}, hi()])),
        conversation(json!([{"role": "user"}])),
        conversation(json!([{"role": "user", "content": null}])),
        conversation(json!([{"role": "user", "content": []}])),
        call(json!({"id": "a", "type": "custom", "function": {"name": "f", "arguments": "{}"}})),
        call(json!({"id": "a", "type": "function", "function": {"name": "", "arguments": "{}"}})),
        call(json!({"id": "--", "type": "function", "function": {"name": "f", "arguments": "{}"}})),
        conversation(json!([hi(), calls(&["a_b", "a-b"]), result("a_b")])),
        conversation(json!([hi(), calls(&["a"]), {"role": "tool", "content": "x"}])),
        conversation(json!([hi(), calls(&["a"]), {"role": "tool", "tool_call_id": "a"}])),
        conversation(json!([hi(), result("a")])),
        conversation(json!([hi(), calls(&["a"]), result("b")])),
        conversation(json!([hi(), calls(&["a"]), result("a"), hi(), result("a")])),
        conversation(json!([hi(), calls(&["a"]), result("a"), result("a")])),
        conversation(json!([hi(), calls(&["a", "b", "c"]), result("b")])),
        conversation(json!([hi(), calls(&["a", "b"]), result("a"), hi()])),
        conversation(json!([hi(), calls(&["a"]), {"role": "assistant", "content": "x"}, result("a")])),
        user(json!({"type": "text"})),
        user(json!({"type": "refusal", "refusal": "no"})),
        user(json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})),
        user(json!({"type": "video_url"})),
        user(json!({"type": "image_url"})),
        image("file:///etc/passwd"),
        image("http://e/x.png"),
        image("https:///x.png"),
        image("/etc/passwd"),
        image(""),
        image("data:image/svg+xml;base64,AAAA"),
        image("data:image/png;base64,"),
        image("data:image/png;base64,A-_="),
        image("data:image/png,AAAA"),
        user(json!({"type": "file"})),
        user(json!({"type": "file", "file": {"filename": "f.pdf"}})),
        user(json!({"type": "file", "file": {"file_id": "file-1"}})),
        file("JVBERi0="),
        file("data:application/zip;base64,AAAA"),
        file("data:text/plain;base64,//79"),
        conversation(
            json!([{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "https://e/x"}}]}, hi()]),
        ),
        conversation(json!([hi(), {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}, hi()])),
        conversation(json!([hi(), calls(&["a"]), {"role": "tool", "tool_call_id": "a", "content": [
            {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk="}}
        ]}])),
    ]
}
