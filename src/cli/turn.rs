//! One turn on one process: what is said to it, and its lines as events.
//!
//! A turn owns its process, and the permit to keep it busy. Both are given back when the turn ends well; when it ends
//! in any other way, or is dropped, the process group is killed with it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::config::Config;
use super::conversation::{Asked, Held, Parked, Reply};
use super::failure::Failure;
use super::functions::{self, PendingCall};
use super::permission;
use super::pool::{Lease, Pool};
use super::protocol::{ApiUsage, ControlReply, ControlRequest, FullMessage, Line, Outgoing, StreamEvent, read};
use super::script::{self, Turn as Told};
use super::subscription::RateLimitInfo;
use crate::call_id;
use crate::chat::{CalledFunction, ToolCall};
use crate::{ChatEvent, Error, ErrorKind, FinishReason, Usage};

/// The tool by which the CLI has the model give JSON of a schema.
const STRUCTURED_OUTPUT: &str = "StructuredOutput";

/// A turn that is under way.
#[derive(Debug)]
pub(crate) struct Turn {
    pool: Pool,
    /// Gone when the turn has ended.
    lease: Option<Lease>,
    asked: Option<Box<Asked>>,
    /// Events that are ready to be taken.
    events: VecDeque<ChatEvent>,
    /// Answers to what the CLI asked, to be sent.
    replies: Outgoing,
    clock: Clock,
    /// Whether the CLI has written anything since the turn began.
    heard: bool,
    /// Whether this process still has to say that it took the functions and the schema.
    unproven: bool,
    /// Whether the model has begun to answer.
    begun: bool,
    over: bool,
    model: String,
    message: Message,
    usage: Usage,
    reply: Reply,
    calls: Calls,
    failure: Failure,
    reason: FinishReason,
}

/// When the turn began and by when it must get on.
#[derive(Debug)]
struct Clock {
    began: Instant,
    first_token: Instant,
    end: Instant,
    limits: (Duration, Duration),
}

/// The message of the API's that is being streamed.
#[derive(Debug, Default)]
struct Message {
    id: String,
    usage: ApiUsage,
    blocks: Vec<Block>,
}

/// What a content block's deltas are.
#[derive(Clone, Debug)]
enum Block {
    Text,
    Reasoning,
    /// Arguments of the client's call of this index.
    Call(u32),
    /// Arguments of a call that the client is told of later.
    Deferred(usize),
    /// The JSON that was asked for.
    Structured,
    /// The input of one of Claude Code's own tools.
    Builtin {
        name: String,
        input: String,
    },
    Other,
}

/// The calls of the client's functions in this turn.
#[derive(Debug, Default)]
struct Calls {
    /// What the client is told of now, by the model's ids.
    told: Vec<String>,
    /// Those of them that the CLI waits for an answer to.
    pending: Vec<PendingCall>,
    /// What the client is told of in a later answer.
    deferred: VecDeque<ToolCall>,
    /// No further call belongs to this answer: one that the CLI runs in between has come.
    closed: bool,
    /// The model has finished its message and waits.
    waiting: bool,
}

/// Why a turn did not begin.
#[derive(Debug)]
pub(crate) struct NotBegun {
    pub(crate) error: Error,
    /// The process was dead before it had heard anything of this turn: another can take the turn in its place.
    pub(crate) dead: bool,
    pub(crate) asked: Option<Box<Asked>>,
}

