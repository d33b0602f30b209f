//! The Messages API on loopback does what tests of the real CLI need of it.

use crate::support::claude_bin::real_cli;
use crate::support::cli_process::Cli;
use crate::support::messages_api::MessagesApi;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a prompt as a request for a streamed message.
async fn post(api: &MessagesApi, prompt: &str, connection: &str) -> TcpStream {
    let mut stream = TcpStream::connect(api.url().trim_start_matches("http://")).await.unwrap();
    let messages = json!([{"role": "user", "content": prompt}]);
    let body = json!({"model": "m", "stream": true, "max_tokens": 9, "messages": messages}).to_string();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nconnection: {connection}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

async fn answer(api: &MessagesApi, prompt: &str) -> String {
    let mut text = String::new();
    post(api, prompt, "close").await.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn it_streams_what_the_prompt_asks_for_and_keeps_the_request() {
    let api = MessagesApi::start().await;
    let text = answer(&api, "[[count 3]]").await;
    assert!(text.contains(r#""text":"w2 ""#), "{text}");
    assert!(text.contains("event: message_stop"), "{text}");
    assert_eq!(api.requests()[0]["messages"][0]["content"], "[[count 3]]");
}

#[tokio::test]
async fn an_error_has_the_headers_that_the_prompt_names() {
    let api = MessagesApi::start().await;
    let text = answer(&api, "[[fail 429 retry-after=7]]").await;
    assert!(text.starts_with("HTTP/1.1 429"), "{text}");
    assert!(text.contains("retry-after: 7"), "{text}");
    assert!(text.contains("rate_limit_error"), "{text}");
    let text = answer(&api, "[[usage-limit]]").await;
    assert!(text.contains("anthropic-ratelimit-unified-5h-utilization: 1.0"), "{text}");
}

#[tokio::test]
async fn it_notices_a_client_that_hangs_up() {
    let api = MessagesApi::start().await;
    let stream = post(&api, "[[silence]]", "keep-alive").await;
    api.request(0).await;
    assert_eq!(api.hung_up(), 0);
    drop(stream);
    api.until_hung_up(1).await;
}

#[tokio::test]
async fn the_real_cli_is_heard_hanging_up_when_it_is_killed() {
    let Some(claude) = real_cli() else { return };
    let api = MessagesApi::start().await;
    let mut cli = Cli::start(&claude, &api.url(), &[]);
    cli.initialize(None, None).await;
    cli.user("[[slow 60000 count 3]]").await;
    cli.until(|line| line["event"]["type"] == "content_block_delta").await;
    drop(cli);
    api.until_hung_up(1).await;
}

#[tokio::test]
async fn a_subscription_login_makes_the_real_cli_tell_its_limits() {
    let Some(claude) = real_cli() else { return };
    let api = MessagesApi::start().await;
    let login = [("ANTHROPIC_API_KEY", ""), ("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-test")];
    let mut cli = Cli::start(&claude, &api.url(), &login);
    cli.initialize(None, None).await;
    cli.user("[[limits]]").await;
    cli.result().await;
    let event = cli.printed.iter().find(|line| line["type"] == "rate_limit_event").expect("a rate_limit_event");
    assert_eq!(event["rate_limit_info"]["unifiedWindows"]["five_hour"]["utilization"], 0.93);
}

#[tokio::test]
async fn the_real_cli_tries_a_model_that_is_not_in_its_list() {
    let Some(claude) = real_cli() else { return };
    let api = MessagesApi::start().await;
    let mut cli = Cli::start(&claude, &api.url(), &[]);
    cli.initialize(None, None).await;
    cli.control(json!({"subtype": "set_model", "model": "claude-sonnet-4-5"})).await;
    cli.user("hi").await;
    cli.result().await;
    let probes = api.probes();
    let models: Vec<&Value> = probes.iter().map(|probe| &probe["model"]).collect();
    assert_eq!(models, ["claude-sonnet-4-5"]);
    assert_eq!(api.requests().len(), 1);
}
