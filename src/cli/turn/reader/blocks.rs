//! A content block of the model's message, from its start through its deltas.

use serde_json::Value;

use super::{Block, Step, TurnReader};
use crate::ChatEvent;
use crate::cli::conversation::PreparedRequest;
use crate::cli::protocol::STRUCTURED_OUTPUT;
use crate::cli::protocol::incoming::{self, Delta, Text, read};

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
            "text" => self.start_text(out),
            "thinking" => {
                out.events.push_back(ChatEvent::ReasoningBlockStart);
                Block::Reasoning
            }
            "redacted_thinking" => {
                out.events.extend(block.data.map(|data| ChatEvent::RedactedReasoning(data.into())));
                Block::Other
            }
            "tool_use" if structured && name == STRUCTURED_OUTPUT => self.start_text(out),
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
        let at = index as usize;
        // The API numbers blocks without gaps. Filling a gap could take any amount of memory.
        if at == self.message.blocks.len() {
            self.message.blocks.push(found);
        }
        // Most blocks begin empty.
        match self.message.blocks.get(at) {
            Some(Block::Text) => self.add(index, block.text.map(String::from).unwrap_or_default(), out),
            Some(Block::Reasoning) => {
                self.add(index, block.thinking.map(String::from).unwrap_or_default(), out);
                self.take_signature(index, block.signature, out);
            }
            _ => {}
        }
    }

    fn start_text(&mut self, out: &mut Step) -> Block {
        self.texts.push(String::new());
        out.events.push_back(ChatEvent::TextBlockStart);
        Block::Text
    }

    /// More of a block.
    pub(super) fn take_delta(&mut self, index: u32, delta: Delta<'_>, out: &mut Step) {
        let text = match delta.kind.as_ref().map_or("", |kind| kind.as_str()) {
            "text_delta" => delta.text,
            "thinking_delta" => delta.thinking,
            "input_json_delta" => delta.partial_json,
            "signature_delta" => return self.take_signature(index, delta.signature, out),
            "citations_delta" => return self.take_citation(index, read(delta.citation), out),
            _ => None,
        };
        self.add(index, text.map(String::from).unwrap_or_default(), out);
    }

    fn add(&mut self, index: u32, text: String, out: &mut Step) {
        if text.is_empty() {
            return;
        }
        match self.message.blocks.get_mut(index as usize) {
            Some(Block::Text) => {
                if let Some(last) = self.texts.last_mut() {
                    last.push_str(&text);
                }
                self.message.partially_streamed = true;
                out.events.push_back(ChatEvent::TextDelta(text));
            }
            Some(Block::Reasoning) => out.events.push_back(ChatEvent::ReasoningDelta(text)),
            Some(Block::Call(place)) => out.events.extend(self.calls.add_arguments(*place, text)),
            Some(Block::Builtin { input, .. }) => input.push_str(&text),
            Some(Block::Other) | None => {}
        }
    }

    fn take_signature(&mut self, index: u32, signature: Option<Text<'_>>, out: &mut Step) {
        let signature = signature.filter(|signature| !signature.as_str().is_empty());
        if let (Some(signature), Some(Block::Reasoning)) = (signature, self.message.blocks.get(index as usize)) {
            out.events.push_back(ChatEvent::ReasoningSignature(signature.into()));
        }
    }

    fn take_citation(&mut self, index: u32, citation: Value, out: &mut Step) {
        if let (Value::Object(_), Some(Block::Text)) = (&citation, self.message.blocks.get(index as usize)) {
            out.events.push_back(ChatEvent::Citation(citation));
        }
    }
}
