//! Turns the tools that a request offers into functions for the model, and a function's name back into its tool.
//!
//! A `custom` tool takes free text, and a `namespace` is a group of tools: both become plain functions. A hosted tool, which
//! OpenAI would run itself, is dropped and named in `x-ignored-parameters`.

use std::collections::{HashMap, HashSet};

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;
use crate::chat::compact::some_value;
use crate::chat::{Extra, Function, Tool, ToolChoice};
use crate::http::fields::{Ignored, invalid, unsupported};
use crate::openai::free_text;

/// A tool as the request has it. It serialises to the form in which an answer repeats it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ToolParam {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    #[serde(default, deserialize_with = "some_value")]
    pub(crate) parameters: Option<Value>,
    pub(crate) strict: Option<bool>,
    /// The grammar of a `custom` tool's text.
    pub(crate) format: Option<Value>,
    /// The tools of a `namespace`.
    pub(crate) tools: Option<Vec<ToolParam>>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

impl Serialize for ToolParam {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &self.kind)?;
        if let Some(name) = &self.name {
            map.serialize_entry("name", name)?;
        }
        if let Some(description) = &self.description {
            map.serialize_entry("description", description)?;
        }
        // In an answer a function must have both, even if the request's has not.
        if self.kind == "function" || self.parameters.is_some() {
            map.serialize_entry("parameters", &self.parameters)?;
        }
        if self.kind == "function" || self.strict.is_some() {
            map.serialize_entry("strict", &self.strict)?;
        }
        if let Some(format) = &self.format {
            map.serialize_entry("format", format)?;
        }
        if let Some(tools) = &self.tools {
            map.serialize_entry("tools", tools)?;
        }
        for (name, value) in &self.rest {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A tool as the client knows it, if it is not simply a function of that name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    /// Whether it takes text instead of JSON.
    pub(crate) custom: bool,
}

/// The tools of a request that are not plain functions, by the name of the function that the model sees.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tools {
    by_function: HashMap<String, Origin>,
    functions: HashMap<(Option<String>, String), String>,
}

impl Tools {
    /// The client's tool behind the function of this name; `None` for a plain function.
    pub(crate) fn origin(&self, function: &str) -> Option<&Origin> {
        self.by_function.get(function)
    }

    /// The name of the function that stands for a tool, offered or not: a history may hold calls of tools that are gone.
    pub(crate) fn function(&self, namespace: Option<&str>, name: &str) -> String {
        let known = self.functions.get(&(namespace.map(str::to_owned), name.to_owned()));
        known.cloned().unwrap_or_else(|| flat_name(namespace, name))
    }

    /// All of them, each with the name of its function.
    pub(crate) fn origins(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.by_function.iter().map(|(function, origin)| (function.as_str(), origin))
    }

    /// The tools that have these functions.
    pub(crate) fn from_origins(origins: impl IntoIterator<Item = (String, Origin)>) -> Self {
        let mut tools = Tools::default();
        for (function, origin) in origins {
            tools.insert(function, origin);
        }
        tools
    }

    fn insert(&mut self, function: String, origin: Origin) {
        self.functions.insert((origin.namespace.clone(), origin.name.clone()), function.clone());
        self.by_function.insert(function, origin);
    }

    /// Splits a request's tools into the functions for the model, and the way back.
    pub(crate) fn of(params: Vec<ToolParam>, ignored: &mut Ignored) -> Result<(Self, Vec<Tool>), Error> {
        let mut taken = Taken { tools: Tools::default(), functions: Vec::new(), names: HashSet::new() };
        for (i, param) in params.into_iter().enumerate() {
            match param.kind.as_str() {
                "function" | "custom" => taken.add(param, None, &format!("tools[{i}]"), ignored)?,
                "namespace" => {
                    let at = format!("tools[{i}]");
                    let Some(namespace) = param.name.filter(|name| !name.is_empty()) else {
                        return Err(invalid(format!("{at}.name"), "A namespace needs a `name`. Add it."));
                    };
                    for (j, tool) in param.tools.into_iter().flatten().enumerate() {
                        let at = format!("{at}.tools[{j}]");
                        if !matches!(tool.kind.as_str(), "function" | "custom") {
                            let message = format!(
                                "A namespace holds `function` and `custom` tools, not {:?}. Offer that one beside it.",
                                tool.kind
                            );
                            return Err(unsupported(format!("{at}.type"), message));
                        }
                        taken.add(tool, Some(&namespace), &at, ignored)?;
                    }
                }
                // Tools that OpenAI runs on its own machines. A turn works without them.
                kind if kind.starts_with("web_search") && ignored.has_own("web_search") => {}
                kind => ignored.name("tools.", kind, &Value::Bool(true)),
            }
        }
        Ok((taken.tools, taken.functions))
    }
}

/// The tools taken so far.
struct Taken {
    tools: Tools,
    functions: Vec<Tool>,
    names: HashSet<String>,
}

impl Taken {
    fn add(&mut self, param: ToolParam, namespace: Option<&str>, at: &str, ignored: &mut Ignored) -> Result<(), Error> {
        let name = param.name.unwrap_or_default();
        let custom = param.kind == "custom";
        let function = if namespace.is_none() { name.clone() } else { self.free_name(flat_name(namespace, &name)) };
        check_name(&name, at)?;
        if !self.names.insert(function.clone()) {
            let message = format!("Two tools have the name {name:?}. Give each its own.");
            return Err(invalid(format!("{at}.name"), message));
        }
        if custom || namespace.is_some() {
            let namespace = namespace.map(str::to_owned);
            self.tools.insert(function.clone(), Origin { namespace, name, custom });
        }
        for name in param.rest.keys().filter(|name| !ACCEPTED.contains(&name.as_str())) {
            ignored.name("tools[].", name, &Value::Bool(true));
        }
        ignored.name_function("tools[].", param.strict == Some(true), ("parameters", param.parameters.as_ref()));
        let (description, parameters) = if custom {
            (Some(free_text::described(param.description, param.format.as_ref())), Some(free_text::parameters()))
        } else {
            (param.description, param.parameters)
        };
        let function = Function { name: function, description, parameters, extra: Extra::default() };
        self.functions.push(Tool { kind: "function".to_owned(), function, extra: Extra::default() });
        Ok(())
    }

