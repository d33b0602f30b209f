//! The service: one HTTP request in, one HTTP response out, whatever happens.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::future::{self, Future};
use std::hash::RandomState;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use tower::{Layer, Service};

use super::body::Body;
use super::models::Models;
use super::route::Route;
use crate::layers::{RecognizeLayer, choices};
use crate::openai::chat_completions::chunk::ChunkEncoder;
use crate::openai::chat_completions::{completion, decode, fields};
use crate::{ChatRequest, ChatResponse, Error, ErrorKind};

/// OpenAI's Chat Completions API over HTTP, in front of a service of chat requests.
///
/// It never fails, and is always ready: a request waits for the inner service's readiness by itself, so that `/health`
/// answers while that is busy. The inner service is cloned for each turn. See the [module](super) for the routes and an
/// example, and [`proxy`](crate::proxy()) for what belongs around it.
///
/// The head of a streamed answer is sent when the inner service's future has resolved: an error of that future has its
/// HTTP status, one of the events after it is an `error` event.
#[derive(Clone, Debug)]
pub struct ApiService<S> {
    inner: S,
    edge: Arc<Edge>,
}

type Health = Arc<dyn Fn() -> Value + Send + Sync>;

/// What the operator has set.
#[derive(Clone)]
struct Edge {
    models: Models,
    health: Option<Health>,
    body_limit: usize,
    keep_alive: Duration,
    api_key: Option<String>,
    /// Seeded anew in each process, so that nobody can find two keys that hash alike.
    hasher: RandomState,
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // The API key is not for logs.
        f.debug_struct("Edge")
            .field("models", &self.models)
            .field("body_limit", &self.body_limit)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}

impl<S> ApiService<S> {
    /// The API in front of `inner`: no models listed, no API key, bodies of up to 32 MiB, a comment every 15 s of
    /// silence.
    pub fn new(inner: S) -> Self {
        let edge = Edge {
            models: Models::new(std::iter::empty::<String>()),
            health: None,
            body_limit: 32 * 1024 * 1024,
            keep_alive: Duration::from_secs(15),
            api_key: None,
            hasher: RandomState::new(),
        };
        ApiService { inner, edge: Arc::new(edge) }
    }

    /// The ids that `/v1/models` lists, in this order. Others may be asked for all the same: which ones is for the inner
    /// service to say.
    #[must_use]
    pub fn models(self, ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let models = Models::new(ids);
        self.set(|edge| edge.models = models)
    }

    /// What `/health` says beside `"status": "ok"`: the fields of the object that this returns. Its own `status` wins,
    /// and one other than `ok` and `degraded` makes the answer a 503. It is called for each request, and should be quick.
    #[must_use]
    pub fn health(self, health: impl Fn() -> Value + Send + Sync + 'static) -> Self {
        self.set(|edge| edge.health = Some(Arc::new(health)))
    }

    /// The most bytes that a request's body may have; a longer one is 413. 32 MiB unless set.
    #[must_use]
    pub fn body_limit(self, bytes: usize) -> Self {
        self.set(|edge| edge.body_limit = bytes)
    }

    /// How long a stream may be silent before a comment is sent, and between comments. 15 s unless set; zero means
    /// that there are none.
    #[must_use]
    pub fn keep_alive(self, silence: Duration) -> Self {
        self.set(|edge| edge.keep_alive = silence)
    }

    /// The key that clients must send as `Authorization: Bearer KEY`, for everything but `/health`. Unless it is set,
    /// any key will do, and none.
    #[must_use]
    pub fn api_key(self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.set(|edge| edge.api_key = Some(key))
    }

    /// The service within.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    fn set(mut self, change: impl FnOnce(&mut Edge)) -> Self {
        change(Arc::make_mut(&mut self.edge));
        self
    }
}

impl<S, B> Service<Request<B>> for ApiService<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let head_only = request.method() == Method::HEAD;
        match self.edge.route(&request) {
            // The inner service waits for its own readiness inside, so this clone need not be a ready one.
            Ok(None) => ResponseFuture::new(chat(self.inner.clone(), Arc::clone(&self.edge), request)),
            Ok(Some(response)) => {
                let response = if head_only { without_body(response) } else { response };
                ResponseFuture::new(future::ready(Ok(response)))
            }
            Err(error) => ResponseFuture::new(future::ready(Err(error))),
        }
    }
}

