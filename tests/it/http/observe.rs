//! What observers and metrics are told of requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};
use tower_claude::http::{ApiService, GuardLayer, HttpStack, MetricsLayer, ObserveLayer, Outcome, RequestReport};
use tower_claude::{ChatEvent, Error, ErrorKind, EventStream, FinishReason, Usage};

use crate::support::answer::{body, get, post};
use crate::support::in_time;
use crate::support::turns::{Inner, finished, inner, refuses, response, says, says_or_fails, text};

/// The assembled edge in front of this, and the reports of its requests.
fn observed(
    inner: Inner,
    key: Option<&str>,
) -> (
    impl Service<
        Request<Full<Bytes>>,
        Response = Response<impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>>,
        Error = Infallible,
    > + Clone,
    Receiver<RequestReport>,
) {
    let (reports, told) = channel();
    let layer = ObserveLayer::new(move |report: &RequestReport| reports.send(report.clone()).unwrap());
    let mut api = ApiService::new(inner);
    if let Some(key) = key {
        api = api.api_keys([("ada", key)]);
    }
    (layer.layer(HttpStack::new(api, GuardLayer::new())), told)
}

async fn report_of(inner: Inner, request: Request<Full<Bytes>>) -> RequestReport {
    let (service, told) = observed(inner, None);
    service.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    told.try_recv().expect("the request is over")
}

