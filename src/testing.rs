//! For tests of layers: whether a conversation stays in its live process with a layer in between.

use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::StreamExt;
use tower::{Layer, Service, ServiceExt};

use crate::chat::digest::Digest;
use crate::chat::recognition::ClientSide;
use crate::chat::{CalledFunction, Content, Function, Message, Role, Tool, ToolCall, call_id};
use crate::layers::RecognizeLayer;
use crate::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream, FinishReason, Usage};

/// Runs a conversation of five turns through a layer, with a scripted model behind it, and fails if a live process could not
/// have continued it.
///
/// The conversation has system messages, texts in several blocks, reasoning, and calls of functions, one and two at a
/// time. Its client does what clients do: it sends back what it was told, and the results of the calls that it was told of. A
/// [`RecognizeLayer`] stands around the layer, as in [`ApiService`](crate::http::ApiService).
///
/// # Panics
///
/// If a turn cannot continue the one before it. The message says which comparison failed first.
///
/// ```
/// use tower::util::{MapRequestLayer, MapResponseLayer};
/// use tower_claude::chat::{Events, Message, Role};
/// use tower_claude::testing::assert_conversation_survives;
/// use tower_claude::{ChatEvent, ChatRequest, ChatResponse};
///
/// # futures_util::future::FutureExt::now_or_never(async {
/// // What layers may do: the time of day in the prompt, another each turn ...
/// let mut seconds = 0;
/// assert_conversation_survives(MapRequestLayer::new(move |mut request: ChatRequest| {
///     seconds += 1;
///     request.messages.insert(0, Message::new(Role::System, format!("It is 12:00:{seconds:02}.")));
///     request
/// }))
/// .await;
///
/// // ... and a text that the model never said.
/// assert_conversation_survives(MapResponseLayer::new(|response: ChatResponse| {
///     response.translate(|event, out: &mut Events| {
///         if let ChatEvent::Finished { .. } = event {
///             out.push(ChatEvent::TextDelta("\n\nAnswered by a machine.".into()));
///         }
///         out.push(event);
///     })
/// }))
/// .await;
/// # }).expect("nothing here waits");
/// ```
///
/// What they must not do is ask for another model, other functions or another form of the answer each turn:
///
/// ```should_panic
/// # use tower::util::MapRequestLayer;
/// # use tower_claude::ChatRequest;
/// # use tower_claude::testing::assert_conversation_survives;
/// # futures_util::future::FutureExt::now_or_never(async {
/// assert_conversation_survives(MapRequestLayer::new(|mut request: ChatRequest| {
///     request.model = if request.messages.len() % 2 == 0 { "opus".into() } else { "sonnet".into() };
///     request
/// }))
/// .await;
/// # }).expect("nothing here waits");
/// ```
#[allow(clippy::panic, reason = "it is an assertion")]
pub async fn assert_conversation_survives<L>(layer: L)
where
    L: Layer<ScriptedModel>,
    L::Service: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
{
    let mut service = RecognizeLayer::new().layer(layer.layer(ScriptedModel::default()));
    let mut messages = vec![
        Message::new(Role::System, "You are terse."),
        Message::new(Role::System, "You know this house."),
        Message::new(Role::User, "What is in the kitchen?"),
    ];
    for turn in 1..=SCRIPT.len() {
        let request = ChatRequest { tools: Some(tools()), ..ChatRequest::new("opus", messages.clone()) };
        let answer = match service.ready().await {
            Ok(ready) => ready.call(request).await,
            Err(error) => Err(error),
        };
        let reply = match answer {
            Ok(response) => read(response.events).await,
            Err(error) => Err(error),
        };
        let reply = reply.unwrap_or_else(|error| panic!("turn {turn} of the conversation: {error}"));
        let results: Vec<Message> = reply.calls().iter().map(result).collect();
        messages.push(reply);
        if results.is_empty() {
            messages.push(Message::new(Role::User, format!("And then, after turn {turn}?")));
        }
        messages.extend(results);
    }
}

