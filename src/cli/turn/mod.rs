//! One turn on one process: what the process is told, by when it must answer, and how the turn ends.
//!
//! A turn owns its process, and the permit to keep it busy. Both are given back when the turn ends well. If it ends in
//! any other way, or is dropped, the process group is killed. A turn that nobody polls loses both to its watchdog when its
//! time is up.

use bytes::Bytes;
use tracing::Instrument;

mod failure;
mod read_tracker;
mod reader;
mod span;
mod tool_calls;
mod watchdog;
mod writer;

use self::read_tracker::Tracked;
use self::reader::{AfterTurn, Context, Step, TurnReader};
pub(crate) use self::span::TurnSpan;
use self::watchdog::Watchdog;
use self::writer::{Batch, Then, TurnWriter};
use super::conversation::{LiveConversation, PreparedRequest};
use super::permission;
use super::pool::{Lease, Pool};
use super::prompt::Settings;
use super::prompt::changes::{self, Restoring};
use super::prompt::marks::Marks;
use super::protocol::{Line, Outgoing, without_lone_surrogates};
use crate::chat::size;
use crate::{ChatEvent, Error, ErrorKind, blocking};

/// A turn that is under way.
#[derive(Debug)]
pub(crate) struct Turn {
    pool: Pool,
    request: Box<PreparedRequest>,
    /// `None` once the turn has ended.
    lease: Option<Lease>,
    reader: TurnReader,
    /// What the lines so far have produced and nobody has taken yet.
    step: Step,
    /// Gives calls' arguments the client's own names and values.
    restoring: Restoring,
    watchdog: Watchdog,
    span: TurnSpan,
    /// The client's prompt-cache marks that are in the process's conversation.
    marks: Marks,
    /// Names of the client's fields that were not passed on to the process.
    ignored: Vec<&'static str>,
    /// Set once the CLI has reacted to this turn. Earlier lines may be left over from the previous one.
    acknowledged: bool,
    /// Whether the first token has come.
    spoken: bool,
    /// Set if the process asked the model before it had been told all.
    out_of_step: bool,
}

/// Why a turn did not begin.
#[derive(Debug)]
pub(crate) struct NotBegun {
    pub(crate) error: Error,
    /// Why another process may take the turn instead; `None` if it would fail again.
    pub(crate) retry: Option<Retry>,
    pub(crate) request: Box<PreparedRequest>,
    pub(crate) span: TurnSpan,
}

/// Why a turn that did not begin on one process may begin on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The process died before it reacted to the turn.
    ProcessDied,
    /// The API refused the prompt-cache marks that the process was sent: it may answer without them.
    MarksRefused,
    /// The process asked the model when it should not have, or is still at another turn.
    OutOfStep,
}

impl Turn {
    /// Tells the process the request, and waits for the first sign of an answer.
    pub(crate) async fn begin(
        pool: Pool,
        lease: Lease,
        live: Option<Box<LiveConversation>>,
        request: Box<PreparedRequest>,
        span: TurnSpan,
    ) -> Result<Box<Self>, NotBegun> {
        let watchdog = Watchdog::over(lease.to_recall(), lease.pooled.process.pid, pool.config());
        let mut turn = Box::new(Turn {
            pool,
            request,
            lease: Some(lease),
            reader: TurnReader::fresh(),
            step: Step::default(),
            restoring: Restoring::default(),
            watchdog,
            span,
            marks: live.as_ref().map(|live| live.marks).unwrap_or_default(),
            ignored: Vec::new(),
            acknowledged: false,
            spoken: false,
            out_of_step: false,
        });
        let begun = match turn.tell(live).await {
            Ok(()) => turn.wait_for_first_sign().await,
            Err(error) => Err(error),
        };
        match begun {
            Ok(()) => {
                if let Some(lease) = &mut turn.lease {
                    lease.acknowledged();
                }
                // From here on the turn is not retried elsewhere.
                turn.request.forget_prompt();
                Ok(turn)
            }
            Err(error) => {
                let out_of_step = turn.out_of_step || turn.reader.out_of_step();
                let process_died = !out_of_step && !turn.acknowledged && error.kind() == ErrorKind::Cli;
                if let Some(lease) = &mut turn.lease {
                    lease.failed(&error);
                    if process_died {
                        lease.died_unheard(&error);
                    }
                }
                let named = error.kind() == ErrorKind::InvalidRequest && error.to_string().contains("cache_control");
                let Turn { request, span, marks, .. } = *turn;
                let retry = match () {
                    () if process_died => Some(Retry::ProcessDied),
                    () if out_of_step => Some(Retry::OutOfStep),
                    () if named && marks.any() => Some(Retry::MarksRefused),
                    () => None,
                };
                Err(NotBegun { error, retry, request, span })
            }
        }
    }

