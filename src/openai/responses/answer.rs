//! One answer as it grows: chat events go in, items are gathered, and the events of its stream come out.
//!
//! The events of a stream follow from the chat events alone. So a kept answer is only its chat events: its stream can be
//! written again from them, with the same numbers, and its output at any time.

use std::sync::Arc;

use bytes::BytesMut;

use super::echo::{Echo, Outcome};
use super::events::Writer;
use super::output::{ItemJson, Kind, OutputItem, Shown, Status, SummaryPart, TextPart};
use super::tools::{Origin, Tools};
use crate::chat::call_id::openais;
use crate::openai::free_text::FreeText;
use crate::{ChatEvent, Error, FinishReason, Usage};

/// The one part of a message, and of a summary.
const CONTENT: (&str, usize) = ("content_index", 0);
const SUMMARY: (&str, usize) = ("summary_index", 0);

/// The form of an answer, as its request decided it.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The model that was asked for.
    pub(crate) model: String,
    pub(crate) shown: Shown,
    /// Whether reasoning was asked for. Codex 0.144 waits for ever if there is no item of it.
    pub(crate) reasoning: bool,
    /// Whether the client offered a web search, and so understands items of one.
    pub(crate) web_search: bool,
    pub(crate) tools: Tools,
}

/// The answer so far.
#[derive(Debug)]
pub(crate) struct Answer {
    echo: Arc<Echo>,
    plan: Arc<Plan>,
    items: Vec<OutputItem>,
    /// The open message or reasoning, to which deltas belong.
    open: Option<usize>,
    call: Option<OpenCall>,
    outcome: Outcome,
    completed_at: Option<u64>,
}

/// A call whose arguments may not be complete.
#[derive(Debug)]
struct OpenCall {
    item: usize,
    /// Of a custom tool.
    text: Option<FreeText>,
}

impl Answer {
    pub(crate) fn new(echo: Arc<Echo>, plan: Arc<Plan>) -> Self {
        Answer {
            echo,
            plan,
            items: Vec::new(),
            open: None,
            call: None,
            outcome: Outcome::default(),
            completed_at: None,
        }
    }

    pub(crate) fn items(&self) -> &[OutputItem] {
        &self.items
    }

    /// Sets when it ended, in seconds since 1970. To be called before its end is written; otherwise it ended at that moment.
    pub(crate) fn ends_at(&mut self, time: Option<u64>) {
        self.completed_at = time;
    }

    /// The answer as one object.
    pub(crate) fn write_object(&self, out: &mut BytesMut) {
        self.echo.write(&self.outcome, &self.items, self.plan.shown, out);
    }

    /// The first events of a stream. An answer in the background is queued first.
    pub(crate) fn start(&self, out: &mut Writer<'_>) {
        if self.echo.background {
            let queued = Outcome { queued: true, ..Outcome::default() };
            for kind in ["response.created", "response.queued"] {
                out.response(kind, |out| self.echo.write(&queued, &[], self.plan.shown, out));
            }
        } else {
            out.response("response.created", |out| self.write_object(out));
        }
        out.response("response.in_progress", |out| self.write_object(out));
    }

    /// Takes the next chat event.
    pub(crate) fn event(&mut self, event: ChatEvent, out: &mut Writer<'_>) {
        match event {
            ChatEvent::TextDelta(text) => self.text(&text, out),
            ChatEvent::ReasoningBlockStart => self.end_reasoning(out),
            ChatEvent::ReasoningDelta(text) => self.reasoning(&text, out),
            ChatEvent::ReasoningSignature(piece) => self.signature(&piece, out),
            ChatEvent::RedactedReasoning(data) => self.redacted(data, out),
            ChatEvent::ToolCallStart { id, name, .. } => self.call(id, name, out),
            ChatEvent::ToolCallDelta { arguments, .. } => self.arguments(&arguments, out),
            ChatEvent::BuiltinToolUse { name, input } if name == "WebSearch" && self.plan.web_search => {
                self.web_search(input["query"].as_str().unwrap_or_default(), out);
            }
            ChatEvent::Finished { reason, usage } => self.finish(reason, usage, out),
            _ => {}
        }
    }

