//! A preset for a client that is not OpenClaw, from the same layers and one of our own: a veto on functions by name.
//!
//! The client is Continue in its agent mode. Its model offers, its rules and its functions are its own; whatever it
//! is told to leave alone here, no model can make it run.
//!
//! ```text
//! cargo run --example custom_layer                    # the `claude` on PATH, on 127.0.0.1:3456
//! cargo run --example custom_layer -- 127.0.0.1:8080  # another address
//! CLAUDE_BIN=target/debug/examples/stand-in-cli cargo run --example custom_layer   # without an account
//!
//! curl http://127.0.0.1:3456/v1/chat/completions -H 'content-type: application/json' -d '{
//!   "model": "coder", "messages": [{"role": "user", "content": "Delete everything here."}],
//!   "tools": [{"type": "function", "function": {"name": "run_terminal_command", "parameters":
//!     {"type": "object", "properties": {"command": {"type": "string"}}}}}]}'
//! ```

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceBuilder};
use tower_claude::chat::{Events, Translate, TranslateFuture};
use tower_claude::cli::ClaudeCli;
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::layers::{ModelAliasLayer, Sections, SeparateBlocksLayer, StripSectionsLayer, ToolNamesLayer};
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, FinishReason};

/// Continue's functions, and the names of Claude Code's tools of the same sort, which the model knows best.
const TOOL_NAMES: [(&str, &str); 4] =
    [("run_terminal_command", "Bash"), ("read_file", "Read"), ("create_new_file", "Write"), ("grep_search", "Grep")];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let program = std::env::var_os("CLAUDE_BIN").unwrap_or_else(|| "claude".into());
    let claude = ClaudeCli::builder().program(program).build();
    claude.version().await?;
    claude.warm_up();

    // From the client to Claude Code; answers go the other way.
    let models = ModelAliasLayer::new([("coder", "opus"), ("autocomplete", "haiku")]);
    let preset = ServiceBuilder::new()
        .layer(&models)
        // A rule file of ours has a section for the models that run on this machine.
        .layer(StripSectionsLayer::new(Sections::named(["For local models"])))
        // Makes a paragraph of its own of what the veto says, which is why it stands before it.
        .layer(SeparateBlocksLayer::new())
        // Before the names are changed: it goes by Continue's.
        .layer(VetoLayer::new(["run_terminal_command"]))
        .layer(ToolNamesLayer::new(TOOL_NAMES))
        .service(claude);
    let api = ApiService::new(preset).abilities(ClaudeCli::abilities()).models(models.ids().map(ClaudeCli::model));

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3456".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("Listening on http://{}/v1", listener.local_addr()?);
    axum::serve(listener, Router::new().fallback_service(HttpStack::new(api, GuardLayer::new()))).await?;
    Ok(())
}

/// Keeps calls of these functions from the client: what the client gets instead is a sentence that says so.
#[derive(Clone)]
struct VetoLayer {
    names: Arc<HashSet<String>>,
}

impl VetoLayer {
    fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        VetoLayer { names: Arc::new(names.into_iter().map(Into::into).collect()) }
    }
}

impl<S> Layer<S> for VetoLayer {
    type Service = Veto<S>;

    fn layer(&self, inner: S) -> Veto<S> {
        Veto { inner, names: Arc::clone(&self.names) }
    }
}

#[derive(Clone)]
struct Veto<S> {
    inner: S,
    names: Arc<HashSet<String>>,
}

impl<S> Service<ChatRequest> for Veto<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = TranslateFuture<S::Future, Calls>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: ChatRequest) -> Self::Future {
        let calls = Calls { names: Arc::clone(&self.names), places: Vec::new() };
        TranslateFuture::new(self.inner.call(request), calls)
    }
}

/// The calls of one answer so far.
struct Calls {
    names: Arc<HashSet<String>>,
    /// For each call of the model, its number among those that the client hears of; none for a vetoed one.
    places: Vec<Option<u32>>,
}

impl Translate for Calls {
    fn event(&mut self, event: ChatEvent, out: &mut Events) {
        let heard_of = self.places.iter().flatten().count() as u32;
        match event {
            ChatEvent::ToolCallStart { name, .. } if self.names.contains(&name) => {
                self.places.push(None);
                out.push(ChatEvent::TextBlockStart);
                out.push(ChatEvent::TextDelta(format!("[A call of `{name}` was not allowed.]")));
            }
            ChatEvent::ToolCallStart { id, name, .. } => {
                self.places.push(Some(heard_of));
                out.push(ChatEvent::tool_call_start(heard_of, id, name));
            }
            ChatEvent::ToolCallDelta { index, arguments, .. } => {
                if let Some(index) = self.places.get(index as usize).copied().flatten() {
                    out.push(ChatEvent::tool_call_delta(index, arguments));
                }
            }
            // The client has nothing to run, so it is the client's turn to speak.
            ChatEvent::Finished { reason: FinishReason::ToolCalls, usage, .. } if heard_of == 0 => {
                out.push(ChatEvent::finished(FinishReason::Stop, usage));
            }
            other => out.push(other),
        }
    }
}
