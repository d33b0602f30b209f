//! A message of the conversation, with its parts and its calls.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::compact::some_list;
use super::extra::Extra;
use super::recognition::Sent;

/// One message of the conversation.
///
/// ```
/// use tower_claude::chat::{Message, Role};
///
/// let mut message = Message::new(Role::User, "My key is sk-1234.");
/// for text in message.texts_mut() {
///     *text = text.replace("sk-1234", "[key]");
/// }
/// assert_eq!(message.text(), "My key is [key].");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The content; `None` if the key is absent.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// The speaker's name, where several share a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An assistant's refusal, which older answers carry instead of content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The functions that an assistant message called.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_list")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// The id of the call that a tool message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The model's reasoning before and during this message. Chat Completions has no field for it; other doors do.
    #[serde(skip)]
    pub reasoning: Vec<Reasoning>,
    /// Whether a tool message reports a failure. Chat Completions has no field for it; other doors do.
    #[serde(skip)]
    pub is_error: bool,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Extra,
    /// Marks a message, usually one that a layer added, that the client will not send again. The model sees it, but it is
    /// ignored when a later request is matched to this conversation. Never part of the JSON.
    #[serde(skip)]
    pub ephemeral: bool,
    /// Which of the client's messages this is; `None` for one that a layer has made. Never part of the JSON.
    #[serde(skip)]
    pub sent: Option<Sent>,
}

/// What a user is taken to have said where a conversation does not begin with a user's message.
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) const GO_AHEAD: &str = "Go ahead.";

impl Message {
    /// A message of plain text.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Message { role, content: Some(Content::Text(text.into())), ..Message::default() }
    }

    /// The result of the call with this id.
    pub fn tool_result(tool_call_id: impl Into<String>, text: impl Into<String>) -> Self {
        Message { tool_call_id: Some(tool_call_id.into()), ..Message::new(Role::Tool, text) }
    }

    /// The turn that a user is taken to have had where a request has nothing but instructions: the API answers users alone.
    #[cfg(feature = "http")]
    pub(crate) fn go_ahead() -> Self {
        Message { ephemeral: true, ..Message::new(Role::User, GO_AHEAD) }
    }

    /// The message's text, its text parts joined by line feeds. Parts that are not text are left out.
    pub fn text(&self) -> String {
        match &self.content {
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n"),
            Some(Content::Null) | None => String::new(),
        }
    }

    /// The message's texts: its content if that is text, else each part that is text.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (text, parts) = match &self.content {
            Some(Content::Text(text)) => (Some(text.as_str()), &[][..]),
            Some(Content::Parts(parts)) => (None, parts.as_slice()),
            Some(Content::Null) | None => (None, &[][..]),
        };
        text.into_iter().chain(parts.iter().filter_map(Part::as_text))
    }

    /// The message's texts, to rewrite.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let (text, parts) = match &mut self.content {
            Some(Content::Text(text)) => (Some(text), &mut [][..]),
            Some(Content::Parts(parts)) => (None, parts.as_mut_slice()),
            Some(Content::Null) | None => (None, &mut [][..]),
        };
        text.into_iter().chain(parts.iter_mut().filter_map(Part::as_text_mut))
    }

    /// The calls of an assistant message.
    pub fn calls(&self) -> &[ToolCall] {
        self.tool_calls.as_deref().unwrap_or_default()
    }
}

/// A block of the model's reasoning, as a client hands it back with the message that it led to.
///
/// The API accepts a block only exactly as it sent it, so no part of one is ever changed.
///
/// ```
/// use tower_claude::chat::{Message, Reasoning, Role};
///
/// let mut answer = Message::new(Role::Assistant, "Four.");
/// answer.reasoning = vec![Reasoning::signed("Two and two.", "c2lnbmVk", 0)];
/// assert_eq!(answer.reasoning[0].place(), 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reasoning {
    /// The model's thoughts, perhaps summarised or left out, with a signature that proves they are the model's own.
    #[non_exhaustive]
    Signed {
        /// The text; empty if the client was not shown it.
        text: String,
        /// The signature.
        signature: String,
        /// How many content parts and calls of the message came before it.
        place: usize,
    },
    /// Reasoning that only the model may read.
    #[non_exhaustive]
    Redacted {
        /// The encrypted reasoning, as the API sent it.
        data: String,
        /// How many content parts and calls of the message came before it.
        place: usize,
    },
}

