//! Whether a request goes on with a conversation that a process already holds.
//!
//! Clients change small things about a history between turns: white space around a text, how a text is split into
//! parts, the characters of a call's id, `null` for nothing. What is compared here survives that, and nothing else:
//! every role, text, image, file, call and result counts. A cheap [`key`] picks candidates; [`same`] decides.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::chat::call_id;
use crate::chat::{Caller, Content, Message, Part, Role, ToolCall};
use crate::cli::prompt::Setup;

/// A hash over what no client changes between turns: who asks, the setup's size, and the shape of the history.
pub(crate) fn key(caller: &Caller, setup: &Setup, history: &[&Message]) -> u64 {
    let mut hasher = DefaultHasher::new();
    caller.hash(&mut hasher);
    setup.system.len().hash(&mut hasher);
    history.len().hash(&mut hasher);
    for message in history {
        role(message).hash(&mut hasher);
        message.calls().len().hash(&mut hasher);
        letters(message).hash(&mut hasher);
    }
    hasher.finish()
}

/// How many bytes of text there are beside white space.
fn letters(message: &Message) -> usize {
    texts(message).flat_map(str::bytes).filter(|byte| !byte.is_ascii_whitespace()).count()
}

fn texts(message: &Message) -> impl Iterator<Item = &str> {
    let (text, parts) = match &message.content {
        Some(Content::Text(text)) => (Some(text.as_str()), &[][..]),
        Some(Content::Parts(parts)) => (None, parts.as_slice()),
        Some(Content::Null) | None => (None, &[][..]),
    };
    text.into_iter().chain(parts.iter().filter_map(Part::as_text))
}

/// `developer` is the newer name of `system`.
fn role(message: &Message) -> Role {
    match message.role {
        Role::Developer => Role::System,
        role => role,
    }
}

/// Whether two histories are the same conversation.
pub(crate) fn same(ours: &[&Message], theirs: &[&Message]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| same_message(a, b))
}

/// Whether two messages say the same.
pub(crate) fn same_message(a: &Message, b: &Message) -> bool {
    role(a) == role(b)
        && a.name == b.name
        && a.refusal.as_deref().unwrap_or_default() == b.refusal.as_deref().unwrap_or_default()
        && canonical_id(a) == canonical_id(b)
        && a.calls().len() == b.calls().len()
        && a.calls().iter().zip(b.calls()).all(|(a, b)| same_call(a, b))
        && same_content(a.content.as_ref(), b.content.as_ref())
}

fn canonical_id(message: &Message) -> Option<String> {
    message.tool_call_id.as_deref().map(call_id::canonical)
}

fn same_call(a: &ToolCall, b: &ToolCall) -> bool {
    call_id::canonical(&a.id) == call_id::canonical(&b.id)
        && a.function.name == b.function.name
        && same_arguments(&a.function.arguments, &b.function.arguments)
}

/// Clients parse arguments and write them anew.
fn same_arguments(a: &str, b: &str) -> bool {
    let parse =
        |text: &str| -> Option<Value> { serde_json::from_str(if text.trim().is_empty() { "{}" } else { text }).ok() };
    a == b || parse(a).is_some_and(|a| Some(a) == parse(b))
}

fn same_content(a: Option<&Content>, b: Option<&Content>) -> bool {
    if let (Some(Content::Text(a)), Some(Content::Text(b))) = (a, b)
        && a == b
    {
        return true;
    }
    let (a, b) = (groups(a), groups(b));
    a.len() == b.len()
        && a.iter().zip(&b).all(|pair| match pair {
            (Group::Texts(a), Group::Texts(b)) => same_text(a, b),
            (Group::Other(a), Group::Other(b)) => {
                a.kind == b.kind && a.image_url == b.image_url && a.file == b.file && a.extra == b.extra
            }
            _ => false,
        })
}

/// A run of text parts, or one part of another kind.
enum Group<'a> {
    Texts(Vec<&'a str>),
    Other(&'a Part),
}

fn groups(content: Option<&Content>) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    let parts: &[Part] = match content {
        None | Some(Content::Null) => &[],
        Some(Content::Text(text)) => return vec![Group::Texts(vec![text])].into_iter().filter(Group::says).collect(),
        Some(Content::Parts(parts)) => parts,
    };
    for part in parts {
        match (part.as_text(), groups.last_mut()) {
            (Some(text), Some(Group::Texts(texts))) => texts.push(text),
            (Some(text), _) => groups.push(Group::Texts(vec![text])),
            (None, _) => groups.push(Group::Other(part)),
        }
    }
    groups.retain(Group::says);
    groups
}

