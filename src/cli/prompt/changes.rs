//! What Claude Code changes of a request on its way to the model, as measured (2.1.332): see "What Claude Code changes" in the
//! reference server's `api.md`. What can be undone is undone; the rest is named in a header of the answer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use once_cell::sync::Lazy;
use regex::Regex;
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization;

use super::blocks::{image_in, parts};
use super::mcp::McpServer;
use crate::ChatEvent;
use crate::chat::data_url::DataUrl;
use crate::chat::{ChatRequest, Function, Message, Role, ToolCall};

/// The names of what it changes of these messages' content.
pub(crate) fn of(request: &ChatRequest) -> Vec<&'static str> {
    let user = request.messages.iter().filter(|message| message.role == Role::User);
    let images = user.flat_map(parts).filter_map(image_in).any(|image| changes_image(&image) == Some(true));
    let calls = request.messages.iter().flat_map(Message::calls);
    let numbers = calls.into_iter().any(|call| has_large_integers(&call.function.arguments));
    let tools = request.functions().any(changes_definition);
    let names = [(images, "images"), (numbers, "numbers"), (tools, "tools")];
    names.into_iter().filter_map(|(is, name)| is.then_some(name)).collect()
}

/// Whether it changes an image; `None` if its size cannot be read. In a user message, and in the result of a call that it waits in, it scales what has
/// an edge of over 2,000 pixels or more squares of 28 by 28 than 4,761, and compresses what has over 500 KiB (505,807 bytes were
/// left alone, 520,304 were not). In results that are replayed, it changes none.
pub(super) fn changes_image(image: &DataUrl<'_>) -> Option<bool> {
    const MAX_BYTES: usize = 505_000;
    const MAX_EDGE: usize = 2000;
    const MAX_SQUARES: usize = 4761;
    /// In characters of base64; the size stands near the beginning.
    const HEAD: usize = 128 * 1024;
    if image.base64.len() / 4 * 3 > MAX_BYTES {
        return Some(true);
    }
    let head = image.base64.get(..HEAD).unwrap_or(image.base64);
    let size = imagesize::blob_size(&STANDARD.decode(head).ok()?).ok()?;
    let squares = size.width.div_ceil(28).saturating_mul(size.height.div_ceil(28));
    Some(size.width.max(size.height) > MAX_EDGE || squares > MAX_SQUARES)
}

/// Whether it changes a function's definition: its characters, its large integers, or what stands at the root of its schema
/// beside an object's fields, which the API does not take and the CLI puts into words.
pub(super) fn changes_definition(function: &Function) -> bool {
    let description = function.description.as_deref().unwrap_or_default();
    normalized(description) != description || function.parameters.as_ref().is_some_and(changes_schema)
}

fn changes_schema(schema: &Value) -> bool {
    const AT_THE_ROOT: [&str; 5] = ["$ref", "allOf", "anyOf", "not", "oneOf"];
    AT_THE_ROOT.iter().any(|name| schema.get(name).is_some()) || changes_value(schema)
}

