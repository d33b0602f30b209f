//! What stands before the model's thinking: the API takes thinking back only behind what stood before it when it was made.
//!
//! Where a conversation is replayed with something changed, such as an earlier message, a tool or the model, its thinking would
//! cost a refused request (400, "bound to a different conversation"), after which the CLI asks again without it (2.1.332). So
//! what stood before each thinking is remembered, and thinking that stands elsewhere now is left out. Of thinking that was not
//! made here nothing is known: it is sent, and the CLI finds out.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use super::blocks::{Block, Kind};
use super::turns::PromptTurn;
use crate::chat::{call_id, digest};
use crate::cli::protocol::incoming;

/// Of how much thinking it is remembered what stood before it: a megabyte of numbers.
const MAX_REMEMBERED: usize = 50_000;

/// A digest of a conversation so far, as the API gets it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefix(DefaultHasher);

impl Prefix {
    /// Of what stands before any message: the digests of the system prompt and of the tools. Thinking is of one model.
    pub(crate) fn new(system: u64, tools: u64, model: Option<&str>) -> Self {
        let mut prefix = Prefix::default();
        (system, tools, model).hash(&mut prefix.0);
        // The CLI's note on the environment has the date, in local time.
        let days = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / 86_400);
        days.hash(&mut prefix.0);
        prefix
    }

    /// Something that a replay does not have.
    pub(crate) fn unknown(&mut self) {
        "unknown".hash(&mut self.0);
    }

    /// A turn that is sent.
    pub(crate) fn turn(&mut self, turn: &PromptTurn<'_>) {
        turn.blocks.iter().for_each(|block| self.block(turn.assistant, block));
    }

    fn block(&mut self, assistant: bool, block: &Block<'_>) {
        assistant.hash(&mut self.0);
        match &block.kind {
            Kind::Text { text } => ("text", &**text).hash(&mut self.0),
            Kind::Thinking { signature, .. } => ("thinking", signature).hash(&mut self.0),
            Kind::RedactedThinking { data } => ("thinking", data).hash(&mut self.0),
            Kind::ToolUse { id, name, input } => self.call(id, name, input.get()),
            Kind::ToolResult { tool_use_id, content, is_error } => {
                ("result", call_id::canonical(tool_use_id), is_error, content.len()).hash(&mut self.0);
                content.iter().for_each(|block| self.block(false, block));
            }
            kind => self.json(kind),
        }
    }

    fn call(&mut self, id: &str, name: &str, input: &str) {
        ("call", id, name).hash(&mut self.0);
        let input = as_in_javascript(serde_json::from_str(input).unwrap_or(Value::Null));
        digest::hash_value(&input, &mut self.0);
    }

    fn json(&mut self, value: &impl Serialize) {
        // Into a hasher, it cannot fail.
        let _ = serde_json::to_writer(Into(&mut self.0), value);
    }

    /// A block that the model has said, as the CLI repeats it.
    pub(crate) fn said(&mut self, block: &incoming::Block<'_>, known: &KnownThinking) {
        let signature = block.signature.as_ref().or(block.data.as_ref()).map(incoming::Text::as_str);
        if let Some(signature) = signature {
            known.remember(signature, self.0.finish());
        }
        true.hash(&mut self.0);
        match block.kind.as_str() {
            "text" => ("text", block.text.as_ref().map_or("", incoming::Text::as_str)).hash(&mut self.0),
            "thinking" | "redacted_thinking" => ("thinking", signature.unwrap_or_default()).hash(&mut self.0),
            "tool_use" => {
                let text = |text: &Option<incoming::Text<'_>>| {
                    text.as_ref().map_or(String::new(), |it| it.as_str().to_owned())
                };
                self.call(&text(&block.id), &text(&block.name), block.input.map_or("{}", |input| input.get()));
            }
            _ => self.unknown(),
        }
    }

    /// Adds turns that are replayed, and takes out the thinking that the API would refuse there. Returns whether there was any.
    pub(crate) fn replay(&mut self, turns: &mut [PromptTurn<'_>], known: &KnownThinking) -> bool {
        let mut dropped = false;
        for turn in turns {
            let assistant = turn.assistant;
            turn.retain(|block| {
                let signature = match &block.kind {
                    Kind::Thinking { signature, .. } => Some(*signature),
                    Kind::RedactedThinking { data } => Some(*data),
                    _ => None,
                };
                let refused = signature
                    .and_then(|signature| known.before(signature))
                    .is_some_and(|before| before != self.0.finish());
                dropped |= refused;
                if !refused {
                    self.block(assistant, block);
                }
                !refused
            });
        }
        dropped
    }
}

