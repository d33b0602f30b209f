//! The choices of one answer: `n` turns of the inner service at once, their events told apart by index.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_util::future::select_all;
use http::HeaderMap;
use tower::{Service, ServiceExt};

use super::stop::cut_at_stop;
use crate::{ChatEvent, ChatRequest, ChatResponse, Error, ErrorKind, EventStream};

/// The most choices that one request may ask for: each is a turn, with a process of its own.
pub(crate) const MOST: u32 = 8;

/// What the chunks and the completion of one answer have in common.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) headers: HeaderMap,
}

/// The events of all choices as they come, each with its choice's index. The first failure is the last item.
#[derive(Debug)]
pub(crate) struct Choices {
    turns: Vec<Option<Turn>>,
    stop: Vec<String>,
    next: usize,
}

/// One choice's turn.
enum Turn {
    /// Its head is not there yet.
    Starting(Starting),
    Running(EventStream),
}

type Starting = Pin<Box<dyn Future<Output = Result<ChatResponse, Error>> + Send>>;

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Turn::Starting(_) => "Starting",
            Turn::Running(_) => "Running",
        })
    }
}

/// Runs the request's turns, and waits until one of them has begun; the head is that one's.
///
/// The others may begin later: a turn may need the place of another, which that one gives up only when its events have
/// been taken.
pub(crate) async fn call<S>(inner: S, mut request: ChatRequest) -> Result<(Head, Choices), Error>
where
    S: Service<ChatRequest, Response = ChatResponse, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
{
    // Each turn is asked for one answer, or an inner service that knows `n` would multiply them again.
    let n = request.n.take().unwrap_or(1).clamp(1, MOST);
    let stop = request.stop.as_ref().map(|stop| stop.as_slice().to_vec()).unwrap_or_default();

    let (response, index, others) = if n == 1 {
        (inner.oneshot(request).await?, 0, Vec::new())
    } else {
        let start = |_| -> Starting { Box::pin(inner.clone().oneshot(request.clone())) };
        let (response, index, others) = select_all((0..n).map(start)).await;
        (response?, index, others)
    };
    let mut turns: Vec<Option<Turn>> = others.into_iter().map(|other| Some(Turn::Starting(other))).collect();
    let ChatResponse { id, created, model, headers, events } = response;
    turns.insert(index.min(turns.len()), Some(Turn::Running(cut(events, &stop))));
    Ok((Head { id, created, model, headers }, Choices { turns, stop, next: 0 }))
}

fn cut(events: EventStream, stop: &[String]) -> EventStream {
    if stop.is_empty() { events } else { cut_at_stop(events, stop) }
}

impl Turn {
    fn poll_next(&mut self, stop: &[String], cx: &mut Context<'_>) -> Poll<Option<Result<ChatEvent, Error>>> {
        loop {
            match self {
                Turn::Running(events) => return Pin::new(events).poll_next(cx),
                Turn::Starting(start) => match ready!(start.as_mut().poll(cx)) {
                    Ok(response) => *self = Turn::Running(cut(response.events, stop)),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
            }
        }
    }
}

impl Choices {
    /// The one choice of a turn that has begun.
    pub(crate) fn one(events: EventStream) -> Self {
        Choices { turns: vec![Some(Turn::Running(events))], stop: Vec::new(), next: 0 }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.turns.len()
    }

    fn fail(&mut self, error: Error) -> Poll<Option<<Self as Stream>::Item>> {
        // One failure is the whole answer's: the other turns end with it.
        self.turns.iter_mut().for_each(|turn| *turn = None);
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for Choices {
    type Item = Result<(usize, ChatEvent), Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let mut waiting = false;
        // Starting behind the choice that spoke last keeps a busy one from holding up the others.
        for step in 0..this.turns.len() {
            let index = (this.next + step) % this.turns.len();
            let Some(turn) = &mut this.turns[index] else { continue };
            match turn.poll_next(&this.stop, cx) {
                Poll::Pending => waiting = true,
                Poll::Ready(Some(Ok(event))) => {
                    if let ChatEvent::Finished { .. } = event {
                        // Nothing follows, so whatever the turn holds is given back now.
                        this.turns[index] = None;
                    }
                    this.next = index + 1;
                    return Poll::Ready(Some(Ok((index, event))));
                }
                Poll::Ready(Some(Err(error))) => return this.fail(error),
                Poll::Ready(None) => {
                    return this.fail(Error::new(
                        ErrorKind::Internal,
                        "The answer ended early: its events stopped without a finish. Send the request again.",
                    ));
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(None) }
    }
}
