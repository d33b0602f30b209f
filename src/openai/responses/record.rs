//! One kept answer: its input, its events, and how it ended.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::answer::{Answer, Plan};
use super::echo::Echo;
use super::events::{Numbers, Writer};
use super::items::Item;
use super::log::{End, Log, Position};
use super::output::{ALL_SHOWN, OutputJson};
use crate::{ChatEvent, Error, ErrorKind};

/// One kept answer.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) echo: Arc<Echo>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) caller: Option<u64>,
    /// Until when it is kept.
    pub(crate) until: Instant,
    /// The items of its input as JSON, without those of the answers before it.
    input: Bytes,
    /// The answer that it goes on from.
    previous: Mutex<Option<Arc<Record>>>,
    course: Mutex<Course>,
    counted: Mutex<Option<(Arc<AtomicUsize>, usize)>>,
}

/// Its progress, and who waits for more of it.
#[derive(Debug, Default)]
pub(super) struct Course {
    pub(super) log: Log,
    pub(super) end: Option<End>,
    /// In seconds since 1970.
    pub(super) completed_at: Option<u64>,
    waiting: Vec<Waker>,
    turn: Option<AbortHandle>,
}

impl Record {
    pub(crate) fn new(
        echo: Arc<Echo>,
        plan: Arc<Plan>,
        caller: Option<u64>,
        input: Bytes,
        previous: Option<Arc<Record>>,
        until: Instant,
    ) -> Self {
        Record {
            echo,
            plan,
            caller,
            until,
            input,
            previous: Mutex::new(previous),
            course: Mutex::default(),
            counted: Mutex::default(),
        }
    }

    /// Adds an event of the turn. The last one ends the answer.
    pub(crate) fn push(&self, event: &ChatEvent) {
        if let ChatEvent::Finished { reason, usage, .. } = event {
            return self.end(End::Finished { reason: *reason, usage: *usage });
        }
        let mut course = lock(&self.course);
        if course.end.is_none() {
            course.log.push(event);
            wake(course);
        }
    }

    /// Ends the answer, unless it has ended already.
    pub(crate) fn end(&self, end: End) {
        let mut course = lock(&self.course);
        if course.end.is_none() {
            course.completed_at = Some(super::now());
            course.end = Some(end);
            course.log.shrink();
            course.turn = None;
            wake(course);
            self.recount();
        }
    }

    /// Restores its progress, when it is read from a store.
    pub(super) fn resume(&self, log: Log, end: End, completed_at: Option<u64>) {
        let mut course = lock(&self.course);
        course.log = log;
        course.end = Some(end);
        course.completed_at = completed_at;
    }

