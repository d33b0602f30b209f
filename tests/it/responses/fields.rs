//! The fields of a request: each is honoured, accepted, named as ignored, or refused.

use std::path::Path;

use serde_json::{Value, json};
use tower_claude::openai::chat_completions::fields::Treatment;
use tower_claude::openai::responses::FIELDS;

use super::script::{create, saying};

#[tokio::test]
async fn what_has_no_effect_is_named() {
    let fields = json!({
        "temperature": 0.5,
        "top_p": 0.9,
        "service_tier": "auto",
        "max_tool_calls": 2,
        "of_tomorrow": 1,
        "text": {"verbosity": "low"},
        "reasoning": {"effort": "low", "context": "auto"},
        "include": ["reasoning.encrypted_content", "web_search_call.action.sources"],
        "client_metadata": {"a": "b"},
        "stream_options": {"include_obfuscation": false},
        "tools": [{"type": "function", "name": "f", "novelty": 1}],
    });
    let answer = create(&saying("").api(), fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.header("x-ignored-parameters"),
        Some(
            "temperature, top_p, service_tier, max_tool_calls, of_tomorrow, \
             include.web_search_call.action.sources, reasoning.context, text.verbosity, tools[].novelty"
        )
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let unsupported = json!("unsupported_parameter");
    for (field, value, param, code) in [
        ("conversation", json!("conv_1"), "conversation", &unsupported),
        ("prompt", json!({"id": "p"}), "prompt", &unsupported),
        ("truncation", json!("auto"), "truncation", &unsupported),
        ("top_logprobs", json!(3), "top_logprobs", &unsupported),
        ("include", json!(["message.output_text.logprobs"]), "include", &unsupported),
        ("moderation", json!({"model": "m"}), "moderation", &unsupported),
        ("max_output_tokens", json!(0), "max_output_tokens", &Value::Null),
        ("temperature", json!("hot"), "temperature", &Value::Null),
        ("model", Value::Null, "model", &Value::Null),
        ("reasoning", json!({"effort": "vast"}), "reasoning.effort", &Value::Null),
        ("text", json!({"format": {"type": "xml"}}), "text.format.type", &Value::Null),
        ("text", json!({"format": {"type": "json_schema", "name": "n"}}), "text.format.schema", &Value::Null),
        ("metadata", json!({"k": 1}), "metadata.k", &Value::Null),
        (
            "tools",
            json!([{"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}]),
            "tools[0].tools[0].type",
            &unsupported,
        ),
        ("previous_response_id", json!("resp_nobody"), "previous_response_id", &json!("previous_response_not_found")),
    ] {
        let answer = create(&saying("").api(), json!({field: value})).await;
        let (status, found, found_code) = answer.fault();
        assert_eq!((found, found_code), (json!(param), code.clone()), "{field}: {}", answer.text());
        assert_eq!(status, if field == "previous_response_id" { 404 } else { 400 });
    }
    let unkept = json!({"background": true, "store": false});
    assert_eq!(create(&saying("").api(), unkept).await.fault().1, "store");
}

#[test]
fn the_table_has_every_field_of_openais_request() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/openai/responses.schema.json");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut names = Vec::new();
    collect(&schema, &schema["$defs"]["CreateResponse"], &mut names);
    assert!(names.len() > 25, "{names:?}");
    for name in names {
        assert!(FIELDS.iter().any(|field| field.name == name), "`{name}` is not in the table");
    }
    assert!(FIELDS.is_sorted_by_key(|field| field.name), "by name");
    let advice = FIELDS.iter().filter_map(|field| match field.treatment {
        Treatment::Refused { advice, .. } => Some(advice),
        _ => None,
    });
    assert!(advice.into_iter().all(|advice| advice.ends_with('.')));
}

fn collect(root: &Value, schema: &Value, names: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        collect(root, &root["$defs"][name.trim_start_matches("#/$defs/")], names);
    }
    schema["allOf"].as_array().into_iter().flatten().for_each(|part| collect(root, part, names));
    names.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
}
