//! The fields of a request: each is honoured, accepted, named as ignored, or refused.

use serde_json::{Value, json};
use tower_claude::chat::Abilities;
use tower_claude::cli::ClaudeCli;

use super::client::create;
use crate::support::turns::saying;

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
        "truncation": "auto",
        "tools": [
            {"type": "function", "name": "f", "novelty": 1, "strict": false},
            {"type": "function", "name": "g", "strict": true, "parameters": {"anyOf": [{"required": ["a"]}]}},
        ],
    });
    let answer = create(&saying("").api().abilities(ClaudeCli::abilities()), fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.header("x-ignored-parameters"),
        Some(
            "temperature, top_p, service_tier, max_tool_calls, of_tomorrow, \
             truncation, include.web_search_call.action.sources, reasoning.context, text.verbosity, tools[].novelty, \
             tools[].strict, tools[].parameters.anyOf"
        )
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let unsupported = json!("unsupported_parameter");
    for (field, value, param, code) in [
        ("conversation", json!("conv_1"), "conversation", &unsupported),
        ("prompt", json!({"id": "p"}), "prompt", &unsupported),
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
        let answer = create(&saying("").api().abilities(ClaudeCli::abilities()), json!({field: value})).await;
        let (status, found, found_code) = answer.fault();
        assert_eq!((found, found_code), (json!(param), code.clone()), "{field}: {}", answer.text());
        assert_eq!(status, if field == "previous_response_id" { 404 } else { 400 });
    }
    let unkept = json!({"background": true, "store": false});
    assert_eq!(create(&saying("").api(), unkept).await.fault().1, "store");
}

#[tokio::test]
async fn what_the_inner_service_honours_reaches_it_and_is_repeated() {
    let turns = saying("");
    let fields = json!({"temperature": 0.5, "seed": 7, "text": {"verbosity": "low"}, "of_tomorrow": 1, "top_k": 3});
    let answer = create(&turns.api().abilities(Abilities::new().honours(["top_k"])), fields).await;
    assert_eq!(answer.header("x-ignored-parameters"), Some("seed, of_tomorrow"), "not a field of this API");
    let extra = json!({"temperature": 0.5, "top_k": 3, "verbosity": "low"});
    assert_eq!(Value::Object(turns.last().extra.into()), extra);
    let told = answer.json();
    assert_eq!(
        (&told["temperature"], &told["top_p"], &told["text"]["verbosity"]),
        (&json!(0.5), &json!(null), &json!("low"))
    );
}

#[tokio::test]
async fn settings_go_by_their_names_here_where_the_inner_service_has_none_of_them() {
    let abilities = Abilities::new().ignores(["reasoning_effort"]).refuses("response_format", "It only talks.");
    let api = saying("").api().abilities(abilities);
    let answer = create(&api, json!({"reasoning": {"effort": "low"}})).await;
    assert_eq!(answer.header("x-ignored-parameters"), Some("reasoning.effort"));
    let answer = create(&api, json!({"text": {"format": {"type": "json_object"}}})).await;
    assert_eq!(answer.fault(), (400, "text.format".into(), "unsupported_parameter".into()));
}
