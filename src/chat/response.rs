//! The answer: its head, and its events as they come.

use std::time::Duration;

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::translate::{EventStream, Translate};

/// The answer to a [`ChatRequest`](super::ChatRequest): its head, and its events as they come.
///
/// Dropping it ends the turn, and the process that worked on it.
///
/// ```
/// use tower_claude::{ChatEvent, ChatResponse, EventStream, FinishReason, Usage};
///
/// let events = [ChatEvent::TextDelta("Hi.".into()), ChatEvent::finished(FinishReason::Stop, Usage::new(8, 2))];
/// let mut response = ChatResponse::new("parrot-1", EventStream::from_iter(events));
/// response.headers.insert("x-cage", http::HeaderValue::from_static("3"));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct ChatResponse {
    /// `chatcmpl-` and 32 hexadecimal digits.
    pub id: String,
    /// When the answer began, in seconds since 1970.
    pub created: u64,
    /// The model that actually answers.
    pub model: String,
    /// Headers for the HTTP response, such as `x-claude-process`. A layer may add to them.
    pub headers: HeaderMap,
    /// How long the request waited for its turn, if the inner service has a queue.
    pub queued: Option<Duration>,
    /// The answer.
    pub events: EventStream,
}

impl ChatResponse {
    /// An answer of these events, with a new id and the current time.
    pub fn new(model: impl Into<String>, events: EventStream) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        ChatResponse {
            id: format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
            created: now.map_or(0, |time| time.as_secs()),
            model: model.into(),
            headers: HeaderMap::new(),
            queued: None,
            events,
        }
    }

    /// Rewrites the events on their way to the client: see [`Translate`], which is also implemented by closures.
    ///
    /// ```
    /// use tower_claude::chat::Events;
    /// use tower_claude::{ChatEvent, ChatResponse};
    ///
    /// fn shout(response: ChatResponse) -> ChatResponse {
    ///     response.translate(|event, out: &mut Events| match event {
    ///         ChatEvent::TextDelta(text) => out.push(ChatEvent::TextDelta(text.to_uppercase())),
    ///         other => out.push(other),
    ///     })
    /// }
    /// ```
    #[must_use]
    pub fn translate(self, translate: impl Translate) -> Self {
        ChatResponse { events: self.events.translate(translate), ..self }
    }
}

/// One step of an answer.
///
/// ```
/// use tower_claude::{ChatEvent, FinishReason, Usage};
///
/// // The model calls `weather`; the arguments come in pieces.
/// let answer = [
///     ChatEvent::tool_call_start(0, "call1", "weather"),
///     ChatEvent::tool_call_delta(0, r#"{"city": "#),
///     ChatEvent::tool_call_delta(0, r#""Rome"}"#),
///     ChatEvent::finished(FinishReason::ToolCalls, Usage::new(40, 12)),
/// ];
///
/// let pieces = answer.iter().filter_map(|event| match event {
///     ChatEvent::ToolCallDelta { arguments, .. } => Some(arguments.as_str()),
///     _ => None,
/// });
/// assert_eq!(pieces.collect::<String>(), r#"{"city": "Rome"}"#);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChatEvent {
    /// The events from here on are this choice's, counted from 0. Only in answers with several, as a
    /// [`ChoicesLayer`](crate::layers::ChoicesLayer) makes them: services and layers inside it never see this event.
    Choice(u32),
    /// The model has begun to answer.
    Started,
    /// A new block of text begins; deltas until the next one belong to it.
    TextBlockStart,
    /// More text.
    TextDelta(String),
    /// A new block of reasoning begins; deltas and the signature until the next block belong to it.
    ReasoningBlockStart,
    /// More of the model's reasoning.
    ReasoningDelta(String),
    /// More of the signature that proves the block of reasoning is the model's own, for a client that hands it back.
    ReasoningSignature(String),
    /// A block of reasoning that only the model may read, encrypted: a client hands it back as it is.
    RedactedReasoning(String),
    /// A source for the block of text, in the form of the Messages API.
    Citation(Value),
    /// The model begins to call a function of the client's.
    #[non_exhaustive]
    ToolCallStart {
        /// Counts the answer's calls from 0.
        index: u32,
        /// The call's id: letters and digits, at most 40.
        id: String,
        /// The function's name.
        name: String,
    },
    /// More of a call's arguments. They come right after its start: any other event of the choice but a
    /// [`Usage`](Self::Usage) ends the call.
    #[non_exhaustive]
    ToolCallDelta {
        /// Which call.
        index: u32,
        /// A piece of JSON text.
        arguments: String,
    },
    /// One of Claude Code's own tools was used, on this machine. Never a call of the client's.
    #[non_exhaustive]
    BuiltinToolUse {
        /// The tool's name: `Bash`, `Read`, ...
        name: String,
        /// The tool's input.
        input: Value,
    },
    /// The answer ends before this text, which is one of the request's stop texts. [`Finished`](Self::Finished) follows.
    StopMatched(String),
    /// Details of why the answer ends, in the form of the Messages API, such as the category of a refusal.
    /// [`Finished`](Self::Finished) follows.
    StopDetails(Value),
    /// The tokens that the turn has cost so far; replaces any earlier count. Not sent to clients.
    Usage(Usage),
    /// The answer is complete. Nothing follows.
    #[non_exhaustive]
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
    },
}

