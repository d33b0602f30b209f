//! The lines that the CLI writes, and what is read of each. Those that it is sent are in `outgoing`.
//!
//! Shapes measured on 2.1.328. Lines of unknown types, and lines that are not JSON, are normal and are skipped.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::AHEAD;
use crate::Usage;

/// Text borrowed from its line, unless it has escapes.
#[derive(Debug, Deserialize, Default)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Text<'_>> for String {
    fn from(text: Text<'_>) -> String {
        text.0.into_owned()
    }
}

/// A line of the CLI's stdout: the fields that matter of all types of line. Most are absent in any one line.
#[derive(Debug, Deserialize)]
pub(crate) struct Line<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) subtype: Option<Text<'a>>,
    /// Set in the lines of a sub-agent.
    #[serde(borrow, default)]
    pub(crate) parent_tool_use_id: Option<Text<'a>>,
    /// Of `stream_event`.
    #[serde(borrow, default)]
    pub(crate) event: Option<StreamEvent<'a>>,
    /// Of `assistant` and `user`.
    #[serde(borrow, default)]
    pub(crate) message: Option<&'a RawValue>,
    /// Of an `assistant` line that reports a failure of the API.
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
    /// Of `control_request`.
    #[serde(borrow, default)]
    pub(crate) request_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) request: Option<&'a RawValue>,
    /// Of `control_response`.
    #[serde(borrow, default)]
    pub(crate) response: Option<&'a RawValue>,
    /// Of `system/init`.
    #[serde(borrow, default)]
    pub(crate) tools: Option<&'a RawValue>,
    /// Of `rate_limit_event`.
    #[serde(borrow, default)]
    pub(crate) rate_limit_info: Option<&'a RawValue>,
    /// Of `result`.
    #[serde(default)]
    pub(crate) is_error: Option<bool>,
    #[serde(default)]
    pub(crate) num_turns: Option<u64>,
    #[serde(default)]
    pub(crate) api_error_status: Option<u16>,
    #[serde(borrow, default)]
    pub(crate) result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) errors: Option<&'a RawValue>,
}

impl<'a> Line<'a> {
    /// Reads a line; `None` if it is not of the protocol.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        // Text is checked to be UTF-8 faster in one piece than string by string.
        let parsed = match std::str::from_utf8(line) {
            Ok(line) => serde_json::from_str(line),
            Err(_) => serde_json::from_slice(line),
        };
        match parsed {
            Ok(line) => Some(line),
            Err(error) => {
                if !line.trim_ascii().is_empty() {
                    tracing::debug!(%error, length = line.len(), "skipped a line that is not of the protocol");
                }
                None
            }
        }
    }

    /// Whether the CLI writes such a line only in reaction to a new turn. Other lines may still be left over from the last
    /// turn (`message_stop` after a call, for one).
    pub(crate) fn answers_this_turn(&self) -> bool {
        match self.kind.as_str() {
            "control_response" => !read::<ControlReply>(self.response).is_to_what_was_told_ahead(),
            "result" | "user" => true,
            "system" => self.subtype.as_ref().is_some_and(|subtype| subtype.as_str() == "init"),
            "stream_event" => self.begins_a_message(),
            _ => false,
        }
    }

    /// Whether the model begins to answer.
    pub(crate) fn begins_a_message(&self) -> bool {
        self.event.as_ref().is_some_and(|event| event.kind.as_str() == "message_start")
    }
}

/// The line with U+FFFD in place of each lone surrogate in a string; `None` if there is none. JSON may have them, Rust's
/// strings may not.
pub(crate) fn without_lone_surrogates(line: &[u8]) -> Option<Vec<u8>> {
    let half = |at: usize| -> Option<u16> {
        let digits = line.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let code = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        (0xd800..0xe000).contains(&code).then_some(code)
    };
    let mut mended = Vec::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(found) = line.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found;
        match (half(at), half(at + 6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..)) => at += 12,
            (Some(_), _) => {
                mended.extend_from_slice(&line[kept..at]);
                mended.extend_from_slice("\u{fffd}".as_bytes());
                at += 6;
                kept = at;
            }
            // Another escape: the character after the backslash does not begin one.
            (None, _) => at += 2,
        }
    }
    if kept == 0 {
        return None;
    }
    mended.extend_from_slice(&line[kept..]);
    Some(mended)
}

/// Reads a raw value as this type, or the type's default if it has another shape.
pub(crate) fn read<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// An event of the Messages API's stream. What only few events have is boxed: each line is moved several times.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamEvent<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Text<'a>,
    #[serde(default)]
    pub(crate) index: Option<u32>,
    #[serde(borrow, default)]
    pub(crate) delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub(crate) content_block: Option<Box<Block<'a>>>,
    #[serde(borrow, default)]
    pub(crate) message: Option<Box<MessageStart<'a>>>,
    #[serde(default)]
    pub(crate) usage: Option<Box<ApiUsage>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Delta<'a> {
    #[serde(rename = "type", borrow, default)]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) partial_json: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) citation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) stop_details: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Block<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) text: Option<Text<'a>>,
    /// Of `thinking`.
    #[serde(borrow, default)]
    pub(crate) thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) signature: Option<Text<'a>>,
    /// Of `redacted_thinking`.
    #[serde(borrow, default)]
    pub(crate) data: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) tool_use_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) input: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct MessageStart<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    #[serde(borrow)]
    pub(crate) model: Text<'a>,
    #[serde(default)]
    pub(crate) usage: Option<ApiUsage>,
}

