//! The lines that the CLI is sent, one for each message.
//!
//! A conversation is serialised in place, never through a `Value`: it may hold megabytes of images.

use serde::Serialize;
use serde_json::{Value, json};

/// Lines to be written to the CLI in one go.
#[derive(Debug, Default)]
pub(crate) struct Outgoing(Vec<u8>);

/// As much as a short line takes, in bytes.
const LINE: usize = 256;

#[derive(Serialize)]
struct Control<'a, R> {
    r#type: &'a str,
    request_id: &'a str,
    request: &'a R,
}

#[derive(Serialize)]
struct Said<'a, B> {
    r#type: &'a str,
    message: Message<'a, B>,
    parent_tool_use_id: Option<&'a str>,
    session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_composed: Option<bool>,
    #[serde(rename = "shouldQuery", skip_serializing_if = "Option::is_none")]
    should_query: Option<bool>,
}

#[derive(Serialize)]
struct Message<'a, B> {
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    content: &'a [B],
}

impl<'a, B> Said<'a, B> {
    fn new(role: &'a str, content: &'a [B]) -> Self {
        let message = Message { role, model: None, content };
        let (client_composed, should_query) = (None, None);
        Said { r#type: role, message, parent_tool_use_id: None, session_id: "", client_composed, should_query }
    }
}

#[derive(Serialize)]
struct Reply<'a, R> {
    r#type: &'a str,
    response: ReplyBody<'a, R>,
}

#[derive(Serialize)]
struct ReplyBody<'a, R> {
    subtype: &'a str,
    request_id: &'a str,
    response: &'a R,
}

#[derive(Serialize)]
struct McpResponse<'a, R> {
    mcp_response: Rpc<'a, R>,
}

#[derive(Serialize)]
struct Rpc<'a, R> {
    jsonrpc: &'a str,
    id: &'a Value,
    result: &'a R,
}

impl Outgoing {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What there is so far, without room for more. Begins anew.
    pub(crate) fn take(&mut self) -> Self {
        let mut lines = std::mem::take(&mut self.0);
        lines.shrink_to_fit();
        Outgoing(lines)
    }

    fn line(&mut self, value: &impl Serialize) {
        self.0.reserve(LINE);
        // Serialising plain data into memory cannot fail.
        if serde_json::to_writer(&mut self.0, value).is_ok() {
            self.0.push(b'\n');
        }
    }

    /// A control request.
    pub(crate) fn control(&mut self, request_id: &str, request: &impl Serialize) {
        self.line(&Control { r#type: "control_request", request_id, request });
    }

    /// A user message. With `query`, the CLI answers it; without, it is only appended to the conversation.
    ///
    /// Always `client_composed`: otherwise the CLI would read the files that a text names with `@`.
    pub(crate) fn user(&mut self, content: &[impl Serialize], query: bool) {
        let should_query = (!query).then_some(false);
        self.line(&Said { client_composed: Some(true), should_query, ..Said::new("user", content) });
    }

    /// An assistant message, appended to the conversation, and the model that said it: the CLI leaves out reasoning of any
    /// model but the one that is to answer (2.1.328).
    pub(crate) fn assistant(&mut self, content: &[impl Serialize], model: Option<&str>) {
        let mut said = Said::new("assistant", content);
        said.message.model = model;
        self.line(&said);
    }

    /// The answer to a control request of the CLI's.
    pub(crate) fn reply(&mut self, request_id: &str, response: &impl Serialize) {
        let response = ReplyBody { subtype: "success", request_id, response };
        self.line(&Reply { r#type: "control_response", response });
    }

    /// The answer to a message for the MCP server.
    pub(crate) fn mcp_result(&mut self, request_id: &str, id: &Value, result: &impl Serialize) {
        self.reply(request_id, &McpResponse { mcp_response: Rpc { jsonrpc: "2.0", id, result } });
    }

    /// Refuses a control request of the CLI's.
    pub(crate) fn refuse(&mut self, request_id: &str, error: &str) {
        self.line(&json!({
            "type": "control_response",
            "response": {"subtype": "error", "request_id": request_id, "error": error},
        }));
    }
}