/// JSON as the CLI hands it on and repeats it: with all numbers as doubles.
fn as_in_javascript(json: Value) -> Value {
    match json {
        Value::Number(number) => Value::from(number.as_f64()),
        Value::Array(items) => items.into_iter().map(as_in_javascript).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, as_in_javascript(value))).collect(),
        other => other,
    }
}

/// Writes into a hasher.
struct Into<'a>(&'a mut DefaultHasher);

impl io::Write for Into<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What stood before the model's thinking, by a digest of its signature.
#[derive(Debug, Default)]
pub(crate) struct KnownThinking(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    /// `None` where thinking of one signature was made in several places.
    before: HashMap<u64, Option<u64>>,
    oldest: VecDeque<u64>,
}

impl KnownThinking {
    fn remember(&self, signature: &str, before: u64) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let signature = digest_of(signature);
        if let Some(known) = remembered.before.get_mut(&signature) {
            *known = known.filter(|known| *known == before);
            return;
        }
        remembered.before.insert(signature, Some(before));
        remembered.oldest.push_back(signature);
        if remembered.oldest.len() > MAX_REMEMBERED
            && let Some(oldest) = remembered.oldest.pop_front()
        {
            remembered.before.remove(&oldest);
        }
    }

    fn before(&self, signature: &str) -> Option<u64> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.before.get(&digest_of(signature)).copied().flatten()
    }
}

fn digest_of(signature: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    signature.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::Message;
    use crate::cli::config::Config;

    /// What is left of the thinking that was made behind the first of these conversations where the second is replayed.
    fn left(made_behind: &str, replayed_behind: &str, model: &str) -> usize {
        let known = KnownThinking::default();
        let user = |text: &str| Message::new(crate::chat::Role::User, text);
        let mut live = Prefix::new(1, 2, Some("opus"));
        let messages = [user(made_behind)];
        prompt_turns(&messages).iter().for_each(|turn| live.turn(turn));
        let thought = json!({"type": "thinking", "thinking": "hm", "signature": "s"}).to_string();
        live.said(&serde_json::from_str(&thought).unwrap(), &known);

        let mut answer = Message::new(crate::chat::Role::Assistant, "so");
        answer.reasoning.push(crate::chat::Reasoning::Signed { text: "hm".into(), signature: "s".into(), place: 0 });
        let messages = [user(replayed_behind), answer, user("and?")];
        let mut turns = prompt_turns(&messages);
        Prefix::new(1, 2, Some(model)).replay(&mut turns, &known);
        turns[1].blocks.iter().filter(|block| matches!(block.kind, Kind::Thinking { .. })).count()
    }

    fn prompt_turns(messages: &[Message]) -> Vec<PromptTurn<'_>> {
        super::super::turns(messages.iter().enumerate(), &Config::default()).unwrap()
    }

    #[test]
    fn thinking_is_left_out_where_something_else_stands_before_it() {
        assert_eq!(left("q", "q", "opus"), 1);
        assert_eq!((left("q", "another q", "opus"), left("q", "q", "sonnet")), (0, 0));
    }

    #[test]
    fn thinking_that_was_made_elsewhere_is_sent() {
        let answer = json!({"role": "assistant", "content": "so"});
        let mut answer: Message = serde_json::from_value(answer).unwrap();
        answer.reasoning.push(crate::chat::Reasoning::Signed { text: "hm".into(), signature: "s".into(), place: 0 });
        let messages = [answer];
        let mut turns = prompt_turns(&messages);
        assert!(!Prefix::default().replay(&mut turns, &KnownThinking::default()));
        assert_eq!(turns[0].blocks.len(), 2);
    }
}
