//! The lines that tell a process a conversation: all of it, what is new, or the results that the process waits for.
//!
//! Two things take a detour through the CLI so that the model gets exactly what a replay, or the API itself, would give it:
//!
//! - What stands beside results. A user message that the CLI gets while it waits in a call is rewritten (2.1.332), and settings
//!   take effect one request late. So the results say that the turn ends with them (`claude/endTurn`), which leaves no trace in
//!   the conversation, and the rest follows as a turn of its own. Without a rest, a turn of one empty text asks for the answer.
//! - The CLI's note on the environment. The CLI adds it where it first asks the API: behind the first user message of a
//!   conversation that has lived here, but behind the last one of a replay. The API then reads nothing of the history from its
//!   prompt cache, and refuses thinking that was made with the note elsewhere. So the first user message of a replay is asked
//!   under a context limit that it exceeds: the CLI adds its note and refuses by itself, without asking the API.

use serde_json::json;

use crate::Error;
use crate::chat::Message;
use crate::chat::call_id::CallId;
use crate::cli::config::Config;
use crate::cli::conversation::{LiveConversation, PendingToolCalls, PreparedRequest};
use crate::cli::prompt::marks::{self, End, Lifetime, Marks};
use crate::cli::prompt::mcp::{self, CallResult};
use crate::cli::prompt::prefix::{KnownThinking, Prefix};
use crate::cli::prompt::{self, PromptTurn};
use crate::cli::protocol::Outgoing;

/// Lines to be sent together, and what the CLI says once it has taken them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lines: Outgoing,
    pub(super) then: Then,
}

/// What the CLI says to a batch of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// That it has appended a message to the conversation.
    Acknowledgement,
    /// That the turn is over, without a word of the model's.
    EndOfTurn,
    /// That the conversation exceeds the limit which it was given.
    Refusal,
    /// The model's answer.
    Answer,
}

/// Makes the CLI refuse what it is asked without asking the API (2.1.280 to 2.1.332); "" undoes it.
const CONTEXT_LIMIT: &str = "CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE";

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
    /// Whether a replay has the CLI's note where the conversation first had it.
    places_note: bool,
    /// The conversation as the API gets it, up to what is to be answered.
    pub(super) prefix: Prefix,
    /// Whether thinking was left out that the API would have refused.
    pub(super) drops_thinking: bool,
}

impl TurnWriter {
    pub(super) fn new(model: &str, marks: Marks, lifetime: Option<Lifetime>, places_note: bool) -> Self {
        TurnWriter {
            model: model.to_owned(),
            marks,
            lifetime,
            ignored: Vec::new(),
            places_note,
            prefix: Prefix::default(),
            drops_thinking: false,
        }
    }

    /// What to send, a batch after what the CLI says to the one before. `settings` are the lines that a process needs first.
    pub(super) fn lines(
        &mut self,
        request: &PreparedRequest,
        live: Option<&LiveConversation>,
        known: &KnownThinking,
        config: &Config,
        settings: Outgoing,
    ) -> Result<Vec<Batch>, Error> {
        let Some(live) = live else {
            let mut turns = prompt::turns(request.conversation(), config)?;
            if turns.first().is_some_and(|first| first.assistant) {
                turns.insert(0, PromptTurn::go_ahead());
            }
            self.prefix = request.prefix();
            if turns.len() > 1 && !self.places_note {
                self.prefix.unknown();
            }
            self.drops_thinking = self.prefix.replay(&mut turns, known);
            return self.conversation(turns, request, false, config, settings);
        };
        self.prefix = live.prefix.clone();
        for turn in prompt::turns(request.new_messages(live), config)? {
            self.prefix.turn(&turn);
        }
        match &live.pending {
            None => {
                let turns = prompt::turns(request.new_messages(live), config)?;
                self.conversation(turns, request, true, config, settings)
            }
            Some(pending) => self.results(request, live, pending, config, settings),
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
    ) -> Result<Vec<Batch>, Error> {
        let mut places_note = self.places_note && !live && turns.len() > 1 && !turns[0].assistant;
        let marked = if live || places_note { End::ByTheCli } else { End::BehindTheNote };
        self.ignored = marks::settle(&mut turns, &mut self.marks, live, marked, self.lifetime, &request.setup, config);
        let last = turns.pop().filter(|turn| !turn.assistant).ok_or_else(prompt::nothing_to_answer)?;
        let mut batches = Vec::new();
        for turn in turns {
            if turn.assistant {
                out.assistant(&turn.blocks, Some(self.model.as_str()).filter(|model| !model.is_empty()));
            } else if std::mem::take(&mut places_note) {
                context_limit("1", &mut out);
                out.user(&turn.blocks, true);
                batches.push(Batch { lines: out.take(), then: Then::Refusal });
                context_limit("", &mut out);
            } else {
                out.user(&turn.blocks, false);
                batches.push(Batch { lines: out.take(), then: Then::Acknowledgement });
            }
        }
        out.user(&last.blocks, true);
        batches.push(Batch { lines: out, then: Then::Answer });
        Ok(batches)
    }

    /// The results of the calls that the process is parked in, and what stands beside them.
    fn results(
        &mut self,
        request: &PreparedRequest,
        live: &LiveConversation,
        pending: &PendingToolCalls,
        config: &Config,
        settings: Outgoing,
    ) -> Result<Vec<Batch>, Error> {
        let new_messages = || request.new_messages(live);
        let is_result = |message: &Message| message.tool_call_id.is_some();
        let mut turns = prompt::turns(new_messages().filter(|(_, message)| !is_result(message)), config)?;
        self.ignored =
            marks::settle(&mut turns, &mut self.marks, true, End::ByTheCli, self.lifetime, &request.setup, config);
        let ends_turn = !turns.is_empty() || !settings.is_empty();
        let mut results = Outgoing::default();
        let messages = mcp::results(new_messages().map(|(_, message)| message));
        for call in &pending.calls {
            let of_call = CallId::from(&call.tool_use_id).named_by(messages.iter().map(|(id, _)| id));
            let last = of_call.iter().rposition(|is_of_call| *is_of_call);
            let result = last.and_then(|at| CallResult::of(messages[at].1)).unwrap_or_else(CallResult::withheld);
            let result = if ends_turn { result.ending_the_turn() } else { result };
            results.mcp_result(&call.request_id, &call.rpc_id, &result);
        }
        if !ends_turn {
            return Ok(vec![Batch { lines: results, then: Then::Answer }]);
        }
        let mut rest = settings;
        match turns.first() {
            Some(turn) => rest.user(&turn.blocks, true),
            // The CLI leaves the empty text out, and asks all the same.
            None => rest.user(&[json!({"type": "text", "text": ""})], true),
        }
        Ok(vec![Batch { lines: results, then: Then::EndOfTurn }, Batch { lines: rest, then: Then::Answer }])
    }
}

fn context_limit(tokens: &str, out: &mut Outgoing) {
    out.control("limit", &json!({"subtype": "apply_flag_settings", "settings": {"env": {CONTEXT_LIMIT: tokens}}}));
}
