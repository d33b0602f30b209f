//! The door: `POST /v1/responses`, from the request's JSON to the writer of its answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::answer::Plan;
use super::background::Background;
use super::backing::ResponseStore;
use super::echo::Echo;
use super::items::{Input, Item, OwnItems};
use super::output::place_of;
use super::prepare::{Places, Prepared, prepare};
use super::record::Record;
use super::request::CreateResponse;
use super::store::{Limits, Store};
use super::writers::{Gathered, Keeper, Streamed};
use super::{codex, fields, now};
use crate::http::Body;
use crate::http::door::{
    Collector, DecodedRequest, Door, Encoder, Fetched, Head, Incoming, PendingAnswer, Streaming, renamed,
};
use crate::http::fields::{Ignored, invalid, reads};
use crate::http::request::decode;
use crate::{Error, ErrorKind, blocking};

/// How much is kept by default.
const KEEP: Limits = Limits { bytes: 64 * 1024 * 1024, age: Duration::from_secs(24 * 60 * 60) };

/// The id under which a response is kept.
const RESPONSE_ID: HeaderName = HeaderName::from_static("x-response-id");

/// The door of the Responses API, with what it keeps between requests.
#[derive(Clone, Debug)]
pub(crate) struct Responses {
    pub(super) store: Arc<Store>,
    background: Background,
}

impl Default for Responses {
    fn default() -> Self {
        Responses::new(KEEP.bytes, KEEP.age)
    }
}

/// What is remembered until the answer is written.
#[derive(Debug)]
pub(crate) struct Reply {
    plan: Arc<Plan>,
    /// The request, as the answer repeats it.
    fields: Bytes,
    places: Places,
    background: bool,
    /// What is needed to keep the answer: the caller, and its input.
    keep: Option<Keep>,
}

#[derive(Debug)]
struct Keep {
    key: Option<u64>,
    /// The items as JSON.
    input: Bytes,
    previous: Option<Arc<Record>>,
}

impl Responses {
    /// Keeps about this many bytes of answers, each this long.
    pub(crate) fn new(bytes: usize, age: Duration) -> Self {
        Responses::with(Limits { bytes, age }, None)
    }

    fn with(limits: Limits, backing: Option<Arc<dyn ResponseStore>>) -> Self {
        let store = Arc::new(Store::new(limits, backing));
        Responses { store, background: Background::default() }
    }

    /// The same with other bounds.
    pub(crate) fn bounded(&self, bytes: usize, age: Duration) -> Self {
        Responses::with(Limits { bytes, age }, self.store.backing().cloned())
    }

    /// The same with a store behind memory.
    pub(crate) fn stored_in(&self, backing: Arc<dyn ResponseStore>) -> Self {
        Responses::with(self.store.limits(), Some(backing))
    }

    /// The answer that a request goes on from.
    fn previous(&self, id: &str, key: Option<u64>) -> Result<Arc<Record>, Error> {
        let record = id.strip_prefix("resp_").and_then(|answer| self.store.get(answer, key)).ok_or_else(|| {
            let message = format!(
                "Previous response with id '{id}' not found. It may be too old to be kept: send the whole conversation \
                 as `input`."
            );
            Error::new(ErrorKind::PreviousResponseNotFound, message).with_param("previous_response_id")
        })?;
        if !record.has_ended() {
            let message = format!("The response '{id}' has not ended yet. Wait for it, or cancel it.");
            return Err(invalid("previous_response_id", message));
        }
        Ok(record)
    }

    /// Replaces item references by the items.
    fn resolve(&self, items: &mut [Item], key: Option<u64>) -> Result<(), Error> {
        let resolve = |(index, item): (usize, &mut Item)| {
            let id = item.id.take().unwrap_or_default();
            let found = place_of(&id).and_then(|(answer, place)| {
                let record = self.store.get(answer, key)?;
                record.output().ok()?.into_iter().nth(place)
            });
            *item = found.filter(|found| found.id.as_deref() == Some(&*id)).ok_or_else(|| {
                let message = format!(
                    "Item with id '{id}' not found. Items are kept with their responses: where those have `store` \
                     false or are too old, send the items themselves."
                );
                Error::new(ErrorKind::NotFound, message).with_param(format!("input[{index}].id"))
            })?;
            Ok(())
        };
        items.iter_mut().enumerate().filter(|(_, item)| item.is_reference()).try_for_each(resolve)
    }

