//! [`openclaw()`](fn@openclaw): the preset for OpenClaw, and all that this crate knows of that client's habits.
//!
//! Facts are from OpenClaw 2026.9.6; section names from its versions since early 2026.
//!
//! # OpenClaw over Claude Code
//!
//! OpenClaw needs to be told where its model is, in `~/.openclaw/openclaw.json`, and nothing else:
//!
//! ```json
//! {
//!   "gateway": {"mode": "local"},
//!   "agents": {"defaults": {"model": {"primary": "local/claude-sonnet-4"}}},
//!   "models": {
//!     "mode": "merge",
//!     "providers": {
//!       "local": {
//!         "baseUrl": "http://127.0.0.1:3456/v1",
//!         "apiKey": "sk-local",
//!         "api": "openai-completions",
//!         "timeoutSeconds": 300,
//!         "models": [{
//!           "id": "claude-sonnet-4",
//!           "name": "Claude",
//!           "reasoning": false,
//!           "input": ["text", "image"],
//!           "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
//!           "contextWindow": 200000,
//!           "maxTokens": 8192
//!         }]
//!       }
//!     }
//!   }
//! }
//! ```
//!
//! ```text
//! openclaw agent --local --session-id s1 --message "What is in my workspace?"
//! openclaw agent --local --session-id s1 --message "What is $HOME/.openclaw/workspace/dot.png?"
//! openclaw infer model run --local --model local/claude-sonnet-4 --prompt "What is this?" --file dot.png
//! ```
//!
//! In client mode the first of these is two requests: the model calls `exec`, OpenClaw runs it, and its result goes to
//! the process that waits for it. The second goes on with that process, though it is a new run of OpenClaw's, and has
//! the picture in it, since it names one in the workspace. In agent mode each is one request, and one text comes back:
//! Claude Code has run `Bash`.

mod agent;

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use memchr::memmem;
use once_cell::sync::Lazy;
use tower::{Layer, Service, ServiceBuilder};

use super::macros::opaque_future;
use super::{
    ContentBlocks, ContentBlocksFuture, ContentBlocksLayer, ModelAlias, ModelAliasFuture, ModelAliasLayer, Sections,
    ShowTools, ShowToolsFuture, ShowToolsLayer, SystemPrompt, SystemPromptLayer, ToolNames, ToolNamesFuture,
    ToolNamesLayer,
};
use crate::chat::{Content, Message, Role};
use crate::{ChatRequest, ChatResponse, Error};

/// OpenClaw's functions that Claude Code has a tool of its own for, and that tool. Where several have the same one, the
/// first is the one that [`client_name`] prefers.
pub const TOOL_NAMES: [(&str, &str); 13] = [
    ("exec", "Bash"),
    ("process", "Bash"),
    ("ls", "Bash"),
    ("read", "Read"),
    ("view_image", "Read"),
    ("image", "Read"),
    ("write", "Write"),
    ("edit", "Edit"),
    ("apply_patch", "Edit"),
    ("grep", "Grep"),
    ("find", "Glob"),
    ("web_search", "WebSearch"),
    ("web_fetch", "WebFetch"),
];

/// The headings of the sections that tell the model about OpenClaw's own tools, early names and present ones.
pub const SECTIONS: [&str; 5] =
    ["Tooling", "Tool Call Style", "OpenClaw CLI Quick Reference", "OpenClaw Self-Update", "OpenClaw Control"];

/// The heading after which come the files of the user's workspace, with headings of their own.
const WORKSPACE_FILES: &str = "Project Context";

/// The lines that the two parts of the system prompt begin and end with.
const MARKERS: [&str; 4] = [
    "<!-- openclaw:attempt:STABLE -->",
    "<!-- /openclaw:attempt:STABLE -->",
    "<!-- openclaw:attempt:DYNAMIC -->",
    "<!-- /openclaw:attempt:DYNAMIC -->",
];

/// How a line of the system prompt begins, in versions with markers and in those without.
const OPENINGS: [&str; 2] = [MARKERS[0], "You are a personal assistant running inside OpenClaw"];

/// What stands around a message that OpenClaw adds to a request, and leaves out of the next one.
const INTERNAL_CONTEXT: (&str, &str) = ("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>", "<<<END_OPENCLAW_INTERNAL_CONTEXT>>>");

static CHOSEN: Lazy<Sections> = Lazy::new(|| {
    MARKERS
        .into_iter()
        .fold(Sections::named(SECTIONS).until(WORKSPACE_FILES), |sections, marker| sections.boundary(marker))
});

