//! Chat Completions: `POST /v1/chat/completions`.

mod chunk;
mod completion;
pub(crate) mod fields;
mod wire;

use self::chunk::ChunkEncoder;
use self::completion::CompletionCollector;
use crate::http::door::{Asked, Collector, Door, Encoder, Head, Incoming};
use crate::http::fields::Ignored;
use crate::http::request;
use crate::{ChatRequest, Error};

/// The door of Chat Completions. The conversation has this dialect's own shape, so a body is a chat request as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChatCompletions;

/// What is remembered until the answer is written.
#[derive(Debug)]
pub(crate) struct Reply {
    include_usage: bool,
}

impl Door for ChatCompletions {
    type Reply = Reply;
    const NAME: &'static str = "chat_completions";

    fn decode(&self, incoming: Incoming) -> Result<Asked<Reply>, Error> {
        let request: ChatRequest = request::decode(&incoming.body)?;
        let mut ignored = Ignored::by(incoming.abilities);
        fields::check(&request, &mut ignored)?;
        let include_usage = request.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true);
        let (streamed, reply) = (request.stream == Some(true), Reply { include_usage });
        Ok(Asked { request, streamed, background: false, ignored: ignored.names, reply })
    }

    fn encoder(&self, reply: Reply, head: Head) -> Box<dyn Encoder> {
        Box::new(ChunkEncoder::new(&head, reply.include_usage))
    }

    fn collector(&self, _reply: Reply, head: Head) -> Box<dyn Collector> {
        Box::new(CompletionCollector::new(head))
    }
}
