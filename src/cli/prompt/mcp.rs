//! The client's functions as real tools: an MCP server that the CLI reaches over the control channel.
//!
//! The CLI is handed the server's handshake and tool list with `initialize` and calls its tools with `tools/call`.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::blocks::{image_in, is_blank, trimmed};
use super::changes::{self, Originals};
use crate::chat::call_id::CallId;
use crate::chat::data_url::DataUrl;
use crate::chat::{ChatRequest, Content, Function, Message, Part, ToolChoice, digest};
use crate::cli::protocol::{MCP_SERVER, MCP_TOOL_PREFIX, Outgoing};
use crate::{Error, ErrorKind};

/// The longest tool name that the Messages API takes everywhere, prefix included.
const MAX_TOOL_NAME: usize = 64;

/// The longest tool result, in UTF-16 units. The CLI puts a longer one into a file and shows the model a pointer: 499,000
/// characters arrived whole, 600,000 did not (2.1.328).
pub(crate) const MAX_RESULT: usize = 490_000;

/// The longest result of a failed call, in UTF-16 units. The CLI cuts the middle out of a longer one (2.1.328).
pub(crate) const MAX_ERROR: usize = 10_000;

/// The functions of one request, as the CLI is told of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct McpServer {
    /// In the client's order, which keeps the prompt cache valid.
    tools: Vec<Tool>,
    /// What goes into the system prompt: definitions that the CLI would change, and what `tool_choice` asks for.
    pub(crate) note: String,
    /// Whether the calls of a turn are issued together.
    pub(crate) parallel: bool,
}

/// A function as a tool of the server.
#[derive(Clone, Debug)]
struct Tool {
    /// The client's name.
    name: String,
    /// Its definition as the CLI is sent it. A schema may be megabytes, and several times that as parsed values.
    told: Box<RawValue>,
    /// Equal for tools with the same definition, in whatever order the schema's fields came.
    digest: u64,
    /// What the CLI changes of its names and values.
    originals: Option<Arc<Originals>>,
}

/// What `initialize` says of the server; empty if there are no functions.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Announcement<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sdk_mcp_servers: Vec<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sdk_mcp_server_configs: BTreeMap<&'a str, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sdk_mcp_server_manifests: BTreeMap<&'a str, Manifest<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    initialize_result: Value,
    tools_list_result: ToolList<'a>,
}

#[derive(Debug, Serialize)]
struct ToolList<'a> {
    tools: Vec<&'a RawValue>,
}

impl McpServer {
    /// The functions that the request offers, with its `tool_choice` applied.
    pub(crate) fn of(request: &ChatRequest) -> Self {
        let parallel = request.parallel_tool_calls != Some(false);
        let choice = request.tool_choice.as_ref().unwrap_or(&ToolChoice::Auto);
        let offered = |function: &&Function| match choice {
            ToolChoice::None => false,
            ToolChoice::Auto | ToolChoice::Required => true,
            ToolChoice::Function(name) => function.name == *name,
            ToolChoice::Allowed { names, .. } => names.contains(&function.name),
        };
        let functions: Vec<&Function> = request.functions().filter(offered).collect();
        if functions.is_empty() {
            return McpServer { parallel, ..McpServer::default() };
        }
        let mut notes = Vec::new();
        let tools = functions.iter().map(|function| Tool::of(function, parallel, &mut notes)).collect();
        match choice {
            ToolChoice::Required | ToolChoice::Allowed { required: true, .. } => {
                notes.push("You must call at least one of the tools in your answer to the user's message.".to_owned());
            }
            ToolChoice::Function(name) => {
                notes.push(format!("You must call the tool {} in your answer to the user's message.", wire_name(name)))
            }
            _ => {}
        }
        if !parallel {
            notes.push("Call at most one tool at a time, and wait for its result.".to_owned());
        }
        McpServer { tools, note: notes.join("\n\n"), parallel }
    }

