//! The body of an answer: some JSON, or server-sent events as they come.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use serde::Serialize;

use super::sse::EventBytes;
use crate::{Error, ErrorKind};

/// The body of every answer of [`ApiService`](super::ApiService).
///
/// Dropping it before its end drops the events that it would have sent, and with them the turn. It never fails: a
/// failure of the answer is an `error` event.
///
/// ```
/// use bytes::Bytes;
/// use futures_util::stream;
/// use tower_claude::http::Body;
///
/// let whole = Body::from(Bytes::from_static(b"hello"));
/// let piecewise = Body::stream(stream::iter(["hel", "lo"].map(Bytes::from)));
/// ```
pub struct Body(Kind);

enum Kind {
    Full(Full<Bytes>),
    Events(Box<EventBytes>),
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl Body {
    /// An empty body.
    pub fn empty() -> Self {
        Body(Kind::Full(Full::default()))
    }

    /// The JSON of a value, or the error that says why there is none.
    pub(crate) fn json<T: Serialize>(value: &T) -> Result<Self, Error> {
        let json = serde_json::to_vec(value).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("The answer could not be written as JSON: {error}."))
        })?;
        Ok(Body(Kind::Full(Full::from(json))))
    }

    /// These bytes as they come: the body of a [route of your own](super::ApiService::get).
    pub fn stream(bytes: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Body(Kind::Stream(Box::pin(bytes)))
    }

    /// Server-sent events.
    pub(crate) fn events(events: EventBytes) -> Self {
        Body(Kind::Events(Box::new(events)))
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body(Kind::Full(Full::new(bytes)))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.0 {
            Kind::Full(full) => f.debug_tuple("Body").field(full).finish(),
            Kind::Events(_) => f.write_str("Body(Events)"),
            Kind::Stream(_) => f.write_str("Body(Stream)"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Kind::Full(full) => Pin::new(full).poll_frame(cx),
            Kind::Events(events) => events.poll_bytes(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(stream) => {
                stream.as_mut().poll_next(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(full) => full.is_end_stream(),
            Kind::Events(events) => events.is_end(),
            Kind::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(full) => full.size_hint(),
            Kind::Events(_) | Kind::Stream(_) => SizeHint::default(),
        }
    }
}
