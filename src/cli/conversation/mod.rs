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
use super::prompt::prefix::Prefix;
use super::prompt::{self, Settings, Setup};
use crate::chat::call_id::CallId;
use crate::chat::digest::{self, Digest, ReplyDigest};
use crate::chat::recognition::{self, ClientSide};
use crate::chat::{Caller, ChatRequest, Message, Role, ToolCall};

/// A request as a process will get it.
#[derive(Debug, Default)]
pub(crate) struct PreparedRequest {
    pub(crate) caller: Caller,
    pub(crate) setup: Setup,
    pub(crate) settings: Settings,
    pub(crate) messages: Vec<Message>,
    /// The names of what Claude Code changes of its content.
    pub(crate) changed: Vec<&'static str>,
    /// Set where the CLI does not let results end a turn.
    pub(crate) never_ends_turns: bool,
    door: Option<&'static str>,
    /// How many assistant messages the conversation has.
    answers: usize,
    /// What the client sent and is told; `None` without a `RecognizeLayer`.
    client: Option<ClientSide>,
    /// The digest of the functions and the schema.
    tools: u64,
    /// That of the system prompt, to the letter.
    system: u64,
    /// The place of the assistant's last message.
    last_reply: Option<usize>,
    results: Vec<ToolResult>,
    /// The places of the messages that say something and are neither results nor the assistant's.
    others: Vec<usize>,
    /// `None` until [`PreparedRequest::digest`].
    digests: Option<Digests>,
}

/// What is compared of the messages as they arrive.
#[derive(Debug, Default)]
struct Digests {
    /// Of those that the system prompt was made from.
    system_messages: Vec<Digest>,
    /// Of the messages that the client will send again: those before the assistant's last one, ...
    history: Vec<Digest>,
    /// ... that one ...
    reply: Option<Digest>,
    /// ... and those after it.
    after_reply: Vec<Digest>,
}

/// A tool message: its place, the id of its call, and whether the control channel can carry it.
#[derive(Debug)]
struct ToolResult {
    place: usize,
    call: CallId,
    fits: bool,
    is_error: bool,
}

impl PreparedRequest {
    /// Reads the whole request, so it takes time in proportion to the request's size. What is compared of the messages as they
    /// arrive is left to [`digest`](Self::digest).
    pub(crate) fn of(mut request: ChatRequest) -> Self {
        let client = ClientSide::of(&request);
        let changed = prompt::changes::of(&request);
        let settings = Settings::of(&request);
        let setup = Setup::of(&mut request);
        let mut caller = std::mem::take(&mut request.caller);
        if caller.session.is_none() {
            caller.session = request.prompt_cache_key.take();
        }
        let messages = request.messages;
        let result = |(place, message): (usize, &Message)| {
            let call = CallId::from(message.tool_call_id.as_deref()?);
            Some(ToolResult { place, call, fits: CallResult::of(message).is_some(), is_error: message.is_error })
        };
        let is_other = |(_, message): &(usize, &Message)| {
            message.role != Role::Assistant && message.tool_call_id.is_none() && prompt::says(message)
        };
        PreparedRequest {
            last_reply: messages.iter().rposition(|message| message.role == Role::Assistant),
            results: messages.iter().enumerate().filter_map(result).collect(),
            others: messages.iter().enumerate().filter(is_other).map(|(place, _)| place).collect(),
            tools: tools_digest(&setup),
            system: system_digest(&setup),
            digests: None,
            door: request.door,
            answers: messages.iter().filter(|message| message.role == Role::Assistant).count(),
            client,
            caller,
            setup,
            settings,
            messages,
            changed,
            never_ends_turns: false,
        }
    }

    /// Digests the messages, unless that has been done: a conversation that is not recognised by its client's side is by them,
    /// and what is kept of it has them. Takes time in proportion to their size.
    pub(crate) fn digest(&mut self) {
        if self.is_digested() {
            return;
        }
        let system_messages: Vec<_> = prompt::leading_system(&self.messages).iter().map(Digest::of).collect();
        let digest = |(at, message): (usize, &Message)| match system_messages.get(at) {
            Some(digest) => *digest,
            None => Digest::of(message),
        };
        let lasting = |from: usize, to: usize| -> Vec<Digest> {
            let mut digests = Vec::with_capacity(to - from);
            let messages = self.messages.iter().enumerate().take(to).skip(from);
            digests.extend(messages.filter(|(_, message)| !message.ephemeral).map(digest));
            digests
        };
        self.digests = Some(Digests {
            history: lasting(0, self.last_reply.unwrap_or(0)),
            reply: self.last_reply.map(|at| digest((at, &self.messages[at]))),
            after_reply: lasting(self.last_reply.map_or(0, |at| at + 1), self.messages.len()),
            system_messages,
        });
    }