    /// Its progress so far.
    pub(super) fn course(&self) -> MutexGuard<'_, Course> {
        lock(&self.course)
    }

    /// The items of its input as JSON, without those of the answers before it.
    pub(super) fn own_input(&self) -> &[u8] {
        &self.input
    }

    /// The answer that it goes on from.
    pub(super) fn previous(&self) -> Option<Arc<Record>> {
        lock(&self.previous).clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.course).end.is_some()
    }

    pub(crate) fn was_cancelled(&self) -> bool {
        matches!(lock(&self.course).end, Some(End::Cancelled))
    }

    /// When it ended, in seconds since 1970, if it has.
    pub(crate) fn completed_at(&self) -> Option<u64> {
        lock(&self.course).completed_at
    }

    /// What ends the turn that runs in the background.
    pub(crate) fn runs_as(&self, turn: AbortHandle) {
        let mut course = lock(&self.course);
        if course.end.is_none() {
            course.turn = Some(turn);
        }
    }

    /// Ends a turn that runs in the background.
    pub(crate) fn cancel(&self) {
        let turn = lock(&self.course).turn.take();
        if let Some(turn) = turn {
            turn.abort();
            self.end(End::Cancelled);
        }
    }

    /// The answer as it is now.
    pub(crate) fn answer(&self) -> Answer {
        let course = lock(&self.course);
        let mut answer = Answer::new(Arc::clone(&self.echo), Arc::clone(&self.plan));
        let mut numbers = Numbers::default();
        let mut out = Writer::new(&mut numbers, None);
        let mut position = Position::default();
        while let Some(event) = course.log.next(&mut position) {
            answer.event(event, &mut out);
        }
        answer.ends_at(course.completed_at);
        match &course.end {
            Some(End::Finished { reason, usage }) => {
                answer.event(ChatEvent::Finished { reason: *reason, usage: *usage }, &mut out);
            }
            Some(End::Failed(error)) => answer.fail(error, &mut out),
            Some(End::Cancelled) => answer.cancel(),
            None => {}
        }
        answer
    }

    /// The items of its input, with those of the answers before it and their outputs.
    pub(crate) fn input(&self) -> Result<Vec<Item>, Error> {
        let mut items = match self.previous() {
            Some(previous) => previous.conversation()?,
            None => Vec::new(),
        };
        items.extend(parse(&self.input)?);
        Ok(items)
    }

    /// The whole conversation up to and with this answer.
    pub(crate) fn conversation(&self) -> Result<Vec<Item>, Error> {
        // Iterative, since a conversation may be longer than the stack allows.
        let mut chain = Vec::new();
        let mut before = self.previous();
        while let Some(record) = before {
            before = record.previous();
            chain.push(record);
        }
        let mut items = Vec::new();
        for record in chain.iter().rev().map(Arc::as_ref).chain([self]) {
            items.extend(parse(&record.input)?);
            items.extend(record.output()?);
        }
        Ok(items)
    }

    /// The items of its output with everything that the next turn needs, whatever the client was shown.
    pub(crate) fn output(&self) -> Result<Vec<Item>, Error> {
        let answer = self.answer();
        let output = OutputJson { items: answer.items(), answer: &self.echo.answer, shown: ALL_SHOWN };
        let json = serde_json::to_vec(&output).map_err(unreadable)?;
        parse(&json)
    }

    /// Adds the memory that it takes to a sum, and takes it off again when it is dropped.
    pub(super) fn count(&self, total: &Arc<AtomicUsize>) {
        lock(&self.counted).get_or_insert_with(|| (Arc::clone(total), 0));
        self.recount();
    }

    fn recount(&self) {
        const REST: usize = 1024;
        let size = REST + self.input.len() + self.echo.fields.len() + lock(&self.course).log.size();
        if let Some((total, counted)) = &mut *lock(&self.counted) {
            total.fetch_add(size, Ordering::Relaxed);
            total.fetch_sub(*counted, Ordering::Relaxed);
            *counted = size;
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some((total, counted)) = &*lock(&self.counted) {
            total.fetch_sub(*counted, Ordering::Relaxed);
        }
        // A long conversation is a long chain. Dropping it link by link must not recurse.
        let mut before = lock(&self.previous).take();
        while let Some(record) = before.and_then(Arc::into_inner) {
            before = lock(&record.previous).take();
        }
    }
}

/// The events of a kept answer from its beginning, including those still to come.
#[derive(Debug)]
pub(crate) struct Follow {
    record: Arc<Record>,
    position: Position,
    ended: bool,
}

impl Follow {
    pub(crate) fn new(record: Arc<Record>) -> Self {
        Follow { record, position: Position::default(), ended: false }
    }
}

impl Stream for Follow {
    type Item = Result<ChatEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let mut course = lock(&this.record.course);
        if let Some(event) = course.log.next(&mut this.position) {
            return Poll::Ready(Some(Ok(event)));
        }
        let end = match &course.end {
            None => {
                if !course.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    course.waiting.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
            Some(End::Finished { reason, usage }) => Some(Ok(ChatEvent::Finished { reason: *reason, usage: *usage })),
            Some(End::Failed(error)) => Some(Err(error.clone())),
            Some(End::Cancelled) => None,
        };
        this.ended = true;
        Poll::Ready(end)
    }
}

fn parse(json: &[u8]) -> Result<Vec<Item>, Error> {
    serde_json::from_slice(json).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("A kept answer could not be read again: {error}."))
}

fn wake(mut course: MutexGuard<'_, Course>) {
    let waiting = std::mem::take(&mut course.waiting);
    drop(course);
    waiting.into_iter().for_each(Waker::wake);
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