    /// The model that answers, by the API's name or, until that is known, by the requested one.
    pub(crate) fn model(&self) -> &str {
        match self.reader.model() {
            "" => self.request.settings.model.as_deref().unwrap_or_default(),
            model => model,
        }
    }

    /// Names of the client's fields that were not passed on to the process, for `x-ignored-parameters`.
    pub(crate) fn ignored(&self) -> &[&'static str] {
        &self.ignored
    }

    /// Names of what Claude Code changes of the request's content.
    pub(crate) fn changed(&self) -> &[&'static str] {
        &self.request.changed
    }

    /// The rest of the turn, as a stream.
    pub(crate) fn into_events(self: Box<Self>) -> impl futures_core::Stream<Item = Result<ChatEvent, Error>> {
        let tracker = self.watchdog.read_tracker();
        let events = futures_util::stream::unfold(self, |mut turn| async move { Some((turn.next().await?, turn)) });
        Tracked::new(events, tracker)
    }

    /// From here on the turn has no process, and no time limit.
    fn end(&mut self) -> Option<Lease> {
        self.watchdog.stop();
        self.lease.take()
    }

    /// The next event; `None` after the last one, or after an error.
    async fn next(&mut self) -> Option<Result<ChatEvent, Error>> {
        loop {
            if let Some(event) = self.step.events.pop_front() {
                if !self.spoken && event.is_token() {
                    self.first_token();
                }
                return Some(Ok(event));
            }
            self.lease.as_ref()?;
            if let Err(error) = self.advance().await {
                if let Some(mut lease) = self.end() {
                    lease.failed(&error);
                }
                return Some(Err(error));
            }
        }
    }

    fn first_token(&mut self) {
        self.spoken = true;
        self.span.first_token();
        if let Some(lease) = &mut self.lease {
            lease.first_token();
        }
    }

    /// Waits until the model begins to answer. The process is at work, so there is time to digest the messages first.
    async fn wait_for_first_sign(&mut self) -> Result<(), Error> {
        self.digest().await?;
        while !self.reader.started() && self.lease.is_some() {
            self.advance().await?;
        }
        Ok(())
    }

    /// Tells the process the request: all of it, or what is new of it.
    async fn tell(&mut self, live: Option<Box<LiveConversation>>) -> Result<(), Error> {
        let mut out = Outgoing::default();
        match &live {
            None => out.control("initialize", &self.request.setup.initialize(self.pool.config())),
            Some(_) => self.check_silence().await?,
        }
        if let Some(lease) = self.lease.as_mut() {
            let told: &mut Settings = &mut lease.pooled.settings;
            if live.is_none() && self.request.carries_reasoning() {
                // Makes `change_to` name the model again: the CLI's reply says what the API calls it.
                told.model = None;
            }
            told.change_to(&self.request.settings, &mut out);
            *told = self.request.settings.clone();
        }
        let mut live = live;
        let deferred = live.as_mut().and_then(|live| Some(std::mem::take(&mut live.pending.as_mut()?.deferred)));
        self.reader = match (&live, deferred) {
            (None, _) => TurnReader::fresh(),
            (Some(_), None) => TurnReader::live(),
            (Some(live), Some(deferred)) => TurnReader::resumed(live.answered_by.clone(), deferred),
        };
        if live.is_none() && self.request.carries_reasoning() {
            self.learn_model(&mut out).await?;
        }
        for Batch { lines, then } in self.lines(live, out).await? {
            self.send(lines).await?;
            self.wait_for(then).await?;
        }
        Ok(())
    }

