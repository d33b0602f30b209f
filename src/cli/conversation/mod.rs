//! A conversation that a process holds between turns, and whether a request goes on with it.

use std::collections::VecDeque;

use tokio::time::Instant;

mod matching;

use super::prompt::mcp::{self, PendingCall};
use super::prompt::{Settings, Setup};
use crate::chat::call_id;
use crate::chat::{Caller, ChatRequest, Content, Message, Part, Role, ToolCall};

/// What a request asks of a process.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    pub(crate) setup: Setup,
    pub(crate) settings: Settings,
    pub(crate) messages: Vec<Message>,
    /// Where the assistant spoke last: what is before it is the history, what is after it is new.
    last_reply: Option<usize>,
    /// The fingerprint of the history.
    key: u64,
}

impl Asked {
    pub(crate) fn of(request: ChatRequest) -> Self {
        let setup = Setup::of(&request);
        let settings = Settings::of(&request);
        let mut caller = request.caller;
        if caller.session.is_none() {
            caller.session = request.prompt_cache_key;
        }
        let last_reply = request.messages.iter().rposition(|message| message.role == Role::Assistant);
        let history = lasting(&request.messages[..last_reply.unwrap_or(0)]);
        let key = matching::key(&caller, &setup, &history);
        Asked { caller, setup, settings, messages: request.messages, last_reply, key }
    }

    /// The messages after the assistant's last one, and the number of the first of them.
    pub(crate) fn new_messages(&self) -> (&[Message], usize) {
        let first = self.last_reply.map_or(0, |at| at + 1);
        (&self.messages[first..], first)
    }

    /// The conversation as it stands after this reply. What is asked is used up.
    pub(crate) fn held_after(&mut self, mut reply: Reply, answered_by: String, parked: Option<Parked>) -> Held {
        let messages = std::mem::take(&mut self.messages);
        let history: Vec<Message> = messages.into_iter().filter(|message| !message.ephemeral).collect();
        let setup = std::mem::take(&mut self.setup);
        let key = matching::key(&self.caller, &setup, &history.iter().collect::<Vec<_>>());
        // They have grown delta by delta, and now wait for minutes.
        reply.texts.iter_mut().for_each(String::shrink_to_fit);
        let (caller, model) = (self.caller.clone(), self.settings.model.clone());
        Held { key, caller, setup, model, history, reply, answered_by, parked, since: Instant::now() }
    }
}

/// The messages that the client will send again.
fn lasting(messages: &[Message]) -> Vec<&Message> {
    messages.iter().filter(|message| !message.ephemeral).collect()
}

/// What the model answered in a turn, as the client is expected to send it back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) texts: Vec<String>,
    pub(crate) calls: Vec<ToolCall>,
}

impl Reply {
    fn is(&self, message: &Message) -> bool {
        let ours = Message {
            role: Role::Assistant,
            content: Some(Content::Parts(self.texts.iter().map(Part::from_text).collect())),
            tool_calls: Some(self.calls.clone()),
            ..Message::default()
        };
        matching::same_message(&ours, message)
    }
}

/// Calls that the CLI waits for.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    pub(crate) pending: Vec<PendingCall>,
    /// Calls of the same turn that the client has not been told of yet: the CLI has not issued them.
    pub(crate) deferred: VecDeque<ToolCall>,
}

/// A conversation that a process holds.
#[derive(Debug)]
pub(crate) struct Held {
    key: u64,
    caller: Caller,
    setup: Setup,
    /// Another model wants another process: the CLI records a change of model as a `/model` command of the user's, in
    /// three blocks before the user's next words (2.1.328). Effort and limits change without a trace.
    model: Option<String>,
    history: Vec<Message>,
    reply: Reply,
    /// The model that answered, as the API names it.
    pub(crate) answered_by: String,
    pub(crate) parked: Option<Parked>,
    /// When its last turn ended.
    pub(crate) since: Instant,
}

impl Held {
    /// Whether the request goes on with this conversation, in a way that this process can take.
    pub(crate) fn fits(&self, asked: &Asked) -> bool {
        let Some(last_reply) = asked.last_reply else { return false };
        self.key == asked.key
            && self.caller == asked.caller
            && self.setup == asked.setup
            && self.model == asked.settings.model
            && self.reply.is(&asked.messages[last_reply])
            && matching::same(&self.history.iter().collect::<Vec<_>>(), &lasting(&asked.messages[..last_reply]))
            && self.takes(&asked.messages[last_reply + 1..])
    }

    /// Whether the new messages can be given to it: a parked process takes results of exactly the calls that it waits
    /// for, in a form that its control channel can carry; another takes no results.
    fn takes(&self, new: &[Message]) -> bool {
        let results = mcp::results(new);
        match &self.parked {
            None => results.is_empty(),
            Some(parked) => {
                results.len() == parked.pending.len()
                    && parked.pending.iter().all(|call| {
                        let result = results.get(&call_id::canonical(&call.tool_use_id));
                        result.is_some_and(|message| mcp::mcp_content(message).is_some())
                    })
            }
        }
    }
}