/// The [`SECTIONS`] of OpenClaw's system prompt, and not the headings of the same name in the user's workspace files,
/// which the prompt holds as well.
pub fn sections() -> Sections {
    CHOSEN.clone()
}

/// The name to show for a built-in tool of the CLI: the client's own for it, if it offered a function of that sort.
///
/// ```
/// use tower_claude::layers::openclaw::client_name;
///
/// assert_eq!(client_name("Bash", ["read", "process", "exec"]), "exec");
/// assert_eq!(client_name("Bash", ["run"]), "Bash");
/// ```
pub fn client_name<'a, 'o>(builtin: &'a str, offered: impl IntoIterator<Item = &'o str>) -> &'a str {
    let offered: Vec<&str> = offered.into_iter().collect();
    let mut names = TOOL_NAMES.into_iter().filter(|(client, tool)| *tool == builtin && offered.contains(client));
    names.next().map_or(builtin, |(client, _)| client)
}

/// Whether OpenClaw sent this: by the opening of its system prompt, or by the internal context at the request's end.
pub fn is_openclaw(request: &ChatRequest) -> bool {
    request.messages.last().is_some_and(is_internal_context) || has_prompt(request)
}

fn has_prompt(request: &ChatRequest) -> bool {
    request.messages.iter().any(is_prompt)
}

fn is_prompt(message: &Message) -> bool {
    is_instructions(message) && {
        let text = text_of(message);
        OPENINGS.iter().any(|opening| {
            memmem::find_iter(text.as_bytes(), opening).any(|at| at == 0 || text.as_bytes()[at - 1] == b'\n')
        })
    }
}

fn is_instructions(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

fn is_internal_context(message: &Message) -> bool {
    message.role == Role::User && {
        let text = text_of(message);
        let text = text.trim();
        text.starts_with(INTERNAL_CONTEXT.0) && text.ends_with(INTERNAL_CONTEXT.1)
    }
}

fn text_of(message: &Message) -> Cow<'_, str> {
    match &message.content {
        Some(Content::Text(text)) => Cow::Borrowed(text),
        _ => Cow::Owned(message.text()),
    }
}

/// The preset for OpenClaw, in client mode: see [`OpenClawLayer`].
pub fn openclaw() -> OpenClawLayer {
    OpenClawLayer::default()
}

/// The four layers with OpenClaw's tables, as one.
///
/// Every request goes through [`ModelAlias`] and [`ContentBlocks`]. The rest is done only to those that OpenClaw sent
/// ([`is_openclaw`]), so that other clients may use the same server:
///
/// - The internal context that OpenClaw puts at a request's end is marked [`ephemeral`](Message::ephemeral): OpenClaw
///   leaves it out of its next request, which is to be recognised as the same conversation all the same.
/// - In **client mode**, the default, OpenClaw runs its own functions, under their own names, and its prompt is right
///   about them. A request that has this prompt and offers no functions loses the [`SECTIONS`] that tell of them.
/// - In **agent mode** ([`agent`](Self::agent)) Claude Code's built-in tools do the work that they can do.
///
/// The system prompt ends with a part that may change within a session: a new day, another channel. It is kept, since
/// it is true. A process cannot be told a new system prompt (2.1.328), so the first request after such a change is
/// replayed on another process: about 10 ms for each turn so far, and the API reads the conversation anew, since what its
/// prompt cache holds begins with the old prompt. The requests after that go on as before.
///
/// A process that goes on with a conversation has the internal contexts of its earlier requests as well, which OpenClaw
/// itself would have left out: some 200 bytes each when nothing is going on. A replay leaves them out.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::chat::{Message, Role};
/// use tower_claude::{ChatRequest, ChatResponse, Error, EventStream, layers};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new().layer(layers::openclaw()).service_fn(|request: ChatRequest| async move {
///     assert!(request.messages[1].ephemeral);
///     Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter([])))
/// });
///
/// let context = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nnone\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>";
/// let messages = vec![Message::new(Role::User, "hi"), Message::new(Role::User, context)];
/// service.oneshot(ChatRequest { messages, ..ChatRequest::default() }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenClawLayer {
    models: ModelAliasLayer,
    builtin_tools: Option<Vec<String>>,
    show_tools: bool,
}

impl OpenClawLayer {
    /// Takes these model aliases in place of the default ones.
    #[must_use]
    pub fn models(mut self, models: ModelAliasLayer) -> Self {
        self.models = models;
        self
    }

