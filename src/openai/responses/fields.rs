//! What becomes of each field of a request: honoured, accepted, ignored by name, or refused.

use serde_json::{Map, Value};

use super::request::CreateResponse;
use crate::Error;
use crate::http::fields::{Field, Ignored, Shape, admit, admit_setting, field, invalid, unsupported};
use crate::openai::schema::check_schema;

/// Every top-level field of OpenAI's `CreateResponse`, by name.
pub(crate) const FIELDS: &[Field] = &[
    field("background", Shape::Boolean),
    // Codex's metadata about itself.
    field("client_metadata", Shape::Object).accepted(),
    field("context_management", Shape::Array),
    field("conversation", Shape::Any).refused(
        "Conversations are not kept under ids of their own here: send `previous_response_id`, or the whole conversation \
         as `input`.",
    ),
    field("include", Shape::Array),
    field("input", Shape::Any),
    field("instructions", Shape::String),
    field("max_output_tokens", Shape::Integer),
    field("max_tool_calls", Shape::Integer),
    field("metadata", Shape::Object),
    field("model", Shape::String),
    field("moderation", Shape::Object)
        .refused("Nothing is moderated here: leave it out, or moderate in the client."),
    field("parallel_tool_calls", Shape::Boolean),
    field("previous_response_id", Shape::String),
    field("prompt", Shape::Object)
        .refused("Prompts are not kept here: send their text as `instructions` and `input`."),
    field("prompt_cache_key", Shape::String),
    field("prompt_cache_options", Shape::Object),
    field("prompt_cache_retention", Shape::String),
    field("reasoning", Shape::Object),
    field("safety_identifier", Shape::String).accepted(),
    field("service_tier", Shape::String),
    field("store", Shape::Boolean),
    field("stream", Shape::Boolean),
    field("stream_options", Shape::Object).accepted(),
    field("temperature", Shape::Number),
    field("text", Shape::Object),
    field("tool_choice", Shape::Any),
    field("tools", Shape::Array),
    field("top_logprobs", Shape::Integer)
        .harmless(&["0"])
        .refused("Answers have no token probabilities here: leave it out."),
    field("top_p", Shape::Number),
    // Nothing is left out of a conversation: one that is too long is a 400 `context_length_exceeded`.
    field("truncation", Shape::String).harmless(&["\"disabled\""]).ignored(),
    field("user", Shape::String).accepted(),
];

/// The values of `include` that ask for results of hosted tools.
const INCLUDES_OF_HOSTED_TOOLS: &[&str] = &[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "web_search_call.action.sources",
    "web_search_call.results",
];

const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// Checks all of a request but its input and its tools. Returns the settings for the inner service, under the names that they
/// have in a chat request.
pub(crate) fn check(request: &CreateResponse, ignored: &mut Ignored) -> Result<Map<String, Value>, Error> {
    let mut settings = Map::new();
    for (name, value) in &request.rest {
        if admit(FIELDS, name, value, ignored)? {
            settings.insert(name.clone(), value.clone());
        }
    }
    if request.model.as_deref().is_none_or(str::is_empty) {
        return Err(invalid("model", "`model` is missing. `GET /v1/models` lists those to choose from."));
    }
    if request.max_output_tokens == Some(0) {
        return Err(invalid("max_output_tokens", "`max_output_tokens` is 0. Send 1 or more, or leave it out."));
    }
    for what in request.include.iter().flatten().map(String::as_str) {
        match what {
            "reasoning.encrypted_content" => {}
            "message.output_text.logprobs" => {
                let message = "Token probabilities are not reported: leave `message.output_text.logprobs` out.";
                return Err(unsupported("include", message));
            }
            // There is nothing of that kind to include.
            what if INCLUDES_OF_HOSTED_TOOLS.contains(&what) => ignored.name("include.", what, &Value::Bool(true)),
            other => ignored.name("include.", other, &Value::Bool(true)),
        }
    }
    check_reasoning(request, ignored)?;
    check_text(request, &mut settings, ignored)?;
    check_metadata(request)?;
    let unstored = request.store == Some(false);
    if request.background == Some(true) && unstored {
        let message = "A response in the background has to be kept for its client: leave `store` out, or send true.";
        return Err(invalid("store", message));
    }
    Ok(settings)
}

