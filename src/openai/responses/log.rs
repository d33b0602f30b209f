//! The chat events of a kept answer, in little more memory than their texts.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{ChatEvent, FinishReason, Usage};

/// The events from which an answer's stream is written, in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub(crate) struct Log {
    entries: Vec<Entry>,
    /// All texts, concatenated.
    text: String,
}

/// A log as it was stored. It is checked when it is read: wrong lengths would be out of bounds.
#[derive(Deserialize)]
struct Unchecked {
    entries: Vec<Entry>,
    text: String,
}

impl TryFrom<Unchecked> for Log {
    type Error = &'static str;

    fn try_from(stored: Unchecked) -> Result<Self, Self::Error> {
        let mut end = 0;
        for length in stored.entries.iter().flat_map(Entry::lengths) {
            end += length as usize;
            if !stored.text.is_char_boundary(end) {
                return Err("the events of the answer do not fit their text");
            }
        }
        Ok(Log { entries: stored.entries, text: stored.text })
    }
}

/// One event. Lengths are of its texts, in bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Entry {
    Text(u32),
    ReasoningBlock,
    Reasoning(u32),
    Signature(u32),
    Redacted(u32),
    Call { index: u32, id: u32, name: u32 },
    Arguments { index: u32, length: u32 },
    Search(u32),
}

impl Entry {
    /// The lengths of its texts, in their order.
    fn lengths(&self) -> impl Iterator<Item = u32> + use<> {
        match *self {
            Entry::ReasoningBlock => [None, None],
            Entry::Call { id, name, .. } => [Some(id), Some(name)],
            Entry::Text(length)
            | Entry::Reasoning(length)
            | Entry::Signature(length)
            | Entry::Redacted(length)
            | Entry::Arguments { length, .. }
            | Entry::Search(length) => [Some(length), None],
        }
        .into_iter()
        .flatten()
    }
}

/// Where a reader of a log is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Position {
    entry: usize,
    text: usize,
}

impl Log {
    /// Adds an event, if the stream depends on it. The end is not in the log.
    pub(crate) fn push(&mut self, event: &ChatEvent) {
        let entry = match event {
            ChatEvent::TextDelta(text) => Entry::Text(self.add(text)),
            ChatEvent::ReasoningBlockStart => Entry::ReasoningBlock,
            ChatEvent::ReasoningDelta(text) => Entry::Reasoning(self.add(text)),
            ChatEvent::ReasoningSignature(piece) => Entry::Signature(self.add(piece)),
            ChatEvent::RedactedReasoning(data) => Entry::Redacted(self.add(data)),
            ChatEvent::ToolCallStart { index, id, name } => {
                Entry::Call { index: *index, id: self.add(id), name: self.add(name) }
            }
            ChatEvent::ToolCallDelta { index, arguments } => {
                Entry::Arguments { index: *index, length: self.add(arguments) }
            }
            ChatEvent::BuiltinToolUse { name, input } if name == "WebSearch" => {
                Entry::Search(self.add(input["query"].as_str().unwrap_or_default()))
            }
            _ => return,
        };
        self.entries.push(entry);
    }

    fn add(&mut self, text: &str) -> u32 {
        // A text of 4 GiB does not come in one event.
        let length = u32::try_from(text.len()).unwrap_or(0);
        self.text.push_str(&text[..length as usize]);
        length
    }

    /// The event at a position, which then moves past it.
    pub(crate) fn next(&self, position: &mut Position) -> Option<ChatEvent> {
        let entry = *self.entries.get(position.entry)?;
        position.entry += 1;
        let mut text = |length: u32| {
            let start = position.text;
            position.text += length as usize;
            self.text[start..position.text].to_owned()
        };
        Some(match entry {
            Entry::Text(length) => ChatEvent::TextDelta(text(length)),
            Entry::ReasoningBlock => ChatEvent::ReasoningBlockStart,
            Entry::Reasoning(length) => ChatEvent::ReasoningDelta(text(length)),
            Entry::Signature(length) => ChatEvent::ReasoningSignature(text(length)),
            Entry::Redacted(length) => ChatEvent::RedactedReasoning(text(length)),
            Entry::Call { index, id, name } => {
                let id = text(id);
                ChatEvent::ToolCallStart { index, id, name: text(name) }
            }
            Entry::Arguments { index, length } => ChatEvent::ToolCallDelta { index, arguments: text(length) },
            Entry::Search(length) => {
                ChatEvent::BuiltinToolUse { name: "WebSearch".to_owned(), input: json!({"query": text(length)}) }
            }
        })
    }

    /// Frees spare capacity: nothing follows.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.text.shrink_to_fit();
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn size(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>()
    }
}

/// How a kept answer ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Finished {
        reason: FinishReason,
        usage: Usage,
    },
    Failed(crate::Error),
    /// By its client.
    Cancelled,
}
