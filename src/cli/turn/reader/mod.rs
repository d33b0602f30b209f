//! The lines of a turn as events: a state machine from one line to none, one or several events, without any I/O.

mod blocks;
mod control;
#[cfg(test)]
mod tests;
mod unstreamed;

use std::collections::VecDeque;

use serde_json::Value;

use super::failure::Failure;
use super::tool_calls::{CallPlace, ToolCalls};
use crate::cli::conversation::{Answered, PendingToolCalls, PreparedRequest, Reply};
use crate::cli::prompt::is_blank;
use crate::cli::prompt::marks::KnownLifetime;
use crate::cli::prompt::prefix::{KnownThinking, Prefix};
use crate::cli::protocol::incoming::{ApiUsage, FullMessage, StreamEvent, read};
use crate::cli::protocol::{ControlRequest, Line, Outgoing};
use crate::cli::rate_limits::{RateLimitInfo, Subscription};
use crate::{ChatEvent, Error, ErrorKind, FinishReason, Usage};

/// Reads the lines of one turn.
#[derive(Debug, Default)]
pub(crate) struct TurnReader {
    /// Whether the process has confirmed the functions and the schema.
    setup_confirmed: bool,
    /// Whether the model has begun to answer.
    started: bool,
    /// The model that answers, as the API names it.
    model: String,
    /// Whether the CLI has said which model it uses.
    knows_model: bool,
    /// The texts of the answer.
    texts: Vec<String>,
    /// Calls of the client's functions.
    calls: ToolCalls,
    message: Message,
    /// The model has had its last word, for this reason: the turn's `result` is all that is still to come.
    last_word: Option<FinishReason>,
    /// What the process said cannot be of this turn, which it may not have heard of.
    out_of_step: bool,
    usage: Usage,
    failure: Failure,
    /// The conversation so far, as the API has it.
    pub(crate) prefix: Prefix,
}

/// What lines have produced. Each turn has one, and drains it.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// What the client is told.
    pub(crate) events: VecDeque<ChatEvent>,
    /// Answers to what the CLI asked, to be sent to it.
    pub(crate) replies: Outgoing,
    /// Questions whether a tool may be used, by the request's id. Their answers are sent with the replies.
    pub(crate) questions: Vec<(String, ControlRequest)>,
    /// Set once no further line matters.
    pub(crate) after: Option<AfterTurn>,
}

/// What becomes of the process.
#[derive(Debug)]
pub(crate) enum AfterTurn {
    /// It is in the middle of something that nobody waits for.
    Kill,
    /// It has finished, or waits for the results of calls, and can go on with the conversation.
    Keep(Answered),
}

/// What the meaning of a line depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) request: &'a PreparedRequest,
    pub(crate) subscription: &'a Subscription,
    pub(crate) cache_lifetime: &'a KnownLifetime,
    pub(crate) thinking: &'a KnownThinking,
}

/// The API's message that is being streamed.
#[derive(Debug, Default)]
struct Message {
    id: String,
    usage: ApiUsage,
    blocks: Vec<Streamed>,
    /// Whether `message_start` has come. The CLI sends nothing of a message before it.
    open: bool,
    /// Whether its end has come.
    ended: bool,
    /// Whether part of it belonged to no block, and no `assistant` line has come since to make up for it.
    lost: bool,
    /// Whether the client has been sent text or calls of it, and it is not complete.
    partially_streamed: bool,
    /// If it was fetched in one piece: its id, and why it was cut if it was.
    fetched: String,
    cut: Option<String>,
    /// How many texts and calls the reply had before it.
    texts_before: usize,
    calls_before: usize,
}

/// A content block that is being streamed.
#[derive(Debug)]
struct Streamed {
    /// The API's number for it. There are gaps: the CLI does not stream blocks of some types (`fallback`; 2.1.328).
    index: u32,
    block: Block,
    /// How much of its text came with its start, of which the CLI itself takes no notice (2.1.328).
    begun_with: usize,
    /// Whether all of it has come, as far as the CLI says.
    whole: bool,
}