impl ChatEvent {
    /// Whether the event is output of the model: text, reasoning, a call, the use of a tool, or the end.
    #[cfg(any(feature = "cli", feature = "http"))]
    pub(crate) fn is_token(&self) -> bool {
        !matches!(
            self,
            ChatEvent::Choice(_)
                | ChatEvent::Started
                | ChatEvent::TextBlockStart
                | ChatEvent::ReasoningBlockStart
                | ChatEvent::Usage(_)
        )
    }

    /// [`ToolCallStart`](Self::ToolCallStart).
    pub fn tool_call_start(index: u32, id: impl Into<String>, name: impl Into<String>) -> Self {
        ChatEvent::ToolCallStart { index, id: id.into(), name: name.into() }
    }

    /// [`ToolCallDelta`](Self::ToolCallDelta).
    pub fn tool_call_delta(index: u32, arguments: impl Into<String>) -> Self {
        ChatEvent::ToolCallDelta { index, arguments: arguments.into() }
    }

    /// [`BuiltinToolUse`](Self::BuiltinToolUse).
    pub fn builtin_tool_use(name: impl Into<String>, input: Value) -> Self {
        ChatEvent::BuiltinToolUse { name: name.into(), input }
    }

    /// [`Finished`](Self::Finished).
    pub fn finished(reason: FinishReason, usage: Usage) -> Self {
        ChatEvent::Finished { reason, usage }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model was done, or a stop text was met.
    Stop,
    /// The token limit was reached.
    Length,
    /// The model waits for results of its calls.
    ToolCalls,
    /// The model refused.
    ContentFilter,
    /// The conversation fills the model's context window.
    ContextWindow,
    /// The model paused in the middle of a long turn, and continues if its answer is sent back unchanged.
    Pause,
}

impl FinishReason {
    /// The name in OpenAI's API, which has fewer of them.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop | FinishReason::Pause => "stop",
            FinishReason::Length | FinishReason::ContextWindow => "length",
            FinishReason::ToolCalls => "tool_calls",
            FinishReason::ContentFilter => "content_filter",
        }
    }
}

/// Token counts, in OpenAI's terms.
///
/// ```
/// use tower_claude::Usage;
///
/// let mut both = Usage::new(40, 12);
/// both += Usage::new(60, 8);
/// assert_eq!((both.prompt_tokens, both.completion_tokens), (100, 20));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// All tokens of the prompt, cached ones included.
    pub prompt_tokens: u64,
    /// Prompt tokens that were read from the prompt cache.
    pub cached_tokens: u64,
    /// Prompt tokens that were written to the prompt cache.
    pub cache_write_tokens: u64,
    /// Of those written, the tokens that stay cached for an hour rather than five minutes.
    pub cache_write_1h_tokens: u64,
    /// All tokens of the answer, reasoning included.
    pub completion_tokens: u64,
    /// Tokens of the answer that were reasoning.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Counts the tokens of the prompt and of the answer; no details.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Usage { prompt_tokens, completion_tokens, ..Usage::default() }
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.cache_write_1h_tokens += other.cache_write_1h_tokens;
        self.completion_tokens += other.completion_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
    }
}
