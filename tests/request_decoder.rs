//! Given any bytes at all: the decoder and the checks behind it answer, and what they take they give back unchanged.
//!
//! `PROPTEST_CASES` says how many of each are tried (256 by default).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use tower_claude::ChatRequest;
use tower_claude::openai::fields::{FIELDS, check};

/// Names that mean something somewhere in a request, so that random JSON gets past the first line of defence.
const NAMES: [&str; 26] = [
    "type",
    "text",
    "role",
    "content",
    "function",
    "name",
    "arguments",
    "parameters",
    "properties",
    "id",
    "tool_calls",
    "tool_call_id",
    "image_url",
    "url",
    "file",
    "file_data",
    "file_id",
    "json_schema",
    "schema",
    "allowed_tools",
    "mode",
    "tools",
    "include_usage",
    "refusal",
    "detail",
    "x",
];
const WORDS: [&str; 30] = [
    "",
    "a",
    "user",
    "assistant",
    "system",
    "developer",
    "tool",
    "function",
    "text",
    "image_url",
    "file",
    "refusal",
    "input_audio",
    "json_schema",
    "json_object",
    "object",
    "auto",
    "none",
    "required",
    "allowed_tools",
    "{}",
    "{\"a\":1}",
    "data:image/png;base64,AAAA",
    "data:text/plain;base64,aGk=",
    "data:,",
    "https://e/x",
    "file:///x",
    "é→",
    "call_1",
    "low",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..12).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(&WORDS[..]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(&NAMES[..]), inner), 0..4).prop_map(|fields| object(&fields)),
        ]
    })
}

fn object(fields: &[(&str, Value)]) -> Value {
    Value::Object(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn call() -> impl Strategy<Value = Value> {
    (select(&["a", "b", "call_1", "--"][..]), select(&["f", ""][..]), select(&["{}", "", "[]", "{\"a\":[1]}"][..])).prop_map(
        |(id, name, arguments)| {
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
        },
    )
}

fn part() -> impl Strategy<Value = Value> {
    (select(&["text", "input_text", "refusal", "image_url", "file", "input_audio", "x"][..]), select(&WORDS[..]))
        .prop_map(|(kind, word)| match kind {
            "image_url" => json!({"type": kind, "image_url": {"url": word}}),
            "file" => json!({"type": kind, "file": {"file_data": word}}),
            "refusal" => json!({"type": kind, "refusal": word}),
            _ => json!({"type": kind, "text": word, "x": word}),
        })
}

/// A message that decodes, whether or not it makes sense.
fn message() -> impl Strategy<Value = Value> {
    let role = select(&["system", "developer", "user", "assistant", "tool", "function"][..]);
    let content =
        prop_oneof![Just(Value::Null), any::<String>().prop_map(Value::from), vec(part(), 0..4).prop_map(Value::from),];
    let id = select(&["a", "b", "call1"][..]);
    (role, content, vec(call(), 0..3), id, value()).prop_map(|(role, content, calls, id, other)| {
        let mut message = json!({"role": role, "content": content});
        match role {
            "assistant" => message["tool_calls"] = calls.into(),
            "tool" => message["tool_call_id"] = id.into(),
            _ => message["of_tomorrow"] = other,
        }
        message
    })
}

/// A request that decodes, whether or not it makes sense.
fn request() -> impl Strategy<Value = Value> {
    let settings = (0u32..12, 0u32..3, vec(select(&WORDS[..]), 0..6), select(&WORDS[..]), any::<bool>());
    let unknown = vec((select(&["top_p", "seed", "user", "logprobs", "x", "of_tomorrow"][..]), value()), 0..3);
    (vec(message(), 0..8), settings, unknown, vec(select(&["f", "g", ""][..]), 0..3), value()).prop_map(
        |(messages, (n, limit, stop, word, stream), unknown, names, parameters)| {
            let tools: Vec<Value> = names
                .iter()
                .map(|name| json!({"type": "function", "function": {"name": name, "parameters": parameters.clone()}}))
                .map(without_nulls)
                .collect();
            let mut request = json!({
                "model": word, "messages": messages, "n": n, "max_tokens": limit, "stop": stop, "stream": stream,
                "reasoning_effort": word, "tools": tools, "response_format": {"type": word},
                "tool_choice": {"type": "function", "function": {"name": "f"}}
            });
            request
                .as_object_mut()
                .unwrap()
                .extend(Map::from_iter(unknown.into_iter().map(|(name, value)| (name.to_owned(), value))));
            request
        },
    )
}

/// A typed field that is null counts as absent, and is not encoded again.
fn without_nulls(mut tool: Value) -> Value {
    if tool["function"]["parameters"].is_null() {
        tool["function"].as_object_mut().unwrap().remove("parameters");
    }
    tool
}

fn decode_and_check(json: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<ChatRequest>(json) {
        match check(&request) {
            Ok(ignored) => assert!(ignored.iter().all(|name| !name.is_empty() || request.extra.contains_key(""))),
            Err(refusal) => {
                assert_eq!(refusal.status(), 400);
                assert!(refusal.param().is_some_and(|param| !param.is_empty()), "{refusal}");
                assert!(refusal.to_string().ends_with('.'), "{refusal}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        decode_and_check(&bytes);
    }

    #[test]
    fn no_json_makes_the_decoder_panic(fields in vec((select(FIELDS), value()), 0..6), messages in vec(message(), 0..4)) {
        let mut request = json!({"model": "m", "messages": messages});
        request.as_object_mut().unwrap().extend(fields.into_iter().map(|(field, value)| (field.name.to_owned(), value)));
        decode_and_check(request.to_string().as_bytes());
    }

    #[test]
    fn no_damage_to_a_request_makes_the_decoder_panic(
        request in request(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = request.to_string().into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        decode_and_check(&bytes);
    }

    #[test]
    fn a_request_that_decodes_is_checked_and_encodes_back_to_the_same_json(request in request()) {
        let json = request.to_string();
        decode_and_check(json.as_bytes());
        let decoded: ChatRequest = serde_json::from_str(&json).expect("a request that decodes");
        prop_assert_eq!(serde_json::to_value(&decoded).unwrap(), request);
    }
}
