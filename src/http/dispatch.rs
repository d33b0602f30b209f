//! Dispatches the requests of an [`ApiService`] by their route.

use std::future;
use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tower::Service;

use super::answer::{answer, incoming};
use super::body::Body;
use super::door::{Door, Incoming};
use super::health::Health;
use super::observe::Note;
use super::own_route::{Access, OwnRoute};
use super::request::BoxError;
use super::response::{error_response, json_response, without_body};
use super::route::Route;
use super::service::{ApiService, ResponseFuture};
use crate::anthropic::messages::{Messages, count_tokens};
use crate::openai::chat_completions::ChatCompletions;
use crate::{ChatRequest, ChatResponse, Error, ErrorKind, anthropic, blocking, openai};

impl<S> ApiService<S> {
    /// Answers a request by its route.
    pub(super) fn respond<B>(&self, request: Request<B>) -> ResponseFuture
    where
        S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>, Future: Send> + Clone + Send + 'static,
        B: http_body::Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if let Some(own) = self.options.own_routes.find(request.uri().path()) {
            return whole(&request, self.own_route(own, &request));
        }
        let Some(route) = Route::of(request.uri().path()) else { return whole(&request, no_such_route(&request)) };
        if !route.allows(request.method()) {
            return whole(&request, Ok(not_allowed(route.allow(), &request)));
        }
        match route {
            Route::Live => whole(&request, Health::live()),
            Route::Ready => whole(&request, self.options.health.ready()),
            Route::Health => whole(&request, self.options.health.response(&self.options.body_memory)),
            Route::Models => whole(&request, self.models_list(&request)),
            Route::Model(id) => whole(&request, self.model(&id, &request)),
            Route::ChatCompletions => self.door(ChatCompletions, request),
            Route::Responses => self.door(self.options.responses.clone(), request),
            Route::InputTokens => self.input_tokens(request),
            Route::Response(path) => self.response(path, &request),
            Route::Messages => self.door(Messages::of(request.headers()), request),
            Route::CountTokens => self.count_tokens(request),
            Route::Root => whole(&request, Ok(Response::new(Body::empty()))),
        }
    }

    /// `POST` to a door.
    fn door<D, B>(&self, door: D, request: Request<B>) -> ResponseFuture
    where
        D: Door,
        S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>, Future: Send> + Clone + Send + 'static,
        B: http_body::Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let note = Note::of(&request);
        note.door(D::NAME);
        if let Err(error) = self.options.keys.check(request.headers()) {
            note.failed(error.kind());
            return ResponseFuture::new(future::ready(door.error(&error)));
        }
        // The inner service waits for its own readiness inside, so this clone need not be a ready one.
        let (inner, options) = (self.inner.clone(), Arc::clone(&self.options));
        ResponseFuture::new(async move {
            answer(&door, inner, options, request).await.unwrap_or_else(|error| {
                note.failed(error.kind());
                door.error(&error)
            })
        })
    }

    /// `POST /v1/responses/input_tokens`
    fn input_tokens<B>(&self, request: Request<B>) -> ResponseFuture
    where
        B: http_body::Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let options = Arc::clone(&self.options);
        ResponseFuture::new(async move {
            let count = async {
                options.keys.check(request.headers())?;
                let (incoming, _share) = incoming(&options, request).await?;
                let responses = options.responses.clone();
                let count = blocking::run(incoming.body.len(), move || responses.count_tokens(incoming)).await??;
                json_response(StatusCode::OK, &count)
            };
            count.await.unwrap_or_else(|error| error_response(&error))
        })
    }

    /// The routes below a kept response.
    fn response<B>(&self, path: &str, request: &Request<B>) -> ResponseFuture {
        if let Err(error) = self.options.keys.check(request.headers()) {
            return whole(request, Err(error));
        }
        let options = Arc::clone(&self.options);
        let key = options.keys.caller(request.headers()).key;
        let (method, path) = (request.method().clone(), path.to_owned());
        let query = request.uri().query().map(str::to_owned);
        ResponseFuture::new(async move {
            let about = options.responses.about(&method, &path, query.as_deref(), key, options.keep_alive);
            let response = about.await.unwrap_or_else(|error| error_response(&error));
            if method == Method::HEAD { without_body(response) } else { response }
        })
    }

    /// `POST /v1/messages/count_tokens`
    fn count_tokens<B>(&self, request: Request<B>) -> ResponseFuture
    where
        B: http_body::Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let door = Messages::of(request.headers());
        let options = Arc::clone(&self.options);
        ResponseFuture::new(async move {
            let count = async {
                options.keys.check(request.headers())?;
                let (Incoming { body, .. }, _share) = incoming(&options, request).await?;
                let count = blocking::run(body.len(), move || count_tokens::count(&body)).await??;
                json_response(StatusCode::OK, &count)
            };
            count.await.unwrap_or_else(|error| door.error(&error))
        })
    }

    /// A route of the operator's own.
    fn own_route<B>(&self, own: &OwnRoute, request: &Request<B>) -> Result<Response<Body>, Error> {
        if !own.allows(request.method()) {
            return Ok(not_allowed(OwnRoute::ALLOW, request));
        }
        if own.access == Access::Key {
            self.options.keys.check(request.headers())?;
        }
        Ok(own.answer())
    }

    /// `GET /v1/models`
    fn models_list<B>(&self, request: &Request<B>) -> Result<Response<Body>, Error> {
        self.options.keys.check(request.headers())?;
        let models = self.options.models.as_slice();
        if speaks_anthropic(request) {
            return json_response(StatusCode::OK, &anthropic::models::ModelList::new(models));
        }
        json_response(StatusCode::OK, &openai::models::ModelList::new(models))
    }

    /// `GET /v1/models/{id}`
    fn model<B>(&self, id: &str, request: &Request<B>) -> Result<Response<Body>, Error> {
        self.options.keys.check(request.headers())?;
        let model = self.options.models.get(id)?;
        if speaks_anthropic(request) {
            return json_response(StatusCode::OK, &anthropic::models::ModelInfo::new(model));
        }
        json_response(StatusCode::OK, &openai::models::ModelInfo::new(model))
    }
}

