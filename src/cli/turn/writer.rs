//! The lines that tell a process a conversation: all of it, what is new, or the results that the process waits for.

use crate::Error;
use crate::chat::{Message, call_id};
use crate::cli::config::Config;
use crate::cli::conversation::{LiveConversation, PendingToolCalls, PreparedRequest};
use crate::cli::prompt::marks::{self, Lifetime, Marks};
use crate::cli::prompt::mcp::{self, CallResult};
use crate::cli::prompt::{self, PromptTurn};
use crate::cli::protocol::Outgoing;

/// Builds the lines for one request.
#[derive(Debug)]
pub(super) struct TurnWriter {
    /// The API's name of the model that is to answer; empty if unknown.
    model: String,
    /// The client's prompt-cache marks in the process's conversation.
    pub(super) marks: Marks,
    /// How long the CLI's own marks live.
    lifetime: Option<Lifetime>,
    /// Names of the client's fields that are not passed on to the process.
    pub(super) ignored: Vec<&'static str>,
}

impl TurnWriter {
    pub(super) fn new(model: &str, marks: Marks, lifetime: Option<Lifetime>) -> Self {
        TurnWriter { model: model.to_owned(), marks, lifetime, ignored: Vec::new() }
    }

    /// The lines to send. The CLI acknowledges each item but the last.
    pub(super) fn lines(
        &mut self,
        request: &PreparedRequest,
        live: Option<&LiveConversation>,
        config: &Config,
        out: Outgoing,
    ) -> Result<Vec<Outgoing>, Error> {
        let Some(live) = live else {
            let turns = prompt::turns(request.conversation(), config)?;
            return self.conversation(turns, request, false, config, out);
        };
        match &live.pending {
            None => {
                let turns = prompt::turns(request.new_messages(live), config)?;
                self.conversation(turns, request, true, config, out)
            }
            Some(pending) => self.results(request, live, pending, config, out),
        }
    }

    /// The turns of a conversation. All but the last are history, in which each user turn must be acknowledged before the
    /// assistant turn after it is sent, or the CLI would reorder them.
    fn conversation(
        &mut self,
        mut turns: Vec<PromptTurn<'_>>,
        request: &PreparedRequest,
        live: bool,
        config: &Config,
        mut out: Outgoing,
    ) -> Result<Vec<Outgoing>, Error> {
        self.ignored = marks::settle(&mut turns, &mut self.marks, live, self.lifetime, &request.setup, config);
        let last = turns.pop().filter(|turn| !turn.assistant).ok_or_else(prompt::nothing_to_answer)?;
        let mut lines = Vec::new();
        for turn in turns {
            if turn.assistant {
                out.assistant(&turn.blocks, Some(self.model.as_str()).filter(|model| !model.is_empty()));
            } else {
                out.user(&turn.blocks, false);
                lines.push(out.take());
            }
        }
        out.user(&last.blocks, true);
        lines.push(out);
        Ok(lines)
    }

    /// The results of the calls that the process is parked in. Other new messages go first, so that they reach the model
    /// together with the results; sent afterwards, they might arrive a turn too late.
    fn results(
        &mut self,
        request: &PreparedRequest,
        live: &LiveConversation,
        pending: &PendingToolCalls,
        config: &Config,
        mut out: Outgoing,
    ) -> Result<Vec<Outgoing>, Error> {
        let new_messages = || request.new_messages(live);
        let is_result = |message: &Message| message.tool_call_id.is_some();
        let mut turns = prompt::turns(new_messages().filter(|(_, message)| !is_result(message)), config)?;
        self.ignored = marks::settle(&mut turns, &mut self.marks, true, self.lifetime, &request.setup, config);
        for turn in turns {
            out.user(&turn.blocks, true);
        }
        let results = mcp::results(new_messages().map(|(_, message)| message));
        for call in &pending.calls {
            let result = results.get(&call_id::canonical(&call.tool_use_id));
            let result = result.and_then(|message| CallResult::of(message)).unwrap_or_else(CallResult::withheld);
            out.mcp_result(&call.request_id, &call.rpc_id, &result);
        }
        Ok(vec![out])
    }
}
