//! What flows through the layers: a typed request in the shape of Chat Completions, and a stream of events back.
//!
//! JSON becomes a [`ChatRequest`] once, at the HTTP edge. Fields that this crate has no name for are kept in `extra` and
//! encoded back unchanged. A field whose value is `null` counts as absent, as OpenAI's schema has it;
//! only a message's `content` keeps the difference.

pub(crate) mod abilities;
pub(crate) mod call_id;
pub(crate) mod compact;
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) mod data_url;
pub(crate) mod digest;
mod extra;
mod message;
mod model;
pub(crate) mod recognition;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod size;
pub(crate) mod translate;
pub(crate) mod unkept;

pub use abilities::Abilities;
pub use extra::Extra;
#[cfg(feature = "cli")]
pub(crate) use message::GO_AHEAD;
pub use message::{CalledFunction, Content, File, ImageUrl, Message, Part, Reasoning, Role, ToolCall};
pub use model::Model;
pub use recognition::{Sent, Told};
// The crate root exports these.
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) use request::ChatRequest;
pub use request::{Caller, Function, JsonSchema, ResponseFormat, StreamOptions, Thinking, Tool, ToolChoice};
pub(crate) use response::{ChatEvent, FinishReason, Usage};
pub use translate::{Events, Translate, TranslateFuture};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_encodes_back_to_the_json_it_came_from() {
        let json = serde_json::json!({
            "model": "m",
            "messages": [
                {"role": "developer", "content": "d", "name": "n"},
                {"role": "user", "content": [
                    {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": {"url": "https://e/x.png", "detail": "low"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "f.pdf"}},
                    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                    {"type": "of_tomorrow", "x": 1}
                ]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ]},
                {"role": "tool", "content": "", "tool_call_id": "c1"},
                {"role": "assistant", "refusal": "no", "audio": {"id": "a"}}
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": true}}],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
                {"type": "function", "function": {"name": "f"}}
            ]}},
            "stop": ["a", "b"],
            "stream": true,
            "stream_options": {"include_usage": true, "include_obfuscation": false},
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}, "strict": true}},
            "temperature": 0.5,
            "of_tomorrow": {"deep": [1, 2]}
        });
        let request: ChatRequest = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&request).unwrap(), json);
    }

    #[test]
    fn a_stop_text_may_stand_without_its_list() {
        let request: ChatRequest = serde_json::from_str(r#"{"model":"m","messages":[],"stop":"END"}"#).unwrap();
        assert_eq!(request.stop, ["END"]);
        let error = serde_json::from_str::<ChatRequest>(r#"{"model":"m","messages":[],"stop":1}"#).unwrap_err();
        assert!(error.to_string().starts_with("expected a string or an array of strings"), "{error}");
    }

    #[test]
    fn null_counts_as_absent_except_as_content() {
        let request: ChatRequest =
            serde_json::from_str(r#"{"model":"m","messages":[{"role":"assistant","content":null}],"stop":null}"#)
                .unwrap();
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"model":"m","messages":[{"role":"assistant","content":null}]}"#
        );
    }
}
