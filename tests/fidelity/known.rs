//! What Claude Code does and nobody can undo: one line a kind. Each is shown by a run of the bare protocol with the version
//! that is named.

use serde_json::{Value, json};

use super::conversation::Picture;
use super::files;
use super::reference::Told;

/// Makes the same, in what is right and in what was got, what differs by this alone.
type Forgive = fn(&mut Told, &mut Told);

/// The kinds. That the CLI adds its own notes to the model (`NOTES`, and the first two blocks of the system prompt), puts a
/// prefix before tools' names, and sorts tools by name, `reference::got` reckons with; and that it changes characters and
/// numbers in definitions of tools, `judge::unfold`, for the model gets the exact ones too.
const KNOWN: [(&str, Forgive); 3] = [
    // 2.1.328: `[user(image of 600 kB)]`, first or in a history that is appended.
    ("pictures of user messages over 500 kB or 2,000 pixels are recompressed or scaled, with a note", pictures),
    // 2.1.328: a call with `{"n":9007199254740993}`, live or in a history that is appended.
    ("integers in arguments are JavaScript's", integers),
    // 2.1.328: `initialize` with `"anyOf":[{"required":["a"]},{"required":["b"]}]`; the API takes no union there.
    ("unions at the root of a tool's schema are told in words, before its description", unions),
];

pub(crate) fn forgive(right: &mut Told, got: &mut Told) {
    for (_, forgive) in KNOWN {
        forgive(right, got);
    }
}

fn blocks<'a>(told: &'a mut Told, role: &'static str) -> impl Iterator<Item = &'a mut Vec<Value>> {
    told.turns.iter_mut().filter(move |turn| turn.role == role).flat_map(|turn| turn.forms.iter_mut())
}

fn pictures(right: &mut Told, got: &mut Told) {
    let large = [Picture::Wide, Picture::Heavy].map(files::png);
    let any = json!({"type": "image"});
    let mut are_large = false;
    for block in blocks(right, "user").flatten() {
        if large.contains(&block["source"]["data"].as_str().unwrap_or_default()) {
            *block = any.clone();
            are_large = true;
        }
    }
    if !are_large {
        return;
    }
    for blocks in blocks(got, "user") {
        // The note stands at the end, and ends the text before it with a line feed.
        let is_note = |block: &Value| block["text"].as_str().is_some_and(|text| text.starts_with("[Image: original "));
        for at in (1..blocks.len()).rev().filter(|at| is_note(&blocks[*at])).collect::<Vec<_>>() {
            blocks.remove(at);
            if let Some(text) = blocks[at - 1]["text"].as_str().and_then(|text| text.strip_suffix('\n')) {
                blocks[at - 1]["text"] = json!(text);
            }
        }
        for block in blocks {
            if block["type"] == "image"
                && block["source"]["type"] == "base64"
                && block["source"]["data"] != files::png(Picture::Dot)
            {
                *block = any.clone();
            }
        }
    }
}

fn integers(right: &mut Told, got: &mut Told) {
    for told in [right, got] {
        for block in blocks(told, "assistant").flatten().filter(|block| block["type"] == "tool_use") {
            block["input"] = rounded(&block["input"]);
        }
    }
}

fn unions(right: &mut Told, got: &mut Told) {
    for (right, got) in right.tools.iter_mut().zip(&mut got.tools) {
        let is_union = ["anyOf", "oneOf", "allOf"].iter().any(|union| right["input_schema"][union].is_array());
        let words = got["description"].as_str().and_then(|told| told.strip_prefix("Input constraint: "));
        let Some(description) =
            words.filter(|_| is_union).map(|words| words.split_once("\n\n").map_or("", |(_, rest)| rest))
        else {
            continue;
        };
        got["description"] = json!(description);
        let mut properties = right["input_schema"]["properties"].as_object().cloned().unwrap_or_default();
        for branch in right["input_schema"]["anyOf"].as_array().into_iter().flatten() {
            properties.extend(branch["properties"].as_object().cloned().into_iter().flatten());
        }
        right["input_schema"] = json!({"properties": properties});
        got["input_schema"] = json!({"properties": got["input_schema"]["properties"]});
    }
}

/// A text in Unicode's form NFKC and without format characters, as far as conversations here have any.
pub(crate) fn normalised(text: &str) -> String {
    let pairs = [
        ("e\u{301}", "é"),
        ("²", "2"),
        ("½", "1⁄2"),
        ("ﾊﾝ", "ハン"),
        ("ﷺ", "صلى الله عليه وسلم"),
        ("\u{200b}", ""),
        ("\u{200d}", ""),
        ("\u{feff}", ""),
        ("\u{202e}", ""),
    ];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// JSON as JavaScript has its numbers.
pub(crate) fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64()),
        Value::Array(items) => items.iter().map(rounded).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), rounded(value))).collect(),
        other => other.clone(),
    }
}

/// JSON without the fields of a name that JavaScript takes for something else.
pub(crate) fn without_proto(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_proto).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| *name != "__proto__");
            fields.map(|(name, value)| (name.clone(), without_proto(value))).collect()
        }
        other => other.clone(),
    }
}