impl Turn {
    /// Says what is to be said and waits for the first sign of an answer.
    pub(crate) async fn begin(
        pool: Pool,
        lease: Lease,
        held: Option<Held>,
        asked: Box<Asked>,
    ) -> Result<Box<Self>, NotBegun> {
        let config = pool.config();
        let now = Instant::now();
        let clock = Clock {
            began: now,
            first_token: now + config.first_token_timeout,
            end: now + config.request_timeout,
            limits: (config.first_token_timeout, config.request_timeout),
        };
        let mut turn = Box::new(Turn {
            pool,
            lease: Some(lease),
            asked: Some(asked),
            events: VecDeque::new(),
            replies: Outgoing::default(),
            clock,
            heard: false,
            unproven: held.is_none(),
            begun: false,
            over: false,
            model: String::new(),
            message: Message::default(),
            usage: Usage::default(),
            reply: Reply::default(),
            calls: Calls::default(),
            failure: Failure::default(),
            reason: FinishReason::Stop,
        });
        let begun = match turn.tell(held.and_then(|held| held.parked)).await {
            Ok(()) => turn.wait_for_first_sign().await,
            Err(error) => Err(error),
        };
        match begun {
            Ok(()) => {
                turn.pool.start_worked();
                turn.pool.refill();
                Ok(turn)
            }
            Err(error) => {
                let dead = !turn.heard && error.kind() == ErrorKind::Cli;
                turn.pool.refill();
                Err(NotBegun { error, dead, asked: turn.asked.take() })
            }
        }
    }

    /// The model that answers, as the API names it.
    pub(crate) fn model(&self) -> &str {
        match self.model.as_str() {
            "" => self.asked.as_ref().and_then(|asked| asked.settings.model.as_deref()).unwrap_or("claude"),
            model => model,
        }
    }

