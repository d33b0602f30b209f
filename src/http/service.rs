//! [`ApiService`]: its settings, and its `Service` impl, which never fails. `dispatch` has the routes.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use serde::Serialize;
use serde_json::json;
use tower::Service;

use super::ResponseStore;
use super::body::Body;
use super::body_memory::BodyMemory;
use super::models::Models;
use super::observe::Note;
use super::options::Options;
use super::own_route::Access;
use super::request::BoxError;
use crate::chat::{Abilities, Model};
use crate::{ChatRequest, ChatResponse, Error};

/// The API over HTTP, in front of a service of chat requests.
///
/// It never fails and is always ready: each request waits for the inner service on its own, so `/health` answers while
/// that is busy. The inner service is cloned for each turn. See the [module](super) for the routes and an
/// example, and [`HttpStack`](super::HttpStack) for what belongs around it.
///
/// The head of a streamed answer is sent when the inner service's future has resolved. An error of that future sets the
/// HTTP status; an error among the events becomes an `error` event.
///
/// ```
/// use tower_claude::cli::ClaudeCli;
/// use tower_claude::http::ApiService;
///
/// let claude = ClaudeCli::builder().warm_processes(2).build();
/// let (health, ready) = (claude.clone(), claude.clone());
/// let api = ApiService::new(claude)
///     .abilities(ClaudeCli::abilities())
///     .models(["opus", "sonnet", "haiku"].map(ClaudeCli::model))
///     .api_keys([("ada", "sk-1234"), ("ci", "sk-5678")])
///     .health(move || health.health())
///     .ready(move || ready.ready());
/// ```
#[derive(Clone, Debug)]
pub struct ApiService<S> {
    pub(super) inner: S,
    pub(super) options: Arc<Options>,
}

impl<S> ApiService<S> {
    /// The API in front of `inner`: no models listed, no API key, bodies of up to 32 MiB, a comment every 15 s of
    /// silence.
    pub fn new(inner: S) -> Self {
        ApiService { inner, options: Arc::default() }
    }

    /// The models that `/v1/models` lists, in this order: plain ids, or [`Model`]s. The list does not restrict requests: the
    /// inner service decides which models it answers for. Empty unless set.
    #[must_use]
    pub fn models(self, models: impl IntoIterator<Item = impl Into<Model>>) -> Self {
        let models = Models::new(models);
        self.set(|options| options.models = models)
    }

    /// What the inner service can do: this decides whether a field of a request is passed on, named as ignored, or refused.
    /// Unless set, every field that an API knows is passed on. [`ClaudeCli`](crate::cli::ClaudeCli) has
    /// [its own](crate::cli::ClaudeCli::abilities).
    #[must_use]
    pub fn abilities(self, abilities: Abilities) -> Self {
        self.set(|options| options.abilities = abilities)
    }

    /// Extra fields for `/health`. A `status` among them replaces `"ok"`; anything but `ok` and `degraded` makes it a
    /// 503. It is called for each request, and should be quick.
    #[must_use]
    pub fn health<T: Serialize>(self, health: impl Fn() -> T + Send + Sync + 'static) -> Self {
        self.set(|options| options.health.ask(move || json!(health())))
    }

    /// Whether load balancers should send requests here, for `/ready`: 200 for `Ok`, else 503 with the error as its
    /// `status`. Unless set, `/ready` is always 200, as is `/live`, which says only that the process runs. The closure is
    /// called for each request, and should be quick.
    ///
    /// ```
    /// use tower_claude::cli::ClaudeCli;
    /// use tower_claude::http::ApiService;
    ///
    /// let claude = ClaudeCli::default();
    /// let asked = claude.clone();
    /// let api = ApiService::new(claude).ready(move || asked.ready());
    /// ```
    #[must_use]
    pub fn ready<E: fmt::Display>(self, ready: impl Fn() -> Result<(), E> + Send + Sync + 'static) -> Self {
        self.set(|options| options.health.ask_ready(ready))
    }

    /// The most bytes that a request's body may have; a longer one is 413. 32 MiB unless set.
    #[must_use]
    pub fn body_limit(self, bytes: usize) -> Self {
        self.set(|options| options.body_limit = bytes)
    }

