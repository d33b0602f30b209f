//! Validates responses, their events and their lists against OpenAI's own schema, where it is at hand.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Value, json};

/// Checks that a value is one of the schema's type of that name.
pub fn assert_valid(name: &'static str, value: &Value) {
    let Some(schema) = schema() else { return };
    static VALIDATORS: Mutex<Option<HashMap<&'static str, &'static Validator>>> = Mutex::new(None);
    let validator = *VALIDATORS.lock().unwrap().get_or_insert_default().entry(name).or_insert_with(|| {
        let schema = json!({
            "$schema": schema["$schema"],
            "$defs": schema["$defs"],
            "$ref": format!("#/$defs/{name}"),
        });
        Box::leak(Box::new(jsonschema::validator_for(&schema).unwrap()))
    });
    let faults: Vec<String> =
        validator.iter_errors(value).map(|fault| format!("{} at {}", fault, fault.instance_path())).collect();
    assert!(faults.is_empty(), "not a valid {name}: {faults:#?}\n{value:#}");
}

fn schema() -> Option<&'static Value> {
    static SCHEMA: OnceLock<Option<Value>> = OnceLock::new();
    let load = || {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/openai/responses.schema.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            // Past the test harness, which would keep it to itself.
            std::io::stderr().write_all(b"skipped: no schema to validate answers against\n").unwrap();
            return None;
        };
        let mut schema: Value = serde_json::from_str(&text).unwrap();
        put_right(&mut schema);
        Some(schema)
    };
    SCHEMA.get_or_init(load).as_ref()
}

/// Neither OpenAPI's `nullable` nor an older draft's recursion are keywords of the schema's own draft: says the same in
/// words that are.
fn put_right(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(put_right),
        Value::Object(fields) => {
            fields.values_mut().for_each(put_right);
            fields.remove("$recursiveAnchor");
            if fields.remove("$recursiveRef").is_some() {
                // The one schema that recurs.
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
/// An event that is checked against the union of all of them would pass as one of another type that is more lenient.
pub fn event_type(kind: &str) -> &'static str {
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
    if schema().is_none() {
        return;
    }
    let fails = |name, value: Value| std::panic::catch_unwind(|| assert_valid(name, &value)).is_err();
    assert!(fails("Response", json!({"id": "resp_0", "object": "response"})));
    assert!(fails("ResponseTextDeltaEvent", json!({"type": "response.output_text.delta", "delta": "x"})));
}