    /// The next event; `None` after the last one, or after an error.
    pub(crate) async fn next(&mut self) -> Option<Result<ChatEvent, Error>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            if let Err(error) = self.advance().await {
                self.end();
                return Some(Err(error));
            }
        }
    }

    async fn wait_for_first_sign(&mut self) -> Result<(), Error> {
        while !self.begun && !self.over {
            self.advance().await?;
        }
        Ok(())
    }

    /// Ends the turn, and the process with it.
    fn end(&mut self) {
        self.over = true;
        self.lease = None;
    }

    // What the process is told.

    async fn tell(&mut self, parked: Option<Parked>) -> Result<(), Error> {
        let (Some(asked), Some(lease)) = (self.asked.take(), self.lease.as_mut()) else { return Ok(()) };
        let config = self.pool.config().clone();
        let mut out = Outgoing::default();
        let fresh = self.unproven;
        if fresh {
            out.control("initialize", &asked.setup.initialize(&config));
        }
        lease.member.settings.change_to(&asked.settings, &mut out);
        lease.member.settings = asked.settings.clone();
        let told = match parked {
            Some(parked) => self.resume(parked, &asked, &mut out, &config),
            None => {
                let (messages, first) = if fresh { (&asked.messages[..], 0) } else { asked.new_messages() };
                script::turns(messages, first, &config)
            }
        };
        self.asked = Some(asked);
        self.say(told?, out).await
    }

    /// Answers the calls that the process is parked in. What else is new is said first, since it then reaches the model
    /// together with the results; said afterwards it might come a turn too late.
    fn resume(
        &mut self,
        parked: Parked,
        asked: &Asked,
        out: &mut Outgoing,
        config: &Config,
    ) -> Result<Vec<Told>, Error> {
        let (messages, first) = asked.new_messages();
        let others: Vec<_> = messages.iter().filter(|message| message.tool_call_id.is_none()).cloned().collect();
        for turn in script::turns(&others, first.max(1), config)? {
            out.user(&turn.blocks, true);
        }
        let results = functions::results(messages);
        for call in parked.pending {
            let result = results.get(&call_id::canonical(&call.tool_use_id));
            let content = result.and_then(|message| functions::mcp_content(message)).unwrap_or_else(|| json!([]));
            out.mcp_result(&call.request_id, &call.rpc_id, &json!({"content": content, "isError": false}));
        }
        self.calls.deferred = parked.deferred;
        Ok(Vec::new())
    }

    /// Says the turns: all but the last are history. Each of the user's in it must be acknowledged before the
    /// assistant's that follows is sent, or the CLI would reorder them.
    async fn say(&mut self, mut told: Vec<Told>, mut out: Outgoing) -> Result<(), Error> {
        let last = told.pop();
        if last.as_ref().is_some_and(|turn| turn.assistant) {
            return Err(Error::invalid_request(
                "The last message has nothing to answer. End the messages with a user or tool message that is not blank.",
            )
            .with_param("messages"));
        }
        for turn in told {
            if turn.assistant {
                out.assistant(&turn.blocks);
            } else {
                out.user(&turn.blocks, false);
                self.send(std::mem::take(&mut out)).await?;
                self.wait_for_acknowledgement().await?;
            }
        }
        if let Some(turn) = last {
            out.user(&turn.blocks, true);
        }
        self.send(out).await
    }

    async fn send(&mut self, out: Outgoing) -> Result<(), Error> {
        let Some(lease) = self.lease.as_mut() else { return Ok(()) };
        let sent = tokio::time::timeout_at(self.clock.first_token, lease.member.process.send(out.as_bytes())).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            // What it wrote before it closed its stdin says more than the broken pipe does.
            Ok(Err(_)) => {
                while !self.over {
                    let line = self.line().await?;
                    if let Some(line) = Line::parse(&line) {
                        self.take(line)?;
                    }
                }
                Ok(())
            }
            Err(_) => Err(self.late()),
        }
    }

    async fn wait_for_acknowledgement(&mut self) -> Result<(), Error> {
        loop {
            let line = self.line().await?;
            let Some(line) = Line::parse(&line) else { continue };
            match (line.kind.as_str(), line.num_turns, line.is_error) {
                ("result", Some(0), None | Some(false)) => return Ok(()),
                _ => {
                    self.take(line)?;
                    self.send_replies().await?;
                }
            }
        }
    }

    // What the process says.

    async fn advance(&mut self) -> Result<(), Error> {
        let line = self.line().await?;
        if let Some(line) = Line::parse(&line) {
            self.take(line)?;
        }
        self.send_replies().await
    }

    async fn send_replies(&mut self) -> Result<(), Error> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let replies = std::mem::take(&mut self.replies);
        self.send(replies).await
    }

    async fn line(&mut self) -> Result<Bytes, Error> {
        let deadline = if self.begun { self.clock.end } else { self.clock.first_token };
        let Some(lease) = self.lease.as_mut() else {
            return Err(Error::new(ErrorKind::Internal, "The turn is over."));
        };
        match tokio::time::timeout_at(deadline, lease.member.process.line()).await {
            Ok(Ok(Some(line))) => {
                self.heard = true;
                Ok(line)
            }
            Ok(Ok(None)) => Err(cut_off(&lease.member.process.stderr_tail())),
            Ok(Err(error)) => Err(Error::new(ErrorKind::Cli, format!("Claude Code broke its protocol: {error}."))),
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> Error {
        let (first_token, whole) = self.clock.limits;
        if self.begun {
            Error::new(
                ErrorKind::RequestTimeout,
                format!("The answer was not complete within {whole:?} (--request-timeout)."),
            )
        } else {
            Error::new(
                ErrorKind::FirstTokenTimeout,
                format!("The model did not begin to answer within {first_token:?} (--first-token-timeout)."),
            )
        }
    }

    fn take(&mut self, line: Line<'_>) -> Result<(), Error> {
        match line.kind.as_str() {
            // A sub-agent's events are not the answer.
            "stream_event" if line.parent_tool_use_id.is_none() => {
                if let Some(event) = line.event {
                    self.take_event(event);
                }
                Ok(())
            }
            "assistant" if line.parent_tool_use_id.is_none() => {
                self.take_assistant(&line);
                Ok(())
            }
            "user" => {
                self.take_tool_results(&line);
                Ok(())
            }
            "result" => self.take_result(&line),
            "control_request" => {
                self.take_control_request(&line);
                Ok(())
            }
            "control_response" => self.take_control_reply(read(line.response)),
            "system" if line.subtype.as_ref().is_some_and(|subtype| subtype.as_str() == "init") => {
                self.take_init(&line)
            }
            "rate_limit_event" => {
                self.pool.subscription().update(read::<RateLimitInfo>(line.rate_limit_info));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin_answer(&mut self) {
        if !self.begun {
            self.begun = true;
            self.events.push_back(ChatEvent::Started);
            let waited = self.clock.began.elapsed();
            tracing::debug!(first_token_ms = waited.as_secs_f64() * 1e3, "the answer begins");
        }
    }

    fn take_event(&mut self, event: StreamEvent<'_>) {
        match event.kind.as_str() {
            "message_start" => {
                if let Some(message) = event.message {
                    self.model = message.model.into();
                    self.message =
                        Message { id: message.id.into(), usage: message.usage.unwrap_or_default(), blocks: Vec::new() };
                    self.begin_answer();
                    self.tell_usage();
                }
            }
            "content_block_start" => {
                if let (Some(index), Some(block)) = (event.index, event.content_block) {
                    self.start_block(index, block);
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
                        self.take_delta(index, text.0.into_owned());
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
                    self.stop(reason.as_str());
                }
            }
            _ => {}
        }
    }

    fn start_block(&mut self, index: u32, block: super::protocol::Block<'_>) {
        let name = block.name.as_ref().map_or("", |name| name.as_str());
        let structured = self.asked.as_ref().is_some_and(|asked| asked.setup.schema.is_some());
        let found = match block.kind.as_str() {
            // What the model says beside the JSON that was asked for would spoil it.
            "text" if structured => Block::Other,
            "text" => {
                self.reply.texts.push(String::new());
                self.events.push_back(ChatEvent::TextBlockStart);
                Block::Text
            }
            "thinking" => Block::Reasoning,
            "tool_use" if structured && name == STRUCTURED_OUTPUT => {
                self.reply.texts.push(String::new());
                self.events.push_back(ChatEvent::TextBlockStart);
                Block::Structured
            }
            "tool_use" => {
                let id = block.id.as_ref().map_or("", |id| id.as_str()).to_owned();
                let functions = self.asked.as_ref().map(|asked| &asked.setup.functions);
                let client = functions.and_then(|functions| functions.client_name(name)).map(str::to_owned);
                match client {
                    Some(name) => self.start_call(id, name),
                    None => {
                        self.calls.closed |= !self.calls.told.is_empty();
                        Block::Builtin { name: name.to_owned(), input: String::new() }
                    }
                }
            }
            _ => Block::Other,
        };
        let index = index as usize;
        // The API counts blocks without gaps; anything else is not worth the memory it could ask for.
        if index == self.message.blocks.len() {
            self.message.blocks.push(found);
        }
        if let (Some(text), Some(Block::Text)) = (block.text, self.message.blocks.get(index)) {
            self.take_delta(index as u32, text.into());
        }
    }

    fn start_call(&mut self, id: String, name: String) -> Block {
        let parallel = self.asked.as_ref().is_some_and(|asked| asked.setup.functions.parallel);
        let call = ToolCall {
            id: call_id::canonical(&id),
            kind: "function".to_owned(),
            function: CalledFunction { name: name.clone(), arguments: String::new() },
            ..ToolCall::default()
        };
        if self.calls.closed {
            self.calls.deferred.push_back(call);
            return Block::Deferred(self.calls.deferred.len() - 1);
        }
        self.calls.closed = !parallel;
        Block::Call(self.tell_call(id, call))
    }

    /// Tells the client of a call, its arguments to follow.
    fn tell_call(&mut self, id: String, call: ToolCall) -> u32 {
        let index = self.reply.calls.len() as u32;
        self.calls.told.push(id);
        self.events.push_back(ChatEvent::ToolCallStart {
            index,
            id: call.id.clone(),
            name: call.function.name.clone(),
        });
        self.reply.calls.push(call);
        index
    }

    fn take_delta(&mut self, index: u32, text: String) {
        if text.is_empty() {
            return;
        }
        match self.message.blocks.get_mut(index as usize) {
            Some(Block::Text | Block::Structured) => {
                if let Some(last) = self.reply.texts.last_mut() {
                    last.push_str(&text);
                }
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
            Some(Block::Deferred(at)) => {
                if let Some(call) = self.calls.deferred.get_mut(*at) {
                    call.function.arguments.push_str(&text);
                }
            }
            Some(Block::Builtin { input, .. }) => input.push_str(&text),
            Some(Block::Other) | None => {}
        }
    }

    fn tell_usage(&mut self) {
        let mut usage = self.usage;
        usage += self.message.usage.to_openai();
        self.events.push_back(ChatEvent::Usage(usage));
    }

    /// The model's message has ended, for this reason.
    fn stop(&mut self, reason: &str) {
        match reason {
            // The CLI would go on by itself, behind the client's back: end it here.
            "max_tokens" | "model_context_window_exceeded" => self.finish(FinishReason::Length),
            "refusal" => self.reason = FinishReason::ContentFilter,
            "tool_use" => {
                self.calls.waiting = true;
                self.park_if_complete();
            }
            _ => {}
        }
    }

    /// Ends the turn in a way that leaves nothing to go on with.
    fn finish(&mut self, reason: FinishReason) {
        self.events.push_back(ChatEvent::Finished { reason, usage: self.usage });
        self.end();
    }

    /// Ends the turn and keeps the process for the conversation's next message.
    fn keep(&mut self, reason: FinishReason, parked: Option<Parked>) {
        self.over = true;
        if let (Some(lease), Some(asked)) = (self.lease.take(), self.asked.take()) {
            // First the process, then the news: who hears of the end may ask again at once.
            self.pool.keep(lease.into_member(), asked.into_held(std::mem::take(&mut self.reply), parked));
        }
        self.events.push_back(ChatEvent::Finished { reason, usage: self.usage });
    }

    fn park_if_complete(&mut self) {
        let calls = &mut self.calls;
        let complete = calls.waiting
            && !calls.told.is_empty()
            && calls.told.iter().all(|id| calls.pending.iter().any(|call| call.tool_use_id == *id));
        if complete {
            let parked =
                Parked { pending: std::mem::take(&mut calls.pending), deferred: std::mem::take(&mut calls.deferred) };
            self.keep(FinishReason::ToolCalls, Some(parked));
        }
    }

    /// An `assistant` line repeats what was streamed, unless it stands for a failure or was never streamed.
    fn take_assistant(&mut self, line: &Line<'_>) {
        let message: FullMessage = read(line.message);
        let text = || {
            let blocks = message.blocks();
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block.text.as_ref().map(|t| t.as_str())).collect();
            texts.join("\n")
        };
        if line.error.is_some() {
            self.failure.kind = read::<Option<String>>(line.error);
            self.failure.text = text();
            return;
        }
        let streamed = message.id.as_ref().is_some_and(|id| id.as_str() == self.message.id);
        let synthetic = message.model.as_ref().is_some_and(|model| model.as_str() == "<synthetic>");
        let text = if streamed || synthetic { String::new() } else { text() };
        if !text.is_empty() {
            self.begin_answer();
            self.events.push_back(ChatEvent::TextBlockStart);
            self.events.push_back(ChatEvent::TextDelta(text.clone()));
            self.reply.texts.push(text);
        }
    }

    /// A result that the CLI gives to a call by itself: it did not understand the call's arguments. The client has been
    /// told of the call, so the answer ends here and the client decides; the process, which goes on, ends too.
    fn take_tool_results(&mut self, line: &Line<'_>) {
        let message: FullMessage = read(line.message);
        let settled = message.blocks().iter().any(|block| {
            block.tool_use_id.as_ref().is_some_and(|id| self.calls.told.iter().any(|told| told == id.as_str()))
        });
        if settled {
            self.finish(FinishReason::ToolCalls);
        }
    }

    fn take_result(&mut self, line: &Line<'_>) -> Result<(), Error> {
        let subtype = line.subtype.as_ref().map_or("", |subtype| subtype.as_str());
        if line.is_error == Some(true) || subtype.starts_with("error") {
            let mut failure = std::mem::take(&mut self.failure);
            failure.api_status = line.api_error_status.or(failure.api_status);
            if failure.text.is_empty() {
                failure.text =
                    read::<Option<String>>(line.result).unwrap_or_else(|| read::<Vec<String>>(line.errors).join("; "));
            }
            if self.reason == FinishReason::ContentFilter {
                self.finish(FinishReason::ContentFilter);
                return Ok(());
            }
            return Err(failure.into_error(self.pool.subscription().wait()));
        }
        if line.num_turns == Some(0) && !self.begun {
            return Ok(());
        }
        let wants_json = self.asked.as_ref().is_some_and(|asked| asked.setup.schema.is_some());
        if wants_json && self.reply.texts.is_empty() && self.reason == FinishReason::Stop {
            return Err(Error::new(
                ErrorKind::Upstream,
                "The model did not give the JSON that response_format asks for. Try again, or ask for it in the prompt.",
            ));
        }
        self.begin_answer();
        self.keep(self.reason, None);
        Ok(())
    }

    fn take_init(&mut self, line: &Line<'_>) -> Result<(), Error> {
        let Some(asked) = self.asked.as_ref().filter(|_| self.unproven) else { return Ok(()) };
        let tools: Vec<String> = read(line.tools);
        asked.setup.functions.check_taken(&tools)?;
        // An invalid schema is ignored without a word (2.1.328).
        if asked.setup.schema.is_some() && !tools.iter().any(|tool| tool == STRUCTURED_OUTPUT) {
            return Err(Error::invalid_request(
                "Claude Code refused the schema of response_format. Check that it is a valid JSON schema of an object.",
            )
            .with_param("response_format.json_schema.schema"));
        }
        self.unproven = false;
        Ok(())
    }

    fn take_control_reply(&mut self, reply: ControlReply<'_>) -> Result<(), Error> {
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

    fn take_control_request(&mut self, line: &Line<'_>) {
        let Some(request_id) = line.request_id.as_ref() else { return };
        let request_id = request_id.as_str();
        let request: ControlRequest = read(line.request);
        match request.subtype.as_str() {
            "mcp_message" => match (PendingCall::read(request_id, &request.message), &self.asked) {
                (Some(call), _) => self.take_call(call),
                (None, Some(asked)) => {
                    asked.setup.functions.answer(request_id, &request.message, &mut self.replies);
                }
                (None, None) => {}
            },
            "can_use_tool" => {
                self.replies.reply(request_id, &permission::decide(self.pool.config(), &request));
            }
            other => self.replies.refuse(request_id, &format!("Unsupported control request subtype: {other}")),
        }
    }

    fn take_call(&mut self, call: PendingCall) {
        let deferred = self.calls.deferred.iter().position(|c| c.id == call_id::canonical(&call.tool_use_id));
        let told = self.calls.told.contains(&call.tool_use_id);
        let id = call.tool_use_id.clone();
        self.calls.pending.push(call);
        if let Some(call) =
            deferred.filter(|_| !told && !self.calls_are_open()).and_then(|at| self.calls.deferred.remove(at))
        {
            // Its turn has come, after the answer to the one before: the model said it long ago.
            self.begin_answer();
            let arguments = call.function.arguments.clone();
            let index = self.tell_call(id, call);
            if !arguments.is_empty() {
                self.events.push_back(ChatEvent::ToolCallDelta { index, arguments });
            }
            self.calls.waiting = true;
        }
        self.park_if_complete();
    }

    /// Whether the model is still in the message whose calls these are.
    fn calls_are_open(&self) -> bool {
        !self.calls.told.is_empty()
    }
}

fn cut_off(stderr: &str) -> Error {
    let said =
        if stderr.is_empty() { "It wrote nothing to stderr".to_owned() } else { format!("Its stderr ends: {stderr}") };
    Error::new(ErrorKind::Cli, format!("Claude Code ended before its answer was complete. {said}"))
}
