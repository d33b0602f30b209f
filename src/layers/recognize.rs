//! [`Recognize`]: a conversation goes on in its live process, whatever the layers inside of this one change.

use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::macros::{inner_service_accessors, opaque_future};
use crate::chat::{Events, Told, Translate, TranslateFuture};
use crate::{ChatEvent, ChatRequest, ChatResponse, Error};

/// Keeps for each request what the client sent and what it was told, beside what the layers make of both.
///
/// [`ClaudeCli`](crate::cli::ClaudeCli) goes on with a conversation in the process that holds it, if the client sends
/// the same messages as before and then the answer as it was told. Without this layer it can only compare what reaches
/// it and what it said itself, so every layer would have to give the same result each time, and to undo on the way in
/// what it did to the answer. With this layer outside of them they need not: see [the contract](super).
///
/// [`ApiService`](crate::http::ApiService) puts it around its inner service. It is for those who serve another edge.
/// Where there are two, the outer one counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecognizeLayer {}

impl RecognizeLayer {
    /// The layer; it has nothing to set.
    pub const fn new() -> Self {
        RecognizeLayer {}
    }
}

impl<S> Layer<S> for RecognizeLayer {
    type Service = Recognize<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Recognize { inner }
    }
}

/// The service that [`RecognizeLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct Recognize<S> {
    inner: S,
}

impl<S> Recognize<S> {
    inner_service_accessors!();
}

impl<S> Service<ChatRequest> for Recognize<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = RecognizeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        let told = request.told.is_none().then(|| Told::put_into(&mut request));
        RecognizeFuture::new(TranslateFuture::new(self.inner.call(request), told.map(|told| Record { told })))
    }
}

opaque_future! {
    /// The response future of [`Recognize`].
    pub struct RecognizeFuture<F>(TranslateFuture<F, Record>);
}

/// Records the events that pass.
#[derive(Debug)]
struct Record {
    told: Told,
}

impl Translate for Record {
    fn event(&mut self, event: ChatEvent, out: &mut Events) {
        self.told.record(&event);
        out.push(event);
    }
}
