//! An answer's events as Anthropic's, written straight into the buffer that is sent.
//!
//! The CLI's stream was made of these very events. Content blocks begin and end here where they did there; only ids, and the
//! model's turns with Claude Code's own tools, differ from the API's.

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde_json::Value;

use super::usage::{FinalUsageBody, UsageBody};
use crate::chat::call_id::anthropics;
use crate::http::door::Encoder;
use crate::{ChatEvent, Error, FinishReason, Usage};

/// Writes the events of one answer.
#[derive(Debug)]
pub(crate) struct EventEncoder {
    id: String,
    model: String,
    /// The prompt's token counts, as the API reported them at the beginning.
    usage: Usage,
    started: bool,
    /// The block that is open, and how many there were before it.
    open: Option<Open>,
    index: u32,
    shows_thinking: bool,
    stop_sequence: Option<String>,
    stop_details: Option<Value>,
    request_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Open {
    Text,
    Thinking,
    Redacted,
    Call,
}

impl EventEncoder {
    /// `shows_thinking`: whether the client wants to read the model's thinking, rather than only its signature.
    pub(crate) fn new(id: String, model: String, shows_thinking: bool, request_id: Option<String>) -> Self {
        let usage = Usage::default();
        EventEncoder {
            id,
            model,
            usage,
            started: false,
            open: None,
            index: 0,
            shows_thinking,
            stop_sequence: None,
            stop_details: None,
            request_id,
        }
    }
}

impl Encoder for EventEncoder {
    /// The first event has the prompt's token counts, so it waits until they are known.
    fn start(&mut self, _out: &mut BytesMut) {}

