//! The events of a stream, written straight into the buffer that is sent: `event`, `data` with its type and number.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::tools::Origin;

/// Numbers the events of one stream, and writes those that the client has not had yet.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    numbers: &'a mut Numbers,
    /// `None` if no client reads: the events are still numbered.
    out: Option<&'a mut BytesMut>,
}

/// A position in a stream.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    next: u64,
    /// The last event that the client already has: `starting_after`.
    had: Option<u64>,
}

impl Numbers {
    /// The position of a client that has everything up to this event.
    pub(crate) fn after(had: Option<u64>) -> Self {
        Numbers { next: 0, had }
    }
}

/// The name and value of an index within an item.
type At = (&'static str, usize);

impl<'a> Writer<'a> {
    pub(crate) fn new(numbers: &'a mut Numbers, out: Option<&'a mut BytesMut>) -> Self {
        Writer { numbers, out }
    }

    /// An event that carries the whole answer.
    pub(crate) fn response(&mut self, kind: &str, write: impl FnOnce(&mut BytesMut)) {
        self.event(kind, |out| {
            out.put_slice(br#","response":"#);
            write(out);
        });
    }

    /// An event that carries an item.
    pub(crate) fn item<T: Serialize>(&mut self, kind: &str, index: usize, item: &T) {
        self.event(kind, |out| {
            field(out, "output_index", &index);
            field(out, "item", item);
        });
    }

    /// An event that carries a part of an item.
    pub(crate) fn part<T: Serialize>(&mut self, kind: &str, id: &str, index: usize, at: At, part: &T) {
        self.event(kind, |out| {
            place(out, id, index);
            field(out, at.0, &at.1);
            field(out, "part", part);
        });
    }

    /// More of a text.
    pub(crate) fn delta(&mut self, kind: &str, id: &str, index: usize, at: At, delta: &str) {
        self.event(kind, |out| {
            place(out, id, index);
            field(out, at.0, &at.1);
            field(out, "delta", delta);
            if kind == "response.output_text.delta" {
                out.put_slice(br#","logprobs":[]"#);
            }
        });
    }

    /// All of a text.
    pub(crate) fn whole(&mut self, kind: &str, id: &str, index: usize, at: At, name: &str, text: &str) {
        self.event(kind, |out| {
            place(out, id, index);
            field(out, at.0, &at.1);
            field(out, name, text);
            if kind == "response.output_text.done" {
                out.put_slice(br#","logprobs":[]"#);
            }
        });
    }

    /// More of a call's arguments, or of its text.
    pub(crate) fn call_delta(&mut self, kind: &str, id: &str, index: usize, delta: &str) {
        self.event(kind, |out| {
            place(out, id, index);
            field(out, "delta", delta);
        });
    }

    /// All of a call's arguments, or of its text.
    pub(crate) fn call_done(&mut self, id: &str, index: usize, tool: &Origin, input: &str) {
        if tool.custom {
            self.event("response.custom_tool_call_input.done", |out| {
                place(out, id, index);
                field(out, "input", input);
            });
        } else {
            self.event("response.function_call_arguments.done", |out| {
                place(out, id, index);
                field(out, "name", &tool.name);
                field(out, "arguments", input);
            });
        }
    }

    /// An event that only marks the state of an item.
    pub(crate) fn step(&mut self, kind: &str, id: &str, index: usize) {
        self.event(kind, |out| place(out, id, index));
    }

    fn event(&mut self, kind: &str, write: impl FnOnce(&mut BytesMut)) {
        let number = self.numbers.next;
        self.numbers.next += 1;
        let Some(out) = self.out.as_deref_mut().filter(|_| self.numbers.had.is_none_or(|had| number > had)) else {
            return;
        };
        out.put_slice(b"event: ");
        out.put_slice(kind.as_bytes());
        out.put_slice(b"\ndata: {\"type\":\"");
        out.put_slice(kind.as_bytes());
        out.put_slice(br#"","sequence_number":"#);
        json(out, &number);
        write(out);
        out.put_slice(b"}\n\n");
    }
}

fn place(out: &mut BytesMut, id: &str, index: usize) {
    field(out, "item_id", id);
    field(out, "output_index", &index);
}

/// `,"name":value`. The names are this file's own and need no escapes.
pub(crate) fn field<T: Serialize + ?Sized>(out: &mut BytesMut, name: &str, value: &T) {
    out.put_slice(b",\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\":");
    json(out, value);
}

pub(crate) fn json<T: Serialize + ?Sized>(out: &mut BytesMut, value: &T) {
    // Cannot fail: the buffer grows, and all keys are strings.
    let written = serde_json::to_writer(out.writer(), value);
    debug_assert!(written.is_ok());
}
