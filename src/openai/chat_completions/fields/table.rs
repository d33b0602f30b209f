//! The table: every top-level field of OpenAI's request, its JSON type, and what becomes of it.

use serde_json::Value;

use super::{invalid, unsupported};
use crate::Error;

/// A top-level field of OpenAI's `CreateChatCompletionRequest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the JSON.
    pub name: &'static str,
    /// The JSON type that it must have, `null` aside, which counts as absent.
    pub shape: Shape,
    /// What becomes of it.
    pub treatment: Treatment,
}

/// A JSON type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    String,
    /// Any number.
    Number,
    /// A number without a fraction.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// An object.
    Object,
    /// An array.
    Array,
    /// Several types are possible.
    Any,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It does what OpenAI's documentation says.
    Honoured,
    /// It asks for nothing that would change the answer, so that there is nothing to do.
    Accepted,
    /// The CLI has no such setting: named in `x-ignored-parameters`.
    Ignored,
    /// It cannot be done, and the answer would not be what was asked for: 400, unless it has a value that asks for
    /// nothing.
    Refused {
        /// The values that ask for nothing, as JSON text.
        unless: &'static [&'static str],
        /// What to do instead.
        advice: &'static str,
    },
}

pub(crate) const fn field(name: &'static str, shape: Shape, treatment: Treatment) -> Field {
    Field { name, shape, treatment }
}

/// Every top-level field of OpenAI's `CreateChatCompletionRequest`, by name. A field that is not here is ignored by name.
pub const FIELDS: &[Field] = &[
    field(
        "audio",
        Shape::Object,
        Treatment::Refused { unless: &[], advice: "Claude answers in text: leave `audio` out." },
    ),
    field("frequency_penalty", Shape::Number, Treatment::Ignored),
    field(
        "function_call",
        Shape::Any,
        Treatment::Refused { unless: &["\"auto\"", "\"none\""], advice: "It is deprecated: use `tool_choice`." },
    ),
    field("functions", Shape::Array, Treatment::Refused { unless: &["[]"], advice: "It is deprecated: use `tools`." }),
    field("logit_bias", Shape::Object, Treatment::Ignored),
    field(
        "logprobs",
        Shape::Boolean,
        Treatment::Refused {
            unless: &["false"],
            advice: "Claude does not report token probabilities: leave `logprobs` out.",
        },
    ),
    field("max_completion_tokens", Shape::Integer, Treatment::Honoured),
    field("max_tokens", Shape::Integer, Treatment::Honoured),
    field("messages", Shape::Array, Treatment::Honoured),
    field("metadata", Shape::Object, Treatment::Accepted),
    field(
        "modalities",
        Shape::Array,
        Treatment::Refused { unless: &["[\"text\"]", "[]"], advice: "Claude answers in text: send [\"text\"]." },
    ),
    field("model", Shape::String, Treatment::Honoured),
    field(
        "moderation",
        Shape::Object,
        Treatment::Refused {
            unless: &[],
            advice: "Nothing is moderated here: leave it out, or moderate in the client.",
        },
    ),
    field("n", Shape::Integer, Treatment::Honoured),
    field("parallel_tool_calls", Shape::Boolean, Treatment::Honoured),
    field("prediction", Shape::Object, Treatment::Ignored),
    field("presence_penalty", Shape::Number, Treatment::Ignored),
    field("prompt_cache_key", Shape::String, Treatment::Honoured),
    field("prompt_cache_options", Shape::Object, Treatment::Ignored),
    field("prompt_cache_retention", Shape::String, Treatment::Ignored),
    field("reasoning_effort", Shape::String, Treatment::Honoured),
    field("response_format", Shape::Object, Treatment::Honoured),
    field("safety_identifier", Shape::String, Treatment::Accepted),
    field("seed", Shape::Integer, Treatment::Ignored),
    field("service_tier", Shape::String, Treatment::Ignored),
    field("stop", Shape::Any, Treatment::Honoured),
    field("store", Shape::Boolean, Treatment::Accepted),
    field("stream", Shape::Boolean, Treatment::Honoured),
    field("stream_options", Shape::Object, Treatment::Honoured),
    field("temperature", Shape::Number, Treatment::Ignored),
    field("tool_choice", Shape::Any, Treatment::Honoured),
    field("tools", Shape::Array, Treatment::Honoured),
    field(
        "top_logprobs",
        Shape::Integer,
        Treatment::Refused {
            unless: &["0"],
            advice: "Claude does not report token probabilities: leave `top_logprobs` out.",
        },
    ),
    field("top_p", Shape::Number, Treatment::Ignored),
    field("user", Shape::String, Treatment::Accepted),
    field("verbosity", Shape::String, Treatment::Ignored),
    field(
        "web_search_options",
        Shape::Object,
        Treatment::Refused { unless: &[], advice: "Nothing is searched here: offer a search function in `tools`." },
    ),
];

/// Lets a field in by its type and treatment, or refuses it.
pub(crate) fn admit(field: &Field, value: &Value) -> Result<Treatment, Error> {
    if !value.is_null() {
        if !field.shape.fits(value) {
            let (name, expected) = (field.name, field.shape.described());
            return Err(invalid(
                name,
                format!("`{name}` must be {expected}, not {}. Send one, or leave it out.", found(value)),
            ));
        }
        if let Treatment::Refused { unless, advice } = field.treatment
            && !unless.iter().any(|json| serde_json::from_str::<Value>(json).is_ok_and(|harmless| harmless == *value))
        {
            let name = field.name;
            return Err(unsupported(name, format!("`{name}` is not supported with this value. {advice}")));
        }
    }
    Ok(field.treatment)
}

impl Shape {
    fn fits(self, value: &Value) -> bool {
        match self {
            Shape::String => value.is_string(),
            Shape::Number => value.is_number(),
            Shape::Integer => value.is_i64() || value.is_u64(),
            Shape::Boolean => value.is_boolean(),
            Shape::Object => value.is_object(),
            Shape::Array => value.is_array(),
            Shape::Any => true,
        }
    }

    fn described(self) -> &'static str {
        match self {
            Shape::String => "a string",
            Shape::Number => "a number",
            Shape::Integer => "a whole number",
            Shape::Boolean => "a boolean",
            Shape::Object => "an object",
            Shape::Array => "an array",
            Shape::Any => "a JSON value",
        }
    }
}

/// What a value is, for a message that says what it should have been.
pub(super) fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fractional number",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