    /// Hashes all that the CLI is told of the functions.
    pub(crate) fn hash_into(&self, hasher: &mut DefaultHasher) {
        (&self.note, self.parallel, self.tools.len()).hash(hasher);
        for tool in &self.tools {
            (&tool.name, tool.digest).hash(hasher);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// What `initialize` says of the server.
    pub(super) fn announcement(&self, timeout: Duration) -> Announcement<'_> {
        if self.is_empty() {
            return Announcement::default();
        }
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1000);
        let manifest = Manifest { initialize_result: self.handshake("2025-11-25"), tools_list_result: self.list() };
        Announcement {
            sdk_mcp_servers: vec![MCP_SERVER],
            sdk_mcp_server_configs: BTreeMap::from([(MCP_SERVER, json!({"timeout": timeout}))]),
            sdk_mcp_server_manifests: BTreeMap::from([(MCP_SERVER, manifest)]),
        }
    }

    fn handshake(&self, protocol_version: &str) -> Value {
        json!({
            "protocolVersion": protocol_version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": MCP_SERVER, "version": env!("CARGO_PKG_VERSION")},
        })
    }

    fn list(&self) -> ToolList<'_> {
        ToolList { tools: self.tools.iter().map(|tool| &*tool.told).collect() }
    }

    /// Answers a message for the server that is not a call. The CLI sends them when it did not take the manifest.
    pub(crate) fn answer(&self, request_id: &str, message: &Value, out: &mut Outgoing) {
        let id = &message["id"];
        match message["method"].as_str() {
            Some("initialize") => {
                let version = message["params"]["protocolVersion"].as_str().unwrap_or("2025-11-25");
                out.mcp_result(request_id, id, &self.handshake(version));
            }
            Some("tools/list") => out.mcp_result(request_id, id, &self.list()),
            // `ping`, `notifications/initialized` and others that only want an acknowledgement.
            _ => out.mcp_result(request_id, id, &json!({})),
        }
    }

    /// The client's name of a tool, if it is one of the client's functions.
    pub(crate) fn client_name(&self, tool: &str) -> Option<&str> {
        let wire = tool.strip_prefix(MCP_TOOL_PREFIX)?;
        self.tools.iter().map(|tool| tool.name.as_str()).find(|name| short_name(name) == wire)
    }

    /// Whether it changes those of any.
    pub(crate) fn has_originals(&self) -> bool {
        self.tools.iter().any(|tool| tool.originals.is_some())
    }

    /// What the CLI changes of the names and values of a function's arguments.
    pub(crate) fn originals(&self, name: &str) -> Option<&Arc<Originals>> {
        self.tools.iter().find(|tool| tool.name == name)?.originals.as_ref()
    }

    /// Refuses the request if the CLI did not take all of its functions, going by the tools that the CLI lists.
    pub(crate) fn check_taken(&self, tools: &[String]) -> Result<(), Error> {
        let missing = self.tools.iter().map(|tool| &tool.name).find(|name| !tools.contains(&wire_name(name)));
        match missing {
            None => Ok(()),
            Some(name) => Err(Error::new(
                ErrorKind::InvalidRequest,
                format!(
                    "Claude Code refused the tools: {name:?} is not among those it offers the model. Check that each \
                     function's parameters are a valid JSON schema of an object."
                ),
            )
            .with_param("tools")),
        }
    }
}

impl Tool {
    /// What the CLI would change of the definition goes to `notes` as it is.
    fn of(function: &Function, parallel: bool, notes: &mut Vec<String>) -> Self {
        let description = function.description.as_deref().unwrap_or_default();
        if changes::changes_definition(function) {
            let exact = json!({"description": description, "parameters": function.parameters});
            let name = wire_name(&function.name);
            notes.push(format!(
                "The exact definition of the tool {name}, which the list of tools has in other characters:\n{exact}"
            ));
        }
        let mut hasher = digest::hasher();
        description.hash(&mut hasher);
        digest::hash_value(function.parameters.as_ref().unwrap_or(&Value::Null), &mut hasher);
        let told = McpTool {
            name: short_name(&function.name),
            description,
            input_schema: InputSchema(function.parameters.as_ref()),
            meta: json!({"anthropic/maxResultSizeChars": 500_000}),
            // Read-only tools are called all at once; others one at a time, each after the answer to the one before.
            annotations: parallel.then(|| json!({"readOnlyHint": true})),
        };
        // Serialising plain data into memory cannot fail.
        let told = to_raw_value(&told).unwrap_or_default();
        let originals = function.parameters.as_ref().and_then(Originals::of).map(Arc::new);
        Tool { name: function.name.clone(), told, digest: hasher.finish(), originals }
    }
}

