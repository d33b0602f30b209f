//! [`ModelAlias`]: model ids that clients send become the inner service's own.

mod table;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

pub use self::table::UnknownModel;
use self::table::{CLAUDE, CLAUDE_PREFIXES, Table};
use super::macros::inner_service_accessors;
use crate::{ChatRequest, ChatResponse, Error};

/// Turns the model ids of clients into those of the inner service.
///
/// An id is trimmed, its provider prefixes ([`prefix`](Self::prefix)) are stripped one after the other, and the rest is
/// looked up, ignoring case:
///
/// | the id is | the inner service gets | with [`claude`](Self::claude) |
/// |---|---|---|
/// | in the table | what the table says | `claude-opus-4`, `opus-max`: `opus`; likewise `sonnet`, `haiku` |
/// | the same with a version or date | the same | `claude-opus-4-5`, `claude-opus-4.6`, `claude-opus-4-5-20251101`: `opus` |
/// | one that begins as [`pass`](Self::pass) says | the id without its prefixes | `claude-3-5-haiku-latest` |
/// | unknown | what [`unknown`](Self::unknown) says | `gpt-4o`: `opus` |
///
/// So versions are not pinned: an alias of Claude Code's stands for its newest model of that family, and the answer names
/// the model that was used. To pin a version, add an entry for it, which wins:
/// `.alias("claude-opus-4-5", "claude-opus-4-5-20251101")`.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::layers::ModelAliasLayer;
/// use tower_claude::{ChatRequest, ChatResponse, Error, EventStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .layer(ModelAliasLayer::claude().alias("fast", "haiku"))
///     .service_fn(|request: ChatRequest| async move {
///         Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter([])))
///     });
///
/// let request = ChatRequest::new("openai/claude-sonnet-4-20250514", []);
/// assert_eq!(service.clone().oneshot(request).await?.model, "sonnet");
///
/// let request = ChatRequest::new("fast", []);
/// assert_eq!(service.oneshot(request).await?.model, "haiku");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ModelAliasLayer {
    table: Arc<Table>,
}

impl ModelAliasLayer {
    /// Just this table of ids and models: no prefixes are stripped, and unknown ids are kept.
    pub fn new<I: Into<String>, M: Into<String>>(table: impl IntoIterator<Item = (I, M)>) -> Self {
        let layer = ModelAliasLayer { table: Arc::new(Table::empty()) };
        table.into_iter().fold(layer, |layer, (id, model)| layer.alias(id, model))
    }

    /// The table for Claude Code: its families of models, the prefixes that its clients know, ids that begin with
    /// `claude-` passed on, and unknown ids answered by `opus`.
    pub fn claude() -> Self {
        let layer = ModelAliasLayer::new(CLAUDE.iter().copied()).pass("claude-");
        let layer = CLAUDE_PREFIXES.iter().fold(layer, |layer, prefix| layer.prefix(*prefix));
        layer.unknown(UnknownModel::Use("opus".to_owned()))
    }

    /// Maps `id`, with any version or date suffix, to `model`. An entry of the same id is replaced.
    #[must_use]
    pub fn alias(mut self, id: impl Into<String>, model: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.table).set_alias(id.into(), model.into());
        self
    }

    /// Also strips this prefix from ids. Include the slash: `my-provider/`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        if !prefix.is_empty() {
            Arc::make_mut(&mut self.table).prefixes.push(prefix);
        }
        self
    }

    /// Passes ids that begin with this to the inner service as they are, unless the table has an entry for them.
    #[must_use]
    pub fn pass(mut self, beginning: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.table).passed.push(beginning.into());
        self
    }

    /// Says what becomes of unknown ids: [`UnknownModel::Keep`] unless set, and `opus` with [`claude`](Self::claude).
    #[must_use]
    pub fn unknown(mut self, unknown: UnknownModel) -> Self {
        Arc::make_mut(&mut self.table).unknown = unknown;
        self
    }

    /// The table's ids, in order, for `GET /v1/models`.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.table.ids()
    }

    /// The inner service's name for the model that a client calls `id`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ModelNotFound`](crate::ErrorKind::ModelNotFound) if the id is unknown and [`UnknownModel::Reject`] was chosen.
    pub fn resolve<'a>(&'a self, id: &'a str) -> Result<Cow<'a, str>, Error> {
        self.table.resolve(id)
    }
}

impl<S> Layer<S> for ModelAliasLayer {
    type Service = ModelAlias<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ModelAlias { inner, table: Arc::clone(&self.table) }
    }
}

/// The service that [`ModelAliasLayer`] makes.
#[derive(Clone, Debug)]
pub struct ModelAlias<S> {
    inner: S,
    table: Arc<Table>,
}

impl<S> ModelAlias<S> {
    inner_service_accessors!();
}

impl<S> Service<ChatRequest> for ModelAlias<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = ModelAliasFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        match self.table.resolve(&request.model) {
            Ok(model) => {
                request.model = model.into_owned();
                ModelAliasFuture { inner: Some(self.inner.call(request)), refusal: None }
            }
            Err(error) => ModelAliasFuture { inner: None, refusal: Some(error) },
        }
    }
}

pin_project! {
    /// The response future of [`ModelAlias`].
    pub struct ModelAliasFuture<F> {
        #[pin]
        inner: Option<F>,
        // There is no such model, and so nothing to wait for.
        refusal: Option<Error>,
    }
}

impl<F, E> Future for ModelAliasFuture<F>
where
    F: Future<Output = Result<ChatResponse, E>>,
    E: Into<Error>,
{
    type Output = Result<ChatResponse, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.inner.as_pin_mut(), this.refusal.take()) {
            (Some(inner), _) => inner.poll(cx).map_err(Into::into),
            (None, Some(refusal)) => Poll::Ready(Err(refusal)),
            (None, None) => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for ModelAliasFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("ModelAliasFuture")
    }
}
