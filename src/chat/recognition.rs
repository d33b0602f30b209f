//! Recognises a conversation by what its client sent and what the client was told, whatever layers did to either.
//!
//! [`RecognizeLayer`](crate::layers::RecognizeLayer) goes outside all other layers. On the way in it puts a
//! [`Told`] into the request, which holds a digest of each message as the client sent it, and stamps the messages with
//! their places ([`Sent`]). On the way out it records in the same [`Told`] the answer that the client gets.
//!
//! The inner service keeps a [`ClientSide`] for each conversation it holds. A later request continues that conversation if
//! its client sends the same messages, then the answer as the client was told it, then something new:
//!
//! ```text
//!   held:    sent 0, sent 1, sent 2 ... | told
//!   request: sent 0, sent 1, sent 2 ... | sent k (the answer) | sent k+1 ... (new)
//! ```
//!
//! What layers did to the messages and to the answer plays no part.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::call_id;
use super::digest::{Digest, ReplyDigest};
use super::message::{CalledFunction, Message, Role, ToolCall};
use super::request::ChatRequest;
use super::response::ChatEvent;

/// Which of the client's messages this one is, in [`Message::sent`]. A layer that changes a message in place keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    place: u32,
}

/// What the client sent in a request, and what it is told in answer. Clones share it.
///
/// A layer that wants its own view of the history to reach the model, rather than what a live process remembers, takes
/// it out of the request ([`ChatRequest::told`]): the conversation is then recognised by the messages that the inner
/// service gets.
#[derive(Clone)]
pub struct Told {
    shared: Arc<Shared>,
}

struct Shared {
    sent: Box<[(Role, Digest)]>,
    reply: Mutex<Reply>,
    /// How many held conversations end with this answer.
    kept: AtomicU32,
}

/// The answer as the client is told it.
#[derive(Default)]
struct Reply {
    texts: Vec<String>,
    calls: Vec<(u32, ToolCall)>,
    /// Set once the answer is complete. Its texts are dropped then.
    digest: Option<ReplyDigest>,
}

impl Told {
    /// Stamps the messages of a request, and puts a record of them into it.
    pub(crate) fn put_into(request: &mut ChatRequest) -> Self {
        let sent = request.messages.iter().map(|message| (message.role, Digest::of(message))).collect();
        for (place, message) in (0..).zip(&mut request.messages) {
            message.sent = Some(Sent { place });
        }
        let shared = Arc::new(Shared { sent, reply: Mutex::default(), kept: AtomicU32::new(0) });
        let told = Told { shared };
        request.told = Some(told.clone());
        told
    }

    /// Records an event that the client is about to be told.
    pub(crate) fn record(&self, event: &ChatEvent) {
        match event {
            ChatEvent::TextBlockStart => self.reply().texts.push(String::new()),
            ChatEvent::TextDelta(text) => {
                let mut reply = self.reply();
                match reply.texts.last_mut() {
                    Some(last) => last.push_str(text),
                    None => reply.texts.push(text.clone()),
                }
            }
            ChatEvent::ToolCallStart { index, id, name } => {
                let function = CalledFunction { name: name.clone(), ..CalledFunction::default() };
                self.reply().calls.push((*index, ToolCall { id: id.clone(), function, ..ToolCall::default() }));
            }
            ChatEvent::ToolCallDelta { index, arguments } => {
                if let Some((_, call)) = self.reply().calls.iter_mut().rev().find(|(of, _)| of == index) {
                    call.function.arguments.push_str(arguments);
                }
            }
            ChatEvent::Finished { .. } => self.reply().complete(),
            _ => {}
        }
    }

    fn reply(&self) -> MutexGuard<'_, Reply> {
        self.shared.reply.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reply {
    fn digest(&self) -> ReplyDigest {
        self.digest.unwrap_or_else(|| {
            ReplyDigest::of(&self.texts, &self.calls.iter().map(|(_, call)| call).collect::<Vec<_>>())
        })
    }

    /// Drops all but what is needed to recognise the answer: minutes may pass until the client sends it back.
    fn complete(&mut self) {
        self.digest = Some(self.digest());
        self.texts = Vec::new();
        for (_, call) in &mut self.calls {
            call.function = CalledFunction::default();
        }
    }
}

/// Equal if both belong to the same request.
impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Told").field("messages", &self.shared.sent.len()).finish_non_exhaustive()
    }
}

/// A conversation as its client sees it: the messages that it sent and will send again, and the answer that it is told.
#[derive(Debug)]
pub(crate) struct ClientSide {
    told: Told,
    /// The messages that are not ephemeral, each with its place among all that were sent.
    lasting: Vec<(u32, Digest)>,
    /// The place of the client's last assistant message.
    last_reply: Option<u32>,
    /// How many of the layered messages a process that holds the conversation already knows.
    known: usize,
}