/// A function as MCP defines a tool.
#[derive(Serialize)]
struct McpTool<'a> {
    name: String,
    description: &'a str,
    #[serde(rename = "inputSchema")]
    input_schema: InputSchema<'a>,
    #[serde(rename = "_meta")]
    meta: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Value>,
}

/// A function's parameters as given, plus the `type` that the CLI wants in every schema.
struct InputSchema<'a>(Option<&'a Value>);

impl Serialize for InputSchema<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(Value::Object(schema)) if !schema.contains_key("type") => {
                let mut fields = serializer.serialize_map(Some(schema.len() + 1))?;
                for (name, value) in schema {
                    fields.serialize_entry(name, value)?;
                }
                fields.serialize_entry("type", "object")?;
                fields.end()
            }
            Some(schema) if !schema.is_null() => schema.serialize(serializer),
            _ => json!({"type": "object", "properties": {}}).serialize(serializer),
        }
    }
}

/// The name under which the model sees a function.
pub(crate) fn wire_name(name: &str) -> String {
    format!("{MCP_TOOL_PREFIX}{}", short_name(name))
}

/// The name within the server: the client's own, or a shortened one where the prefix would make it too long.
fn short_name(name: &str) -> String {
    let room = MAX_TOOL_NAME - MCP_TOOL_PREFIX.len();
    if name.len() <= room {
        return name.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let mut kept = room - 9;
    while !name.is_char_boundary(kept) {
        kept -= 1;
    }
    format!("{}_{:08x}", &name[..kept], hasher.finish() & 0xffff_ffff)
}

/// A call whose result the CLI waits for.
#[derive(Clone, Debug)]
pub(crate) struct PendingCall {
    /// The model's id of the call.
    pub(crate) tool_use_id: String,
    /// The CLI's id of its control request.
    pub(crate) request_id: String,
    /// The JSON-RPC id within it.
    pub(crate) rpc_id: Value,
}

impl PendingCall {
    /// Reads a `tools/call` message.
    pub(crate) fn read(request_id: &str, message: &Value) -> Option<Self> {
        let tool_use_id = message["params"]["_meta"]["claudecode/toolUseId"].as_str()?;
        (message["method"] == "tools/call").then(|| PendingCall {
            tool_use_id: tool_use_id.to_owned(),
            request_id: request_id.to_owned(),
            rpc_id: message["id"].clone(),
        })
    }
}

/// The results in these messages, each with the id of its call.
pub(crate) fn results<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Vec<(CallId, &'a Message)> {
    let result = |message: &'a Message| Some((CallId::from(message.tool_call_id.as_deref()?), message));
    messages.into_iter().filter_map(result).collect()
}

/// The answer to a call.
#[derive(Debug, Serialize)]
pub(crate) struct CallResult<'a> {
    content: Vec<ResultBlock<'a>>,
    #[serde(rename = "isError")]
    is_error: bool,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum ResultBlock<'a> {
    Text {
        text: &'a str,
    },
    Image {
        #[serde(rename = "mimeType")]
        media_type: &'a str,
        data: &'a str,
    },
}

