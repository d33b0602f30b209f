//! One turn on one process: what is said to it, by when it must answer, and what becomes of it.
//!
//! A turn owns its process, and the permit to keep it busy. Both are given back when the turn ends well; when it ends
//! in any other way, or is dropped, the process group is killed with it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

mod failure;
mod reader;
mod span;
mod tool_calls;

use self::reader::{Answer, Context, End};
pub(crate) use self::span::Watch;
use self::tool_calls::Calls;
use super::conversation::{Asked, Held, Parked};
use super::permission;
use super::pool::{Lease, Pool};
use super::prompt::{self, Settings, mcp};
use super::protocol::{Line, Outgoing};
use crate::chat::call_id;
use crate::{ChatEvent, Error, ErrorKind};

/// A turn that is under way.
#[derive(Debug)]
pub(crate) struct Turn {
    pool: Pool,
    asked: Box<Asked>,
    /// Gone when the turn has ended.
    lease: Option<Lease>,
    answer: Answer,
    clock: Clock,
    /// Whether the CLI has written anything that it writes to what it is told. Other lines may be left of its last turn.
    heard: bool,
}

/// When the turn began, and by when it must have got on.
#[derive(Debug)]
struct Clock {
    began: Instant,
    first_token: Duration,
    whole: Duration,
}