    /// The whole conversation of a request with this body.
    fn conversation(&self, request: &mut CreateResponse, body: &Bytes, key: Option<u64>) -> Result<Whole, Error> {
        let previous = request.previous_response_id.as_deref().map(|id| self.previous(id, key)).transpose()?;
        let refers = matches!(request.input, Some(Input::Items { refers: true }));
        let mut own = OwnItems::of(request.input.take(), body);
        if refers {
            let mut items = Vec::new();
            own.try_for_each(|item| {
                items.push(item);
                Ok(())
            })?;
            self.resolve(&mut items, key)?;
            own = OwnItems::Read(items);
        }
        let input = match &own {
            _ if request.store == Some(false) => Bytes::new(),
            OwnItems::Read(items) => to_json(items, body.len())?,
            OwnItems::Sent(json) => json.clone(),
        };
        let kept = previous.as_ref().map(|record| record.conversation()).transpose()?.unwrap_or_default();
        Ok(Whole { kept, own, input, previous })
    }

    /// About how many tokens a request has: the body of `POST /v1/responses/input_tokens`.
    pub(crate) fn count_tokens(&self, incoming: Incoming) -> Result<serde_json::Value, Error> {
        let mut ignored = Ignored::by(incoming.abilities);
        let mut request = read(&incoming.body, &ignored)?;
        request.store = Some(false);
        let Whole { kept, own, .. } = self.conversation(&mut request, &incoming.body, incoming.caller.key)?;
        let settings = fields::check(&request, &mut ignored)?;
        let prepared = prepare(&mut request, kept, own, settings, &mut ignored)?;
        Ok(super::tokens::body(&prepared.chat))
    }
}

/// A conversation: the items of answers that are kept here, and the request's own, once more as JSON.
struct Whole {
    kept: Vec<Item>,
    own: OwnItems,
    input: Bytes,
    previous: Option<Arc<Record>>,
}

impl Door for Responses {
    type Reply = Reply;
    const NAME: &'static str = "responses";

    fn fetch<'a>(&'a self, incoming: &'a Incoming) -> Fetched<'a> {
        Box::pin(async move {
            if self.store.backing().is_some() {
                let body = incoming.body.clone();
                for answer in blocking::run(body.len(), move || referred_to(&body)).await? {
                    self.store.recall(&answer).await?;
                }
            }
            Ok(())
        })
    }

    fn decode(&self, incoming: Incoming) -> Result<DecodedRequest<Reply>, Error> {
        let Incoming { headers, caller, abilities, body } = incoming;
        let mut ignored = Ignored::by(abilities);
        let mut request = read(&body, &ignored)?;
        let Whole { kept, own, input, previous } = self.conversation(&mut request, &body, caller.key)?;
        drop(body);
        let keep = (request.store != Some(false)).then_some(Keep { key: caller.key, input, previous });
        let settings = fields::check(&request, &mut ignored)?;
        let fields = Echo::fields(&request, &settings);
        let streamed = request.stream == Some(true);
        let background = request.background == Some(true);
        let Prepared { mut chat, plan, places } = prepare(&mut request, kept, own, settings, &mut ignored)?;
        chat.caller.session = codex::thread(&headers);
        let reply = Reply { plan: Arc::new(plan), fields, places, background, keep };
        Ok(DecodedRequest { request: chat, streamed, background, ignored: ignored.names, reply })
    }

