//! The table: every top-level field of OpenAI's request.

use crate::http::fields::{Field, Shape, field};

/// Every top-level field of OpenAI's `CreateChatCompletionRequest`, by name.
pub(crate) const FIELDS: &[Field] = &[
    field("audio", Shape::Object).refused("Answers are text here: leave `audio` out."),
    field("frequency_penalty", Shape::Number),
    field("function_call", Shape::Any)
        .harmless(&["\"auto\"", "\"none\""])
        .refused("It is deprecated: use `tool_choice`."),
    field("functions", Shape::Array).harmless(&["[]"]).refused("It is deprecated: use `tools`."),
    field("logit_bias", Shape::Object),
    field("logprobs", Shape::Boolean).harmless(&["false"]).refused(NO_PROBABILITIES),
    field("max_completion_tokens", Shape::Integer),
    field("max_tokens", Shape::Integer),
    field("messages", Shape::Array),
    field("metadata", Shape::Object).accepted(),
    field("modalities", Shape::Array)
        .harmless(&["[\"text\"]", "[]"])
        .refused("Answers are text here: send [\"text\"]."),
    field("model", Shape::String),
    field("moderation", Shape::Object).refused("Nothing is moderated here: leave it out, or moderate in the client."),
    field("n", Shape::Integer),
    field("parallel_tool_calls", Shape::Boolean),
    field("prediction", Shape::Object),
    field("presence_penalty", Shape::Number),
    field("prompt_cache_key", Shape::String),
    field("prompt_cache_options", Shape::Object),
    field("prompt_cache_retention", Shape::String),
    field("reasoning_effort", Shape::String),
    field("response_format", Shape::Object),
    field("safety_identifier", Shape::String).accepted(),
    field("seed", Shape::Integer),
    field("service_tier", Shape::String),
    field("stop", Shape::Any),
    field("store", Shape::Boolean).accepted(),
    field("stream", Shape::Boolean),
    field("stream_options", Shape::Object),
    field("temperature", Shape::Number),
    field("tool_choice", Shape::Any),
    field("tools", Shape::Array),
    field("top_logprobs", Shape::Integer).harmless(&["0"]).refused(NO_PROBABILITIES),
    field("top_p", Shape::Number),
    field("user", Shape::String).accepted(),
    field("verbosity", Shape::String),
    field("web_search_options", Shape::Object).refused("Nothing is searched here: offer a search function in `tools`."),
];

const NO_PROBABILITIES: &str = "Answers have no token probabilities here: leave it out.";
