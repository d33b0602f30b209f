//! Checks of everything but the messages: limits, stop texts, effort, format, and the functions offered.

use std::collections::HashSet;

use serde_json::Value;

use crate::Error;
use crate::chat::{ChatRequest, ResponseFormat, Tool, ToolChoice};
use crate::http::fields::{Ignored, invalid, unsupported};
use crate::layers::choices::MAX_CHOICES;
use crate::openai::schema::check_schema;

/// OpenAI's own limits.
const MAX_STOPS: usize = 4;
const MAX_TOOLS: usize = 128;
const MAX_NAME_LENGTH: usize = 64;
const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

pub(super) fn check(request: &ChatRequest, ignored: &mut Ignored) -> Result<(), Error> {
    match request.n {
        Some(0) => return Err(invalid("n", format!("`n` is 0. Ask for 1 to {MAX_CHOICES} answers."))),
        Some(n) if n > MAX_CHOICES => {
            let message = format!("`n` is {n}, and at most {MAX_CHOICES} answers can be had at once. Ask for fewer.");
            return Err(unsupported("n", message));
        }
        _ => {}
    }
    for (name, limit) in [("max_tokens", request.max_tokens), ("max_completion_tokens", request.max_completion_tokens)]
    {
        if limit == Some(0) {
            return Err(invalid(name, format!("`{name}` is 0. Send 1 or more, or leave it out.")));
        }
    }
    check_stops(request)?;
    if let Some(effort) = &request.reasoning_effort
        && !EFFORTS.contains(&effort.as_str())
    {
        let message = format!("`reasoning_effort` is {effort:?}. Use one of: {}.", EFFORTS.join(", "));
        return Err(invalid("reasoning_effort", message));
    }
    if let Some(format) = &request.response_format {
        check_format(format, ignored)?;
    }
    if let Some(options) = &request.stream_options {
        // Padding against traffic analysis, which this server never adds.
        ignored.name_all("stream_options.", &options.extra, &["include_obfuscation"]);
    }
    let offered = check_tools(request.tools.as_deref().unwrap_or_default(), ignored)?;
    request.tool_choice.as_ref().map_or(Ok(()), |choice| check_choice(choice, &offered))
}

fn check_stops(request: &ChatRequest) -> Result<(), Error> {
    let stops = &request.stop;
    if stops.len() > MAX_STOPS {
        let message = format!("`stop` has {} texts. Send at most {MAX_STOPS}.", stops.len());
        return Err(invalid("stop", message));
    }
    if stops.iter().any(String::is_empty) {
        return Err(invalid("stop", "`stop` has an empty text, which would end every answer at once. Leave it out."));
    }
    Ok(())
}

fn check_format(format: &ResponseFormat, ignored: &mut Ignored) -> Result<(), Error> {
    match format.kind.as_str() {
        "text" | "json_object" => {}
        "json_schema" => {
            let at = "response_format.json_schema";
            let Some(named) = &format.json_schema else {
                return Err(invalid(at, format!("The format is `json_schema`, and `{at}` is missing. Send it.")));
            };
            check_name(&named.name, &format!("{at}.name"))?;
            if let Some(schema) = &named.schema {
                check_schema(schema, &format!("{at}.schema"))?;
            }
            // A schema is always enforced, so `strict` changes nothing.
            ignored.name_all("response_format.json_schema.", &named.extra, &["strict"]);
        }
        other => {
            let message = format!("The format {other:?} is not known. Use `text`, `json_object` or `json_schema`.");
            return Err(invalid("response_format.type", message));
        }
    }
    ignored.name_all("response_format.", &format.extra, &[]);
    Ok(())
}

/// Checks the functions and returns their names.
fn check_tools<'a>(tools: &'a [Tool], ignored: &mut Ignored) -> Result<HashSet<&'a str>, Error> {
    if tools.len() > MAX_TOOLS {
        let message = format!("`tools` has {} functions. Offer at most {MAX_TOOLS}.", tools.len());
        return Err(invalid("tools", message));
    }
    let mut names = HashSet::with_capacity(tools.len());
    for (i, Tool { kind, function, extra }) in tools.iter().enumerate() {
        if kind != "function" {
            let message = format!("Tools of type {kind:?} are not supported. Offer it as a `function`.");
            return Err(unsupported(format!("tools[{i}].type"), message));
        }
        let at = format!("tools[{i}].function.name");
        check_name(&function.name, &at)?;
        if !names.insert(function.name.as_str()) {
            let message = format!("Two functions have the name {:?}. Give each its own.", function.name);
            return Err(invalid(at, message));
        }
        if let Some(parameters) = &function.parameters {
            check_schema(parameters, &format!("tools[{i}].function.parameters"))?;
        }
        ignored.name_all("tools[].", extra, &["strict", "cache_control"]);
        ignored.name_all("tools[].function.", &function.extra, &["strict", "cache_control"]);
        let strict = [extra, &function.extra].iter().any(|fields| fields.get("strict") == Some(&Value::Bool(true)));
        ignored.name_function("tools[].function.", strict, ("parameters", function.parameters.as_ref()));
    }
    Ok(names)
}

fn check_choice(choice: &ToolChoice, offered: &HashSet<&str>) -> Result<(), Error> {
    let names = match choice {
        ToolChoice::None | ToolChoice::Auto => return Ok(()),
        ToolChoice::Required if offered.is_empty() => {
            let message = "`tool_choice` requires a call, and no functions are offered. Offer some in `tools`.";
            return Err(invalid("tool_choice", message));
        }
        ToolChoice::Required => return Ok(()),
        ToolChoice::Function(name) => std::slice::from_ref(name),
        ToolChoice::Allowed { required: true, names } if names.is_empty() => {
            let message = "`tool_choice` requires a call, and allows no function. Name some, or use \"none\".";
            return Err(invalid("tool_choice.allowed_tools.tools", message));
        }
        ToolChoice::Allowed { names, .. } => names,
    };
    match names.iter().find(|name| !offered.contains(name.as_str())) {
        Some(name) => {
            let message =
                format!("`tool_choice` names the function {name:?}, which is not offered. Add it to `tools`.");
            Err(invalid("tool_choice", message))
        }
        None => Ok(()),
    }
}

fn check_name(name: &str, at: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=MAX_NAME_LENGTH).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    let message = format!("The name {name:?} is not valid. Use 1 to {MAX_NAME_LENGTH} letters, digits, `_` and `-`.");
    Err(invalid(at, message))
}
