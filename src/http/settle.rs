//! One pass over an answer's events before a door writes them, for the corrections that every door would have to make.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::observe::Note;
use crate::layers::choices::ended_early;
use crate::{ChatEvent, Error, ErrorKind, EventStream, FinishReason, Usage};

/// The events of all choices, each with its choice's index, settled:
///
/// - A call that had no arguments gets `{}`, before the next call or the finish: clients parse them as JSON.
/// - An answer with calls that ended with `stop` ends with `tool_calls`: clients that are told `stop` drop the calls.
///   Claude Code's turns already end with `tool_calls`; this is for other inner services, and for layers that add calls.
/// - Arguments of a call that never began are an error, and so is an end before every choice has finished.
///
/// The first failure is the last item.
#[derive(Debug)]
pub(crate) struct Settled {
    /// `None` once the answer has ended, so that its turns release what they hold.
    events: Option<EventStream>,
    /// The choice that the events belong to.
    current: usize,
    choices: Box<[Choice]>,
    ready: VecDeque<(usize, ChatEvent)>,
    note: Note,
    /// Whether the first token has been noted.
    spoken: bool,
}

/// What is known about a choice so far.
#[derive(Clone, Debug, Default)]
struct Choice {
    /// Its calls in the order in which they began, each with whether it has had any arguments.
    calls: Vec<(u32, bool)>,
    /// Why it ended, if it has.
    finished: Option<FinishReason>,
    usage: Usage,
}

impl Settled {
    /// Settles the events of this many choices, and records them in the request's note.
    pub(crate) fn new(events: EventStream, choices: usize, note: Note) -> Self {
        let choices = vec![Choice::default(); choices].into();
        // Without an observer, nobody needs the time of the first token.
        let spoken = !note.is_taken();
        Settled { events: Some(events), current: 0, choices, ready: VecDeque::new(), note, spoken }
    }

    /// Notes that the answer failed for a reason that is not among its events.
    pub(crate) fn failed(&self, error: &Error) {
        self.note.failed(error.kind());
    }

    fn settle(&mut self, event: ChatEvent) -> Result<(), Error> {
        let index = self.current;
        let choice = self.choices.get_mut(index).ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("An event came for choice {index}, which was not asked for."))
        })?;
        if !self.spoken && event.is_token() {
            self.spoken = true;
            self.note.first_token();
        }
        match event {
            ChatEvent::Choice(index) => self.current = index as usize,
            ChatEvent::ToolCallStart { index: call, .. } => {
                self.ready.extend(choice.close_call().map(|event| (index, event)));
                choice.calls.push((call, false));
                self.ready.push_back((index, event));
            }
            ChatEvent::ToolCallDelta { index: call, ref arguments } => {
                let known = choice.calls.iter_mut().rev().find(|(of, _)| *of == call);
                let (_, has_arguments) = known.ok_or_else(|| {
                    let message = format!("Arguments came for tool call {call}, which never began.");
                    Error::new(ErrorKind::Internal, message)
                })?;
                if !arguments.is_empty() {
                    *has_arguments = true;
                    self.ready.push_back((index, event));
                }
            }
            ChatEvent::Usage(usage) => {
                choice.usage = usage;
                self.ready.push_back((index, event));
            }
            ChatEvent::Finished { reason, usage } => {
                choice.usage = usage;
                self.ready.extend(choice.close_call().map(|event| (index, event)));
                let called = !choice.calls.is_empty();
                let reason = if called && reason == FinishReason::Stop { FinishReason::ToolCalls } else { reason };
                choice.finished = Some(reason);
                self.ready.push_back((index, ChatEvent::Finished { reason, usage }));
                if self.choices.iter().all(|choice| choice.finished.is_some()) {
                    // Nothing follows, so the turns can release what they hold.
                    self.events = None;
                    self.note.finished(reason, self.choices.iter().filter_map(|choice| choice.finished));
                }
            }
            event => self.ready.push_back((index, event)),
        }
        Ok(())
    }
}

impl Choice {
    /// The arguments of the last call, if it had none. Those before it were closed when it began.
    fn close_call(&mut self) -> Option<ChatEvent> {
        let (index, has_arguments @ false) = self.calls.last_mut()? else { return None };
        *has_arguments = true;
        Some(ChatEvent::ToolCallDelta { index: *index, arguments: "{}".to_owned() })
    }
}

impl Drop for Settled {
    fn drop(&mut self) {
        if self.note.is_taken() {
            let mut usage = Usage::default();
            self.choices.iter().for_each(|choice| usage += choice.usage);
            self.note.usage(usage);
        }
    }
}

impl Stream for Settled {
    type Item = Result<(usize, ChatEvent), Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(events) = &mut this.events else { return Poll::Ready(None) };
            let failed = match ready!(Pin::new(events).poll_next(cx)) {
                Some(Ok(event)) => this.settle(event).err(),
                Some(Err(error)) => Some(error),
                None => {
                    this.events = None;
                    this.choices.iter().any(|choice| choice.finished.is_none()).then(ended_early)
                }
            };
            if let Some(error) = failed {
                this.note.failed(error.kind());
                this.events = None;
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}
