//! [`Recognize`]: a conversation goes on in its live process, whatever the layers inside of this one change.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::chat::Told;
use crate::{ChatRequest, ChatResponse, Error};

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

impl<S> Service<ChatRequest> for Recognize<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error = Error>,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = RecognizeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        let told = request.told.is_none().then(|| Told::put_into(&mut request));
        RecognizeFuture { inner: self.inner.call(request), told }
    }
}

pin_project! {
    /// The response future of [`Recognize`].
    #[derive(Debug)]
    pub struct RecognizeFuture<F> {
        #[pin]
        inner: F,
        told: Option<Told>,
    }
}

impl<F: Future<Output = Result<ChatResponse, Error>>> Future for RecognizeFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(match this.told.take() {
            None => response,
            Some(told) => response.translate(move |event, out| {
                told.record(&event);
                out.push_back(event);
            }),
        }))
    }
}
