//! The JSON of a request, as OpenAI's schema has it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::items::Input;
use super::tools::ToolParam;
use crate::chat::compact::some_value;

/// `CreateResponse`. Fields without a name here are in `rest`; [`fields`](super::fields) says what becomes of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CreateResponse {
    pub(crate) model: Option<String>,
    pub(crate) input: Option<Input>,
    pub(crate) instructions: Option<String>,
    pub(crate) previous_response_id: Option<String>,
    pub(crate) tools: Option<Vec<ToolParam>>,
    pub(crate) tool_choice: Option<Value>,
    pub(crate) parallel_tool_calls: Option<bool>,
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) text: Option<Text>,
    pub(crate) reasoning: Option<Reasoning>,
    pub(crate) include: Option<Vec<String>>,
    pub(crate) metadata: Option<Map<String, Value>>,
    pub(crate) store: Option<bool>,
    pub(crate) background: Option<bool>,
    pub(crate) stream: Option<bool>,
    pub(crate) stream_options: Option<Map<String, Value>>,
    pub(crate) prompt_cache_key: Option<String>,
    pub(crate) safety_identifier: Option<String>,
    pub(crate) user: Option<String>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// The form of the answer's text.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Text {
    pub(crate) format: Option<Format>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// `text.format`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Format {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    #[serde(default, deserialize_with = "some_value")]
    pub(crate) schema: Option<Value>,
    pub(crate) strict: Option<bool>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// How the model is to reason, and how much of that the client is told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reasoning {
    pub(crate) effort: Option<String>,
    pub(crate) summary: Option<String>,
    /// The older name of `summary`.
    pub(crate) generate_summary: Option<String>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

impl CreateResponse {
    /// Whether the client reads what the model thought: it asked for `reasoning.summary`.
    pub(crate) fn wants_summary(&self) -> bool {
        self.reasoning.as_ref().is_some_and(|asked| asked.summary.is_some() || asked.generate_summary.is_some())
    }

    /// Whether a reasoning item is expected: an effort other than `none`, or a summary, is asked for.
    pub(crate) fn wants_reasoning(&self) -> bool {
        let effort = self.reasoning.as_ref().and_then(|asked| asked.effort.as_deref());
        self.wants_summary() || effort.is_some_and(|effort| effort != "none")
    }

    pub(crate) fn includes(&self, what: &str) -> bool {
        self.include.iter().flatten().any(|named| named == what)
    }
}
