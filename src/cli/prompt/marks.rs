//! Prompt-cache marks: `cache_control`, Anthropic's cache breakpoints. Only this module decides which blocks carry one.
//!
//! The API takes at most four marks a request. The CLI sets its own (2.1.328): on its identity line, on the system prompt if
//! there is one, and on the last block of all. The rest are for the client's marks, and those nearest the end win. A mark
//! that a process has been sent stays in its conversation.
//!
//! If the client leaves marks unused, a process that is sent a conversation from the beginning gets ours, at the end of the
//! last user turns that the client will send again: the API looks only some twenty blocks back from a mark for what it has
//! cached.
//!
//! All marks of a request must have the same lifetime: the API refuses an hour after five minutes, and the CLI marks the end
//! of the request. The CLI uses an hour with a subscription and five minutes with an API key; the first answer that writes
//! to the cache shows which. Until then no mark is passed on.

use std::sync::atomic::{AtomicU8, Ordering};

use serde::Serialize;
use serde_json::{Map, Value};

use super::blocks::Kind;
use super::setup::Setup;
use super::turns::PromptTurn;
use crate::cli::config::Config;

/// How many marks the API takes in one request.
const MAX_MARKS: usize = 4;

/// Reported to the client if some of its marks are not passed on.
const DROPPED: &str = "cache_control";

/// Reported to the client if some of its marks live shorter than it wants.
const LIFETIME: &str = "cache_control.ttl";

/// A block's mark: the prompt is to be cached up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Mark {
    r#type: &'static str,
    #[serde(rename = "ttl", skip_serializing_if = "Lifetime::is_default")]
    lifetime: Lifetime,
}

impl Mark {
    /// The mark that the fields of a part, a message or a tool ask for, in Anthropic's form or in OpenAI's.
    pub(super) fn among(fields: &Map<String, Value>) -> Option<Self> {
        let anthropics = fields.get("cache_control").filter(|mark| mark["type"] == "ephemeral");
        let openais = fields.get("prompt_cache_breakpoint").filter(|mark| mark.is_object());
        let lifetime = match anthropics.or(openais)?["ttl"].as_str() {
            Some("1h") => Lifetime::Hour,
            _ => Lifetime::FiveMinutes,
        };
        Some(Mark { r#type: "ephemeral", lifetime })
    }
}

/// How long what is marked stays in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Lifetime {
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "1h")]
    Hour,
}

impl Lifetime {
    fn is_default(&self) -> bool {
        *self == Lifetime::FiveMinutes
    }
}

/// After the API has refused this many requests for their marks, no more are sent: the CLI may set marks that we do not know
/// of.
const GIVES_UP_AFTER: u8 = 3;

/// How long the CLI's own marks live, as far as answers have shown.
#[derive(Debug, Default)]
pub(crate) struct KnownLifetime {
    lifetime: AtomicU8,
    refusals: AtomicU8,
}

impl KnownLifetime {
    pub(crate) fn get(&self) -> Option<Lifetime> {
        match self.lifetime.load(Ordering::Relaxed) {
            _ if self.refusals.load(Ordering::Relaxed) >= GIVES_UP_AFTER => None,
            1 => Some(Lifetime::FiveMinutes),
            2 => Some(Lifetime::Hour),
            _ => None,
        }
    }

    /// Learns from an answer how many tokens it wrote to the cache for five minutes, and how many for an hour.
    pub(crate) fn wrote(&self, five_minutes: u64, hour: u64) {
        match (five_minutes, hour) {
            (0, 0) => {}
            (_, 0) => self.lifetime.store(1, Ordering::Relaxed),
            (0, _) => self.lifetime.store(2, Ordering::Relaxed),
            _ => self.lifetime.store(0, Ordering::Relaxed),
        }
    }

    /// The API has refused a request for marks of the known lifetime.
    pub(crate) fn refused(&self) {
        self.lifetime.store(0, Ordering::Relaxed);
        let refusals = self.refusals.load(Ordering::Relaxed).saturating_add(1);
        self.refusals.store(refusals, Ordering::Relaxed);
    }
}

/// The marks that a process has in its conversation, besides the CLI's own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    count: usize,
    lifetime: Option<Lifetime>,
}

impl Marks {
    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        self.count > 0
    }

    /// Whether they can stand beside CLI marks of this lifetime.
    pub(crate) fn fit(&self, known: Option<Lifetime>) -> bool {
        self.count == 0 || self.lifetime == known
    }
}

/// What the CLI marks at the end of the request that the turns lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The last block of the last turn.
    ByTheCli,
    /// Its note on the environment, which comes behind that block.
    BehindTheNote,
}

