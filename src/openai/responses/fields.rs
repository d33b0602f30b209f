//! What becomes of each field of a request: honoured, accepted, ignored by name, or refused.

use serde_json::Value;

use super::request::CreateResponse;
use crate::Error;
use crate::openai::chat_completions::fields::{Field, Shape, Treatment, admit, field};
pub(crate) use crate::openai::chat_completions::fields::{Ignored, check_schema, invalid, unsupported};

/// Every top-level field of OpenAI's `CreateResponse`, by name. A field that is not here is ignored by name.
///
/// ```
/// use tower_claude::openai::chat_completions::fields::Treatment;
/// use tower_claude::openai::responses::FIELDS;
///
/// let treatment = |name| FIELDS.iter().find(|field| field.name == name).map(|field| field.treatment);
/// assert_eq!(treatment("previous_response_id"), Some(Treatment::Honoured));
/// assert_eq!(treatment("temperature"), Some(Treatment::Ignored));
/// assert!(matches!(treatment("conversation"), Some(Treatment::Refused { .. })));
/// ```
pub const FIELDS: &[Field] = &[
    field("background", Shape::Boolean, Treatment::Honoured),
    // What Codex says of itself.
    field("client_metadata", Shape::Object, Treatment::Accepted),
    field("context_management", Shape::Array, Treatment::Ignored),
    field(
        "conversation",
        Shape::Any,
        Treatment::Refused {
            unless: &[],
            advice: "Conversations are not kept under ids of their own here: send `previous_response_id`, or the \
                     whole conversation as `input`.",
        },
    ),
    field("include", Shape::Array, Treatment::Honoured),
    field("input", Shape::Any, Treatment::Honoured),
    field("instructions", Shape::String, Treatment::Honoured),
    field("max_output_tokens", Shape::Integer, Treatment::Honoured),
    field("max_tool_calls", Shape::Integer, Treatment::Ignored),
    field("metadata", Shape::Object, Treatment::Honoured),
    field("model", Shape::String, Treatment::Honoured),
    field(
        "moderation",
        Shape::Object,
        Treatment::Refused {
            unless: &[],
            advice: "Nothing is moderated here: leave it out, or moderate in the client.",
        },
    ),
    field("parallel_tool_calls", Shape::Boolean, Treatment::Honoured),
    field("previous_response_id", Shape::String, Treatment::Honoured),
    field(
        "prompt",
        Shape::Object,
        Treatment::Refused {
            unless: &[],
            advice: "Prompts are not kept here: send their text as `instructions` and `input`.",
        },
    ),
    field("prompt_cache_key", Shape::String, Treatment::Honoured),
    field("prompt_cache_options", Shape::Object, Treatment::Ignored),
    field("prompt_cache_retention", Shape::String, Treatment::Ignored),
    field("reasoning", Shape::Object, Treatment::Honoured),
    field("safety_identifier", Shape::String, Treatment::Accepted),
    field("service_tier", Shape::String, Treatment::Ignored),
    field("store", Shape::Boolean, Treatment::Honoured),
    field("stream", Shape::Boolean, Treatment::Honoured),
    field("stream_options", Shape::Object, Treatment::Accepted),
    field("temperature", Shape::Number, Treatment::Ignored),
    field("text", Shape::Object, Treatment::Honoured),
    field("tool_choice", Shape::Any, Treatment::Honoured),
    field("tools", Shape::Array, Treatment::Honoured),
    field(
        "top_logprobs",
        Shape::Integer,
        Treatment::Refused {
            unless: &["0"],
            advice: "Token probabilities are not reported: leave `top_logprobs` out.",
        },
    ),
    field("top_p", Shape::Number, Treatment::Ignored),
    field(
        "truncation",
        Shape::String,
        Treatment::Refused {
            unless: &["\"disabled\""],
            advice: "Nothing is left out of a conversation without its client's knowledge: send \"disabled\", and \
                     shorten the input where the answer is a 400 `context_length_exceeded`.",
        },
    ),
    field("user", Shape::String, Treatment::Accepted),
];

/// The values of `include` that ask for what hosted tools leave behind.
const INCLUDES_OF_HOSTED_TOOLS: &[&str] = &[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "web_search_call.action.sources",
    "web_search_call.results",
];

const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// Checks all of a request but its input and its tools.
pub(crate) fn check(request: &CreateResponse, ignored: &mut Ignored) -> Result<(), Error> {
    for (name, value) in &request.rest {
        let treatment = match FIELDS.iter().find(|field| field.name == name) {
            Some(field) => admit(field, value)?,
            None => Treatment::Ignored,
        };
        if treatment == Treatment::Ignored {
            ignored.name("", name, value);
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
            // There is nothing of the kind to include.
            what if INCLUDES_OF_HOSTED_TOOLS.contains(&what) => ignored.name("include.", what, &Value::Bool(true)),
            other => ignored.name("include.", other, &Value::Bool(true)),
        }
    }
    check_reasoning(request, ignored)?;
    check_text(request, ignored)?;
    check_metadata(request)?;
    let unstored = request.store == Some(false);
    if request.background == Some(true) && unstored {
        let message = "A response in the background has to be kept for its client: leave `store` out, or send true.";
        return Err(invalid("store", message));
    }
    Ok(())
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

fn check_text(request: &CreateResponse, ignored: &mut Ignored) -> Result<(), Error> {
    let Some(text) = &request.text else { return Ok(()) };
    for (name, value) in &text.rest {
        // Neither a long answer nor a short one is asked for.
        if !(name == "verbosity" && value == "medium") {
            ignored.name("text.", name, value);
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

/// OpenAI's own limits: metadata comes back with the answer, and is not a place to keep things in.
fn check_metadata(request: &CreateResponse) -> Result<(), Error> {
    const MOST: usize = 16;
    const LONGEST_KEY: usize = 64;
    const LONGEST_VALUE: usize = 512;
    let Some(metadata) = &request.metadata else { return Ok(()) };
    if metadata.len() > MOST {
        let message = format!("`metadata` has {} pairs. Send at most {MOST}.", metadata.len());
        return Err(invalid("metadata", message));
    }
    for (key, value) in metadata {
        let fits = |text: &str, most: usize| text.chars().count() <= most;
        if !fits(key, LONGEST_KEY) || !value.as_str().is_some_and(|value| fits(value, LONGEST_VALUE)) {
            let message = format!(
                "`metadata` takes keys of up to {LONGEST_KEY} characters and strings of up to {LONGEST_VALUE}. Shorten \
                 this pair, or leave it out."
            );
            return Err(invalid(format!("metadata.{key}"), message));
        }
    }
    Ok(())
}
