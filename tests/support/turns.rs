//! Scripted turns to put behind the HTTP edge, and their events.

use std::fmt::Write;
use std::future::Future;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::mpsc;
use tower::util::BoxCloneSyncService;
use tower_claude::http::ApiService;
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream, FinishReason, Usage};

pub(crate) type Inner = BoxCloneSyncService<ChatRequest, ChatResponse, Error>;

pub(crate) type Api = ApiService<Inner>;

/// A service of chat requests, made from a closure.
pub(crate) fn inner<F, Fut>(answer: F) -> Inner
where
    F: Fn(ChatRequest) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<ChatResponse, Error>> + Send + 'static,
{
    BoxCloneSyncService::new(tower::service_fn(answer))
}

/// A service that answers every request with these events.
pub(crate) fn says(events: impl IntoIterator<Item = ChatEvent>) -> Inner {
    Turns::new().says(events).inner()
}

/// A service that answers every request with these events, some of which may be failures.
pub(crate) fn says_or_fails(events: impl IntoIterator<Item = Result<ChatEvent, Error>>) -> Inner {
    Turns::new().says_or_fails(events).inner()
}

/// A service that refuses every request.
pub(crate) fn refuses(error: Error) -> Inner {
    Turns::new().refuses(error).inner()
}

/// Turns that answer with this text.
pub(crate) fn saying(what: &str) -> Turns {
    Turns::new().says([text(what), finished(FinishReason::Stop)])
}

/// Answers each request with the next script. The last one repeats.
#[derive(Clone)]
pub(crate) struct Turns {
    /// The requests that the inner service got.
    pub(crate) asked: Arc<Mutex<Vec<ChatRequest>>>,
    scripts: Arc<Mutex<Vec<Script>>>,
}

enum Script {
    Says(Vec<Result<ChatEvent, Error>>),
    Refuses(Error),
    Live(Option<mpsc::UnboundedReceiver<ChatEvent>>),
}

impl Turns {
    pub(crate) fn new() -> Self {
        Turns { asked: Arc::default(), scripts: Arc::default() }
    }

    pub(crate) fn says(self, events: impl IntoIterator<Item = ChatEvent>) -> Self {
        self.says_or_fails(events.into_iter().map(Ok))
    }

    pub(crate) fn says_or_fails(self, events: impl IntoIterator<Item = Result<ChatEvent, Error>>) -> Self {
        self.add(Script::Says(events.into_iter().collect()))
    }

    pub(crate) fn refuses(self, error: Error) -> Self {
        self.add(Script::Refuses(error))
    }

    /// A turn whose events the test sends through the channel.
    pub(crate) fn live(self) -> (mpsc::UnboundedSender<ChatEvent>, Self) {
        let (events, receiver) = mpsc::unbounded_channel();
        (events, self.add(Script::Live(Some(receiver))))
    }

    fn add(self, script: Script) -> Self {
        self.scripts.lock().unwrap().push(script);
        self
    }

    /// The service that answers with these turns.
    pub(crate) fn inner(&self) -> Inner {
        let turns = self.clone();
        inner(move |request: ChatRequest| {
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
            std::future::ready(answer.map(|events| numbered(number, events)))
        })
    }

    /// The HTTP edge in front of that service.
    pub(crate) fn api(&self) -> Api {
        ApiService::new(self.inner())
    }

    /// The turns' events as text, for a snapshot.
    pub(crate) fn shown(&self) -> String {
        let mut text = String::new();
        for script in self.scripts.lock().unwrap().iter() {
            text.push_str("=== the model's turn ===\n");
            match script {
                Script::Refuses(error) => writeln!(text, "refused: {error:?}").unwrap(),
                Script::Live(_) => text.push_str("as the test goes on\n"),
                Script::Says(events) => {
                    for event in events {
                        match event {
                            // The usage is the same in every turn: that of `finished`.
                            Ok(ChatEvent::Finished { reason, .. }) => writeln!(text, "Finished({reason:?})").unwrap(),
                            Ok(event) => writeln!(text, "{event:?}").unwrap(),
                            Err(error) => writeln!(text, "failure: {error:?}").unwrap(),
                        }
                    }
                }
            }
        }
        text
    }

    /// The last request that the inner service got.
    pub(crate) fn last(&self) -> ChatRequest {
        self.asked.lock().unwrap().last().expect("a request").clone()
    }

    /// The messages of the last request, as JSON.
    pub(crate) fn messages(&self) -> Value {
        serde_json::to_value(self.last().messages).unwrap()
    }
}

/// An answer whose head is the same in every test.
pub(crate) fn response(events: EventStream) -> ChatResponse {
    numbered(0, events)
}

fn numbered(number: usize, events: EventStream) -> ChatResponse {
    let mut response = ChatResponse::new("claude-opus-4-8", events);
    response.id = format!("chatcmpl-a{number}");
    response.created = 1_700_000_000;
    response
}

pub(crate) fn text(text: &str) -> ChatEvent {
    ChatEvent::TextDelta(text.to_owned())
}

pub(crate) fn reasoning(text: &str) -> ChatEvent {
    ChatEvent::ReasoningDelta(text.to_owned())
}

pub(crate) fn call(index: u32, id: &str, name: &str) -> ChatEvent {
    ChatEvent::tool_call_start(index, id, name)
}

pub(crate) fn arguments(index: u32, arguments: &str) -> ChatEvent {
    ChatEvent::tool_call_delta(index, arguments)
}

pub(crate) fn finished(reason: FinishReason) -> ChatEvent {
    let mut usage = Usage::new(100, 20);
    (usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens) = (60, 30, 5);
    ChatEvent::finished(reason, usage)
}
