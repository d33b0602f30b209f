//! `custom` tools, which take free text, in the form that Cursor uses.
//!
//! To the model each is a function with one text argument. To the client a call of one is a function call whose `arguments`
//! are just that text: the only form that Cursor knows (3.14), and the one that it sends back.

use std::collections::{HashMap, HashSet};

use bytes::BytesMut;

use super::chunk::ChunkEncoder;
use super::completion::CompletionCollector;
use crate::http::Body;
use crate::http::door::{Collector, Encoder};
use crate::openai::free_text::{self, FreeText};
use crate::{ChatEvent, ChatRequest, Error};

/// The names of a request's custom tools.
#[derive(Debug, Default)]
pub(super) struct CustomTools {
    names: HashSet<String>,
}

impl CustomTools {
    /// The custom tools of these names.
    pub(super) fn named(names: impl IntoIterator<Item = String>) -> Self {
        CustomTools { names: names.into_iter().collect() }
    }

    /// Turns a request's custom tools into functions, and the texts of their calls in its history into arguments.
    pub(super) fn of(request: &mut ChatRequest) -> Self {
        let mut names = HashSet::new();
        for tool in request.tools.iter_mut().flatten().filter(|tool| tool.kind == "custom") {
            tool.kind = "function".to_owned();
            let format = tool.extra.remove("format");
            tool.function.description = Some(free_text::described(tool.function.description.take(), format.as_ref()));
            tool.function.parameters = Some(free_text::parameters());
            names.insert(tool.function.name.clone());
        }
        if !names.is_empty() {
            let calls = request.messages.iter_mut().flat_map(|message| message.tool_calls.iter_mut().flatten());
            for call in calls.filter(|call| names.contains(&call.function.name)) {
                call.function.arguments = free_text::arguments(&call.function.arguments);
            }
        }
        CustomTools { names }
    }

    pub(super) fn encoder(self, encoder: ChunkEncoder) -> Box<dyn Encoder> {
        if self.names.is_empty() { Box::new(encoder) } else { Box::new(Plain::new(self, encoder)) }
    }

    pub(super) fn collector(self, collector: CompletionCollector) -> Box<dyn Collector> {
        if self.names.is_empty() { Box::new(collector) } else { Box::new(Plain::new(self, collector)) }
    }
}

/// Hands a writer of answers the texts of custom calls instead of their JSON.
struct Plain<W> {
    tools: CustomTools,
    /// The calls of custom tools, by choice and index.
    calls: HashMap<(usize, u32), FreeText>,
    writer: W,
}

impl<W> Plain<W> {
    fn new(tools: CustomTools, writer: W) -> Self {
        Plain { tools, calls: HashMap::new(), writer }
    }

    fn plain(&mut self, choice: usize, event: ChatEvent) -> Vec<ChatEvent> {
        let delta = |index, text: String| (!text.is_empty()).then(|| ChatEvent::tool_call_delta(index, text));
        match event {
            ChatEvent::ToolCallStart { index, ref name, .. } => {
                if self.tools.names.contains(name) {
                    self.calls.insert((choice, index), FreeText::default());
                }
                vec![event]
            }
            ChatEvent::ToolCallDelta { index, ref arguments } => match self.calls.get_mut(&(choice, index)) {
                Some(text) => delta(index, text.push(arguments)).into_iter().collect(),
                None => vec![event],
            },
            ChatEvent::Finished { .. } => {
                let mut left: Vec<_> = self.calls.extract_if(|(of, _), _| *of == choice).collect();
                left.sort_by_key(|(call, _)| *call);
                let left = left.into_iter().filter_map(|((_, index), mut text)| delta(index, text.end()));
                left.chain([event]).collect()
            }
            event => vec![event],
        }
    }
}

impl Encoder for Plain<ChunkEncoder> {
    fn start(&mut self, out: &mut BytesMut) {
        self.writer.start(out);
    }

    fn event(&mut self, choice: usize, event: ChatEvent, out: &mut BytesMut) -> Result<(), Error> {
        self.plain(choice, event).into_iter().try_for_each(|event| self.writer.event(choice, event, out))
    }

    fn end(&mut self, out: &mut BytesMut) {
        self.writer.end(out);
    }

    fn error(&mut self, error: &Error, out: &mut BytesMut) {
        self.writer.error(error, out);
    }
}

impl Collector for Plain<CompletionCollector> {
    fn event(&mut self, choice: usize, event: ChatEvent) -> Result<(), Error> {
        self.plain(choice, event).into_iter().try_for_each(|event| self.writer.event(choice, event))
    }

    fn finish(self: Box<Self>) -> Result<Body, Error> {
        Box::new(self.writer).finish()
    }
}
