//! Failures: each with its own status before the head, an error event after it.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tower_claude::cli::ClaudeCliBuilder;

use crate::support::stack::{Stack, gone, says};

/// What the API answers, and what comes of it: status, type, code.
const TABLE: [(&str, u16, &str, Option<&str>); 12] = [
    ("fail 400", 400, "invalid_request_error", None),
    ("fail 401", 401, "authentication_error", Some("claude_not_logged_in")),
    ("fail 402", 402, "billing_error", Some("billing_error")),
    ("fail 403", 403, "permission_error", Some("permission_denied")),
    ("fail 404", 404, "invalid_request_error", Some("model_not_found")),
    ("fail 413", 413, "invalid_request_error", Some("request_too_large")),
    ("fail 429", 429, "rate_limit_error", Some("rate_limit_exceeded")),
    ("fail 500", 502, "server_error", Some("upstream_error")),
    ("fail 503", 503, "server_error", Some("overloaded")),
    ("fail 529", 503, "server_error", Some("overloaded")),
    ("overflow", 400, "invalid_request_error", Some("context_length_exceeded")),
    ("usage-limit", 429, "rate_limit_error", Some("rate_limit_exceeded")),
];

#[tokio::test]
async fn the_apis_failures_have_a_status_of_their_own_streamed_and_not() {
    let few = |builder: ClaudeCliBuilder| builder.max_processes(4).queue_timeout(Duration::from_secs(180));
    let Some(stack) = Stack::real_with(few).await else { return };

    let checks = TABLE.into_iter().flat_map(|row| [(row, false), (row, true)]).map(|(row, stream)| {
        let stack = &stack;
        async move {
            let (directive, status, kind, code) = row;
            let mut body = says(&format!("[[{directive}]]"));
            body["stream"] = json!(stream);
            let answer = stack.ask(body).await;
            let error = &answer.json()["error"];
            assert_eq!(answer.status, status, "{directive}: {error:#}");
            assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some(kind), code), "{directive}: {error:#}");
            assert!(error["message"].as_str().unwrap().len() > 20, "{directive}: {error:#}");
        }
    });
    join_all(checks).await;
}

#[tokio::test]
async fn an_answer_that_the_api_breaks_off_is_a_failure_and_nothing_of_it_is_said_twice() {
    let Some(stack) = Stack::real().await else { return };

    // The CLI asks the API again by itself, and is told the same beginning again.
    let whole = stack.stream(says("[[drop]]")).await.whole().await;
    assert_eq!(whole.content, "echo: ");
    assert_eq!(whole.error.unwrap()["code"], "upstream_error");
    assert_eq!(whole.finish_reasons, [""; 0]);

    let answer = stack.ask(says("[[drop]]")).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
}

#[tokio::test]
async fn a_cli_killed_in_mid_stream_is_an_error_event() {
    let Some(stack) = Stack::real().await else { return };

    let mut answer = stack.stream(says("[[slow 3600000 count 2]]")).await;
    assert_eq!(answer.next_text().await, "w0 ");
    stack.kill_last().await;
    let whole = answer.whole().await;
    let error = whole.error.expect("an error event");
    assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some("server_error"), Some("claude_cli_error")));
    assert_eq!(whole.finish_reasons, [""; 0]);
}

#[tokio::test]
async fn a_cli_that_is_not_logged_in_is_a_401_that_says_what_to_do() {
    let Some(stack) = Stack::real_with(|builder| builder.env("ANTHROPIC_API_KEY", "")).await else { return };

    let answer = stack.ask(says("hello")).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    let error = &answer.json()["error"];
    assert_eq!(error["code"], "claude_not_logged_in");
    assert!(error["message"].as_str().unwrap().contains("run `claude`"), "{error}");
    assert_eq!(stack.api.requests().len(), 0);
}

#[tokio::test]
async fn a_model_that_does_not_exist_is_a_404() {
    let Some(stack) = Stack::real().await else { return };

    let mut body = says("hello");
    body["model"] = json!("claude-nonexistent-9");
    let answer = stack.ask(body).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn a_silent_api_is_a_504_and_is_hung_up_on() {
    let patience = Duration::from_secs(2);
    let Some(stack) = Stack::real_with(|builder| builder.first_token_timeout(patience)).await else { return };

    let answer = stack.ask(says("[[silence]]")).await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "first_token_timeout");
    let [pid] = stack.started()[..] else { panic!("one process") };
    gone(pid).await;
}

#[tokio::test]
async fn extra_usage_is_told_of_and_refused_where_the_operator_says_so() {
    let subscribed = |builder: ClaudeCliBuilder| {
        let builder = builder.env("ANTHROPIC_API_KEY", "").env("CLAUDE_CODE_OAUTH_TOKEN", "test-token");
        builder.refuse_overage(true)
    };
    let Some(stack) = Stack::real_with(subscribed).await else { return };

    let answer = stack.ask(says("[[extra-usage]]")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (402, &json!("extra_usage_required")));
    let message = answer.json()["error"]["message"].to_string();
    assert!(message.contains("Third-party apps") && message.contains("API key"), "{message}");

    stack.completion(says("[[overage]]")).await;
    let asked = stack.api.requests().len();
    let answer = stack.ask(says("hello")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (429, &json!("overage")));
    let wait: u64 = answer.header("retry-after").expect("when to try again").parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(stack.api.requests().len(), asked, "the API was asked all the same");
}

#[tokio::test]
async fn a_subscriptions_limits_are_told_and_say_when_to_come_back() {
    let subscribed =
        |builder: ClaudeCliBuilder| builder.env("ANTHROPIC_API_KEY", "").env("CLAUDE_CODE_OAUTH_TOKEN", "test-token");
    let Some(stack) = Stack::real_with(subscribed).await else { return };

    stack.completion(says("[[limits]]")).await;
    let answer = stack.ask(says("hello")).await;
    assert_eq!(answer.header("x-ratelimit-status"), Some("allowed"));
    assert_eq!(answer.header("x-ratelimit-window"), Some("five_hour"));
    let reset = answer.header("x-ratelimit-reset-requests").unwrap().strip_suffix('s').unwrap();
    assert!((3500..=3600).contains(&reset.parse().unwrap()), "{reset}");
    assert_eq!(stack.claude.health().subscription["five_hour"].status.as_deref(), Some("allowed"));

    let answer = stack.ask(says("[[usage-limit]]")).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    let wait: u64 = answer.header("retry-after").expect("when to try again").parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
}
