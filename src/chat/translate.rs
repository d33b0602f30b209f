//! The events of an answer on their way to the client, and how a layer rewrites them.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::response::{ChatEvent, ChatResponse};
use crate::Error;

/// The events of an answer, ending with [`ChatEvent::Finished`] or an error.
///
/// Dropping it ends the turn behind it.
///
/// ```
/// use futures_util::{StreamExt, stream};
/// use tower_claude::{ChatEvent, Error, ErrorKind, EventStream};
///
/// # futures_util::future::FutureExt::now_or_never(async {
/// let failure = Error::new(ErrorKind::Upstream, "The line went dead. Try again.");
/// let mut events = EventStream::new(stream::iter([Ok(ChatEvent::TextDelta("Hel".into())), Err(failure)]));
///
/// assert_eq!(events.next().await, Some(Ok(ChatEvent::TextDelta("Hel".into()))));
/// assert_eq!(events.next().await.unwrap().unwrap_err().kind(), ErrorKind::Upstream);
/// # }).unwrap();
/// ```
pub struct EventStream(Pin<Box<dyn Stream<Item = Result<ChatEvent, Error>> + Send>>);

impl EventStream {
    /// Boxes any stream of events.
    pub fn new(stream: impl Stream<Item = Result<ChatEvent, Error>> + Send + 'static) -> Self {
        EventStream(Box::pin(stream))
    }

    /// Rewrites the events: see [`Translate`].
    #[must_use]
    pub fn translate(self, translate: impl Translate) -> Self {
        EventStream::new(Translated {
            inner: Some(self),
            translate,
            out: Events::default(),
            error: None,
            has_ended: false,
        })
    }
}

impl Stream for EventStream {
    type Item = Result<ChatEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl FromIterator<ChatEvent> for EventStream {
    fn from_iter<I: IntoIterator<Item = ChatEvent>>(events: I) -> Self {
        let events: VecDeque<ChatEvent> = events.into_iter().collect();
        EventStream::new(futures_util::stream::iter(events.into_iter().map(Ok)))
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("EventStream")
    }
}

/// Rewrites an answer one event at a time: for each event that goes in, none, one or several come out.
///
/// A closure will do for a translation that holds nothing back. One that does hold text back, such as a redaction that
/// waits for the end of a word, releases it in [`end`](Self::end). No text is lost then, however the answer ends:
///
/// ```
/// use tower_claude::ChatEvent;
/// use tower_claude::chat::{Events, Translate};
///
/// /// Lets text go a line at a time.
/// #[derive(Default)]
/// struct Lines {
///     held: String,
/// }
///
/// impl Translate for Lines {
///     fn event(&mut self, event: ChatEvent, out: &mut Events) {
///         let ChatEvent::TextDelta(text) = event else { return out.push(event) };
///         self.held.push_str(&text);
///         if let Some(end) = self.held.rfind('\n') {
///             let rest = self.held.split_off(end + 1);
///             out.push(ChatEvent::TextDelta(std::mem::replace(&mut self.held, rest)));
///         }
///     }
///
///     fn end(&mut self, out: &mut Events) {
///         if !self.held.is_empty() {
///             out.push(ChatEvent::TextDelta(std::mem::take(&mut self.held)));
///         }
///     }
/// }
/// # use futures_util::StreamExt;
/// # use tower_claude::{Error, EventStream};
/// # futures_util::future::FutureExt::now_or_never(async {
/// # let gone = Error::invalid_request("gone");
/// # let events = futures_util::stream::iter([Ok(ChatEvent::TextDelta("a\nb".into())), Err(gone.clone())]);
/// # let events: Vec<_> = EventStream::new(events).translate(Lines::default()).collect().await;
/// # let text = |text: &str| Ok(ChatEvent::TextDelta(text.into()));
/// # assert_eq!(events, [text("a\n"), text("b"), Err(gone)]);
/// # }).unwrap();
/// ```
///
/// When the client goes away the turn is cancelled, and the translation is dropped with the rest of the answer.
pub trait Translate: Send + 'static {
    /// Takes the next event. The events pushed to `out` replace it.
    fn event(&mut self, event: ChatEvent, out: &mut Events);

