//! Validates answers against OpenAI's own schemas, if they are available.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Value, json};

const CHAT_COMPLETIONS: &str = "chat-completions";
const RESPONSES: &str = "responses";

/// A whole chat completion.
pub(crate) fn assert_valid_completion(value: &Value) {
    assert_valid(CHAT_COMPLETIONS, "CreateChatCompletionResponse", value);
}

/// One chunk of a streamed chat completion.
pub(crate) fn assert_valid_chunk(value: &Value) {
    assert_valid(CHAT_COMPLETIONS, "CreateChatCompletionStreamResponse", value);
}

/// The body of a failure.
pub(crate) fn assert_valid_error(value: &Value) {
    assert_valid(CHAT_COMPLETIONS, "ErrorResponse", value);
    assert_valid(RESPONSES, "ErrorResponse", value);
}

/// The list of models.
pub(crate) fn assert_valid_models(value: &Value) {
    assert_valid(CHAT_COMPLETIONS, "ListModelsResponse", value);
}

/// One model.
pub(crate) fn assert_valid_model(value: &Value) {
    assert_valid(CHAT_COMPLETIONS, "Model", value);
}

/// Any whole answer, by its `object` field. An answer without one is an error, or a health report.
pub(crate) fn assert_valid_object(value: &Value) {
    match value["object"].as_str() {
        Some("chat.completion") => assert_valid_completion(value),
        Some("list") if value.get("first_id").is_some() => assert_valid(RESPONSES, "ResponseItemList", value),
        Some("list") => assert_valid_models(value),
        Some("model") => assert_valid_model(value),
        Some("response") if value["deleted"] == true => {}
        Some("response") => assert_valid(RESPONSES, "Response", value),
        Some("response.input_tokens") => assert_valid(RESPONSES, "TokenCountsResource", value),
        _ if value.get("status").is_some() => {}
        _ => assert_valid_error(value),
    }
}

/// An event of a response's stream.
pub(crate) fn assert_valid_event(event: &Value) {
    assert_valid(RESPONSES, event_type(event["type"].as_str().unwrap()), event);
}

/// Checks a value against the schema's type of that name.
fn assert_valid(schema: &'static str, name: &'static str, value: &Value) {
    let Some(definitions) = definitions(schema) else { return };
    type Validators = HashMap<(&'static str, &'static str), &'static Validator>;
    static VALIDATORS: Mutex<Option<Validators>> = Mutex::new(None);
    let validator = *VALIDATORS.lock().unwrap().get_or_insert_default().entry((schema, name)).or_insert_with(|| {
        let schema = json!({
            "$schema": definitions["$schema"],
            "$defs": definitions["$defs"],
            "$ref": format!("#/$defs/{name}"),
        });
        Box::leak(Box::new(jsonschema::validator_for(&schema).unwrap()))
    });
    let faults: Vec<String> =
        validator.iter_errors(value).map(|fault| format!("{} at {}", fault, fault.instance_path())).collect();
    assert!(faults.is_empty(), "not a valid {name}: {faults:#?}\n{value:#}");
}

fn definitions(schema: &'static str) -> Option<&'static Value> {
    static DEFINITIONS: [OnceLock<Option<Value>>; 2] = [const { OnceLock::new() }; 2];
    let load = || {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/openai/{schema}.schema.json"));
        let Ok(text) = std::fs::read_to_string(&path) else {
            // Past the test harness, which captures the output of `eprintln!`.
            std::io::stderr().write_all(b"skipped: no schema to validate answers against\n").unwrap();
            return None;
        };
        let mut schema: Value = serde_json::from_str(&text).unwrap();
        put_right(&mut schema);
        Some(schema)
    };
    DEFINITIONS[usize::from(schema == RESPONSES)].get_or_init(load).as_ref()
}

/// Replaces OpenAPI's `nullable` and an older draft's recursion keywords, which the schema's own draft does not have.
fn put_right(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(put_right),
        Value::Object(fields) => {
            fields.values_mut().for_each(put_right);
            fields.remove("$recursiveAnchor");
            if fields.remove("$recursiveRef").is_some() {
                // The only recursive schema.
                fields.insert("$ref".to_owned(), json!("#/$defs/CompoundFilter"));
            }
            if fields.remove("nullable") == Some(Value::Bool(true)) {
                *schema = json!({"anyOf": [schema.take(), {"type": "null"}]});
            }
        }
        _ => {}
    }
}

/// The type of an event of this `type`, such as `ResponseTextDeltaEvent` of `response.output_text.delta`.
///
/// Checked against the union of all types, an event could pass as one of another, more lenient type.
fn event_type(kind: &str) -> &'static str {
    match kind {
        "response.created" => "ResponseCreatedEvent",
        "response.queued" => "ResponseQueuedEvent",
        "response.in_progress" => "ResponseInProgressEvent",
        "response.completed" => "ResponseCompletedEvent",
        "response.incomplete" => "ResponseIncompleteEvent",
        "response.failed" => "ResponseFailedEvent",
        "response.output_item.added" => "ResponseOutputItemAddedEvent",
        "response.output_item.done" => "ResponseOutputItemDoneEvent",
        "response.content_part.added" => "ResponseContentPartAddedEvent",
        "response.content_part.done" => "ResponseContentPartDoneEvent",
        "response.output_text.delta" => "ResponseTextDeltaEvent",
        "response.output_text.done" => "ResponseTextDoneEvent",
        "response.refusal.delta" => "ResponseRefusalDeltaEvent",
        "response.refusal.done" => "ResponseRefusalDoneEvent",
        "response.reasoning_summary_part.added" => "ResponseReasoningSummaryPartAddedEvent",
        "response.reasoning_summary_part.done" => "ResponseReasoningSummaryPartDoneEvent",
        "response.reasoning_summary_text.delta" => "ResponseReasoningSummaryTextDeltaEvent",
        "response.reasoning_summary_text.done" => "ResponseReasoningSummaryTextDoneEvent",
        "response.function_call_arguments.delta" => "ResponseFunctionCallArgumentsDeltaEvent",
        "response.function_call_arguments.done" => "ResponseFunctionCallArgumentsDoneEvent",
        "response.custom_tool_call_input.delta" => "ResponseCustomToolCallInputDeltaEvent",
        "response.custom_tool_call_input.done" => "ResponseCustomToolCallInputDoneEvent",
        "response.web_search_call.in_progress" => "ResponseWebSearchCallInProgressEvent",
        "response.web_search_call.searching" => "ResponseWebSearchCallSearchingEvent",
        "response.web_search_call.completed" => "ResponseWebSearchCallCompletedEvent",
        other => panic!("no event of OpenAI's is called {other:?}"),
    }
}

#[test]
fn the_validation_can_fail() {
    if definitions(CHAT_COMPLETIONS).is_none() || definitions(RESPONSES).is_none() {
        return;
    }
    let fails = |value: Value| std::panic::catch_unwind(|| assert_valid_object(&value)).is_err();
    assert!(fails(json!({"error": {"message": "m", "type": "t", "param": null}})), "an error without a code");
    assert!(fails(json!({"id": "resp_0", "object": "response"})));
    let chunk = json!({"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "done"}]});
    assert!(std::panic::catch_unwind(|| assert_valid_chunk(&chunk)).is_err(), "a reason that there is not");
    let event = json!({"type": "response.output_text.delta", "delta": "x"});
    assert!(std::panic::catch_unwind(|| assert_valid_event(&event)).is_err());
}
