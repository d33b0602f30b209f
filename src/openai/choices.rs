//! The choices of one answer: `n` turns of the inner service at once, their events told apart by index.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::future::try_join_all;
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
    turns: Vec<Option<EventStream>>,
    next: usize,
}

/// Runs the request's turns. The head is the first choice's.
pub(crate) async fn call<S>(inner: S, mut request: ChatRequest) -> Result<(Head, Choices), Error>
where
    S: Service<ChatRequest, Response = ChatResponse, Error = Error> + Clone,
{
    // Each turn is asked for one answer, or an inner service that knows `n` would multiply them again.
    let n = request.n.take().unwrap_or(1).clamp(1, MOST);
    let stop = request.stop.as_ref().map(|stop| stop.as_slice().to_vec()).unwrap_or_default();

    let mut responses = if n == 1 {
        vec![inner.oneshot(request).await?]
    } else {
        try_join_all((0..n).map(|_| inner.clone().oneshot(request.clone()))).await?
    };
    let turns = responses.iter_mut().map(|response| {
        let events = std::mem::replace(&mut response.events, EventStream::from_iter([]));
        Some(if stop.is_empty() { events } else { cut_at_stop(events, &stop) })
    });
    let choices = Choices { turns: turns.collect(), next: 0 };
    let first = responses.swap_remove(0);
    Ok((Head { id: first.id, created: first.created, model: first.model, headers: first.headers }, choices))
}

impl Choices {
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
            match Pin::new(turn).poll_next(cx) {
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
                        ErrorKind::Cli,
                        "The answer ended early: its events stopped without a finish. Send the request again.",
                    ));
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(None) }
    }
}
