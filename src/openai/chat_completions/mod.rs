//! Chat Completions: `POST /v1/chat/completions`.
//!
//! Cursor sends parts of the Responses API here: tools without `function` around them, `custom` tools, and `input` in place of
//! `messages`.

mod chunk;
mod completion;
mod custom_tools;
pub(crate) mod fields;
mod input;
mod wire;

use self::chunk::ChunkEncoder;
use self::completion::CompletionCollector;
use self::custom_tools::CustomTools;
use crate::chat::Message;
use crate::http::door::{Collector, DecodedRequest, Door, Encoder, Head, Incoming};
use crate::http::fields::{Ignored, reads};
use crate::http::request;
use crate::openai::responses::Places;
use crate::{ChatRequest, Error};

/// The door of Chat Completions. A [`ChatRequest`] has this dialect's shape, so a body decodes into one directly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChatCompletions;

/// What is remembered until the answer is written.
#[derive(Debug)]
pub(crate) struct Reply {
    include_usage: bool,
    custom_tools: CustomTools,
    /// The place of each message in the request's `input`, if it has that instead of messages.
    places: Option<Places>,
}

impl Door for ChatCompletions {
    type Reply = Reply;
    const NAME: &'static str = "chat_completions";

    fn decode(&self, incoming: Incoming) -> Result<DecodedRequest<Reply>, Error> {
        let mut ignored = Ignored::by(incoming.abilities);
        let abilities = ignored.abilities.clone();
        let reads = |name: &str| reads(fields::FIELDS, &abilities, name);
        let decoded = request::decode::<ChatRequest>(&incoming.body, reads);
        let (mut request, custom_tools, places) = match decoded {
            Ok(mut request) if !request.messages.is_empty() => {
                let custom_tools = CustomTools::of(&mut request);
                fields::check(&request, &mut ignored)?;
                (request, custom_tools, None)
            }
            _ if input::is_in(&incoming.body) => {
                let (request, custom_tools, places) = input::decode(&incoming.body, &mut ignored)?;
                (request, custom_tools, Some(places))
            }
            other => {
                let request = other?;
                fields::check(&request, &mut ignored)?;
                (request, CustomTools::default(), None)
            }
        };
        if request.messages.iter().all(|message| message.role.is_instructions()) {
            request.messages.push(Message::go_ahead());
        }
        if !request.extra.is_empty() {
            // Fields that nobody reads have been named, and nothing but their names is there.
            request.extra.retain(|name, _| reads(name));
        }
        let include_usage = request.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true);
        let (streamed, reply) = (request.stream == Some(true), Reply { include_usage, custom_tools, places });
        Ok(DecodedRequest { request, streamed, background: false, ignored: ignored.names, reply })
    }

    fn encoder(&self, reply: Reply, head: Head) -> Box<dyn Encoder> {
        reply.custom_tools.encoder(ChunkEncoder::new(&head, reply.include_usage))
    }

    fn collector(&self, reply: Reply, head: Head) -> Box<dyn Collector> {
        reply.custom_tools.collector(CompletionCollector::new(head))
    }

    fn reword_error(&self, reply: &Reply, error: Error) -> Error {
        match &reply.places {
            Some(places) => places.name(error),
            None => error,
        }
    }
}