/// The Messages API's token counts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ApiUsage {
    pub(crate) input_tokens: Option<u64>,
    pub(crate) cache_creation_input_tokens: Option<u64>,
    pub(crate) cache_read_input_tokens: Option<u64>,
    pub(crate) cache_creation: Option<CacheCreation>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) output_tokens_details: Option<OutputDetails>,
}

/// The tokens written to the prompt cache, by how long they stay there.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CacheCreation {
    pub(crate) ephemeral_5m_input_tokens: u64,
    pub(crate) ephemeral_1h_input_tokens: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OutputDetails {
    pub(crate) thinking_tokens: Option<u64>,
}

impl ApiUsage {
    /// Takes the counts that a later event of the same message has.
    pub(crate) fn update(&mut self, later: ApiUsage) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details.take());
    }

    /// In OpenAI's terms: there, cached tokens count as tokens of the prompt.
    pub(crate) fn to_openai(&self) -> Usage {
        let cached = self.cache_read_input_tokens.unwrap_or(0);
        let written = self.cache_creation_input_tokens.unwrap_or(0);
        Usage {
            prompt_tokens: self.input_tokens.unwrap_or(0) + cached + written,
            cached_tokens: cached,
            cache_write_tokens: written,
            cache_write_1h_tokens: self.cache_creation.unwrap_or_default().ephemeral_1h_input_tokens,
            completion_tokens: self.output_tokens.unwrap_or(0),
            reasoning_tokens: self.output_tokens_details.as_ref().and_then(|d| d.thinking_tokens).unwrap_or(0),
        }
    }
}

/// A message of an `assistant` or `user` line.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct FullMessage<'a> {
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) model: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) content: Option<&'a RawValue>,
    /// Only of one that was fetched in one piece.
    #[serde(borrow, default)]
    pub(crate) stop_reason: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) usage: Option<ApiUsage>,
}

impl<'a> FullMessage<'a> {
    /// Its blocks; none if the content is a plain string.
    pub(crate) fn blocks(&self) -> Vec<Block<'a>> {
        read(self.content)
    }

    /// The text of its blocks.
    pub(crate) fn text(&self) -> String {
        let blocks = self.blocks();
        let texts: Vec<&str> = blocks.iter().filter_map(|block| block.text.as_ref().map(Text::as_str)).collect();
        texts.join("\n")
    }
}

/// What a `control_response` says.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ControlReply<'a> {
    #[serde(borrow, default)]
    pub(crate) subtype: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) request_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) error: Option<Text<'a>>,
    /// Of a success.
    #[serde(borrow, default)]
    pub(crate) response: Option<&'a RawValue>,
}

impl ControlReply<'_> {
    fn is_to_what_was_told_ahead(&self) -> bool {
        self.request_id.as_ref().is_some_and(|id| id.as_str().starts_with(AHEAD))
    }
}

/// What the CLI says about the model that it was told to use.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ModelTaken {
    /// As the API names it.
    #[serde(default)]
    pub(crate) model: Option<String>,
}

/// What the CLI asks in a `control_request`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ControlRequest {
    pub(crate) subtype: String,
    /// Of `mcp_message`.
    #[serde(default)]
    pub(crate) message: Value,
    /// Of `can_use_tool`.
    #[serde(default)]
    pub(crate) tool_name: String,
    /// The tool's input, or what a `hook_callback` is given.
    #[serde(default)]
    pub(crate) input: Value,
    #[serde(default)]
    pub(crate) blocked_path: Option<String>,
    #[serde(default)]
    pub(crate) decision_reason: Option<String>,
    #[serde(default)]
    pub(crate) decision_reason_type: Option<String>,
    #[serde(default)]
    pub(crate) tool_use_id: Option<String>,
}

impl ControlRequest {
    /// Whether it is our hook's question, which comes before each use of a tool.
    pub(crate) fn is_hook(&self) -> bool {
        self.subtype == "hook_callback"
    }

    /// The tool that the model wants to use, and its input.
    pub(crate) fn tool_use(&self) -> (&str, &Value) {
        if self.is_hook() {
            (self.input["tool_name"].as_str().unwrap_or_default(), &self.input["tool_input"])
        } else {
            (&self.tool_name, &self.input)
        }
    }

    /// The id of this use.
    pub(crate) fn tool_use_id(&self) -> Option<&str> {
        self.tool_use_id.as_deref().or_else(|| self.input["tool_use_id"].as_str().filter(|_| self.is_hook()))
    }
}

#[cfg(test)]
mod tests {
    use super::without_lone_surrogates;

    #[test]
    fn only_halves_that_stand_alone_are_replaced() {
        let mended = |line: &str| without_lone_surrogates(line.as_bytes()).map(|line| String::from_utf8(line).unwrap());
        for whole in [r#"{"a":"b"}"#, r#""\\ud83d""#, r#""\ud83d\ude00""#, r#""\u00e9""#, r#""\ud8"#, r"\\"] {
            assert_eq!(mended(whole), None, "{whole}");
        }
        assert_eq!(mended(r#""a\ud83d b""#).unwrap(), "\"a\u{fffd} b\"");
        assert_eq!(mended(r#""\ude00\ud83d\ud83d\ude00""#).unwrap(), "\"\u{fffd}\u{fffd}\\ud83d\\ude00\"");
        assert_eq!(mended(r#""\ud83d\\ud83d""#).unwrap(), "\"\u{fffd}\\\\ud83d\"");
    }
}