#[tokio::test]
async fn an_answer_is_told_of_once_when_all_of_it_has_gone() {
    let (service, told) = observed(says([text("hi"), finished(FinishReason::Stop)]), None);
    let mut request = post(&body(json!({"stream": true})));
    request.headers_mut().insert("x-request-id", "id-1".parse().unwrap());
    let mut answer = service.oneshot(request).await.unwrap().into_body();
    while answer.frame().await.is_some() {}
    assert!(told.try_recv().is_err(), "the body is still held");
    drop(answer);

    let report = told.try_recv().unwrap();
    assert!(told.try_recv().is_err());
    assert_eq!((report.method.as_str(), report.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!((report.door, report.model.as_deref()), (Some("chat_completions"), Some("claude-opus-4-8")));
    assert_eq!(report.requested_model.as_deref(), Some("claude-opus-4"));
    assert!(report.response_id.as_deref().is_some_and(|id| id.starts_with("chatcmpl-")));
    assert_eq!((report.status, report.request_id.as_deref()), (Some(StatusCode::OK), Some("id-1")));
    assert_eq!((report.outcome, report.streamed), (Outcome::Finished(FinishReason::Stop), true));
    assert_eq!((report.usage.prompt_tokens, report.usage.completion_tokens), (100, 20));
    assert_eq!(report.cache_share(), Some(0.6));
    assert!(report.first_token.unwrap() <= report.total);
}

#[tokio::test]
async fn every_door_has_its_name() {
    for (path, door) in [("/v1/responses", "responses"), ("/v1/messages", "messages")] {
        let json =
            json!({"model": "opus", "max_tokens": 5, "input": "hi", "messages": [{"role": "user", "content": "hi"}]});
        let mut request = post(&json);
        *request.uri_mut() = path.parse().unwrap();
        let (service, told) = observed(says([text("hi"), finished(FinishReason::Stop)]), None);
        let answer = service.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        let (answer, report): (Value, _) = (serde_json::from_slice(&answer).unwrap(), told.try_recv().unwrap());
        assert_eq!((report.door, report.outcome.as_str()), (Some(door), "stop"), "{path}");
        assert_eq!(report.response_id.as_deref(), answer["id"].as_str(), "{path}");
        assert_eq!(report.requested_model.as_deref(), Some("opus"), "{path}");
    }
}

#[tokio::test]
async fn a_models_name_may_be_as_long_as_it_likes_and_its_beginning_is_told() {
    let model = "é".repeat(1000);
    let request = post(&body(json!({"model": model})));
    let report = report_of(refuses(Error::new(ErrorKind::ModelNotFound, "No.")), request).await;
    assert_eq!(report.requested_model.as_deref(), Some(&model[..128]));
    assert_eq!(report.response_id, None);
}

#[tokio::test]
async fn choices_are_counted_together() {
    let report = report_of(says([text("hi"), finished(FinishReason::Length)]), post(&body(json!({"n": 2})))).await;
    assert_eq!((report.usage.prompt_tokens, report.outcome.as_str()), (200, "length"));
}

#[tokio::test]
async fn each_choice_ended_for_its_reason() {
    let asked = Arc::new(AtomicUsize::new(0));
    let reasons = [FinishReason::Length, FinishReason::Stop, FinishReason::Stop];
    let varied = inner(move |_| {
        let reason = reasons[asked.fetch_add(1, Ordering::Relaxed) % reasons.len()];
        let events = [Ok(text("hi")), Ok(finished(reason))];
        std::future::ready(Ok(response(EventStream::new(futures_util::stream::iter(events)))))
    });
    let (service, told) = observed(varied, None);
    let answer = service.oneshot(post(&body(json!({"n": 3})))).await.unwrap().into_body().collect().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.to_bytes()).unwrap();
    let answered: Vec<_> = answer["choices"].as_array().unwrap().iter().map(|it| it["finish_reason"].clone()).collect();
    let report = told.try_recv().unwrap();
    assert_eq!(report.finish_reasons.iter().map(|reason| json!(reason)).collect::<Vec<_>>(), answered);
    assert!(answered.contains(&json!("length")) && answered.contains(&json!("stop")), "{answered:?}");

    let fails = says_or_fails([Ok(text("hi")), Err(Error::new(ErrorKind::Overloaded, "No."))]);
    assert_eq!(report_of(fails, post(&body(json!({})))).await.finish_reasons, []);
}

#[tokio::test]
async fn a_client_that_hangs_up_is_told_apart_with_what_it_has_cost_so_far() {
    let slow = inner(|_| {
        let begun = [Ok(ChatEvent::Usage(Usage::new(100, 1))), Ok(text("hi"))];
        let events = futures_util::stream::iter(begun).chain(futures_util::stream::pending());
        std::future::ready(Ok(response(EventStream::new(events))))
    });
    let (service, told) = observed(slow, None);
    let mut answer = service.oneshot(post(&body(json!({"stream": true})))).await.unwrap().into_body();
    assert!(answer.frame().await.is_some());
    drop(answer);
    let report = told.try_recv().unwrap();
    assert_eq!((report.outcome, report.usage.prompt_tokens), (Outcome::Cancelled, 100));
    assert!(report.first_token.is_some());

    // Gone before there was any answer.
    let (service, told) = observed(inner(|_| std::future::pending()), None);
    assert!(service.oneshot(post(&body(json!({})))).now_or_never().is_none());
    let report = told.try_recv().unwrap();
    assert_eq!((report.outcome, report.status, report.door), (Outcome::Cancelled, None, Some("chat_completions")));
}

#[tokio::test]
async fn failures_are_told_by_their_kind_wherever_they_come() {
    let upstream = || Error::new(ErrorKind::Upstream, "It broke.");
    let in_the_middle = says_or_fails([Ok(text("hi")), Err(upstream())]);
    for stream in [true, false] {
        let report = report_of(in_the_middle.clone(), post(&body(json!({"stream": stream})))).await;
        assert_eq!((report.outcome, report.outcome.as_str()), (Outcome::Failed(ErrorKind::Upstream), "upstream_error"));
        assert_eq!(report.status, Some(if stream { StatusCode::OK } else { StatusCode::BAD_GATEWAY }));
    }
    let report = report_of(refuses(upstream()), post(&body(json!({})))).await;
    assert_eq!((report.outcome, report.model), (Outcome::Failed(ErrorKind::Upstream), None));
    let report = report_of(says([]), post(&json!({"model": "m"}))).await;
    assert_eq!(report.outcome, Outcome::Failed(ErrorKind::InvalidRequest));
}

#[tokio::test]
async fn the_key_is_told_by_its_name_where_it_is_one_that_is_wanted() {
    let (service, told) = observed(says([text("hi"), finished(FinishReason::Stop)]), Some("sk-1"));
    for (key, name, outcome) in [("sk-1", Some("ada"), "stop"), ("sk-2", None, "invalid_api_key")] {
        let mut request = post(&body(json!({})));
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        drop(service.clone().oneshot(request).await.unwrap());
        let report = told.try_recv().unwrap();
        assert_eq!((report.key.as_deref(), report.outcome.as_str()), (name, outcome));
        assert_eq!(report.door, Some("chat_completions"));
    }
}

#[tokio::test]
async fn what_asks_no_model_is_told_by_its_status() {
    let report = report_of(says([]), get("/health?secret")).await;
    assert_eq!((report.door, report.outcome, report.path.as_str()), (None, Outcome::Responded, "/health"));
    let mut foreign = post(&body(json!({})));
    foreign.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    let report = report_of(says([]), foreign).await;
    assert_eq!((report.outcome, report.status), (Outcome::Responded, Some(StatusCode::FORBIDDEN)));
}

#[tokio::test]
async fn several_observers_are_told_the_same() {
    let (reports, told) = channel();
    let layers = [reports.clone(), reports]
        .map(|reports| ObserveLayer::new(move |report: &RequestReport| reports.send(report.outcome.as_str()).unwrap()));
    let service = layers[0].layer(layers[1].layer(ApiService::new(says([text("a"), finished(FinishReason::Stop)]))));
    service.oneshot(post(&body(json!({})))).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["stop", "stop"]);
}

