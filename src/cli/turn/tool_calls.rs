//! The calls of the client's functions in one turn: which the client is told of now, and which the CLI waits for.
//!
//! The CLI issues calls together where it may, and otherwise one by one, each after the result of the one before; it also
//! runs its own tools in between. One answer announces to the client the calls that are issued together. The others are
//! deferred to later answers, until the CLI issues them.

use std::collections::VecDeque;

use crate::ChatEvent;
use crate::chat::call_id;
use crate::chat::{CalledFunction, ToolCall};
use crate::cli::conversation::PendingToolCalls;
use crate::cli::prompt::mcp::PendingCall;

/// The calls of the client's functions in a turn.
#[derive(Debug, Default)]
pub(crate) struct ToolCalls {
    /// The calls that this answer announces, each with the model's id for it.
    announced: Vec<(String, ToolCall)>,
    /// The calls whose results the CLI waits for.
    pending: Vec<PendingCall>,
    /// The calls that a later answer announces.
    deferred: VecDeque<ToolCall>,
    /// No further call belongs to this answer.
    closed: bool,
    /// The model's message is complete.
    message_is_complete: bool,
    /// The CLI has answered a call that this answer announces itself.
    refused: bool,
}

/// Where a call is among those of its turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallPlace {
    /// The client knows it by this index.
    Announced(u32),
    /// A later answer announces it.
    Deferred(usize),
}

impl ToolCalls {
    /// For a parked process that has yet to issue these calls.
    pub(crate) fn resumed(deferred: VecDeque<ToolCall>) -> Self {
        ToolCalls { deferred, ..ToolCalls::default() }
    }

    /// How many calls this answer announces.
    pub(crate) fn len(&self) -> usize {
        self.announced.len()
    }

    /// Calls from here on depend on earlier results; they belong to a later answer.
    pub(crate) fn close(&mut self) {
        self.closed |= !self.announced.is_empty();
    }

    /// The model's message is complete: it waits for results.
    pub(crate) fn message_complete(&mut self) {
        self.message_is_complete = true;
    }

    /// The CLI has answered the call with this id, as the model gave it, itself.
    pub(crate) fn refused(&mut self, id: &str) {
        self.refused |= self.announced.iter().any(|(announced, _)| announced == id);
    }

    /// Whether it has done so with a call that this answer announces.
    pub(crate) fn any_refused(&self) -> bool {
        self.refused
    }

    /// The call at this place.
    pub(crate) fn get(&self, place: CallPlace) -> Option<&ToolCall> {
        match place {
            CallPlace::Announced(index) => self.announced.get(index as usize).map(|(_, call)| call),
            CallPlace::Deferred(at) => self.deferred.get(at),
        }
    }

    /// The model begins a call; its arguments follow. Returns the event that announces it, unless it depends on the results
    /// of earlier calls. If calls are not to be `parallel`, each belongs to an answer of its own.
    pub(crate) fn begin(&mut self, id: &str, name: &str, parallel: bool) -> (CallPlace, Option<ChatEvent>) {
        if self.closed {
            self.deferred.push_back(called(id, name));
            return (CallPlace::Deferred(self.deferred.len() - 1), None);
        }
        let (index, start) = self.announce(id, name);
        if !parallel {
            self.close();
        }
        (CallPlace::Announced(index), Some(start))
    }

    /// Adds to a call's arguments. Returns the event for the client, unless the call is deferred.
    pub(crate) fn add_arguments(&mut self, place: CallPlace, arguments: String) -> Option<ChatEvent> {
        match place {
            CallPlace::Announced(index) => {
                let (_, call) = self.announced.get_mut(index as usize)?;
                call.function.arguments.push_str(&arguments);
                Some(ChatEvent::ToolCallDelta { index, arguments })
            }
            CallPlace::Deferred(at) => {
                self.deferred.get_mut(at)?.function.arguments.push_str(&arguments);
                None
            }
        }
    }

    fn announce(&mut self, id: &str, name: &str) -> (u32, ChatEvent) {
        let index = self.announced.len() as u32;
        let call = called(id, name);
        let event = ChatEvent::ToolCallStart { index, id: call.id.clone(), name: name.to_owned() };
        self.announced.push((id.to_owned(), call));
        (index, event)
    }

    /// The CLI has issued a call. If the call was deferred and its turn has come, the returned events announce it.
    pub(crate) fn issued(&mut self, call: PendingCall) -> Vec<ChatEvent> {
        let id = call.tool_use_id.clone();
        self.pending.push(call);
        let canonical = call_id::canonical(&id);
        let at = self.deferred.iter().position(|call| call.id == canonical);
        // While this answer announces other calls, this one stays deferred.
        let Some(call) = at.filter(|_| self.announced.is_empty()).and_then(|at| self.deferred.remove(at)) else {
            return Vec::new();
        };
        self.message_is_complete = true;
        let CalledFunction { name, arguments } = call.function;
        let (index, start) = self.announce(&id, &name);
        let mut events = vec![start];
        if !arguments.is_empty() {
            events.extend(self.add_arguments(CallPlace::Announced(index), arguments));
        }
        events
    }

    /// The calls that the process is parked in, once the CLI has issued every call that this answer announced.
    pub(crate) fn parked(&mut self) -> Option<PendingToolCalls> {
        let issued = |id: &String| self.pending.iter().any(|call| call.tool_use_id == *id);
        let complete =
            self.message_is_complete && !self.announced.is_empty() && self.announced.iter().all(|(id, _)| issued(id));
        complete.then(|| PendingToolCalls {
            calls: std::mem::take(&mut self.pending),
            deferred: std::mem::take(&mut self.deferred),
        })
    }

    /// The calls that this answer announced, once it is over.
    pub(crate) fn take_announced(&mut self) -> Vec<ToolCall> {
        std::mem::take(&mut self.announced).into_iter().map(|(_, call)| call).collect()
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