    pub(crate) fn is_digested(&self) -> bool {
        self.digests.is_some()
    }

    /// What stands before its first message.
    pub(crate) fn prefix(&self) -> Prefix {
        Prefix::new(self.system, self.tools, self.settings.model.as_deref())
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
        let differs = self.system != live.system;
        let is_new = move |message: &Message| {
            let digest = Digest::of(message);
            !live.system_messages.iter().any(|told| told.matches(&digest))
        };
        let system = self.messages[..leading.min(first)].iter().enumerate();
        let system = system.filter(move |(_, message)| differs && is_new(message));
        system.chain(self.messages.iter().enumerate().skip(first))
    }

    /// Whether anything but results is new to a process that holds the conversation.
    fn brings_others(&self, live: &LiveConversation, first: usize) -> bool {
        let leading = prompt::leading_system(&self.messages).len();
        let is_new = |&place: &usize| place >= first || place < leading && self.system != live.system;
        self.others.iter().any(is_new)
    }

    /// The place of the first message that a process which holds the conversation has not been told.
    fn first_new(&self, by_client: bool) -> usize {
        let known = self.client.as_ref().filter(|_| by_client).map(ClientSide::known);
        known.unwrap_or_else(|| self.last_reply.map_or(0, |at| at + 1))
    }

    /// Frees what the process has been told, of which only the digests are needed again: it may be megabytes, and the answer may
    /// take minutes.
    pub(crate) fn forget_prompt(&mut self) {
        self.messages = Vec::new();
        self.setup.system = String::new();
    }

    /// The conversation as it stands after this answer to the messages, which have been digested. Drains the request.
    pub(crate) fn answered(&mut self, answer: Answered, marks: Marks, prefix: Prefix) -> Box<LiveConversation> {
        let Answered { mut reply, model: answered_by, tokens, pending } = answer;
        for call in &mut reply.calls {
            if let Some(originals) = self.setup.functions.originals(&call.function.name) {
                call.function.arguments = originals.restore(std::mem::take(&mut call.function.arguments));
            }
        }
        let digests = self.digests.take().unwrap_or_default();
        let Digests { system_messages, mut history, reply: last_reply, after_reply } = digests;
        history.extend(last_reply);
        history.extend(after_reply);
        let client = self.client.take().inspect(ClientSide::keep);
        Box::new(LiveConversation {
            caller: std::mem::take(&mut self.caller),
            tools: self.tools,
            system: self.system,
            system_messages,
            settings: std::mem::take(&mut self.settings),
            client,
            history,
            reply: ReplyDigest::of(&reply.texts, &reply.calls.iter().collect::<Vec<_>>()),
            answered_by,
            door: self.door,
            answers: self.answers + 1,
            tokens,
            pending,
            marks,
            prefix,
            silent_since: Instant::now(),
        })
    }
}

fn system_digest(setup: &Setup) -> u64 {
    let mut system = digest::hasher();
    setup.system.hash(&mut system);
    system.finish()
}

fn tools_digest(setup: &Setup) -> u64 {
    let mut tools = digest::hasher();
    setup.functions.hash_into(&mut tools);
    setup.schema.is_some().hash(&mut tools);
    if let Some(schema) = &setup.schema {
        digest::hash_value(schema, &mut tools);
    }
    tools.finish()
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
    tools: u64,
    /// The digests of the system prompt, and of the messages that it was made from.
    system: u64,
    system_messages: Vec<Digest>,
    /// A different model needs another process: the CLI records a change of model as a `/model` command of the user's, in
    /// three blocks before the user's next words (2.1.328). Effort and limits change without a trace.
    settings: Settings,
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
    /// It, as the API has it.
    pub(crate) prefix: Prefix,
    /// When its last turn ended.
    pub(crate) silent_since: Instant,
}

impl LiveConversation {
    /// The name of the caller's key.
    pub(crate) fn caller_name(&self) -> Option<&str> {
        self.caller.name.as_deref()
    }

