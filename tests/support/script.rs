//! Scripted turns to put behind the edge, and a client that reads its answers and checks them against the schema.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream, FinishReason, Usage};

use super::schema;

pub type Inner = BoxCloneSyncService<ChatRequest, ChatResponse, Error>;

/// A service of chat requests made of a closure.
pub fn inner<F, Fut>(answer: F) -> Inner
where
    F: Fn(ChatRequest) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<ChatResponse, Error>> + Send + 'static,
{
    BoxCloneSyncService::new(tower::service_fn(answer))
}

/// One that answers every request with these events.
pub fn says(events: impl IntoIterator<Item = ChatEvent>) -> Inner {
    let events: Vec<ChatEvent> = events.into_iter().collect();
    inner(move |_| std::future::ready(Ok(response(EventStream::from_iter(events.clone())))))
}

/// One that answers every request with these events, of which some may be failures.
pub fn says_or_fails(events: impl IntoIterator<Item = Result<ChatEvent, Error>>) -> Inner {
    let events: Vec<_> = events.into_iter().collect();
    inner(move |_| std::future::ready(Ok(response(EventStream::new(futures_util::stream::iter(events.clone()))))))
}

/// One that refuses every request.
pub fn refuses(error: Error) -> Inner {
    inner(move |_| std::future::ready(Err(error.clone())))
}

/// An answer whose head is the same in each test.
pub fn response(events: EventStream) -> ChatResponse {
    let mut response = ChatResponse::new("claude-opus-4-8", events);
    response.id = "chatcmpl-0".to_owned();
    response.created = 1_700_000_000;
    response
}

pub fn text(text: &str) -> ChatEvent {
    ChatEvent::TextDelta(text.to_owned())
}

pub fn reasoning(text: &str) -> ChatEvent {
    ChatEvent::ReasoningDelta(text.to_owned())
}

pub fn call(index: u32, id: &str, name: &str) -> ChatEvent {
    ChatEvent::tool_call_start(index, id, name)
}

pub fn arguments(index: u32, arguments: &str) -> ChatEvent {
    ChatEvent::tool_call_delta(index, arguments)
}

pub fn finished(reason: FinishReason) -> ChatEvent {
    let mut usage = Usage::new(100, 20);
    (usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens) = (60, 30, 5);
    ChatEvent::finished(reason, usage)
}

/// A request's body, with these fields beside the model and one message.
pub fn body(fields: Value) -> Value {
    let mut body = json!({"model": "claude-opus-4", "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// The HTTP request with this body.
pub fn post(body: &Value) -> Request<Full<Bytes>> {
    Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap()
}

pub fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Sends a request, and checks what comes back against the schema.
pub async fn ask<S, B>(service: S, request: Request<Full<Bytes>>) -> Answer
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }.validated()
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code of a failure.
    pub fn code(&self) -> Value {
        self.json()["error"]["code"].clone()
    }

    /// The data of each server-sent event, comments left out.
    pub fn data(&self) -> Vec<&str> {
        self.text().split_terminator("\n\n").filter(|event| !event.starts_with(':')).map(event_data).collect()
    }

    /// The chunks of a stream that ended as it should.
    pub fn chunks(&self) -> Vec<Value> {
        let mut data = self.data();
        assert_eq!(data.pop(), Some("[DONE]"), "{}", self.text());
        data.iter().map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    /// The same, if it is as the schema has it.
    pub fn validated(self) -> Self {
        match self.header("content-type") {
            Some("text/event-stream") => self.data().into_iter().for_each(validate_event),
            Some("application/json") if !self.body.is_empty() => {
                let json = self.json();
                match json["object"].as_str() {
                    Some("chat.completion") => schema::assert_valid_completion(&json),
                    Some("list") => schema::assert_valid_models(&json),
                    Some("model") => schema::assert_valid_model(&json),
                    _ if json.get("status").is_some() => {}
                    _ => schema::assert_valid_error(&json),
                }
            }
            _ => assert!(self.body.is_empty(), "a body of no known type: {:?}", self.body),
        }
        self
    }
}

fn event_data(event: &str) -> &str {
    event.strip_prefix("data: ").unwrap_or_else(|| panic!("not an event: {event:?}"))
}

fn validate_event(data: &str) {
    if data != "[DONE]" {
        let json: Value = serde_json::from_str(data).unwrap();
        if json.get("error").is_some() { schema::assert_valid_error(&json) } else { schema::assert_valid_chunk(&json) }
    }
}

/// Compares with the snapshot of this name.
pub fn snapshot(name: &str, answer: &Answer) {
    let headers: Vec<String> =
        answer.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    let body = match answer.header("content-type") {
        Some("application/json") => serde_json::to_string_pretty(&answer.json()).unwrap(),
        _ => answer.text().to_owned(),
    };
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, format!("{}\n{}\n\n{body}", answer.status, headers.join("\n"))));
}
