//! A call's arguments: the model's own JSON, passed on unchanged.

use std::borrow::Cow;

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::chat::ToolCall;
use crate::chat::unkept::check_object;
use crate::cli::protocol::{UNPARSED, without_lone_surrogates};

/// A call's arguments as the API wants them: an object, on one line since the whole message is one line. Any text may come
/// back from a client, since the model may write any (a call that the token limit cuts, for one): what is no object is told in
/// the form in which the CLI itself keeps it.
pub(super) fn arguments(call: &ToolCall) -> Cow<'_, RawValue> {
    let arguments = match call.function.arguments.trim() {
        "" => "{}",
        arguments => arguments,
    };
    let mended = match check_object(arguments) {
        Ok(()) => Some(Cow::Borrowed(arguments)),
        // The CLI does the same (2.1.328).
        Err(_) => without_lone_surrogates(arguments.as_bytes())
            .and_then(|mended| String::from_utf8(mended).ok())
            .filter(|mended| check_object(mended).is_ok())
            .map(Cow::Owned),
    };
    // A `RawValue` does not look into strings, and has no limit on nesting.
    let raw = mended.and_then(|object| match object {
        // Strings can hold these only as escapes, so each one here is white space between tokens.
        object if object.contains(['\n', '\r']) => {
            RawValue::from_string(object.replace(['\n', '\r'], " ")).ok().map(Cow::Owned)
        }
        Cow::Borrowed(object) => serde_json::from_str(object).ok().map(Cow::Borrowed),
        Cow::Owned(object) => RawValue::from_string(object).ok().map(Cow::Owned),
    });
    raw.unwrap_or_else(|| {
        let raw = json!({UNPARSED: {"raw": arguments, "len": arguments.encode_utf16().count()}});
        Cow::Owned(to_raw_value(&raw).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object_on_one_line_as_they_were_written() {
        let of = |text: &str| {
            let mut call = ToolCall::default();
            call.function.arguments = text.to_owned();
            arguments(&call).get().to_owned()
        };
        assert_eq!(of(" "), "{}");
        assert_eq!(of(" {\"b\":1.0, \"a\":[\"\\n\"]}\n"), "{\"b\":1.0, \"a\":[\"\\n\"]}");
        assert_eq!(of("{\r\n \"a\": 1\n}"), "{   \"a\": 1 }");
        assert_eq!(of("{\"a\":\"\\ud800 \\ud83d\\ude00\",\n\"b\":1}"), "{\"a\":\"\u{fffd} \\ud83d\\ude00\", \"b\":1}");
        let unparsed =
            |text: &str| json!({"__unparsedToolInput": {"raw": text, "len": text.chars().count()}}).to_string();
        for other in
            ["[]", "{", "{} {}", "1", "é", "{\"a\":01}", "{\"path\":\"a.txt\",\n\"text\":\"unfini", "{\"a\":\"\\ud800"]
        {
            assert_eq!(of(other), unparsed(other));
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(of(&deep), unparsed(&deep));
    }
}
