//! The digest of a message: equal for two messages that say the same, whatever clients change when they repeat one.
//!
//! Between turns, clients trim texts, split them into parts or join them, shorten call ids, reserialize arguments, and
//! move their cache marks. The digest ignores all of that. It covers every role, text, image, file, call and result.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use serde_json::{Map, Number, Value};

use super::message::{Content, Message, Part, Role, ToolCall};
use super::{call_id, unkept};

/// Seeded at random in each process, so nobody can craft two messages with the same digest.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// All that is kept of a message to recognise it again.
///
/// White space may differ where a text begins or ends. If the texts are also divided differently, no white space counts:
/// a digest does not tell where a part ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest {
    /// The whole message, its texts without any white space.
    bare: u64,
    /// How the texts are divided.
    division: u64,
    /// The texts, each trimmed.
    texts: u64,
}

impl Digest {
    pub(crate) fn of(message: &Message) -> Self {
        let mut digester = Digester::new();
        let bare = &mut digester.bare;
        let role = match message.role {
            // The newer name of `system`.
            Role::Developer => Role::System,
            role => role,
        };
        let calls = message.calls();
        // Most messages are content alone. Each of the hashes takes as long as a line of it.
        let is_plain =
            message.name.is_none() && message.tool_call_id.is_none() && !message.is_error && calls.is_empty();
        ((role as u8) << 1 | u8::from(is_plain)).hash(bare);
        if !is_plain {
            message.name.hash(bare);
            message.tool_call_id.as_deref().map(call_id::canonical).hash(bare);
            message.is_error.hash(bare);
            calls.len().hash(bare);
        }
        for call in calls {
            call_id::canonical(&call.id).hash(bare);
            call.function.name.hash(bare);
            hash_arguments(&call.function.arguments, bare);
        }
        match &message.content {
            Some(Content::Text(text)) => digester.text(text),
            Some(Content::Parts(parts)) => parts.iter().for_each(|part| digester.part(part)),
            Some(Content::Null) | None => {}
        }
        if let Some(refusal) = &message.refusal {
            digester.text(refusal);
        }
        digester.finish()
    }

    /// Whether the two messages say the same.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.bare == other.bare && (self.division != other.division || self.texts == other.texts)
    }

    /// Whether their texts are divided alike, so white space within them counts.
    fn is_divided_like(&self, other: &Self) -> bool {
        self.division == other.division
    }
}

/// The digest of an answer, both with its texts as they came and joined into one: a client may send back either.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyDigest([Digest; 2]);

impl ReplyDigest {
    pub(crate) fn of(texts: &[String], calls: &[&ToolCall]) -> Self {
        let digest = |texts: Vec<Part>| {
            let calls = calls.iter().map(|&call| call.clone()).collect();
            let content = Some(Content::Parts(texts));
            Digest::of(&Message { role: Role::Assistant, content, tool_calls: Some(calls), ..Message::default() })
        };
        let apart = digest(texts.iter().map(Part::from_text).collect());
        let whole = digest(vec![Part::from_text(texts.concat())]);
        ReplyDigest([apart, whole])
    }

    /// Whether the message is this answer. Of the two digests, the one whose texts are divided like the message's decides.
    pub(crate) fn is(&self, message: &Digest) -> bool {
        let alike = self.0.iter().find(|digest| digest.is_divided_like(message));
        alike.unwrap_or(&self.0[0]).matches(message)
    }
}

/// A hasher with this process's seed, for values that are compared by their hash alone.
pub(crate) fn hasher() -> DefaultHasher {
    SEED.build_hasher()
}

/// How much text `bare` takes at a time, in bytes.
const PIECE: usize = 64;

/// For each byte 1, or 0 if it is white space.
static IS_BLACK: [u8; 256] = {
    let mut is_black = [1; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_whitespace() {
            is_black[byte] = 0;
        }
        byte += 1;
    }
    is_black
};

struct Digester {
    bare: DefaultHasher,
    division: DefaultHasher,
    texts: DefaultHasher,
    /// Buffers text without white space for `bare`. Pieces of fixed length make the hash independent of how the text was
    /// divided. There is room for as much again.
    piece: [u8; 2 * PIECE],
    filled: usize,
}

impl Digester {
    fn new() -> Self {
        Digester { bare: hasher(), division: hasher(), texts: hasher(), piece: [0; 2 * PIECE], filled: 0 }
    }

