//! Routes, methods, models, health and the API key.

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_claude::chat::Model;
use tower_claude::http::{Access, ApiService, Body, ObserveLayer, RequestReport};
use tower_claude::{Error, ErrorKind, FinishReason};

use crate::support::answer::{Answer, ask, body, get, post};
use crate::support::snapshot::assert_snapshot;
use crate::support::turns::{Inner, finished, inner, refuses, response, says, text};

fn service() -> ApiService<Inner> {
    ApiService::new(says([text("Hello"), finished(FinishReason::Stop)])).models(["claude-opus-4", "anthropic/opus"])
}

#[tokio::test]
async fn chat_is_found_under_each_form_of_its_path() {
    for path in ["/v1/chat/completions", "/chat/completions", "/v1/chat/completions/", "/v1/chat/completions?x=1"] {
        let mut request = post(&body(json!({})));
        *request.uri_mut() = path.parse().unwrap();
        assert_eq!(ask(service(), request).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_path_that_is_no_route_is_404_with_openais_body() {
    let answer = ask(service(), get("/v1/embeddings")).await;
    assert_snapshot!("http/route_not_found", "A path that is no route is 404, with OpenAI's body.", answer.shown(""));
}

#[tokio::test]
async fn a_method_that_a_route_does_not_take_is_405_and_names_those_it_takes() {
    let answer = ask(service(), get("/v1/chat/completions")).await;
    assert_snapshot!("http/route_method_not_allowed", "405 names the methods that the route takes.", answer.shown(""));
    for (method, path) in [(Method::POST, "/v1/models"), (Method::DELETE, "/v1/models/x"), (Method::PUT, "/health")] {
        let request = Request::builder().method(method).uri(path).body(Full::default()).unwrap();
        let answer = ask(service(), request).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some("GET, HEAD")), "{path}");
    }
}

#[tokio::test]
async fn models_are_listed_in_the_operators_order() {
    let answer = ask(service(), get("/v1/models")).await.json();
    let ids: Vec<&str> = answer["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["claude-opus-4", "anthropic/opus"]);
    assert_eq!(answer["data"][0]["owned_by"], "tower-claude", "of an id that is all that is known");
}

#[tokio::test]
async fn a_model_is_listed_with_what_is_known_of_it() {
    let model = Model::new("tiny").display_name("Tiny").owned_by("us").context_window(8_000);
    let service = service().models([model]);
    let answer = ask(service.clone(), get("/v1/models")).await.json();
    assert_eq!(answer["data"][0]["owned_by"], "us");
    let for_codex = &answer["models"][0];
    assert_eq!((&for_codex["display_name"], &for_codex["context_window"]), (&json!("Tiny"), &json!(8_000)));

    let mut request = get("/v1/models/tiny");
    request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
    let (_, body) = service.oneshot(request).await.unwrap().into_parts();
    let answer: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((&answer["id"], &answer["display_name"]), (&json!("tiny"), &json!("Tiny")));
}

#[tokio::test]
async fn a_model_is_found_by_its_id_slashes_and_all() {
    for path in ["/v1/models/anthropic/opus", "/v1/models/anthropic%2Fopus"] {
        assert_eq!(ask(service(), get(path)).await.json()["id"], "anthropic/opus");
    }
    let answer = ask(service(), get("/v1/models/gpt-4")).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (404, json!("model_not_found")));
}

#[tokio::test]
async fn what_is_asked_for_beside_the_routes_is_404_with_what_to_do() {
    for (path, advice) in [
        ("/v1/responses/compact", "a summary of your own"),
        ("/v1/v1/messages", "give it the URL without that at the end"),
        ("/v1/embeddings", "`POST /v1/messages`"),
    ] {
        let mut request = get(path);
        *request.method_mut() = Method::POST;
        let answer = ask(service(), request).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (404, json!("not_found")));
        let message = answer.json()["error"]["message"].to_string();
        assert!(message.contains(advice), "{message}");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    for path in ["/v1/models", "/health"] {
        let whole = ask(service(), get(path)).await;
        let mut request = get(path);
        *request.method_mut() = Method::HEAD;
        let head = ask(service(), request).await;
        assert_eq!(head.status, 200);
        assert!(head.body.is_empty());
        assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
    }
}

#[tokio::test]
async fn health_is_ok_and_what_the_operator_adds() {
    let bodies = json!({"bytes": 0, "max": 268_435_456});
    let answer = ask(service(), get("/health")).await;
    assert_eq!(answer.json(), json!({"status": "ok", "bodies": bodies}));

    let answer = ask(service().health(|| json!({"queue": 3})), get("/health")).await;
    assert_eq!(answer.json(), json!({"status": "ok", "queue": 3, "bodies": bodies}));

    for (status, code) in [("ok", 200), ("degraded", 200), ("unavailable", 503)] {
        let answer = ask(service().health(move || json!({"status": status})), get("/health")).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (code, json!({"status": status, "bodies": bodies})));
    }
}

