//! What flows through the layers: a typed request in the shape of Chat Completions, and a stream of events back.
//!
//! JSON becomes a [`ChatRequest`] once, at the HTTP edge; whatever a field of the request this crate has no name for is
//! kept in `extra` and encoded back unchanged. A field whose value is `null` counts as absent, as OpenAI's schema has it;
//! only a message's `content` keeps the difference.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use http::HeaderMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::Error;

/// A Chat Completions request, as the layers see and rewrite it.
///
/// ```
/// use tower_claude::ChatRequest;
///
/// let json = r#"{"model":"claude-opus-4","messages":[{"role":"user","content":"hi"}],"top_p":0.5}"#;
/// let request: ChatRequest = serde_json::from_str(json)?;
/// assert_eq!(request.messages[0].text(), "hi");
/// assert_eq!(request.extra["top_p"], 0.5);
/// assert_eq!(serde_json::to_string(&request)?, json);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The model asked for: an alias until `ModelAlias` has seen it, then the name that the CLI gets.
    pub model: String,
    /// The conversation, oldest message first.
    pub messages: Vec<Message>,
    /// The client's own functions that the model may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    /// Which of them it may or must call; absent means [`ToolChoice::Auto`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Whether one turn may hold several calls; absent means yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// Whether the answer is sent as server-sent events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// What a streamed answer has beside its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// The most tokens the answer may have, reasoning included. The older name of `max_completion_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The most tokens the answer may have, reasoning included. Wins over `max_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    /// Texts that end the answer before they are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// How much the model may think: `none`, `minimal`, `low`, `medium`, `high` or `xhigh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// Whether the answer is text, some JSON object, or JSON of a given schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// How many answers are wanted; absent means one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// The client's name for requests that share a prefix; it scopes the reuse of live processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_cache_key: Option<String>,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
    /// Who asks. Set by the HTTP edge from the request's headers; never part of the JSON.
    #[serde(skip)]
    pub caller: Caller,
}

impl ChatRequest {
    /// The functions that the client offers, in its order.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.tools.iter().flatten().map(|tool| &tool.function)
    }

    /// The same, to rewrite.
    pub fn functions_mut(&mut self) -> impl Iterator<Item = &mut Function> {
        self.tools.iter_mut().flatten().map(|tool| &mut tool.function)
    }

    /// The token limit in force, whichever of its two names was used.
    pub fn token_limit(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens)
    }
}

/// Who sent a request: two requests of different callers never share a live process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// A hash of the API key that came with the request, so that the key itself goes no further than the edge.
    pub key: Option<u64>,
    /// The session that the client named (`x-session-affinity`, `session_id`), if it did.
    pub session: Option<String>,
}

/// One message of the conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; `None` where the key is absent.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// The speaker's name, where several share a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An assistant's refusal, which older answers carry instead of content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The functions that an assistant message called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// Which call a tool message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
    /// Set by a layer on a message that the client will not repeat in its next request: the model sees it, and it does
    /// not count when the conversation is recognised. Never part of the JSON.
    #[serde(skip)]
    pub ephemeral: bool,
}

impl Message {
    /// A message of plain text.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Message { role, content: Some(Content::Text(text.into())), ..Message::default() }
    }

    /// The message's text, its text parts joined by line feeds. Parts that are not text are left out.
    pub fn text(&self) -> String {
        match &self.content {
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n"),
            Some(Content::Null) | None => String::new(),
        }
    }

    /// The content's parts; none where it is plain text.
    pub fn parts(&self) -> &[Part] {
        match &self.content {
            Some(Content::Parts(parts)) => parts,
            _ => &[],
        }
    }

    /// The calls of an assistant message.
    pub fn calls(&self) -> &[ToolCall] {
        self.tool_calls.as_deref().unwrap_or_default()
    }
}

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that stand above the user's.
    System,
    /// The newer name of the same.
    Developer,
    /// The person or program that asks.
    #[default]
    User,
    /// The model.
    Assistant,
    /// The result of a function call.
    Tool,
    /// The result of a function call, in the form that OpenAI has deprecated.
    Function,
}

