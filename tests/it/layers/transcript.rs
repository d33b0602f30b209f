//! Requests and answers as text that a reviewer can read, and a way through a layer.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use crate::support::snapshot::assert_snapshot;
use futures_util::StreamExt;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_claude::chat::{Content, Message};
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream};

/// Sends a request through a layer, to a model that answers with these events. Returns what the inner service got and
/// what the client got.
pub(crate) async fn through<L>(layer: L, request: ChatRequest, answer: &[ChatEvent]) -> (ChatRequest, Vec<ChatEvent>)
where
    L: Layer<Inner>,
    L::Service: Service<ChatRequest, Response = ChatResponse, Error = Error>,
{
    let inner = Inner { got: Arc::default(), answer: answer.to_vec(), ready: false };
    let response = layer.layer(inner.clone()).oneshot(request).await.unwrap();
    let events = response.events.map(Result::unwrap).collect().await;
    let got = inner.got.lock().unwrap().take().expect("the inner service was called");
    (got, events)
}

/// An inner service that keeps the request, and answers what it was told to. It insists on being asked first whether it
/// is ready.
pub(crate) struct Inner {
    got: Arc<Mutex<Option<ChatRequest>>>,
    answer: Vec<ChatEvent>,
    ready: bool,
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        Inner { got: Arc::clone(&self.got), answer: self.answer.clone(), ready: false }
    }
}

impl Service<ChatRequest> for Inner {
    type Response = ChatResponse;
    type Error = Error;
    type Future = std::future::Ready<Result<ChatResponse, Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        self.ready = true;
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ChatRequest) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "the service that is called is the one that was ready");
        let events = EventStream::from_iter(self.answer.clone());
        let response = ChatResponse::new(request.model.clone(), events);
        *self.got.lock().unwrap() = Some(request);
        std::future::ready(Ok(response))
    }
}

/// Compares a request's way through a layer with the snapshot of this name.
pub(crate) fn assert_request(name: &str, description: &str, before: &ChatRequest, after: &ChatRequest) {
    let text = format!(
        "=== what the client sends ===\n{}\n=== what the inner service gets ===\n{}",
        request_text(before),
        request_text(after)
    );
    assert_snapshot!(name, description, text);
}

/// Compares an answer's way through a layer with the snapshot of this name.
pub(crate) fn assert_answer(name: &str, description: &str, before: &[ChatEvent], after: &[ChatEvent]) {
    let text = format!(
        "=== what the inner service answers ===\n{}\n=== what the client gets ===\n{}",
        events_text(before),
        events_text(after)
    );
    assert_snapshot!(name, description, text);
}

fn request_text(request: &ChatRequest) -> String {
    let mut out = format!("model: {}\n", request.model);
    for function in request.functions() {
        writeln!(out, "function: {}", function.name).unwrap();
    }
    if let Some(choice) = &request.tool_choice {
        writeln!(out, "tool_choice: {}", serde_json::to_string(choice).unwrap()).unwrap();
    }
    request.messages.iter().for_each(|message| out.push_str(&message_text(message)));
    out
}

fn message_text(message: &Message) -> String {
    let mut out = format!("[{}", serde_json::to_value(message.role).unwrap().as_str().unwrap());
    if message.ephemeral {
        out.push_str(", ephemeral");
    }
    if let Some(id) = &message.tool_call_id {
        write!(out, ", result of {id}").unwrap();
    }
    out.push_str("]\n");
    match &message.content {
        Some(Content::Text(text)) => writeln!(out, "{}", indent(text)).unwrap(),
        Some(Content::Parts(parts)) => {
            for part in parts {
                writeln!(out, "  part: {}", serde_json::to_string(part).unwrap()).unwrap();
            }
        }
        Some(Content::Null) => out.push_str("  null\n"),
        Some(other) => panic!("{other:?} has no form here"),
        None => {}
    }
    for call in message.calls() {
        writeln!(out, "  call {}: {}({})", call.id, call.function.name, call.function.arguments).unwrap();
    }
    out
}

/// Sets a text off from what stands around it, and shows what an editor would not.
fn indent(text: &str) -> String {
    text.split('\n').map(|line| format!("  |{}", line.replace('\r', "␍"))).collect::<Vec<_>>().join("\n")
}

fn events_text(events: &[ChatEvent]) -> String {
    events.iter().map(|event| format!("{event:?}\n")).collect()
}

/// A service that must not be called.
pub(crate) fn unreachable_service() -> impl Service<ChatRequest, Response = ChatResponse, Error = Error> + Clone {
    service_fn(|_: ChatRequest| async { panic!("the request was to be refused") })
}