impl ClientSide {
    /// The client's side of a request; `None` if the request did not pass a `RecognizeLayer`, or a layer took out its
    /// [`Told`].
    pub(crate) fn of(request: &ChatRequest) -> Option<Self> {
        let told = request.told.clone()?;
        let sent = &told.shared.sent;
        let ephemeral: Vec<u32> = (request.messages.iter().filter(|message| message.ephemeral))
            .filter_map(|message| Some(message.sent?.place))
            .collect();
        let mut lasting: Vec<_> = (0..).zip(sent).map(|(place, (_, digest))| (place, *digest)).collect();
        lasting.retain(|(place, _)| !ephemeral.contains(place));
        let last_reply =
            (0..).zip(sent).filter(|(_, (role, _))| *role == Role::Assistant).map(|(place, _)| place).last();
        let known = known(&request.messages, last_reply);
        Some(ClientSide { told, lasting, last_reply, known })
    }

    /// How many of the request's messages, as layers left them, a process that holds the conversation already knows: those
    /// up to the last answer.
    pub(crate) fn known(&self) -> usize {
        self.known
    }

    /// Whether the client was told of the call with this id. It will never answer a call that layers withheld from it.
    pub(crate) fn was_told_of(&self, id: &str) -> bool {
        let id = call_id::canonical(id);
        self.told.reply().calls.iter().any(|(_, call)| call_id::canonical(&call.id) == id)
    }

    /// Notes that a process holds the conversation as it stands after this request and its answer.
    ///
    /// If two processes do, because a layer asked twice for one answer, neither can be recognised: nobody knows which of the
    /// two answers the client was told.
    pub(crate) fn keep(&self) {
        self.told.shared.kept.fetch_add(1, Ordering::Relaxed);
    }

    /// Checks that `next` repeats this conversation and the answer that its client was told, then continues it.
    pub(crate) fn continued_by(&self, next: &ClientSide) -> Result<(), Mismatch> {
        let last_reply = next.last_reply.ok_or(Mismatch::NoReply)?;
        let history = next.lasting.partition_point(|(place, _)| *place < last_reply);
        let (history, rest) = next.lasting.split_at(history);
        if self.lasting.len() != history.len() {
            return Err(Mismatch::Length { held: self.lasting.len(), sent: history.len() });
        }
        let differs = self.lasting.iter().zip(history).find(|((_, held), (_, sent))| !held.matches(sent));
        if let Some((_, (place, _))) = differs {
            return Err(Mismatch::Message(*place));
        }
        if !rest.first().is_some_and(|(_, sent)| self.told.reply().digest().is(sent)) {
            return Err(Mismatch::Reply(last_reply));
        }
        if self.told.shared.kept.load(Ordering::Relaxed) > 1 {
            return Err(Mismatch::Ambiguous);
        }
        Ok(())
    }
}

/// How many of these messages end with the client's message at that place, or with an assistant message that a layer has
/// put in its place.
fn known(messages: &[Message], last_reply: Option<u32>) -> usize {
    let Some(last_reply) = last_reply else { return 0 };
    let known = |message: &Message| {
        message.role == Role::Assistant || message.sent.is_some_and(|sent| sent.place <= last_reply)
    };
    messages.iter().rposition(known).map_or(0, |position| position + 1)
}