/// What a message holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Parts: texts, images, files.
    Parts(Vec<Part>),
    /// An explicit `null`, which an assistant message with calls may have.
    Null,
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Content::Text(text) => serializer.serialize_str(text),
            Content::Parts(parts) => parts.serialize(serializer),
            Content::Null => serializer.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string, an array of parts, or null")
            }
            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }
            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::Null)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(parts)).map(Content::Parts)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// Keeps an explicit `null` apart from an absent key, where the type can tell them apart.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// One part of a message's content, of any kind: those this crate has names for, and others in `extra`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// `text`, `image_url`, `file`, `input_audio`, `refusal`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// The text of a `text`, `input_text` or `output_text` part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The text of a `refusal` part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The image of an `image_url` part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<ImageUrl>,
    /// The file of a `file` part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Part {
    /// A `text` part.
    pub fn from_text(text: impl Into<String>) -> Self {
        Part { kind: "text".to_owned(), text: Some(text.into()), ..Part::default() }
    }

    /// The part's text, if its kind is one that holds text: `text`, `input_text`, `output_text`, `refusal`.
    pub fn as_text(&self) -> Option<&str> {
        match self.kind.as_str() {
            "text" | "input_text" | "output_text" => self.text.as_deref(),
            "refusal" => self.refusal.as_deref(),
            _ => None,
        }
    }
}

/// An image, as OpenAI's `image_url` part names it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageUrl {
    /// A `data:` URL, or an `https:` one.
    pub url: String,
    /// Every other field, as it was sent (`detail`, for one).
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A file, as OpenAI's `file` part names it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct File {
    /// The file's content, as a `data:` URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_data: Option<String>,
    /// The id of an uploaded file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_id: Option<String>,
    /// The file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A tool that the client offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// `function`, the one kind that is supported.
    #[serde(rename = "type")]
    pub kind: String,
    /// The function.
    pub function: Function,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A function of the client's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Its name: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON schema of its arguments; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// Every other field, as it was sent (`strict`, for one).
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A call of a function, in an assistant message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The call's id, by which a tool message answers it.
    pub id: String,
    /// `function`.
    #[serde(rename = "type", default = "function_kind")]
    pub kind: String,
    /// What was called.
    pub function: CalledFunction,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn function_kind() -> String {
    "function".to_owned()
}

/// The function that was called and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalledFunction {
    /// The function's name.
    pub name: String,
    /// Its arguments, as JSON text.
    pub arguments: String,
}

/// Which functions the model may or must call.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice {
    /// None of them.
    None,
    /// As it sees fit.
    Auto,
    /// At least one.
    Required,
    /// The one of this name.
    Function(String),
    /// Some of those offered.
    Allowed {
        /// Whether one of them must be called.
        required: bool,
        /// Their names.
        names: Vec<String>,
    },
}

