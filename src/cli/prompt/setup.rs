//! What `initialize` fixes for the life of a process: the system prompt, the client's functions, the answer's schema.

use serde::Serialize;
use serde_json::{Value, json};

use super::blocks::{is_blank, parts, said};
use super::marks::Mark;
use super::mcp::{Announcement, McpServer};
use super::schema::translate;
use crate::chat::{ChatRequest, Message, ResponseFormat, Role, ToolChoice};
use crate::cli::config::Config;
use crate::cli::permission;

/// The setup that a process takes once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) system: String,
    pub(crate) functions: McpServer,
    /// The schema of the answer, where it is to be JSON.
    pub(crate) schema: Option<Value>,
    /// Whether the answer is wrapped in an object, which that schema has to be of.
    pub(crate) wraps: bool,
    /// Whether the client asks for JSON, and for a call in its place.
    pub(crate) drops_format: bool,
    /// Whether the client marks what cannot be marked: a tool, or a part of the system prompt before its end.
    pub(super) drops_marks: bool,
}

impl Setup {
    /// Takes the functions and the schema out of the request: as parsed values they are several times as large as their
    /// text.
    pub(crate) fn of(request: &mut ChatRequest) -> Self {
        let functions = McpServer::of(request);
        let leading = leading_system(&request.messages);
        // The API refuses a blank one.
        let mut system: Vec<String> = leading.iter().map(said).filter(|text| !is_blank(text)).collect();
        if !functions.note.is_empty() {
            system.push(functions.note.clone());
        }
        let system = system.join("\n\n");
        let drops_marks = drops_marks(request, leading);
        request.tools = None;
        let schema = request.response_format.take().and_then(schema);
        // The model is told that it must call a function. Told that it must give JSON as well, it could do only one of them.
        let must_call = !functions.is_empty()
            && matches!(
                request.tool_choice,
                Some(ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Allowed { required: true, .. })
            );
        let drops_format = must_call && schema.is_some();
        let (schema, wraps) = schema.filter(|_| !must_call).map(translate).unzip();
        Setup { system, functions, schema, wraps: wraps == Some(true), drops_format, drops_marks }
    }

    /// The `initialize` request. With Claude Code's own tools on, its own system prompt stays and ours is appended.
    pub(crate) fn initialize(&self, config: &Config) -> Initialize<'_> {
        let system = Some(self.system.as_str()).filter(|system| !system.is_empty());
        let agent = config.agent();
        Initialize {
            subtype: "initialize",
            // An empty list: no system prompt but the CLI's own identity line.
            system_prompt: (!agent).then(|| system.into_iter().collect()),
            append_system_prompt: system.filter(|_| agent),
            hooks: agent.then(|| permission::hooks(config)),
            json_schema: self.schema.as_ref(),
            functions: self.functions.announcement(config.tool_timeout),
        }
    }
}

/// The `initialize` request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Initialize<'a> {
    subtype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_prompt: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    append_system_prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hooks: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<&'a Value>,
    #[serde(flatten)]
    functions: Announcement<'a>,
}

/// The system messages before the conversation begins. Later ones stay where they are.
pub(crate) fn leading_system(messages: &[Message]) -> &[Message] {
    let is_system = |message: &Message| matches!(message.role, Role::System | Role::Developer);
    let end = messages.iter().position(|message| !is_system(message)).unwrap_or(messages.len());
    &messages[..end]
}

/// Whether a tool is marked, or a part of the system prompt before its end, where the CLI itself sets a mark that covers the
/// tools.
fn drops_marks(request: &ChatRequest, leading: &[Message]) -> bool {
    let mut parts = leading.iter().flat_map(parts);
    parts.next_back();
    let mut tools = request.tools.iter().flatten();
    let is_marked = |fields| Mark::among(fields).is_some();
    parts.any(|part| is_marked(&part.extra))
        || tools.any(|tool| is_marked(&tool.extra) || is_marked(&tool.function.extra))
}

/// The schema that the answer must have, for the CLI's structured output.
fn schema(format: ResponseFormat) -> Option<Value> {
    let some_object = || json!({"type": "object", "additionalProperties": true});
    match (format.kind.as_str(), format.json_schema) {
        ("json_object", _) | ("json_schema", None) => Some(some_object()),
        ("json_schema", Some(named)) => {
            let mut schema = named.schema.filter(Value::is_object).unwrap_or_else(some_object);
            if let (Some(description), None) = (named.description, schema.get("description")) {
                schema["description"] = json!(description);
            }
            Some(schema)
        }
        _ => None,
    }
}