    fn name_of<'a>(&self, setting: &'a str) -> &'a str {
        match setting {
            "max_completion_tokens" => "max_output_tokens",
            "reasoning_effort" => "reasoning.effort",
            "response_format" => "text.format",
            "response_format.json_schema.schema" => "text.format.schema",
            setting => setting,
        }
    }

    fn encoder(&self, reply: Reply, head: Head) -> Box<dyn Encoder> {
        let (echo, plan) = (reply.echo(answer_id(&head.id), head.created, &head.model), Arc::clone(&reply.plan));
        let keeper = self.keeper(reply, &echo);
        Box::new(Streamed::new(echo, plan, keeper))
    }

    fn collector(&self, reply: Reply, head: Head) -> Box<dyn Collector> {
        let (echo, plan) = (reply.echo(answer_id(&head.id), head.created, &head.model), Arc::clone(&reply.plan));
        let keeper = self.keeper(reply, &echo);
        Box::new(Gathered::new(echo, plan, keeper))
    }

    fn answer_id(&self, head: &Head) -> String {
        format!("resp_{}", answer_id(&head.id))
    }

    fn headers(&self, reply: &Reply, head: &Head, headers: &mut HeaderMap) {
        if reply.keep.is_some() {
            name_response(&answer_id(&head.id), headers);
        }
    }

    fn in_background(
        &self,
        reply: Reply,
        turn: PendingAnswer,
        streaming: Streaming,
        headers: &mut HeaderMap,
    ) -> Result<(String, Body), Error> {
        let place = self.background.place()?;
        // Which model answers is not known yet: it will be when the turn begins.
        let model = reply.plan.model.clone();
        let echo = reply.echo(uuid::Uuid::new_v4().simple().to_string().into(), now(), &model);
        let Some(record) = reply.record(&echo, self.store.until()) else {
            return Err(invalid("store", "A response in the background has to be kept: leave `store` out."));
        };
        self.store.keep(Arc::clone(&record));
        name_response(&echo.answer, headers);
        let id = format!("resp_{}", echo.answer);
        place.run(turn, Arc::clone(&record), Arc::clone(&self.store), reply.places);
        let body = if streaming.streamed {
            Streamed::again(record, None, streaming.keep_alive)
        } else {
            Body::from(record.object())
        };
        Ok((id, body))
    }

    fn reword_error(&self, reply: &Reply, error: Error) -> Error {
        renamed(self, reply.places.name(error))
    }
}

impl Responses {
    fn keeper(&self, reply: Reply, echo: &Arc<Echo>) -> Option<Keeper> {
        let record = reply.record(echo, self.store.until())?;
        Some(Keeper { record, store: Arc::clone(&self.store), ended: false })
    }
}

impl Reply {
    fn echo(&self, answer: Box<str>, created_at: u64, model: &str) -> Arc<Echo> {
        let (model, fields) = (model.into(), self.fields.clone());
        Arc::new(Echo { answer, created_at, background: self.background, model, fields })
    }

    fn record(&self, echo: &Arc<Echo>, until: Instant) -> Option<Arc<Record>> {
        let Keep { key, input, previous } = self.keep.as_ref()?;
        let (echo, plan) = (Arc::clone(echo), Arc::clone(&self.plan));
        Some(Arc::new(Record::new(echo, plan, *key, input.clone(), previous.clone(), until)))
    }
}

/// The kept answers that a request refers to, each once. What is wrong with the request is reported later.
fn referred_to(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct References<'a> {
        previous_response_id: Option<String>,
        #[serde(borrow)]
        input: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Reference {
        #[serde(rename = "type")]
        kind: Option<String>,
        id: Option<String>,
    }
    let mentions = |name: &str| memchr::memmem::find(body, name.as_bytes()).is_some();
    if !mentions("previous_response_id") && !mentions("item_reference") {
        return Vec::new();
    }
    let Ok(References { previous_response_id, input }) = serde_json::from_slice(body) else { return Vec::new() };
    let previous = previous_response_id.and_then(|id| id.strip_prefix("resp_").map(str::to_owned));
    let items: Option<Vec<Reference>> = input.and_then(|input| serde_json::from_str(input.get()).ok());
    let items = items.into_iter().flatten().filter(|item| item.kind.as_deref() == Some("item_reference"));
    let items = items.filter_map(|item| place_of(&item.id?).map(|(answer, _)| answer.to_owned()));
    let mut seen = HashSet::new();
    previous.into_iter().chain(items).filter(|answer| seen.insert(answer.clone())).collect()
}

/// How the ids of an answer and of its items end.
fn answer_id(id: &str) -> Box<str> {
    id.rsplit('-').next().unwrap_or(id).into()
}

/// Names a kept response in a header, for a balancer that must send requests which refer to it to the same host.
fn name_response(answer: &str, headers: &mut HeaderMap) {
    if let Ok(id) = HeaderValue::from_str(&format!("resp_{answer}")) {
        headers.insert(RESPONSE_ID, id);
    }
}

/// The request that a body holds.
fn read(body: &[u8], ignored: &Ignored) -> Result<CreateResponse, Error> {
    decode(body, |name| reads(fields::FIELDS, &ignored.abilities, name))
}

/// The items as JSON, of about this length.
fn to_json(items: &[Item], length: usize) -> Result<Bytes, Error> {
    let mut json = Vec::with_capacity(length);
    serde_json::to_writer(&mut json, items).map_err(|error| {
        Error::new(ErrorKind::Internal, format!("The input could not be kept: {error}. Send `store: false`."))
    })?;
    Ok(Bytes::from(json.into_boxed_slice()))
}
