//! [`Choices`]: several answers to one request, as turns of the inner service that run at the same time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_util::future::select_all;
use futures_util::lock::Mutex;
use pin_project_lite::pin_project;
use tower::{Layer, Service, ServiceExt};

use super::macros::inner_service_accessors;
use crate::chat::size;
use crate::{ChatEvent, ChatRequest, ChatResponse, Error, ErrorKind, EventStream};

/// How many choices one request may ask for, unless set otherwise: each is a whole turn.
pub(crate) const MAX_CHOICES: u32 = 8;

/// If all copies of a request have at most this many bytes, they are made at once.
const COPIES: usize = 8 * 1024 * 1024;

/// Honours `n`: takes it out of the request, asks the inner service `n` times at once, and merges the answers into one.
///
/// In the merged answer, [`ChatEvent::Choice`] says which choice the following events belong to, whenever that changes;
/// each choice has its own [`ChatEvent::Finished`]. The first error fails the whole answer and ends all turns. The answer
/// begins with the first of the turns, and has its head. The others may start later: with few processes, one turn may have
/// to wait until another's events are drained.
///
/// Each turn has a copy of the request until it has begun. If all copies together would have more than 8 MiB,
/// there is one at a time: the turns begin one after the other, and run at the same time from there.
///
/// If `n` is absent or 1, the inner service's answer is passed on untouched.
///
/// [`ApiService`](crate::http::ApiService) puts this layer around its inner service.
///
/// ```
/// use futures_util::StreamExt;
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::layers::ChoicesLayer;
/// use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream, FinishReason, Usage};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let done = ChatEvent::finished(FinishReason::Stop, Usage::default());
/// let answer = [ChatEvent::TextDelta("hi".into()), done.clone()];
/// let service = ServiceBuilder::new().layer(ChoicesLayer::new()).service_fn(move |request: ChatRequest| {
///     let events = EventStream::from_iter(answer.clone());
///     async move { Ok::<_, Error>(ChatResponse::new(request.model, events)) }
/// });
///
/// let request: ChatRequest = serde_json::from_str(r#"{"model": "opus", "messages": [], "n": 2}"#)?;
/// let events: Vec<_> = service.oneshot(request).await?.events.map(|event| event.unwrap()).collect().await;
/// let told = |choice| ChatEvent::Choice(choice);
/// let hi = ChatEvent::TextDelta("hi".into());
/// assert_eq!(events, [told(0), hi.clone(), told(1), hi, told(0), done.clone(), told(1), done]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ChoicesLayer {
    max: u32,
}

impl ChoicesLayer {
    /// The layer, for up to 8 choices.
    pub const fn new() -> Self {
        ChoicesLayer { max: MAX_CHOICES }
    }

    /// How many choices a request may ask for; a request for more is refused with
    /// [`InvalidRequest`](ErrorKind::InvalidRequest). 8 unless set.
    #[must_use]
    pub const fn max(mut self, choices: u32) -> Self {
        self.max = choices;
        self
    }
}

impl Default for ChoicesLayer {
    fn default() -> Self {
        ChoicesLayer::new()
    }
}

impl<S> Layer<S> for ChoicesLayer {
    type Service = Choices<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Choices { inner, max: self.max }
    }
}

/// The service that [`ChoicesLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct Choices<S> {
    inner: S,
    max: u32,
}

impl<S> Choices<S> {
    inner_service_accessors!();
}

impl<S> Service<ChatRequest> for Choices<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>, Future: Send> + Clone + Send + 'static,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = ChoicesFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        // Each turn is asked for one answer, or an inner service that knows `n` would multiply them again.
        let n = request.n.take().unwrap_or(1);
        if n == 0 || n > self.max {
            let message = format!("`n` is {n}. Ask for 1 to {} choices.", self.max);
            let refusal = Error::invalid_request(message).with_param("n");
            return ChoicesFuture::several(std::future::ready(Err(refusal)));
        }
        if n == 1 {
            return ChoicesFuture { turns: Turns::One { turn: self.inner.call(request) } };
        }
        let at_once = size::of(&request).saturating_mul(n as usize) <= COPIES;
        // The service that is known to be ready.
        let first = self.inner.call(request.clone());
        let request = Arc::new(Mutex::new(request));
        let held = request.try_lock_owned().filter(|_| !at_once);
        let mut starting: Vec<Starting> = vec![Box::pin(async move {
            let _until_begun = held;
            first.await.map_err(Into::into)
        })];
        for _ in 1..n {
            starting.push(Box::pin(start(self.inner.clone(), Arc::clone(&request), at_once)));
        }
        ChoicesFuture::several(begin(starting))
    }
}

