//! [`ShowTools`]: what Claude Code's own tools do, as lines among the reasoning.

use std::sync::Arc;
use std::task::{Context, Poll};

use serde_json::Value;
use tower::{Layer, Service};

use super::macros::{inner_service_accessors, opaque_future};
use crate::chat::{Events, Translate, TranslateFuture};
use crate::{ChatEvent, ChatRequest, ChatResponse, Error};

/// The longest line that a call is shown as, in characters, its name not counted.
const MAX_CHARS: usize = 200;

/// What of a tool's input says best what it does; the first that is there is shown.
const TELLING: [&str; 7] = ["command", "file_path", "notebook_path", "pattern", "url", "query", "path"];

/// Shows each use of a built-in tool as one line of reasoning, such as `exec: ls -la`.
///
/// The inner service reports such uses as [`ChatEvent::BuiltinToolUse`], which clients are not sent. A client that shows
/// the model's reasoning lets its user follow the work this way. It is never a call of the client's. If the client offered
/// a function that the table has for the tool, the tool goes by that function's name, else by its own.
///
/// A line holds the command, path, pattern or address, at most 200 characters of it, on one line.
///
/// ```
/// use futures_util::StreamExt;
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::layers::ShowToolsLayer;
/// use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = ShowToolsLayer::new([("exec", "Bash")]);
/// let service = ServiceBuilder::new().layer(layer).service_fn(|request: ChatRequest| async move {
///     let input = serde_json::json!({"command": "ls -la"});
///     let used = ChatEvent::builtin_tool_use("Bash", input);
///     Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter([used])))
/// });
///
/// let request: ChatRequest = serde_json::from_str(
///     r#"{"model": "opus", "messages": [], "tools": [{"type": "function", "function": {"name": "exec"}}]}"#,
/// )?;
/// let events: Vec<_> = service.oneshot(request).await?.events.collect().await;
/// assert_eq!(events, [Ok(ChatEvent::ReasoningDelta("exec: ls -la\n".into()))]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ShowToolsLayer {
    /// The client's names, and the tools; none where nothing is to be shown.
    table: Option<Table>,
}

type Table = Arc<[(String, String)]>;

impl ShowToolsLayer {
    /// Shows tools under these names: pairs of a function's name and the tool that does the same. If a client offers several
    /// functions for one tool, the first in the table counts.
    pub fn new<C: Into<String>, T: Into<String>>(names: impl IntoIterator<Item = (C, T)>) -> Self {
        let table = names.into_iter().map(|(client, tool)| (client.into(), tool.into())).collect();
        ShowToolsLayer { table: Some(table) }
    }

    /// Shows nothing, and leaves every event as it is.
    pub(super) fn off() -> Self {
        ShowToolsLayer { table: None }
    }
}

impl<S> Layer<S> for ShowToolsLayer {
    type Service = ShowTools<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ShowTools { inner, table: self.table.clone() }
    }
}

/// The service that [`ShowToolsLayer`] makes.
#[derive(Clone, Debug)]
pub struct ShowTools<S> {
    inner: S,
    table: Option<Table>,
}

impl<S> ShowTools<S> {
    inner_service_accessors!();
}

impl<S> Service<ChatRequest> for ShowTools<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = ShowToolsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: ChatRequest) -> Self::Future {
        let lines = self.table.as_deref().map(|table| {
            let offered = |name: &str| request.functions().any(|function| function.name == name);
            let names = table.iter().filter(|(client, _)| offered(client)).cloned().collect();
            Lines { names, midway: false }
        });
        ShowToolsFuture::new(TranslateFuture::new(self.inner.call(request), lines))
    }
}

opaque_future! {
    /// The response future of [`ShowTools`].
    pub struct ShowToolsFuture<F>(TranslateFuture<F, Lines>);
}

/// Writes the lines of one answer.
#[derive(Debug)]
struct Lines {
    /// The client's names of those tools that it has a function for.
    names: Vec<(String, String)>,
    /// Whether the reasoning stands in the middle of a line.
    midway: bool,
}

impl Translate for Lines {
    fn event(&mut self, event: ChatEvent, out: &mut Events) {
        out.push(match event {
            ChatEvent::BuiltinToolUse { name, input } => {
                let shown = self.names.iter().find(|(_, tool)| *tool == name).map_or(&name, |(client, _)| client);
                let start = if std::mem::take(&mut self.midway) { "\n" } else { "" };
                ChatEvent::ReasoningDelta(format!("{start}{shown}: {}\n", one_line(&input)))
            }
            ChatEvent::ReasoningDelta(text) => {
                self.midway = if text.is_empty() { self.midway } else { !text.ends_with('\n') };
                ChatEvent::ReasoningDelta(text)
            }
            other => other,
        });
    }
}

fn one_line(input: &Value) -> String {
    let telling = TELLING.iter().find_map(|field| input[*field].as_str());
    let whole = telling.map_or_else(|| input.to_string(), str::to_owned);
    let mut line = whole.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(MAX_CHARS) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use serde_json::json;

    use super::*;
    use crate::EventStream;

    #[test]
    fn a_line_is_what_tells_most_of_the_input_and_is_one_line() {
        assert_eq!(one_line(&json!({"description": "List", "command": "ls \\\n  -la\n"})), "ls \\ -la");
        assert_eq!(one_line(&json!({"file_path": "/w/a.md", "content": "x"})), "/w/a.md");
        assert_eq!(one_line(&json!({"path": "src", "pattern": "fn main"})), "fn main");
        assert_eq!(one_line(&json!({"todos": [1]})), r#"{"todos":[1]}"#);
        assert_eq!(one_line(&Value::Null), "null");
        assert_eq!(one_line(&json!({"command": "é".repeat(300)})), format!("{}…", "é".repeat(200)));
    }

    #[test]
    fn a_line_begins_where_the_reasoning_before_it_has_ended() {
        let lines = Lines { names: Vec::new(), midway: false };
        let used = || ChatEvent::BuiltinToolUse { name: "Bash".to_owned(), input: json!({"command": "ls"}) };
        let thought = |text: &str| ChatEvent::ReasoningDelta(text.to_owned());
        let events = [used(), thought("hm"), thought(""), used(), used(), thought("so\n"), used()];
        let text = |event| if let Ok(ChatEvent::ReasoningDelta(text)) = event { text } else { String::new() };
        let shown = EventStream::from_iter(events).translate(lines).map(text);
        let all: String = shown.collect().now_or_never().unwrap();
        assert_eq!(all, "Bash: ls\nhm\nBash: ls\nBash: ls\nso\nBash: ls\n");
    }
}
