//! Failures: each with its own status before the head, an error event after it.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::stack::{Stack, says};

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
    let Some(stack) = Stack::real_with(|builder| builder.max_processes(4)).await else { return };

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
async fn xx_drop() {
    let Some(stack) = Stack::real_with(|b| match std::env::var("NF") {
        Ok(v) => b.env("CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK", v),
        _ => b,
    })
    .await
    else {
        return;
    };
    for d in ["[[drop]]", "[[slow 200 drop]]", "[[fail 404]]"] {
    let mut b = says(d); 
    let a = stack.ask(b.clone()).await;
    eprintln!("{d} {} {} {}", a.status, a.text(), stack.api.requests().len());
    b["stream"] = json!(true);
    let a = stack.ask(b).await;
    eprintln!("{} {} {}", a.status, a.text(), stack.api.requests().len());
    }
    panic!();
}