    /// Waits for the API's name of the model: the CLI keeps reasoning in a history only if the message says that this model
    /// produced it (2.1.328).
    async fn learn_model(&mut self, out: &mut Outgoing) -> Result<(), Error> {
        if self.request.settings.model.is_none() {
            Settings::name_default_model(out);
        }
        self.send(std::mem::take(out)).await?;
        while !self.reader.knows_model() {
            self.advance().await?;
        }
        Ok(())
    }

    /// A process that holds a conversation should be silent until it is asked. Lines left over from its last turn are
    /// skipped, but a message of the model's now would be the answer to something else.
    async fn check_silence(&mut self) -> Result<(), Error> {
        let Some(lease) = self.lease.as_mut() else { return Ok(()) };
        while let Some(line) = futures_util::FutureExt::now_or_never(lease.pooled.process.line()) {
            let Ok(Some(line)) = line else { break };
            if Line::parse(&line).is_some_and(|line| line.begins_a_message()) {
                return Err(Error::new(ErrorKind::Cli, "Claude Code spoke without being asked."));
            }
        }
        Ok(())
    }

    /// What to send, built on another thread if it is large.
    async fn lines(&mut self, live: Option<Box<LiveConversation>>, out: Outgoing) -> Result<Vec<Batch>, Error> {
        let request = std::mem::take(&mut self.request);
        let pool = self.pool.clone();
        let (lifetime, places_note) = (pool.cache_lifetime().get(), pool.places_note());
        let mut writer = TurnWriter::new(self.reader.model(), self.marks, lifetime, places_note);
        let (request, writer, lines) = blocking::run(size::of_messages(&request.messages), move || {
            let lines = writer.lines(&request, live.as_deref(), pool.thinking(), pool.config(), out);
            (request, writer, lines)
        })
        .await?;
        self.request = request;
        self.marks = writer.marks;
        self.ignored = writer.ignored;
        self.reader.prefix = writer.prefix;
        if writer.drops_thinking {
            self.request.changed.push("thinking");
        }
        lines
    }

    /// Digests the messages for what is kept of the conversation.
    async fn digest(&mut self) -> Result<(), Error> {
        if self.request.is_digested() {
            return Ok(());
        }
        let mut request = std::mem::take(&mut self.request);
        self.request = blocking::run(size::of_messages(&request.messages), move || {
            request.digest();
            request
        })
        .await?;
        Ok(())
    }

    /// Waits for what the CLI says to a batch of lines; not for the answer.
    async fn wait_for(&mut self, then: Then) -> Result<(), Error> {
        let mut done = then == Then::Answer;
        while !done {
            let line = self.line().await?;
            self.parsed(&line, |turn, line| {
                let failed = line.is_error == Some(true);
                done = line.kind.as_str() == "result"
                    && match then {
                        Then::Acknowledgement => line.num_turns == Some(0) && !failed,
                        Then::EndOfTurn => !failed,
                        Then::Refusal => failed && line.api_error_status.is_none(),
                        Then::Answer => false,
                    };
                if done { Ok(()) } else { turn.take(line) }
            })?;
            if self.reader.started() {
                self.out_of_step = true;
                match then {
                    Then::Refusal => self.pool.leave_note(),
                    Then::EndOfTurn => self.pool.end_no_turns(),
                    Then::Acknowledgement | Then::Answer => {}
                }
                return Err(Error::new(
                    ErrorKind::Cli,
                    "Claude Code asked the model before it was told to. Try again.",
                ));
            }
            self.send_replies().await?;
        }
        if then == Then::Refusal {
            self.reader.forget_failure();
        }
        Ok(())
    }

    async fn advance(&mut self) -> Result<(), Error> {
        let line = self.line().await?;
        self.parsed(&line, Turn::take)?;
        self.send_replies().await
    }

