//! A call's arguments: the model's own JSON, passed on unchanged.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::Error;
use crate::chat::ToolCall;
use crate::chat::unkept::check_object;

/// A call's arguments as the API wants them: an object, on one line since the whole message is one line.
pub(super) fn arguments(call: &ToolCall, index: usize) -> Result<Cow<'_, RawValue>, Error> {
    let arguments = match call.function.arguments.trim() {
        "" => "{}",
        arguments => arguments,
    };
    // A `RawValue` does not look into strings, and has no limit on nesting.
    let raw = if check_object(arguments).is_err() {
        None
    } else if arguments.contains(['\n', '\r']) {
        // Strings can hold these only as escapes, so each one here is white space between tokens.
        RawValue::from_string(arguments.replace(['\n', '\r'], " ")).ok().map(Cow::Owned)
    } else {
        serde_json::from_str(arguments).ok().map(Cow::Borrowed)
    };
    raw.ok_or_else(|| {
        Error::invalid_request("The arguments of a call must be a JSON object. Send them back as they were received.")
            .with_param(format!("tool_calls[{index}].function.arguments"))
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
            arguments(&call, 0).map(|raw| raw.get().to_owned()).map_err(|error| error.param().unwrap().to_owned())
        };
        let fault = || Err("tool_calls[0].function.arguments".to_owned());
        assert_eq!(of(" "), Ok("{}".to_owned()));
        assert_eq!(of(" {\"b\":1.0, \"a\":[\"\\n\"]}\n"), Ok("{\"b\":1.0, \"a\":[\"\\n\"]}".to_owned()));
        assert_eq!(of("{\r\n \"a\": 1\n}"), Ok("{   \"a\": 1 }".to_owned()));
        for wrong in ["[]", "{", "{} {}", "1", "{\"a\":\"\\ud800\"}", "{\"a\":01}"] {
            assert_eq!(of(wrong), fault(), "{wrong}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(of(&deep), fault());
    }
}
