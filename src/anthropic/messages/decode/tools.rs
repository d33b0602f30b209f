//! The tools that a request offers, and which of them the model may call.

use std::collections::HashSet;

use serde_json::Value;

use super::{client_tools, invalid, quoted, unsupported};
use crate::Error;
use crate::anthropic::messages::request::{WireTool, WireToolChoice};
use crate::chat::{Extra, Function, Tool, ToolChoice};
use crate::http::fields::Ignored;

/// Tools that are not available here, by the beginning of their types, and what to do instead.
const SERVER_TOOLS: [(&str, &str); 7] = [
    ("web_search_", "Offer a search tool of your own, or have the server's operator enable agent mode with WebSearch."),
    ("web_fetch_", "Offer a fetch tool of your own, or have the server's operator enable agent mode with WebFetch."),
    ("code_execution_", "Offer a tool of your own that runs code."),
    ("tool_search_tool_", "Leave it out: the model sees all tools that you offer."),
    ("mcp_toolset", "Connect to the MCP server in your client, and offer its tools."),
    (
        "computer_",
        "Its actions have no schema that could be told here: offer tools of your own, with an `input_schema`.",
    ),
    ("browser_", "Offer a tool of your own with an `input_schema`."),
];

pub(super) fn tools(wire: Vec<WireTool>, ignored: &mut Ignored) -> Result<Vec<Tool>, Error> {
    let mut names = HashSet::with_capacity(wire.len());
    let mut tools = Vec::with_capacity(wire.len());
    for (i, tool) in wire.into_iter().enumerate() {
        let at = |field: &str| format!("tools.{i}.{field}");
        let defined = tool.kind.as_deref().and_then(client_tools::function);
        if let Some(kind) = tool.kind.filter(|kind| kind != "custom" && defined.is_none()) {
            let own = ["web_search", "web_fetch"].into_iter().find(|own| kind.starts_with(own));
            if own.is_some_and(|own| ignored.has_own(own)) {
                // The model has it anyway. What the client says about domains and the number of uses has no effect.
                ignored.name_all("tools[].", &tool.extra, &[]);
                continue;
            }
            let known = SERVER_TOOLS.iter().find(|(begins, _)| kind.starts_with(begins));
            let advice = known.map_or("Offer a tool of your own with an `input_schema`.", |(_, advice)| *advice);
            let kind = quoted(&kind);
            return Err(unsupported(at("type"), format!("The tool {kind} cannot be had here. {advice}")));
        }
        let name = tool.name.ok_or_else(|| invalid(at("name"), "Field required"))?;
        let function = match defined {
            Some(function) if function.name == name => function,
            Some(function) => return Err(invalid(at("name"), format!("Input should be '{}'", function.name))),
            None => {
                check_name(&name, || at("name"))?;
                let parameters = schema(tool.input_schema, i)?;
                Function { description: tool.description, parameters: Some(parameters), ..Function::new(name) }
            }
        };
        if !names.insert(function.name.clone()) {
            return Err(invalid("tools", "Tool names must be unique."));
        }
        let mut extra = Extra::default();
        // Without effect on what the model is offered: arguments are streamed as they come in any case.
        ignored.name_all("tools[].", &tool.extra, &["strict", "eager_input_streaming"]);
        let strict = tool.extra.get("strict") == Some(&Value::Bool(true));
        ignored.name_function("tools[].", strict, ("input_schema", function.parameters.as_ref()));
        if let Some(mark) = tool.cache_control.filter(|mark| !mark.is_null()) {
            extra.insert("cache_control".to_owned(), *mark);
        }
        tools.push(Tool { kind: "function".to_owned(), function, extra });
    }
    Ok(tools)
}

fn check_name(name: &str, at: impl Fn() -> String) -> Result<(), Error> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=128).contains(&name.len()) && name.bytes().all(valid) {
        return Ok(());
    }
    Err(invalid(at(), format!("{} should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'", quoted(name))))
}

/// The schema of the tool at this place, which must describe an object.
fn schema(schema: Option<Value>, i: usize) -> Result<Value, Error> {
    let Some(schema @ Value::Object(_)) = schema else {
        return Err(invalid(format!("tools.{i}.input_schema"), "Field required"));
    };
    if schema.get("type").is_some_and(|kind| kind != "object") {
        return Err(invalid(format!("tools.{i}.input_schema.type"), "Input should be 'object'"));
    }
    Ok(schema)
}

pub(super) fn choice(
    choice: Option<WireToolChoice>,
    tools: &[Tool],
) -> Result<(Option<ToolChoice>, Option<bool>), Error> {
    let Some(WireToolChoice { kind, name, disable_parallel_tool_use }) = choice else { return Ok((None, None)) };
    let parallel = (disable_parallel_tool_use == Some(true)).then_some(false);
    let choice = match (kind.as_str(), name) {
        ("auto", _) => ToolChoice::Auto,
        ("none", _) => ToolChoice::None,
        ("any", _) if tools.is_empty() => {
            return Err(invalid("tool_choice", "may only be specified while providing tools"));
        }
        ("any", _) => ToolChoice::Required,
        ("tool", Some(name)) if tools.iter().any(|tool| tool.function.name == name) => ToolChoice::Function(name),
        ("tool", Some(name)) => {
            let name = quoted(&name);
            return Err(invalid("tool_choice.name", format!("Tool {name} not found in provided tools")));
        }
        ("tool", None) => return Err(invalid("tool_choice.name", "Field required")),
        _ => return Err(invalid("tool_choice.type", "Use `auto`, `any`, `tool` or `none`.")),
    };
    Ok((Some(choice), parallel))
}