    /// Parses a line and hands it to `then`; lines that are not the protocol's are skipped.
    fn parsed(
        &mut self,
        line: &[u8],
        then: impl FnOnce(&mut Self, Line<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(line) = Line::parse(line) {
            return then(self, line);
        }
        // The model may split a surrogate pair, and the CLI then writes halves that are not valid Unicode.
        match without_lone_surrogates(line) {
            Some(mended) => Line::parse(&mended).map_or(Ok(()), |line| then(self, line)),
            None => Ok(()),
        }
    }

    fn take(&mut self, line: Line<'_>) -> Result<(), Error> {
        self.acknowledged = self.acknowledged || line.answers_this_turn();
        let context = Context {
            request: &self.request,
            subscription: self.pool.subscription(),
            cache_lifetime: self.pool.cache_lifetime(),
            thinking: self.pool.thinking(),
        };
        let before = self.step.events.len();
        self.reader.take(line, context, &mut self.step)?;
        let functions = &self.request.setup.functions;
        if functions.has_originals() {
            for event in self.step.events.split_off(before) {
                self.restoring.take(event, functions, &mut self.step.events);
            }
        }
        if self.reader.started() {
            self.watchdog.started();
        }
        match self.step.after.take() {
            None => {}
            Some(AfterTurn::Kill) => self.end_process(),
            Some(AfterTurn::Keep(answered)) if answered.reply.calls.iter().any(changes::spoils_call) => {
                self.end_process()
            }
            // Park the process before the client sees the end: it may send its next request at once.
            Some(AfterTurn::Keep(answered)) => {
                if let Some(lease) = self.end() {
                    let prefix = std::mem::take(&mut self.reader.prefix);
                    lease.park(self.request.answered(answered, self.marks, prefix));
                }
            }
        }
        Ok(())
    }

    fn end_process(&mut self) {
        if let Some(mut lease) = self.end() {
            lease.unusable();
        }
    }

    async fn send_replies(&mut self) -> Result<(), Error> {
        for (request_id, question) in std::mem::take(&mut self.step.questions) {
            // Boxed, since it is rare and larger than all else that an open stream waits in.
            let answer = Box::pin(permission::answer(self.pool.config(), question).instrument(self.span.span()));
            let answer = self.watchdog.unless_cut(answer).await?;
            self.step.replies.reply(&request_id, &answer);
        }
        if self.step.replies.is_empty() {
            return Ok(());
        }
        let replies = std::mem::take(&mut self.step.replies);
        self.send(replies).await
    }

    async fn send(&mut self, out: Outgoing) -> Result<(), Error> {
        let Some(lease) = self.lease.as_mut() else { return Ok(()) };
        match self.watchdog.unless_cut(lease.pooled.process.send(out.as_bytes())).await? {
            Ok(()) => Ok(()),
            // What the CLI wrote before it closed its stdin explains more than the broken pipe does.
            Err(_) => {
                while self.lease.is_some() {
                    let line = self.line().await?;
                    self.parsed(&line, Turn::take)?;
                }
                Ok(())
            }
        }
    }

    async fn line(&mut self) -> Result<Bytes, Error> {
        let Some(lease) = self.lease.as_mut() else {
            return Err(Error::new(ErrorKind::Internal, "The turn is over."));
        };
        match self.watchdog.unless_cut(lease.pooled.process.line()).await? {
            Ok(Some(line)) => Ok(line),
            Ok(None) => {
                lease.crashed();
                let stderr = lease.pooled.process.stderr_after_exit().await;
                let said = if stderr.is_empty() { "nothing".to_owned() } else { format!("at its end: {stderr}") };
                let message = "Claude Code ended before its answer was complete. Run it by hand if that happens again.";
                Err(Error::new(ErrorKind::Cli, format!("{message} On stderr it said {said}")))
            }
            Err(error) => Err(Error::new(ErrorKind::Cli, format!("Claude Code broke its protocol: {error}."))),
        }
    }
}
