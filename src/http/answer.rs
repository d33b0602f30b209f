//! One request from its body to the head of its answer, through any door.

use std::sync::Arc;

use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use tower::{Layer, Service, ServiceExt};

use super::abilities;
use super::body::Body;
use super::body_memory::Share;
use super::door::{Collector, DecodedRequest, Door, Head, Incoming, Streaming};
use super::observe::Note;
use super::options::Options;
use super::receive::{Received, check_encoding, receive};
use super::request;
use super::response::{event_headers, header_list};
use super::settle::Settled;
use super::sse::EventBytes;
use crate::chat::Caller;
use crate::chat::abilities::IGNORED_HEADER;
use crate::layers::{ChoicesLayer, RecognizeLayer, StopLayer};
use crate::{ChatRequest, ChatResponse, Error, blocking};

/// Reads the request, has the inner service answer it, and begins to write the answer.
pub(crate) async fn answer<D, S, B>(
    door: &D,
    inner: S,
    options: Arc<Options>,
    request: Request<B>,
) -> Result<Response<Body>, Error>
where
    D: Door,
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>, Future: Send> + Clone + Send + 'static,
    B: http_body::Body,
    B::Error: Into<request::BoxError>,
{
    let note = Note::of(&request);
    let (incoming, share) = incoming(&options, request).await?;
    let (caller, bytes) = (incoming.caller.clone(), incoming.body.len());
    door.fetch(&incoming).await?;
    let decoded = blocking::run(bytes, {
        let door = door.clone();
        move || door.decode(incoming)
    })
    .await??;
    let DecodedRequest { mut request, streamed, background, mut ignored, reply } = decoded;
    note.asks_for(&request.model);
    let able = abilities::check(door, &request, &options.abilities, &mut ignored);
    able.map_err(|error| door.reword_error(&reply, error))?;
    let session = caller.session.clone().or(request.caller.session);
    request.door = Some(D::NAME);
    let noted = note.clone();
    request.caller = Caller { session, ..caller };
    note.continues(&request);

    let (mut headers, body) = if background {
        let turn = Box::pin(ask(inner, request, bytes, streamed, noted, share));
        let streaming = Streaming { streamed, keep_alive: options.keep_alive };
        let mut headers = HeaderMap::new();
        let (id, body) = door.in_background(reply, turn, streaming, &mut headers)?;
        note.answer_id(&id);
        (headers, body)
    } else {
        let answered = ask(inner, request, bytes, streamed, noted, share).await;
        let (head, mut headers, events) = answered.map_err(|error| door.reword_error(&reply, error))?;
        note.answer_id(&door.answer_id(&head));
        door.headers(&reply, &head, &mut headers);
        let body = if streamed {
            Body::events(EventBytes::new(events, door.encoder(reply, head), options.keep_alive))
        } else {
            Box::pin(collect(events, door.collector(reply, head))).await?
        };
        (headers, body)
    };
    // The inner service may have named ignored fields too.
    if let Some(names) = headers.remove(IGNORED_HEADER) {
        ignored.extend(names.to_str().unwrap_or_default().split(", ").map(|name| door.name_of(name).to_owned()));
    }
    if let Some(names) = header_list(&ignored) {
        headers.insert(IGNORED_HEADER, names);
    }
    if streamed {
        event_headers(&mut headers);
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    Ok(response)
}

/// Reads a request's body, and finds out who sent it. The decoded request takes about as much memory as the body did, so
/// the caller keeps the share until that is gone too.
pub(crate) async fn incoming<B>(options: &Options, request: Request<B>) -> Result<(Incoming, Share), Error>
where
    B: http_body::Body,
    B::Error: Into<request::BoxError>,
{
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    request::check_media_type(&headers)?;
    check_encoding(&headers)?;
    let caller = options.keys.caller(&headers);
    let Received { bytes: body, share } = receive(body, options.body_limit, &options.body_memory).await?;
    Ok((Incoming { headers, caller, abilities: options.abilities.clone(), body }, share))
}

/// Asks the inner service, behind the layers that handle `n` and `stop`, and notes how that went. `bytes` is the length of
/// the request's body, whose memory is free again once the inner service has taken the request.
pub(crate) async fn ask<S>(
    inner: S,
    request: ChatRequest,
    bytes: usize,
    streamed: bool,
    note: Note,
    share: Share,
) -> Result<(Head, HeaderMap, Settled), Error>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>, Future: Send> + Clone + Send + 'static,
{
    let choices = request.n.unwrap_or(1) as usize;
    // `RecognizeLayer` must see the answer as the client is told it, cut by a stop text, and one choice at a time.
    let layers = (ChoicesLayer::new(), RecognizeLayer::new(), StopLayer::new());
    let asked = async {
        let mut service = layers.layer(inner).ready_oneshot().await?;
        // Layers rewrite the request inside `call`, which takes time for a large one.
        blocking::run(bytes, move || service.call(request)).await?.await
    };
    let response = asked.await.inspect_err(|error| note.failed(error.kind()))?;
    drop(share);
    note.answering(&response, streamed);
    let ChatResponse { id, created, model, headers, events, .. } = response;
    Ok((Head { id, created, model, choices }, headers, Settled::new(events, choices, note)))
}

/// Waits for the whole answer. The first failure fails all of it.
pub(crate) async fn collect(mut events: Settled, mut collector: Box<dyn Collector>) -> Result<Body, Error> {
    let mut failed = None;
    while let Some(item) = events.next().await {
        let taken = item.and_then(|(choice, event)| collector.event(choice, event));
        if let Err(error) = taken {
            collector.fail(&error);
            failed = Some(error);
            break;
        }
    }
    if let Some(saving) = collector.saving() {
        saving.await;
    }
    match failed {
        Some(error) => Err(error),
        None => collector.finish(),
    }
}
