//! A Messages request as Anthropic's clients write it. What it means is in `decode`.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::chat::Extra;
use crate::chat::compact::some_value;
use crate::http::text_or_list::{Either, text_or_list};

/// The body of `POST /v1/messages`.
#[derive(Debug, Deserialize)]
pub(crate) struct MessagesRequest {
    pub(crate) model: String,
    pub(crate) messages: Vec<WireMessage>,
    #[serde(default)]
    pub(crate) max_tokens: Option<u32>,
    #[serde(default)]
    pub(crate) system: Option<Blocks>,
    #[serde(default)]
    pub(crate) tools: Option<Vec<WireTool>>,
    #[serde(default)]
    pub(crate) tool_choice: Option<WireToolChoice>,
    #[serde(default)]
    pub(crate) thinking: Option<WireThinking>,
    #[serde(default)]
    pub(crate) stop_sequences: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) stream: Option<bool>,
    #[serde(default)]
    pub(crate) metadata: Option<Metadata>,
    #[serde(default)]
    pub(crate) output_config: Option<OutputConfig>,
    /// The beta that came before `output_config.format`; older SDKs still send it.
    #[serde(default)]
    pub(crate) output_format: Option<OutputFormat>,
    /// Marks the last block that can have a mark.
    #[serde(default)]
    pub(crate) cache_control: Option<Box<Value>>,
    /// Every other field, as it was sent.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

/// One message.
#[derive(Debug, Deserialize)]
pub(crate) struct WireMessage {
    pub(crate) role: WireRole,
    pub(crate) content: Blocks,
}

/// Who speaks. `system` in the middle of a conversation is what Claude Code 2.1 sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WireRole {
    User,
    Assistant,
    System,
}

/// Content: a string stands for one text block.
#[derive(Debug)]
pub(crate) enum Blocks {
    Text(String),
    Blocks(Vec<Block>),
}

impl<'de> Deserialize<'de> for Blocks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_list(deserializer, "a string, or an array of content blocks").map(|either| match either {
            Either::Text(text) => Blocks::Text(text),
            Either::List(blocks) => Blocks::Blocks(blocks),
        })
    }
}

/// What is in a block.
#[derive(Debug)]
pub(crate) enum BlockContent {
    Blocks(Blocks),
    /// What a tool of Anthropic's servers has found, or how it failed.
    Object,
}

impl<'de> Deserialize<'de> for BlockContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = BlockContent;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string, or an array of content blocks")
            }
            fn visit_str<E>(self, text: &str) -> Result<BlockContent, E> {
                Ok(BlockContent::Blocks(Blocks::Text(text.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, blocks: A) -> Result<BlockContent, A::Error> {
                Blocks::deserialize(SeqAccessDeserializer::new(blocks)).map(BlockContent::Blocks)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<BlockContent, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(BlockContent::Object)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// A content block of any type: the fields that have a meaning here, and the rest. It is small, since a request may have a
/// hundred thousand blocks, most of them texts.
#[derive(Debug, Deserialize)]
pub(crate) struct Block {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Of `text`.
    #[serde(default)]
    pub(crate) text: Option<String>,
    /// Of `thinking`.
    #[serde(default)]
    pub(crate) thinking: Option<Box<str>>,
    #[serde(default)]
    pub(crate) signature: Option<Box<str>>,
    /// Of `redacted_thinking`.
    #[serde(default)]
    pub(crate) data: Option<Box<str>>,
    /// Of `tool_use`.
    #[serde(default)]
    pub(crate) id: Option<Box<str>>,
    #[serde(default)]
    pub(crate) name: Option<Box<str>>,
    #[serde(default)]
    pub(crate) input: Option<Box<RawValue>>,
    /// Of `tool_result`.
    #[serde(default)]
    pub(crate) tool_use_id: Option<Box<str>>,
    #[serde(default)]
    pub(crate) is_error: Option<bool>,
    #[serde(default)]
    pub(crate) content: Option<BlockContent>,
    /// Of any type.
    #[serde(default)]
    pub(crate) cache_control: Option<Box<Value>>,
    #[serde(flatten)]
    pub(crate) extra: Extra,
}

/// A tool: the client's own if its `type` is absent or `custom`, otherwise one that Anthropic runs or defines.
#[derive(Debug, Deserialize)]
pub(crate) struct WireTool {
    #[serde(rename = "type", default)]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default, deserialize_with = "some_value")]
    pub(crate) input_schema: Option<Value>,
    #[serde(default)]
    pub(crate) cache_control: Option<Box<Value>>,
    #[serde(flatten)]
    pub(crate) extra: Extra,
}

#[derive(Debug, Deserialize)]
pub(crate) struct WireToolChoice {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) disable_parallel_tool_use: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct WireThinking {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) budget_tokens: Option<u64>,
    #[serde(default)]
    pub(crate) display: Option<String>,
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) user_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OutputConfig {
    #[serde(default)]
    pub(crate) effort: Option<String>,
    #[serde(default)]
    pub(crate) format: Option<OutputFormat>,
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OutputFormat {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "some_value")]
    pub(crate) schema: Option<Value>,
}