    /// Whether the request continues this conversation in a way that this process can accept. Its messages have been digested.
    /// Runs for each process under the pool's lock, so it only compares numbers.
    pub(crate) fn continues(
        &self,
        request: &PreparedRequest,
        cache_lifetime: Option<Lifetime>,
    ) -> Result<(), Mismatch> {
        self.same_settings(request)?;
        let by_client = self.recognized(request);
        if by_client.is_err() {
            self.same_messages(request).map_err(|mismatch| match by_client {
                Err(Some(of_client)) => Mismatch::Client(of_client),
                _ => mismatch,
            })?;
        }
        self.accepts(request, cache_lifetime, by_client.is_ok())
    }

    /// Whether it does by its client's side alone, for which its messages need not have been digested.
    pub(crate) fn is_continued_by_client(&self, request: &PreparedRequest, cache_lifetime: Option<Lifetime>) -> bool {
        self.same_settings(request).is_ok()
            && self.recognized(request).is_ok()
            && self.accepts(request, cache_lifetime, true).is_ok()
    }

    fn same_settings(&self, request: &PreparedRequest) -> Result<(), Mismatch> {
        if self.caller != request.caller {
            return Err(Mismatch::Caller);
        }
        if self.settings.model != request.settings.model {
            return Err(Mismatch::Model);
        }
        if self.tools != request.tools {
            return Err(Mismatch::Tools);
        }
        Ok(())
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
        let Some(Digests { history, reply: Some(reply), .. }) = &request.digests else {
            return Err(Mismatch::NoReply);
        };
        if self.system != request.system {
            return Err(Mismatch::System);
        }
        if self.history.len() != history.len() {
            return Err(Mismatch::Length { held: self.history.len(), sent: history.len() });
        }
        let mut pairs = self.history.iter().zip(history);
        if let Some(place) = pairs.position(|(held, sent)| !held.matches(sent)) {
            return Err(Mismatch::Message(place));
        }
        if self.reply.is(reply) { Ok(()) } else { Err(Mismatch::Reply) }
    }

    /// Whether the process can be given the new messages: a parked one accepts results of exactly the calls that it waits
    /// for, except those that the client never heard of; any other accepts none.
    fn accepts(
        &self,
        request: &PreparedRequest,
        cache_lifetime: Option<Lifetime>,
        by_client: bool,
    ) -> Result<(), Mismatch> {
        if !self.marks.fit(cache_lifetime) {
            return Err(Mismatch::Marks);
        }
        let first = request.first_new(by_client);
        let mut results: Vec<&ToolResult> = request.results.iter().filter(|result| result.place >= first).collect();
        for call in self.pending.iter().flat_map(|pending| &pending.calls) {
            let mut of_call =
                CallId::from(&call.tool_use_id).named_by(results.iter().map(|result| &result.call)).into_iter();
            let before = results.len();
            let mut fits = true;
            results.retain(|result| {
                let is_of_call = of_call.next() == Some(true);
                fits &= !is_of_call || result.fits;
                !is_of_call
            });
            if !fits {
                return Err(Mismatch::ResultUnfit);
            }
            if before == results.len() && !self.withheld(call, by_client) {
                return Err(Mismatch::ResultMissing);
            }
        }
        if !results.is_empty() {
            return Err(Mismatch::ResultUnknown);
        }
        match &self.pending {
            Some(pending) if !self.can_end_its_turn(pending, request, first) => Err(Mismatch::BesideResults),
            _ => Ok(()),
        }
    }

    /// What is new besides the results, settings included, reaches the model as it is only in a turn of its own. The turn that
    /// waits in the calls can be made to end with their results if none of these is a failure, and no call is still to come.
    fn can_end_its_turn(&self, pending: &PendingToolCalls, request: &PreparedRequest, first: usize) -> bool {
        let only_results = self.settings == request.settings && !request.brings_others(self, first);
        let fails = request.results.iter().any(|result| result.place >= first && result.is_error);
        only_results || !fails && pending.deferred.is_empty() && !request.never_ends_turns
    }

    fn withheld(&self, call: &PendingCall, by_client: bool) -> bool {
        let client = self.client.as_ref().filter(|_| by_client);
        client.is_some_and(|client| !client.was_told_of(&call.tool_use_id))
    }
}