/// What a content block's deltas add to.
#[derive(Debug)]
enum Block {
    /// The text at this place.
    Text(usize),
    /// Likewise, where it is the JSON of a `StructuredOutput` call.
    Json(usize),
    Reasoning(String),
    /// The arguments of a call of a client's function.
    Call(CallPlace),
    /// The input of one of Claude Code's own tools.
    Builtin {
        name: String,
        input: String,
    },
    Other,
}

impl TurnReader {
    /// For a turn on a process that has yet to take its setup.
    pub(crate) fn fresh() -> Self {
        TurnReader::default()
    }

    /// For a turn on a process that holds the conversation.
    pub(crate) fn live() -> Self {
        TurnReader { setup_confirmed: true, ..TurnReader::default() }
    }

    /// For a turn that gives a process the results of calls. When the CLI issues deferred calls, it does not name the model
    /// that made them.
    pub(crate) fn resumed(model: String, deferred: VecDeque<crate::chat::ToolCall>) -> Self {
        TurnReader { model, calls: ToolCalls::resumed(deferred), ..TurnReader::live() }
    }

    /// Whether the model has begun to answer.
    pub(crate) fn started(&self) -> bool {
        self.started
    }

    /// The model that answers, as the API names it; empty while that is not known.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// Whether the CLI has said which model it uses. Versions before 2.1.328 may do so without a name.
    pub(crate) fn knows_model(&self) -> bool {
        self.knows_model
    }

    /// Forgets a failure that was asked for.
    pub(crate) fn forget_failure(&mut self) {
        self.failure = Failure::default();
    }

    /// Whether the process is at something else than this turn, so that another one can take it.
    pub(crate) fn out_of_step(&self) -> bool {
        self.out_of_step
    }

    /// Takes the next line, and adds what it produces to `out`.
    pub(crate) fn take(&mut self, line: Line<'_>, context: Context<'_>, out: &mut Step) -> Result<(), Error> {
        let main = line.parent_tool_use_id.is_none();
        if main
            && line.kind.as_str() != "assistant"
            && let Some(reason) = self.message.cut.take()
        {
            self.stop(&reason, false, out);
            return Ok(());
        }
        // The CLI may have asked the model something else by itself, which is no part of this answer.
        if let Some(reason) = self.last_word
            && main
            && (line.kind.as_str() == "user" || line.begins_a_message())
        {
            self.finish(reason, AfterTurn::Kill, out);
            return Ok(());
        }
        match line.kind.as_str() {
            // A sub-agent's events are not the answer.
            "stream_event" if main => {
                if let Some(event) = line.event {
                    return self.take_event(event, context, out);
                }
            }
            "assistant" if main => return self.take_assistant(&line, context, out),
            "user" if main => self.take_tool_results(&line, out),
            "result" => return self.take_result(&line, context, out),
            "control_request" => self.take_control_request(&line, context, out),
            "control_response" => return self.take_control_reply(read(line.response)),
            "system" if line.subtype.as_ref().is_some_and(|subtype| subtype.as_str() == "init") => {
                return self.take_init(&line, context.request);
            }
            "rate_limit_event" => context.subscription.update(read::<RateLimitInfo>(line.rate_limit_info)),
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, out: &mut Step) {
        if !self.started {
            self.started = true;
            out.events.push_back(ChatEvent::Started);
        }
    }

    fn take_event(&mut self, event: StreamEvent<'_>, context: Context<'_>, out: &mut Step) -> Result<(), Error> {
        let request = context.request;
        match event.kind.as_str() {
            "message_start" => {
                self.check_not_begun_anew()?;
                if let Some(message) = event.message {
                    self.model = message.model.into();
                    let usage = message.usage.unwrap_or_default();
                    if let Some(wrote) = usage.cache_creation {
                        let (five_minutes, hour) = (wrote.ephemeral_5m_input_tokens, wrote.ephemeral_1h_input_tokens);
                        context.cache_lifetime.wrote(five_minutes, hour);
                    }
                    self.message = Message {
                        id: message.id.into(),
                        usage,
                        open: true,
                        texts_before: self.texts.len(),
                        calls_before: self.calls.len(),
                        ..Message::default()
                    };
                    self.start(out);
                    let mut usage = self.usage;
                    usage += self.message.usage.to_openai();
                    out.events.push_back(ChatEvent::Usage(usage));
                }
            }
            "content_block_start" if self.message.open => {
                if let (Some(index), Some(block)) = (event.index, event.content_block) {
                    if index as usize != self.message.blocks.len() {
                        // The CLI leaves out a block of the model's.
                        self.prefix.unknown();
                    }
                    if self.gives_json_again(&block, request) {
                        return Err(Error::new(
                            ErrorKind::Upstream,
                            "The JSON that the model gave does not fit the schema of response_format. Try again.",
                        ));
                    }
                    self.start_block(index, *block, request, out);
                }
            }
            "content_block_delta" => {
                if let (Some(index), Some(delta)) = (event.index, event.delta) {
                    self.take_delta(index, delta, out);
                }
            }
            "content_block_stop" => {
                if let Some(index) = event.index {
                    self.stop_block(index, out);
                }
            }
            "message_delta" => {
                self.message.usage.update(*event.usage.unwrap_or_default());
                let delta = event.delta.map(|delta| (delta.stop_reason, delta.stop_details));
                if let Some((Some(reason), details)) = delta {
                    self.end_message()?;
                    self.take_stop_details(read(details), out);
                    self.usage += std::mem::take(&mut self.message.usage).to_openai();
                    self.message.partially_streamed = false;
                    self.stop(reason.as_str(), request.setup.schema.is_some(), out);
                }
            }
            "message_stop" if self.message.open => self.end_message()?,
            _ => {}
        }
        Ok(())
    }

    /// If the connection to the API breaks off, the CLI sends the request again and the model starts its message over
    /// (2.1.328). What the client has been sent cannot be taken back, and must not be sent twice.
    fn check_not_begun_anew(&self) -> Result<(), Error> {
        if !self.message.partially_streamed {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Upstream,
            "The connection to the API broke off in the middle of the answer. Try again.",
        ))
    }

