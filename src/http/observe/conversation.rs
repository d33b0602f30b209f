//! Which conversation a request belongs to, so that a log can tell without a word of it.

use std::hash::{Hash, Hasher};

use crate::ChatRequest;
use crate::chat::{Message, Role, digest};

/// How much is read of either end of a text. The rest of a long one adds nothing but time.
const END: usize = 16 * 1024;

/// A conversation, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conversation {
    /// A hash of who asks and how the conversation begins. It is seeded at random in each process, so whoever reads a log
    /// cannot guess the words and try them.
    pub(crate) id: u64,
    /// Which turn of it this is, from 1.
    pub(crate) turn: usize,
}

impl Conversation {
    /// The one that a request continues or begins. Two conversations of one caller's that begin alike, with no session named,
    /// have one id; only their turns tell them apart.
    pub(crate) fn of(request: &ChatRequest) -> Conversation {
        let mut hasher = digest::hasher();
        let caller = &request.caller;
        (caller.key, &caller.session, &request.prompt_cache_key).hash(&mut hasher);
        if let Some(first) = request.messages.iter().find(|message| message.role == Role::User) {
            hash_ends(first, &mut hasher);
        }
        let answers = request.messages.iter().filter(|message| message.role == Role::Assistant).count();
        Conversation { id: hasher.finish(), turn: answers + 1 }
    }
}

fn hash_ends(message: &Message, hasher: &mut impl Hasher) {
    for text in message.texts() {
        // Clients trim texts when they repeat them.
        let text = text.as_bytes().trim_ascii();
        match text.len().checked_sub(END) {
            Some(last) if last > END => {
                hasher.write(&text[..END]);
                hasher.write(&text[last..]);
            }
            _ => hasher.write(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(messages: serde_json::Value) -> ChatRequest {
        serde_json::from_value(json!({"model": "m", "messages": messages})).unwrap()
    }

    fn begins(text: &str) -> ChatRequest {
        asked(json!([{"role": "system", "content": "Be terse."}, {"role": "user", "content": text}]))
    }

    #[test]
    fn a_conversation_is_the_same_at_each_turn_whatever_the_client_changes_on_the_way() {
        let first = Conversation::of(&begins("hello"));
        let second = Conversation::of(&asked(json!([
            {"role": "system", "content": "Be terse. It is noon."},
            {"role": "user", "content": [{"type": "text", "text": "hello\n"}]},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "And?"},
        ])));
        assert_eq!((first.turn, second.turn), (1, 2));
        assert_eq!(first.id, second.id);
    }

    #[test]
    fn another_beginning_caller_or_session_is_another_conversation() {
        let id = |change: &dyn Fn(&mut ChatRequest)| {
            let mut request = begins("hello");
            change(&mut request);
            Conversation::of(&request).id
        };
        let ids = [
            id(&|_| {}),
            id(&|request| request.messages[1] = Message::new(Role::User, "hullo")),
            id(&|request| request.caller.key = Some(7)),
            id(&|request| request.caller.session = Some("s".to_owned())),
            id(&|request| request.prompt_cache_key = Some("s".to_owned())),
        ];
        for (at, one) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(one), "{at}");
        }
    }

    #[test]
    fn a_long_beginning_is_known_by_both_of_its_ends() {
        let id = |begins_with: &str, middle: &str, ends_with: &str| {
            let text = format!("{begins_with}{}{middle}{}{ends_with}", "x".repeat(2 * END), "x".repeat(2 * END));
            Conversation::of(&begins(&text)).id
        };
        assert_ne!(id("a", "", ""), id("b", "", ""));
        assert_ne!(id("", "", "a"), id("", "", "b"));
        assert_eq!(id("", "a", ""), id("", "b", ""));
    }
}
