//! The body of an answer: some JSON, or server-sent events as they come.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use serde::Serialize;
use tokio::time::{Instant, Sleep};

use crate::Error;
use crate::layers::choices::Choices;
use crate::openai::chat_completions::chunk::ChunkEncoder;

/// The body of every answer of [`ApiService`](super::ApiService).
///
/// Dropping it before its end drops the events that it would have sent, and with them the turn. It never fails: a
/// failure of the answer is an `error` event.
pub struct Body(Kind);

enum Kind {
    Full(Full<Bytes>),
    Events(Box<Events>),
}

impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Body(Kind::Full(Full::default()))
    }

    /// The JSON of a value, or the error that says why there is none.
    pub(crate) fn json<T: Serialize>(value: &T) -> Result<Self, Error> {
        let json = serde_json::to_vec(value).map_err(|error| {
            Error::new(crate::ErrorKind::Internal, format!("The answer could not be written as JSON: {error}."))
        })?;
        Ok(Body(Kind::Full(Full::from(json))))
    }

    /// Server-sent events. Silence is filled with comments that often, unless that is zero.
    pub(crate) fn events(choices: Choices, encoder: ChunkEncoder, keep_alive: Duration) -> Self {
        let mut buffer = BytesMut::with_capacity(SPARE);
        encoder.start(&mut buffer);
        let choices = Some(choices);
        Body(Kind::Events(Box::new(Events { choices, encoder, buffer, room: SPARE, keep_alive, silence: None })))
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
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(full) => full.is_end_stream(),
            Kind::Events(events) => events.choices.is_none() && events.buffer.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(full) => full.size_hint(),
            Kind::Events(_) => SizeHint::default(),
        }
    }
}

/// How much is gathered into one frame while events keep coming: large enough that a fast answer costs few writes,
/// small enough that a stream's memory stays small.
const FRAME: usize = 32 * 1024;

/// The room that a buffer has beside what the frame before it needed: one chunk and some.
const SPARE: usize = 512;

/// The stream of events behind a body.
struct Events {
    /// `None` when all has been written.
    choices: Option<Choices>,
    encoder: ChunkEncoder,
    /// Holds no memory while there is nothing to send.
    buffer: BytesMut,
    /// What the buffer is made for: the next frame is probably as large as the last one.
    room: usize,
    keep_alive: Duration,
    /// Runs while there is nothing to send. Its allocation is kept for the next time.
    silence: Option<Silence>,
}

struct Silence {
    timer: Pin<Box<Sleep>>,
    running: bool,
}

impl Events {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        // Whatever is ready goes out together; nothing waits for more.
        while self.buffer.len() < FRAME {
            let Some(choices) = &mut self.choices else { break };
            let failed = match Pin::new(choices).poll_next(cx) {
                Poll::Ready(Some(Ok((index, event)))) => {
                    if self.buffer.capacity() == 0 {
                        self.buffer.reserve(self.room);
                    }
                    self.encoder.event(index, event, &mut self.buffer).err()
                }
                Poll::Ready(Some(Err(error))) => Some(error),
                Poll::Ready(None) => {
                    self.encoder.end(&mut self.buffer);
                    self.choices = None;
                    break;
                }
                Poll::Pending if self.buffer.is_empty() => {
                    ready!(self.poll_silence(cx));
                    ChunkEncoder::keep_alive(&mut self.buffer);
                    break;
                }
                Poll::Pending => break,
            };
            if let Some(error) = failed {
                tracing::warn!(kind = ?error.kind(), %error, "the answer failed after its head was sent");
                ChunkEncoder::error(&error, &mut self.buffer);
                self.choices = None;
            }
        }
        if let Some(silence) = &mut self.silence {
            silence.running = false;
        }
        if self.buffer.is_empty() {
            return Poll::Ready(None);
        }
        self.room = self.buffer.len().min(FRAME) + SPARE;
        Poll::Ready(Some(std::mem::take(&mut self.buffer).freeze()))
    }

    /// Ready when nothing has been sent for as long as the keep-alive allows.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.keep_alive.is_zero() {
            return Poll::Pending;
        }
        let silence = self
            .silence
            .get_or_insert_with(|| Silence { timer: Box::pin(tokio::time::sleep(self.keep_alive)), running: true });
        if !silence.running {
            silence.running = true;
            silence.timer.as_mut().reset(Instant::now() + self.keep_alive);
        }
        silence.timer.as_mut().poll(cx)
    }
}
