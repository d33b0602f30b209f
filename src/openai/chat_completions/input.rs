//! Requests with `input` in place of `messages`, as Cursor sends them: read as at `/v1/responses`, answered in chunks.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::custom_tools::CustomTools;
use crate::Error;
use crate::chat::{ChatRequest, StreamOptions};
use crate::http::fields::{Ignored, reads, unsupported};
use crate::http::request;
use crate::openai::responses::{self, CreateResponse, OwnItems, Places, Prepared};

/// Whether the body has an `input` and no messages.
pub(super) fn is_in(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Either {
        input: Option<IgnoredAny>,
        messages: Option<Vec<IgnoredAny>>,
    }
    let either: Result<Either, _> = serde_json::from_slice(body);
    either
        .is_ok_and(|Either { input, messages }| input.is_some() && messages.is_none_or(|messages| messages.is_empty()))
}

/// Reads the body by the rules of `/v1/responses`.
pub(super) fn decode(body: &Bytes, ignored: &mut Ignored) -> Result<(ChatRequest, CustomTools, Places), Error> {
    let tables = [responses::FIELDS, super::fields::FIELDS];
    let reads = |name: &str| tables.iter().any(|table| reads(table, &ignored.abilities, name));
    let mut asked: CreateResponse = request::decode(body, reads)?;
    for (name, is_asked) in
        [("previous_response_id", asked.previous_response_id.is_some()), ("background", asked.background == Some(true))]
    {
        if is_asked {
            let message = format!("`{name}` needs an answer that is kept. Leave it out, or ask at `/v1/responses`.");
            return Err(unsupported(name, message));
        }
    }
    take_chats_own(&mut asked);
    let options = asked.stream_options.take().map(Value::Object).map(serde_json::from_value::<StreamOptions>);
    let settings = responses::check(&asked, ignored)?;
    let own = OwnItems::of(asked.input.take(), body);
    let Prepared { mut chat, plan, places } = responses::prepare(&mut asked, Vec::new(), own, settings, ignored)?;
    chat.stream_options = options.and_then(Result::ok);
    let custom = plan.tools.origins().filter(|(_, origin)| origin.custom).map(|(function, _)| function.to_owned());
    Ok((chat, CustomTools::named(custom), places))
}

/// What has another name at this door means here what it always does.
fn take_chats_own(asked: &mut CreateResponse) {
    asked.rest.remove("messages");
    for name in ["max_completion_tokens", "max_tokens"] {
        let limit = asked.rest.get(name).and_then(Value::as_u64).and_then(|limit| u32::try_from(limit).ok());
        if limit.is_some() && asked.max_output_tokens.is_none() {
            asked.max_output_tokens = limit;
            asked.rest.remove(name);
        }
    }
    if let Some(Value::String(effort)) = asked.rest.remove("reasoning_effort") {
        asked.reasoning.get_or_insert_default().effort.get_or_insert(effort);
    }
}
