//! A content block of the model's message, from its start through its deltas.

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Block, Step, Streamed, TurnReader, protocol_error};
use crate::chat::call_id::canonical;
use crate::cli::conversation::PreparedRequest;
use crate::cli::prompt::is_blank;
use crate::cli::protocol::incoming::{self, Delta, Text, read};
use crate::cli::protocol::{STRUCTURED_OUTPUT, UNPARSED};
use crate::{ChatEvent, Error};

impl TurnReader {
    /// Whether the CLI has refused JSON that the client has already been sent, and the model gives it again.
    pub(super) fn gives_json_again(&self, block: &incoming::Block<'_>, request: &PreparedRequest) -> bool {
        let name = block.name.as_ref().map_or("", |name| name.as_str());
        request.setup.schema.is_some() && name == STRUCTURED_OUTPUT && !self.texts.is_empty()
    }

    pub(super) fn start_block(
        &mut self,
        index: u32,
        block: incoming::Block<'_>,
        request: &PreparedRequest,
        out: &mut Step,
    ) {
        let name = block.name.as_ref().map_or("", |name| name.as_str());
        let structured = request.setup.schema.is_some();
        let found = match block.kind.as_str() {
            // Text beside the requested JSON would spoil it.
            "text" if structured => Block::Other,
            "text" => Block::Text(self.start_text(out)),
            "thinking" => {
                out.events.push_back(ChatEvent::ReasoningBlockStart);
                Block::Reasoning(String::new())
            }
            "redacted_thinking" => {
                out.events.extend(block.data.map(|data| ChatEvent::RedactedReasoning(data.into())));
                Block::Other
            }
            "tool_use" if structured && name == STRUCTURED_OUTPUT => Block::Json(self.start_text(out)),
            "tool_use" => {
                let id = block.id.as_ref().map_or("", |id| id.as_str());
                match request.setup.functions.client_name(name) {
                    None => {
                        self.calls.close();
                        Block::Builtin { name: name.to_owned(), input: String::new() }
                    }
                    Some(name) => {
                        let (place, start) = self.calls.begin(id, name, request.setup.functions.parallel);
                        self.message.partially_streamed |= start.is_some();
                        out.events.extend(start);
                        Block::Call(place)
                    }
                }
            }
            _ => Block::Other,
        };
        // Most blocks begin empty.
        let begins_with = match &found {
            Block::Text(_) => block.text,
            Block::Reasoning(_) => block.thinking,
            _ => None,
        };
        let text = begins_with.map(String::from).unwrap_or_default();
        self.message.blocks.push(Streamed { index, block: found, begun_with: text.len(), whole: false });
        self.add(index, text, out);
        self.take_signature(index, block.signature, out);
    }

    /// Returns the text's place.
    fn start_text(&mut self, out: &mut Step) -> usize {
        self.texts.push(String::new());
        out.events.push_back(ChatEvent::TextBlockStart);
        self.texts.len() - 1
    }

    fn block(&self, index: u32) -> Option<&Block> {
        self.message.blocks.iter().rev().find(|streamed| streamed.index == index).map(|streamed| &streamed.block)
    }

    /// More of a block.
    pub(super) fn take_delta(&mut self, index: u32, delta: Delta<'_>, out: &mut Step) {
        let kind = delta.kind.as_ref().map_or("", |kind| kind.as_str());
        let block = self.block(index);
        let (text, fits) = match kind {
            "text_delta" => (delta.text, matches!(block, Some(Block::Text(_)))),
            "thinking_delta" => (delta.thinking, matches!(block, Some(Block::Reasoning(_)))),
            "input_json_delta" => {
                (delta.partial_json, matches!(block, Some(Block::Call(_) | Block::Builtin { .. } | Block::Json(_))))
            }
            "signature_delta" => return self.take_signature(index, delta.signature, out),
            "citations_delta" => return self.take_citation(index, read(delta.citation), out),
            _ => return,
        };
        let of_no_use = matches!(block, Some(Block::Other));
        let text = text.map(String::from).unwrap_or_default();
        if fits {
            self.add(index, text, out);
        } else if self.message.open && !text.is_empty() && !of_no_use {
            self.message.lost = true;
        }
    }

