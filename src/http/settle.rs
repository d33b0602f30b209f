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
/// - A call ends with the first event of its choice that is neither its arguments nor a usage. If it had none, it gets `{}`
///   before that event: clients parse arguments as JSON.
/// - An answer with calls that ended with `stop` ends with `tool_calls`: clients that are told `stop` drop the calls.
///   Claude Code's turns already end with `tool_calls`; this is for other inner services, and for layers that add calls.
/// - Arguments of a call that never began, or has ended, are an error, and so is an end before every choice has finished.
///
/// The writers rely on all of it.
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
    /// Whether it has had any call.
    called: bool,
    /// The call whose arguments may come, and whether any have.
    open: Option<(u32, bool)>,
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
            ChatEvent::Choice(index) => {
                self.current = index as usize;
                return Ok(());
            }
            ChatEvent::ToolCallDelta { index: call, ref arguments } => match &mut choice.open {
                Some((open, has_arguments)) if *open == call => *has_arguments |= !arguments.is_empty(),
                _ => {
                    let message = format!("Arguments came for tool call {call}, which is not the one that is open.");
                    return Err(Error::new(ErrorKind::Internal, message));
                }
            },
            ChatEvent::Usage(usage) => choice.usage = usage,
            _ => {
                if let Some((call, false)) = choice.open.take() {
                    self.ready.push_back((index, ChatEvent::tool_call_delta(call, "{}")));
                }
            }
        }
        match event {
            ChatEvent::ToolCallDelta { ref arguments, .. } if arguments.is_empty() => {}
            ChatEvent::ToolCallStart { index: call, .. } => {
                choice.called = true;
                choice.open = Some((call, false));
                self.ready.push_back((index, event));
            }
            ChatEvent::Finished { reason, usage } => {
                choice.usage = usage;
                let called = choice.called && reason == FinishReason::Stop;
                let reason = if called { FinishReason::ToolCalls } else { reason };
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

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    /// What the writers get of these events, and how it failed, if it did.
    fn settled(events: impl IntoIterator<Item = ChatEvent>) -> (Vec<ChatEvent>, Option<String>) {
        let events = Settled::new(EventStream::from_iter(events), 1, Note::default());
        let (mut told, mut failure) = (Vec::new(), None);
        for item in events.collect::<Vec<_>>().now_or_never().unwrap() {
            match item {
                Ok((_, event)) => told.push(event),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        (told, failure)
    }

    fn start(index: u32) -> ChatEvent {
        ChatEvent::tool_call_start(index, format!("call{index}"), "f")
    }

    fn end(reason: FinishReason) -> ChatEvent {
        ChatEvent::finished(reason, Usage::default())
    }

    #[test]
    fn a_call_without_arguments_gets_them_before_whatever_follows_it() {
        let none = |index| ChatEvent::tool_call_delta(index, "{}");
        let text = || ChatEvent::TextDelta("so".to_owned());
        let usage = || ChatEvent::Usage(Usage::new(1, 1));
        let (told, failure) = settled([start(0), usage(), text(), start(1), start(2), end(FinishReason::Stop)]);
        let wanted =
            [start(0), usage(), none(0), text(), start(1), none(1), start(2), none(2), end(FinishReason::ToolCalls)];
        assert_eq!((told, failure), (wanted.to_vec(), None));
    }

    #[test]
    fn arguments_of_a_call_that_has_ended_or_never_began_are_an_error_and_not_appended_to_others() {
        let delta = |index| ChatEvent::tool_call_delta(index, r#"{"a":1}"#);
        let text = || ChatEvent::TextDelta("so".to_owned());
        for (events, open) in [
            (vec![start(0), start(1), delta(0)], 0),
            (vec![start(0), delta(0), text(), delta(0)], 0),
            (vec![delta(3)], 3),
        ] {
            let (told, failure) = settled(events);
            assert_ne!(told.last(), Some(&delta(0)));
            let wanted = format!("Arguments came for tool call {open}, which is not the one that is open.");
            assert_eq!(failure, Some(wanted));
        }
    }
}
