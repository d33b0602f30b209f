//! Everything the stand-in was told: what `[[history]]` answers, and what its answers depend on.

use serde_json::{Map, Value, json};

/// The model names that stand for another.
const ALIASES: [(&str, &str); 5] = [
    ("default", "claude-opus-5-5"),
    ("opus", "claude-opus-5-5"),
    ("fable", "claude-fable-5-2"),
    ("sonnet", "claude-sonnet-5-5"),
    ("haiku", "claude-haiku-5-5"),
];

/// What the client said, in the order in which it took effect.
#[derive(Default)]
pub(crate) struct Told {
    /// Whether the one `initialize` that counts has come.
    pub(crate) initialized: bool,
    pub(crate) system: Value,
    pub(crate) append_system: Value,
    pub(crate) schema: Value,
    /// The SDK MCP server's name and configuration.
    pub(crate) server: Option<String>,
    pub(crate) server_config: Value,
    /// Its tools, as it declared them.
    pub(crate) tools: Vec<Value>,
    /// As named, or null for the default one.
    pub(crate) model: Value,
    pub(crate) thinking: Value,
    /// What `apply_flag_settings` left standing.
    pub(crate) env: Map<String, Value>,
    pub(crate) settings: Map<String, Value>,
    /// `{"role", "content"}` of each, the stand-in's own answers and notes included.
    pub(crate) messages: Vec<Value>,
}

impl Told {
    /// Takes the `initialize` request; a second one changes nothing.
    pub(crate) fn initialize(&mut self, request: &Value) {
        if std::mem::replace(&mut self.initialized, true) {
            return;
        }
        self.system = request["systemPrompt"].clone();
        self.append_system = request["appendSystemPrompt"].clone();
        self.schema = request["jsonSchema"].clone();
        self.server = request["sdkMcpServers"][0].as_str().map(str::to_owned);
        if let Some(server) = &self.server {
            self.server_config = request["sdkMcpServerConfigs"][server].clone();
        }
    }

    /// Takes an `apply_flag_settings` request: `""` unsets a variable, null a setting, and a null `env` does nothing.
    pub(crate) fn apply(&mut self, settings: &Value) {
        for (name, value) in settings.as_object().into_iter().flatten() {
            match (name.as_str(), value) {
                ("env", Value::Object(env)) => {
                    self.env.extend(env.clone());
                    self.env.retain(|_, value| value.as_str() != Some(""));
                }
                ("env", _) => {}
                (name, Value::Null) => {
                    self.settings.shift_remove(name);
                }
                (name, value) => {
                    self.settings.insert(name.to_owned(), value.clone());
                }
            }
        }
    }

    /// Adds a message to the conversation.
    pub(crate) fn push(&mut self, role: &str, content: Value) {
        self.messages.push(json!({"role": role, "content": content}));
    }

    /// The model's full name.
    pub(crate) fn model_name(&self) -> &str {
        let named = self.model.as_str().unwrap_or("default");
        ALIASES.iter().find(|(alias, _)| *alias == named).map_or(named, |(_, full)| full)
    }

    /// Whether the answer is to be a `StructuredOutput` call: a schema that the real CLI can use was given.
    pub(crate) fn structured(&self) -> bool {
        fn is_known(schema: &Value) -> bool {
            const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];
            let Some(schema) = schema.as_object() else { return schema.is_boolean() };
            let known = |name: &Value| name.as_str().is_some_and(|name| TYPES.contains(&name));
            let type_is_known = match schema.get("type") {
                None => true,
                Some(Value::Array(names)) => names.iter().all(known),
                Some(name) => known(name),
            };
            let dialect = schema.get("$schema").and_then(Value::as_str).unwrap_or("draft-07");
            let properties = schema.get("properties").map(Value::as_object);
            type_is_known
                && dialect.contains("draft-07")
                && properties.is_none_or(|named| named.is_some_and(|named| named.values().all(is_known)))
        }
        self.schema.is_object() && is_known(&self.schema)
    }

    /// The names of the tools, as the model sees them.
    pub(crate) fn tool_names(&self) -> Vec<String> {
        let server = self.server.as_deref().unwrap_or_default();
        let client = self.tools.iter().filter_map(|tool| Some(format!("mcp__{server}__{}", tool["name"].as_str()?)));
        client.chain(self.structured().then(|| "StructuredOutput".to_owned())).collect()
    }

    /// The tool that this name, with or without its `mcp__server__`, means; an unknown name stays as it is.
    pub(crate) fn full_name(&self, name: &str) -> String {
        let suffix = format!("__{name}");
        self.tool_names().into_iter().find(|full| full == name || full.ends_with(&suffix)).unwrap_or(name.to_owned())
    }

    /// The server's own name and declaration of the tool that the model calls so.
    pub(crate) fn tool(&self, full: &str) -> Option<(&str, &Value)> {
        let name = full.strip_prefix("mcp__")?.strip_prefix(self.server.as_deref()?)?.strip_prefix("__")?;
        let tool = self.tools.iter().find(|tool| tool["name"] == name)?;
        Some((tool["name"].as_str()?, tool))
    }

    /// Everything, as `[[history]]` answers it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "system": self.system,
            "append_system": self.append_system,
            "tools": self.tools,
            "server_config": self.server_config,
            "schema": self.schema,
            "model": self.model,
            "effort": self.settings.get("effortLevel"),
            "max_tokens": self.env.get("CLAUDE_CODE_MAX_OUTPUT_TOKENS"),
            "thinking": self.thinking,
            "env": self.env,
            "settings": self.settings,
            "messages": self.messages,
        })
    }
}

/// Whether the real CLI accepts a list of tools: each one's `inputSchema` is of type `object`.
pub(crate) fn acceptable(tools: &Value) -> bool {
    tools.as_array().is_some_and(|tools| {
        tools.iter().all(|tool| tool["name"].is_string() && tool["inputSchema"]["type"] == "object")
    })
}
