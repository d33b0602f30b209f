//! The plain answer: all events of one answer, gathered into one message.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::events::stop_reason;
use super::usage::UsageBody;
use crate::chat::call_id::anthropics;
use crate::http::Body;
use crate::http::door::Collector;
use crate::{ChatEvent, Error, FinishReason, Usage};

/// The answer as it grows.
#[derive(Debug)]
pub(crate) struct MessageCollector {
    id: String,
    model: String,
    shows_thinking: bool,
    blocks: Vec<ContentBlock>,
    stop_sequence: Option<String>,
    stop_details: Option<Value>,
    end: Option<(FinishReason, Usage)>,
}

/// A block of the answer's content.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentBlock {
    /// Without citations the API leaves their key out, and some clients refuse a `null`.
    Text {
        text: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<Value>,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Input,
    },
}

/// A call's arguments: text as they come, an object in the answer.
#[derive(Debug, Default)]
struct Input(String);

/// The object as far as it came, as Anthropic's SDKs read one that is streamed: without what may be half a field.
fn as_far_as_it_came(json: &str) -> String {
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    // Where all was complete but for what is open still.
    let mut complete = 0;
    for (at, c) in json.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = in_string,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '{' | '[' => {
                open.push(if c == '{' { '}' } else { ']' });
                complete = at + 1;
            }
            '}' | ']' => {
                open.pop();
                complete = at + 1;
            }
            ',' => complete = at,
            _ => {}
        }
    }
    let ends: String = open.iter().rev().collect();
    let mut tried = [json.len(), complete].into_iter().map(|end| format!("{}{ends}", &json[..end]));
    tried.find(|text| object(text).is_some()).unwrap_or_else(|| "{}".to_owned())
}

fn object(text: &str) -> Option<&RawValue> {
    serde_json::from_str::<&RawValue>(text).ok().filter(|raw| raw.get().starts_with('{'))
}

impl Serialize for Input {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match object(&self.0) {
            Some(whole) => whole.serialize(serializer),
            None => object(&as_far_as_it_came(&self.0)).serialize(serializer),
        }
    }
}

/// A whole answer.
#[derive(Debug, Serialize)]
struct Message {
    id: String,
    r#type: &'static str,
    role: &'static str,
    model: String,
    content: Vec<ContentBlock>,
    stop_reason: &'static str,
    stop_sequence: Option<String>,
    stop_details: Option<Value>,
    usage: UsageBody,
}

impl MessageCollector {
    /// `shows_thinking`: whether the client wants to read the model's thinking, rather than only its signature.
    pub(crate) fn new(id: String, model: String, shows_thinking: bool) -> Self {
        MessageCollector {
            id,
            model,
            shows_thinking,
            blocks: Vec::new(),
            stop_sequence: None,
            stop_details: None,
            end: None,
        }
    }

    /// Appends to the open block of reasoning, or begins one.
    fn think(&mut self, text: &str, proof: &str) {
        match self.blocks.last_mut() {
            Some(ContentBlock::Thinking { thinking, signature }) => {
                thinking.push_str(text);
                signature.push_str(proof);
            }
            _ => self.blocks.push(ContentBlock::thinking(text, proof)),
        }
    }
}

impl ContentBlock {
    fn thinking(thinking: &str, signature: &str) -> Self {
        ContentBlock::Thinking { thinking: thinking.to_owned(), signature: signature.to_owned() }
    }
}

impl Collector for MessageCollector {
    fn event(&mut self, _choice: usize, event: ChatEvent) -> Result<(), Error> {
        match event {
            ChatEvent::TextBlockStart => {
                self.blocks.push(ContentBlock::Text { text: String::new(), citations: Vec::new() })
            }
            ChatEvent::TextDelta(delta) => match self.blocks.last_mut() {
                Some(ContentBlock::Text { text, .. }) => text.push_str(&delta),
                _ => self.blocks.push(ContentBlock::Text { text: delta, citations: Vec::new() }),
            },
            ChatEvent::Citation(citation) => {
                if let Some(ContentBlock::Text { citations, .. }) = self.blocks.last_mut() {
                    citations.push(citation);
                }
            }
            ChatEvent::ReasoningBlockStart => self.blocks.push(ContentBlock::thinking("", "")),
            // Text that a layer added belongs to no block of the model's: it leaves no empty block behind.
            ChatEvent::ReasoningDelta(_) if !self.shows_thinking => {}
            ChatEvent::ReasoningDelta(text) => self.think(&text, ""),
            ChatEvent::ReasoningSignature(signature) => self.think("", &signature),
            ChatEvent::RedactedReasoning(data) => self.blocks.push(ContentBlock::RedactedThinking { data }),
            ChatEvent::StopMatched(text) => self.stop_sequence = Some(text),
            ChatEvent::StopDetails(details) => self.stop_details = Some(details),
            ChatEvent::ToolCallStart { id, name, .. } => {
                self.blocks.push(ContentBlock::ToolUse { id: anthropics(id), name, input: Input::default() });
            }
            ChatEvent::ToolCallDelta { arguments, .. } => {
                if let Some(ContentBlock::ToolUse { input, .. }) = self.blocks.last_mut() {
                    input.0.push_str(&arguments);
                }
            }
            ChatEvent::Finished { reason, usage } => self.end = Some((reason, usage)),
            _ => {}
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Body, Error> {
        let (reason, usage) = self.end.unwrap_or((FinishReason::Stop, Usage::default()));
        Body::json(&Message {
            id: self.id,
            r#type: "message",
            role: "assistant",
            model: self.model,
            content: self.blocks,
            stop_reason: stop_reason(reason, self.stop_sequence.as_deref()),
            stop_sequence: self.stop_sequence,
            stop_details: self.stop_details,
            usage: UsageBody(usage),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Input;

    #[test]
    fn input_is_an_object_however_little_of_it_came() {
        for (came, input) in [
            (r#"{"a": 1.0}"#, r#"{"a": 1.0}"#),
            (r#"{"a":"\ud800"}"#, r#"{"a":"\ud800"}"#),
            ("", "{}"),
            ("{", "{}"),
            (r#"{"path":"a.txt","text":"unfini"#, r#"{"path":"a.txt"}"#),
            (r#"{"path":"a.txt","te"#, r#"{"path":"a.txt"}"#),
            (r#"{"path":"a.txt","#, r#"{"path":"a.txt"}"#),
            (r#"{"path":"a.txt""#, r#"{"path":"a.txt"}"#),
            (r#"{"a":"{[,\","b":tru"#, r#"{}"#),
            (r#"{"a":"\"}","b":tru"#, r#"{"a":"\"}"}"#),
            (r#"{"a":[1,{"b":[2],"c"#, r#"{"a":[1,{"b":[2]}]}"#),
            (r#"{"a":é"#, "{}"),
            ("[1]", "{}"),
            ("{] nonsense", "{}"),
        ] {
            assert_eq!(serde_json::to_string(&Input(came.to_owned())).unwrap(), input, "{came}");
        }
    }
}