/// Asks for one more answer. Unless all may begin at once, the request is held until the turn has begun.
async fn start<S>(inner: S, request: Arc<Mutex<ChatRequest>>, at_once: bool) -> Result<ChatResponse, Error>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>, Future: Send> + Send + 'static,
{
    let held = request.lock_owned().await;
    let mut ready = inner.ready_oneshot().await.map_err(Into::into)?;
    // A large request takes time to copy, and then to rewrite, which layers do in `call`.
    let (turn, held) = work_on(size::of(&held), move || (ready.call(held.clone()), held)).await?;
    if at_once {
        drop(held);
    }
    turn.await.map_err(Into::into)
}

/// Does work that takes time in proportion to so many bytes.
#[cfg(any(feature = "cli", feature = "http"))]
async fn work_on<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    crate::blocking::run(bytes, work).await
}

/// The same without tokio, which those features bring.
#[cfg(not(any(feature = "cli", feature = "http")))]
async fn work_on<T>(_: usize, work: impl FnOnce() -> T) -> Result<T, Error> {
    Ok(work())
}

type Starting = Pin<Box<dyn Future<Output = Result<ChatResponse, Error>> + Send>>;

/// Waits until one of the turns has begun.
async fn begin(starting: Vec<Starting>) -> Result<ChatResponse, Error> {
    let (response, index, others) = select_all(starting).await;
    let response = response?;
    let mut turns: Vec<Option<Turn>> = others.into_iter().map(|other| Some(Turn::Starting(other))).collect();
    turns.insert(index.min(turns.len()), Some(Turn::Running(response.events)));
    let events = EventStream::new(Merged { turns, next: index, told: None, ready: None });
    Ok(ChatResponse { events, ..response })
}

pin_project! {
    /// The response future of [`Choices`].
    pub struct ChoicesFuture<F> {
        #[pin]
        turns: Turns<F>,
    }
}

pin_project! {
    #[project = TurnsProjection]
    enum Turns<F> {
        One { #[pin] turn: F },
        Several { begin: Starting },
    }
}

impl<F> ChoicesFuture<F> {
    fn several(begin: impl Future<Output = Result<ChatResponse, Error>> + Send + 'static) -> Self {
        ChoicesFuture { turns: Turns::Several { begin: Box::pin(begin) } }
    }
}

impl<F, E> Future for ChoicesFuture<F>
where
    F: Future<Output = Result<ChatResponse, E>>,
    E: Into<Error>,
{
    type Output = Result<ChatResponse, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().turns.project() {
            TurnsProjection::One { turn } => turn.poll(cx).map_err(Into::into),
            TurnsProjection::Several { begin } => begin.as_mut().poll(cx),
        }
    }
}

impl<F> fmt::Debug for ChoicesFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("ChoicesFuture")
    }
}

/// One choice's turn.
enum Turn {
    /// Its head is not there yet.
    Starting(Starting),
    Running(EventStream),
}