fn changes_value(value: &Value) -> bool {
    match value {
        Value::String(text) => normalized(text) != *text,
        Value::Number(number) => has_large_integers(&number.to_string()),
        Value::Array(values) => values.iter().any(changes_value),
        Value::Object(fields) => fields.iter().any(|(name, value)| normalized(name) != *name || changes_value(value)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// Whether a process that made this call itself holds it otherwise than the model said it: it loses a field `__proto__`, and takes
/// an escaped backslash with an escape behind it for that escape. Replayed, a call arrives as it is.
pub(crate) fn spoils_call(call: &ToolCall) -> bool {
    call.function.arguments.contains("__proto__") || call.function.arguments.contains(r"\\u")
}

/// A text of a tool's definition as the CLI passes it on: in NFKC, without characters that have no form of their own.
fn normalized(text: &str) -> String {
    static FORMLESS: Lazy<Option<Regex>> = Lazy::new(|| Regex::new(r"[\p{Cf}\p{Co}\p{Cn}]").ok());
    if text.is_ascii() {
        return text.to_owned();
    }
    let text: String = text.nfkc().collect();
    FORMLESS.as_ref().map_or(text.clone(), |formless| formless.replace_all(&text, "").into_owned())
}

/// Whether JSON has an integer that JavaScript's numbers cannot hold.
fn has_large_integers(json: &str) -> bool {
    let (mut in_string, mut bytes) = (false, json.bytes().enumerate());
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => drop(bytes.next()),
            b'0'..=b'9' if !in_string => {
                let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                let length = json.as_bytes()[at..].iter().take_while(|byte| is_of_number(byte)).count();
                let number = &json[at..at + length];
                let is_integer = length > 15 && number.bytes().all(|byte| byte.is_ascii_digit());
                if is_integer && number.parse::<f64>().is_ok_and(|held| format!("{held}") != number) {
                    return true;
                }
                // On to what follows the number.
                bytes.by_ref().take(length - 1).for_each(drop);
            }
            _ => {}
        }
    }
    false
}

/// What the model may say of a function's names and values, in the form in which it was told of them, and what they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Originals {
    /// The names of fields.
    names: HashMap<String, String>,
    /// The values of an `enum` or `const`, with the name of the field that has them. `None` where two have one form.
    values: HashMap<(String, String), Option<String>>,
}

impl Originals {
    /// Of a function's parameters; `None` if the CLI changes none.
    pub(super) fn of(schema: &Value) -> Option<Self> {
        let mut originals = Originals::default();
        originals.read(schema, schema, "", 0);
        (originals != Originals::default()).then_some(originals)
    }

    fn read(&mut self, schema: &Value, root: &Value, field: &str, depth: usize) {
        /// Schemas may refer to themselves.
        const MAX_DEPTH: usize = 16;
        let Value::Object(schema) = schema else { return };
        if depth > MAX_DEPTH {
            return;
        }
        let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten().chain(schema.get("const"));
        for value in values.filter_map(Value::as_str) {
            let normalized = normalized(value);
            let known = self.values.entry((field.to_owned(), normalized));
            known.and_modify(|known| *known = known.take().filter(|it| it == value)).or_insert(Some(value.to_owned()));
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let normalized = normalized(name);
            if normalized != *name {
                self.names.insert(normalized, name.clone());
            }
            self.read(property, root, name, depth + 1);
        }
        for within in ["items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf"] {
            match schema.get(within) {
                Some(Value::Array(schemas)) => {
                    schemas.iter().for_each(|schema| self.read(schema, root, field, depth + 1));
                }
                Some(schema) => self.read(schema, root, field, depth + 1),
                None => {}
            }
        }
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        if let Some(target) = target.and_then(|target| root.pointer(target)) {
            self.read(target, root, field, depth + 1);
        }
        if depth == 0 {
            self.values.retain(|(_, normalized), value| value.as_ref().is_some_and(|value| value != normalized));
        }
    }

    /// A call's arguments with the client's own names and values; as they are if they are not JSON, or have none of these.
    pub(crate) fn restore(&self, arguments: String) -> String {
        let restored = serde_json::from_str(&arguments).ok().and_then(|value| self.restored(value, ""));
        restored.map_or(arguments, |value| value.to_string())
    }

    /// `None` if nothing of it changes.
    fn restored(&self, value: Value, field: &str) -> Option<Value> {
        match value {
            Value::String(text) => self.values.get(&(field.to_owned(), text))?.clone().map(Value::String),
            Value::Array(values) => {
                let mut changed = false;
                let values = values.into_iter().map(|value| {
                    let restored = self.restored(value.clone(), field);
                    changed |= restored.is_some();
                    restored.unwrap_or(value)
                });
                let values = values.collect();
                changed.then_some(Value::Array(values))
            }
            Value::Object(fields) => {
                let mut changed = false;
                let fields = fields.into_iter().map(|(name, value)| {
                    let original = self.names.get(&name);
                    let restored = self.restored(value.clone(), original.unwrap_or(&name));
                    changed |= original.is_some() || restored.is_some();
                    (original.cloned().unwrap_or(name), restored.unwrap_or(value))
                });
                let fields: Map<String, Value> = fields.collect();
                changed.then_some(Value::Object(fields))
            }
            _ => None,
        }
    }
}

