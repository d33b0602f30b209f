//! One answer's events as server-sent chunks, written straight into the buffer that is sent.
//!
//! Chunks of one stream are nearly the same, so their common part is encoded once. For each delta it is copied, and only the
//! text is escaped.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::wire::UsageBody;
use crate::chat::call_id::openais;
use crate::http::door::{Encoder, Head};
use crate::{ChatEvent, Error, FinishReason, Usage};

/// Writes the chunks of one stream.
#[derive(Debug)]
pub(crate) struct ChunkEncoder {
    /// `data: {...,"choices":[`
    head: Box<[u8]>,
    /// For each choice: `head`, and `{"index":N,"delta":{`
    choices: Box<[Box<[u8]>]>,
    /// The end of each chunk, after its choices: the closing brace, with `"usage":null` if a usage chunk will follow.
    tail: &'static [u8],
    include_usage: bool,
    usage: Usage,
}

/// About as much as the beginning of a chunk takes.
const CHOICE_HEAD: usize = 256;

const DELTA_END: &[u8] = br#"},"logprobs":null,"finish_reason":null}]"#;

impl ChunkEncoder {
    pub(crate) fn new(head: &Head, include_usage: bool) -> Self {
        let mut common = BytesMut::with_capacity(CHOICE_HEAD);
        common.put_slice(b"data: {\"id\":");
        json(&mut common, &head.id);
        common.put_slice(br#","object":"chat.completion.chunk","created":"#);
        json(&mut common, &head.created);
        common.put_slice(br#","model":"#);
        json(&mut common, &head.model);
        common.put_slice(br#","choices":["#);

        let choice = |index: usize| {
            let mut head = common.clone();
            head.put_slice(br#"{"index":"#);
            json(&mut head, &index);
            head.put_slice(br#","delta":{"#);
            Box::from(&head[..])
        };
        ChunkEncoder {
            choices: (0..head.choices).map(choice).collect(),
            head: Box::from(&common[..]),
            tail: if include_usage { b",\"usage\":null}\n\n" } else { b"}\n\n" },
            include_usage,
            usage: Usage::default(),
        }
    }
}

impl Encoder for ChunkEncoder {
    /// The first chunk of each choice, which has the role.
    fn start(&mut self, out: &mut BytesMut) {
        for choice in 0..self.choices.len() {
            self.delta(choice, out, |out| out.put_slice(br#""role":"assistant","content":"""#));
        }
    }

    fn event(&mut self, choice: usize, event: ChatEvent, out: &mut BytesMut) -> Result<(), Error> {
        match event {
            ChatEvent::TextDelta(text) => self.text(choice, br#""content":"#, &text, out),
            ChatEvent::ReasoningDelta(text) => self.text(choice, br#""reasoning_content":"#, &text, out),
            ChatEvent::ToolCallStart { index, id, name } => self.delta(choice, out, |out| {
                tool_call(index, out);
                out.put_slice(br#","id":"#);
                json(out, &openais(id));
                out.put_slice(br#","type":"function","function":{"name":"#);
                json(out, &name);
                out.put_slice(br#","arguments":""}}]"#);
            }),
            ChatEvent::ToolCallDelta { index, arguments } => self.delta(choice, out, |out| {
                tool_call(index, out);
                out.put_slice(br#","function":{"arguments":"#);
                json(out, &arguments);
                out.put_slice(b"}}]");
            }),
            ChatEvent::Finished { reason, usage } => {
                self.usage += usage;
                self.finish(choice, reason, out);
            }
            // What only some doors show.
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, out: &mut BytesMut) {
        if self.include_usage {
            out.put_slice(&self.head);
            out.put_slice(br#"],"usage":"#);
            json(out, &UsageBody(self.usage));
            out.put_slice(b"}\n\n");
        }
        out.put_slice(b"data: [DONE]\n\n");
    }

    /// The body that a failure before the head would have had.
    fn error(&mut self, error: &Error, out: &mut BytesMut) {
        out.put_slice(b"data: ");
        json(out, error);
        out.put_slice(b"\n\n");
    }
}

impl ChunkEncoder {
    fn text(&self, choice: usize, key: &[u8], text: &str, out: &mut BytesMut) {
        // Some clients take an empty delta for the end.
        if !text.is_empty() {
            self.delta(choice, out, |out| {
                out.put_slice(key);
                json(out, text);
            });
        }
    }

    fn finish(&self, choice: usize, reason: FinishReason, out: &mut BytesMut) {
        out.put_slice(&self.choices[choice]);
        out.put_slice(br#"},"logprobs":null,"finish_reason":"#);
        json(out, reason.as_str());
        out.put_slice(b"}]");
        out.put_slice(self.tail);
    }

    fn delta(&self, choice: usize, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
        out.put_slice(&self.choices[choice]);
        write(out);
        out.put_slice(DELTA_END);
        out.put_slice(self.tail);
    }
}

/// `"tool_calls":[{"index":N`
fn tool_call(call: u32, out: &mut BytesMut) {
    out.put_slice(br#""tool_calls":[{"index":"#);
    json(out, &call);
}

fn json<T: Serialize + ?Sized>(out: &mut BytesMut, value: &T) {
    // Cannot fail: the buffer grows, and all keys are strings.
    let written = serde_json::to_writer(out.writer(), value);
    debug_assert!(written.is_ok());
}