impl Reasoning {
    /// The model's thoughts with their signature, after `place` content parts and calls of the message.
    pub fn signed(text: impl Into<String>, signature: impl Into<String>, place: usize) -> Self {
        Reasoning::Signed { text: text.into(), signature: signature.into(), place }
    }

    /// Reasoning that only the model may read, after `place` content parts and calls of the message.
    pub fn redacted(data: impl Into<String>, place: usize) -> Self {
        Reasoning::Redacted { data: data.into(), place }
    }

    /// How many content parts and calls of the message came before it.
    pub fn place(&self) -> usize {
        match self {
            Reasoning::Signed { place, .. } | Reasoning::Redacted { place, .. } => *place,
        }
    }
}

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Instructions that take precedence over the user's.
    System,
    /// The newer name of [`System`](Self::System).
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

impl Role {
    /// Whether this is [`System`](Self::System) or [`Developer`](Self::Developer).
    pub fn is_instructions(self) -> bool {
        matches!(self, Role::System | Role::Developer)
    }
}

/// What a message holds.
///
/// ```
/// use tower_claude::chat::{Content, Message, Part, Role};
///
/// let mut message = Message::new(Role::User, "");
/// message.content = Some(Content::Parts(vec![Part::from_text("Look at this:"), Part::from_text("a cat")]));
/// assert_eq!(message.text(), "Look at this:\na cat");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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
                let mut parts = Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(parts))?;
                // A hundred thousand messages may have one part each.
                parts.shrink_to_fit();
                Ok(Content::Parts(parts))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// Tells an explicit `null` from an absent key, if the type can represent both.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// One part of a message's content, of any kind: those this crate has names for, and others in `extra`.
///
/// ```
/// use tower_claude::chat::Part;
///
/// let json = r#"{"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}}"#;
/// let part: Part = serde_json::from_str(json)?;
/// assert_eq!(part.image_url.unwrap().url, "https://example.com/cat.png");
/// assert_eq!(Part::from_text("a cat").as_text(), Some("a cat"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    pub image_url: Option<Box<ImageUrl>>,
    /// The file of a `file` part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Box<File>>,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Extra,
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

    /// The part's text, to rewrite.
    pub fn as_text_mut(&mut self) -> Option<&mut String> {
        match self.kind.as_str() {
            "text" | "input_text" | "output_text" => self.text.as_mut(),
            "refusal" => self.refusal.as_mut(),
            _ => None,
        }
    }
}

/// An image, as OpenAI's `image_url` part names it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageUrl {
    /// A `data:` URL, or an `https:` one.
    pub url: String,
    /// Every other field, as it was sent (`detail`, for one).
    #[serde(flatten)]
    pub extra: Extra,
}

/// A file, as OpenAI's `file` part names it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    pub extra: Extra,
}

/// A call of a function, in an assistant message.
///
/// ```
/// use tower_claude::chat::{Message, Role, ToolCall};
///
/// let mut asked = Message::new(Role::Assistant, "");
/// asked.tool_calls = Some(vec![ToolCall::new("call1", "weather", r#"{"city": "Rome"}"#)]);
/// let answered = Message::tool_result("call1", "sunny");
/// assert_eq!(answered.tool_call_id.as_deref(), Some(asked.calls()[0].id.as_str()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    pub extra: Extra,
}

impl ToolCall {
    /// A call of a function, its arguments as JSON text.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        let function = CalledFunction { name: name.into(), arguments: arguments.into() };
        ToolCall { id: id.into(), kind: function_kind(), function, extra: Extra::default() }
    }
}

fn function_kind() -> String {
    "function".to_owned()
}

/// The function that was called and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CalledFunction {
    /// The function's name.
    pub name: String,
    /// Its arguments, as JSON text.
    pub arguments: String,
}