impl Edge {
    /// The answer of every route but the chat's, for which there is none yet.
    fn route<B>(&self, request: &Request<B>) -> Result<Option<Response<Body>>, Error> {
        let (method, path) = (request.method(), request.uri().path());
        let Some(route) = Route::of(path) else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("There is no `{path}` here. Chat completions are at `POST /v1/chat/completions`."),
            ));
        };
        if !route.allows(method) {
            let allow = route.allow();
            let error =
                Error::new(ErrorKind::MethodNotAllowed, format!("`{path}` does not take {method}. It takes {allow}."));
            let mut response = error_response(&error);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
            return Ok(Some(response));
        }
        match route {
            Route::Health => self.health_response().map(Some),
            Route::Models => {
                self.authorize(request.headers())?;
                json_response(StatusCode::OK, &self.models).map(Some)
            }
            Route::Model(id) => {
                self.authorize(request.headers())?;
                json_response(StatusCode::OK, self.models.get(&id)?).map(Some)
            }
            Route::Chat => {
                self.authorize(request.headers())?;
                decode::check_media_type(request.headers())?;
                Ok(None)
            }
        }
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), Error> {
        let Some(key) = &self.api_key else { return Ok(()) };
        match decode::bearer(headers) {
            Some(token) if same(token, key.as_bytes()) => Ok(()),
            Some(_) => {
                Err(Error::new(ErrorKind::InvalidApiKey, "The API key is not the one that this server was given."))
            }
            None => Err(Error::new(
                ErrorKind::InvalidApiKey,
                "This server wants its API key. Send it as `Authorization: Bearer KEY`.",
            )),
        }
    }

    fn health_response(&self) -> Result<Response<Body>, Error> {
        let mut body = json!({"status": "ok"});
        if let (Some(body), Some(Value::Object(more))) =
            (body.as_object_mut(), self.health.as_ref().map(|health| health()))
        {
            body.extend(more);
        }
        let well = matches!(body["status"].as_str(), Some("ok" | "degraded"));
        json_response(if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
    }
}

/// One chat request, from its body to the head of its answer.
async fn chat<S, B>(inner: S, edge: Arc<Edge>, request: Request<B>) -> Result<Response<Body>, Error>
where
    S: Service<ChatRequest, Response = ChatResponse, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let caller = decode::caller(&parts.headers, &edge.hasher);
    drop(parts);
    let mut request = decode::decode(&decode::read(body, edge.body_limit).await?)?;
    request.caller = caller;
    let ignored = fields::check(&request)?;

    let streamed = request.stream == Some(true);
    let include_usage = request.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true);
    let (mut head, choices) = choices::call(RecognizeLayer::new().layer(inner), request).await?;
    let mut headers = std::mem::take(&mut head.headers);
    if let Some(names) = header_list(&ignored) {
        headers.insert("x-ignored-parameters", names);
    }

    let mut response = if streamed {
        let encoder = ChunkEncoder::new(&head, choices.len(), include_usage);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // nginx holds a response back until it has a buffer full, unless it is told not to.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Response::new(Body::events(choices, encoder, edge.keep_alive))
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Response::new(Body::json(&completion::collect(head, choices).await?)?)
    };
    *response.headers_mut() = headers;
    Ok(response)
}

/// The names as one header. They are the client's own words, so what a header cannot hold is replaced, and a list
/// that no client would accept is cut.
fn header_list(names: &[String]) -> Option<HeaderValue> {
    const LONGEST: usize = 4096;
    let mut list = String::new();
    for name in names {
        if list.len() + name.len() > LONGEST {
            list.push_str(", ...");
            break;
        }
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.extend(name.chars().map(|char| if char.is_ascii_graphic() && char != ',' { char } else { '?' }));
    }
    if list.is_empty() { None } else { HeaderValue::from_str(&list).ok() }
}

/// Whether they are the same, in a time that does not tell where they differ.
fn same(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right));
    std::hint::black_box(difference) == 0 && left.len() == right.len()
}

fn json_response<T: Serialize>(status: StatusCode, value: &T) -> Result<Response<Body>, Error> {
    let mut response = Response::new(Body::json(value)?);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A response that is nothing but this error.
pub(crate) fn error_response(error: &Error) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes::Bytes::from(error.body().to_string())));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(wait) = error.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if error.kind() == ErrorKind::InvalidApiKey {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The same response to a `HEAD` request.
fn without_body(response: Response<Body>) -> Response<Body> {
    let length = http_body::Body::size_hint(response.body()).exact();
    let mut response = response.map(|_| Body::empty());
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// The future of [`ApiService`]: a response, in any case.
pub struct ResponseFuture(Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>);

impl ResponseFuture {
    fn new(future: impl Future<Output = Result<Response<Body>, Error>> + Send + 'static) -> Self {
        ResponseFuture(Box::pin(future))
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(|result| Ok(result.unwrap_or_else(|error| error_response(&error))))
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
