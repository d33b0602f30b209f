//! The assembled edge: [`ApiService`] with what an HTTP server needs around it, all of it tower-http's.

use std::any::Any;

use http::{Request, Response};
use tower::{Layer, ServiceBuilder};
use tower_http::catch_panic::{CatchPanic, CatchPanicLayer, ResponseForPanic};
use tower_http::classify::{ServerErrorsAsFailures, SharedClassifier};
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestId, PropagateRequestIdLayer, RequestId, SetRequestId, SetRequestIdLayer,
};
use tower_http::trace::{MakeSpan, Trace, TraceLayer};
use tracing::Span;

use super::response::error_response;
use super::{ApiService, Body, Guard, GuardLayer};
use crate::{Error, ErrorKind};

/// What [`proxy()`] makes: a service of HTTP requests, for axum and hyper.
pub type Proxy<S> = SetRequestId<
    Trace<
        PropagateRequestId<CatchPanic<Guard<ApiService<S>>, PanicResponse>>,
        SharedClassifier<ServerErrorsAsFailures>,
        RequestSpan,
    >,
    MakeRequestUuid,
>;

/// Puts around the API, from the outside in: a request id (`x-request-id`, the client's own if it sends one, and the
/// same on the answer), a tracing span, an answer where the service panics, and the guard against web pages.
///
/// The limit of the body's length is [`ApiService::body_limit`]; it sits inside, so that a refusal has OpenAI's form.
///
/// ```
/// use tower::ServiceExt;
/// use tower_claude::http::{GuardLayer, ApiService};
/// use tower_claude::{ChatRequest, ChatResponse, Error, ErrorKind, proxy};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let nobody = tower::service_fn(|_: ChatRequest| async {
///     Err::<ChatResponse, _>(Error::new(ErrorKind::Overloaded, "Nobody is here."))
/// });
/// let service = proxy(ApiService::new(nobody), GuardLayer::new());
///
/// let request = http::Request::get("/health").body(http_body_util::Empty::<bytes::Bytes>::new())?;
/// let response = service.oneshot(request).await?;
/// assert_eq!(response.status(), 200);
/// assert!(response.headers().contains_key("x-request-id"));
/// # Ok(())
/// # }
/// ```
pub fn proxy<S>(service: ApiService<S>, guard: GuardLayer) -> Proxy<S> {
    ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http().make_span_with(RequestSpan))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(CatchPanicLayer::custom(PanicResponse))
        .service(guard.layer(service))
}

/// The span of a request: method, path and request id. Headers and bodies never go into a log.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestSpan;

impl<B> MakeSpan<B> for RequestSpan {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        let id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
        tracing::info_span!("request", method = %request.method(), path = request.uri().path(), request_id = id)
    }
}

/// The answer to a request that met a fault of this program: 500, in OpenAI's form.
///
/// The fault is logged as well, so the subscriber must not panic: tracing-subscriber's `fmt` does where standard error
/// is closed or its disk is full, unless it is told `.log_internal_errors(false)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PanicResponse;

impl ResponseForPanic for PanicResponse {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
        let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        tracing::error!(message = message.unwrap_or("no message"), "a request met a panic");
        let error =
            Error::new(ErrorKind::Internal, "A fault of this server kept it from answering. Its log says more.");
        error_response(&error)
    }
}