/// The events of an answer with the client's own names and values in its calls' arguments, which are held back until they are
/// whole.
#[derive(Debug, Default)]
pub(crate) struct Restoring {
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    call: u32,
    originals: Arc<Originals>,
    arguments: String,
}

impl Restoring {
    pub(crate) fn take(&mut self, event: ChatEvent, functions: &McpServer, out: &mut VecDeque<ChatEvent>) {
        match (&mut self.held, event) {
            (Some(held), ChatEvent::ToolCallDelta { index, arguments }) if index == held.call => {
                held.arguments.push_str(&arguments);
            }
            (_, event) => {
                if let Some(Held { call: index, originals, arguments }) = self.held.take()
                    && !arguments.is_empty()
                {
                    let arguments = originals.restore(arguments);
                    out.push_back(ChatEvent::ToolCallDelta { index, arguments });
                }
                if let ChatEvent::ToolCallStart { index, name, .. } = &event {
                    self.held = functions.originals(name).map(|originals| Held {
                        call: *index,
                        originals: Arc::clone(originals),
                        arguments: String::new(),
                    });
                }
                out.push_back(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_that_javascript_rounds_are_found_where_they_are_numbers() {
        for json in [r#"{"id": 9007199254740993}"#, "[-12345678901234567890]", "123456789012345678901234567890"] {
            assert!(has_large_integers(json), "{json}");
        }
        for json in [
            r#"{"id": 9007199254740992, "s": "9007199254740993 \" 9007199254740993", "f": 9007199254740993.5}"#,
            "[12345678901234500000, 1e400, 0.12345678901234567, 123456789012345]",
            "\"9007199254740993",
        ] {
            assert!(!has_large_integers(json), "{json}");
        }
    }

    #[test]
    fn definitions_that_the_cli_would_change_are_known() {
        let changed = |description: &str, parameters: Value| {
            let description = Some(description.to_owned());
            changes_definition(&Function { description, parameters: Some(parameters), ..Function::default() })
        };
        let plain = json!({"type": "object", "properties": {"é": {"enum": ["naïve", "日本"]}}});
        assert!(!changed("Größe: tab\tand\r\n\u{2028}é", plain.clone()));
        for description in ["m²", "½", "ｶﾀｶﾅ", "x\u{200b}y", "👨\u{200d}👩", "e\u{301}", "\u{feff}", "\u{e000}"]
        {
            assert!(changed(description, plain.clone()), "{description}");
        }
        assert!(changed("", json!({"type": "object", "properties": {"m²": {}}})));
        assert!(changed("", json!({"properties": {"n": {"maximum": 9_007_199_254_740_993_u64}}})));
        assert!(changed("", json!({"type": "object", "anyOf": [{"required": ["a"]}]})));
    }

    #[test]
    fn what_the_model_says_of_changed_names_and_values_is_what_the_client_called_them() {
        let unit = json!({"enum": ["m²", "½", "plain"]});
        let schema = json!({"properties": {"unit": {"$ref": "#/$defs/unit"}, "ｶﾅ": {"type": "array", "items": unit},
            "text": {"type": "string"}, "same": {"enum": ["m²", "m2"]}}, "$defs": {"unit": unit}});
        let originals = Originals::of(&schema).unwrap();
        let restored =
            |arguments: Value| serde_json::from_str::<Value>(&originals.restore(arguments.to_string())).unwrap();
        assert_eq!(
            restored(json!({"unit": "m2", "カナ": ["1⁄2", "plain", "½"], "text": "m2", "same": "m2", "n": 1})),
            json!({"unit": "m²", "ｶﾅ": ["½", "plain", "½"], "text": "m2", "same": "m2", "n": 1})
        );
        // To the letter, where nothing changes.
        assert_eq!(originals.restore(r#"{ "text":"m2" }"#.to_owned()), r#"{ "text":"m2" }"#);
        assert_eq!(originals.restore("{\"unit\": \"m".to_owned()), "{\"unit\": \"m");
        assert_eq!(Originals::of(&json!({"properties": {"a": {"enum": ["b"]}}})), None);
    }
}
