//! [`OpenClawLayer`]: the preset for OpenClaw, and everything that this crate knows about that client.
//!
//! Facts are from OpenClaw 2026.9.6; section names from its versions since early 2026.
//!
//! The README has the configuration that points OpenClaw at this server. In client mode, a run that uses a tool is two requests:
//! the model calls `exec`, OpenClaw runs it, and its result goes to the process that waits for it. The next run continues in
//! that process too. In agent mode, each run is one request with one text as its answer: Claude Code itself has run `Bash`.

mod agent;
mod detect;
mod internal_context;
mod tables;

use std::task::{Context, Poll};

use tower::{Layer, Service, ServiceBuilder};

use self::agent::{AgentMode, AgentModeLayer};
use self::detect::{has_prompt, is_openclaw};
use self::internal_context::{InternalContext, InternalContextLayer};
use self::tables::{TOOL_NAMES, sections};
use super::macros::opaque_future;
use super::model_alias::ModelAliasFuture;
use super::separate_blocks::SeparateBlocksFuture;
use super::show_tools::ShowToolsFuture;
use super::tool_names::ToolNamesFuture;
use super::{
    FlattenParts, FlattenPartsLayer, ModelAlias, ModelAliasLayer, SeparateBlocks, SeparateBlocksLayer, ShowTools,
    ShowToolsLayer, StripSections, StripSectionsLayer, ToolNames, ToolNamesLayer,
};
use crate::{ChatRequest, ChatResponse, Error};

/// The layers of this crate with OpenClaw's tables, as one.
///
/// Every request goes through [`ModelAlias`], [`FlattenParts`] and [`SeparateBlocks`]. The rest is done only to requests
/// that OpenClaw sent, which are known by the opening of their system prompt or by the internal context at their end, so
/// other clients can use the same server:
///
/// - The internal context that OpenClaw puts at a request's end is marked
///   [`ephemeral`](crate::chat::Message::ephemeral): OpenClaw leaves it out of its next request, which still goes on with
///   the same conversation.
/// - In **client mode**, the default, OpenClaw runs its own functions, under their own names, and its prompt is right
///   about them. If a request has this prompt and offers no functions, the sections about them are stripped.
/// - In **agent mode** ([`agent`](Self::agent)) Claude Code's built-in tools do the work that they can do.
///
/// The system prompt ends with a part that may change within a session: a new day, another channel. It is kept, because
/// it is true. A process cannot be given a new system prompt (2.1.328), so the first request after such a change is
/// replayed on another process: about 10 ms for each turn so far, and the API reads the conversation anew, because its
/// prompt cache begins with the old prompt. The requests after that go on as before.
///
/// The process of a conversation also remembers the internal contexts of its earlier requests, some 200 bytes each if there is
/// nothing to report. A replay leaves them out, as OpenClaw itself does.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::chat::{Message, Role};
/// use tower_claude::{ChatRequest, ChatResponse, Error, EventStream, layers};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new().layer(layers::OpenClawLayer::new()).service_fn(|request: ChatRequest| async move {
///     assert!(request.messages[1].ephemeral);
///     Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter([])))
/// });
///
/// let context = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nnone\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>";
/// let messages = vec![Message::new(Role::User, "hi"), Message::new(Role::User, context)];
/// service.oneshot(ChatRequest::new("opus", messages)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OpenClawLayer {
    models: ModelAliasLayer,
    builtin_tools: Option<Vec<String>>,
    show_tools: bool,
}

impl Default for OpenClawLayer {
    fn default() -> Self {
        OpenClawLayer::new()
    }
}

impl OpenClawLayer {
    /// Client mode, with the model aliases of [`ModelAliasLayer::claude`].
    pub fn new() -> Self {
        OpenClawLayer { models: ModelAliasLayer::claude(), builtin_tools: None, show_tools: false }
    }

    /// Uses these model aliases instead of [`ModelAliasLayer::claude`].
    #[must_use]
    pub fn models(mut self, models: ModelAliasLayer) -> Self {
        self.models = models;
        self
    }