    /// The answer is over. Called once: before [`ChatEvent::Finished`] is handed to [`event`](Self::event), or before an
    /// error is passed on, or when the events stop without either. (Outside a
    /// [`ChoicesLayer`](crate::layers::ChoicesLayer) an answer may have several choices; it is called once for each.)
    ///
    /// The default does nothing.
    fn end(&mut self, out: &mut Events) {
        let _ = out;
    }
}

impl<F: FnMut(ChatEvent, &mut Events) + Send + 'static> Translate for F {
    fn event(&mut self, event: ChatEvent, out: &mut Events) {
        self(event, out);
    }
}

/// The events that a [`Translate`] puts out, in order.
#[derive(Debug, Default)]
pub struct Events {
    ready: VecDeque<ChatEvent>,
    finished: bool,
}

impl Events {
    /// Adds an event.
    pub fn push(&mut self, event: ChatEvent) {
        self.ready.push_back(event);
    }

    /// Ends the answer after the events pushed so far. The inner stream and its turn are dropped before they can send
    /// [`ChatEvent::Finished`], so push that yourself.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

impl Extend<ChatEvent> for Events {
    fn extend<I: IntoIterator<Item = ChatEvent>>(&mut self, events: I) {
        self.ready.extend(events);
    }
}

/// The stream behind [`EventStream::translate`].
struct Translated<T> {
    /// `None` once the answer is over.
    inner: Option<EventStream>,
    translate: T,
    out: Events,
    /// The error that the inner stream ended with; sent after the events pushed before it.
    error: Option<Error>,
    /// Whether `end` has been called, and nothing has come since.
    has_ended: bool,
}

// The translation is called, never polled, so it may be moved.
impl<T> Unpin for Translated<T> {}

impl<T: Translate> Translated<T> {
    fn take(&mut self, item: Option<Result<ChatEvent, Error>>) {
        let is_last = !matches!(&item, Some(Ok(event)) if !matches!(event, ChatEvent::Finished { .. }));
        if is_last && !self.has_ended {
            self.translate.end(&mut self.out);
        }
        self.has_ended = is_last;
        match item {
            Some(Ok(event)) if !self.out.finished => self.translate.event(event, &mut self.out),
            Some(Err(error)) if !self.out.finished => {
                self.error = Some(error);
                self.inner = None;
            }
            _ => self.inner = None,
        }
        if self.out.finished {
            self.inner = None;
        }
    }
}

impl<T: Translate> Stream for Translated<T> {
    type Item = Result<ChatEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.out.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(inner) = &mut this.inner else { return Poll::Ready(this.error.take().map(Err)) };
            let item = ready!(Pin::new(inner).poll_next(cx));
            this.take(item);
        }
    }
}

pin_project! {
    /// The response future of a layer that translates the answer: awaits the inner service's, then translates its events.
    ///
    /// ```
    /// use std::task::{Context, Poll};
    ///
    /// use tower::Service;
    /// use tower_claude::chat::{Events, Translate, TranslateFuture};
    /// use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error};
    ///
    /// struct Footer;
    ///
    /// impl Translate for Footer {
    ///     fn event(&mut self, event: ChatEvent, out: &mut Events) {
    ///         out.push(event);
    ///     }
    ///
    ///     fn end(&mut self, out: &mut Events) {
    ///         out.push(ChatEvent::TextDelta("\n\nWritten by a machine.".into()));
    ///     }
    /// }
    ///
    /// struct WithFooter<S> {
    ///     inner: S,
    /// }
    ///
    /// impl<S> Service<ChatRequest> for WithFooter<S>
    /// where
    ///     S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
    /// {
    ///     type Response = ChatResponse;
    ///     type Error = Error;
    ///     type Future = TranslateFuture<S::Future, Footer>;
    ///
    ///     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
    ///         self.inner.poll_ready(cx).map_err(Into::into)
    ///     }
    ///
    ///     fn call(&mut self, request: ChatRequest) -> Self::Future {
    ///         TranslateFuture::new(self.inner.call(request), Footer)
    ///     }
    /// }
    /// ```
    pub struct TranslateFuture<F, T> {
        #[pin]
        inner: F,
        translate: Option<T>,
    }
}

