//! One answer's events as server-sent chunks, written straight into the buffer that is sent.
//!
//! Nearly all of a chunk is the same as in the one before, so that part is encoded once for each stream; what is left to
//! do for a delta is to copy it and to escape the text.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::completion::{call_never_began, finish_reason};
use super::wire::UsageBody;
use crate::layers::choices::Head;
use crate::{ChatEvent, Error, FinishReason, Usage};

/// Writes the chunks of one stream.
#[derive(Debug)]
pub(crate) struct ChunkEncoder {
    /// `data: {...,"choices":[`
    head: Box<[u8]>,
    choices: Box<[ChoiceState]>,
    /// What ends each chunk behind its choices: the closing brace, and `"usage":null` where a usage chunk will follow.
    tail: &'static [u8],
    include_usage: bool,
    usage: Usage,
}

/// What has to be known of a choice while it is streamed.
#[derive(Debug)]
struct ChoiceState {
    /// The encoder's `head`, and `{"index":N,"delta":{`
    head: Box<[u8]>,
    /// Its calls in the order in which they began, and whether each has had any arguments.
    calls: Vec<(u32, bool)>,
}

const DELTA_END: &[u8] = br#"},"logprobs":null,"finish_reason":null}]"#;

impl ChunkEncoder {
    pub(crate) fn new(head: &Head, choices: usize, include_usage: bool) -> Self {
        let mut common = BytesMut::new();
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
            ChoiceState { head: Box::from(&head[..]), calls: Vec::new() }
        };
        ChunkEncoder {
            choices: (0..choices).map(choice).collect(),
            head: Box::from(&common[..]),
            tail: if include_usage { b",\"usage\":null}\n\n" } else { b"}\n\n" },
            include_usage,
            usage: Usage::default(),
        }
    }

    /// The first chunk of each choice, which says who speaks.
    pub(crate) fn start(&self, out: &mut BytesMut) {
        for choice in &self.choices {
            self.delta(choice, out, |out| out.put_slice(br#""role":"assistant","content":"""#));
        }
    }

    /// What an event of a choice becomes: no chunk, one, or several.
    pub(crate) fn event(&mut self, index: usize, event: ChatEvent, out: &mut BytesMut) -> Result<(), Error> {
        match event {
            ChatEvent::Started | ChatEvent::TextBlockStart | ChatEvent::BuiltinToolUse { .. } | ChatEvent::Usage(_) => {
            }
            ChatEvent::TextDelta(text) => self.text(index, br#""content":"#, &text, out),
            ChatEvent::ReasoningDelta(text) => self.text(index, br#""reasoning_content":"#, &text, out),
            ChatEvent::ToolCallStart { index: call, id, name } => {
                self.close_calls(index, out);
                self.delta(&self.choices[index], out, |out| {
                    tool_call(call, out);
                    out.put_slice(br#","id":"#);
                    json(out, &id);
                    out.put_slice(br#","type":"function","function":{"name":"#);
                    json(out, &name);
                    out.put_slice(br#","arguments":""}}]"#);
                });
                self.choices[index].calls.push((call, false));
            }
            ChatEvent::ToolCallDelta { index: call, arguments } => {
                let known = self.choices[index].calls.iter_mut().rev().find(|(of, _)| *of == call);
                let (_, has_arguments) = known.ok_or_else(|| call_never_began(call))?;
                if !arguments.is_empty() {
                    *has_arguments = true;
                    self.arguments(index, call, &arguments, out);
                }
            }
            ChatEvent::Finished { reason, usage } => {
                self.close_calls(index, out);
                self.usage += usage;
                self.finish(index, reason, out);
            }
        }
        Ok(())
    }

    /// What follows when all choices have finished.
    pub(crate) fn end(&self, out: &mut BytesMut) {
        if self.include_usage {
            out.put_slice(&self.head);
            out.put_slice(br#"],"usage":"#);
            json(out, &UsageBody(self.usage));
            out.put_slice(b"}\n\n");
        }
        out.put_slice(b"data: [DONE]\n\n");
    }

    /// What follows instead when the answer fails: the same body that a failure before the head would have had.
    pub(crate) fn error(error: &Error, out: &mut BytesMut) {
        out.put_slice(b"data: ");
        json(out, error);
        out.put_slice(b"\n\n");
    }

    /// A comment, which clients skip: it keeps the connection from looking dead.
    pub(crate) fn keep_alive(out: &mut BytesMut) {
        out.put_slice(b": keep-alive\n\n");
    }

    fn text(&self, index: usize, key: &[u8], text: &str, out: &mut BytesMut) {
        // An empty delta says nothing, and some clients take it for the end.
        if !text.is_empty() {
            self.delta(&self.choices[index], out, |out| {
                out.put_slice(key);
                json(out, text);
            });
        }
    }

    /// Gives `{}` to calls that had no arguments: clients parse them as JSON, and the next call is where they begin to.
    fn close_calls(&mut self, index: usize, out: &mut BytesMut) {
        for at in 0..self.choices[index].calls.len() {
            if let (call, has_arguments @ false) = &mut self.choices[index].calls[at] {
                *has_arguments = true;
                let call = *call;
                self.arguments(index, call, "{}", out);
            }
        }
    }

    fn arguments(&self, index: usize, call: u32, arguments: &str, out: &mut BytesMut) {
        self.delta(&self.choices[index], out, |out| {
            tool_call(call, out);
            out.put_slice(br#","function":{"arguments":"#);
            json(out, arguments);
            out.put_slice(b"}}]");
        });
    }

    fn finish(&self, index: usize, reason: FinishReason, out: &mut BytesMut) {
        let choice = &self.choices[index];
        out.put_slice(&choice.head);
        out.put_slice(br#"},"logprobs":null,"finish_reason":"#);
        json(out, finish_reason(reason, !choice.calls.is_empty()).as_str());
        out.put_slice(b"}]");
        out.put_slice(self.tail);
    }

    fn delta(&self, choice: &ChoiceState, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
        out.put_slice(&choice.head);
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
    // Neither side can fail: the buffer grows, and what is written here has string keys only.
    let written = serde_json::to_writer(out.writer(), value);
    debug_assert!(written.is_ok());
}