    fn text(&mut self, text: &str) {
        let text = text.as_bytes().trim_ascii();
        if text.is_empty() {
            return;
        }
        text.hash(&mut self.texts);
        let mut length = 0_usize;
        for chunk in text.chunks(PIECE) {
            let mut filled = self.filled;
            for &byte in chunk {
                // Without a branch, which no CPU could predict: every sixth byte or so is white space.
                self.piece[filled % (2 * PIECE)] = byte;
                filled += usize::from(IS_BLACK[usize::from(byte)]);
            }
            length += filled - self.filled;
            if filled >= PIECE {
                self.bare.write(&self.piece[..PIECE]);
                self.piece.copy_within(PIECE.., 0);
                filled -= PIECE;
            }
            self.filled = filled;
        }
        length.hash(&mut self.division);
    }

    fn part(&mut self, part: &Part) {
        if let Some(text) = part.as_text() {
            return self.text(text);
        }
        self.end_of_texts();
        let bare = &mut self.bare;
        part.kind.hash(bare);
        if let Some(image) = &part.image_url {
            image.url.hash(bare);
            hash_fields(&image.extra, bare);
        }
        if let Some(file) = &part.file {
            (&file.file_data, &file.file_id, &file.filename).hash(bare);
            hash_fields(&file.extra, bare);
        }
        hash_fields(&part.extra, bare);
    }

    /// Ends a run of texts: something other than text follows.
    fn end_of_texts(&mut self) {
        self.piece[..self.filled].hash(&mut self.bare);
        self.filled = 0;
    }

    fn finish(mut self) -> Digest {
        self.end_of_texts();
        Digest { bare: self.bare.finish(), division: self.division.finish(), texts: self.texts.finish() }
    }
}

/// Hashes arguments by their JSON value, since clients parse and reserialize them.
fn hash_arguments(arguments: &str, hasher: &mut DefaultHasher) {
    let arguments = arguments.trim();
    unkept::hash(if arguments.is_empty() { "{}" } else { arguments }, hasher);
}

pub(super) fn hash_number(number: &Number, hasher: &mut DefaultHasher) {
    match number.as_f64() {
        // JavaScript writes 1.0 as 1. Integers over 2^53 keep all their digits.
        Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => (2_u8, float as i64).hash(hasher),
        _ => (3_u8, number).hash(hasher),
    }
}

pub(crate) fn hash_value(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => 0_u8.hash(hasher),
        Value::Bool(bool) => (1_u8, bool).hash(hasher),
        Value::Number(number) => hash_number(number, hasher),
        Value::String(text) => (4_u8, text).hash(hasher),
        Value::Array(items) => {
            (5_u8, items.len()).hash(hasher);
            items.iter().for_each(|item| hash_value(item, hasher));
        }
        Value::Object(fields) => {
            6_u8.hash(hasher);
            hash_fields(fields, hasher);
        }
    }
}