    /// Agent mode, with these built-in tools of the CLI: `Bash`, `Read`, ... The inner service must have them enabled.
    ///
    /// Functions of OpenClaw's that do what one of them does (`exec` is `Bash`) are left out, because the CLI does that
    /// work itself; OpenClaw runs the others. The sections about its own tools are stripped, a note at the end of the
    /// system prompt says which tool each of OpenClaw's names stands for, and calls in the history get the tools' names.
    #[must_use]
    pub fn agent<T: Into<String>>(mut self, builtin_tools: impl IntoIterator<Item = T>) -> Self {
        self.builtin_tools = Some(builtin_tools.into_iter().map(Into::into).collect());
        self
    }

    /// Shows each use of a built-in tool as a line of reasoning, under the client's own name for it: `exec: ls -la`.
    /// Off by default: the client then sees only the answer's text. See [`ShowTools`].
    #[must_use]
    pub fn show_tools(mut self, show: bool) -> Self {
        self.show_tools = show;
        self
    }

    /// The pairs of [`TOOL_NAMES`] whose tool is enabled.
    fn enabled(&self) -> Vec<(&'static str, &'static str)> {
        let is_enabled = |tool: &str| self.builtin_tools.iter().flatten().any(|enabled| enabled == tool);
        TOOL_NAMES.iter().copied().filter(|(_, tool)| is_enabled(tool)).collect()
    }
}

impl<S> Layer<S> for OpenClawLayer {
    type Service = OpenClaw<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let names = self.enabled();
        let sections = StripSectionsLayer::new(sections());
        let sections = if self.builtin_tools.is_some() {
            sections.when(is_openclaw)
        } else {
            sections.when(|request| request.functions().next().is_none() && has_prompt(request))
        };
        let shown =
            if self.show_tools { ShowToolsLayer::new(TOOL_NAMES.iter().copied()) } else { ShowToolsLayer::off() };
        let inner = ServiceBuilder::new()
            .layer(&self.models)
            .layer(shown)
            .layer(sections)
            .layer(InternalContextLayer)
            // After the sections have gone, or the note that it appends might go with the last one.
            .layer(AgentModeLayer { names: names.clone().into() })
            .layer(ToolNamesLayer::new(names).when(is_openclaw))
            .layer(FlattenPartsLayer::new())
            .layer(SeparateBlocksLayer::new())
            .service(inner);
        OpenClaw { inner }
    }
}

/// The service that [`OpenClawLayer`] makes.
#[derive(Clone, Debug)]
pub struct OpenClaw<S> {
    inner: ModelAlias<ShowTools<Instructed<S>>>,
}

/// The layers for OpenClaw's own requests, and those within.
type Instructed<S> = StripSections<InternalContext<AgentMode<ToolNames<Plain<S>>>>>;

/// The layers for the texts of all requests.
type Plain<S> = FlattenParts<SeparateBlocks<S>>;

impl<S> OpenClaw<S> {
    /// The service within all the layers.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref().get_ref().get_ref().inner.inner.get_ref().get_ref().get_ref()
    }

    /// The service within all the layers, to change.
    pub fn get_mut(&mut self) -> &mut S {
        self.inner.get_mut().get_mut().get_mut().inner.inner.get_mut().get_mut().get_mut()
    }

    /// The service within all the layers, without them.
    pub fn into_inner(self) -> S {
        self.inner.into_inner().into_inner().into_inner().inner.inner.into_inner().into_inner().into_inner()
    }
}

impl<S> Service<ChatRequest> for OpenClaw<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = OpenClawFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ChatRequest) -> Self::Future {
        OpenClawFuture::new(self.inner.call(request))
    }
}

opaque_future! {
    /// The response future of [`OpenClaw`].
    pub struct OpenClawFuture<F>(ModelAliasFuture<ShowToolsFuture<ToolNamesFuture<SeparateBlocksFuture<F>>>>);
}