    fn add(&mut self, index: u32, text: String, out: &mut Step) {
        if text.is_empty() {
            return;
        }
        let mut blocks = self.message.blocks.iter_mut().rev();
        match blocks.find(|streamed| streamed.index == index).map(|streamed| &mut streamed.block) {
            Some(&mut (Block::Text(place) | Block::Json(place))) => {
                self.texts[place].push_str(&text);
                self.message.partially_streamed = true;
                out.events.push_back(ChatEvent::TextDelta(text));
            }
            Some(Block::Reasoning(said)) => {
                said.push_str(&text);
                out.events.push_back(ChatEvent::ReasoningDelta(text));
            }
            Some(Block::Call(place)) => out.events.extend(self.calls.add_arguments(*place, text)),
            Some(Block::Builtin { input, .. }) => input.push_str(&text),
            Some(Block::Other) | None => {}
        }
    }

    pub(super) fn stop_block(&mut self, index: u32, out: &mut Step) {
        let Some(found) = self.message.blocks.iter_mut().rev().find(|streamed| streamed.index == index) else { return };
        match &found.block {
            Block::Builtin { name, input } => {
                let input = serde_json::from_str(input).unwrap_or(Value::Null);
                out.events.push_back(ChatEvent::BuiltinToolUse { name: name.clone(), input });
            }
            // The CLI writes no `assistant` line of such a text (2.1.328).
            Block::Text(place) if is_blank(&self.texts[*place]) => {
                found.whole = true;
                self.prefix.unknown();
            }
            _ => {}
        }
    }

    /// A block of an `assistant` line, which says in one piece what has been streamed. If a line got lost on the way, the
    /// rest of the block is still sent; what contradicts what the client has been sent is an error.
    pub(super) fn take_whole(
        &mut self,
        block: incoming::Block<'_>,
        request: &PreparedRequest,
        out: &mut Step,
    ) -> Result<(), Error> {
        self.message.lost = false;
        let structured = request.setup.schema.is_some();
        let name = block.name.as_ref().map_or("", |name| name.as_str());
        let is_json = structured && name == STRUCTURED_OUTPUT;
        let input = block.input.map(RawValue::get);
        let whole = match block.kind.as_str() {
            "text" if !structured => block.text.as_ref().map(Text::as_str),
            "thinking" => block.thinking.as_ref().map(Text::as_str),
            "tool_use" => input.filter(|_| is_json || request.setup.functions.client_name(name).is_some()),
            _ => None,
        };
        let Some(whole) = whole else { return Ok(()) };
        let id = canonical(block.id.as_ref().map_or("", Text::as_str));
        let is_it = |streamed: &Streamed| match (&streamed.block, block.kind.as_str()) {
            (Block::Text(_), "text") | (Block::Reasoning(_), "thinking") => !streamed.whole,
            (Block::Json(_), "tool_use") => !streamed.whole && is_json,
            (Block::Call(place), "tool_use") => self.calls.get(*place).is_some_and(|call| call.id == id),
            _ => false,
        };
        let Some(at) = self.message.blocks.iter().position(is_it) else {
            // None of it has been streamed.
            let index = u32::MAX;
            self.start_block(index, block, request, out);
            self.add(index, input.unwrap_or_default().to_owned(), out);
            self.message.blocks.iter_mut().for_each(|streamed| streamed.whole |= streamed.index == index);
            return Ok(());
        };
        let streamed = &mut self.message.blocks[at];
        streamed.whole = true;
        let rest = match &streamed.block {
            Block::Text(place) => rest_of_text(&self.texts[*place], streamed.begun_with, whole),
            Block::Reasoning(said) => rest_of_text(said, streamed.begun_with, whole),
            Block::Json(place) => rest_of_json(&self.texts[*place], whole),
            Block::Call(place) => self.calls.get(*place).and_then(|call| rest_of_json(&call.function.arguments, whole)),
            Block::Builtin { .. } | Block::Other => Some(""),
        };
        let rest = rest.ok_or_else(|| protocol_error("streamed one answer and repeated another"))?.to_owned();
        let index = streamed.index;
        self.add(index, rest, out);
        Ok(())
    }

