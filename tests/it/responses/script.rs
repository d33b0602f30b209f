//! Scripted turns to put behind the door, and a client that reads its answers and checks them against the schema.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tower_claude::http::{ApiService, Body};
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream, FinishReason, Usage};

use super::schema;

/// What hangs must fail its test, not hang it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Behind the door: each request is answered by the next script, the last one again and again.
#[derive(Clone)]
pub struct Turns {
    /// The requests, as the inner service got them.
    pub asked: Arc<Mutex<Vec<ChatRequest>>>,
    scripts: Arc<Mutex<Vec<Script>>>,
}

enum Script {
    Says(Vec<Result<ChatEvent, Error>>),
    Refuses(Error),
    Live(Option<mpsc::UnboundedReceiver<ChatEvent>>),
}

pub type Api = ApiService<BoxCloneSyncService<ChatRequest, ChatResponse, Error>>;

impl Turns {
    pub fn new() -> Self {
        Turns { asked: Arc::default(), scripts: Arc::default() }
    }

    pub fn says(self, events: impl IntoIterator<Item = ChatEvent>) -> Self {
        self.add(Script::Says(events.into_iter().map(Ok).collect()))
    }

    pub fn says_or_fails(self, events: impl IntoIterator<Item = Result<ChatEvent, Error>>) -> Self {
        self.add(Script::Says(events.into_iter().collect()))
    }

    pub fn refuses(self, error: Error) -> Self {
        self.add(Script::Refuses(error))
    }

    /// A turn whose events the test sends when it likes.
    pub fn live(self) -> (mpsc::UnboundedSender<ChatEvent>, Self) {
        let (events, receiver) = mpsc::unbounded_channel();
        (events, self.add(Script::Live(Some(receiver))))
    }

    fn add(self, script: Script) -> Self {
        self.scripts.lock().unwrap().push(script);
        self
    }

    /// The door in front of them.
    pub fn api(&self) -> Api {
        let turns = self.clone();
        ApiService::new(BoxCloneSyncService::new(tower::service_fn(move |request: ChatRequest| {
            let number = {
                let mut asked = turns.asked.lock().unwrap();
                asked.push(request);
                asked.len() - 1
            };
            let mut scripts = turns.scripts.lock().unwrap();
            let last = scripts.len() - 1;
            let answer = match &mut scripts[number.min(last)] {
                Script::Says(events) => Ok(EventStream::new(futures_util::stream::iter(events.clone()))),
                Script::Refuses(error) => Err(error.clone()),
                Script::Live(receiver) => {
                    let mut receiver = receiver.take().expect("one request");
                    Ok(EventStream::new(futures_util::stream::poll_fn(move |cx| {
                        receiver.poll_recv(cx).map(|event| event.map(Ok))
                    })))
                }
            };
            std::future::ready(answer.map(|events| response(number, events)))
        })))
    }

    /// The last request, as the inner service got it.
    pub fn last(&self) -> ChatRequest {
        self.asked.lock().unwrap().last().expect("a request").clone()
    }

    /// The messages of the last request, as JSON.
    pub fn messages(&self) -> Value {
        serde_json::to_value(self.last().messages).unwrap()
    }
}

/// An answer whose head is the same in each test.
fn response(number: usize, events: EventStream) -> ChatResponse {
    let mut response = ChatResponse::new("claude-opus-4-8", events);
    response.id = format!("chatcmpl-a{number}");
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

/// A turn that says this and is done.
pub fn saying(what: &str) -> Turns {
    Turns::new().says([text(what), finished(FinishReason::Stop)])
}

/// A request's body, with these fields beside the model and one text.
pub fn body(fields: Value) -> Value {
    let mut body = json!({"model": "claude-opus-4", "input": "hello"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub async fn create(api: &Api, fields: Value) -> Answer {
    send(api, "POST", "/v1/responses", Some(body(fields))).await
}

pub async fn get(api: &Api, path: &str) -> Answer {
    send(api, "GET", path, None).await
}

pub async fn send(api: &Api, method: &str, path: &str, body: Option<Value>) -> Answer {
    send_as(api, method, path, body, "key").await
}

/// The same with another API key.
pub async fn send_as(api: &Api, method: &str, path: &str, body: Option<Value>, key: &str) -> Answer {
    let work = async {
        let (parts, body) = open(api, method, path, body, key).await.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    };
    tokio::time::timeout(PATIENCE, work).await.expect("an answer in time").validated()
}

/// The head of an answer, and its body as it comes.
pub async fn open(api: &Api, method: &str, path: &str, body: Option<Value>, key: &str) -> http::Response<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {key}"))
        .body(body.map_or_else(Full::default, |body| Full::<Bytes>::from(body.to_string())))
        .unwrap();
    let Ok(response) = api.clone().oneshot(request).await;
    response
}

/// Waits until something holds of an answer that is asked for again and again.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} did not come"));
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

    /// The parameter and code of a failure.
    pub fn fault(&self) -> (u16, Value, Value) {
        let error = &self.json()["error"];
        (self.status.as_u16(), error["param"].clone(), error["code"].clone())
    }

    /// The events of a stream.
    pub fn events(&self) -> Vec<Value> {
        let events = self.text().split_terminator("\n\n").filter(|event| !event.starts_with(':'));
        let parse = |event: &str| {
            let (kind, data) = event.strip_prefix("event: ").and_then(|rest| rest.split_once("\ndata: ")).unwrap();
            let json: Value = serde_json::from_str(data).unwrap();
            assert_eq!(json["type"], kind);
            json
        };
        events.map(parse).collect()
    }

    pub fn kinds(&self) -> Vec<String> {
        self.events().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// The response that a stream ends with.
    pub fn outcome(&self) -> Value {
        self.events().last().unwrap()["response"].clone()
    }

    fn validated(self) -> Self {
        match self.header("content-type") {
            Some("text/event-stream") => {
                for event in self.events() {
                    schema::assert_valid(schema::event_type(event["type"].as_str().unwrap()), &event);
                }
            }
            Some("application/json") if !self.body.is_empty() => {
                let json = self.json();
                match json["object"].as_str() {
                    Some("response") if json["deleted"] == true => {}
                    Some("response") => schema::assert_valid("Response", &json),
                    Some("list") => schema::assert_valid("ResponseItemList", &json),
                    Some("response.input_tokens") => schema::assert_valid("TokenCountsResource", &json),
                    _ => schema::assert_valid("ErrorResponse", &json),
                }
            }
            _ => assert!(self.body.is_empty(), "a body of no known type: {:?}", self.body),
        }
        self
    }
}

/// Compares with the snapshot of this name, the request's own fields before it.
pub fn snapshot(name: &str, sentence: &str, asked: &Value, answer: &Answer) {
    let body = match answer.header("content-type") {
        Some("application/json") => serde_json::to_string_pretty(&answer.json()).unwrap(),
        _ => answer.text().to_owned(),
    };
    // The one thing that differs from run to run.
    let body = regex::Regex::new(r#""completed_at":( ?)\d+"#).unwrap().replace_all(&body, r#""completed_at":$1[now]"#);
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/responses"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let shown = format!("{sentence}\n\nrequest: {asked}\n\n{}\n\n{body}", answer.status);
    settings.bind(|| insta::assert_snapshot!(name, shown));
}