/// What the client makes of an answer.
async fn read(mut events: EventStream) -> Result<Message, Error> {
    let mut text = String::new();
    let mut calls: Vec<(u32, ToolCall)> = Vec::new();
    while let Some(event) = events.next().await {
        match event? {
            ChatEvent::TextDelta(more) => text.push_str(&more),
            ChatEvent::ToolCallStart { index, id, name } => {
                let function = CalledFunction { name, ..CalledFunction::default() };
                calls.push((index, ToolCall { id, kind: "function".to_owned(), function, ..ToolCall::default() }));
            }
            ChatEvent::ToolCallDelta { index, arguments } => {
                if let Some((_, call)) = calls.iter_mut().rev().find(|(of, _)| *of == index) {
                    call.function.arguments.push_str(&arguments);
                }
            }
            _ => {}
        }
    }
    let content = (!text.is_empty()).then_some(Content::Text(text));
    let calls: Vec<ToolCall> = calls.into_iter().map(|(_, call)| call).collect();
    let tool_calls = (!calls.is_empty()).then_some(calls);
    Ok(Message { role: Role::Assistant, content, tool_calls, ..Message::default() })
}

fn result(call: &ToolCall) -> Message {
    Message::tool_result(&call.id, format!("{} found nothing.", call.function.name))
}

fn tools() -> Vec<Tool> {
    let tool = |name: &str| Tool::function(Function::new(name));
    vec![tool("look"), tool("listen")]
}

/// What the model says in a turn: its blocks of text, and the functions that it calls.
type Turn = (&'static [&'static str], &'static [&'static str]);

const SCRIPT: &[Turn] = &[
    (&["A table. ", "  And two chairs.\n"], &[]),
    (&["Let me look."], &["look"]),
    (&[], &["look", "listen"]),
    (&["Nothing."], &[]),
    (&["Ask the cat."], &[]),
];

/// The model behind [`assert_conversation_survives`]: it answers from a script, as long as it recognises the conversation.
#[derive(Clone, Debug, Default)]
pub struct ScriptedModel {
    held: Arc<Mutex<Option<Held>>>,
}

/// A conversation after a turn.
#[derive(Debug)]
struct Held {
    turn: usize,
    request: ChatRequest,
    client: Option<ClientSide>,
    /// The calls that wait for results.
    calls: Vec<String>,
}

impl ScriptedModel {
    fn answer(&self, request: ChatRequest) -> Result<ChatResponse, Error> {
        let client = ClientSide::of(&request);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = match &*held {
            None => 0,
            Some(held) => {
                held.continued_by(&request, client.as_ref()).map_err(|why| {
                    Error::invalid_request(format!("a live process cannot go on with it, since {why}"))
                })?;
                held.turn + 1
            }
        };
        let (texts, names) = SCRIPT.get(turn).copied().unwrap_or_default();
        let id = |index: usize| format!("toolu_{turn}_{index}");
        let mut events = vec![ChatEvent::Started];
        events.push(ChatEvent::ReasoningDelta("Hm.".to_owned()));
        for text in texts {
            let (head, tail) = text.split_at(text.len() / 2);
            events.push(ChatEvent::TextBlockStart);
            events.extend([head, tail].map(|text| ChatEvent::TextDelta(text.to_owned())));
        }
        for (index, name) in names.iter().enumerate() {
            let index32 = index as u32;
            // The model calls functions by the names that it was offered.
            let offered = request.functions().nth(usize::from(*name == "listen"));
            let name = offered.map_or_else(|| (*name).to_owned(), |function| function.name.clone());
            events.push(ChatEvent::ToolCallStart { index: index32, id: id(index), name });
            events.push(ChatEvent::ToolCallDelta { index: index32, arguments: "{\"at\": ".to_owned() });
            events.push(ChatEvent::ToolCallDelta { index: index32, arguments: "\"once\"}".to_owned() });
        }
        let reason = if names.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
        events.push(ChatEvent::Finished { reason, usage: Usage::default() });
        let response = ChatResponse::new(request.model.clone(), EventStream::from_iter(events));
        if let Some(client) = &client {
            client.keep();
        }
        *held = Some(Held { turn, request, client, calls: (0..names.len()).map(id).collect() });
        Ok(response)
    }
}

impl Held {
    fn continued_by(&self, request: &ChatRequest, client: Option<&ClientSide>) -> Result<(), String> {
        if request.model != self.request.model {
            return Err(format!("the model was {:?} and is now {:?}", self.request.model, request.model));
        }
        if request.tools != self.request.tools {
            return Err("the tools are other than in the turn before".to_owned());
        }
        if request.response_format != self.request.response_format {
            return Err("response_format is another than in the turn before".to_owned());
        }
        let (Some(held), Some(client)) = (&self.client, client) else { return self.repeated_by(request) };
        held.continued_by(client).map_err(|why| why.to_string())?;
        let new = &request.messages[client.known().min(request.messages.len())..];
        let answers = |id: &String| {
            new.iter()
                .filter_map(|message| message.tool_call_id.as_deref())
                .any(|answered| call_id::canonical(answered) == call_id::canonical(id))
        };
        // A call that the layer withheld is answered for the client.
        match self.calls.iter().find(|id| held.was_told_of(id) && !answers(id)) {
            Some(id) => Err(format!("the result of the call {id} did not come through")),
            None => Ok(()),
        }
    }

