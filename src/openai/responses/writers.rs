//! The writers of an answer: its events as they come, one object, and the events of a kept answer again.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::answer::{Answer, Plan};
use super::echo::Echo;
use super::events::{Numbers, Writer};
use super::log::End;
use super::record::{Follow, Record};
use super::store::Store;
use crate::http::Body;
use crate::http::door::{Collector, Encoder, Saving};
use crate::http::observe::Note;
use crate::http::settle::Settled;
use crate::http::sse::EventBytes;
use crate::{ChatEvent, Error, EventStream};

/// Saves an answer when it has ended.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) record: Arc<Record>,
    pub(crate) store: Arc<Store>,
    /// Whether the answer has ended and is to be saved.
    pub(crate) ended: bool,
}

impl Keeper {
    fn event(&mut self, event: &ChatEvent) {
        self.record.push(event);
        if let ChatEvent::Finished { .. } = event {
            self.keep();
        }
    }

    fn fail(&mut self, error: &Error) {
        self.record.end(End::Failed(error.clone()));
        self.keep();
    }

    fn keep(&mut self) {
        self.store.keep(Arc::clone(&self.record));
        self.ended = self.store.backing().is_some();
    }

    fn saving(&mut self) -> Option<Saving> {
        if !std::mem::take(&mut self.ended) {
            return None;
        }
        let (store, record) = (Arc::clone(&self.store), Arc::clone(&self.record));
        Some(Box::pin(async move { store.save(&record).await }))
    }
}

/// Writes the events of one stream.
#[derive(Debug)]
pub(crate) struct Streamed {
    answer: Answer,
    numbers: Numbers,
    keeper: Option<Keeper>,
    /// The kept answer whose events these are.
    again: Option<Arc<Record>>,
}

impl Streamed {
    pub(crate) fn new(echo: Arc<Echo>, plan: Arc<Plan>, keeper: Option<Keeper>) -> Self {
        Streamed { answer: Answer::new(echo, plan), numbers: Numbers::default(), keeper, again: None }
    }

    /// The stream of a kept answer, from after the event that the client has already had, to its end, even if that is yet to
    /// come.
    pub(crate) fn again(record: Arc<Record>, had: Option<u64>, keep_alive: Duration) -> Body {
        let answer = Answer::new(Arc::clone(&record.echo), Arc::clone(&record.plan));
        let events = EventStream::new(Follow::new(Arc::clone(&record)));
        let writer = Streamed { answer, numbers: Numbers::after(had), keeper: None, again: Some(record) };
        Body::events(EventBytes::new(Settled::new(events, 1, Note::default()), Box::new(writer), keep_alive))
    }
}

impl Encoder for Streamed {
    fn start(&mut self, out: &mut BytesMut) {
        self.answer.start(&mut Writer::new(&mut self.numbers, Some(out)));
    }

    fn event(&mut self, _choice: usize, event: ChatEvent, out: &mut BytesMut) -> Result<(), Error> {
        if let Some(keeper) = &mut self.keeper {
            keeper.event(&event);
        }
        if let ChatEvent::Finished { .. } = event {
            let record = self.again.as_ref().or(self.keeper.as_ref().map(|keeper| &keeper.record));
            self.answer.ends_at(record.and_then(|record| record.completed_at()));
        }
        self.answer.event(event, &mut Writer::new(&mut self.numbers, Some(out)));
        Ok(())
    }

    fn end(&mut self, _out: &mut BytesMut) {}

    fn error(&mut self, error: &Error, out: &mut BytesMut) {
        if self.again.as_ref().is_some_and(|record| record.was_cancelled()) {
            // OpenAI has no event for this: the stream just ends.
            return;
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.fail(error);
        }
        self.answer.fail(error, &mut Writer::new(&mut self.numbers, Some(out)));
    }

    fn saving(&mut self) -> Option<Saving> {
        self.keeper.as_mut()?.saving()
    }
}

/// Gathers an answer into one object.
#[derive(Debug)]
pub(crate) struct Gathered {
    answer: Answer,
    numbers: Numbers,
    keeper: Option<Keeper>,
}

impl Gathered {
    pub(crate) fn new(echo: Arc<Echo>, plan: Arc<Plan>, keeper: Option<Keeper>) -> Self {
        Gathered { answer: Answer::new(echo, plan), numbers: Numbers::default(), keeper }
    }
}

impl Collector for Gathered {
    fn event(&mut self, _choice: usize, event: ChatEvent) -> Result<(), Error> {
        if let Some(keeper) = &mut self.keeper {
            keeper.event(&event);
            self.answer.ends_at(keeper.record.completed_at());
        }
        self.answer.event(event, &mut Writer::new(&mut self.numbers, None));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Body, Error> {
        let mut json = BytesMut::new();
        self.answer.write_object(&mut json);
        Ok(Body::from(json.freeze()))
    }

    fn saving(&mut self) -> Option<Saving> {
        self.keeper.as_mut()?.saving()
    }
}