    /// The most bytes that the bodies of all requests may have together, from when they arrive until their answers begin.
    /// The first 64 KiB of each do not count. A request for which there is no room is 503, with `Retry-After`. 256 MiB
    /// unless set. It should be a multiple of [`body_limit`](Self::body_limit).
    ///
    /// A body is cut off with 408 if less than 16 KiB of it arrive in 30 seconds, or if another needs room and this one, not
    /// whole after 5 seconds, has taken the most for the longest.
    #[must_use]
    pub fn body_memory(self, bytes: usize) -> Self {
        self.set(|options| options.body_memory = BodyMemory::new(bytes))
    }

    /// How long a stream may be silent before a comment is sent, and between comments. 15 s unless set; zero sends none.
    #[must_use]
    pub fn keep_alive(self, silence: Duration) -> Self {
        self.set(|options| options.keep_alive = silence)
    }

    /// A key that clients must send, as `Authorization: Bearer KEY` or `x-api-key: KEY`; without a known key they get only
    /// `/health`, `/live` and `/ready`. Unless keys are set, requests with any key, or none, are answered.
    #[must_use]
    pub fn api_key(self, key: impl Into<String>) -> Self {
        self.set(|options| options.keys.require([(None, key.into())]))
    }

    /// Further keys, each with its holder's name: `[(name, key)]`. Layers find the name in [`Caller::name`],
    /// observers in [`RequestReport::key`], and logs in the field `key` of the request's span; the key itself is in none of
    /// them. One name may have several keys, so that one can replace another. An empty list lets nobody in.
    ///
    /// [`Caller::name`]: crate::chat::Caller::name
    /// [`RequestReport::key`]: super::RequestReport::key
    #[must_use]
    pub fn api_keys(self, keys: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        let keys = keys.into_iter().map(|(name, key)| (Some(name.into()), key.into()));
        self.set(|options| options.keys.require(keys))
    }

    /// A route of your own, such as `/metrics`: `GET` and `HEAD` of exactly this path. It replaces a route of the API's at
    /// the same path, such as `/`.
    ///
    /// ```
    /// use tower_claude::http::{Access, ApiService, Body};
    ///
    /// # let inner = tower_claude::cli::ClaudeCli::default();
    /// let api = ApiService::new(inner).get("/robots.txt", Access::Open, || {
    ///     http::Response::new(Body::from(bytes::Bytes::from_static(b"User-agent: *\nDisallow: /\n")))
    /// });
    /// ```
    #[must_use]
    pub fn get(
        self,
        path: &'static str,
        access: Access,
        answer: impl Fn() -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        self.set(|options| options.own_routes.add(path, access, answer))
    }

    /// How many answers the Responses API keeps for `previous_response_id` and for `GET`: about this many bytes of them in
    /// memory, each for at most this time; the oldest go first. 64 MiB and 24 hours unless set; the newest answer is always
    /// kept.
    #[must_use]
    pub fn keep_responses(self, bytes: usize, age: Duration) -> Self {
        self.set(|options| options.responses = options.responses.bounded(bytes, age))
    }

    /// Where the Responses API keeps its answers besides memory, for `previous_response_id` and `GET` to find them after a
    /// restart. Nowhere unless set. Memory, within [`keep_responses`](Self::keep_responses), then caches the store.
    #[must_use]
    pub fn store_responses(self, store: impl ResponseStore) -> Self {
        self.set(|options| {
            options.keys.salt(store.salt());
            options.responses = options.responses.stored_in(Arc::new(store));
        })
    }

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

    fn set(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(Arc::make_mut(&mut self.options));
        self
    }
}

impl<S, B> Service<Request<B>> for ApiService<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>, Future: Send> + Clone + Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let key = self.options.keys.name(request.headers());
        if let Some(key) = &key {
            tracing::Span::current().record("key", &**key);
        }
        Note::of(&request).key(key);
        self.respond(request)
    }
}

/// The future of [`ApiService`]. It always resolves to a response.
pub struct ResponseFuture(Pin<Box<dyn Future<Output = Response<Body>> + Send>>);

impl ResponseFuture {
    pub(super) fn new(future: impl Future<Output = Response<Body>> + Send + 'static) -> Self {
        ResponseFuture(Box::pin(future))
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
