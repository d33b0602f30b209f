//! A conversation that a process holds between turns, and whether a request continues it.
//!
//! Only the digests of a conversation's messages are kept. They ignore the small things that clients change between turns,
//! such as white space around a text, and nothing else; see [`Digest`].
//!
//! A request is recognised in one of two ways. If a [`RecognizeLayer`](crate::layers::RecognizeLayer) has noted what the
//! client sent and was told, that decides, and layers may change both as they like. Otherwise, or if that is ambiguous, the
//! messages as they arrive decide: they must be what this process was told, and what it answered.

mod mismatch;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use tokio::time::Instant;

pub(crate) use self::mismatch::Mismatch;
use super::prompt::marks::{Lifetime, Marks};
use super::prompt::mcp::{CallResult, PendingCall};
use super::prompt::{self, Settings, Setup};
use crate::chat::digest::{self, Digest, ReplyDigest};
use crate::chat::recognition::{self, ClientSide};
use crate::chat::{Caller, ChatRequest, Message, Role, ToolCall, call_id};

/// A request as a process will get it.
#[derive(Debug, Default)]
pub(crate) struct PreparedRequest {
    pub(crate) caller: Caller,
    pub(crate) setup: Setup,
    pub(crate) settings: Settings,
    pub(crate) messages: Vec<Message>,
    door: Option<&'static str>,
    /// How many assistant messages the conversation has.
    answers: usize,
    /// What the client sent and is told; `None` without a `RecognizeLayer`.
    client: Option<ClientSide>,
    setup_digests: SetupDigests,
    /// Digests of the messages that the client will send again: those before the assistant's last one, ...
    history: Vec<Digest>,
    /// ... that one, with its place, ...
    last_reply: Option<(usize, Digest)>,
    /// ... and those after it.
    after_reply: Vec<Digest>,
    results: Vec<ToolResult>,
}

/// What is compared of a setup.
#[derive(Clone, Debug, Default)]
struct SetupDigests {
    /// Of the functions and the schema.
    tools: u64,
    /// Of the system prompt, to the letter.
    system: u64,
    /// Of the messages that the system prompt was made from.
    system_messages: Vec<Digest>,
}

/// A tool message: its place, the canonical id of its call, and whether the control channel can carry it.
#[derive(Debug)]
struct ToolResult {
    place: usize,
    call: String,
    fits: bool,
}

impl PreparedRequest {
    /// Reads the whole request, so it takes time in proportion to the request's size.
    pub(crate) fn of(mut request: ChatRequest) -> Self {
        let client = ClientSide::of(&request);
        let settings = Settings::of(&request);
        let setup = Setup::of(&mut request);
        let mut caller = std::mem::take(&mut request.caller);
        if caller.session.is_none() {
            caller.session = request.prompt_cache_key.take();
        }
        let messages = request.messages;
        let reply = messages.iter().rposition(|message| message.role == Role::Assistant);
        let lasting = |messages: &[Message]| -> Vec<Digest> {
            messages.iter().filter(|message| !message.ephemeral).map(Digest::of).collect()
        };
        let result = |(place, message): (usize, &Message)| {
            let call = call_id::canonical(message.tool_call_id.as_deref()?);
            Some(ToolResult { place, call, fits: CallResult::of(message).is_some() })
        };
        PreparedRequest {
            history: lasting(&messages[..reply.unwrap_or(0)]),
            last_reply: reply.map(|at| (at, Digest::of(&messages[at]))),
            after_reply: lasting(&messages[reply.map_or(0, |at| at + 1)..]),
            results: messages.iter().enumerate().filter_map(result).collect(),
            setup_digests: SetupDigests::of(&setup, &messages),
            door: request.door,
            answers: messages.iter().filter(|message| message.role == Role::Assistant).count(),
            client,
            caller,
            setup,
            settings,
            messages,
        }
    }

    /// Whether the client sends back the model's reasoning.
    pub(crate) fn carries_reasoning(&self) -> bool {
        self.messages.iter().any(|message| !message.reasoning.is_empty())
    }

    /// Whether the client continues a conversation rather than beginning one.
    pub(crate) fn has_history(&self) -> bool {
        self.last_reply.is_some()
    }