/// Whether the client uses Anthropic's API, by its `anthropic-version` header.
fn speaks_anthropic<B>(request: &Request<B>) -> bool {
    request.headers().contains_key("anthropic-version")
}

/// Wraps a response that is ready. A `HEAD` request gets its head only.
fn whole<B>(request: &Request<B>, response: Result<Response<Body>, Error>) -> ResponseFuture {
    let response = response.unwrap_or_else(|error| {
        if speaks_anthropic(request) { Messages::of(request.headers()).error(&error) } else { error_response(&error) }
    });
    let response = if request.method() == Method::HEAD { without_body(response) } else { response };
    ResponseFuture::new(future::ready(response))
}

fn no_such_route<B>(request: &Request<B>) -> Result<Response<Body>, Error> {
    let path = request.uri().path();
    let hint = match path.trim_end_matches('/').trim_start_matches("/v1") {
        "/responses/compact" => "Conversations are not compacted here: send fewer messages, or a summary of your own.",
        _ if path.starts_with("/v1/v1/") => {
            "The client adds `/v1` to its base URL by itself: give it the URL without that at the end."
        }
        _ => {
            "Chat completions are at `POST /v1/chat/completions`, responses at `POST /v1/responses`, Anthropic's messages at \
             `POST /v1/messages`."
        }
    };
    let message = format!("There is no `{path}` here. {hint}");
    Err(Error::new(ErrorKind::NotFound, message))
}

fn not_allowed<B>(allow: &'static str, request: &Request<B>) -> Response<Body> {
    let (path, method) = (request.uri().path(), request.method());
    let message = format!("`{path}` does not take {method}. It takes {allow}.");
    let mut response = error_response(&Error::new(ErrorKind::MethodNotAllowed, message));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}
