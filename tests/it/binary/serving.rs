//! That the flags reach what they are about.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::answer::Answer;
use crate::support::claude_bin::stand_in;
use crate::support::server_process::{ServerProcess, example, settings};

fn server(args: &[&str]) -> Command {
    let mut command = example("claude-max-api");
    command.arg("0").args(args).env("CLAUDE_BIN", stand_in());
    command
}

async fn started(args: &[&str]) -> ServerProcess {
    ServerProcess::start(server(args)).await
}

fn hello(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

#[tokio::test]
async fn the_models_are_listed_and_unknown_ones_are_opus() {
    let server = started(&[]).await;
    let models = server.get("/v1/models").await.json();
    let ids: Vec<&str> = models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"claude-opus-4") && ids.contains(&"haiku"), "{ids:?}");
    assert_eq!(models["data"][0]["owned_by"], "anthropic");
    assert_eq!(models["models"][0]["context_window"], 200_000, "for Codex");
    assert_eq!(server.chat(&hello("gpt-4o")).await.json()["model"], "claude-opus-5-5");
    assert_eq!(server.chat(&hello("claude-haiku-4.5")).await.json()["model"], "claude-haiku-5-5");
}

#[tokio::test]
async fn unknown_models_can_be_refused() {
    let server = started(&["--unknown-model", "reject"]).await;
    let refused = server.chat(&hello("gpt-4o")).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (404, &json!("model_not_found")));
    assert_eq!(server.chat(&hello("sonnet")).await.status, 200);
}

#[tokio::test]
async fn the_api_key_is_asked_for() {
    let mut command = server(&[]);
    command.env("TOWER_CLAUDE_API_KEY", "sk-test");
    let server = ServerProcess::start(command).await;
    assert_eq!(server.chat(&hello("sonnet")).await.status, 401);
    assert_eq!(server.get("/health").await.status, 200);
    let request = Request::get("/").header("authorization", "Bearer sk-test").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(Answer::of(server.send("/v1/models", request).await).await.status, 200);
}

#[tokio::test]
async fn the_key_does_not_reach_the_processes() {
    let mut command = server(&[]);
    command.env("TOWER_CLAUDE_API_KEY", "sk-test");
    let server = ServerProcess::start(command).await;
    let body = json!({"model": "opus", "messages": [{"role": "user", "content": "[[env TOWER_CLAUDE_API_KEY]]"}]});
    let request = Request::post("/").header("authorization", "Bearer sk-test");
    let request = request.header("content-type", "application/json").body(Full::from(body.to_string())).unwrap();
    let answer = Answer::of(server.send("/v1/chat/completions", request).await).await;
    assert_eq!((answer.status.as_u16(), answer.content().as_str()), (200, ""));
}

#[tokio::test]
async fn pages_and_hosts_pass_by_name() {
    let server = started(&["--allow-origin", "https://chat.example", "--allow-host", "claude.lan"]).await;
    for (name, value, status) in [
        ("origin", "https://chat.example", 200),
        ("origin", "https://evil.example", 403),
        ("host", "claude.lan", 200),
        ("host", "evil.example", 403),
    ] {
        let request = Request::get("/").header(name, value).body(Full::<Bytes>::default()).unwrap();
        assert_eq!(server.send("/health", request).await.status(), status, "{name}: {value}");
    }
}

#[tokio::test]
async fn limits_are_the_flags() {
    let flags = ["--max-processes", "3", "--warm", "0", "--queue-limit", "7", "--body-limit", "1"];
    let (_file, config) = settings("upstream-retries = 0");
    let server = started(&[&flags[..], &[&config[0], &config[1]]].concat()).await;
    let health = server.get("/health").await.json();
    assert_eq!((&health["processes"]["max"], &health["queue"]["max"]), (&json!(3), &json!(7)));
    assert_eq!(server.say("[[env CLAUDE_CODE_MAX_RETRIES]]").await.content(), "0");
    assert_eq!(server.say(&"x".repeat(1024 * 1024)).await.status, 413);
}

#[tokio::test]
async fn timeouts_are_the_flags() {
    let server = started(&["--first-token-timeout", "50ms"]).await;
    let late = server.say("[[silence]]").await;
    assert_eq!((late.status.as_u16(), &late.json()["error"]["code"]), (504, &json!("first_token_timeout")));

    let server = started(&["--request-timeout", "50ms"]).await;
    let late = server.say("[[slow 600000 count 2]]").await;
    assert_eq!((late.status.as_u16(), &late.json()["error"]["code"]), (504, &json!("request_timeout")));

    let (_file, config) = settings("queue-timeout = 0");
    let server = started(&["--max-processes", "1", &config[0], &config[1]]).await;
    let mut busy = server
        .start_chat(&json!({"model": "opus", "stream": true,
        "messages": [{"role": "user", "content": "[[slow 600000 count 2]]"}]}))
        .await
        .into_body();
    http_body_util::BodyExt::frame(&mut busy).await.unwrap().unwrap();
    let refused = server.say("hello").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (429, &json!("queue_full")));
    assert!(refused.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn nothing_of_a_request_is_in_the_command_line() {
    let server = started(&[]).await;
    let answer = server.say("[[args]] a secret").await.content();
    let args: Vec<String> = serde_json::from_str(&answer).unwrap();
    assert!(args.contains(&"--print".to_owned()) && !answer.contains("secret"), "{answer}");
}