impl Serialize for ToolChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = |name: &String| serde_json::json!({"type": "function", "function": {"name": name}});
        match self {
            ToolChoice::None => serializer.serialize_str("none"),
            ToolChoice::Auto => serializer.serialize_str("auto"),
            ToolChoice::Required => serializer.serialize_str("required"),
            ToolChoice::Function(name) => named(name).serialize(serializer),
            ToolChoice::Allowed { required, names } => {
                let mode = if *required { "required" } else { "auto" };
                let tools: Vec<Value> = names.iter().map(named).collect();
                serde_json::json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
                    .serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let name = |tool: &Value| tool["function"]["name"].as_str().map(str::to_owned);
        let choice = match (value.as_str(), value["type"].as_str()) {
            (Some("none"), _) => Some(ToolChoice::None),
            (Some("auto"), _) => Some(ToolChoice::Auto),
            (Some("required"), _) => Some(ToolChoice::Required),
            (_, Some("function")) => name(&value).map(ToolChoice::Function),
            (_, Some("allowed_tools")) => {
                let allowed = &value["allowed_tools"];
                let names = allowed["tools"].as_array().and_then(|tools| tools.iter().map(name).collect());
                match (allowed["mode"].as_str(), names) {
                    (Some(mode @ ("auto" | "required")), Some(names)) => {
                        Some(ToolChoice::Allowed { required: mode == "required", names })
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        choice.ok_or_else(|| {
            serde::de::Error::custom(
                "expected \"none\", \"auto\", \"required\", {\"type\":\"function\",\"function\":{\"name\":...}} \
                 or {\"type\":\"allowed_tools\",...}",
            )
        })
    }
}

/// What a streamed answer has beside its text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamOptions {
    /// Whether a last chunk carries the token counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_usage: Option<bool>,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Texts that end the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
pub enum Stop {
    /// One.
    One(String),
    /// Up to four.
    Many(Vec<String>),
}

impl Stop {
    /// The texts, however they were written.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Stop::One(text) => std::slice::from_ref(text),
            Stop::Many(texts) => texts,
        }
    }
}

/// The form that the answer is to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseFormat {
    /// `text`, `json_object` or `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The schema, where the kind is `json_schema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<JsonSchema>,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A named JSON schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JsonSchema {
    /// Its name.
    pub name: String,
    /// What it is for, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The schema itself; absent means any object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Every other field, as it was sent (`strict`, for one).
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The answer to a [`ChatRequest`]: its head, and its events as they come.
///
/// Dropping it ends the turn, and the process that worked on it.
#[derive(Debug)]
pub struct ChatResponse {
    /// `chatcmpl-` and 32 hexadecimal digits.
    pub id: String,
    /// When the answer began, in seconds since 1970.
    pub created: u64,
    /// The model that really answers.
    pub model: String,
    /// What is to stand in the HTTP response's head, such as `x-claude-process`. A layer may add to it.
    pub headers: HeaderMap,
    /// The answer.
    pub events: EventStream,
}

impl ChatResponse {
    /// An answer of these events, with an id and time of its own.
    pub fn new(model: impl Into<String>, events: EventStream) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        ChatResponse {
            id: format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
            created: now.map_or(0, |time| time.as_secs()),
            model: model.into(),
            headers: HeaderMap::new(),
            events,
        }
    }

    /// Rewrites the events on their way: each one goes to `translate`, which pushes those that take its place, be it
    /// none, one or several.
    ///
    /// ```
    /// use tower_claude::{ChatEvent, ChatResponse};
    ///
    /// fn shout(response: ChatResponse) -> ChatResponse {
    ///     response.translate(|event, out| match event {
    ///         ChatEvent::TextDelta(text) => out.push_back(ChatEvent::TextDelta(text.to_uppercase())),
    ///         other => out.push_back(other),
    ///     })
    /// }
    /// ```
    pub fn translate<F>(self, translate: F) -> Self
    where
        F: FnMut(ChatEvent, &mut VecDeque<ChatEvent>) + Send + 'static,
    {
        let events = EventStream::new(Translate { inner: self.events, translate, ready: VecDeque::new() });
        ChatResponse { events, ..self }
    }
}

/// One step of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChatEvent {
    /// The model has begun to answer.
    Started,
    /// A new block of text begins; deltas until the next one belong to it.
    TextBlockStart,
    /// More text.
    TextDelta(String),
    /// More of the model's reasoning.
    ReasoningDelta(String),
    /// The model begins to call a function of the client's.
    ToolCallStart {
        /// Counts the answer's calls from 0.
        index: u32,
        /// The call's id: letters and digits, at most 40.
        id: String,
        /// The function's name.
        name: String,
    },
    /// More of a call's arguments.
    ToolCallDelta {
        /// Which call.
        index: u32,
        /// A piece of JSON text.
        arguments: String,
    },
    /// One of Claude Code's own tools was used, on this machine. Never a call of the client's.
    BuiltinToolUse {
        /// The tool's name: `Bash`, `Read`, ...
        name: String,
        /// What it was given.
        input: Value,
    },
    /// What the turn has cost so far; replaces what was said before. Not sent to clients.
    Usage(Usage),
    /// The answer is complete. Nothing follows.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
    },
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done, or a stop text was met.
    Stop,
    /// The token limit was reached.
    Length,
    /// The model waits for results of its calls.
    ToolCalls,
    /// The model refused.
    ContentFilter,
}