#[tokio::test]
async fn a_turn_in_the_background_is_told_of_when_it_ends() {
    let (events, turn) = tokio::sync::mpsc::unbounded_channel();
    let turn = std::sync::Arc::new(std::sync::Mutex::new(Some(turn)));
    let live = inner(move |_| {
        let turn = turn.lock().unwrap().take().expect("one turn");
        let events = futures_util::stream::unfold(turn, |mut turn| async move {
            let event: ChatEvent = turn.recv().await?;
            Some((Ok(event), turn))
        });
        std::future::ready(Ok(response(EventStream::new(events))))
    });
    let (reports, mut told) = tokio::sync::mpsc::unbounded_channel();
    let layer = ObserveLayer::new(move |report: &RequestReport| reports.send(report.clone()).unwrap());
    let service = layer.layer(ApiService::new(live));
    let mut request = post(&json!({"model": "opus", "input": "hi", "background": true}));
    *request.uri_mut() = "/v1/responses".parse().unwrap();
    service.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    tokio::task::yield_now().await;
    assert!(told.try_recv().is_err(), "the turn goes on");
    events.send(text("hi")).unwrap();
    events.send(finished(FinishReason::Stop)).unwrap();
    let report = in_time("the report", told.recv()).await.unwrap();
    assert_eq!((report.status, report.outcome.as_str()), (Some(StatusCode::OK), "stop"));
}

#[tokio::test]
async fn metrics_have_opentelemetrys_names_and_labels_that_are_not_the_clients_words() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let prometheus = recorder.handle();
    let _installed = metrics::set_default_local_recorder(&recorder);
    MetricsLayer::describe();
    let api = ApiService::new(says([text("hi"), finished(FinishReason::Stop)])).api_keys([("ada", "sk-1")]);
    let service = MetricsLayer::new().layer(HttpStack::new(api, GuardLayer::new()));
    for key in ["sk-1", "sk-2"] {
        let mut request = post(&body(json!({"model": "client-words"})));
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        drop(service.clone().oneshot(request).await.unwrap());
    }
    drop(service.oneshot(get("/health")).await.unwrap());

    let text = prometheus.render();
    for line in [
        "gen_ai_server_request_duration_seconds_count{gen_ai_response_model=\"claude-opus-4-8\",door=\"chat_completions\",\
         key=\"ada\",gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"anthropic\",outcome=\"stop\"} 1",
        "gen_ai_server_request_duration_seconds_count{gen_ai_response_model=\"none\",door=\"chat_completions\",\
         key=\"none\",gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"anthropic\",outcome=\"invalid_api_key\",\
         error_type=\"invalid_api_key\"} 1",
        "gen_ai_server_time_to_first_token_seconds_count{",
        "outcome=\"stop\",gen_ai_token_type=\"input\"} 100",
        "outcome=\"stop\",gen_ai_token_type=\"output\"} 20",
        "tower_claude_cache_read_input_tokens_total{gen_ai_response_model=\"claude-opus-4-8\",door=\"chat_completions\",\
         key=\"ada\"} 60",
        "tower_claude_cache_write_input_tokens_total{gen_ai_response_model=\"claude-opus-4-8\",door=\"chat_completions\",\
         key=\"ada\"} 30",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    assert!(!text.contains("client-words") && !text.contains("sk-"), "{text}");
}