    /// The name, with a number appended if another tool has it.
    fn free_name(&self, name: String) -> String {
        let numbered = (2..).map(|number: u32| format!("{name}_{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        names.find(|name| !self.names.contains(name)).unwrap_or(name)
    }
}

/// Fields of a tool that need nothing done.
const ACCEPTED: [&str; 4] = ["output_schema", "allowed_callers", "defer_loading", "cache_control"];

/// The name of a namespace's tool among plain functions.
fn flat_name(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        None => name.to_owned(),
        // MCP servers have the underscores already: `mcp__files__`.
        Some(namespace) if namespace.ends_with("__") => format!("{namespace}{name}"),
        Some(namespace) => format!("{namespace}__{name}"),
    }
}

fn check_name(name: &str, at: &str) -> Result<(), Error> {
    const MAX_LENGTH: usize = 128;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=MAX_LENGTH).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    let message = format!("The name {name:?} is not valid. Use 1 to {MAX_LENGTH} letters, digits, `_` and `-`.");
    Err(invalid(format!("{at}.name"), message))
}

/// `tool_choice`, in any of its forms.
pub(crate) fn choice(
    asked: Option<&Value>,
    tools: &Tools,
    functions: &[Tool],
    ignored: &mut Ignored,
) -> Result<Option<ToolChoice>, Error> {
    let Some(asked) = asked.filter(|asked| !asked.is_null()) else { return Ok(None) };
    let offered = |name: &str| functions.iter().any(|tool| tool.function.name == name);
    let named = |tool: &Value| -> Option<String> {
        let function = tools.function(tool["namespace"].as_str(), tool["name"].as_str()?);
        offered(&function).then_some(function)
    };
    let not_offered = |tool: &Value| {
        let message = format!(
            "`tool_choice` names the tool {}, which is not offered. Add it to `tools`.",
            tool["name"].as_str().map_or_else(|| tool.to_string(), |name| format!("{name:?}"))
        );
        invalid("tool_choice", message)
    };
    match (asked.as_str(), asked["type"].as_str()) {
        (Some("none"), _) => Ok(Some(ToolChoice::None)),
        (Some("auto"), _) => Ok(Some(ToolChoice::Auto)),
        // If there are only hosted tools, which are not run here, there is nothing to require.
        (Some("required"), _) if functions.is_empty() && !ignored.names.is_empty() => Ok(Some(ToolChoice::Auto)),
        (Some("required"), _) if functions.is_empty() => {
            let message = "`tool_choice` requires a call, and no tools are offered. Offer some in `tools`.";
            Err(invalid("tool_choice", message))
        }
        (Some("required"), _) => Ok(Some(ToolChoice::Required)),
        (_, Some("function" | "custom")) => match named(asked) {
            Some(function) => Ok(Some(ToolChoice::Function(function))),
            None => Err(not_offered(asked)),
        },
        (_, Some("allowed_tools")) => {
            let required = match asked["mode"].as_str() {
                Some("auto") | None => false,
                Some("required") => true,
                Some(other) => {
                    let message = format!("`tool_choice.mode` is {other:?}. Use \"auto\" or \"required\".");
                    return Err(invalid("tool_choice.mode", message));
                }
            };
            let mut names = Vec::new();
            for tool in asked["tools"].as_array().into_iter().flatten() {
                match tool["type"].as_str() {
                    Some("function" | "custom") | None => names.push(named(tool).ok_or_else(|| not_offered(tool))?),
                    Some(hosted) => ignored.name("tool_choice.", hosted, &Value::Bool(true)),
                }
            }
            // If only hosted tools are allowed, there is nothing to call.
            Ok(Some(if names.is_empty() { ToolChoice::None } else { ToolChoice::Allowed { required, names } }))
        }
        (_, Some(hosted)) => {
            ignored.name("tool_choice.", hosted, &Value::Bool(true));
            Ok(Some(ToolChoice::Auto))
        }
        _ => Err(invalid(
            "tool_choice",
            "`tool_choice` must be \"none\", \"auto\", \"required\", {\"type\":\"function\",\"name\":...}, \
             {\"type\":\"custom\",\"name\":...} or {\"type\":\"allowed_tools\",...}.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::Abilities;

    #[test]
    fn a_search_of_the_web_is_named_unless_the_service_has_one_of_its_own() {
        let ignored = |kind: &str, abilities: Abilities| {
            let mut ignored = Ignored::by(abilities);
            let params = serde_json::from_value(json!([{"type": kind}])).unwrap();
            Tools::of(params, &mut ignored).unwrap();
            ignored.names
        };
        let able = || Abilities::new().honours(["tools.web_search"]);
        for kind in ["web_search", "web_search_2025_08_26", "web_search_preview"] {
            assert_eq!(ignored(kind, Abilities::new()), [format!("tools.{kind}")]);
            assert_eq!(ignored(kind, able()), [""; 0]);
        }
        assert_eq!(ignored("file_search", able()), ["tools.file_search"]);
    }
}
