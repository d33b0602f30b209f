//! A Chat Completions request: the conversation, and the settings for its answer.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::compact::some_value;
use super::extra::Extra;
use super::message::Message;
use super::recognition::Told;

/// A Chat Completions request, as the layers see and rewrite it.
///
/// ```
/// use tower_claude::ChatRequest;
///
/// let json = r#"{"model":"claude-opus-4","messages":[{"role":"user","content":"hi"}],"top_p":0.5}"#;
/// let request: ChatRequest = serde_json::from_str(json)?;
/// assert_eq!(request.messages[0].text(), "hi");
/// assert_eq!(request.extra["top_p"], 0.5);
/// assert_eq!(serde_json::to_string(&request)?, json);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChatRequest {
    /// The requested model: an alias until `ModelAlias` has replaced it with the name that the CLI gets.
    pub model: String,
    /// The conversation, oldest message first.
    pub messages: Vec<Message>,
    /// The client's own functions that the model may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    /// Which of the functions it may or must call; absent means [`ToolChoice::Auto`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Whether one turn may hold several calls; absent means yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// Whether the answer is sent as server-sent events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// What a streamed answer contains besides its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// The most tokens the answer may have, reasoning included. The older name of `max_completion_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The most tokens the answer may have, reasoning included. Wins over `max_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    /// Texts at which the answer ends; they are not part of it. In JSON, a single one may be a plain string.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub stop: Vec<String>,
    /// How much the model may think: `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// Whether the answer is text, some JSON object, or JSON of a given schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// How many answers are wanted; absent means one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// The client's name for requests that share a prefix; it scopes the reuse of live processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_cache_key: Option<String>,
    /// Every other field, as it was sent. From the HTTP edge only fields that the API knows or the inner service honours come
    /// here; declare yours with [`Abilities::honours`](super::Abilities::honours). Giving a field a name of its own, which
    /// takes it out of this map, is a breaking change.
    #[serde(flatten)]
    pub extra: Extra,
    /// Whether the model thinks before it answers, if the door has a field for that. `reasoning_effort` says how much.
    /// Never part of the JSON.
    #[serde(skip)]
    pub thinking: Option<Thinking>,
    /// Whether the client asks to read the model's reasoning, summarised. Without it the model's own default stands.
    /// Never part of the JSON.
    #[serde(skip)]
    pub summarizes_reasoning: bool,
    /// Whether the request's dialect keeps blocks apart, in messages and in the answer, so that layers need not join
    /// them into one text. Never part of the JSON.
    #[serde(skip)]
    pub keeps_blocks: bool,
    /// The API by which the request came: `chat_completions`, `responses` or `messages`. Never part of the JSON.
    #[serde(skip)]
    pub door: Option<&'static str>,
    /// Who asks. Set by the HTTP edge from the request's headers; never part of the JSON.
    #[serde(skip)]
    pub caller: Caller,
    /// What the client sent, and what it is told in answer: by this the inner service recognises the conversation, so
    /// layers may change either. Set by [`RecognizeLayer`](crate::layers::RecognizeLayer); never part of the JSON.
    #[serde(skip)]
    pub told: Option<Told>,
}

impl ChatRequest {
    /// A request for `model` to continue these messages. Every other field is empty, for the caller to set.
    pub fn new(model: impl Into<String>, messages: impl IntoIterator<Item = Message>) -> Self {
        ChatRequest { model: model.into(), messages: messages.into_iter().collect(), ..ChatRequest::default() }
    }

    /// The functions that the client offers, in its order.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.tools.iter().flatten().map(|tool| &tool.function)
    }

    /// The functions that the client offers, to rewrite.
    pub fn functions_mut(&mut self) -> impl Iterator<Item = &mut Function> {
        self.tools.iter_mut().flatten().map(|tool| &mut tool.function)
    }

    /// The token limit in effect, under either of its two names.
    pub fn token_limit(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens)
    }
}

