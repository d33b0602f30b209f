//! [`AgentMode`]: Claude Code's own tools replace the functions of OpenClaw that do the same.

use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::detect::{is_openclaw, is_prompt};
use crate::ChatRequest;
use crate::chat::{Content, Message, Part, Role, ToolChoice};

/// Removes the functions that these tools replace, and tells the model so.
#[derive(Clone, Debug)]
pub(super) struct AgentModeLayer {
    /// OpenClaw's functions and the CLI's enabled tools for them; none in client mode.
    pub(super) names: Arc<[(&'static str, &'static str)]>,
}

impl<S> Layer<S> for AgentModeLayer {
    type Service = AgentMode<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AgentMode { inner, names: Arc::clone(&self.names) }
    }
}

#[derive(Clone, Debug)]
pub(super) struct AgentMode<S> {
    pub(super) inner: S,
    names: Arc<[(&'static str, &'static str)]>,
}

impl<S: Service<ChatRequest>> Service<ChatRequest> for AgentMode<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        if !self.names.is_empty() && is_openclaw(&request) {
            serve_builtins(&mut request, &self.names);
        }
        self.inner.call(request)
    }
}

/// Removes the functions that the CLI has tools for, and tells the model so.
fn serve_builtins(request: &mut ChatRequest, names: &[(&'static str, &'static str)]) {
    let served = |name: &str| names.iter().any(|(client, _)| *client == name);
    let offered: Vec<&str> = request.functions().map(|function| function.name.as_str()).collect();
    let in_use: Vec<_> = names.iter().copied().filter(|(client, _)| offered.contains(client)).collect();
    if in_use.is_empty() {
        return;
    }
    if let Some(tools) = &mut request.tools {
        tools.retain(|tool| !served(&tool.function.name));
    }
    // The CLI cannot be made to call one of its own tools, so a choice of only those is dropped.
    request.tool_choice = match request.tool_choice.take() {
        Some(ToolChoice::Function(name)) if served(&name) => Some(ToolChoice::Auto),
        Some(ToolChoice::Allowed { required, mut names }) => {
            names.retain(|name| !served(name));
            match (names.is_empty(), required) {
                (true, true) => Some(ToolChoice::Auto),
                (true, false) => Some(ToolChoice::None),
                (false, _) => Some(ToolChoice::Allowed { required, names }),
            }
        }
        choice => choice,
    };
    if request.functions().next().is_none() {
        (request.tools, request.tool_choice, request.parallel_tool_calls) = (None, None, None);
    }
    append(request, &note(&in_use));
}

/// "In this session `exec` and `process` are the tool Bash; `read` is the tool Read."
fn note(names: &[(&'static str, &'static str)]) -> String {
    let by_tool = names.chunk_by(|(_, before), (_, tool)| before == tool).map(|group| {
        let quoted: Vec<String> = group.iter().map(|(client, _)| format!("`{client}`")).collect();
        match quoted.as_slice() {
            [one] => format!("{one} is the tool {}", group[0].1),
            [most @ .., last] => format!("{} and {last} are the tool {}", most.join(", "), group[0].1),
            [] => String::new(),
        }
    });
    let all = by_tool.collect::<Vec<_>>().join("; ");
    format!("In this session {all}. Where these instructions name one of them, use that tool.")
}

/// Adds a paragraph to the end of the client's instructions, which begin the conversation.
fn append(request: &mut ChatRequest, paragraph: &str) {
    let at = request
        .messages
        .iter()
        .position(is_prompt)
        .or_else(|| request.messages.iter().position(|message| message.role.is_instructions()));
    let Some(at) = at else {
        request.messages.insert(0, Message::new(Role::System, paragraph));
        return;
    };
    match &mut request.messages[at].content {
        Some(Content::Text(text)) if !text.is_empty() => {
            text.truncate(text.trim_end().len());
            text.push_str("\n\n");
            text.push_str(paragraph);
        }
        Some(Content::Parts(parts)) => parts.push(Part::from_text(paragraph)),
        content => *content = Some(Content::Text(paragraph.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_stands_a_blank_line_after_the_instructions_or_alone() {
        for (instructions, told) in [("Be kind.\n", "Be kind.\n\nNote."), ("", "Note.")] {
            let mut request = ChatRequest::new("m", [Message::new(Role::System, instructions)]);
            append(&mut request, "Note.");
            assert_eq!(request.messages, [Message::new(Role::System, told)]);
        }
    }
}