    fn take_signature(&mut self, index: u32, signature: Option<Text<'_>>, out: &mut Step) {
        let signature = signature.filter(|signature| !signature.as_str().is_empty());
        if let (Some(signature), Some(Block::Reasoning(_))) = (signature, self.block(index)) {
            out.events.push_back(ChatEvent::ReasoningSignature(signature.into()));
        }
    }

    fn take_citation(&mut self, index: u32, citation: Value, out: &mut Step) {
        if let (Value::Object(_), Some(Block::Text(_))) = (&citation, self.block(index)) {
            out.events.push_back(ChatEvent::Citation(citation));
        }
    }
}

/// What is missing of a text of which this much has been said; `None` if it is another text.
fn rest_of_text<'a>(said: &str, begun_with: usize, whole: &'a str) -> Option<&'a str> {
    // The line may have whole what was streamed in halves, which are not valid Unicode.
    if said.contains('\u{fffd}') {
        return Some("");
    }
    whole.strip_prefix(said).or_else(|| whole.strip_prefix(&said[begun_with..]))
}

/// What is missing of a call's input; `None` if it is another input. The model's JSON is streamed as it wrote it, and the
/// line has it as JavaScript does: without white space and `__proto__`, and with rounded numbers; and with `\\u00e9`, an escaped
/// backslash and what follows, as the character that this would be without the first of them. What is not JSON is in it as
/// `{"__unparsedToolInput": {"raw": ..., "len": ...}}`, up to some length (2.1.328).
fn rest_of_json<'a>(said: &str, input: &'a str) -> Option<&'a str> {
    if said.contains('\u{fffd}') || (said.trim().is_empty() && input == "{}") {
        return Some("");
    }
    if let Some(rest) = input.strip_prefix(said) {
        return Some(rest);
    }
    let is_it = match (serde_json::from_str(said), serde_json::from_str::<Value>(input)) {
        (Ok(said), Ok(input)) => is_in_javascript(&said, &input),
        (Err(_), Ok(input)) if input[UNPARSED].is_object() => {
            let raw = input[UNPARSED]["raw"].as_str().unwrap_or_default();
            // It may be cut in the middle of a character.
            said.starts_with(raw.trim_end_matches('\u{fffd}'))
        }
        // JSON that is too deep for a value, or has lone surrogates.
        _ => serde_json::from_str::<serde::de::IgnoredAny>(said).is_ok(),
    };
    is_it.then_some("")
}

fn is_in_javascript(json: &Value, value: &Value) -> bool {
    match (json, value) {
        (Value::String(json), Value::String(value)) => json == value || unescaped(json) == unescaped(value),
        (Value::Number(json), Value::Number(value)) => json.as_f64() == value.as_f64(),
        (Value::Array(json), Value::Array(value)) => {
            json.len() == value.len() && json.iter().zip(value).all(|(json, value)| is_in_javascript(json, value))
        }
        (Value::Object(json), Value::Object(value)) => {
            let is_there = |(key, json): (&String, &Value)| match value.get(key) {
                Some(value) => is_in_javascript(json, value),
                None => key == "__proto__",
            };
            value.len() <= json.len() && json.iter().all(is_there)
        }
        _ => json == value,
    }
}

/// The text's UTF-16 units, with what looks like an escape (`\u00e9`) as what that stands for.
fn unescaped(text: &str) -> Vec<u16> {
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        units.extend(rest[..at].encode_utf16());
        let digits = rest.get(at + 2..at + 6).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        units.extend(unit.map_or_else(|| vec![u16::from(b'\\'), u16::from(b'u')], |unit| vec![unit]));
        rest = &rest[at + if unit.is_some() { 6 } else { 2 }..];
    }
    units.extend(rest.encode_utf16());
    units
}
