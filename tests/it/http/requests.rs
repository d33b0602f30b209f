//! What becomes of a request's bytes before the inner service sees it.

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_claude::chat::{Abilities, Caller};
use tower_claude::http::ApiService;
use tower_claude::{ChatRequest, FinishReason};

use crate::support::answer::{Answer, ask, body, post};
use crate::support::in_time;
use crate::support::snapshot::assert_snapshot;
use crate::support::turns::{Inner, finished, inner, response, says};

fn service() -> ApiService<Inner> {
    ApiService::new(says([finished(FinishReason::Stop)]))
}

async fn send(bytes: &str) -> Answer {
    let request = Request::post("/v1/chat/completions").body(Full::from(bytes.to_owned())).unwrap();
    ask(service(), request).await
}

#[tokio::test]
async fn bad_json_says_where_it_is_bad() {
    let answer = send("{\n  \"model\": \"m\",\n  \"messages\": [{\"role\": \"user\" \"content\": \"hi\"}]\n}").await;
    assert_snapshot!("http/request_bad_json", "Bad JSON says where it is bad.", answer.shown(""));
}

#[tokio::test]
async fn a_wrong_type_names_the_parameter_and_the_place() {
    let answer = send(r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"user","content":7}]}"#).await;
    assert_snapshot!("http/request_wrong_type", "A wrong type names the parameter.", answer.shown(""));
}