    fn text(&mut self, text: &str, out: &mut Writer<'_>) {
        // A blank line sets a text apart from the one before it where they are one. Here each has an item of its own if something
        // stood between them.
        let is_open = self.open.is_some_and(|item| matches!(self.items[item].kind, Kind::Message { .. }));
        let follows = !is_open && self.items.iter().any(|item| matches!(item.kind, Kind::Message { .. }));
        let text = text.strip_prefix("\n\n").filter(|_| follows).unwrap_or(text);
        if text.is_empty() {
            return;
        }
        let item = self.open_message(out);
        if let Kind::Message { text: whole } = &mut self.items[item].kind {
            whole.push_str(text);
        }
        out.delta("response.output_text.delta", &self.id(item), item, CONTENT, text);
    }

    /// The message that is open.
    fn open_message(&mut self, out: &mut Writer<'_>) -> usize {
        match self.open {
            Some(item) if matches!(self.items[item].kind, Kind::Message { .. }) => item,
            _ => {
                self.close(Status::Completed, out);
                let item = self.add(Kind::Message { text: String::new() }, out);
                out.part("response.content_part.added", &self.id(item), item, CONTENT, &TextPart(""));
                item
            }
        }
    }

    fn reasoning(&mut self, piece: &str, out: &mut Writer<'_>) {
        if piece.is_empty() {
            return;
        }
        let item = self.open_reasoning(out);
        let id = self.id(item);
        let Kind::Reasoning { text, .. } = &mut self.items[item].kind else { return };
        let first = text.is_empty();
        text.push_str(piece);
        if self.plan.shown.summary {
            if first {
                out.part("response.reasoning_summary_part.added", &id, item, SUMMARY, &SummaryPart(""));
            }
            out.delta("response.reasoning_summary_text.delta", &id, item, SUMMARY, piece);
        }
    }

    /// Ends the open reasoning: each block has its own signature, and so its own item.
    fn end_reasoning(&mut self, out: &mut Writer<'_>) {
        if self.open.is_some_and(|item| matches!(self.items[item].kind, Kind::Reasoning { .. })) {
            self.close_open(Status::Completed, out);
        }
    }

    fn signature(&mut self, piece: &str, out: &mut Writer<'_>) {
        let item = self.open_reasoning(out);
        if let Kind::Reasoning { signature, .. } = &mut self.items[item].kind {
            signature.get_or_insert_default().push_str(piece);
        }
    }

    fn redacted(&mut self, data: String, out: &mut Writer<'_>) {
        self.close(Status::Completed, out);
        self.add(Kind::Reasoning { text: String::new(), signature: Some(data), redacted: true }, out);
        self.close(Status::Completed, out);
    }

    fn open_reasoning(&mut self, out: &mut Writer<'_>) -> usize {
        match self.open {
            Some(item) if matches!(self.items[item].kind, Kind::Reasoning { .. }) => item,
            _ => {
                self.close(Status::Completed, out);
                self.add(Kind::Reasoning { text: String::new(), signature: None, redacted: false }, out)
            }
        }
    }

    fn call(&mut self, id: String, name: String, out: &mut Writer<'_>) {
        self.close(Status::Completed, out);
        let tool = match self.plan.tools.origin(&name) {
            Some(origin) => origin.clone(),
            None => Origin { namespace: None, name, custom: false },
        };
        let text = tool.custom.then(FreeText::default);
        let item = self.add(Kind::Call { id: openais(id), tool, input: String::new() }, out);
        self.open = None;
        self.call = Some(OpenCall { item, text });
    }

    fn arguments(&mut self, piece: &str, out: &mut Writer<'_>) {
        let Some(call) = &mut self.call else { return };
        let item = call.item;
        match &mut call.text {
            Some(text) => {
                let text = text.push(piece);
                self.append_input(item, "response.custom_tool_call_input.delta", &text, out);
            }
            None => self.append_input(item, "response.function_call_arguments.delta", piece, out),
        }
    }

    fn append_input(&mut self, item: usize, kind: &str, piece: &str, out: &mut Writer<'_>) {
        if piece.is_empty() {
            return;
        }
        if let Kind::Call { input, .. } = &mut self.items[item].kind {
            input.push_str(piece);
        }
        out.call_delta(kind, &self.id(item), item, piece);
    }

    fn web_search(&mut self, query: &str, out: &mut Writer<'_>) {
        self.close(Status::Completed, out);
        let item = self.add(Kind::WebSearch { query: query.to_owned() }, out);
        let id = self.id(item);
        for kind in ["in_progress", "searching", "completed"] {
            out.step(&format!("response.web_search_call.{kind}"), &id, item);
        }
        self.close(Status::Completed, out);
    }

