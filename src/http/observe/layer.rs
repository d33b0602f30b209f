//! [`ObserveLayer`]: tells an observer about every request, once all of its answer has been sent.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::access_log;
use super::note::Note;
use super::report::RequestReport;

/// Is told of each request once, when it is over.
pub(super) type Observer = Arc<dyn Fn(&RequestReport) + Send + Sync>;

/// Tells an observer about every request that passes: once all of its answer has been sent, its client is gone, or its
/// background turn has ended.
///
/// It goes around [`ApiService`](crate::http::ApiService) or [`HttpStack`](crate::http::HttpStack). Outside of
/// `HttpStack` it also reports refusals by the guard, and its reports have the request's id. One stack may have several;
/// time counts from the outermost.
///
/// ```
/// use std::sync::mpsc::channel;
///
/// use tower::{Layer, ServiceExt};
/// use tower_claude::http::{ApiService, GuardLayer, ObserveLayer, Outcome, RequestReport, HttpStack};
/// use tower_claude::{ChatRequest, ChatResponse, Error, ErrorKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let nobody = tower::service_fn(|_: ChatRequest| async {
///     Err::<ChatResponse, _>(Error::new(ErrorKind::Overloaded, "Nobody is here."))
/// });
/// let (reports, told) = channel();
/// let observe = ObserveLayer::new(move |report: &RequestReport| {
///     let _ = reports.send((report.door, report.outcome));
/// });
/// let service = observe.layer(HttpStack::new(ApiService::new(nobody), GuardLayer::new()));
///
/// let json = r#"{"model": "sonnet", "messages": [{"role": "user", "content": "hello"}]}"#;
/// let request = http::Request::post("/v1/chat/completions").body(http_body_util::Full::<bytes::Bytes>::from(json))?;
/// drop(service.oneshot(request).await?);
/// assert_eq!(told.recv()?, (Some("chat_completions"), Outcome::Failed(ErrorKind::Overloaded)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ObserveLayer {
    observer: Observer,
}

impl ObserveLayer {
    /// Calls this observer inline when an answer ends: be quick, and do not block.
    pub fn new(observer: impl Fn(&RequestReport) + Send + Sync + 'static) -> Self {
        ObserveLayer { observer: Arc::new(observer) }
    }

    /// Logs one line a request with `tracing`, under the target `access`: who asked by the name of the key, through which
    /// door, the model, tokens, how much of the prompt came from the cache, how it ended, and how long it took. Never
    /// content, keys or queries.
    ///
    /// `conversation` is the same in all requests of one conversation, and `turn` counts them from 1. It is a hash of who asks
    /// and of how the conversation begins, with a secret of this process's, so it tells nothing else and begins anew with
    /// each start.
    ///
    /// Requests for a model, and those that failed, are logged at `info`; others (`/health`, `/metrics`) at `debug`. A field
    /// that says nothing of a request is left out. `RUST_LOG=access=off` silences it.
    pub fn access_log() -> Self {
        ObserveLayer::new(access_log::log)
    }
}

impl fmt::Debug for ObserveLayer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("ObserveLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, observer: Arc::clone(&self.observer) }
    }
}

/// The service that [`ObserveLayer`] makes.
#[derive(Clone)]
pub struct Observed<S> {
    inner: S,
    observer: Observer,
}

impl<S> Observed<S> {
    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Unwraps the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug> fmt::Debug for Observed<S> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Observed").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Observed<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ObserveBody<ResBody>>;
    type Error = S::Error;
    type Future = ObserveFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let note = Note::begin(&mut request, Arc::clone(&self.observer));
        ObserveFuture { future: self.inner.call(request), note }
    }
}

pin_project! {
    /// The future of [`Observed`].
    #[derive(Debug)]
    pub struct ObserveFuture<F> {
        #[pin]
        future: F,
        note: Note,
    }
}

impl<F, B, E> Future for ObserveFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ObserveBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx))?;
        this.note.responded(response.status(), response.headers());
        let note = std::mem::take(this.note);
        Poll::Ready(Ok(response.map(|inner| ObserveBody { inner, note })))
    }
}

pin_project! {
    /// The body of the answers of [`Observed`]. Dropping it ends what is observed.
    #[derive(Debug, Default)]
    pub struct ObserveBody<B> {
        #[pin]
        inner: B,
        note: Note,
    }
}

impl<B: Body> Body for ObserveBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
