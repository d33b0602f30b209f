//! Bodies that report to their connection: a request's when all of it has come, an answer's when hyper has taken all of it, and what
//! observes its end a moment later, when that has been written.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::connections::{Entry, Stage};

/// The body of a request.
pub(crate) struct Received {
    body: Incoming,
    entry: Arc<Entry>,
}

impl Received {
    pub(super) fn new(body: Incoming, entry: Arc<Entry>) -> Self {
        Received { body, entry }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.entry.set(Stage::Answering);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. hyper drops it when it has read all of it, which is before it has written the last of it.
pub(super) struct Sent<B> {
    /// Until this is dropped.
    body: Option<Pin<Box<B>>>,
    over: Over<B>,
    entry: Arc<Entry>,
}

/// Where the body of an answer is kept that is over, until the last of it has been written: whoever observes the end of the
/// answer, to log and to count it, does not keep its client waiting.
pub(super) struct Over<B>(Arc<Mutex<Option<Pin<Box<B>>>>>);

impl<B> Over<B> {
    pub(super) fn new() -> Self {
        Over(Arc::default())
    }

    /// Takes the body that is here, to be dropped.
    pub(super) fn take(&self) -> Option<Pin<Box<B>>> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pin<Box<B>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Clone for Over<B> {
    fn clone(&self) -> Self {
        Over(Arc::clone(&self.0))
    }
}

impl<B> Drop for Sent<B> {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.over.lock(), self.body.take());
        drop(before);
        // If the request was not read to its end, no other can follow.
        if self.entry.connection().stage() != Stage::Receiving {
            self.entry.set(Stage::Idle(Instant::now()));
        }
    }
}

impl<B> Sent<B> {
    /// Once it is dropped, the answer is over.
    pub(super) fn new(body: B, over: Over<B>, entry: Arc<Entry>) -> Self {
        Sent { body: Some(Box::pin(body)), over, entry }
    }
}

impl<B: Body> Body for Sent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.body.as_mut().map_or(Poll::Ready(None), |body| body.as_mut().poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, |body| body.size_hint())
    }
}