    /// Begins an item, after the reasoning item that is expected first.
    fn add(&mut self, kind: Kind, out: &mut Writer<'_>) -> usize {
        if self.items.is_empty() && self.plan.reasoning && !matches!(kind, Kind::Reasoning { .. }) {
            self.add(Kind::Reasoning { text: String::new(), signature: None, redacted: false }, out);
            self.close(Status::Completed, out);
        }
        let index = self.items.len();
        self.items.push(OutputItem { kind, status: Status::InProgress });
        self.open = Some(index);
        out.item("response.output_item.added", index, &self.json(index, true));
        index
    }

    /// Ends what is open, a call included.
    fn close(&mut self, status: Status, out: &mut Writer<'_>) {
        self.close_open(status, out);
        if let Some(call) = self.call.take() {
            self.close_call(call, status, out);
        }
    }

    fn close_open(&mut self, status: Status, out: &mut Writer<'_>) {
        let Some(item) = self.open.take() else { return };
        let id = self.id(item);
        match &self.items[item].kind {
            Kind::Message { text } => {
                out.whole("response.output_text.done", &id, item, CONTENT, "text", text);
                out.part("response.content_part.done", &id, item, CONTENT, &TextPart(text));
            }
            Kind::Reasoning { text, .. } if self.plan.shown.summary && !text.is_empty() => {
                out.whole("response.reasoning_summary_text.done", &id, item, SUMMARY, "text", text);
                out.part("response.reasoning_summary_part.done", &id, item, SUMMARY, &SummaryPart(text));
            }
            _ => {}
        }
        self.items[item].status = status;
        out.item("response.output_item.done", item, &self.json(item, false));
    }

    fn close_call(&mut self, mut call: OpenCall, status: Status, out: &mut Writer<'_>) {
        let item = call.item;
        if let Some(text) = &mut call.text {
            let rest = text.end();
            self.append_input(item, "response.custom_tool_call_input.delta", &rest, out);
        }
        let id = self.id(item);
        if let Kind::Call { tool, input, .. } = &self.items[item].kind {
            out.call_done(&id, item, tool, input);
        }
        self.items[item].status = status;
        out.item("response.output_item.done", item, &self.json(item, false));
    }

    fn finish(&mut self, reason: FinishReason, usage: Usage, out: &mut Writer<'_>) {
        let incomplete = match reason {
            FinishReason::Length | FinishReason::ContextWindow => Some("max_output_tokens"),
            FinishReason::ContentFilter => Some("content_filter"),
            _ => None,
        };
        self.close(if incomplete.is_some() { Status::Incomplete } else { Status::Completed }, out);
        if self.items.is_empty() && self.plan.reasoning {
            // The answer is empty: the reasoning item that is expected is still due.
            self.add(Kind::Reasoning { text: String::new(), signature: None, redacted: false }, out);
            self.close(Status::Completed, out);
        }
        let completed_at = incomplete.is_none().then(|| self.completed_at.unwrap_or_else(super::now));
        self.outcome = Outcome {
            usage: Some(usage),
            incomplete,
            completed: incomplete.is_none(),
            completed_at,
            ..Outcome::default()
        };
        let kind = if incomplete.is_some() { "response.incomplete" } else { "response.completed" };
        out.response(kind, |out| self.write_object(out));
    }

    /// Ends the answer with a failure.
    pub(crate) fn fail(&mut self, error: &Error, out: &mut Writer<'_>) {
        for item in self.items.iter_mut().filter(|item| item.status == Status::InProgress) {
            item.status = Status::Incomplete;
        }
        self.open = None;
        self.call = None;
        self.outcome = Outcome { failure: Some(error.clone()), ..Outcome::default() };
        out.response("response.failed", |out| self.write_object(out));
    }

    /// Ends the answer because its client cancelled it.
    pub(crate) fn cancel(&mut self) {
        for item in self.items.iter_mut().filter(|item| item.status == Status::InProgress) {
            item.status = Status::Incomplete;
        }
        self.outcome = Outcome { cancelled: true, ..Outcome::default() };
    }

    fn id(&self, item: usize) -> String {
        self.items[item].id(&self.echo.answer, item)
    }

    fn json(&self, index: usize, empty: bool) -> ItemJson<'_> {
        ItemJson { item: &self.items[index], answer: &self.echo.answer, index, shown: self.plan.shown, empty }
    }
}
