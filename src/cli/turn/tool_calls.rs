//! The client's calls of one turn: which of them the client is told of now, and which the CLI waits for.
//!
//! The CLI issues calls together where it may, and otherwise one after the other, each after the answer to the one
//! before; it also runs its own tools in between. The client is told of the calls that are issued together, and of the
//! others in later answers, as the CLI comes to them.

use std::collections::VecDeque;

use crate::ChatEvent;
use crate::chat::call_id;
use crate::chat::{CalledFunction, ToolCall};
use crate::cli::conversation::{Parked, Reply};
use crate::cli::prompt::mcp::PendingCall;

/// The calls of the client's functions in a turn.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// The model's ids of those that the client is told of in this answer.
    told: Vec<String>,
    /// Those that the CLI waits for an answer to.
    pending: Vec<PendingCall>,
    /// What the client is told of in a later answer.
    deferred: VecDeque<ToolCall>,
    /// No further call belongs to this answer.
    closed: bool,
    /// The model's message is complete.
    waiting: bool,
}

impl Calls {
    /// The calls that a parked process has still to come to.
    pub(crate) fn resumed(deferred: VecDeque<ToolCall>) -> Self {
        Calls { deferred, ..Calls::default() }
    }

    /// Whether a further call of the model's belongs to this answer.
    pub(crate) fn open(&self) -> bool {
        !self.closed
    }

    /// What the model calls from here on waits for an answer to what it has called.
    pub(crate) fn close(&mut self) {
        self.closed |= !self.told.is_empty();
    }

    /// The model's message is complete: it waits for results.
    pub(crate) fn wait(&mut self) {
        self.waiting = true;
    }

    /// Whether the client has been told of the call with this id of the model's.
    pub(crate) fn told(&self, id: &str) -> bool {
        self.told.iter().any(|told| told == id)
    }

    /// Tells the client of a call, its arguments to follow. Its index is returned.
    pub(crate) fn tell(&mut self, id: &str, name: &str, reply: &mut Reply, events: &mut VecDeque<ChatEvent>) -> u32 {
        let index = reply.calls.len() as u32;
        let call = called(id, name);
        self.told.push(id.to_owned());
        events.push_back(ChatEvent::ToolCallStart { index, id: call.id.clone(), name: name.to_owned() });
        reply.calls.push(call);
        index
    }

    /// Puts a call off; its number among those put off is returned.
    pub(crate) fn defer(&mut self, id: &str, name: &str) -> usize {
        self.deferred.push_back(called(id, name));
        self.deferred.len() - 1
    }

    /// More arguments of a call that was put off.
    pub(crate) fn add_to_deferred(&mut self, at: usize, arguments: &str) {
        if let Some(call) = self.deferred.get_mut(at) {
            call.function.arguments.push_str(arguments);
        }
    }

    /// The CLI has issued a call. Says whether it is one that had been put off and whose turn has come, so that the
    /// client is told of it only now.
    pub(crate) fn take(&mut self, call: PendingCall, reply: &mut Reply, events: &mut VecDeque<ChatEvent>) -> bool {
        let id = call.tool_use_id.clone();
        self.pending.push(call);
        let canonical = call_id::canonical(&id);
        let at = self.deferred.iter().position(|call| call.id == canonical);
        // While others are told of, it stays put off.
        let Some(call) = at.filter(|_| self.told.is_empty()).and_then(|at| self.deferred.remove(at)) else {
            return false;
        };
        let index = self.tell(&id, &call.function.name, reply, events);
        if !call.function.arguments.is_empty() {
            let arguments = call.function.arguments.clone();
            events.push_back(ChatEvent::ToolCallDelta { index, arguments });
        }
        if let Some(told) = reply.calls.last_mut() {
            *told = call;
        }
        self.waiting = true;
        true
    }

    /// What the process is parked in, once the CLI has issued every call that the client was told of.
    pub(crate) fn park(&mut self) -> Option<Parked> {
        let issued = |id: &String| self.pending.iter().any(|call| call.tool_use_id == *id);
        let complete = self.waiting && !self.told.is_empty() && self.told.iter().all(issued);
        complete.then(|| Parked {
            pending: std::mem::take(&mut self.pending),
            deferred: std::mem::take(&mut self.deferred),
        })
    }
}

fn called(id: &str, name: &str) -> ToolCall {
    ToolCall {
        id: call_id::canonical(id),
        kind: "function".to_owned(),
        function: CalledFunction { name: name.to_owned(), arguments: String::new() },
        ..ToolCall::default()
    }
}
