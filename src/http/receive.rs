//! Reads a request's body within limits: on its length, on how slowly it may come, and on the memory that all bodies share.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::{Body, Frame};
use http_body_util::{LengthLimitError, Limited};
use tokio::time::{Instant, Sleep};

use super::body_memory::{BodyMemory, Share};
use super::request::BoxError;
use crate::{Error, ErrorKind};

/// How much of a body must come in each period of [`PATIENCE`] until it is whole. A slow uplink does a hundred times that.
const MIN_PROGRESS: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// The most memory to reserve at once for an announced length: the bytes may never come.
const INITIAL_CAPACITY: usize = 1024 * 1024;

/// When that is full, this many times the bytes received so far are reserved. Growing in small steps fragments the heap.
const GROWTH: usize = 8;

/// A whole body.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    /// Hold this for as long as the bytes, or what they were decoded into, are in memory.
    pub(crate) share: Share,
}

/// Reads the whole body.
///
/// # Errors
/// 413 if it is longer than `limit` bytes, 408 if it comes too slowly or gives way to another, 503 if all bodies together
/// take too much memory, 400 if it ends early.
pub(crate) async fn receive<B>(body: B, limit: usize, memory: &BodyMemory) -> Result<Received, Error>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(too_large(limit));
    }
    let mut body = std::pin::pin!(Limited::new(body, limit));
    let mut share = memory.share();
    let mut bytes = BytesMut::with_capacity((announced as usize).min(INITIAL_CAPACITY));
    let mut progress = Progress::default();
    // Polled by hand, so the body's own type of buffer, which need not be `Send`, is never held across an await.
    std::future::poll_fn(|cx| {
        loop {
            let frame = match body.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    if let Poll::Ready(cut) = share.poll_cut(cx) {
                        return Poll::Ready(Err(cut));
                    }
                    ready!(progress.poll_late(bytes.len(), cx));
                    return Poll::Ready(Err(too_slow(bytes.len())));
                }
            };
            match frame {
                Some(Ok(frame)) => take(frame, announced as usize, &mut bytes, &mut share)?,
                Some(Err(error)) if error.is::<LengthLimitError>() => return Poll::Ready(Err(too_large(limit))),
                Some(Err(error)) => {
                    let message = format!("The request's body ended early: {error}.");
                    return Poll::Ready(Err(Error::invalid_request(message)));
                }
                None => return Poll::Ready(share.complete()),
            }
        }
    })
    .await?;
    Ok(Received { bytes: bytes.freeze(), share })
}

fn take<D: Buf>(frame: Frame<D>, announced: usize, bytes: &mut BytesMut, share: &mut Share) -> Result<(), Error> {
    let Ok(mut data) = frame.into_data() else { return Ok(()) };
    let length = bytes.len() + data.remaining();
    share.grow_to(length)?;
    if bytes.capacity() < length && length <= announced {
        bytes.reserve(announced.min(length.saturating_mul(GROWTH)) - bytes.len());
    }
    while data.has_remaining() {
        let chunk = data.chunk();
        let length = chunk.len();
        bytes.put_slice(chunk);
        data.advance(length);
    }
    Ok(())
}

/// Watches whether a body comes fast enough.
#[derive(Default)]
struct Progress {
    /// How many bytes must have come when the timer ends.
    next: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Progress {
    /// Ready when too little has come for too long. Polled whenever the body is pending.
    fn poll_late(&mut self, received: usize, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        if received >= self.next {
            self.next = received + MIN_PROGRESS;
            timer.as_mut().reset(Instant::now() + PATIENCE);
        }
        timer.as_mut().poll(cx)
    }
}

/// Refuses a compressed body: the limit is on what it decompresses to.
pub(crate) fn check_encoding(headers: &HeaderMap) -> Result<(), Error> {
    let coded = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .find(|coding| !coding.as_bytes().trim_ascii().is_empty() && !is_identity(coding.as_bytes()));
    let Some(coding) = coded else { return Ok(()) };
    let coding = String::from_utf8_lossy(coding.as_bytes());
    let message = format!(
        "The request's body is encoded ({}), and this server takes bodies as they are. Send it without Content-Encoding.",
        crate::error::shortened(&coding)
    );
    Err(Error::new(ErrorKind::UnsupportedMediaType, message))
}

fn is_identity(coding: &[u8]) -> bool {
    coding.trim_ascii().eq_ignore_ascii_case(b"identity")
}

fn too_large(limit: usize) -> Error {
    let message = format!("The request's body is larger than this server's limit of {limit} bytes.");
    Error::new(ErrorKind::RequestTooLarge, message)
}

fn too_slow(received: usize) -> Error {
    let message = format!(
        "The request's body stopped coming after {received} bytes: at least {MIN_PROGRESS} bytes, or its end, must come \
         within {} s. Send the request again.",
        PATIENCE.as_secs()
    );
    Error::new(ErrorKind::BodyTimeout, message)
}