fn check_reasoning(request: &CreateResponse, ignored: &mut Ignored) -> Result<(), Error> {
    let Some(reasoning) = &request.reasoning else { return Ok(()) };
    if let Some(effort) = &reasoning.effort
        && !EFFORTS.contains(&effort.as_str())
    {
        let message = format!("`reasoning.effort` is {effort:?}. Use one of: {}.", EFFORTS.join(", "));
        return Err(invalid("reasoning.effort", message));
    }
    for (name, value) in &reasoning.rest {
        ignored.name("reasoning.", name, value);
    }
    Ok(())
}

fn check_text(request: &CreateResponse, settings: &mut Map<String, Value>, ignored: &mut Ignored) -> Result<(), Error> {
    let Some(text) = &request.text else { return Ok(()) };
    for (name, value) in &text.rest {
        match (name.as_str(), value.as_str()) {
            // The default: neither a long nor a short answer.
            ("verbosity", Some("medium")) => {}
            ("verbosity", Some(_)) => {
                if admit_setting("text.verbosity", name, ignored)? {
                    settings.insert(name.clone(), value.clone());
                }
            }
            _ => ignored.name("text.", name, value),
        }
    }
    let Some(format) = &text.format else { return Ok(()) };
    match format.kind.as_str() {
        "text" | "json_object" => {}
        "json_schema" => {
            for (name, missing) in [("name", format.name.is_none()), ("schema", format.schema.is_none())] {
                if missing {
                    let message = format!("The format is `json_schema`, and its `{name}` is missing. Send it.");
                    return Err(invalid(format!("text.format.{name}"), message));
                }
            }
            if let Some(schema) = &format.schema {
                check_schema(schema, "text.format.schema")?;
            }
        }
        other => {
            let message = format!("The format {other:?} is not known. Use `text`, `json_object` or `json_schema`.");
            return Err(invalid("text.format.type", message));
        }
    }
    for (name, value) in &format.rest {
        ignored.name("text.format.", name, value);
    }
    Ok(())
}

/// OpenAI's own limits. Metadata is repeated in the answer, so it must not become a place to store things.
fn check_metadata(request: &CreateResponse) -> Result<(), Error> {
    const MAX_PAIRS: usize = 16;
    const MAX_KEY_LENGTH: usize = 64;
    const MAX_VALUE_LENGTH: usize = 512;
    let Some(metadata) = &request.metadata else { return Ok(()) };
    if metadata.len() > MAX_PAIRS {
        let message = format!("`metadata` has {} pairs. Send at most {MAX_PAIRS}.", metadata.len());
        return Err(invalid("metadata", message));
    }
    for (key, value) in metadata {
        let fits = |text: &str, most: usize| text.chars().count() <= most;
        if !fits(key, MAX_KEY_LENGTH) || !value.as_str().is_some_and(|value| fits(value, MAX_VALUE_LENGTH)) {
            let message = format!(
                "`metadata` takes keys of up to {MAX_KEY_LENGTH} characters and strings of up to {MAX_VALUE_LENGTH}. Shorten \
                 this pair, or leave it out."
            );
            return Err(invalid(format!("metadata.{key}"), message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_has_every_field_of_openais_request() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/openai/responses.schema.json");
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let schema: Value = serde_json::from_str(&text).unwrap();
        let mut names = Vec::new();
        collect(&schema, &schema["$defs"]["CreateResponse"], &mut names);
        assert!(names.len() > 25, "{names:?}");
        for name in names {
            assert!(FIELDS.iter().any(|field| field.name == name), "`{name}` is not in the table");
        }
        assert!(FIELDS.is_sorted_by_key(|field| field.name), "by name");
    }

    fn collect(root: &Value, schema: &Value, names: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            collect(root, &root["$defs"][name.trim_start_matches("#/$defs/")], names);
        }
        schema["allOf"].as_array().into_iter().flatten().for_each(|part| collect(root, part, names));
        names.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
    }
}
