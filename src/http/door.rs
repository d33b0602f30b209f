//! A door: one dialect of requests and answers, such as Chat Completions.
//!
//! A door says how the bytes of a request become a [`ChatRequest`], and how the events of the answer become bytes again.
//! Everything between the two is the same for all doors and is in [`answer`](super::answer).
//!
//! To add a door: implement [`Door`], [`Encoder`] and [`Collector`], give it a [`Route`](super::route::Route), and let
//! [`ApiService`](super::ApiService) answer that route with it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};

use super::body::Body;
use super::response::error_response;
use super::settle::Settled;
use crate::chat::{Abilities, Caller};
use crate::{ChatEvent, ChatRequest, Error, ErrorKind};

/// A dialect of the API. It is cloned for each request, so what it keeps for all of them belongs in an `Arc`.
pub(crate) trait Door: Clone + Send + Sync + 'static {
    /// What the door remembers of a request until its answer is written: whether token counts were asked for, which
    /// fields are to be repeated.
    type Reply: Send + 'static;

    /// The door's name in logs and metrics.
    const NAME: &'static str;

    /// Fetches whatever [`decode`](Self::decode) needs from elsewhere. Most doors need nothing.
    fn fetch<'a>(&'a self, _incoming: &'a Incoming) -> Fetched<'a> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Reads a request and checks it. For a large body it runs off the runtime's workers, so it may take its time,
    /// which must be linear in the body's length.
    fn decode(&self, incoming: Incoming) -> Result<DecodedRequest<Self::Reply>, Error>;

    /// What this dialect calls a setting of a [`ChatRequest`], or a place in one.
    fn name_of<'a>(&self, setting: &'a str) -> &'a str {
        setting
    }

    /// Makes the writer of the answer to a streamed request.
    fn encoder(&self, reply: Self::Reply, head: Head) -> Box<dyn Encoder>;

    /// Makes the writer of the answer to any other request.
    fn collector(&self, reply: Self::Reply, head: Head) -> Box<dyn Collector>;

    /// The id by which the client knows the answer.
    fn answer_id(&self, head: &Head) -> String {
        head.id.clone()
    }

    /// Adds this dialect's headers to the answer.
    fn headers(&self, _reply: &Self::Reply, _head: &Head, _headers: &mut HeaderMap) {}

    /// Takes over a turn that goes on whether or not its client stays, where [`DecodedRequest::background`] says so. Polling
    /// `answer` asks the inner service. Returns the answer's id as its client sees it, and a body to send at once.
    fn in_background(
        &self,
        _reply: Self::Reply,
        _answer: PendingAnswer,
        _write: Streaming,
        _headers: &mut HeaderMap,
    ) -> Result<(String, Body), Error> {
        Err(Error::new(ErrorKind::Internal, "This door has no turns in the background."))
    }

    /// Translates an error of the inner service, which names parameters as [`ChatRequest`] does, into this dialect's names.
    fn reword_error(&self, _reply: &Self::Reply, error: Error) -> Error {
        renamed(self, error)
    }

    /// The answer to a request that failed before the head of its answer was sent.
    fn error(&self, error: &Error) -> Response<Body> {
        error_response(error)
    }
}

/// The error with this dialect's name of the setting that it is about.
pub(crate) fn renamed<D: Door>(door: &D, error: Error) -> Error {
    match error.param().map(|param| door.name_of(param).to_owned()) {
        Some(param) => error.with_param(param),
        None => error,
    }
}

/// A request whose body has been read, and whose sender is known.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// The request's headers.
    pub(crate) headers: HeaderMap,
    /// Who asks.
    pub(crate) caller: Caller,
    /// What the inner service can do.
    pub(crate) abilities: Abilities,
    /// The body, whole. Its media type has been checked: it says that it is JSON, or says nothing.
    pub(crate) body: Bytes,
}

/// An answer that the inner service has not been asked for yet. It resolves to the answer's head, headers and events.
pub(crate) type PendingAnswer = Pin<Box<dyn Future<Output = Result<(Head, HeaderMap, Settled), Error>> + Send>>;

/// Resolves when what a request refers to is at hand.
pub(crate) type Fetched<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// Work to finish before a client hears of the end of its answer.
pub(crate) type Saving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether an answer is streamed, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streaming {
    /// Whether it is sent as server-sent events.
    pub(crate) streamed: bool,
    /// How long such a stream may be silent.
    pub(crate) keep_alive: Duration,
}

/// A request as its door has read it.
#[derive(Debug)]
pub(crate) struct DecodedRequest<R> {
    /// The request, for the layers. The edge sets its caller; a session that the door found in the body is kept
    /// unless the headers name one.
    pub(crate) request: ChatRequest,
    /// Whether the answer is to be sent as server-sent events.
    pub(crate) streamed: bool,
    /// Whether the turn goes on without its client: [`Door::in_background`].
    pub(crate) background: bool,
    /// Names of fields that have no effect, for the header `x-ignored-parameters`.
    pub(crate) ignored: Vec<String>,
    /// What the door remembers until the answer is written.
    pub(crate) reply: R,
}

/// What is known about an answer before its first event.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// `chatcmpl-` and 32 hexadecimal digits. A door whose ids have another prefix replaces this one.
    pub(crate) id: String,
    /// When the answer began, in seconds since 1970.
    pub(crate) created: u64,
    /// The model that actually answers.
    pub(crate) model: String,
    /// How many choices there will be, at least one.
    pub(crate) choices: usize,
}

/// Writes the events of one answer as server-sent events.
///
/// The events are settled (see [`Settled`](super::settle::Settled)): a call's arguments follow its start, `{}` if it had
/// none, the finish reason of an answer with calls is `tool_calls`, and each choice ends with [`ChatEvent::Finished`].
/// Doors skip events that they do not show.
pub(crate) trait Encoder: Send + 'static {
    /// Writes what comes before the first event.
    fn start(&mut self, out: &mut BytesMut);

    /// Writes an event of the choice at this index as none, one or several server-sent events.
    ///
    /// # Errors
    /// If the event cannot be written in this dialect. The error ends the answer, as a failure among the events would.
    fn event(&mut self, choice: usize, event: ChatEvent, out: &mut BytesMut) -> Result<(), Error>;

    /// Writes what follows when every choice has finished.
    fn end(&mut self, out: &mut BytesMut);

    /// Writes what follows instead when the answer fails.
    fn error(&mut self, error: &Error, out: &mut BytesMut);

    /// Work to await before the last event, or the failure, is sent. Called after each event.
    fn saving(&mut self) -> Option<Saving> {
        None
    }

    /// Writes a comment, which clients skip, to keep a silent connection from looking dead. No blank line follows it, which
    /// some clients take for the end of an event, although there is none.
    fn keep_alive(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(b": keep-alive\n");
    }
}

/// Gathers the events of one answer into one body. They are settled, as they are for an [`Encoder`].
pub(crate) trait Collector: Send + 'static {
    /// Takes the next event of the choice at this index.
    fn event(&mut self, choice: usize, event: ChatEvent) -> Result<(), Error>;

    /// The body, when every choice has finished.
    fn finish(self: Box<Self>) -> Result<Body, Error>;

    /// Takes note that the answer has failed. The failure becomes the response; no events follow.
    fn fail(&mut self, _error: &Error) {}

    /// Work to await before the body, or the failure, is sent. Called when there are no more events.
    fn saving(&mut self) -> Option<Saving> {
        None
    }
}
