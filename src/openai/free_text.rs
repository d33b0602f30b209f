//! A `custom` tool, which takes free text. To the model it is a function with one text argument: `{"input": "..."}`.
//!
//! [`FreeText`] extracts the text from that JSON again, piece by piece.

use serde_json::{Value, json};

/// The arguments of the function that stands for such a tool.
pub(crate) fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": {"input": {"type": "string", "description": "The whole text, as it is."}},
        "required": ["input"],
        "additionalProperties": false,
    })
}

/// The function's description: the tool's own, and the grammar of its text, if it has one.
pub(crate) fn described(description: Option<String>, format: Option<&Value>) -> String {
    let mut text = description.unwrap_or_default();
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str("This tool takes plain text: give all of it as the one argument `input`.");
    if let Some(definition) = format.and_then(|format| format["definition"].as_str()) {
        let syntax = format.and_then(|format| format["syntax"].as_str()).unwrap_or("formal");
        text.push_str(&format!(" The text must follow this {syntax} grammar:\n\n{definition}"));
    }
    text
}

/// The arguments that hold this text.
pub(crate) fn arguments(text: &str) -> String {
    json!({"input": text}).to_string()
}

/// Reads the arguments as they come.
#[derive(Debug, Default)]
pub(crate) struct FreeText {
    /// What has come and is not decoded yet: everything before the text begins, then at most one unfinished escape.
    raw: String,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum State {
    /// Before the text's opening quote.
    #[default]
    Before,
    Within,
    Ended,
}

impl FreeText {
    /// The text in the next piece of the arguments.
    pub(crate) fn push(&mut self, piece: &str) -> String {
        self.raw.push_str(piece);
        let mut text = String::new();
        if self.state == State::Before
            && let Some(start) = start_of_text(&self.raw)
        {
            self.raw.drain(..start);
            self.state = State::Within;
        }
        if self.state == State::Within {
            let read = self.read(&mut text);
            self.raw.drain(..read);
        }
        text
    }

    /// The rest of the text, when the arguments are complete: all of the arguments, if they do not have the expected form.
    pub(crate) fn end(&mut self) -> String {
        if self.state != State::Before {
            return String::new();
        }
        self.state = State::Ended;
        let raw = std::mem::take(&mut self.raw);
        match serde_json::from_str::<Value>(&raw) {
            Ok(Value::Object(mut arguments)) => match arguments.remove("input") {
                Some(Value::String(text)) => text,
                Some(other) => other.to_string(),
                None if arguments.is_empty() => String::new(),
                None => raw,
            },
            _ => raw,
        }
    }

    /// Decodes what there is of the string. Returns how many bytes it used.
    fn read(&mut self, text: &mut String) -> usize {
        let mut at = 0;
        loop {
            let rest = &self.raw[at..];
            let plain = rest.find(['"', '\\']).unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            at += plain;
            let rest = &self.raw[at..];
            if rest.starts_with('"') {
                self.state = State::Ended;
                return self.raw.len();
            }
            match escape(rest) {
                Some((char, length)) => {
                    text.push(char);
                    at += length;
                }
                // The end of this piece, or an escape that continues in the next one.
                None => return at,
            }
        }
    }
}

/// Where the text begins, after `{"input": "`.
fn start_of_text(raw: &str) -> Option<usize> {
    let rest = raw.trim_start().strip_prefix('{')?.trim_start();
    let rest = rest.strip_prefix("\"input\"")?.trim_start().strip_prefix(':')?.trim_start();
    Some(raw.len() - rest.strip_prefix('"')?.len())
}

/// The character that an escape stands for and the escape's length, if all of it is there.
fn escape(text: &str) -> Option<(char, usize)> {
    let mut bytes = text.bytes().skip(1);
    let char = match bytes.next()? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => {
            let first = code_unit(text.get(2..6)?);
            if !(0xd800..0xdc00).contains(&first) {
                return Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6));
            }
            // The first half of a surrogate pair: the second must follow.
            if !text.get(6..)?.is_empty() && !"\\u".starts_with(text.get(6..8.min(text.len()))?) {
                return Some((char::REPLACEMENT_CHARACTER, 6));
            }
            let second = code_unit(text.get(8..12)?);
            if !(0xdc00..0xe000).contains(&second) {
                return Some((char::REPLACEMENT_CHARACTER, 6));
            }
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12));
        }
        byte @ (b'"' | b'\\' | b'/') => char::from(byte),
        _ => char::REPLACEMENT_CHARACTER,
    };
    // The character of an unknown escape may have several bytes.
    let length = 1 + text[1..].chars().next().map_or(0, char::len_utf8);
    Some((char, length))
}

fn code_unit(digits: &str) -> u32 {
    u32::from_str_radix(digits, 16).unwrap_or(u32::from(char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> String {
        let mut reader = FreeText::default();
        let mut said = reader.push(text);
        said.push_str(&reader.end());
        said
    }

    #[test]
    fn a_text_is_the_same_however_its_json_is_cut() {
        let text = "*** Begin Patch\n+\"quoted\" \\ \t é 😀 \u{7f}/\u{0}end";
        let json = serde_json::json!({"input": text}).to_string();
        for cut in (0..=json.len()).filter(|&cut| json.is_char_boundary(cut)) {
            let mut reader = FreeText::default();
            let said = [reader.push(&json[..cut]), reader.push(&json[cut..]), reader.end()].concat();
            assert_eq!(said, text, "cut at {cut}");
        }
    }

    #[test]
    fn escapes_are_decoded_wherever_they_are_cut() {
        let json = r#"{"input":"a\u00e9\ud83d\ude00\n\/\ud83dx\udc00\"z"}"#;
        let mut reader = FreeText::default();
        let said: String = json.chars().map(|char| reader.push(&char.to_string())).collect();
        assert_eq!(said, "aé😀\n/\u{fffd}x\u{fffd}\"z");
    }

    #[test]
    fn arguments_of_another_form_are_told_as_they_are() {
        assert_eq!(whole("{}"), "");
        assert_eq!(whole(r#"{"patch":"x"}"#), r#"{"patch":"x"}"#);
        assert_eq!(whole(r#"{"note":1,"input":"x"}"#), "x");
        assert_eq!(whole(r#"{"input":["x"]}"#), r#"["x"]"#);
        assert_eq!(whole("no json"), "no json");
        assert_eq!(whole(""), "");
    }
}