    /// Agent mode, with these built-in tools of the CLI: `Bash`, `Read`, ... The inner service must have them enabled.
    ///
    /// Of the functions that OpenClaw offers, those that map onto one of them ([`TOOL_NAMES`]) are left out, since the
    /// CLI does that work itself, and the others stay OpenClaw's to run. The [`SECTIONS`] go, a note at the system
    /// prompt's end says which tool is meant where the prompt has a name of OpenClaw's, and calls in the history get
    /// the tools' names.
    #[must_use]
    pub fn agent<T: Into<String>>(mut self, builtin_tools: impl IntoIterator<Item = T>) -> Self {
        self.builtin_tools = Some(builtin_tools.into_iter().map(Into::into).collect());
        self
    }

    /// Shows each use of a built-in tool as a line of reasoning, under the client's own name for it: `exec: ls -la`.
    /// Default: off, and the client sees the answer's text alone. See [`ShowTools`].
    #[must_use]
    pub fn show_tools(mut self, show: bool) -> Self {
        self.show_tools = show;
        self
    }

    /// The pairs of [`TOOL_NAMES`] whose tool is enabled.
    fn enabled(&self) -> Vec<(&'static str, &'static str)> {
        let is_enabled = |tool: &str| self.builtin_tools.iter().flatten().any(|enabled| enabled == tool);
        TOOL_NAMES.into_iter().filter(|(_, tool)| is_enabled(tool)).collect()
    }
}

impl<S> Layer<S> for OpenClawLayer {
    type Service = OpenClaw<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let names = self.enabled();
        let sections = SystemPromptLayer::new(sections());
        let sections = if self.builtin_tools.is_some() {
            sections.when(is_openclaw)
        } else {
            sections.when(|request| request.functions().next().is_none() && has_prompt(request))
        };
        let shown = if self.show_tools { ShowToolsLayer::new(TOOL_NAMES) } else { ShowToolsLayer::off() };
        let inner = ServiceBuilder::new()
            .layer(&self.models)
            .layer(shown)
            .layer(sections)
            // After the sections have gone, or the note that it appends might go with the last one.
            .layer(HabitsLayer { names: names.clone().into() })
            .layer(ToolNamesLayer::new(names).when(is_openclaw))
            .layer(ContentBlocksLayer::new())
            .service(inner);
        OpenClaw { inner }
    }
}

/// The service that [`OpenClawLayer`] makes.
#[derive(Clone, Debug)]
pub struct OpenClaw<S> {
    inner: ModelAlias<ShowTools<Instructed<S>>>,
}

/// What is done to OpenClaw's own requests, or to the contents of all.
type Instructed<S> = SystemPrompt<Habits<ToolNames<ContentBlocks<S>>>>;

impl<S> OpenClaw<S> {
    /// The service within all the layers.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref().get_ref().get_ref().inner.get_ref().get_ref()
    }

    /// The service within all the layers, to change.
    pub fn get_mut(&mut self) -> &mut S {
        self.inner.get_mut().get_mut().get_mut().inner.get_mut().get_mut()
    }

    /// The service within all the layers, by itself.
    pub fn into_inner(self) -> S {
        self.inner.into_inner().into_inner().into_inner().inner.into_inner().into_inner()
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
    pub struct OpenClawFuture<F>(ModelAliasFuture<ShowToolsFuture<ToolNamesFuture<ContentBlocksFuture<F>>>>);
}

#[derive(Clone, Debug)]
struct HabitsLayer {
    names: Arc<[(&'static str, &'static str)]>,
}

impl<S> Layer<S> for HabitsLayer {
    type Service = Habits<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Habits { inner, names: Arc::clone(&self.names) }
    }
}

/// What none of the four layers does: the internal context, and in agent mode the functions that the CLI serves itself.
#[derive(Clone, Debug)]
struct Habits<S> {
    inner: S,
    /// OpenClaw's functions and the CLI's enabled tools for them; none in client mode.
    names: Arc<[(&'static str, &'static str)]>,
}

impl<S> Service<ChatRequest> for Habits<S>
where
    S: Service<ChatRequest>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        for message in request.messages.iter_mut().rev().take_while(|message| is_internal_context(message)) {
            message.ephemeral = true;
        }
        if !self.names.is_empty() && is_openclaw(&request) {
            agent::serve_builtins(&mut request, &self.names);
        }
        self.inner.call(request)
    }
}