impl Group<'_> {
    /// Whether it is more than white space.
    fn says(&self) -> bool {
        match self {
            Group::Texts(texts) => texts.iter().any(|text| !text.trim().is_empty()),
            Group::Other(_) => true,
        }
    }
}

/// Whether two texts are the same but for white space where either of them begins, ends, or is split into parts.
pub(crate) fn same_text<A: AsRef<str>, B: AsRef<str>>(a: &[A], b: &[B]) -> bool {
    let (mut a, mut b) = (Cursor::new(a), Cursor::new(b));
    loop {
        let (gap_a, gap_b) = (a.gap(), b.gap());
        if !gap_a.at_edge && !gap_b.at_edge && gap_a.space != gap_b.space {
            return false;
        }
        match (a.next(), b.next()) {
            (None, None) => return true,
            (x, y) if x != y => return false,
            _ => {}
        }
    }
}

/// Walks over the bytes of a text in parts.
struct Cursor<'a, T> {
    parts: &'a [T],
    part: usize,
    at: usize,
}

/// The white space between two other bytes, which may be none.
struct Gap<'a> {
    space: &'a [u8],
    /// Whether it touches an end of a part.
    at_edge: bool,
}

impl<'a, T: AsRef<str>> Cursor<'a, T> {
    fn new(parts: &'a [T]) -> Self {
        Cursor { parts, part: 0, at: 0 }
    }

    fn gap(&mut self) -> Gap<'a> {
        let mut gap = Gap { space: &[], at_edge: self.at == 0 };
        while let Some(part) = self.parts.get(self.part) {
            let rest = &part.as_ref().as_bytes()[self.at..];
            let length = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            gap.space = &rest[..length];
            self.at += length;
            if length < rest.len() {
                return gap;
            }
            gap.at_edge = true;
            self.part += 1;
            self.at = 0;
        }
        gap.at_edge = true;
        gap
    }

    fn next(&mut self) -> Option<u8> {
        let byte = *self.parts.get(self.part)?.as_ref().as_bytes().get(self.at)?;
        self.at += 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn white_space_may_change_where_a_text_begins_ends_or_is_split_and_nowhere_else() {
        assert!(same_text(&["hello world"], &["hello", "world"]));
        assert!(same_text(&["a", "b"], &["a\n\nb"]));
        assert!(same_text(&[" a b\n"], &["a b"]));
        assert!(same_text(&["foo  ", "bar"], &["foo bar"]));
        assert!(same_text(&["ab"], &["a", "b"]));
        assert!(!same_text(&["a b"], &["ab"]));
        assert!(!same_text(&["a  b"], &["a b"]));
        assert!(!same_text(&["a\n b"], &["a\n  b"]));
        assert!(!same_text(&["a"], &["a", "b"]));
        assert!(!same_text(&["é"], &["e"]));
    }

    #[test]
    fn nothing_blank_and_null_are_the_same_content() {
        let blank = Content::Parts(vec![Part::from_text("  ")]);
        assert!(same_content(None, Some(&Content::Null)));
        assert!(same_content(Some(&Content::Text(String::new())), Some(&blank)));
        assert!(!same_content(None, Some(&Content::Text("x".to_owned()))));
    }

    proptest! {
        #[test]
        fn a_text_split_anywhere_with_its_ends_trimmed_is_the_same(text in "[a-z \n]{0,30}", at in 0usize..30) {
            let at = at.min(text.len());
            let (head, tail) = text.split_at(at);
            prop_assert!(same_text(&[head.trim(), tail.trim()], &[&text]));
        }

        #[test]
        fn texts_that_differ_in_a_letter_are_not_the_same(text in "[a-z ]{1,30}", at in 0usize..30) {
            let at = at.min(text.len() - 1);
            let mut other = text.clone().into_bytes();
            other[at] = b'#';
            prop_assert!(!same_text(&[text], &[String::from_utf8(other).unwrap()]));
        }
    }
}
