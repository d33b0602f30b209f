//! [`ModelAlias`]: model ids that clients send become the inner service's own.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::macros::inner_service_accessors;
use crate::error::shortened;
use crate::{ChatRequest, ChatResponse, Error, ErrorKind};

/// Ids that clients send, and Claude Code's alias for each.
const CLAUDE: &[(&str, &str)] = &[
    ("claude-opus-4", "opus"),
    ("claude-sonnet-4", "sonnet"),
    ("claude-haiku-4", "haiku"),
    ("opus", "opus"),
    ("sonnet", "sonnet"),
    ("haiku", "haiku"),
    ("opus-max", "opus"),
    ("sonnet-max", "sonnet"),
];

/// The names of providers that clients of Claude put before an id.
const CLAUDE_PREFIXES: &[&str] =
    &["claude-code-cli/", "claude-code/", "claude-max/", "anthropic/", "openai/", "openrouter/", "local/"];

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

/// What becomes of an unknown model id.
///
/// ```
/// use tower_claude::layers::{ModelAliasLayer, UnknownModel};
///
/// let layer = ModelAliasLayer::new([("fast", "haiku")]).unknown(UnknownModel::Reject);
/// assert!(layer.resolve("fast").is_ok() && layer.resolve("gpt-4o").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownModel {
    /// The inner service gets it as it is, without its provider prefixes.
    Keep,
    /// The inner service gets this model instead.
    Use(String),
    /// The request is refused with [`ErrorKind::ModelNotFound`] (404 `model_not_found`).
    Reject,
}

#[derive(Clone, Debug)]
struct Table {
    aliases: Vec<(String, String)>,
    prefixes: Vec<String>,
    passed: Vec<String>,
    unknown: UnknownModel,
}

impl ModelAliasLayer {
    /// Just this table of ids and models: no prefixes are stripped, and unknown ids are kept.
    pub fn new<I: Into<String>, M: Into<String>>(table: impl IntoIterator<Item = (I, M)>) -> Self {
        let empty =
            Table { aliases: Vec::new(), prefixes: Vec::new(), passed: Vec::new(), unknown: UnknownModel::Keep };
        let layer = ModelAliasLayer { table: Arc::new(empty) };
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
        let (id, model) = (id.into(), model.into());
        let aliases = &mut Arc::make_mut(&mut self.table).aliases;
        match aliases.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&id)) {
            Some(entry) => entry.1 = model,
            None => aliases.push((id, model)),
        }
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

    /// Passes ids that begin with this to the inner service as they are, where the table has no entry for them.
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
    /// [`ErrorKind::ModelNotFound`] where the id is unknown and [`UnknownModel::Reject`] was chosen.
    pub fn resolve<'a>(&'a self, id: &'a str) -> Result<Cow<'a, str>, Error> {
        self.table.resolve(id)
    }
}

impl Table {
    fn ids(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(|(id, _)| id.as_str())
    }

    fn resolve<'a>(&'a self, id: &'a str) -> Result<Cow<'a, str>, Error> {
        let bare = self.without_prefixes(id);
        let model = std::iter::successors(Some(bare), |id| without_version(id)).find_map(|id| self.lookup(id));
        if let Some(model) = model {
            return Ok(Cow::Borrowed(model));
        }
        if self.passed.iter().any(|beginning| starts_with(bare, beginning)) {
            return Ok(Cow::Borrowed(bare));
        }
        match &self.unknown {
            UnknownModel::Keep => Ok(Cow::Borrowed(bare)),
            UnknownModel::Use(model) => Ok(Cow::Borrowed(model)),
            UnknownModel::Reject => {
                let known = self.ids().collect::<Vec<_>>().join(", ");
                let passed: String =
                    self.passed.iter().map(|start| format!(", and any id that begins with `{start}`")).collect();
                let id = shortened(id);
                let message = format!(
                    "The model `{id}` does not exist or you do not have access to it. Known are {known}, versions of \
                     these{passed}."
                );
                Err(Error::new(ErrorKind::ModelNotFound, message).with_param("model"))
            }
        }
    }

    fn lookup(&self, id: &str) -> Option<&str> {
        self.aliases.iter().find(|(known, _)| known.eq_ignore_ascii_case(id)).map(|(_, model)| model.as_str())
    }