/// Why a request does not continue a conversation: the first comparison that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// The request has no assistant message.
    NoReply,
    /// The request has a different number of messages before its last assistant message.
    Length {
        /// How many the conversation has.
        held: usize,
        /// How many the request has.
        sent: usize,
    },
    /// The client's message at this place differs from the one it sent before.
    Message(u32),
    /// The assistant message at this place is not what the client was told.
    Reply(u32),
    /// Two processes hold a conversation that led to this answer.
    Ambiguous,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Mismatch::NoReply => write!(f, "the request has no assistant message"),
            Mismatch::Length { held, sent } => {
                write!(f, "the request has {sent} messages before its last assistant message, the conversation {held}")
            }
            Mismatch::Message(place) => write!(f, "messages[{place}] is not what the client sent before"),
            Mismatch::Reply(place) => write!(f, "messages[{place}] is not what the client was told"),
            Mismatch::Ambiguous => write!(f, "a layer asked more than once for the answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{FinishReason, Usage};

    fn request(messages: Value) -> ChatRequest {
        let mut request: ChatRequest = serde_json::from_value(json!({"model": "m", "messages": messages})).unwrap();
        Told::put_into(&mut request);
        request
    }

    fn client_side(messages: Value) -> ClientSide {
        ClientSide::of(&request(messages)).unwrap()
    }

    /// A conversation whose client said "hi" and was told these texts, each a block, and a call.
    fn told(texts: &[&str], complete: bool) -> ClientSide {
        let side = client_side(json!([{"role": "user", "content": "hi"}]));
        for text in texts {
            side.told.record(&ChatEvent::TextBlockStart);
            side.told.record(&ChatEvent::TextDelta((*text).to_owned()));
        }
        side.told.record(&ChatEvent::ToolCallStart { index: 0, id: "call_1".into(), name: "f".into() });
        side.told.record(&ChatEvent::ToolCallDelta { index: 0, arguments: "{}".into() });
        if complete {
            side.told.record(&ChatEvent::Finished { reason: FinishReason::Stop, usage: Usage::default() });
        }
        side
    }

    fn next(content: Value) -> ClientSide {
        let calls = json!([{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
        client_side(json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": content, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        ]))
    }

    #[test]
    fn an_answer_is_recognised_as_one_text_and_as_the_blocks_that_it_came_in() {
        for complete in [false, true] {
            let held = told(&["a b", "\n\nc"], complete);
            let parts = json!([{"type": "text", "text": "a b"}, {"type": "text", "text": "c"}]);
            assert_eq!(held.continued_by(&next(json!("a b\n\nc"))), Ok(()));
            assert_eq!(held.continued_by(&next(parts)), Ok(()));
            assert_eq!(held.continued_by(&next(json!("a  b\n\nc"))), Err(Mismatch::Reply(1)));
            assert_eq!(held.continued_by(&next(json!("a b"))), Err(Mismatch::Reply(1)));
            assert!(held.was_told_of("call1") && !held.was_told_of("call_2"));
        }
    }

    #[test]
    fn the_first_comparison_that_fails_is_named() {
        let held = told(&["a"], true);
        assert_eq!(held.continued_by(&client_side(json!([{"role": "user", "content": "hi"}]))), Err(Mismatch::NoReply));
        let longer = json!([{"role": "user", "content": "hi"}, {"role": "user", "content": "ho"},
            {"role": "assistant", "content": "a"}]);
        assert_eq!(held.continued_by(&client_side(longer)), Err(Mismatch::Length { held: 1, sent: 2 }));
        let other = json!([{"role": "user", "content": "ho"}, {"role": "assistant", "content": "a"}]);
        assert_eq!(held.continued_by(&client_side(other)), Err(Mismatch::Message(0)));
    }

    #[test]
    fn white_space_within_a_block_counts_where_the_client_keeps_the_blocks() {
        let held = told(&["a  b", "c"], true);
        let parts = |first: &str| json!([{"type": "text", "text": first}, {"type": "text", "text": "c"}]);
        assert_eq!(held.continued_by(&next(parts("a  b"))), Ok(()));
        assert_eq!(held.continued_by(&next(parts("a b"))), Err(Mismatch::Reply(1)));
    }

    #[test]
    fn of_a_complete_answer_only_a_digest_is_kept() {
        let held = |complete| {
            let side = told(&["a"], complete);
            let reply = side.told.reply();
            (reply.texts.clone(), reply.calls[0].1.function.arguments.clone())
        };
        assert_eq!(held(false), (vec!["a".to_owned()], "{}".to_owned()));
        assert_eq!(held(true), (Vec::new(), String::new()));
    }

    #[test]
    fn a_record_is_that_of_one_request_and_shows_nothing_of_its_words() {
        let (one, other) = (told(&["a"], true).told, told(&["a"], true).told);
        assert!(one == one.clone() && one != other);
        assert_eq!(format!("{one:?}"), "Told { messages: 1, .. }");
    }

    #[test]
    fn a_mismatch_says_where_it_is() {
        for (mismatch, words) in [
            (Mismatch::NoReply, "no assistant message"),
            (Mismatch::Length { held: 2, sent: 5 }, "has 5 messages"),
            (Mismatch::Message(3), "messages[3] is not what the client sent"),
            (Mismatch::Reply(4), "messages[4] is not what the client was told"),
            (Mismatch::Ambiguous, "more than once"),
        ] {
            assert!(mismatch.to_string().contains(words), "{mismatch}");
        }
    }

    #[test]
    fn two_processes_that_claim_one_answer_are_both_passed_over() {
        let held = told(&["a"], true);
        held.keep();
        assert_eq!(held.continued_by(&next(json!("a"))), Ok(()));
        held.keep();
        assert_eq!(held.continued_by(&next(json!("a"))), Err(Mismatch::Ambiguous));
    }

    #[test]
    fn what_layers_do_to_the_messages_is_not_looked_at() {
        let held = told(&["a"], true);
        let mut layered = request(json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "user", "content": "go on"}]));
        layered.messages[1].content = None;
        layered.messages.insert(0, Message::new(Role::System, "It is noon."));
        layered.messages.insert(3, Message::new(Role::System, "It is late."));
        let next = ClientSide::of(&layered).unwrap();
        assert_eq!(held.continued_by(&next), Ok(()));
        assert_eq!(next.known(), 3);

        layered.messages = vec![Message::new(Role::Assistant, "a"), Message::new(Role::User, "go on")];
        assert_eq!(ClientSide::of(&layered).unwrap().known(), 1);
    }

    #[test]
    fn a_message_that_the_client_will_not_repeat_does_not_count() {
        let mut first = request(json!([{"role": "user", "content": "hi"}, {"role": "user", "content": "for now"}]));
        first.messages[1].ephemeral = true;
        let held = ClientSide::of(&first).unwrap();
        held.told.record(&ChatEvent::TextDelta("a".into()));
        let next = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"},
            {"role": "user", "content": "ho"}]);
        assert_eq!(held.continued_by(&client_side(next)), Ok(()));
    }
}
