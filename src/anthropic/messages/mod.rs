//! Messages: `POST /v1/messages`, and `POST /v1/messages/count_tokens`.
//!
//! The door of Anthropic's own API. The CLI streams this API's events, and takes a conversation as this API's blocks, so blocks
//! are kept as they are and make no detour through OpenAI's shape.

pub(crate) mod count_tokens;
mod decode;
mod events;
mod fields;
mod message;
mod request;
#[cfg(test)]
mod tests;
mod usage;

use http::{HeaderMap, Response};

use self::events::EventEncoder;
use self::message::MessageCollector;
use self::request::MessagesRequest;
use super::error;
use crate::Error;
use crate::http::Body;
use crate::http::door::{Collector, DecodedRequest, Door, Encoder, Head, Incoming};
use crate::http::request::decode as read_json;

/// The door of Messages, for one request.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    /// Failures name it, so they can be found in the log.
    request_id: Option<String>,
}

/// What is remembered until the answer is written.
#[derive(Debug)]
pub(crate) struct Reply {
    shows_thinking: bool,
}

impl Messages {
    /// The door for a request with these headers.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
        Messages { request_id: id.map(str::to_owned) }
    }
}

impl Door for Messages {
    type Reply = Reply;
    const NAME: &'static str = "messages";

    fn decode(&self, incoming: Incoming) -> Result<DecodedRequest<Reply>, Error> {
        let Incoming { headers, abilities, body, .. } = incoming;
        let wire: MessagesRequest = read_json(&body, |name| fields::reads(name, &abilities))?;
        drop(body);
        let mut decoded = decode::decode(wire, abilities)?;
        if let Some(session) = headers.get("x-claude-code-session-id") {
            decoded.request.caller.session = Some(String::from_utf8_lossy(session.as_bytes()).into_owned());
        }
        let reply = Reply { shows_thinking: decoded.shows_thinking };
        let streamed = decoded.request.stream == Some(true);
        Ok(DecodedRequest { streamed, request: decoded.request, ignored: decoded.ignored, background: false, reply })
    }

    fn name_of<'a>(&self, setting: &'a str) -> &'a str {
        match setting {
            "max_completion_tokens" => "max_tokens",
            "parallel_tool_calls" => "tool_choice.disable_parallel_tool_use",
            "reasoning_effort" => "output_config.effort",
            "response_format" => "output_config.format",
            "response_format.json_schema.schema" => "output_config.format.schema",
            setting => setting,
        }
    }

    fn encoder(&self, reply: Reply, head: Head) -> Box<dyn Encoder> {
        Box::new(EventEncoder::new(message_id(&head), head.model, reply.shows_thinking, self.request_id.clone()))
    }

    fn collector(&self, reply: Reply, head: Head) -> Box<dyn Collector> {
        Box::new(MessageCollector::new(message_id(&head), head.model, reply.shows_thinking))
    }

    fn answer_id(&self, head: &Head) -> String {
        message_id(head)
    }

    fn error(&self, error: &Error) -> Response<Body> {
        error::response(error, self.request_id.as_deref())
    }
}

/// `msg_`, and the digits of the answer's id.
fn message_id(head: &Head) -> String {
    format!("msg_{}", head.id.trim_start_matches("chatcmpl-"))
}