/// Decides on the marks of the turns that a process is about to be sent. `told` are those already in its conversation;
/// `live`: whether it holds what stands before the turns. Returns the names of the fields that are not honoured.
pub(crate) fn settle(
    turns: &mut [PromptTurn<'_>],
    told: &mut Marks,
    live: bool,
    end: End,
    known: Option<Lifetime>,
    setup: &Setup,
    config: &Config,
) -> Vec<&'static str> {
    let in_system = if config.agent() || !setup.system.is_empty() { 2 } else { 1 };
    let mut free = known.map_or(0, |_| MAX_MARKS.saturating_sub(in_system + 1 + told.count));
    let (mut dropped, mut other_lifetime) = (setup.drops_marks, false);
    let mut last = end == End::ByTheCli;
    let mut decide = |mark: &mut Option<Mark>| {
        let is_last = std::mem::take(&mut last);
        let Some(wanted) = mark.take() else { return };
        match known {
            _ if is_last => {}
            Some(lifetime) if free > 0 => {
                free -= 1;
                told.count += 1;
                told.lifetime = Some(lifetime);
                other_lifetime |= wanted.lifetime == Lifetime::Hour && lifetime != Lifetime::Hour;
                *mark = Some(Mark { lifetime, ..wanted });
            }
            _ => dropped = true,
        }
    };
    for block in turns.iter_mut().rev().flat_map(|turn| turn.blocks.iter_mut().rev()) {
        decide(&mut block.mark);
        if let Kind::ToolResult { content, .. } = &mut block.kind {
            content.iter_mut().rev().for_each(|block| decide(&mut block.mark));
        }
    }
    if let (false, Some(lifetime)) = (live, known) {
        let marked_already = end == End::ByTheCli && turns.last().is_some_and(PromptTurn::lasts);
        let user_turns = turns.iter_mut().rev().filter(|turn| !turn.assistant).skip(usize::from(marked_already));
        for block in user_turns.filter_map(PromptTurn::last_lasting).filter(|block| block.mark.is_none()).take(free) {
            block.mark = Some(Mark { r#type: "ephemeral", lifetime });
            told.count += 1;
            told.lifetime = known;
        }
    }
    let names = [(dropped, DROPPED), (other_lifetime, LIFETIME)];
    names.into_iter().filter_map(|(is, name)| is.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::{Message, Role, ToolCall};

    const HOUR: Option<Lifetime> = Some(Lifetime::Hour);
    const FIVE_MINUTES: Option<Lifetime> = Some(Lifetime::FiveMinutes);

    /// What becomes of a user message of these marks: the blocks as they are sent, and the names.
    fn settled(marks: &[Value], told: &mut Marks, live: bool, known: Option<Lifetime>) -> (Value, Vec<&'static str>) {
        let parts = marks.iter().map(|mark| json!({"type": "text", "text": "t", "cache_control": mark}));
        let message = json!({"role": "user", "content": parts.collect::<Vec<_>>()});
        let messages: Vec<Message> = vec![serde_json::from_value(message).unwrap()];
        let mut turns = super::super::turns(messages.iter().enumerate(), &Config::default()).unwrap();
        let setup = Setup { system: "be terse".to_owned(), ..Setup::default() };
        let end = if live { End::ByTheCli } else { End::BehindTheNote };
        let names = settle(&mut turns, told, live, end, known, &setup, &Config::default());
        let blocks = serde_json::to_value(&turns[0].blocks).unwrap();
        (blocks.as_array().unwrap().iter().map(|block| block["cache_control"].clone()).collect(), names)
    }

    #[test]
    fn the_mark_nearest_the_end_wins_and_those_that_do_not_are_named() {
        let (mut told, mark) = (Marks::default(), json!({"type": "ephemeral"}));
        let marks = [mark.clone(), Value::Null, mark.clone(), Value::Null];
        assert_eq!(
            settled(&marks, &mut told, false, FIVE_MINUTES),
            (json!([null, null, mark, null]), vec!["cache_control"])
        );
        // That mark stays, and leaves room for no other. The CLI itself marks the end.
        assert_eq!(settled(std::slice::from_ref(&mark), &mut told, true, FIVE_MINUTES), (json!([null]), vec![]));
        let names = vec!["cache_control"];
        assert_eq!(settled(&[mark.clone(), mark], &mut told, true, FIVE_MINUTES), (json!([null, null]), names));
    }

    #[test]
    fn a_call_carries_its_mark() {
        let mut call = ToolCall::new("t", "f", "{}");
        call.extra.insert("cache_control".to_owned(), json!({"type": "ephemeral"}));
        let called = Message { tool_calls: Some(vec![call]), ..Message::new(Role::Assistant, "so") };
        let messages = [Message::new(Role::User, "a"), called, Message::tool_result("t", "r")];
        let mut turns = super::super::turns(messages.iter().enumerate(), &Config::default()).unwrap();
        let (mut told, setup) = (Marks::default(), Setup::default());
        settle(&mut turns, &mut told, false, End::BehindTheNote, FIVE_MINUTES, &setup, &Config::default());
        let blocks = serde_json::to_value(&turns[1].blocks).unwrap();
        assert_eq!(blocks[1]["cache_control"], json!({"type": "ephemeral"}));
    }

    /// The texts that we mark in a conversation whose client marks none.
    fn ours(messages: &[Message], system: &str) -> Vec<String> {
        ours_before(End::BehindTheNote, messages, system)
    }

    fn ours_before(end: End, messages: &[Message], system: &str) -> Vec<String> {
        let mut turns = super::super::turns(messages.iter().enumerate(), &Config::default()).unwrap();
        let setup = Setup { system: system.to_owned(), ..Setup::default() };
        settle(&mut turns, &mut Marks::default(), false, end, FIVE_MINUTES, &setup, &Config::default());
        let blocks = serde_json::to_value(turns.iter().flat_map(|turn| &turn.blocks).collect::<Vec<_>>()).unwrap();
        let marked = blocks.as_array().unwrap().iter().filter(|block| !block["cache_control"].is_null());
        marked.map(|block| block["text"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_the_client_leaves_over_marks_the_ends_of_the_users_last_turns() {
        let conversation = ["a", "b", "c"].map(|said| {
            let user = |text: &str| Message::new(Role::User, text);
            [user(said), user(&format!("{said}2")), Message::new(Role::Assistant, "so")]
        });
        let conversation = &conversation.concat()[..8];
        assert_eq!(ours(conversation, "be terse"), ["c2"]);
        // Without a system prompt the CLI has one mark fewer of its own.
        assert_eq!(ours(conversation, ""), ["b2", "c2"]);
        // The CLI marks the very end, where its note does not stand there.
        assert_eq!(ours_before(End::ByTheCli, conversation, ""), ["a2", "b2"]);
    }

    #[test]
    fn no_mark_of_ours_stands_behind_what_a_layer_says_once() {
        let user = |text: &str| Message::new(Role::User, text);
        let once = Message { ephemeral: true, ..user("It is noon.") };
        let before = [user("a"), Message::new(Role::Assistant, "b")];
        let with = |last: &[Message]| ours(&[&before[..], last].concat(), "be terse");
        assert_eq!(with(&[user("c"), once.clone(), user("d")]), ["c"]);
        assert_eq!(with(&[once, user("d")]), ["a"]);
    }

    #[test]
    fn after_three_refusals_there_are_no_more_marks() {
        let known = KnownLifetime::default();
        for _ in 0..GIVES_UP_AFTER {
            known.wrote(5, 0);
            assert_eq!(known.get(), FIVE_MINUTES);
            known.refused();
            assert_eq!(known.get(), None);
        }
        known.wrote(5, 0);
        assert_eq!(known.get(), None);
    }

    #[test]
    fn marks_live_as_long_as_the_clis_own_and_there_are_none_until_that_is_known() {
        let (mark, hour) = (json!({"type": "ephemeral"}), json!({"type": "ephemeral", "ttl": "1h"}));
        let settled = |mark: &Value, known| {
            let mut told = Marks::default();
            let (marks, names) = settled(std::slice::from_ref(mark), &mut told, false, known);
            (marks[0].clone(), names, told.fit(HOUR))
        };
        assert_eq!(settled(&mark, None), (Value::Null, vec!["cache_control"], true));
        assert_eq!(settled(&mark, HOUR), (hour.clone(), vec![], true));
        assert_eq!(settled(&hour, HOUR), (hour.clone(), vec![], true));
        assert_eq!(settled(&hour, FIVE_MINUTES), (mark, vec!["cache_control.ttl"], false));
    }

    #[test]
    fn the_lifetime_is_what_the_last_answer_wrote() {
        let known = KnownLifetime::default();
        let after = |five_minutes, hour| {
            known.wrote(five_minutes, hour);
            known.get()
        };
        assert_eq!([after(0, 0), after(5, 0), after(0, 0), after(0, 5)], [None, FIVE_MINUTES, FIVE_MINUTES, HOUR]);
        assert_eq!(after(1, 1), None);
    }
}
