//! The small examples run, and do what they are there to show.

use crate::support::answer::Answer;
use crate::support::claude_bin::stand_in;
use crate::support::server_process::{ServerProcess, example};
use serde_json::{Value, json};

async fn started(name: &str) -> ServerProcess {
    let mut command = example(name);
    command.arg("127.0.0.1:0").env("CLAUDE_BIN", stand_in());
    ServerProcess::start(command).await
}

/// The functions that a coder's client offers.
fn tools() -> Value {
    let function =
        |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    json!(["run_terminal_command", "read_file", "open_browser"].map(function))
}

/// Asks the stand-in for these calls, of the functions that a coder's client offers.
async fn calls(server: &ServerProcess, calls: &str) -> Value {
    let messages = json!([{"role": "user", "content": format!("[[tool {calls}]]")}]);
    let body = json!({"model": "coder", "messages": messages, "tools": tools()});
    server.chat(&body).await.json()["choices"][0].take()
}

#[tokio::test]
async fn axum_serves_the_api_beside_its_own_routes() {
    let server = started("axum").await;
    assert!(server.get("/").await.text().contains("The application's own page"));
    assert_eq!(server.say("hello").await.content(), "echo: hello");
    assert_eq!(server.get("/v1/models").await.json()["object"], "list");
}

#[tokio::test]
async fn hyper_serves_the_api() {
    let server = started("hyper").await;
    assert_eq!(server.say("hello").await.content(), "echo: hello");
    assert_eq!(server.get("/v1/models").await.json()["object"], "list");
}

#[tokio::test]
async fn another_clients_preset_has_its_own_models_sections_and_names() {
    let server = started("custom_layer").await;
    let models = server.get("/v1/models").await.json();
    let ids: Vec<&str> = models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["coder", "autocomplete"]);

    let prompt = "Be brief.\n\n## For local models\nThink aloud.\n\n## Style\nTabs.";
    let body = json!({"model": "autocomplete", "messages": [
        {"role": "system", "content": prompt}, {"role": "user", "content": "[[history]]"}]});
    let answer = server.chat(&body).await;
    assert_eq!(answer.json()["model"], "claude-haiku-5-5");
    let told: Value = serde_json::from_str(&answer.content()).unwrap();
    assert_eq!(told["system"], json!(["Be brief.\n\n## Style\nTabs."]));

    let choice = calls(&server, "Read {\"path\": \"a\"}").await;
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["name"], "read_file");
    assert_eq!(choice["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_vetoed_call_becomes_a_sentence() {
    let server = started("custom_layer").await;
    let choice = calls(&server, "Bash {\"command\": \"rm -rf /\"}").await;
    assert_eq!(choice["message"]["content"], "calling \n\n[A call of `run_terminal_command` was not allowed.]");
    assert_eq!(choice["message"].get("tool_calls"), None);
    assert_eq!(choice["finish_reason"], "stop");
    assert!(!choice.to_string().contains("rm -rf"), "{choice}");
}

#[tokio::test]
async fn the_calls_beside_a_vetoed_one_go_on() {
    let server = started("custom_layer").await;
    let choice = calls(&server, "Read {\"path\": \"a\"} ;; Bash {} ;; open_browser {\"url\": \"b\"}").await;
    let made: Vec<(&str, &str)> = choice["message"]["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| (call["function"]["name"].as_str().unwrap(), call["function"]["arguments"].as_str().unwrap()))
        .collect();
    assert_eq!(made, [("read_file", "{\"path\": \"a\"}"), ("open_browser", "{\"url\": \"b\"}")]);
    assert_eq!(choice["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_conversation_goes_on_after_a_veto() {
    let server = started("custom_layer").await;
    let choice = calls(&server, "Bash {\"command\": \"ls\"}").await;
    let body = json!({"model": "coder", "messages": [
        {"role": "user", "content": "[[tool Bash {\"command\": \"ls\"}]]"},
        {"role": "assistant", "content": choice["message"]["content"]},
        {"role": "user", "content": "Then do without."},
    ], "tools": tools()});
    let answer = server.chat(&body).await;
    // The model hears of it as of a call that failed.
    assert!(answer.content().contains("withheld"), "{}", answer.content());
    assert_eq!(answer.headers["x-claude-process"], "live");
}

/// Asks the smallest of language models to go on from the sea, with these fields.
async fn of_the_sea(server: &ServerProcess, fields: Value) -> Answer {
    let mut body = json!({"model": "bigram", "messages": [
        {"role": "user", "content": "Tell me of the sea."}, {"role": "assistant", "content": "The sea"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    server.chat(&body).await
}

#[tokio::test]
async fn another_inner_service_has_its_own_abilities_models_and_refusals() {
    let server = started("direct").await;
    let models = server.get("/v1/models").await.json();
    assert_eq!((&models["data"][0]["id"], &models["data"][0]["owned_by"]), (&json!("bigram"), &json!("the sea")));

    // It goes on from what the client has begun, always in the same way where it is cold.
    let cold = of_the_sea(&server, json!({"temperature": 0, "top_p": 0.5, "of_tomorrow": 1})).await;
    assert_eq!(cold.headers["x-ignored-parameters"], "top_p, of_tomorrow");
    assert!(cold.content().starts_with(" takes what the river"), "{}", cold.content());

    // It has a temperature and a seed: of two seeds, ten throws each, some differ.
    let mut told = Vec::new();
    for seed in (0..10).chain([0]) {
        let answer = of_the_sea(&server, json!({"temperature": 1, "seed": seed})).await;
        assert!(!answer.headers.contains_key("x-ignored-parameters"));
        told.push(answer.content());
    }
    assert_eq!(told.first(), told.last(), "the same seed is the same answer");
    assert!(told.iter().any(|text| *text != told[0]), "{told:?}");

    // What it cannot do, it refuses in its own words.
    let function = json!({"type": "function", "function": {"name": "f"}});
    for (field, value, words) in
        [("logprobs", json!(true), "could tell how probable a word was"), ("tools", json!([function]), "only talks")]
    {
        let refused = of_the_sea(&server, json!({field: value})).await.json();
        assert_eq!(refused["error"]["param"], field);
        assert!(refused["error"]["message"].as_str().unwrap().contains(words), "{refused}");
    }
    let image = json!({"type": "image_url", "image_url": {"url": "https://example.com/sea.png"}});
    let refused = of_the_sea(&server, json!({"messages": [{"role": "user", "content": [image]}]})).await.json();
    assert_eq!(refused["error"]["param"], "messages[0].content[0].type");
}
