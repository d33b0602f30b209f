//! The lines of a turn as events: a state machine from one line to none, one or several events, without any I/O.

#[cfg(test)]
mod tests;
mod unstreamed;

use std::collections::VecDeque;

use serde_json::Value;

use super::failure::Failure;
use super::tool_calls::Calls;
use crate::cli::conversation::{Asked, Parked, Reply};
use crate::cli::prompt::mcp::PendingCall;
use crate::cli::protocol::incoming::{self, ApiUsage, ControlReply, FullMessage, StreamEvent, read};
use crate::cli::protocol::{ControlRequest, Line, Outgoing};
use crate::cli::rate_limits::{RateLimitInfo, Subscription};
use crate::{ChatEvent, Error, ErrorKind, FinishReason, Usage};

/// The tool by which the CLI has the model give JSON of a schema.
const STRUCTURED_OUTPUT: &str = "StructuredOutput";

/// What is known of the answer so far.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Events that are ready to be taken.
    pub(crate) events: VecDeque<ChatEvent>,
    /// Answers to what the CLI asked, to be sent to it.
    pub(crate) replies: Outgoing,
    /// Whether a tool may be used, by the request's id. To be answered with the replies.
    pub(crate) questions: Vec<(String, ControlRequest)>,
    /// Whether the model has begun to answer.
    pub(crate) begun: bool,
    /// The model that answers, as the API names it.
    pub(crate) model: String,
    /// What the client will send back as the model's message.
    pub(crate) reply: Reply,
    /// Set once no further line matters.
    pub(crate) end: Option<End>,
    /// Calls of the client's functions.
    pub(crate) calls: Calls,
    /// Whether the process has said that it took the functions and the schema.
    pub(crate) proven: bool,
    message: Message,
    usage: Usage,
    failure: Failure,
}

/// What becomes of the process.
#[derive(Debug)]
pub(crate) enum End {
    /// It is in the middle of something that nobody waits for.
    Kill,
    /// It has finished, or waits for the results of calls, and can go on with the conversation.
    Keep(Option<Parked>),
}

/// What a line is read against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) asked: &'a Asked,
    pub(crate) subscription: &'a Subscription,
}

/// The message of the API's that is being streamed.
#[derive(Debug, Default)]
struct Message {
    id: String,
    usage: ApiUsage,
    blocks: Vec<Block>,
    /// Whether the client has seen text or calls of it, and it is not complete.
    half_told: bool,
    /// How many texts and calls the reply had before it.
    texts_before: usize,
    calls_before: usize,
}

/// What a content block's deltas are.
#[derive(Debug)]
enum Block {
    Text,
    Reasoning,
    /// Arguments of the call that the client was told of under this index.
    Call(u32),
    /// Arguments of a call that the client is told of later.
    Deferred(usize),
    /// The input of one of Claude Code's own tools.
    Builtin {
        name: String,
        input: String,
    },
    Other,
}

impl Answer {
    /// An answer on a process that has taken its setup already, or has not.
    pub(crate) fn new(proven: bool) -> Self {
        Answer { proven, ..Answer::default() }
    }

    /// Takes the next line.
    pub(crate) fn take(&mut self, line: Line<'_>, context: Context<'_>) -> Result<(), Error> {
        let main = line.parent_tool_use_id.is_none();
        match line.kind.as_str() {
            // A sub-agent's events are not the answer.
            "stream_event" if main => {
                if let Some(event) = line.event {
                    return self.take_event(event, context.asked);
                }
            }
            "assistant" if main => return self.take_assistant(&line, context.asked),
            "user" if main => self.take_tool_results(&line),
            "result" => return self.take_result(&line, context),
            "control_request" => self.take_control_request(&line, context),
            "control_response" => return take_control_reply(read(line.response)),
            "system" if line.subtype.as_ref().is_some_and(|subtype| subtype.as_str() == "init") => {
                return self.take_init(&line, context.asked);
            }
            "rate_limit_event" => context.subscription.update(read::<RateLimitInfo>(line.rate_limit_info)),
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.events.push_back(ChatEvent::Started);
        }
    }