/// Why a turn did not begin.
#[derive(Debug)]
pub(crate) struct NotBegun {
    pub(crate) error: Error,
    /// The process was dead before it had heard anything of this turn: another can take the turn in its place.
    pub(crate) dead: bool,
    pub(crate) asked: Box<Asked>,
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
        let clock =
            Clock { began: Instant::now(), first_token: config.first_token_timeout, whole: config.request_timeout };
        let mut answer = Answer::new(held.is_some());
        let parked = held.and_then(|held| {
            // Calls that were put off come without a word of who made them.
            held.parked.inspect(|_| answer.model = held.answered_by)
        });
        let mut turn = Box::new(Turn { pool, asked, lease: Some(lease), answer, clock, heard: false });
        let begun = match turn.tell(parked).await {
            Ok(()) => turn.wait_for_first_sign().await,
            Err(error) => Err(error),
        };
        match begun {
            Ok(()) => {
                if let Some(lease) = &mut turn.lease {
                    lease.acknowledged();
                }
                Ok(turn)
            }
            Err(error) => {
                let dead = !turn.heard && error.kind() == ErrorKind::Cli;
                if let Some(lease) = turn.lease.as_mut().filter(|_| dead) {
                    lease.died_unheard(&error);
                }
                Err(NotBegun { error, dead, asked: turn.asked })
            }
        }
    }

    /// The model that answers: as the API names it, or as it was asked for while that is not known.
    pub(crate) fn model(&self) -> &str {
        match self.answer.model.as_str() {
            "" => self.asked.settings.model.as_deref().unwrap_or_default(),
            model => model,
        }
    }

    /// The first token is on its way to the client.
    pub(crate) fn first_token(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.first_token();
        }
    }

    /// The next event; `None` after the last one, or after an error.
    pub(crate) async fn next(&mut self) -> Option<Result<ChatEvent, Error>> {
        loop {
            if let Some(event) = self.answer.events.pop_front() {
                return Some(Ok(event));
            }
            self.lease.as_ref()?;
            if let Err(error) = self.advance().await {
                self.lease = None;
                return Some(Err(error));
            }
        }
    }

    async fn wait_for_first_sign(&mut self) -> Result<(), Error> {
        while !self.answer.begun && self.lease.is_some() {
            self.advance().await?;
        }
        Ok(())
    }

    async fn tell(&mut self, parked: Option<Parked>) -> Result<(), Error> {
        let mut out = Outgoing::default();
        let fresh = !self.answer.proven;
        if fresh {
            out.control("initialize", &self.asked.setup.initialize(self.pool.config()));
        }
        if let Some(lease) = self.lease.as_mut() {
            let told: &mut Settings = &mut lease.pooled.settings;
            told.change_to(&self.asked.settings, &mut out);
            *told = self.asked.settings.clone();
        }
        match parked {
            Some(parked) => self.resume(parked, out).await,
            None => self.say(fresh, out).await,
        }
    }

    /// Answers the calls that the process is parked in. What else is new is said first, since it then reaches the model
    /// together with the results; said afterwards it might come a turn too late.
    async fn resume(&mut self, parked: Parked, mut out: Outgoing) -> Result<(), Error> {
        let (messages, first) = self.asked.new_messages();
        let others: Vec<_> = messages.iter().filter(|message| message.tool_call_id.is_none()).cloned().collect();
        for turn in prompt::turns(&others, first, self.pool.config())? {
            out.user(&turn.blocks, true);
        }
        let results = mcp::results(messages);
        for call in parked.pending {
            let result = results.get(&call_id::canonical(&call.tool_use_id));
            let content = result.and_then(|message| mcp::mcp_content(message)).unwrap_or_else(|| json!([]));
            out.mcp_result(&call.request_id, &call.rpc_id, &json!({"content": content, "isError": false}));
        }
        self.answer.calls = Calls::resumed(parked.deferred);
        self.send(out).await
    }

    /// Says the turns: all but the last are history. Each of the user's in it must be acknowledged before the
    /// assistant's that follows is sent, or the CLI would reorder them.
    async fn say(&mut self, fresh: bool, mut out: Outgoing) -> Result<(), Error> {
        let (messages, first) = if fresh { (&self.asked.messages[..], 0) } else { self.asked.new_messages() };
        let mut told = prompt::turns(messages, first, self.pool.config())?;
        let last = told.pop().filter(|turn| !turn.assistant).ok_or_else(prompt::nothing_to_answer)?;
        for turn in told {
            if turn.assistant {
                out.assistant(&turn.blocks);
            } else {
                out.user(&turn.blocks, false);
                self.send(std::mem::take(&mut out)).await?;
                self.wait_for_acknowledgement().await?;
            }
        }
        out.user(&last.blocks, true);
        self.send(out).await
    }

    async fn wait_for_acknowledgement(&mut self) -> Result<(), Error> {
        loop {
            let line = self.line().await?;
            let Some(line) = Line::parse(&line) else { continue };
            if line.kind.as_str() == "result" && line.num_turns == Some(0) && line.is_error != Some(true) {
                return Ok(());
            }
            self.take(line)?;
            self.send_replies().await?;
        }
    }

    async fn advance(&mut self) -> Result<(), Error> {
        let line = self.line().await?;
        if let Some(line) = Line::parse(&line) {
            self.take(line)?;
        }
        self.send_replies().await
    }

    fn take(&mut self, line: Line<'_>) -> Result<(), Error> {
        self.heard |= line.is_to_what_was_told();
        let context = Context { asked: &self.asked, subscription: self.pool.subscription() };
        self.answer.take(line, context)?;
        match (self.answer.end.take(), &mut self.lease) {
            (None, _) => {}
            (Some(End::Kill), lease) => *lease = None,
            // The process is back before the client hears of the end: it may ask again at once.
            (Some(End::Keep(parked)), lease) => {
                if let Some(lease) = lease.take() {
                    let (reply, model) = (std::mem::take(&mut self.answer.reply), self.answer.model.clone());
                    let held = self.asked.held_after(reply, model, parked);
                    lease.park(held);
                }
            }
        }
        Ok(())
    }

    async fn send_replies(&mut self) -> Result<(), Error> {
        for (request_id, question) in std::mem::take(&mut self.answer.questions) {
            let answer = permission::answer(self.pool.config(), question).await;
            self.answer.replies.reply(&request_id, &answer);
        }
        if self.answer.replies.is_empty() {
            return Ok(());
        }
        let replies = std::mem::take(&mut self.answer.replies);
        self.send(replies).await
    }

    async fn send(&mut self, out: Outgoing) -> Result<(), Error> {
        let deadline = self.deadline();
        let Some(lease) = self.lease.as_mut() else { return Ok(()) };
        match tokio::time::timeout_at(deadline, lease.pooled.process.send(out.as_bytes())).await {
            Ok(Ok(())) => Ok(()),
            // What it wrote before it closed its stdin says more than the broken pipe does.
            Ok(Err(_)) => {
                while self.lease.is_some() {
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

    async fn line(&mut self) -> Result<Bytes, Error> {
        let deadline = self.deadline();
        let Some(lease) = self.lease.as_mut() else {
            return Err(Error::new(ErrorKind::Internal, "The turn is over."));
        };
        match tokio::time::timeout_at(deadline, lease.pooled.process.line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => {
                let stderr = lease.pooled.process.stderr_after_exit().await;
                let said = if stderr.is_empty() { "nothing".to_owned() } else { format!("at its end: {stderr}") };
                let message = "Claude Code ended before its answer was complete. Run it by hand if that happens again.";
                Err(Error::new(ErrorKind::Cli, format!("{message} On stderr it said {said}")))
            }
            Ok(Err(error)) => Err(Error::new(ErrorKind::Cli, format!("Claude Code broke its protocol: {error}."))),
            Err(_) => Err(self.late()),
        }
    }

    fn deadline(&self) -> Instant {
        let Clock { began, first_token, whole } = self.clock;
        began + if self.answer.begun { whole } else { first_token.min(whole) }
    }

    fn late(&self) -> Error {
        let Clock { first_token, whole, .. } = self.clock;
        let (kind, message) = if self.answer.begun {
            (ErrorKind::RequestTimeout, format!("The answer was not complete within {whole:?} (--request-timeout)."))
        } else {
            let limit = "(--first-token-timeout)";
            (ErrorKind::FirstTokenTimeout, format!("The model did not begin to answer within {first_token:?} {limit}."))
        };
        Error::new(kind, message)
    }
}