    fn end_message(&mut self) -> Result<(), Error> {
        self.message.ended = true;
        if self.message.lost {
            return Err(protocol_error("wrote part of an answer that belongs to no content block"));
        }
        Ok(())
    }

    /// The model's message has ended, for this reason.
    fn stop(&mut self, reason: &str, structured: bool, out: &mut Step) {
        let any = |wanted: fn(&Block) -> bool| self.message.blocks.iter().any(|streamed| wanted(&streamed.block));
        let calls = any(|block| matches!(block, Block::Call(_)));
        let goes_on = structured || any(|block| matches!(block, Block::Builtin { .. }));
        let said = self.texts.iter().skip(self.message.texts_before).any(|text| !is_blank(text));
        match reason {
            // The CLI would continue unasked, behind the client's back: end it here.
            "max_tokens" => self.finish(FinishReason::Length, AfterTurn::Kill, out),
            "model_context_window_exceeded" => self.finish(FinishReason::ContextWindow, AfterTurn::Kill, out),
            // Likewise, where it has not been told not to: it would tell the model about the refusal and let it try once more.
            "refusal" => self.finish(FinishReason::ContentFilter, AfterTurn::Kill, out),
            // The CLI does not resume it (2.1.328).
            "pause_turn" if said && !calls && !goes_on => self.last_word = Some(FinishReason::Pause),
            // It would run the calls, and calls an answer that says nothing an error.
            "pause_turn" if !goes_on => self.finish(FinishReason::Pause, AfterTurn::Kill, out),
            // The CLI runs calls for whatever reason the message ends.
            _ if calls && self.calls.any_refused() => self.finish(FinishReason::ToolCalls, AfterTurn::Kill, out),
            _ if calls => {
                self.calls.message_complete();
                self.park_if_complete(out);
            }
            _ if goes_on => {}
            // The CLI would ask the model for a visible answer, or for the call that it has not made.
            _ if !said || reason == "tool_use" => self.finish(FinishReason::Stop, AfterTurn::Kill, out),
            _ => self.last_word = Some(FinishReason::Stop),
        }
    }

    fn take_stop_details(&mut self, details: Value, out: &mut Step) {
        if details.is_object() {
            out.events.push_back(ChatEvent::StopDetails(details));
        }
    }

    fn finish(&mut self, reason: FinishReason, after: AfterTurn, out: &mut Step) {
        out.events.push_back(ChatEvent::Finished { reason, usage: self.usage });
        out.after = Some(after);
    }

