//! The assembled edge: [`ApiService`] with what an HTTP server needs around it, all of it tower-http's.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};

use pin_project_lite::pin_project;
use tower::{Layer, Service, ServiceBuilder};
use tower_http::BoxError;
use tower_http::body::UnsyncBoxBody;
use tower_http::catch_panic::{self, CatchPanic, CatchPanicLayer, ResponseForPanic};
use tower_http::classify::{NeverClassifyEos, ServerErrorsAsFailures, ServerErrorsFailureClass, SharedClassifier};
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestId, PropagateRequestIdLayer, PropagateRequestIdResponseFuture, RequestId,
    SetRequestId, SetRequestIdLayer,
};
use tower_http::trace::{self, MakeSpan, Trace, TraceLayer};
use tracing::Span;

use super::guard::GuardFuture;
use super::response::error_response;
use super::service::ResponseFuture;
use super::{ApiService, Body, Guard, GuardLayer};
use crate::{ChatRequest, ChatResponse, Error, ErrorKind};

/// The API with what an HTTP server needs around it: a service of HTTP requests that never fails, for axum and hyper.
///
/// From the outside in: a request id (`x-request-id`, the client's own if it sends one, and the same on the answer), a
/// tracing span, an answer if the service panics, and the guard against web pages.
///
/// The limit of the body's length is [`ApiService::body_limit`]; it sits inside, so a refusal has OpenAI's form.
///
/// ```
/// use tower::ServiceExt;
/// use tower_claude::http::{ApiService, GuardLayer, HttpStack};
/// use tower_claude::{ChatRequest, ChatResponse, Error, ErrorKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let nobody = tower::service_fn(|_: ChatRequest| async {
///     Err::<ChatResponse, _>(Error::new(ErrorKind::Overloaded, "Nobody is here."))
/// });
/// let service = HttpStack::new(ApiService::new(nobody), GuardLayer::new());
///
/// let request = http::Request::get("/health").body(http_body_util::Empty::<bytes::Bytes>::new())?;
/// let response = service.oneshot(request).await?;
/// assert_eq!(response.status(), 200);
/// assert!(response.headers().contains_key("x-request-id"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HttpStack<S> {
    inner: Inner<S>,
}

impl<S> HttpStack<S> {
    /// Assembles the stack. Anything else that an HTTP server needs, such as compression, goes around it.
    pub fn new(service: ApiService<S>, guard: GuardLayer) -> Self {
        let inner = ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(TraceLayer::new_for_http().make_span_with(RequestSpan))
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(CatchPanicLayer::custom(PanicResponse))
            .service(guard.layer(service));
        HttpStack { inner }
    }
}

// Private: which tower-http services are used, and in which order, is not part of the API.
type Inner<S> = SetRequestId<
    Trace<
        PropagateRequestId<CatchPanic<Guard<ApiService<S>>, PanicResponse>>,
        SharedClassifier<ServerErrorsAsFailures>,
        RequestSpan,
    >,
    MakeRequestUuid,
>;

type InnerFuture = trace::ResponseFuture<
    PropagateRequestIdResponseFuture<catch_panic::ResponseFuture<GuardFuture<ResponseFuture, Body>, PanicResponse>>,
    ServerErrorsAsFailures,
>;

type InnerBody = trace::ResponseBody<UnsyncBoxBody<Bytes, BoxError>, NeverClassifyEos<ServerErrorsFailureClass>>;

impl<S> fmt::Debug for HttpStack<S> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("HttpStack").finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<B>> for HttpStack<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>, Future: Send> + Clone + Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<HttpStackBody>;
    type Error = Infallible;
    type Future = HttpStackFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: Request<B>) -> HttpStackFuture {
        HttpStackFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The future of [`HttpStack`].
    pub struct HttpStackFuture {
        #[pin]
        inner: InnerFuture,
    }
}

impl Future for HttpStackFuture {
    type Output = Result<Response<HttpStackBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().inner.poll(cx))?;
        Poll::Ready(Ok(response.map(|inner| HttpStackBody { inner })))
    }
}

impl fmt::Debug for HttpStackFuture {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("HttpStackFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of the answers of [`HttpStack`]. It fails if writing the answer panics.
    pub struct HttpStackBody {
        #[pin]
        inner: InnerBody,
    }
}

impl http_body::Body for HttpStackBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Debug for HttpStackBody {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("HttpStackBody").finish_non_exhaustive()
    }
}

/// The span of a request: method, path, request id, and the name of the caller's key once it is known. Headers and bodies
/// never go into a log.
#[derive(Clone, Copy, Debug, Default)]
struct RequestSpan;

impl<B> MakeSpan<B> for RequestSpan {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        let id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
        tracing::info_span!(
            "request",
            method = %request.method(),
            path = request.uri().path(),
            request_id = id,
            key = tracing::field::Empty
        )
    }
}

/// The answer to a request on which this program panicked: 500, in OpenAI's form.
#[derive(Clone, Copy, Debug, Default)]
struct PanicResponse;

impl ResponseForPanic for PanicResponse {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
        let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        tracing::error!(message = ?message.unwrap_or("no message"), "a request met a panic");
        let error =
            Error::new(ErrorKind::Internal, "A fault of this server kept it from answering. Its log says more.");
        error_response(&error)
    }
}
