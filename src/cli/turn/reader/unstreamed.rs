//! Answers that come in one piece: the CLI fetches them after it has lost the connection that it streamed on.

use super::{Message, Step, TurnReader};
use crate::cli::conversation::PreparedRequest;
use crate::cli::protocol::STRUCTURED_OUTPUT;
use crate::cli::protocol::incoming::{self, FullMessage};
use crate::{ChatEvent, Error, ErrorKind};

impl TurnReader {
    /// A message that the CLI fetched in one piece after it lost the connection that it streamed on (2.1.328). The client
    /// has seen the beginning of the streamed one, so only a continuation of that can still be sent.
    pub(super) fn take_unstreamed(
        &mut self,
        message: &FullMessage<'_>,
        request: &PreparedRequest,
        out: &mut Step,
    ) -> Result<(), Error> {
        let blocks = message.blocks();
        let structured = request.setup.schema.is_some();
        let text = |block: &incoming::Block<'_>| match &block.text {
            Some(text) if !structured => Some(text.as_str().to_owned()),
            None if structured && block.name.as_ref().is_some_and(|name| name.as_str() == STRUCTURED_OUTPUT) => {
                block.input.map(|input| input.get().to_owned())
            }
            _ => None,
        };
        let texts: Vec<String> = blocks.iter().filter_map(text).collect();
        let said = self.texts.split_off(self.message.texts_before.min(self.texts.len())).concat();
        let whole = texts.concat();
        let rest = whole.strip_prefix(&said).filter(|_| self.calls.len() == self.message.calls_before);
        let Some(rest) = rest else {
            return Err(Error::new(
                ErrorKind::Upstream,
                "The connection to the API was lost in the middle of the answer, and what came after it was another \
                 answer. Try again.",
            ));
        };
        self.start(out);
        if !rest.is_empty() {
            if said.is_empty() {
                out.events.push_back(ChatEvent::TextBlockStart);
            }
            out.events.push_back(ChatEvent::TextDelta(rest.to_owned()));
        }
        self.texts.extend(texts);
        let fetched = message.id.as_ref().map_or("", |id| id.as_str());
        if self.message.fetched != fetched {
            self.usage += message.usage.clone().unwrap_or_default().to_openai();
        }
        let reason = message.stop_reason.as_ref().map(|reason| reason.as_str());
        let cut = reason.filter(|r| matches!(*r, "max_tokens" | "model_context_window_exceeded" | "refusal"));
        for block in &blocks {
            let (Some(id), Some(name)) = (&block.id, &block.name) else { continue };
            let Some(name) = request.setup.functions.client_name(name.as_str()) else { continue };
            let (place, start) = self.calls.begin(id.as_str(), name, request.setup.functions.parallel);
            let arguments = block.input.map_or("{}", |input| input.get()).to_owned();
            out.events.extend(start);
            out.events.extend(self.calls.add_arguments(place, arguments));
            if cut.is_none() {
                self.calls.message_complete();
            }
        }
        // Its other blocks may come in lines of their own.
        let (texts_before, calls_before) = (self.texts.len(), self.calls.len());
        let (fetched, cut) = (fetched.to_owned(), cut.map(str::to_owned));
        self.message = Message { texts_before, calls_before, fetched, cut, ..Message::default() };
        self.park_if_complete(out);
        Ok(())
    }
}
