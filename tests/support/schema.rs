//! Validates answers against OpenAI's own schema, where it is at hand.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

/// A whole answer.
pub fn assert_valid_completion(value: &Value) {
    assert_valid("CreateChatCompletionResponse", value);
}

/// One chunk of a streamed answer.
pub fn assert_valid_chunk(value: &Value) {
    assert_valid("CreateChatCompletionStreamResponse", value);
}

/// The body of a failure.
pub fn assert_valid_error(value: &Value) {
    assert_valid("ErrorResponse", value);
}

/// The list of models.
pub fn assert_valid_models(value: &Value) {
    assert_valid("ListModelsResponse", value);
}

/// One model.
pub fn assert_valid_model(value: &Value) {
    assert_valid("Model", value);
}

const NAMES: [&str; 5] = [
    "CreateChatCompletionResponse",
    "CreateChatCompletionStreamResponse",
    "ErrorResponse",
    "ListModelsResponse",
    "Model",
];

fn assert_valid(name: &str, value: &Value) {
    let Some(validators) = validators() else { return };
    let faults: Vec<String> =
        validators[name].iter_errors(value).map(|fault| format!("{} at {}", fault, fault.instance_path())).collect();
    assert!(faults.is_empty(), "not a valid {name}: {faults:#?}\n{value:#}");
}

fn validators() -> Option<&'static HashMap<&'static str, Validator>> {
    static VALIDATORS: OnceLock<Option<HashMap<&'static str, Validator>>> = OnceLock::new();
    let load = || {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/openai/chat-completions.schema.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            // Past the test harness, which would keep it to itself.
            std::io::stderr().write_all(b"skipped: no schema to validate answers against\n").unwrap();
            return None;
        };
        let mut schema: Value = serde_json::from_str(&text).unwrap();
        allow_null(&mut schema);
        let validator = |name: &'static str| {
            let schema = json!({
                "$schema": schema["$schema"],
                "$defs": schema["$defs"],
                "$ref": format!("#/$defs/{name}"),
            });
            (name, jsonschema::validator_for(&schema).unwrap())
        };
        Some(NAMES.into_iter().map(validator).collect())
    };
    VALIDATORS.get_or_init(load).as_ref()
}

/// OpenAPI's `nullable` is no keyword of JSON Schema: says the same in words that are.
fn allow_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(allow_null),
        Value::Object(fields) => {
            fields.values_mut().for_each(allow_null);
            if fields.remove("nullable") == Some(Value::Bool(true)) {
                *schema = json!({"anyOf": [schema.take(), {"type": "null"}]});
            }
        }
        _ => {}
    }
}

#[test]
fn the_validation_can_fail() {
    if validators().is_none() {
        return;
    }
    let missing_key = json!({"error": {"message": "m", "type": "t", "param": null}});
    assert!(std::panic::catch_unwind(|| assert_valid_error(&missing_key)).is_err());
    let wrong_reason = json!({"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "done"}]});
    assert!(std::panic::catch_unwind(|| assert_valid_chunk(&wrong_reason)).is_err());
}