/// Hashes fields in the order of their names: reserializing JSON may change the order.
fn hash_fields(fields: &Map<String, Value>, hasher: &mut DefaultHasher) {
    let mut fields: Vec<_> = fields.iter().filter(|(name, _)| *name != "cache_control").collect();
    fields.sort_by_key(|(name, _)| *name);
    fields.len().hash(hasher);
    for (name, value) in fields {
        name.hash(hasher);
        hash_value(value, hasher);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn digest(json: Value) -> Digest {
        Digest::of(&serde_json::from_value(json).unwrap())
    }

    fn texts(texts: &[&str]) -> Digest {
        let parts: Vec<_> = texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
        digest(json!({"role": "user", "content": parts}))
    }

    #[test]
    fn white_space_may_change_where_a_text_begins_ends_or_is_split_and_nowhere_else() {
        assert!(texts(&["hello world"]).matches(&texts(&["hello", "world"])));
        assert!(texts(&["a", "b"]).matches(&texts(&["a\n\nb"])));
        assert!(texts(&[" a b\n"]).matches(&texts(&["a b"])));
        assert!(texts(&["ab"]).matches(&texts(&["a", "b"])));
        assert!(texts(&["a", " ", "b"]).matches(&texts(&["a", "b"])));
        assert!(texts(&["a b", "c"]).matches(&texts(&["a", "b c"])));
        assert!(!texts(&["a b"]).matches(&texts(&["ab"])));
        assert!(!texts(&["a  b"]).matches(&texts(&["a b"])));
        assert!(!texts(&["a\n b", "c"]).matches(&texts(&["a\n  b", "c"])));
        assert!(!texts(&["a"]).matches(&texts(&["a", "b"])));
        assert!(!texts(&["é"]).matches(&texts(&["e"])));
    }

    #[test]
    fn what_clients_change_between_turns_does_not_count() {
        for (a, b) in [
            (json!({"role": "system", "content": "x"}), json!({"role": "developer", "content": "x"})),
            (json!({"role": "assistant", "content": null}), json!({"role": "assistant", "content": " "})),
            (json!({"role": "assistant", "content": "no"}), json!({"role": "assistant", "refusal": "no"})),
            (
                json!({"role": "tool", "tool_call_id": "toolu_01-A", "content": "x"}),
                json!({"role": "tool", "tool_call_id": "toolu01A", "content": [{"type": "text", "text": "x"}]}),
            ),
            (
                json!({"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": {"url": "u"}, "cache_control": {"type": "ephemeral"}}]}),
                json!({"role": "user", "content": [{"type": "text", "text": "x"},
                    {"type": "image_url", "image_url": {"url": "u"}}]}),
            ),
            (
                json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "function",
                    "function": {"name": "f", "arguments": "{\"a\": 1.0, \"b\": [\"x\"]}"}}]}),
                json!({"role": "assistant", "content": "", "tool_calls": [{"id": "c", "type": "function",
                    "function": {"name": "f", "arguments": "{\"b\":[\"x\"],\"a\":1}"}}]}),
            ),
        ] {
            assert!(digest(a.clone()).matches(&digest(b.clone())), "{a} {b}");
        }
    }

    #[test]
    fn everything_else_counts() {
        let user = json!({"role": "user", "content": [{"type": "text", "text": "x"},
            {"type": "image_url", "image_url": {"url": "u"}}, {"type": "text", "text": "y"}]});
        for other in [
            json!({"role": "assistant", "content": user["content"]}),
            json!({"role": "user", "content": "x\ny"}),
            json!({"role": "user", "name": "n", "content": user["content"]}),
            json!({"role": "user", "refusal": "z", "content": user["content"]}),
            json!({"role": "user", "content": [user["content"][0], user["content"][2], user["content"][1]]}),
            json!({"role": "user", "content": [user["content"][0], user["content"][2],
                {"type": "image_url", "image_url": {"url": "v"}}]}),
        ] {
            assert!(!digest(user.clone()).matches(&digest(other.clone())), "{other}");
        }
        let file = |file: Value| digest(json!({"role": "user", "content": [{"type": "file", "file": file}]}));
        let picture = |detail: &str| {
            let image = json!({"url": "u", "detail": detail});
            digest(json!({"role": "user", "content": [{"type": "image_url", "image_url": image}]}))
        };
        assert!(!file(json!({"file_data": "a"})).matches(&file(json!({"file_data": "b"}))));
        assert!(!file(json!({"file_data": "a", "filename": "f"})).matches(&file(json!({"file_data": "a"}))));
        assert!(!picture("low").matches(&picture("high")));
        let result = |id: &str, is_error| {
            let mut message: Message =
                serde_json::from_value(json!({"role": "tool", "tool_call_id": id, "content": "x"})).unwrap();
            message.is_error = is_error;
            Digest::of(&message)
        };
        assert!(!result("c", false).matches(&result("c", true)));
        assert!(!result("c", false).matches(&result("d", false)));
        let call = |id: &str, name: &str, arguments: &str| {
            digest(json!({"role": "assistant", "tool_calls": [
                {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}]}))
        };
        assert!(!call("c", "f", "{}").matches(&call("d", "f", "{}")));
        assert!(!call("c", "f", "{}").matches(&call("c", "g", "{}")));
        assert!(!call("c", "f", "{}").matches(&call("c", "f", "{\"a\":1}")));
        assert!(!call("c", "f", "{\"a\":\" b\"}").matches(&call("c", "f", "{\"a\":\"b\"}")));
        assert!(call("c", "f", "").matches(&call("c", "f", "{}")));
        assert!(!call("c", "f", "{\"a\":1.5}").matches(&call("c", "f", "{\"a\":1.25}")));
        // 2^60 and 2^60 + 1 are the same number in floating point.
        let large = |number: u64| call("c", "f", &json!({"a": number}).to_string());
        assert!(!large(1 << 60).matches(&large((1 << 60) + 1)));
    }

    #[test]
    fn a_digest_is_seeded_so_that_nobody_can_prepare_two_messages_of_one() {
        assert_ne!(hasher().finish(), DefaultHasher::new().finish());
    }

    proptest! {
        #[test]
        fn a_text_split_anywhere_with_its_ends_trimmed_is_the_same(text in "[a-z \n]{0,300}", at in 0usize..300) {
            let (head, tail) = text.split_at(at.min(text.len()));
            prop_assert!(texts(&[head.trim(), tail.trim()]).matches(&texts(&[&text])));
        }

        #[test]
        fn texts_that_differ_in_a_letter_are_not_the_same(text in "[a-z ]{1,300}", at in 0usize..300) {
            let at = at.min(text.len() - 1);
            let mut other = text.clone().into_bytes();
            other[at] = b'#';
            prop_assert!(!texts(&[&text]).matches(&texts(&[&String::from_utf8(other).unwrap()])));
        }
    }
}