    fn event(&mut self, _choice: usize, event: ChatEvent, out: &mut BytesMut) -> Result<(), Error> {
        match event {
            ChatEvent::Usage(usage) if !self.started => {
                self.usage = usage;
                self.start(out);
            }
            ChatEvent::TextBlockStart => self.open(Open::Text, out),
            ChatEvent::TextDelta(text) => {
                self.ensure(Open::Text, out);
                self.delta(out, |out| {
                    out.put_slice(br#"{"type":"text_delta","text":"#);
                    json(out, &text);
                });
            }
            ChatEvent::Citation(citation) => {
                self.ensure(Open::Text, out);
                self.delta(out, |out| {
                    out.put_slice(br#"{"type":"citations_delta","citation":"#);
                    json(out, &citation);
                });
            }
            ChatEvent::ReasoningBlockStart => self.open(Open::Thinking, out),
            // Text that a layer added belongs to no block of the model's: it leaves no empty block behind.
            ChatEvent::ReasoningDelta(_) if !self.shows_thinking => {}
            ChatEvent::ReasoningDelta(text) => {
                self.ensure(Open::Thinking, out);
                self.delta(out, |out| {
                    out.put_slice(br#"{"type":"thinking_delta","thinking":"#);
                    json(out, &text);
                });
            }
            ChatEvent::ReasoningSignature(signature) => {
                self.ensure(Open::Thinking, out);
                self.delta(out, |out| {
                    out.put_slice(br#"{"type":"signature_delta","signature":"#);
                    json(out, &signature);
                });
            }
            ChatEvent::RedactedReasoning(data) => {
                self.close(out);
                self.begin_block(Open::Redacted, out, |out| {
                    out.put_slice(br#"{"type":"redacted_thinking","data":"#);
                    json(out, &data);
                    out.put_slice(b"}");
                });
            }
            ChatEvent::StopMatched(text) => self.stop_sequence = Some(text),
            ChatEvent::StopDetails(details) => self.stop_details = Some(details),
            ChatEvent::ToolCallStart { id, name, .. } => {
                self.close(out);
                self.begin_block(Open::Call, out, |out| {
                    out.put_slice(br#"{"type":"tool_use","id":"#);
                    json(out, &anthropics(id));
                    out.put_slice(br#","name":"#);
                    json(out, &name);
                    out.put_slice(br#","input":{}}"#);
                });
            }
            ChatEvent::ToolCallDelta { arguments, .. } => self.delta(out, |out| {
                out.put_slice(br#"{"type":"input_json_delta","partial_json":"#);
                json(out, &arguments);
            }),
            ChatEvent::Finished { reason, usage } => self.finish(reason, usage, out),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, _out: &mut BytesMut) {}

    fn error(&mut self, error: &Error, out: &mut BytesMut) {
        sse(out, "error", &crate::anthropic::error::body(error, self.request_id.as_deref()));
    }

    /// As the API sends it.
    fn keep_alive(&mut self, out: &mut BytesMut) {
        out.put_slice(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
    }
}

impl EventEncoder {
    fn start(&mut self, out: &mut BytesMut) {
        #[derive(Serialize)]
        struct Start<'a> {
            r#type: &'static str,
            message: StartMessage<'a>,
        }
        #[derive(Serialize)]
        struct StartMessage<'a> {
            id: &'a str,
            r#type: &'static str,
            role: &'static str,
            model: &'a str,
            content: [(); 0],
            stop_reason: Option<&'a str>,
            stop_sequence: Option<&'a str>,
            stop_details: Option<Value>,
            usage: UsageBody,
        }
        self.started = true;
        let message = StartMessage {
            id: &self.id,
            r#type: "message",
            role: "assistant",
            model: &self.model,
            content: [],
            stop_reason: None,
            stop_sequence: None,
            stop_details: None,
            usage: UsageBody(self.usage),
        };
        sse(out, "message_start", &Start { r#type: "message_start", message });
        self.keep_alive(out);
    }

    fn ensure(&mut self, block: Open, out: &mut BytesMut) {
        if self.open != Some(block) {
            self.open(block, out);
        }
    }

    fn open(&mut self, block: Open, out: &mut BytesMut) {
        self.close(out);
        self.begin_block(block, out, |out| match block {
            Open::Thinking => out.put_slice(br#"{"type":"thinking","thinking":"","signature":""}"#),
            _ => out.put_slice(br#"{"type":"text","text":""}"#),
        });
    }

    fn begin_block(&mut self, block: Open, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
        if !self.started {
            self.start(out);
        }
        out.put_slice(b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":");
        json(out, &self.index);
        out.put_slice(br#","content_block":"#);
        write(out);
        out.put_slice(b"}\n\n");
        self.open = Some(block);
    }

    fn delta(&self, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
        out.put_slice(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
        json(out, &self.index);
        out.put_slice(br#","delta":"#);
        write(out);
        out.put_slice(b"}}\n\n");
    }

    fn close(&mut self, out: &mut BytesMut) {
        if self.open.take().is_some() {
            out.put_slice(b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":");
            json(out, &self.index);
            out.put_slice(b"}\n\n");
            self.index += 1;
        }
    }

    fn finish(&mut self, reason: FinishReason, usage: Usage, out: &mut BytesMut) {
        #[derive(Serialize)]
        struct MessageDelta<'a> {
            r#type: &'static str,
            delta: Delta<'a>,
            usage: FinalUsageBody,
        }
        #[derive(Serialize)]
        struct Delta<'a> {
            stop_reason: &'static str,
            stop_sequence: Option<&'a str>,
            stop_details: Option<&'a Value>,
        }
        if !self.started {
            self.usage = usage;
            self.start(out);
        }
        self.close(out);
        let stop_sequence = self.stop_sequence.as_deref();
        let stop_details = self.stop_details.as_ref();
        let delta = Delta { stop_reason: stop_reason(reason, stop_sequence), stop_sequence, stop_details };
        sse(out, "message_delta", &MessageDelta { r#type: "message_delta", delta, usage: FinalUsageBody(usage) });
        out.put_slice(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }
}

/// Why an answer ended, in Anthropic's words.
pub(crate) fn stop_reason(reason: FinishReason, stop_sequence: Option<&str>) -> &'static str {
    match reason {
        _ if stop_sequence.is_some() => "stop_sequence",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "refusal",
        FinishReason::ContextWindow => "model_context_window_exceeded",
        FinishReason::Pause => "pause_turn",
        _ => "end_turn",
    }
}

fn sse<T: Serialize>(out: &mut BytesMut, event: &str, data: &T) {
    out.put_slice(b"event: ");
    out.put_slice(event.as_bytes());
    out.put_slice(b"\ndata: ");
    json(out, data);
    out.put_slice(b"\n\n");
}

fn json<T: Serialize + ?Sized>(out: &mut BytesMut, value: &T) {
    // Cannot fail: the buffer grows, and all keys are strings.
    let written = serde_json::to_writer(out.writer(), value);
    debug_assert!(written.is_ok());
}