#[tokio::test]
async fn what_is_missing_is_named() {
    for (bytes, param) in [
        (r#"{"messages":[]}"#, json!("model")),
        (r#"{"model":"m"}"#, json!("messages")),
        (r#"{"model":"m","messages":[{"content":"x"}]}"#, json!("messages[0].role")),
        (r#"{"model":"m","messages":[],"tools":[{"type":"function"}]}"#, json!("tools[0].function")),
        ("", json!(null)),
        ("[]", json!(null)),
        ("\u{0}", json!(null)),
    ] {
        let answer = send(bytes).await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"]["param"].clone()), (400, param), "{bytes:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_refused() {
    let bytes = b"{\"model\":\"m\xff\",\"messages\":[]}".to_vec();
    let request = Request::post("/v1/chat/completions").body(Full::from(bytes)).unwrap();
    assert_eq!(ask(service(), request).await.status, 400);
}

/// At every door, in a place that is read and in one that is not.
#[tokio::test]
async fn json_that_would_be_read_in_two_ways_or_not_at_all_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let odd = [&*deep, r#""\ud800""#, r#""\udc00 \ud800""#, "1e999", "01", "\"\u{1}\"", "[1,]", "nul"];
    for (path, request) in [
        ("/v1/chat/completions", r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"metadata":{"a":ODD}}"#),
        ("/v1/chat/completions", r#"{"model":"m","messages":[{"role":"user","content":ODD}]}"#),
        ("/v1/chat/completions", r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"unread":ODD}"#),
        ("/v1/responses", r#"{"model":"m","input":"hi","unread":ODD}"#),
        ("/v1/responses", r#"{"model":"m","input":ODD}"#),
        ("/v1/messages", r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"unread":ODD}"#),
        ("/v1/messages", r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":ODD}]}"#),
    ] {
        let status = async |value: &str| {
            let request = Request::post(path).body(Full::<bytes::Bytes>::from(request.replace("ODD", value))).unwrap();
            let (parts, _) = service().oneshot(request).await.unwrap().into_parts();
            parts.status.as_u16()
        };
        assert_eq!(status(r#""\ud83d\ude00 \u0000""#).await, 200, "{path} {request}");
        for value in odd {
            assert_eq!(status(value).await, 400, "{path} {request} {}", &value[..value.len().min(40)]);
        }
    }
}

#[tokio::test]
async fn a_field_that_stands_there_twice_is_refused_by_name() {
    for (path, request, named) in [
        ("/v1/chat/completions", r#"{"model":"m","model":"n","messages":[{"role":"user","content":"hi"}]}"#, "model"),
        (
            "/v1/chat/completions",
            r#"{"model":"m","messages":[{"role":"user","content":"hi","role":"system"}]}"#,
            "role",
        ),
        ("/v1/responses", r#"{"model":"m","input":"hi","input":"ho"}"#, "input"),
        ("/v1/messages", r#"{"model":"m","max_tokens":9,"max_tokens":8,"messages":[]}"#, "max_tokens"),
    ] {
        let request = Request::post(path).body(Full::<bytes::Bytes>::from(request)).unwrap();
        let (parts, body) = service().oneshot(request).await.unwrap().into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        let said = String::from_utf8_lossy(&body);
        assert!(parts.status == 400 && said.contains(&format!("duplicate field `{named}`")), "{path}: {said}");
    }
}

#[tokio::test]
async fn only_json_is_taken_and_a_missing_type_counts_as_json() {
    let typed = |kind: &str| {
        let mut request = post(&body(json!({})));
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        request
    };
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"] {
        assert_eq!(ask(service(), typed(kind)).await.status, 200, "{kind}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=+json", "json"] {
        assert_eq!(ask(service(), typed(kind)).await.status, 400, "{kind}");
    }
    let answer = ask(service(), typed("text/plain;charset=utf-8")).await;
    assert_snapshot!("http/request_not_json", "A content type that is not JSON is refused.", answer.shown(""));
    let mut untyped = post(&body(json!({})));
    untyped.headers_mut().remove("content-type");
    assert_eq!(ask(service(), untyped).await.status, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_one_at_the_limit_is_not() {
    let request = body(json!({"user": "x".repeat(100)}));
    let length = request.to_string().len();
    assert_eq!(ask(service().body_limit(length), post(&request)).await.status, 200);
    let answer = ask(service().body_limit(length - 1), post(&request)).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (413, json!("request_too_large")));
    assert!(answer.text().contains(&format!("limit of {} bytes", length - 1)));
}

/// Who asks, as the inner service sees it, for each of these requests' headers.
async fn callers(requests: &[&[(&'static str, &str)]]) -> Vec<Caller> {
    let (seen, mut callers) = tokio::sync::mpsc::unbounded_channel();
    let service = ApiService::new(inner(move |request| {
        seen.send(request.caller).unwrap();
        std::future::ready(Ok(response([finished(FinishReason::Stop)].into_iter().collect())))
    }));
    let mut all = Vec::new();
    for headers in requests {
        let mut request = post(&body(json!({})));
        for (name, value) in *headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        assert_eq!(ask(service.clone(), request).await.status, 200);
        all.push(in_time("the caller", callers.recv()).await.unwrap());
    }
    all
}

#[tokio::test]
async fn callers_are_told_apart_by_their_key() {
    let keys = ["Bearer one", "bearer one", "Bearer two"].map(|key| [("authorization", key)]);
    let callers = callers(&[&keys[0], &keys[1], &keys[2], &[]]).await;
    assert_eq!(callers[0], callers[1]);
    assert_ne!(callers[0], callers[2]);
    assert_eq!(callers[3], Caller::default());
}

#[tokio::test]
async fn a_session_is_named_by_either_of_two_headers() {
    let callers = callers(&[&[("session_id", "b"), ("x-session-affinity", "a")], &[("session_id", "b")]]).await;
    let sessions: Vec<_> = callers.iter().map(|caller| caller.session.as_deref()).collect();
    assert_eq!(sessions, [Some("a"), Some("b")]);
}

/// The status and the error's message of a request with these fields to a service that can do this, or what that gets.
async fn asked(abilities: Abilities, fields: Value) -> Result<(ChatRequest, Option<String>), (u16, String)> {
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let inner = inner(move |request| {
        seen.send(request).unwrap();
        std::future::ready(Ok(response([finished(FinishReason::Stop)].into_iter().collect())))
    });
    let answer = ask(ApiService::new(inner).abilities(abilities), post(&body(fields))).await;
    if answer.status != 200 {
        return Err((answer.status.as_u16(), answer.json()["error"]["message"].as_str().unwrap().to_owned()));
    }
    Ok((requests.recv().await.unwrap(), answer.header("x-ignored-parameters").map(str::to_owned)))
}

#[tokio::test]
async fn what_an_api_knows_is_handed_on_unless_the_inner_service_says_otherwise() {
    let fields = json!({"temperature": 0.5, "seed": 7, "of_tomorrow": 1});
    let (request, ignored) = asked(Abilities::new(), fields.clone()).await.unwrap();
    assert_eq!(request.extra["temperature"], 0.5);
    assert_eq!(request.extra.get("of_tomorrow"), None, "it is no more than named, however large it is");
    assert_eq!(ignored.as_deref(), Some("of_tomorrow"));

    let abilities = Abilities::new().ignores(["temperature"]).honours(["of_tomorrow", "messages[].mood"]);
    let messages = json!([{"role": "user", "content": "hi", "mood": "good", "weather": "bad"}]);
    let (request, ignored) =
        asked(abilities, json!({"temperature": 0.5, "of_tomorrow": 1, "messages": messages})).await.unwrap();
    assert_eq!(ignored.as_deref(), Some("temperature, messages[].weather"));
    assert_eq!((&request.extra["of_tomorrow"], &request.messages[0].extra["mood"]), (&json!(1), &json!("good")));

    let abilities = Abilities::new().refuses("seed", "It is never the same twice.");
    let refusal = (400, "`seed` is not supported with this value. It is never the same twice.".to_owned());
    assert_eq!(asked(abilities, fields).await.unwrap_err(), refusal);
}

#[tokio::test]
async fn an_answer_goes_on_from_the_assistants_words_where_the_inner_service_can() {
    let messages = json!([{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One, two,"}]);
    let fields = json!({"messages": messages});
    let (request, _) = asked(Abilities::new(), fields.clone()).await.unwrap();
    assert_eq!(request.messages[1].text(), "One, two,");
    let (status, message) = asked(Abilities::new().refuses_prefill("End with a user's."), fields).await.unwrap_err();
    assert_eq!((status, message.as_str()), (400, "The last message is the assistant's own. End with a user's."));
}

#[tokio::test]
async fn parts_that_only_the_inner_service_knows_reach_it() {
    let part = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}});
    let fields = json!({"messages": [{"role": "user", "content": [part]}]});
    assert_eq!(asked(Abilities::new(), fields.clone()).await.unwrap_err().0, 400);
    let (request, ignored) = asked(Abilities::new().honours(["input_audio"]), fields).await.unwrap();
    assert_eq!(ignored, None);
    assert_eq!(serde_json::to_value(&request.messages[0].content).unwrap(), json!([part]));
}