    /// The answer is complete, and the process can go on.
    fn keep(&mut self, reason: FinishReason, pending: Option<PendingToolCalls>, out: &mut Step) {
        let reply = Reply { texts: std::mem::take(&mut self.texts), calls: self.calls.take_announced() };
        let tokens = self.usage.prompt_tokens + self.usage.completion_tokens;
        let answered = Answered { reply, model: self.model.clone(), tokens, pending };
        self.finish(reason, AfterTurn::Keep(answered), out);
    }

    fn park_if_complete(&mut self, out: &mut Step) {
        if let Some(pending) = self.calls.parked() {
            self.keep(FinishReason::ToolCalls, Some(pending), out);
        }
    }

    /// An `assistant` line repeats what was streamed, unless it stands for a failure or was never streamed.
    fn take_assistant(&mut self, line: &Line<'_>, context: Context<'_>, out: &mut Step) -> Result<(), Error> {
        let message: FullMessage = read(line.message);
        if line.error.is_some() {
            self.failure.kind = read::<Option<String>>(line.error);
            self.failure.text = message.text();
            return Ok(());
        }
        let streamed = message.id.as_ref().is_some_and(|id| id.as_str() == self.message.id);
        let synthetic = message.model.as_ref().is_some_and(|model| model.as_str() == "<synthetic>");
        match (streamed, synthetic) {
            (_, true) => Ok(()),
            (true, _) => message.blocks().into_iter().try_for_each(|block| {
                self.prefix.said(&block, context.thinking);
                self.take_whole(block, context.request, out)
            }),
            _ => {
                self.prefix.unknown();
                self.take_unstreamed(&message, context.request, out)
            }
        }
    }

    /// The CLI has answered a call itself because it did not understand the call's arguments. The client has been told of
    /// the call, so the answer ends with the model's message, for the reason that this has (the arguments may have been cut:
    /// the CLI answers before the message ends; 2.1.328), and the client decides; the process, which would go on, is ended.
    fn take_tool_results(&mut self, line: &Line<'_>, out: &mut Step) {
        let message: FullMessage = read(line.message);
        for id in message.blocks().into_iter().filter_map(|block| block.tool_use_id) {
            self.calls.refused(id.as_str());
        }
        if self.message.ended && self.calls.any_refused() {
            self.finish(FinishReason::ToolCalls, AfterTurn::Kill, out);
        }
    }

    fn take_result(&mut self, line: &Line<'_>, context: Context<'_>, out: &mut Step) -> Result<(), Error> {
        let failed =
            line.is_error == Some(true) || line.subtype.as_ref().is_some_and(|s| s.as_str().starts_with("error"));
        if failed {
            let mut failure = std::mem::take(&mut self.failure);
            failure.api_status = line.api_error_status;
            if failure.text.is_empty() {
                let errors = || read::<Vec<String>>(line.errors).join("; ");
                failure.text = read::<Option<String>>(line.result).unwrap_or_else(errors);
            }
            if failure.api_status == Some(400) && failure.text.contains("cache_control") {
                context.cache_lifetime.refused();
            }
            let model = context.request.settings.model.as_deref().unwrap_or("default");
            return Err(failure.into_error(model, context.subscription.wait()));
        }
        // An acknowledgement of history, not of the turn.
        if line.num_turns == Some(0) && !self.started {
            return Ok(());
        }
        if !self.started {
            self.out_of_step = true;
            return Err(Error::new(ErrorKind::Cli, "Claude Code answered before it was asked. Try again."));
        }
        if self.message.open && !self.message.ended {
            return Err(protocol_error("ended its turn in the middle of a message"));
        }
        if context.request.setup.schema.is_some() && self.texts.is_empty() {
            return Err(Error::new(
                ErrorKind::Upstream,
                "The model did not give the JSON that response_format asks for. Try again, or ask for it in the prompt.",
            ));
        }
        // Of a message that ended without a reason.
        self.usage += std::mem::take(&mut self.message.usage).to_openai();
        self.keep(self.last_word.unwrap_or(FinishReason::Stop), None, out);
        Ok(())
    }
}

fn protocol_error(what: &str) -> Error {
    Error::new(ErrorKind::Cli, format!("Claude Code broke its protocol: it {what}. Try again."))
}