    /// All messages of the conversation, each with its place.
    pub(crate) fn conversation(&self) -> impl Iterator<Item = (usize, &Message)> {
        let skipped = prompt::leading_system(&self.messages).len();
        self.messages.iter().enumerate().skip(skipped)
    }

    /// What is new to a process that holds the conversation, each message with its place.
    pub(crate) fn new_messages(&self, live: &LiveConversation) -> impl Iterator<Item = (usize, &Message)> {
        let first = self.first_new(live.recognized(self).is_ok());
        let leading = prompt::leading_system(&self.messages).len();
        // Layers may write something different there each time, such as the time of day.
        let told = &live.setup_digests.system_messages;
        let is_new = move |message: &Message| {
            let digest = Digest::of(message);
            !told.iter().any(|told| told.matches(&digest))
        };
        let system = self.messages[..leading.min(first)].iter().enumerate();
        let system = system.filter(move |(_, message)| is_new(message));
        system.chain(self.messages.iter().enumerate().skip(first))
    }

    /// The place of the first message that a process which holds the conversation has not been told.
    fn first_new(&self, by_client: bool) -> usize {
        let known = self.client.as_ref().filter(|_| by_client).map(ClientSide::known);
        known.unwrap_or_else(|| self.last_reply.map_or(0, |(at, _)| at + 1))
    }

    /// The conversation as it stands after this answer. Drains the request.
    pub(crate) fn answered(&mut self, answer: Answered, marks: Marks) -> LiveConversation {
        let Answered { reply, model: answered_by, tokens, pending } = answer;
        let mut history = std::mem::take(&mut self.history);
        history.extend(self.last_reply.map(|(_, digest)| digest));
        history.append(&mut self.after_reply);
        let client = self.client.take().inspect(ClientSide::keep);
        LiveConversation {
            caller: std::mem::take(&mut self.caller),
            setup_digests: std::mem::take(&mut self.setup_digests),
            model: self.settings.model.take(),
            client,
            history,
            reply: ReplyDigest::of(&reply.texts, &reply.calls.iter().collect::<Vec<_>>()),
            answered_by,
            door: self.door,
            answers: self.answers + 1,
            tokens,
            pending,
            marks,
            silent_since: Instant::now(),
        }
    }
}

impl SetupDigests {
    fn of(setup: &Setup, messages: &[Message]) -> Self {
        let mut tools = digest::hasher();
        setup.functions.hash_into(&mut tools);
        setup.schema.is_some().hash(&mut tools);
        if let Some(schema) = &setup.schema {
            digest::hash_value(schema, &mut tools);
        }
        let mut system = digest::hasher();
        setup.system.hash(&mut system);
        let system_messages = prompt::leading_system(messages).iter().map(Digest::of).collect();
        SetupDigests { tools: tools.finish(), system: system.finish(), system_messages }
    }
}

/// What the model answered in a turn.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) texts: Vec<String>,
    pub(crate) calls: Vec<ToolCall>,
}

/// How a turn ended on a process that can go on.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    /// The model that answered, as the API names it.
    pub(crate) model: String,
    /// The turn's tokens, prompt and answer.
    pub(crate) tokens: u64,
    pub(crate) pending: Option<PendingToolCalls>,
}

/// Calls whose results the CLI waits for.
#[derive(Debug, Default)]
pub(crate) struct PendingToolCalls {
    pub(crate) calls: Vec<PendingCall>,
    /// Calls of the same turn that the CLI has not issued yet, so the client has not been told of them.
    pub(crate) deferred: VecDeque<ToolCall>,
}

