//! The small examples run, and do what they are there to show.

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
    assert!(server.get("/").await.body.contains("The application's own page"));
    assert_eq!(server.say("hello").await.text(), "echo: hello");
    assert_eq!(server.get("/v1/models").await.json()["object"], "list");
}

#[tokio::test]
async fn hyper_serves_the_api() {
    let server = started("hyper").await;
    assert_eq!(server.say("hello").await.text(), "echo: hello");
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
    let told: Value = serde_json::from_str(&answer.text()).unwrap();
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
    assert!(answer.text().contains("withheld"), "{}", answer.text());
    assert_eq!(answer.headers["x-claude-process"], "live");
}