/// Whether the model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Thinking {
    /// It does not.
    Disabled,
    /// It may, as it sees fit.
    Adaptive,
    /// It may, for at most about this many tokens, on models that accept a budget.
    Budget(u32),
}

/// Who sent a request. Requests of different callers never share a live process.
///
/// ```
/// use tower_claude::ChatRequest;
///
/// fn is_adas(request: &ChatRequest) -> bool {
///     request.caller.name.as_deref() == Some("ada")
/// }
/// # assert!(!is_adas(&ChatRequest::default()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Caller {
    /// A hash of the API key that came with the request; the key itself goes no further than the edge.
    pub key: Option<u64>,
    /// The name that the operator gave to that key, for logs and metrics
    /// ([`ApiService::api_keys`](crate::http::ApiService::api_keys)).
    pub name: Option<Arc<str>>,
    /// The session that the client named (`x-session-affinity`, `session_id`), if it did.
    pub session: Option<String>,
}

/// A tool that the client offers.
///
/// ```
/// use serde_json::json;
/// use tower_claude::ChatRequest;
/// use tower_claude::chat::{Function, Message, Role, Tool};
///
/// let mut weather = Function::new("weather");
/// weather.description = Some("The weather of today in a city.".into());
/// weather.parameters = Some(json!({"type": "object", "properties": {"city": {"type": "string"}}}));
///
/// let mut request = ChatRequest::new("opus", [Message::new(Role::User, "Is it hot in Rome?")]);
/// request.tools = Some(vec![Tool::function(weather)]);
/// assert_eq!(request.functions().count(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WireTool")]
#[non_exhaustive]
pub struct Tool {
    /// `function`, the only kind that layers and services see. A door turns other kinds into functions.
    #[serde(rename = "type")]
    pub kind: String,
    /// The function.
    pub function: Function,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A tool as clients write it: with a nested function, or flat, as the Responses API and Cursor have it.
#[derive(Deserialize)]
struct WireTool {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    function: Option<Function>,
    #[serde(flatten)]
    extra: Extra,
}

impl TryFrom<WireTool> for Tool {
    type Error = &'static str;

    fn try_from(WireTool { kind, function, mut extra }: WireTool) -> Result<Self, Self::Error> {
        let flat = matches!(kind.as_str(), "function" | "custom") && extra.get("name").is_some_and(Value::is_string);
        let mut text = |name: &str| match extra.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let function = match function {
            Some(function) => function,
            None if flat => Function {
                name: text("name").unwrap_or_default(),
                description: text("description"),
                parameters: extra.remove("parameters").filter(|parameters| !parameters.is_null()),
                extra: Extra::default(),
            },
            None => return Err("missing field `function`"),
        };
        Ok(Tool { kind, function, extra })
    }
}

impl Tool {
    /// A tool that is this function.
    pub fn function(function: Function) -> Self {
        Tool { kind: "function".to_owned(), function, extra: Extra::default() }
    }
}

/// A function of the client's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Function {
    /// Its name: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON schema of its arguments; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_value")]
    pub parameters: Option<Value>,
    /// Every other field, as it was sent (`strict`, for one).
    #[serde(flatten)]
    pub extra: Extra,
}

impl Function {
    /// A function of this name. Set its description and parameters yourself.
    pub fn new(name: impl Into<String>) -> Self {
        Function { name: name.into(), ..Function::default() }
    }
}

/// Which functions the model may or must call.
///
/// ```
/// use tower_claude::chat::ToolChoice;
///
/// let choice = ToolChoice::allowed(true, ["weather", "clock"]);
/// assert_eq!(serde_json::to_value(&choice)?["allowed_tools"]["mode"], "required");
/// assert_eq!(serde_json::from_str::<ToolChoice>(r#""auto""#)?, ToolChoice::Auto);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ToolChoice {
    /// None of them.
    None,
    /// As it sees fit.
    Auto,
    /// At least one.
    Required,
    /// The one of this name.
    Function(String),
    /// Some of those offered.
    #[non_exhaustive]
    Allowed {
        /// Whether one of them must be called.
        required: bool,
        /// Their names.
        names: Vec<String>,
    },
}