/// A conversation that a process holds.
#[derive(Debug)]
pub(crate) struct LiveConversation {
    caller: Caller,
    /// Different functions need another process. The CLI accepts another list in mid-conversation (`tools/list_changed`, or
    /// `mcp_set_servers` without and then with the server), but goes on offering the model the functions that are gone; and
    /// the prompt cache, which begins with the functions, is lost either way (2.1.328).
    setup_digests: SetupDigests,
    /// A different model needs another process: the CLI records a change of model as a `/model` command of the user's, in
    /// three blocks before the user's next words (2.1.328). Effort and limits change without a trace.
    model: Option<String>,
    client: Option<ClientSide>,
    history: Vec<Digest>,
    reply: ReplyDigest,
    /// The model that answered, as the API names it.
    pub(crate) answered_by: String,
    /// The API that the last request came through.
    pub(crate) door: Option<&'static str>,
    /// How many answers it has.
    pub(crate) answers: usize,
    /// The tokens of its last turn: prompt and answer.
    pub(crate) tokens: u64,
    pub(crate) pending: Option<PendingToolCalls>,
    /// The client's prompt-cache marks in it.
    pub(crate) marks: Marks,
    /// When its last turn ended.
    pub(crate) silent_since: Instant,
}

impl LiveConversation {
    /// The name of the caller's key.
    pub(crate) fn caller_name(&self) -> Option<&str> {
        self.caller.name.as_deref()
    }

    /// Whether the request continues this conversation in a way that this process can accept. Runs for each process under
    /// the pool's lock, so it only compares numbers.
    pub(crate) fn continues(
        &self,
        request: &PreparedRequest,
        cache_lifetime: Option<Lifetime>,
    ) -> Result<(), Mismatch> {
        if self.caller != request.caller {
            return Err(Mismatch::Caller);
        }
        if self.model != request.settings.model {
            return Err(Mismatch::Model);
        }
        if self.setup_digests.tools != request.setup_digests.tools {
            return Err(Mismatch::Tools);
        }
        let by_client = self.recognized(request);
        if by_client.is_err() {
            self.same_messages(request).map_err(|mismatch| match by_client {
                Err(Some(of_client)) => Mismatch::Client(of_client),
                _ => mismatch,
            })?;
        }
        if !self.marks.fit(cache_lifetime) {
            return Err(Mismatch::Marks);
        }
        self.accepts(request, by_client.is_ok())
    }

    /// Whether it is the same conversation from the client's view; if not, and if that is known, why not.
    fn recognized(&self, request: &PreparedRequest) -> Result<(), Option<recognition::Mismatch>> {
        match (&self.client, &request.client) {
            (Some(held), Some(next)) => held.continued_by(next).map_err(Some),
            _ => Err(None),
        }
    }

    /// Whether the request's messages, as layers left them, are what this process was told and what it said.
    fn same_messages(&self, request: &PreparedRequest) -> Result<(), Mismatch> {
        let Some((_, reply)) = &request.last_reply else { return Err(Mismatch::NoReply) };
        if self.setup_digests.system != request.setup_digests.system {
            return Err(Mismatch::System);
        }
        if self.history.len() != request.history.len() {
            return Err(Mismatch::Length { held: self.history.len(), sent: request.history.len() });
        }
        let mut pairs = self.history.iter().zip(&request.history);
        if let Some(place) = pairs.position(|(held, sent)| !held.matches(sent)) {
            return Err(Mismatch::Message(place));
        }
        if self.reply.is(reply) { Ok(()) } else { Err(Mismatch::Reply) }
    }

    /// Whether the process can be given the new messages: a parked one accepts results of exactly the calls that it waits
    /// for, except those that the client never heard of; any other accepts none.
    fn accepts(&self, request: &PreparedRequest, by_client: bool) -> Result<(), Mismatch> {
        let first = request.first_new(by_client);
        let mut results: Vec<&ToolResult> = request.results.iter().filter(|result| result.place >= first).collect();
        for call in self.pending.iter().flat_map(|pending| &pending.calls) {
            let id = call_id::canonical(&call.tool_use_id);
            let before = results.len();
            let mut fits = true;
            results.retain(|result| {
                let is_of_call = result.call == id;
                fits &= !is_of_call || result.fits;
                !is_of_call
            });
            if !fits {
                return Err(Mismatch::ResultTooLarge);
            }
            if before == results.len() && !self.withheld(call, by_client) {
                return Err(Mismatch::ResultMissing);
            }
        }
        if results.is_empty() { Ok(()) } else { Err(Mismatch::ResultUnknown) }
    }

    fn withheld(&self, call: &PendingCall, by_client: bool) -> bool {
        let client = self.client.as_ref().filter(|_| by_client);
        client.is_some_and(|client| !client.was_told_of(&call.tool_use_id))
    }
}