    fn without_prefixes<'a>(&self, id: &'a str) -> &'a str {
        let mut id = id.trim();
        while let Some(prefix) = self.prefixes.iter().find(|prefix| starts_with(id, prefix)) {
            id = id[prefix.len()..].trim_start();
        }
        id
    }
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The id without its last `-20251101`, `-5` or `.6`, if it ends so.
fn without_version(id: &str) -> Option<&str> {
    let rest = id.trim_end_matches(|c: char| c.is_ascii_digit());
    if rest.len() == id.len() { None } else { rest.strip_suffix(['-', '.']) }
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
        // Where there is no such model, and so nothing to wait for.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn resolves(layer: &ModelAliasLayer, id: &str, model: &str) {
        assert_eq!(layer.resolve(id).unwrap(), model, "{id:?}");
    }

    #[test]
    fn versions_and_dates_of_a_family_mean_the_family() {
        let layer = ModelAliasLayer::claude();
        for id in
            ["claude-opus-4", "claude-opus-4-5", "claude-opus-4.6", "claude-opus-4-5-20251101", "opus", "opus-4.1"]
        {
            resolves(&layer, id, "opus");
        }
        for id in ["claude-sonnet-4-20250514", "claude-sonnet-4.5.1", "sonnet-max", " Claude-Sonnet-4 "] {
            resolves(&layer, id, "sonnet");
        }
        resolves(&layer, "claude-haiku-4-5", "haiku");
    }

    #[test]
    fn prefixes_come_off_one_after_the_other() {
        let layer = ModelAliasLayer::claude().prefix("mine/");
        resolves(&layer, "openai/claude-max/opus-max", "opus");
        resolves(&layer, "Mine/openrouter/anthropic/claude-haiku-4.5", "haiku");
        resolves(&layer, "yours/claude-haiku-4.5", "opus");
    }

    #[test]
    fn other_claude_ids_go_to_the_cli_as_they_are() {
        let layer = ModelAliasLayer::claude().unknown(UnknownModel::Reject);
        for id in ["claude-3-5-haiku-latest", "claude-3-7-sonnet-20250219", "claude-fable-5-2", "claude-opus-41"] {
            resolves(&layer, id, id);
        }
        resolves(&layer, "anthropic/claude-sonnet-4-5[1m]", "claude-sonnet-4-5[1m]");
    }

    #[test]
    fn unknown_ids_are_opus_unless_they_are_to_be_refused() {
        let layer = ModelAliasLayer::claude();
        for id in ["gpt-4o", "", "openai/", "4", "-4", "opus-", "ö"] {
            resolves(&layer, id, "opus");
        }
        resolves(&layer.clone().unknown(UnknownModel::Use("haiku".into())), "gpt-4o", "haiku");

        let error = layer.unknown(UnknownModel::Reject).resolve("openai/gpt-4o").unwrap_err();
        assert_eq!((error.kind(), error.param()), (ErrorKind::ModelNotFound, Some("model")));
        assert!(error.to_string().starts_with(
            "The model `openai/gpt-4o` does not exist or you do not have access to it. Known are claude-opus-4, "
        ));
    }

    #[test]
    fn the_table_is_the_callers_to_change() {
        let layer = ModelAliasLayer::claude().alias("Opus", "claude-opus-4-1").alias("claude-opus-4-5", "pinned");
        resolves(&layer, "opus", "claude-opus-4-1");
        resolves(&layer, "claude-opus-4-5-20251101", "pinned");
        resolves(&layer, "claude-opus-4-6", "opus");
        assert_eq!(layer.ids().count(), CLAUDE.len() + 1);
    }

    #[test]
    fn a_table_of_ones_own_knows_nothing_of_claude() {
        let layer = ModelAliasLayer::new([("only", "sonnet")]);
        assert_eq!(layer.ids().collect::<Vec<_>>(), ["only"]);
        resolves(&layer, "only-2", "sonnet");
        resolves(&layer, "claude-opus-4", "claude-opus-4");
        resolves(&layer, " openai/gpt-4o", "openai/gpt-4o");
        let error = layer.unknown(UnknownModel::Reject).resolve("claude-opus-4").unwrap_err();
        let message = "The model `claude-opus-4` does not exist or you do not have access to it. Known are only, versions of these.";
        assert_eq!(error.to_string(), message);
    }
}