    fn take_event(&mut self, event: StreamEvent<'_>, asked: &Asked) -> Result<(), Error> {
        match event.kind.as_str() {
            "message_start" => {
                self.check_not_begun_anew()?;
                if let Some(message) = event.message {
                    self.model = message.model.into();
                    let usage = message.usage.unwrap_or_default();
                    self.message = Message {
                        id: message.id.into(),
                        usage,
                        blocks: Vec::new(),
                        texts_before: self.reply.texts.len(),
                        calls_before: self.reply.calls.len(),
                        half_told: false,
                    };
                    self.begin();
                    let mut usage = self.usage;
                    usage += self.message.usage.to_openai();
                    self.events.push_back(ChatEvent::Usage(usage));
                }
            }
            "content_block_start" => {
                if let (Some(index), Some(block)) = (event.index, event.content_block) {
                    if self.gives_json_again(&block, asked) {
                        return Err(Error::new(
                            ErrorKind::Upstream,
                            "The JSON that the model gave does not fit the schema of response_format. Try again.",
                        ));
                    }
                    self.start_block(index, block, asked);
                }
            }
            "content_block_delta" => {
                if let (Some(index), Some(delta)) = (event.index, event.delta) {
                    let text = match delta.kind.as_ref().map_or("", |kind| kind.as_str()) {
                        "text_delta" => delta.text,
                        "thinking_delta" => delta.thinking,
                        "input_json_delta" => delta.partial_json,
                        _ => None,
                    };
                    if let Some(text) = text {
                        self.take_delta(index, text.into());
                    }
                }
            }
            "content_block_stop" => {
                let block = event.index.and_then(|index| self.message.blocks.get(index as usize));
                if let Some(Block::Builtin { name, input }) = block {
                    let input = serde_json::from_str(input).unwrap_or(Value::Null);
                    self.events.push_back(ChatEvent::BuiltinToolUse { name: name.clone(), input });
                }
            }
            "message_delta" => {
                self.message.usage.update(event.usage.unwrap_or_default());
                if let Some(reason) = event.delta.and_then(|delta| delta.stop_reason) {
                    self.usage += std::mem::take(&mut self.message.usage).to_openai();
                    self.message.half_told = false;
                    self.stop(reason.as_str());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Where the connection to the API breaks off, the CLI asks again and the model begins its message anew (2.1.328).
    /// What has been told cannot be taken back, and must not be told twice.
    fn check_not_begun_anew(&self) -> Result<(), Error> {
        if !self.message.half_told {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Upstream,
            "The connection to the API broke off in the middle of the answer. Try again.",
        ))
    }

    /// Whether the CLI has refused the JSON that the client has been told, and had the model give it once more.
    fn gives_json_again(&self, block: &incoming::Block<'_>, asked: &Asked) -> bool {
        let name = block.name.as_ref().map_or("", |name| name.as_str());
        asked.setup.schema.is_some() && name == STRUCTURED_OUTPUT && !self.reply.texts.is_empty()
    }

    fn start_block(&mut self, index: u32, block: incoming::Block<'_>, asked: &Asked) {
        let name = block.name.as_ref().map_or("", |name| name.as_str());
        let structured = asked.setup.schema.is_some();
        let found = match block.kind.as_str() {
            // What the model says beside the JSON that was asked for would spoil it.
            "text" if structured => Block::Other,
            "text" => self.start_text(),
            "thinking" => Block::Reasoning,
            "tool_use" if structured && name == STRUCTURED_OUTPUT => self.start_text(),
            "tool_use" => {
                let id = block.id.as_ref().map_or("", |id| id.as_str());
                match asked.setup.functions.client_name(name) {
                    None => {
                        self.calls.close();
                        Block::Builtin { name: name.to_owned(), input: String::new() }
                    }
                    Some(name) if self.calls.open() => {
                        self.message.half_told = true;
                        let index = self.calls.tell(id, name, &mut self.reply, &mut self.events);
                        if !asked.setup.functions.parallel {
                            self.calls.close();
                        }
                        Block::Call(index)
                    }
                    Some(name) => Block::Deferred(self.calls.defer(id, name)),
                }
            }
            _ => Block::Other,
        };
        let at = index as usize;
        // The API counts blocks without gaps; another number is not worth the memory it could ask for.
        if at == self.message.blocks.len() {
            self.message.blocks.push(found);
        }
        if let (Some(text), Some(Block::Text)) = (block.text, self.message.blocks.get(at)) {
            self.take_delta(index, text.into());
        }
    }

    fn start_text(&mut self) -> Block {
        self.reply.texts.push(String::new());
        self.events.push_back(ChatEvent::TextBlockStart);
        Block::Text
    }

    fn take_delta(&mut self, index: u32, text: String) {
        if text.is_empty() {
            return;
        }
        match self.message.blocks.get_mut(index as usize) {
            Some(Block::Text) => {
                if let Some(last) = self.reply.texts.last_mut() {
                    last.push_str(&text);
                }
                self.message.half_told = true;
                self.events.push_back(ChatEvent::TextDelta(text));
            }
            Some(Block::Reasoning) => self.events.push_back(ChatEvent::ReasoningDelta(text)),
            Some(Block::Call(call)) => {
                let index = *call;
                if let Some(call) = self.reply.calls.get_mut(index as usize) {
                    call.function.arguments.push_str(&text);
                }
                self.events.push_back(ChatEvent::ToolCallDelta { index, arguments: text });
            }
            Some(Block::Deferred(at)) => self.calls.add_to_deferred(*at, &text),
            Some(Block::Builtin { input, .. }) => input.push_str(&text),
            Some(Block::Other) | None => {}
        }
    }

    /// The model's message has ended, for this reason.
    fn stop(&mut self, reason: &str) {
        match reason {
            // The CLI would go on by itself, behind the client's back: end it here.
            "max_tokens" | "model_context_window_exceeded" => self.finish(FinishReason::Length, End::Kill),
            // Likewise: it would tell the model of the refusal and have it try once more.
            "refusal" => self.finish(FinishReason::ContentFilter, End::Kill),
            "tool_use" => {
                self.calls.wait();
                self.park_if_complete();
            }
            _ => {}
        }
    }

    fn finish(&mut self, reason: FinishReason, end: End) {
        self.events.push_back(ChatEvent::Finished { reason, usage: self.usage });
        self.end = Some(end);
    }

    fn park_if_complete(&mut self) {
        if let Some(parked) = self.calls.park() {
            self.finish(FinishReason::ToolCalls, End::Keep(Some(parked)));
        }
    }

    /// An `assistant` line repeats what was streamed, unless it stands for a failure or was never streamed.
    fn take_assistant(&mut self, line: &Line<'_>, asked: &Asked) -> Result<(), Error> {
        let message: FullMessage = read(line.message);
        if line.error.is_some() {
            self.failure.kind = read::<Option<String>>(line.error);
            self.failure.text = message.text();
            return Ok(());
        }
        let streamed = message.id.as_ref().is_some_and(|id| id.as_str() == self.message.id);
        let synthetic = message.model.as_ref().is_some_and(|model| model.as_str() == "<synthetic>");
        if streamed || synthetic { Ok(()) } else { self.take_unstreamed(&message, asked) }
    }

    /// A result that the CLI gives to a call by itself: it did not understand the call's arguments. The client has been
    /// told of the call, so the answer ends here and the client decides; the process, which goes on, ends too.
    fn take_tool_results(&mut self, line: &Line<'_>) {
        let message: FullMessage = read(line.message);
        let mut ids = message.blocks().into_iter().filter_map(|block| block.tool_use_id);
        if ids.any(|id| self.calls.told(id.as_str())) {
            self.finish(FinishReason::ToolCalls, End::Kill);
        }
    }

    fn take_result(&mut self, line: &Line<'_>, context: Context<'_>) -> Result<(), Error> {
        let failed =
            line.is_error == Some(true) || line.subtype.as_ref().is_some_and(|s| s.as_str().starts_with("error"));
        if failed {
            let mut failure = std::mem::take(&mut self.failure);
            failure.api_status = line.api_error_status;
            if failure.text.is_empty() {
                let errors = || read::<Vec<String>>(line.errors).join("; ");
                failure.text = read::<Option<String>>(line.result).unwrap_or_else(errors);
            }
            return Err(failure.into_error(context.subscription.wait()));
        }
        // An acknowledgement of history, not of the turn.
        if line.num_turns == Some(0) && !self.begun {
            return Ok(());
        }
        if context.asked.setup.schema.is_some() && self.reply.texts.is_empty() {
            return Err(Error::new(
                ErrorKind::Upstream,
                "The model did not give the JSON that response_format asks for. Try again, or ask for it in the prompt.",
            ));
        }
        self.begin();
        self.finish(FinishReason::Stop, End::Keep(None));
        Ok(())
    }

    fn take_init(&mut self, line: &Line<'_>, asked: &Asked) -> Result<(), Error> {
        if self.proven {
            return Ok(());
        }
        let tools: Vec<String> = read(line.tools);
        asked.setup.functions.check_taken(&tools)?;
        // An invalid schema is ignored without a word (2.1.328).
        if asked.setup.schema.is_some() && !tools.iter().any(|tool| tool == STRUCTURED_OUTPUT) {
            return Err(Error::invalid_request(
                "Claude Code refused the schema of response_format. Check that it is a valid JSON schema of an object.",
            )
            .with_param("response_format.json_schema.schema"));
        }
        self.proven = true;
        Ok(())
    }

    fn take_control_request(&mut self, line: &Line<'_>, context: Context<'_>) {
        let Some(request_id) = line.request_id.as_ref() else { return };
        let request_id = request_id.as_str();
        let request: ControlRequest = read(line.request);
        match request.subtype.as_str() {
            "mcp_message" => match PendingCall::read(request_id, &request.message) {
                Some(call) => {
                    if self.calls.take(call, &mut self.reply, &mut self.events) {
                        // The model said it long ago, and the CLI comes to it only now.
                        self.begin();
                    }
                    self.park_if_complete();
                }
                None => context.asked.setup.functions.answer(request_id, &request.message, &mut self.replies),
            },
            "can_use_tool" | "hook_callback" => self.questions.push((request_id.to_owned(), request)),
            other => self.replies.refuse(request_id, &format!("Unsupported control request subtype: {other}")),
        }
    }
}

fn take_control_reply(reply: ControlReply<'_>) -> Result<(), Error> {
    if reply.subtype.as_ref().is_none_or(|subtype| subtype.as_str() != "error") {
        return Ok(());
    }
    let said = reply.error.map(String::from).unwrap_or_default();
    match reply.request_id.as_ref().map_or("", |id| id.as_str()) {
        "model" => Err(Error::new(
            ErrorKind::ModelNotFound,
            format!("Claude Code does not take this model: {said} See GET /v1/models for names."),
        )
        .with_param("model")),
        request => {
            Err(Error::new(ErrorKind::Cli, format!("Claude Code refused the control request {request}: {said}")))
        }
    }
}