impl ToolChoice {
    /// Some of the functions offered, of which one must be called where `required`.
    pub fn allowed(required: bool, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        ToolChoice::Allowed { required, names: names.into_iter().map(Into::into).collect() }
    }
}

impl Serialize for ToolChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = |name: &String| serde_json::json!({"type": "function", "function": {"name": name}});
        match self {
            ToolChoice::None => serializer.serialize_str("none"),
            ToolChoice::Auto => serializer.serialize_str("auto"),
            ToolChoice::Required => serializer.serialize_str("required"),
            ToolChoice::Function(name) => named(name).serialize(serializer),
            ToolChoice::Allowed { required, names } => {
                let mode = if *required { "required" } else { "auto" };
                let tools: Vec<Value> = names.iter().map(named).collect();
                serde_json::json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
                    .serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        // Cursor puts the tool's name next to its `type`, not into `function`.
        let name = |tool: &Value| {
            let name = tool["function"]["name"].as_str().or_else(|| tool["name"].as_str());
            name.map(str::to_owned)
        };
        let choice = match (value.as_str(), value["type"].as_str()) {
            (Some("none"), _) => Some(ToolChoice::None),
            (Some("auto"), _) => Some(ToolChoice::Auto),
            (Some("required"), _) => Some(ToolChoice::Required),
            (_, Some("function" | "custom")) => name(&value).map(ToolChoice::Function),
            (_, Some("allowed_tools")) => {
                let allowed = &value["allowed_tools"];
                let names = allowed["tools"].as_array().and_then(|tools| tools.iter().map(name).collect());
                match (allowed["mode"].as_str(), names) {
                    (Some(mode @ ("auto" | "required")), Some(names)) => {
                        Some(ToolChoice::Allowed { required: mode == "required", names })
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        choice.ok_or_else(|| {
            serde::de::Error::custom(
                "expected \"none\", \"auto\", \"required\", {\"type\":\"function\",\"function\":{\"name\":...}} \
                 or {\"type\":\"allowed_tools\",...}",
            )
        })
    }
}

/// What a streamed answer contains besides its text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamOptions {
    /// Whether a last chunk carries the token counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_usage: Option<bool>,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Reads a string, or a list of them.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a string or an array of strings")]
    enum Texts {
        One(String),
        Many(Vec<String>),
    }

    Ok(match Option::<Texts>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Texts::One(text)) => vec![text],
        Some(Texts::Many(texts)) => texts,
    })
}

/// The required form of the answer.
///
/// ```
/// use serde_json::json;
/// use tower_claude::ChatRequest;
/// use tower_claude::chat::{JsonSchema, ResponseFormat};
///
/// let city = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
/// let mut request = ChatRequest::new("opus", []);
/// request.response_format = Some(ResponseFormat::json_schema(JsonSchema::new("city", city)));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResponseFormat {
    /// `text`, `json_object` or `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The schema, if the kind is `json_schema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<JsonSchema>,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub extra: Extra,
}

impl ResponseFormat {
    /// Some JSON object.
    pub fn json_object() -> Self {
        ResponseFormat { kind: "json_object".to_owned(), json_schema: None, extra: Extra::default() }
    }

    /// JSON of this schema.
    pub fn json_schema(schema: JsonSchema) -> Self {
        ResponseFormat { kind: "json_schema".to_owned(), json_schema: Some(schema), extra: Extra::default() }
    }
}

/// A named JSON schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonSchema {
    /// Its name.
    pub name: String,
    /// What it is for, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The schema itself; absent means any object.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_value")]
    pub schema: Option<Value>,
    /// Every other field, as it was sent (`strict`, for one).
    #[serde(flatten)]
    pub extra: Extra,
}

impl JsonSchema {
    /// A schema of this name.
    pub fn new(name: impl Into<String>, schema: Value) -> Self {
        JsonSchema { name: name.into(), description: None, schema: Some(schema), extra: Extra::default() }
    }
}