impl FinishReason {
    /// The name in OpenAI's API.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::ToolCalls => "tool_calls",
            FinishReason::ContentFilter => "content_filter",
        }
    }
}

/// Token counts, in OpenAI's terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All tokens of the prompt, cached ones included.
    pub prompt_tokens: u64,
    /// Those of them that were read from the prompt cache.
    pub cached_tokens: u64,
    /// Those of them that were written to it.
    pub cache_write_tokens: u64,
    /// All tokens of the answer, reasoning included.
    pub completion_tokens: u64,
    /// Those of them that were reasoning.
    pub reasoning_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.completion_tokens += other.completion_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
    }
}

/// The events of an answer, ending with [`ChatEvent::Finished`] or an error.
pub struct EventStream(Pin<Box<dyn Stream<Item = Result<ChatEvent, Error>> + Send>>);

impl EventStream {
    /// Boxes any stream of events.
    pub fn new(stream: impl Stream<Item = Result<ChatEvent, Error>> + Send + 'static) -> Self {
        EventStream(Box::pin(stream))
    }
}

impl Stream for EventStream {
    type Item = Result<ChatEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl FromIterator<ChatEvent> for EventStream {
    fn from_iter<I: IntoIterator<Item = ChatEvent>>(events: I) -> Self {
        let events: VecDeque<ChatEvent> = events.into_iter().collect();
        EventStream::new(futures_util::stream::iter(events.into_iter().map(Ok)))
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("EventStream")
    }
}

/// The stream behind [`ChatResponse::translate`].
struct Translate<F> {
    inner: EventStream,
    translate: F,
    ready: VecDeque<ChatEvent>,
}

// The closure is called, never polled, so nothing in here minds being moved.
impl<F> Unpin for Translate<F> {}

impl<F: FnMut(ChatEvent, &mut VecDeque<ChatEvent>)> Stream for Translate<F> {
    type Item = Result<ChatEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            match std::task::ready!(Pin::new(&mut this.inner).poll_next(cx)) {
                Some(Ok(event)) => (this.translate)(event, &mut this.ready),
                end => return Poll::Ready(end),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_encodes_back_to_the_json_it_came_from() {
        let json = serde_json::json!({
            "model": "m",
            "messages": [
                {"role": "developer", "content": "d", "name": "n"},
                {"role": "user", "content": [
                    {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": {"url": "https://e/x.png", "detail": "low"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "f.pdf"}},
                    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                    {"type": "of_tomorrow", "x": 1}
                ]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ]},
                {"role": "tool", "content": "", "tool_call_id": "c1"},
                {"role": "assistant", "refusal": "no", "audio": {"id": "a"}}
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": true}}],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
                {"type": "function", "function": {"name": "f"}}
            ]}},
            "stop": ["a", "b"],
            "stream": true,
            "stream_options": {"include_usage": true, "include_obfuscation": false},
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}, "strict": true}},
            "temperature": 0.5,
            "of_tomorrow": {"deep": [1, 2]}
        });
        let request: ChatRequest = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&request).unwrap(), json);
    }

    #[test]
    fn null_counts_as_absent_except_as_content() {
        let request: ChatRequest =
            serde_json::from_str(r#"{"model":"m","messages":[{"role":"assistant","content":null}],"stop":null}"#)
                .unwrap();
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"model":"m","messages":[{"role":"assistant","content":null}]}"#
        );
    }
}