    /// Without a record of what the client was told, the messages must be those of the turn before.
    fn repeated_by(&self, request: &ChatRequest) -> Result<(), String> {
        let lasting = |request: &ChatRequest| -> Vec<Digest> {
            request.messages.iter().filter(|message| !message.ephemeral).map(Digest::of).collect()
        };
        let (before, now) = (lasting(&self.request), lasting(request));
        let differs = before.iter().zip(&now).position(|(before, now)| !before.matches(now));
        match differs {
            Some(place) => Err(format!("messages[{place}] is not what it was in the turn before")),
            None if now.len() <= before.len() => Err("the request has no new messages".to_owned()),
            None => Ok(()),
        }
    }
}

impl Service<ChatRequest> for ScriptedModel {
    type Response = ChatResponse;
    type Error = Error;
    type Future = Ready<Result<ChatResponse, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ChatRequest) -> Self::Future {
        ready(self.answer(request))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tower::util::{MapRequestLayer, MapResponseLayer};

    use super::*;
    use crate::chat::Events;
    use crate::layers;

    fn survives<L>(layer: L)
    where
        L: Layer<ScriptedModel>,
        L::Service: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
    {
        assert_conversation_survives(layer).now_or_never().expect("nothing here waits");
    }

    fn on_request<F: FnMut(ChatRequest) -> ChatRequest + Clone>(change: F) -> MapRequestLayer<F> {
        MapRequestLayer::new(change)
    }

    #[test]
    fn the_layers_of_this_crate_keep_conversations_live() {
        survives(layers::OpenClawLayer::new());
        survives(layers::ToolNamesLayer::new([("look", "Read"), ("listen", "Listen")]));
        survives((layers::SeparateBlocksLayer::new(), layers::FlattenPartsLayer::new()));
        survives((layers::ChoicesLayer::new(), layers::StopLayer::new()));
    }

    #[test]
    fn calls_may_be_withheld_and_answers_rewritten() {
        let layer = MapResponseLayer::new(|response: ChatResponse| {
            let mut withheld = None;
            response.translate(move |event, out: &mut Events| match event {
                ChatEvent::ToolCallStart { index, name, .. } if name == "look" => {
                    withheld = Some(index);
                    out.push(ChatEvent::TextDelta("[not allowed]".to_owned()));
                }
                ChatEvent::ToolCallDelta { index, .. } if Some(index) == withheld => {}
                ChatEvent::TextDelta(text) => out.push(ChatEvent::TextDelta(text.to_uppercase())),
                other => out.push(other),
            })
        });
        survives(layer);
    }

    #[test]
    fn all_messages_may_be_made_anew() {
        survives(on_request(|mut request| {
            let anew = |message: Message| Message { sent: None, ..message };
            request.messages = request.messages.into_iter().map(anew).collect();
            request
        }));
    }

    #[test]
    #[should_panic = "turn 3 of the conversation: a live process cannot go on with it, since the result of the call \
                      toolu_1_0 did not come through"]
    fn a_result_that_does_not_come_through_is_named() {
        survives(on_request(|mut request| {
            request.messages.retain(|message| message.role != Role::Tool);
            request
        }));
    }

    #[test]
    #[should_panic = "turn 2 of the conversation: a live process cannot go on with it, since the tools are other"]
    fn functions_that_come_and_go_are_told_of() {
        survives(on_request(|mut request| {
            request.tools = request.tools.filter(|_| request.messages.len() > 3);
            request
        }));
    }

    #[test]
    #[should_panic = "messages[0] is not what it was in the turn before"]
    fn without_a_record_the_messages_must_be_repeated() {
        let mut count = 0;
        let layer = on_request(move |mut request| {
            count += 1;
            request.told = None;
            request.messages[0] = Message::new(Role::System, format!("Turn {count}"));
            request
        });
        survives(layer);
    }
}
