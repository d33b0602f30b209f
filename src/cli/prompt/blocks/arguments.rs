//! A call's arguments: the model's own JSON, passed on unchanged.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::Error;
use crate::chat::ToolCall;

/// A call's arguments as the API wants them: an object, on one line since the whole message is one line.
pub(super) fn arguments(call: &ToolCall, index: usize) -> Result<Cow<'_, RawValue>, Error> {
    let arguments = match call.function.arguments.trim() {
        "" => "{}",
        arguments => arguments,
    };
    let raw = arguments.starts_with('{') && serde_json::from_str::<Json>(arguments).is_ok();
    let raw = if !raw {
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

/// Checks that JSON can be read, and keeps nothing of it. Unlike `IgnoredAny` and `RawValue`, it looks into strings and
/// limits nesting.
struct Json;

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Json)
    }
}

impl<'de> Visitor<'de> for Json {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("some JSON")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_str<E>(self, _: &str) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        while items.next_element::<Json>()?.is_some() {}
        Ok(Json)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        while fields.next_entry::<Json, Json>()?.is_some() {}
        Ok(Json)
    }
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