#[tokio::test]
async fn with_an_api_key_all_but_health_want_it() {
    let service = service().api_key("sk-local");
    let with = |mut request: Request<Full<bytes::Bytes>>, value: &str| {
        request.headers_mut().insert("authorization", value.parse().unwrap());
        request
    };
    let chat = || post(&body(json!({})));
    let answer = ask(service.clone(), chat()).await;
    assert_snapshot!("http/api_key_missing", "Without the key it is 401, with OpenAI's body.", answer.shown(""));
    for wrong in ["Bearer sk-loca", "Bearer sk-local2", "Bearer SK-LOCAL", "Basic sk-local", "sk-local"] {
        let answer = ask(service.clone(), with(chat(), wrong)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, json!("invalid_api_key")), "{wrong}");
    }
    assert_eq!(ask(service.clone(), with(chat(), "Bearer sk-local")).await.status, 200);
    for path in ["/v1/models", "/v1/models/claude-opus-4"] {
        assert_eq!(ask(service.clone(), get(path)).await.status, 401, "{path}");
        assert_eq!(ask(service.clone(), with(get(path), "bearer sk-local")).await.status, 200, "{path}");
    }
    assert_eq!(ask(service, get("/health")).await.status, 200);
}

#[tokio::test]
async fn no_route_of_an_api_answers_without_the_key() {
    let service = service().api_key("sk-local");
    for (method, path) in [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/responses/input_tokens"),
        ("GET", "/v1/responses/resp_a"),
        ("DELETE", "/v1/responses/resp_a"),
        ("POST", "/v1/responses/resp_a/cancel"),
        ("GET", "/v1/responses/resp_a/input_items"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/models"),
        ("HEAD", "/v1/models"),
        ("GET", "/v1/models/claude-opus-4"),
    ] {
        let ask = |key: Option<&str>| {
            let mut request = post(&body(json!({})));
            *request.method_mut() = method.parse().unwrap();
            *request.uri_mut() = path.parse().unwrap();
            if let Some(key) = key {
                request.headers_mut().insert("x-api-key", key.parse().unwrap());
            }
            service.clone().oneshot(request)
        };
        for key in [None, Some("sk-other")] {
            assert_eq!(ask(key).await.unwrap().status(), 401, "{method} {path} with {key:?}");
        }
        assert_ne!(ask(Some("sk-local")).await.unwrap().status(), 401, "{method} {path}");
    }
}

#[tokio::test]
async fn a_route_of_the_operators_own_is_open_or_wants_the_key() {
    let page = |text: &'static str| move || http::Response::new(Body::from(bytes::Bytes::from_static(text.as_bytes())));
    let service = service()
        .api_key("sk-local")
        .get("/", Access::Open, page("first"))
        .get("/", Access::Open, page("home"))
        .get("/page", Access::Key, page("page"));
    let ask = |method: &str, path: &str, key: Option<&str>| {
        let request = Request::builder().method(method).uri(path);
        let request = key.into_iter().fold(request, |request, key| request.header("x-api-key", key));
        let answer = service.clone().oneshot(request.body(Full::<bytes::Bytes>::default()).unwrap());
        async { Answer::of(answer.await.unwrap()).await }
    };
    let home = ask("GET", "/", None).await;
    assert_eq!((home.status.as_u16(), home.body.as_ref()), (200, &b"home"[..]), "the later one replaces the earlier");
    assert_eq!(home.header("cache-control"), Some("no-store"));
    for path in ["/page", "/page/"] {
        assert_eq!(ask("GET", path, None).await.status, 401);
        assert_eq!(ask("GET", path, Some("sk-other")).await.status, 401);
        let page = ask("GET", path, Some("sk-local")).await;
        assert_eq!((page.status.as_u16(), page.body.as_ref()), (200, &b"page"[..]));
    }
    assert_eq!(ask("GET", "/pages", Some("sk-local")).await.status, 404);
    let head = ask("HEAD", "/page", Some("sk-local")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let refused = ask("POST", "/page", Some("sk-local")).await;
    assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn a_named_key_tells_layers_and_observers_whose_it_is() {
    let (seen, mut callers) = tokio::sync::mpsc::unbounded_channel();
    let inner = inner(move |request| {
        seen.send(request.caller.name.as_deref().map(str::to_owned)).unwrap();
        std::future::ready(Ok(response([finished(FinishReason::Stop)].into_iter().collect())))
    });
    let service = ApiService::new(inner).api_key("sk-0").api_keys([("ada", "sk-1"), ("bob", "sk-2"), ("ada", "sk-3")]);
    let (reports, observed) = std::sync::mpsc::channel();
    let observe = ObserveLayer::new(move |report: &RequestReport| {
        let _ = reports.send(report.key.as_deref().map(str::to_owned));
    });
    for (key, name) in [("sk-0", None), ("sk-1", Some("ada")), ("sk-2", Some("bob")), ("sk-3", Some("ada"))] {
        for (mut request, asks_the_model) in [(post(&body(json!({}))), true), (get("/v1/models"), false)] {
            request.headers_mut().insert("x-api-key", key.parse().unwrap());
            let response = observe.layer(service.clone()).oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
            if asks_the_model {
                assert_eq!(callers.recv().await.unwrap().as_deref(), name, "{key}");
            }
            // The request is over when its answer has gone.
            drop(response);
            assert_eq!(observed.try_recv().unwrap().as_deref(), name, "{key}");
        }
    }
    let mut request = post(&body(json!({})));
    request.headers_mut().insert("x-api-key", "ada".parse().unwrap());
    assert_eq!(ask(service, request).await.status, 401);
}

#[tokio::test]
async fn whether_it_runs_and_whether_it_takes_requests_are_asked_apart_and_without_a_key() {
    for path in ["/live", "/v1/live/", "/ready"] {
        let answer = ask(service().api_key("sk-1"), get(path)).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let service = || service().health(|| json!({"status": "degraded"})).ready(|| Err("draining"));
    assert_eq!(ask(service(), get("/live")).await.json(), json!({"status": "live"}));
    let answer = ask(service(), get("/ready")).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (503, json!({"status": "draining"})));
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(ask(service(), get("/health")).await.status, 200);
}

#[tokio::test]
async fn whoever_is_to_come_again_is_told_when() {
    for (kind, seconds) in [
        (ErrorKind::RateLimited, "30"),
        (ErrorKind::QueueFull, "5"),
        (ErrorKind::Overloaded, "5"),
        (ErrorKind::BodyMemoryFull, "5"),
    ] {
        for path in ["/v1/chat/completions", "/v1/messages"] {
            let mut request = post(&body(json!({"max_tokens": 100})));
            *request.uri_mut() = path.parse().unwrap();
            let service = ApiService::new(refuses(Error::new(kind, "Not now.")));
            let (parts, _) = service.oneshot(request).await.unwrap().into_parts();
            assert_eq!(parts.headers["retry-after"], seconds, "{kind:?} {path}");
        }
    }
    let known = Error::new(ErrorKind::RateLimited, "Not now.").with_retry_after(std::time::Duration::from_secs(90));
    let answer = ask(ApiService::new(refuses(known)), post(&body(json!({})))).await;
    assert_eq!(answer.header("retry-after"), Some("90"));
}
