//! What `initialize` fixes for the life of a process: the system prompt, the client's functions, the answer's schema.

use serde_json::{Value, json};

use super::blocks::parts;
use super::marks::Mark;
use super::mcp::McpServer;
use crate::chat::{ChatRequest, Message, ResponseFormat, Role};
use crate::cli::config::Config;
use crate::cli::permission;

/// The setup that a process takes once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) system: String,
    pub(crate) functions: McpServer,
    /// The schema of the answer, where it is to be JSON.
    pub(crate) schema: Option<Value>,
    /// Whether the client marks what cannot be marked: a tool, or a part of the system prompt that is not its end.
    pub(super) drops_marks: bool,
}

impl Setup {
    pub(crate) fn of(request: &ChatRequest) -> Self {
        let functions = McpServer::of(request);
        let leading = leading_system(&request.messages);
        let mut system: Vec<String> = leading.iter().map(Message::text).collect();
        if !functions.note.is_empty() {
            system.push(functions.note.clone());
        }
        let schema = schema(request.response_format.as_ref());
        Setup { system: system.join("\n\n"), functions, schema, drops_marks: drops_marks(request, leading) }
    }

    /// The `initialize` request. With Claude Code's own tools on, its own system prompt stays and ours is appended.
    pub(crate) fn initialize(&self, config: &Config) -> Value {
        let mut initialize = json!({"subtype": "initialize"});
        if !config.agent() {
            // An empty list: no system prompt but the CLI's own line of identity.
            initialize["systemPrompt"] = if self.system.is_empty() { json!([]) } else { json!([self.system]) };
        } else if !self.system.is_empty() {
            initialize["appendSystemPrompt"] = json!(self.system);
        }
        if config.agent() {
            initialize["hooks"] = permission::hooks(config);
        }
        if let Some(schema) = &self.schema {
            initialize["jsonSchema"] = schema.clone();
        }
        self.functions.add_to(&mut initialize, config.tool_timeout);
        initialize
    }
}

/// The system messages before the conversation begins. Later ones stay where they are.
pub(crate) fn leading_system(messages: &[Message]) -> &[Message] {
    let is_system = |message: &Message| matches!(message.role, Role::System | Role::Developer);
    let end = messages.iter().position(|message| !is_system(message)).unwrap_or(messages.len());
    &messages[..end]
}

/// The CLI marks the end of the system prompt, and with it all tools before it.
fn drops_marks(request: &ChatRequest, leading: &[Message]) -> bool {
    let mut parts = leading.iter().flat_map(parts);
    parts.next_back();
    let mut tools = request.tools.iter().flatten();
    let is_marked = |fields| Mark::among(fields).is_some();
    parts.any(|part| is_marked(&part.extra))
        || tools.any(|tool| is_marked(&tool.extra) || is_marked(&tool.function.extra))
}

/// The schema that the answer must have, for the CLI's structured output.
fn schema(format: Option<&ResponseFormat>) -> Option<Value> {
    let format = format?;
    match (format.kind.as_str(), &format.json_schema) {
        ("json_object", _) | ("json_schema", None) => Some(json!({"type": "object", "additionalProperties": true})),
        ("json_schema", Some(named)) => {
            let mut schema = match &named.schema {
                Some(schema @ Value::Object(_)) => schema.clone(),
                _ => json!({"type": "object", "additionalProperties": true}),
            };
            if let (Some(description), None) = (&named.description, schema.get("description")) {
                schema["description"] = json!(description);
            }
            Some(schema)
        }
        _ => None,
    }
}
