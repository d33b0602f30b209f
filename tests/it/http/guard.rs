//! Pages and host names that the guard lets in or keeps out.

use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;
use tower::Layer;
use tower_claude::FinishReason;
use tower_claude::http::{ApiService, GuardLayer};

use crate::support::answer::{Answer, ask, body, post};
use crate::support::snapshot::assert_snapshot;
use crate::support::turns::{finished, says};

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
    let answer = send(&guard, "evil.example", None).await;
    assert_snapshot!("http/guard_host", "A foreign host name is refused, with what to do about it.", answer.shown(""));
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
    for (host, origin) in [("localhost:3456", "http://localhost:3456"), ("127.0.0.1", "http://127.0.0.1:80")] {
        let answer = send(&guard, host, Some(origin)).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, None), "{origin}");
    }
    for origin in [
        "https://evil.example",
        "http://localhost:5173",
        "http://localhost",
        "null",
        "file://",
        "",
        "https://localhost:3456",
    ] {
        assert_eq!(send(&guard, "localhost:3456", Some(origin)).await.status, 403, "{origin}");
    }
    let answer = send(&guard, "localhost:3456", Some("https://evil.example")).await;
    assert_snapshot!("http/guard_origin", "A foreign page is refused, with what to do about it.", answer.shown(""));
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
    let mut request = crate::support::answer::get("/nowhere");
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
    let answer = preflight("https://chat.example").await;
    assert_snapshot!("http/guard_preflight", "An allowed page may send what it asks to send.", answer.shown(""));
    assert_eq!(preflight("https://evil.example").await.status, 403);
}

/// Sends a request with these headers, whatever they are.
async fn send_headers(guard: GuardLayer, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = post(&body(json!({})));
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    ask(guard.layer(ApiService::new(says([finished(FinishReason::Stop)]))), request).await
}

#[tokio::test]
async fn behind_a_proxy_that_speaks_tls_the_own_pages_are_https_ones() {
    let own = [("host", "127.0.0.1"), ("origin", "https://127.0.0.1"), ("x-forwarded-proto", "https")];
    assert_eq!(send_headers(GuardLayer::new(), &own).await.status, 200);
    assert_eq!(send_headers(GuardLayer::new(), &own[..2]).await.status, 403);
    let plain = [("host", "127.0.0.1"), ("origin", "http://127.0.0.1"), ("x-forwarded-proto", "https")];
    assert_eq!(send_headers(GuardLayer::new(), &plain).await.status, 403);
}

#[tokio::test]
async fn a_header_that_may_be_there_once_is_refused_twice() {
    for name in ["host", "origin"] {
        let twice = [(name, "localhost"), (name, "localhost")];
        let answer = send_headers(GuardLayer::new().allow_origins(["localhost"]), &twice).await;
        assert_eq!(answer.status, 400, "{name}");
        assert_eq!(answer.json()["error"]["message"], format!("The request has two `{name}` headers. Send one."));
    }
}

#[tokio::test]
async fn a_request_without_a_host_is_refused_where_one_is_required() {
    assert_eq!(send_headers(GuardLayer::new(), &[]).await.status, 200);
    assert_eq!(send_headers(GuardLayer::new().require_host(), &[]).await.status, 400);
    assert_eq!(send_headers(GuardLayer::new().require_host(), &[("host", "localhost")]).await.status, 200);
}

#[tokio::test]
async fn what_another_sites_page_embeds_is_refused_and_a_link_that_a_person_follows_is_not() {
    let embedded = [("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")];
    assert_eq!(send_headers(GuardLayer::new(), &embedded).await.status, 403);
    assert_eq!(send_headers(GuardLayer::new().allow_origins(["*"]), &embedded).await.status, 200);
    let link = [("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(send_headers(GuardLayer::new(), &link).await.status, 200);
    let own = [("host", "localhost"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")];
    assert_eq!(send_headers(GuardLayer::new(), &own).await.status, 200);
}

#[test]
fn it_is_ready_when_the_service_within_is() {
    use futures_util::FutureExt;
    use tower::ServiceExt;

    let guarded = |at_once| {
        let inner = ApiService::new(says([finished(FinishReason::Stop)]));
        GuardLayer::new().layer(tower::limit::ConcurrencyLimit::new(inner, at_once))
    };
    let is_ready =
        |at_once| ServiceExt::<Request<Full<bytes::Bytes>>>::ready(&mut guarded(at_once)).now_or_never().is_some();
    assert!(is_ready(1) && !is_ready(0));
}

#[tokio::test]
async fn an_applications_own_pages_are_guarded_by_a_layer_of_its_router() {
    let app = axum::Router::new()
        .route("/", axum::routing::get(|| async { "the application's own page" }))
        .nest_service("/v1", ApiService::new(says([finished(FinishReason::Stop)])))
        .layer(GuardLayer::new());
    for path in ["/", "/v1/models"] {
        for (host, status) in [("localhost", 200), ("rebound.example", 403)] {
            let request = Request::get(path).header("host", host).body(axum::body::Body::empty()).unwrap();
            let response = tower::ServiceExt::oneshot(app.clone(), request).await.unwrap();
            assert_eq!(response.status(), status, "{path} of {host}");
        }
    }
}