impl<F, T> TranslateFuture<F, T> {
    /// Resolves to the inner future's answer, translated; unchanged if `translate` is `None`.
    pub fn new(inner: F, translate: impl Into<Option<T>>) -> Self {
        TranslateFuture { inner, translate: translate.into() }
    }
}

impl<F, T, E> Future for TranslateFuture<F, T>
where
    F: Future<Output = Result<ChatResponse, E>>,
    T: Translate,
    E: Into<Error>,
{
    type Output = Result<ChatResponse, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx)).map_err(Into::into)?;
        Poll::Ready(Ok(match this.translate.take() {
            Some(translate) => response.translate(translate),
            None => response,
        }))
    }
}

impl<F, T> fmt::Debug for TranslateFuture<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("TranslateFuture")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;
    use crate::{FinishReason, Usage};

    /// Holds all text back, and ends the answer at a call.
    #[derive(Default)]
    struct Hold(String);

    impl Translate for Hold {
        fn event(&mut self, event: ChatEvent, out: &mut Events) {
            match event {
                ChatEvent::TextDelta(text) => self.0.push_str(&text),
                ChatEvent::ToolCallStart { .. } => out.finish(),
                other => out.push(other),
            }
        }

        fn end(&mut self, out: &mut Events) {
            out.push(text(&format!("{} and no more.", std::mem::take(&mut self.0))));
        }
    }

    fn text(text: &str) -> ChatEvent {
        ChatEvent::TextDelta(text.to_owned())
    }

    fn finished() -> ChatEvent {
        ChatEvent::Finished { reason: FinishReason::Stop, usage: Usage::default() }
    }

    fn hold(items: Vec<Result<ChatEvent, Error>>) -> Vec<Result<ChatEvent, Error>> {
        let events = EventStream::new(stream::iter(items)).translate(Hold::default());
        events.collect().now_or_never().expect("ready at once")
    }

    #[test]
    fn the_end_is_told_once_before_whatever_ends_the_answer() {
        let error = || Err(Error::invalid_request("gone"));
        let whole = || Ok(text("ab and no more."));
        let (a, b) = (|| Ok(text("a")), || Ok(text("b")));
        assert_eq!(hold(vec![a(), b(), Ok(finished())]), [whole(), Ok(finished())]);
        assert_eq!(hold(vec![a(), b(), error()]), [whole(), error()]);
        assert_eq!(hold(vec![a(), b()]), [whole()]);
        assert_eq!(hold(vec![a(), b(), Ok(finished()), error()]), [whole(), Ok(finished()), error()]);
    }

    #[test]
    fn each_choice_has_its_end() {
        let items = || vec![Ok(text("ab")), Ok(finished())];
        assert_eq!(hold([items(), items()].concat()).len(), 4);
    }

    #[test]
    fn a_translation_can_end_the_answer_and_nothing_of_the_inner_stream_is_asked_for_again() {
        let call = ChatEvent::ToolCallStart { index: 0, id: "c".into(), name: "f".into() };
        let never = stream::poll_fn(|_| -> Poll<Option<Result<ChatEvent, Error>>> { panic!("asked again") });
        let inner = stream::iter([Ok(ChatEvent::Started), Ok(call)]).chain(never);
        let events = EventStream::new(inner).translate(Hold::default());
        let events: Vec<_> = events.collect().now_or_never().expect("ready at once");
        assert_eq!(events, [Ok(ChatEvent::Started)]);
    }
}
