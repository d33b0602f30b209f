//! Given any bytes at all: the decoder and the checks behind it answer, and what they take they give back unchanged.
//!
//! `PROPTEST_CASES` says how many of each are tried (256 by default).

use http_body_util::{BodyExt, Full};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_claude::cli::ClaudeCli;
use tower_claude::http::ApiService;
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream, FinishReason, Usage};

/// Fields of every type and treatment.
const FIELDS: [&str; 16] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "metadata",
    "modalities",
    "n",
    "response_format",
    "seed",
    "stop",
    "store",
    "tool_choice",
    "tools",
    "user",
];

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

/// A request that decodes, whether or not it makes sense: half of them have nothing but messages, since the first fault
/// is the only one that is looked at.
fn request() -> impl Strategy<Value = Value> {
    let settings = (0u32..12, 0u32..3, vec(select(&WORDS[..]), 0..6), select(&WORDS[..]), any::<bool>());
    let unknown = vec((select(&["top_p", "seed", "user", "logprobs", "x", "of_tomorrow"][..]), value()), 0..3);
    let tools = vec(select(&["f", "g", ""][..]), 0..3);
    (vec(message(), 0..8), proptest::option::of((settings, unknown, tools, value()))).prop_map(|(messages, rest)| {
        let mut request = json!({"model": "m", "messages": messages});
        if let Some(((n, limit, stop, word, stream), unknown, names, parameters)) = rest {
            let tool =
                |name: &&str| json!({"type": "function", "function": {"name": name, "parameters": parameters.clone()}});
            request["n"] = n.into();
            request["max_tokens"] = limit.into();
            // None of them is no `stop`.
            if !stop.is_empty() {
                request["stop"] = stop.into();
            }
            request["stream"] = stream.into();
            request["reasoning_effort"] = word.into();
            request["response_format"] = json!({"type": word});
            request["tools"] = names.iter().map(tool).map(without_nulls).collect();
            request["tool_choice"] = json!({"type": "function", "function": {"name": "f"}});
            for (name, value) in unknown {
                request[name] = value;
            }
        }
        request
    })
}

/// A conversation as it should be: rounds of a user's text and an answer, be it text or calls and their results in some
/// order, then the user again. The ids come back whole or stripped.
fn conversation() -> impl Strategy<Value = Vec<Value>> {
    let round = (any::<String>(), 0usize..4, any::<prop::sample::Index>(), any::<bool>());
    vec(round, 0..6).prop_map(|rounds| {
        let mut messages = Vec::new();
        for (text, calls, first, stripped) in rounds {
            messages.push(json!({"role": "user", "content": text}));
            if calls == 0 {
                messages.push(json!({"role": "assistant", "content": text}));
                continue;
            }
            let called = |i| json!({"id": format!("call_{i}"), "type": "function", "function": {"name": "f", "arguments": "{}"}});
            messages.push(json!({"role": "assistant", "tool_calls": (0..calls).map(called).collect::<Vec<_>>()}));
            for i in (0..calls).map(|i| (i + first.index(calls)) % calls) {
                let id = if stripped { format!("call{i}") } else { format!("call_{i}") };
                messages.push(json!({"role": "tool", "content": text, "tool_call_id": id}));
            }
        }
        messages.push(json!({"role": "user", "content": "go on"}));
        messages
    })
}

/// A typed field that is null counts as absent, and is not encoded again.
fn without_nulls(mut tool: Value) -> Value {
    if tool["function"]["parameters"].is_null() {
        tool["function"].as_object_mut().unwrap().remove("parameters");
    }
    tool
}

/// What a body is answered with, where Claude Code would have to answer: whether fields are named as ignored, or the
/// status and error of the refusal.
fn asked(body: &[u8]) -> Result<bool, (u16, Value)> {
    let inner = tower::service_fn(|request: ChatRequest| async move {
        let done = ChatEvent::finished(FinishReason::Stop, Usage::default());
        Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter([done])))
    });
    let api = ApiService::new(inner).abilities(ClaudeCli::abilities());
    let request = http::Request::post("/v1/chat/completions").body(Full::<bytes::Bytes>::from(body.to_vec())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let response = api.oneshot(request).await.unwrap();
        if response.status() == 200 {
            return Ok(response.headers().contains_key("x-ignored-parameters"));
        }
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Err((status, serde_json::from_slice::<Value>(&body).unwrap()["error"].take()))
    })
}

fn decode_and_check(json: &[u8]) {
    let Err((status, error)) = asked(json) else { return };
    assert_eq!(status, 400, "{error}");
    assert!(error["message"].as_str().unwrap().ends_with('.'), "{error}");
    if serde_json::from_slice::<ChatRequest>(json).is_ok() {
        assert!(error["param"].as_str().is_some_and(|param| !param.is_empty()), "{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        decode_and_check(&bytes);
    }

    #[test]
    fn no_json_makes_the_decoder_panic(fields in vec((select(&FIELDS[..]), value()), 0..6), messages in vec(message(), 0..4)) {
        let mut request = json!({"model": "m", "messages": messages});
        request.as_object_mut().unwrap().extend(fields.into_iter().map(|(field, value)| (field.to_owned(), value)));
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

    #[test]
    fn a_conversation_is_let_through_whole_and_refused_by_name_without_one_of_its_results(
        messages in conversation(), lost in any::<prop::sample::Index>(),
    ) {
        let checked = |messages: &[Value]| {
            asked(json!({"model": "m", "messages": messages}).to_string().as_bytes())
        };
        prop_assert_eq!(checked(&messages), Ok(false));
        let results: Vec<usize> = (0..messages.len()).filter(|i| messages[*i]["role"] == "tool").collect();
        if !results.is_empty() {
            let mut damaged = messages;
            let lost = damaged.remove(results[lost.index(results.len())]);
            let (_, refusal) = checked(&damaged).expect_err("a result is missing");
            let refusal = refusal["message"].as_str().unwrap();
            let id = lost["tool_call_id"].as_str().unwrap();
            let number = id.trim_start_matches("call").trim_start_matches('_');
            let message = format!("Calls without a result: \"call_{number}\". ");
            prop_assert!(refusal.starts_with(&message), "{}", refusal);
        }
    }
}