impl Turn {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ChatEvent, Error>>> {
        loop {
            match self {
                Turn::Running(events) => return Pin::new(events).poll_next(cx),
                Turn::Starting(start) => match ready!(start.as_mut().poll(cx)) {
                    Ok(response) => *self = Turn::Running(response.events),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
            }
        }
    }
}

/// The events of all choices as they come. The first failure is the last item.
struct Merged {
    turns: Vec<Option<Turn>>,
    /// Whose turn it is to be asked first.
    next: usize,
    /// Whose the last event was.
    told: Option<usize>,
    /// The event that follows the marker that was just given.
    ready: Option<ChatEvent>,
}

impl Merged {
    fn fail(&mut self, error: Error) -> Poll<Option<Result<ChatEvent, Error>>> {
        // One failure is the whole answer's: the other turns end with it.
        self.turns.iter_mut().for_each(|turn| *turn = None);
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for Merged {
    type Item = Result<ChatEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(event) = this.ready.take() {
            return Poll::Ready(Some(Ok(event)));
        }
        let mut waiting = false;
        // Starting behind the choice that spoke last keeps a busy one from holding up the others.
        for step in 0..this.turns.len() {
            let index = (this.next + step) % this.turns.len();
            let Some(turn) = &mut this.turns[index] else { continue };
            match turn.poll_next(cx) {
                Poll::Pending => waiting = true,
                Poll::Ready(Some(Ok(event))) => {
                    if let ChatEvent::Finished { .. } = event {
                        // Nothing follows, so whatever the turn holds is given back now.
                        this.turns[index] = None;
                    }
                    this.next = index + 1;
                    if this.told == Some(index) {
                        return Poll::Ready(Some(Ok(event)));
                    }
                    this.told = Some(index);
                    this.ready = Some(event);
                    return Poll::Ready(Some(Ok(ChatEvent::Choice(index as u32))));
                }
                Poll::Ready(Some(Err(error))) => return this.fail(error),
                Poll::Ready(None) => return this.fail(ended_early()),
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(None) }
    }
}

/// What an answer fails with whose events stop without a finish.
pub(crate) fn ended_early() -> Error {
    let message = "The answer ended early: its events stopped without a finish. Send the request again.";
    Error::new(ErrorKind::Internal, message)
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use tokio::sync::{mpsc, oneshot};
    use tower::service_fn;

    use super::*;
    use crate::chat::{Message, Role};
    use crate::{FinishReason, Usage};

    /// What all copies of a request may have, as the documentation says.
    const ALL: usize = 8 << 20;

    /// Asks for three answers to a text of this length. What comes with each turn that is asked for lets it begin.
    fn asked(length: usize) -> (Starting, mpsc::UnboundedReceiver<oneshot::Sender<()>>) {
        let (tell, asked) = mpsc::unbounded_channel();
        let model = service_fn(move |request: ChatRequest| {
            let (begin, begins) = oneshot::channel();
            tell.send(begin).unwrap();
            async move {
                begins.await.unwrap();
                let done = [ChatEvent::finished(FinishReason::Stop, Usage::default())];
                Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter(done)))
            }
        });
        let text = Message::new(Role::User, "x".repeat(length));
        let request = ChatRequest { n: Some(3), ..ChatRequest::new("m", [text]) };
        (Box::pin(ChoicesLayer::new().layer(model).call(request)), asked)
    }

    #[test]
    fn the_turns_of_a_small_request_begin_at_once() {
        let (future, mut asked) = asked(ALL / 3 - 1000);
        assert!(future.now_or_never().is_none());
        assert_eq!(std::iter::from_fn(|| asked.try_recv().ok()).count(), 3);
    }

    #[test]
    fn of_a_large_request_there_is_one_copy_at_a_time() {
        let (mut future, mut asked) = asked(ALL / 3 + 1);
        assert!((&mut future).now_or_never().is_none());
        asked.try_recv().unwrap().send(()).unwrap();
        assert!(asked.try_recv().is_err(), "the second turn was asked for before the first had begun");
        let mut events = future.now_or_never().unwrap().unwrap().events;
        for turn in [1, 2] {
            while events.next().now_or_never().is_some() {}
            asked.try_recv().unwrap().send(()).unwrap();
            assert!(asked.try_recv().is_err(), "a turn was asked for before turn {turn} had begun");
        }
        assert!(events.all(|event| async move { event.is_ok() }).now_or_never().unwrap());
    }

    #[tokio::test]
    #[cfg(any(feature = "cli", feature = "http"))]
    async fn a_large_request_is_copied_and_rewritten_where_it_holds_up_nobody() {
        let (tell, mut asked) = mpsc::unbounded_channel();
        let model = service_fn(move |request: ChatRequest| {
            tell.send(std::thread::current().id()).unwrap();
            let done = [ChatEvent::finished(FinishReason::Stop, Usage::default())];
            std::future::ready(Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter(done))))
        });
        for (length, elsewhere) in [(100, false), (1_000_000, true)] {
            let text = Message::new(Role::User, "x".repeat(length));
            let request = ChatRequest { n: Some(2), ..ChatRequest::new("m", [text]) };
            let response = ChoicesLayer::new().layer(model.clone()).oneshot(request).await.unwrap();
            response.events.for_each(|_| std::future::ready(())).await;
            let (_first, second) = (asked.recv().await.unwrap(), asked.recv().await.unwrap());
            assert_eq!(second != std::thread::current().id(), elsewhere, "{length}");
        }
    }
}
