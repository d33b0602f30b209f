//! One request from its body to the head of its answer, through any door.

use std::sync::Arc;

use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use tower::{Layer, Service, ServiceExt};

use super::body::Body;
use super::door::{Asked, Collector, Door, Head, Incoming};
use super::options::Options;
use super::request;
use super::response::header_list;
use super::settle::Settled;
use super::sse::EventBytes;
use crate::chat::Caller;
use crate::layers::{ChoicesLayer, RecognizeLayer, StopLayer};
use crate::{ChatRequest, ChatResponse, Error};

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
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    request::check_media_type(&headers)?;
    let caller = options.keys.caller(&headers);
    let body = request::read(body, options.body_limit).await?;

    let asked = door.decode(Incoming { headers, caller: caller.clone(), body })?;
    let Asked { mut request, streamed, ignored, reply } = asked;
    let session = caller.session.or(request.caller.session);
    request.caller = Caller { key: caller.key, session };

    let (head, mut headers, events) = ask(inner, request).await?;
    if let Some(names) = header_list(&ignored) {
        headers.insert("x-ignored-parameters", names);
    }
    let body = if streamed {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // nginx holds a response back until it has a buffer full, unless it is told not to.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Body::events(EventBytes::new(events, door.encoder(reply, head), options.keep_alive))
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        collect(events, door.collector(reply, head)).await?
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    Ok(response)
}

/// Has the inner service answer, with `n` and `stop` seen to.
pub(crate) async fn ask<S>(inner: S, request: ChatRequest) -> Result<(Head, HeaderMap, Settled), Error>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>, Future: Send> + Clone + Send + 'static,
{
    let choices = request.n.unwrap_or(1) as usize;
    // The conversation is recognised by what the client is told, which a stop text has cut already, choice by choice.
    let layers = (ChoicesLayer::new(), RecognizeLayer::new(), StopLayer::new());
    let ChatResponse { id, created, model, headers, events } = layers.layer(inner).oneshot(request).await?;
    Ok((Head { id, created, model, choices }, headers, Settled::new(events, choices)))
}

/// Waits for the whole answer. The first failure is the answer's.
pub(crate) async fn collect(mut events: Settled, mut collector: Box<dyn Collector>) -> Result<Body, Error> {
    while let Some(item) = events.next().await {
        let taken = item.and_then(|(choice, event)| collector.event(choice, event));
        if let Err(error) = taken {
            collector.fail(&error);
            return Err(error);
        }
    }
    collector.finish()
}
