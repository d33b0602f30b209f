//! The API's failures, each with its own status; never a text answer.

use serde_json::json;
use tower_claude::{ErrorKind, FinishReason};

use crate::support::chat::{Chat, ask_once, call, claude, hear, messages, request, try_ask, user};

#[tokio::test]
async fn each_failure_of_the_api_has_its_own_status_and_code() {
    let claude = claude().build();
    let cases = [
        ("fail 400", 400, None),
        ("fail 401", 401, Some("claude_not_logged_in")),
        ("fail 402", 402, Some("billing_error")),
        ("fail 403", 403, Some("permission_denied")),
        ("fail 404", 404, Some("model_not_found")),
        ("fail 413", 413, Some("request_too_large")),
        ("fail 429", 429, Some("rate_limit_exceeded")),
        ("fail 500", 502, Some("upstream_error")),
        ("fail 503", 503, Some("overloaded")),
        ("fail 529", 503, Some("overloaded")),
        ("fail 529 no-retry", 503, Some("overloaded")),
        ("overflow", 400, Some("context_length_exceeded")),
        ("usage-limit", 429, Some("rate_limit_exceeded")),
        ("extra-usage", 402, Some("extra_usage_required")),
    ];
    for (directive, status, code) in cases {
        let error = try_ask(&claude, messages([user(&format!("[[{directive}]]"))])).await.unwrap_err();
        let found = error.body()["error"]["code"].clone();
        assert_eq!((error.status().as_u16(), found), (status, json!(code)), "{directive}: {error}");
    }
    crate::support::chat::until("no process", || claude.health().processes.total == 0).await;
}

#[tokio::test]
async fn a_usage_limit_says_when_it_ends() {
    let claude = claude().build();
    let error = try_ask(&claude, messages([user("[[usage-limit]]")])).await.unwrap_err();
    let wait = error.retry_after().unwrap().as_secs();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    assert!(error.to_string().contains("5-hour limit"), "{error}");
    assert_eq!(crate::support::chat::health(&claude)["subscription"]["five_hour"]["status"], "rejected");
}

#[tokio::test]
async fn what_is_known_of_the_subscription_is_in_headers_and_health() {
    let claude = claude().build();
    ask_once(&claude, "[[limits]]").await;
    let response = call(&claude, request(messages([user("hi")]))).await.unwrap();
    assert_eq!(response.headers["x-ratelimit-status"], "allowed");
    assert_eq!(response.headers["x-ratelimit-window"], "five_hour");
    assert!(response.headers.contains_key("x-ratelimit-reset-requests"));
    hear(response).await.unwrap();
    assert_eq!(crate::support::chat::health(&claude)["subscription"]["five_hour"]["status"], "allowed");
}

#[tokio::test]
async fn extra_usage_is_told_of_and_refused_where_the_operator_says_so() {
    let refuses = claude().refuse_overage(true).build();
    let allows = claude().build();
    for claude in [&allows, &refuses] {
        assert_eq!(crate::support::chat::health(claude)["overage"], json!(null));
        // Nobody knows before the answer.
        assert_eq!(ask_once(claude, "[[overage]]").await.text, "echo: overage");
        assert_eq!(crate::support::chat::health(claude)["overage"], true);
    }
    let response = call(&allows, request(messages([user("hi")]))).await.unwrap();
    assert_eq!(response.headers["x-ratelimit-overage"], "true");
    let error = call(&refuses, request(messages([user("hi")]))).await.unwrap_err();
    assert_eq!((error.status().as_u16(), &error.body()["error"]["code"]), (429, &json!("overage")));
    let wait = error.retry_after().unwrap().as_secs();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn nobody_logged_in_is_401_that_says_what_to_do() {
    let claude = claude().env("STAND_IN_NOT_LOGGED_IN", "1").build();
    let error = try_ask(&claude, messages([user("hi")])).await.unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::Authentication, 401));
    assert!(error.to_string().contains("/login"), "{error}");
}

#[tokio::test]
async fn a_failure_of_a_live_conversation_leaves_the_conversation_to_be_replayed() {
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    chat.say("hello").await;
    chat.messages().push(user("[[fail 529]]"));
    assert_eq!(chat.try_again().await.unwrap_err().status().as_u16(), 503);
    let last = chat.messages().len() - 1;
    chat.messages()[last] = user("[[history]]");
    let answer = chat.try_again().await.unwrap();
    assert_eq!((answer.process.as_str(), answer.reason), ("cold", Some(FinishReason::Stop)));
    assert_eq!(answer.json()["messages"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn failures_of_the_api_do_not_make_starting_suspicious() {
    let claude = claude().build();
    for _ in 0..4 {
        try_ask(&claude, messages([user("[[fail 500]]")])).await.unwrap_err();
    }
    assert_eq!(crate::support::chat::health(&claude)["status"], "ok");
}
