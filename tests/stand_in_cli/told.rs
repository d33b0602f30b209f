//! Everything the stand-in was told: what `[[history]]` answers, and what its answers depend on.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};
use unicode_normalization::UnicodeNormalization;

/// The model names that stand for another.
const ALIASES: [(&str, &str); 5] = [
    ("default", "claude-opus-5-5"),
    ("opus", "claude-opus-5-5"),
    ("fable", "claude-fable-5-2"),
    ("sonnet", "claude-sonnet-5-5"),
    ("haiku", "claude-haiku-5-5"),
];

/// How much the model gets of a tool's description, in UTF-16 units, unless the environment says otherwise.
const MAX_DESCRIPTION: usize = 4096;

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

    /// Takes the server's tools, with their texts as the model gets them.
    pub(crate) fn take_tools(&mut self, tools: &Value) {
        self.tools = tools.as_array().cloned().unwrap_or_default();
        for tool in &mut self.tools {
            for field in ["description", "inputSchema"] {
                if let Some(value) = tool.get_mut(field) {
                    *value = normalized(std::mem::take(value));
                }
            }
            let most =
                super::number("CLAUDE_CODE_MAX_MCP_DESCRIPTION_LENGTH").map_or(MAX_DESCRIPTION, |most| most as usize);
            if let Some(text) = tool["description"].as_str()
                && text.encode_utf16().count() > most
            {
                let units: Vec<u16> = text.encode_utf16().take(most).collect();
                tool["description"] = json!(format!("{}\u{2026} [truncated]", String::from_utf16_lossy(&units)));
            }
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
    pub(crate) fn push(&mut self, role: &str, mut content: Value) {
        for block in content.as_array_mut().into_iter().flatten().filter(|block| block["type"] == "tool_result") {
            if self.repeats(block["tool_use_id"].as_str().unwrap_or_default()) {
                block["content"] = json!("[Tool result missing due to internal error]");
                block["is_error"] = json!(true);
            }
        }
        self.messages.push(json!({"role": role, "content": content}));
    }

    /// Adds what the user said, without empty texts, which the API would refuse.
    pub(crate) fn push_said(&mut self, mut content: Value) {
        if let Value::Array(blocks) = &mut content {
            blocks.retain(|block| block["text"] != "");
            if blocks.is_empty() {
                return;
            }
        }
        self.push("user", content);
    }

    /// Whether the conversation exceeds the limit that it was given. Any limit is taken for one that it exceeds.
    pub(crate) fn exceeds_limit(&self) -> bool {
        self.env.contains_key("CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE") && std::env::var_os("STAND_IN_GOES_ON").is_none()
    }

    /// Takes back the model's last message.
    pub(crate) fn retract(&mut self) {
        self.messages.pop();
    }

    /// Whether the CLI takes this call for a repetition of another: its id is that one's and a number.
    fn repeats(&self, id: &str) -> bool {
        let Some((first, number)) = id.rsplit_once('_') else { return false };
        let calls = self.messages.iter().filter_map(|message| message["content"].as_array()).flatten();
        let mut ids = calls.filter(|block| block["type"] == "tool_use").map(|block| &block["id"]);
        number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty() && ids.any(|id| id == first)
    }

    /// The model's full name.
    pub(crate) fn model_name(&self) -> &str {
        let named = self.model.as_str().unwrap_or("default");
        ALIASES.iter().find(|(alias, _)| *alias == named).map_or(named, |(_, full)| full)
    }

    /// Whether the answer is to be a `StructuredOutput` call: a schema that the real CLI can use was given.
    pub(crate) fn structured(&self) -> bool {
        self.schema.is_object() && usable(&self.schema)
    }

    /// The names of the tools, as the model sees them.
    pub(crate) fn tool_names(&self) -> Vec<String> {
        let server = self.server.as_deref().unwrap_or_default();
        let client = self.tools.iter().filter_map(|tool| Some(format!("mcp__{server}__{}", tool["name"].as_str()?)));
        let mut names: Vec<String> = client.collect();
        names.sort();
        names.extend(self.structured().then(|| "StructuredOutput".to_owned()));
        names
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

/// The texts of a tool's definition as the CLI passes them on: in NFKC, without characters that have no form of their own.
fn normalized(value: Value) -> Value {
    let text = |text: &str| {
        static FORMLESS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{Cf}\p{Co}\p{Cn}]").ok());
        let text: String = text.nfkc().collect();
        FORMLESS.as_ref().map_or(text.clone(), |formless| formless.replace_all(&text, "").into_owned())
    };
    match value {
        Value::String(value) => json!(text(&value)),
        Value::Array(values) => values.into_iter().map(normalized).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (text(&name), normalized(value))).collect(),
        value => value,
    }
}

/// Whether the real CLI's validator takes a schema: ajv's of draft-07, strict.
fn usable(schema: &Value) -> bool {
    const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];
    let Some(schema) = schema.as_object() else { return schema.is_boolean() };
    let is_type = |name: &Value| name.as_str().is_some_and(|name| TYPES.contains(&name));
    let all = |value: &Value| value.as_array().is_some_and(|schemas| schemas.iter().all(usable));
    let each = |value: &Value| value.as_object().is_some_and(|schemas| schemas.values().all(usable));
    schema.iter().all(|(keyword, value)| match keyword.as_str() {
        "$schema" => {
            value.as_str().is_some_and(|url| url.trim_end_matches('#') == "http://json-schema.org/draft-07/schema")
        }
        "type" => value.as_array().map_or_else(|| is_type(value), |names| names.iter().all(is_type)),
        "properties" | "patternProperties" | "definitions" | "$defs" => each(value),
        "allOf" | "anyOf" | "oneOf" => all(value),
        "items" => usable(value) || all(value),
        "additionalItems" | "additionalProperties" | "contains" | "else" | "not" | "propertyNames" | "then" => {
            usable(value)
        }
        "if" => usable(value) && (schema.contains_key("then") || schema.contains_key("else")),
        "maxItems" | "maxLength" | "maxProperties" | "minItems" | "minLength" | "minProperties" => value.is_u64(),
        "exclusiveMaximum" | "exclusiveMinimum" | "maximum" | "minimum" | "multipleOf" => value.is_number(),
        "deprecated" | "nullable" | "readOnly" | "uniqueItems" | "writeOnly" => value.is_boolean(),
        "enum" | "examples" | "required" => value.is_array(),
        "dependencies" => value.is_object(),
        "$comment" | "$id" | "$ref" | "contentEncoding" | "contentMediaType" | "description" | "format" | "pattern"
        | "title" => value.is_string(),
        "const" | "default" => true,
        _ => false,
    })
}

/// Whether the real CLI accepts a list of tools: each one's `inputSchema` is of type `object`.
pub(crate) fn acceptable(tools: &Value) -> bool {
    tools.as_array().is_some_and(|tools| {
        tools.iter().all(|tool| tool["name"].is_string() && tool["inputSchema"]["type"] == "object")
    })
}
