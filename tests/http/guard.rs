//! Pages and host names that the guard lets in or keeps out.

use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;
use tower::Layer;
use tower_claude::FinishReason;
use tower_claude::http::{ApiService, GuardLayer};

use crate::script::{Answer, ask, body, finished, post, says, snapshot};

async fn send(guard: &GuardLayer, host: &str, origin: Option<&str>) -> Answer {
    let service = guard.layer(ApiService::new(says([finished(FinishReason::Stop)])));
    let mut request = post(&body(json!({})));
    request.headers_mut().insert("host", host.parse().unwrap());
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().unwrap());
    }
    ask(service, request).await
}

#[tokio::test]
async fn local_names_and_addresses_pass_and_other_names_do_not() {
    let guard = GuardLayer::new();
    for host in [
        "localhost",
        "localhost:3456",
        "LOCALHOST.:1",
        "app.localhost:80",
        "127.0.0.1:3456",
        "[::1]:3456",
        "192.168.1.7",
    ] {
        assert_eq!(send(&guard, host, None).await.status, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example:3456",
        "evillocalhost",
        "127.0.0.1.evil.example",
        "a@localhost",
        "",
        "a b",
    ] {
        let answer = send(&guard, host, None).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, json!("forbidden")), "{host}");
    }
    snapshot("guard_host", &send(&guard, "evil.example", None).await);
}

#[tokio::test]
async fn an_allowed_host_name_passes_with_any_port() {
    let guard = GuardLayer::new().allow_hosts(["Claude.LAN"]);
    for host in ["claude.lan", "claude.lan:3456", "CLAUDE.lan."] {
        assert_eq!(send(&guard, host, None).await.status, 200, "{host}");
    }
    assert_eq!(send(&guard, "x.claude.lan", None).await.status, 403);
}

#[tokio::test]
async fn the_host_of_http_2_is_in_the_uri() {
    let service = GuardLayer::new().layer(ApiService::new(says([])));
    let request = Request::get("http://evil.example/health").body(Full::default()).unwrap();
    assert_eq!(ask(service, request).await.status, 403);
}

#[tokio::test]
async fn a_page_passes_only_from_this_very_host_or_an_allowed_origin() {
    let guard = GuardLayer::new();
    for (host, origin) in [
        ("localhost:3456", "http://localhost:3456"),
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("127.0.0.1:443", "https://127.0.0.1"),
    ] {
        let answer = send(&guard, host, Some(origin)).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, None), "{origin}");
    }
    for origin in ["https://evil.example", "http://localhost:5173", "http://localhost", "null", "file://", ""] {
        assert_eq!(send(&guard, "localhost:3456", Some(origin)).await.status, 403, "{origin}");
    }
    snapshot("guard_origin", &send(&guard, "localhost:3456", Some("https://evil.example")).await);
}

#[tokio::test]
async fn an_allowed_page_may_read_the_answer_failures_included() {
    let guard = GuardLayer::new().allow_origins(["http://localhost:5173/", "https://Chat.Example"]);
    let answer = send(&guard, "localhost:3456", Some("http://localhost:5173")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:5173"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(send(&guard, "localhost", Some("https://chat.example")).await.status, 200);
    assert_eq!(send(&guard, "localhost", Some("https://chat.example:8443")).await.status, 403);

    let service = guard.layer(ApiService::new(says([])));
    let mut request = crate::script::get("/nowhere");
    request.headers_mut().insert("origin", "https://chat.example".parse().unwrap());
    let answer = ask(service, request).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("access-control-allow-origin")),
        (404, Some("https://chat.example"))
    );
}

#[tokio::test]
async fn a_star_lets_every_page_in_but_not_every_host() {
    let guard = GuardLayer::new().allow_origins(["*"]);
    assert_eq!(send(&guard, "localhost", Some("https://any.example")).await.status, 200);
    assert_eq!(send(&guard, "any.example", Some("https://any.example")).await.status, 403);
}

#[tokio::test]
async fn the_preflight_of_an_allowed_page_is_answered_and_of_another_refused() {
    let guard = GuardLayer::new().allow_origins(["https://chat.example"]);
    let preflight = |origin: &str| {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .uri("/v1/chat/completions")
            .header("host", "localhost:3456")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-stainless-lang")
            .header("access-control-request-private-network", "true");
        ask(guard.layer(ApiService::new(says([]))), request.body(Full::default()).unwrap())
    };
    snapshot("guard_preflight", &preflight("https://chat.example").await);
    assert_eq!(preflight("https://evil.example").await.status, 403);
}
