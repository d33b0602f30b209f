//! Bodies that report to their connection: a request's when all of it has come, an answer's when hyper has taken all of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
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

pin_project! {
    /// The body of an answer. hyper drops it when it has read all of it.
    pub(super) struct Sent<B> {
        #[pin]
        body: B,
        entry: Arc<Entry>,
    }

    impl<B> PinnedDrop for Sent<B> {
        fn drop(this: Pin<&mut Self>) {
            // If the request was not read to its end, no other can follow.
            if this.entry.connection().stage() != Stage::Receiving {
                this.entry.set(Stage::Idle(Instant::now()));
            }
        }
    }
}

impl<B> Sent<B> {
    /// Once it is dropped, the answer is over.
    pub(super) fn new(body: B, entry: Arc<Entry>) -> Self {
        Sent { body, entry }
    }
}

impl<B: Body> Body for Sent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
