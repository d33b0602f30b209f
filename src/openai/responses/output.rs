//! The items of an answer: what they are, and their JSON.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::sealed;
use super::tools::Origin;

/// One item of the output.
#[derive(Debug)]
pub(crate) struct OutputItem {
    pub(crate) kind: Kind,
    pub(crate) status: Status,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Message {
        text: String,
    },
    Reasoning {
        /// What the model thought.
        text: String,
        /// The signature with which the model accepts its thought back.
        signature: Option<String>,
        /// The data of a thought that only the API can read.
        redacted: bool,
    },
    Call {
        /// The call's id, which its result repeats.
        id: String,
        tool: Origin,
        /// JSON, or the text of a custom tool.
        input: String,
    },
    WebSearch {
        query: String,
    },
}

/// The state of an item, or of the whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    InProgress,
    Completed,
    Incomplete,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Incomplete => "incomplete",
        }
    }
}

/// How much of the model's reasoning the client is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Its text, as a summary: `reasoning.summary`.
    pub(crate) summary: bool,
    /// What the client needs to send it back: `reasoning.encrypted_content` in `include`.
    pub(crate) encrypted: bool,
}

/// Everything that is kept, for the next turn.
pub(crate) const ALL_SHOWN: Shown = Shown { summary: true, encrypted: true };

impl OutputItem {
    /// The id of the item at this place in the output of the answer whose id ends so.
    pub(crate) fn id(&self, answer: &str, index: usize) -> String {
        let prefix = match &self.kind {
            Kind::Message { .. } => "msg",
            Kind::Reasoning { .. } => "rs",
            Kind::Call { tool: Origin { custom: true, .. }, .. } => "ctc",
            Kind::Call { .. } => "fc",
            Kind::WebSearch { .. } => "ws",
        };
        format!("{prefix}_{answer}_{index}")
    }
}

/// The end of the answer's id, and the item's place, from an item's id.
pub(crate) fn place_of(item: &str) -> Option<(&str, usize)> {
    let (_, rest) = item.split_once('_')?;
    let (answer, index) = rest.rsplit_once('_')?;
    Some((answer, index.parse().ok()?))
}

/// An item as JSON.
pub(crate) struct ItemJson<'a> {
    pub(crate) item: &'a OutputItem,
    /// How the answer's id ends.
    pub(crate) answer: &'a str,
    pub(crate) index: usize,
    pub(crate) shown: Shown,
    /// As it is when it is announced: empty.
    pub(crate) empty: bool,
}

impl Serialize for ItemJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.item.id(self.answer, self.index))?;
        let status = if self.empty { Status::InProgress } else { self.item.status };
        match &self.item.kind {
            Kind::Message { text } => {
                map.serialize_entry("type", "message")?;
                map.serialize_entry("status", status.as_str())?;
                map.serialize_entry("role", "assistant")?;
                let content: &[TextPart] = if self.empty { &[] } else { &[TextPart(text)] };
                map.serialize_entry("content", content)?;
            }
            Kind::Reasoning { text, signature, redacted } => {
                map.serialize_entry("type", "reasoning")?;
                let told = self.shown.summary && !self.empty && !text.is_empty();
                let summary: &[SummaryPart] = if told { &[SummaryPart(text)] } else { &[] };
                map.serialize_entry("summary", summary)?;
                if let (true, false, Some(signature)) = (self.shown.encrypted, self.empty, signature) {
                    let text = if self.shown.summary { "" } else { text };
                    map.serialize_entry("encrypted_content", &sealed::seal(signature, text, *redacted))?;
                }
            }
            Kind::Call { id, tool, input } => {
                map.serialize_entry("type", if tool.custom { "custom_tool_call" } else { "function_call" })?;
                map.serialize_entry("status", status.as_str())?;
                let input = if self.empty { "" } else { input };
                map.serialize_entry(if tool.custom { "input" } else { "arguments" }, input)?;
                map.serialize_entry("call_id", id)?;
                map.serialize_entry("name", &tool.name)?;
                if let Some(namespace) = &tool.namespace {
                    map.serialize_entry("namespace", namespace)?;
                }
            }
            Kind::WebSearch { query } => {
                map.serialize_entry("type", "web_search_call")?;
                map.serialize_entry("status", status.as_str())?;
                let action: Value = json!({"type": "search", "query": query});
                map.serialize_entry("action", &action)?;
            }
        }
        map.end()
    }
}

/// The one part of a message.
pub(crate) struct TextPart<'a>(pub(crate) &'a str);

impl Serialize for TextPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("type", "output_text")?;
        map.serialize_entry("annotations", &[(); 0])?;
        map.serialize_entry("logprobs", &[(); 0])?;
        map.serialize_entry("text", self.0)?;
        map.end()
    }
}

/// One part of a summary.
pub(crate) struct SummaryPart<'a>(pub(crate) &'a str);

impl Serialize for SummaryPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", "summary_text")?;
        map.serialize_entry("text", self.0)?;
        map.end()
    }
}

/// All items of an answer as JSON.
pub(crate) struct OutputJson<'a> {
    pub(crate) items: &'a [OutputItem],
    pub(crate) answer: &'a str,
    pub(crate) shown: Shown,
}

impl Serialize for OutputJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.items.len()))?;
        for (index, item) in self.items.iter().enumerate() {
            let (answer, shown) = (self.answer, self.shown);
            list.serialize_element(&ItemJson { item, answer, index, shown, empty: false })?;
        }
        list.end()
    }
}
