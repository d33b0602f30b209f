//! A client of a [`ClaudeCli`] that runs stand-ins. It keeps its history as real clients do.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_claude::chat::Caller;
use tower_claude::cli::{ClaudeCli, ClaudeCliBuilder};
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream, FinishReason, Usage};

use super::claude_bin::stand_in;
pub(crate) use super::in_time;

/// A service over stand-ins. It starts none before the first request.
pub fn claude() -> ClaudeCliBuilder {
    ClaudeCli::builder().program(stand_in()).warm_processes(0)
}

/// The service's state, as `GET /health` shows it.
pub fn health(claude: &ClaudeCli) -> Value {
    serde_json::to_value(claude.health()).unwrap()
}

/// Everything that an answer contained.
#[derive(Debug, Default)]
pub struct Heard {
    /// How the request got its process: `live`, `warm` or `cold`.
    pub process: String,
    pub model: String,
    pub text: String,
    pub blocks: usize,
    pub reasoning: String,
    pub calls: Vec<Call>,
    pub reason: Option<FinishReason>,
    pub usage: Usage,
}

/// A call of a function.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    pub id: String,
    pub name: String,
    pub arguments: String,
}

impl Heard {
    /// The answer as the client puts it into its history.
    pub fn message(&self) -> Value {
        let mut message = json!({"role": "assistant", "content": self.text});
        if !self.calls.is_empty() {
            let call = |call: &Call| {
                let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
                json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
            };
            message["tool_calls"] = self.calls.iter().map(call).collect();
        }
        message
    }

    /// The answer's text as JSON, as `[[history]]` gives it.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }

    /// The answer's text as a process id.
    pub fn pid(&self) -> u32 {
        self.text.parse().unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }
}

pub fn request(json: Value) -> ChatRequest {
    serde_json::from_value(json).unwrap()
}

/// A request of these messages alone.
pub fn messages(messages: impl Into<Vec<Value>>) -> Value {
    json!({"model": "sonnet", "messages": messages.into()})
}

pub fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

pub fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

pub fn system(text: &str) -> Value {
    json!({"role": "system", "content": text})
}

pub fn result(id: &str, content: impl Into<Value>) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": content.into()})
}

/// A function that takes any object.
pub fn function(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
}

/// The head of an answer.
pub async fn call(claude: &ClaudeCli, request: ChatRequest) -> Result<ChatResponse, Error> {
    in_time("the head", claude.clone().oneshot(request)).await
}

/// A whole answer.
pub async fn try_ask(claude: &ClaudeCli, json: Value) -> Result<Heard, Error> {
    hear(call(claude, request(json)).await?).await
}

/// A whole answer. Panics if the request fails.
pub async fn ask(claude: &ClaudeCli, json: Value) -> Heard {
    try_ask(claude, json).await.unwrap()
}

/// The answer to one message in a new conversation.
pub async fn ask_once(claude: &ClaudeCli, text: &str) -> Heard {
    ask(claude, messages([user(text)])).await
}

/// Listens to an answer up to its end.
pub async fn hear(response: ChatResponse) -> Result<Heard, Error> {
    let (mut answer, error) = hear_what_there_is(response).await;
    match error {
        Some(error) => Err(error),
        None => {
            answer.reason = Some(answer.reason.expect("an answer ends with a reason or an error"));
            Ok(answer)
        }
    }
}

/// What an answer contained before it ended, and its error if it failed.
pub async fn hear_what_there_is(response: ChatResponse) -> (Heard, Option<Error>) {
    let header = response.headers.get("x-claude-process").expect("each answer says how it came by its process");
    let mut answer =
        Heard { process: header.to_str().unwrap().to_owned(), model: response.model.clone(), ..Heard::default() };
    let mut events = response.events;
    while let Some(event) = next(&mut events).await {
        assert_eq!(answer.reason, None, "nothing follows the end");
        match event {
            Err(error) => {
                assert!(next(&mut events).await.is_none(), "nothing follows an error");
                return (answer, Some(error));
            }
            Ok(ChatEvent::TextBlockStart) => answer.blocks += 1,
            Ok(ChatEvent::TextDelta(text)) => answer.text.push_str(&text),
            Ok(ChatEvent::ReasoningDelta(text)) => answer.reasoning.push_str(&text),
            Ok(ChatEvent::ToolCallStart { index, id, name, .. }) => {
                assert_eq!(index as usize, answer.calls.len());
                answer.calls.push(Call { id, name, arguments: String::new() });
            }
            Ok(ChatEvent::ToolCallDelta { index, arguments, .. }) => {
                answer.calls[index as usize].arguments.push_str(&arguments);
            }
            Ok(ChatEvent::Finished { reason, usage, .. }) => (answer.reason, answer.usage) = (Some(reason), usage),
            Ok(_) => {}
        }
    }
    (answer, None)
}

/// The next event.
pub async fn next(events: &mut EventStream) -> Option<Result<ChatEvent, Error>> {
    in_time("the next event", events.next()).await
}

/// Listens until the answer's text holds this.
pub async fn hear_until(events: &mut EventStream, part: &str) {
    let mut text = String::new();
    while !text.contains(part) {
        match next(events).await {
            Some(Ok(ChatEvent::TextDelta(delta))) => text.push_str(&delta),
            Some(Ok(ChatEvent::Finished { .. }) | Err(_)) | None => panic!("{part:?} did not come, only {text:?}"),
            Some(Ok(_)) => {}
        }
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    in_time(what, wait).await;
}

/// A client that keeps a conversation.
#[derive(Clone, Debug)]
pub struct Chat {
    pub claude: ClaudeCli,
    /// The next request, without its new messages.
    pub request: Value,
    pub caller: Caller,
    /// The calls of the last answer.
    pub calls: Vec<Call>,
}

impl Chat {
    pub fn new(claude: &ClaudeCli) -> Chat {
        Chat::with(claude, json!({"model": "sonnet", "messages": []}))
    }

    pub fn with(claude: &ClaudeCli, request: Value) -> Chat {
        Chat { claude: claude.clone(), request, caller: Caller::default(), calls: Vec::new() }
    }

    pub fn messages(&mut self) -> &mut Vec<Value> {
        self.request["messages"].as_array_mut().unwrap()
    }

    /// Sends a user message, and keeps it and the answer.
    pub async fn say(&mut self, text: &str) -> Heard {
        self.send([user(text)]).await
    }

    /// Sends the results of the last answer's calls, in their order.
    pub async fn give<const N: usize>(&mut self, results: [&str; N]) -> Heard {
        assert_eq!(self.calls.len(), N);
        let results: Vec<Value> =
            self.calls.iter().zip(results).map(|(call, content)| result(&call.id, content)).collect();
        self.send(results).await
    }

    /// Sends messages, and keeps them and the answer.
    pub async fn send(&mut self, new: impl IntoIterator<Item = Value>) -> Heard {
        self.messages().extend(new);
        let answer = self.try_again().await.unwrap();
        self.messages().push(answer.message());
        answer
    }

    /// Sends the conversation as it stands. The answer is not added to it.
    pub async fn try_again(&mut self) -> Result<Heard, Error> {
        let mut request = request(self.request.clone());
        request.caller = self.caller.clone();
        let answer = hear(call(&self.claude, request).await?).await?;
        self.calls.clone_from(&answer.calls);
        Ok(answer)
    }

    /// The process that holds the conversation.
    pub async fn pid(&mut self) -> u32 {
        self.say("[[pid]]").await.pid()
    }
}