impl<'a> CallResult<'a> {
    /// A tool message as the result of its call; `None` if only a replay can carry it as it is: because it is too long, holds
    /// anything but texts and small inline images, or because the CLI would change it, which fills an empty result with words of
    /// its own, and makes one trimmed text of a failure's parts (2.1.332). Blank texts are left out, as in a replay: the API
    /// refuses them.
    pub(crate) fn of(message: &'a Message) -> Option<Self> {
        let longest = if message.is_error { MAX_ERROR } else { MAX_RESULT };
        let mut units = 0;
        let mut text = |text: &'a str| {
            units += text.encode_utf16().count();
            (units <= longest).then_some(ResultBlock::Text { text })
        };
        let content = match &message.content {
            None | Some(Content::Null) => Vec::new(),
            Some(Content::Text(whole)) if is_blank(whole) => Vec::new(),
            Some(Content::Text(whole)) => vec![text(whole)?],
            Some(Content::Parts(parts)) => {
                let block = |part: &'a Part| match part.as_text() {
                    Some(part) => text(part),
                    None => image_in(part)
                        .filter(|image| changes::changes_image(image) == Some(false))
                        .map(|DataUrl { media_type, base64 }| ResultBlock::Image { media_type, data: base64 }),
                };
                let parts = parts.iter().filter(|part| !part.as_text().is_some_and(is_blank));
                parts.map(block).collect::<Option<_>>()?
            }
        };
        let arrives_as_it_is = match &content[..] {
            // In a replay, too, an empty failure is given a text, which the API wants of it: the CLI's.
            [] => message.is_error,
            [ResultBlock::Text { text }] if message.is_error => trimmed(text) == *text,
            _ => !message.is_error,
        };
        arrives_as_it_is.then_some(CallResult { content, is_error: message.is_error, meta: None })
    }

    /// The same, after which the CLI ends its turn rather than ask the model (2.1.280 to 2.1.332). A failure does not end it.
    pub(crate) fn ending_the_turn(self) -> Self {
        CallResult { meta: Some(json!({"claude/endTurn": true})), ..self }
    }

    /// The result of a call that layers withheld from the client, which has gone on without it. Not a failure: that could not
    /// end the turn.
    pub(crate) fn withheld() -> Self {
        let text = "This call was not carried out: it was withheld from the program that would have run it.";
        CallResult { content: vec![ResultBlock::Text { text }], is_error: false, meta: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, description: &str) -> Function {
        Function { name: name.to_owned(), description: Some(description.to_owned()), ..Function::default() }
    }

    #[test]
    fn names_of_the_greatest_length_stay_apart_and_find_their_way_back() {
        let (a, b) = (format!("{}a", "x".repeat(63)), format!("{}b", "x".repeat(63)));
        let tools = [&a, &b].map(|name| Tool::of(&function(name, ""), true, &mut Vec::new()));
        let functions = McpServer { tools: tools.to_vec(), ..McpServer::default() };
        assert_eq!(wire_name(&a).len(), MAX_TOOL_NAME);
        assert_eq!(functions.client_name(&wire_name(&a)), Some(a.as_str()));
        assert_eq!(functions.client_name(&wire_name(&b)), Some(b.as_str()));
        assert_eq!(functions.client_name("Bash"), None);
    }

    #[test]
    fn a_definition_that_the_cli_would_change_is_in_the_system_prompt_as_it_is() {
        let of = |description: &str| {
            let mut notes = Vec::new();
            Tool::of(&function("f", description), true, &mut notes);
            notes.concat()
        };
        assert_eq!(of("plain"), "");
        assert!(of("in m²").ends_with(r#"{"description":"in m²","parameters":null}"#), "{}", of("in m²"));
    }

    #[test]
    fn a_function_whose_schema_has_its_fields_in_another_order_is_the_same() {
        let digest = |schema: &str| {
            let parameters = Some(serde_json::from_str(schema).unwrap());
            Tool::of(&Function { parameters, ..function("f", "d") }, true, &mut Vec::new()).digest
        };
        assert_eq!(digest(r#"{"a":1,"b":{"c":1,"d":2}}"#), digest(r#"{"b":{"d":2,"c":1},"a":1}"#));
        assert_ne!(digest(r#"{"a":1}"#), digest(r#"{"a":2}"#));
    }

    #[test]
    fn every_schema_says_that_it_is_of_an_object() {
        let told = |parameters: Option<Value>| {
            let tool = Tool::of(&Function { parameters, ..function("f", "d") }, true, &mut Vec::new());
            serde_json::from_str::<Value>(tool.told.get()).unwrap()["inputSchema"].clone()
        };
        let none = json!({"type": "object", "properties": {}});
        assert_eq!((told(None), told(Some(Value::Null))), (none.clone(), none));
        assert_eq!(told(Some(json!({"properties": {}}))), json!({"properties": {}, "type": "object"}));
        assert_eq!(told(Some(json!({"type": "object", "x": 1}))), json!({"type": "object", "x": 1}));
    }
}
