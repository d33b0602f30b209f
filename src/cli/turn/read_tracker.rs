//! Whether anybody takes a turn's events: tells a reader that is slow from one that is gone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_core::Stream;
use futures_util::task::AtomicWaker;

/// Tracks a stream's polls and wakes, at the cost of a few stores an event and no clock.
#[derive(Debug, Default)]
pub(super) struct ReadTracker {
    /// Whether an event is ready, or something that may produce one.
    is_ready: AtomicBool,
    /// Whether the reader has polled, or something has arrived, since the last call of `untaken_since_last_look`.
    moved: AtomicBool,
    /// Wakes the stream's reader.
    reader: AtomicWaker,
}

impl ReadTracker {
    /// Whether an event has lain ready, and nobody has polled, ever since the last call.
    pub(super) fn untaken_since_last_look(&self) -> bool {
        let moved = self.moved.swap(false, Ordering::Relaxed);
        self.is_ready.load(Ordering::Relaxed) && !moved
    }

    fn set(&self, ready: bool) {
        self.is_ready.store(ready, Ordering::Relaxed);
        self.moved.store(true, Ordering::Relaxed);
    }
}

impl Wake for ReadTracker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set(true);
        self.reader.wake();
    }
}

pin_project_lite::pin_project! {
    /// A stream whose polls and wakes are tracked.
    pub(super) struct Tracked<S> {
        #[pin]
        stream: S,
        tracker: Arc<ReadTracker>,
        waker: Waker,
    }
}

impl<S> Tracked<S> {
    /// Hands the stream to its reader. Until the first poll, an event counts as ready.
    pub(super) fn new(stream: S, tracker: Arc<ReadTracker>) -> Self {
        tracker.set(true);
        let waker = Waker::from(Arc::clone(&tracker));
        Tracked { stream, tracker, waker }
    }
}

impl<S: Stream> Stream for Tracked<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        this.tracker.reader.register(cx.waker());
        // Before the poll, so that a wake during the poll is not lost.
        this.tracker.set(false);
        let polled = this.stream.poll_next(&mut Context::from_waker(this.waker));
        if polled.is_ready() {
            this.tracker.set(true);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    fn stream() -> (Arc<ReadTracker>, futures_util::stream::BoxStream<'static, u32>, tokio::sync::mpsc::Sender<u32>) {
        let tracker = Arc::<ReadTracker>::default();
        let (send, mut receive) = tokio::sync::mpsc::channel(2);
        let stream = futures_util::stream::poll_fn(move |cx| receive.poll_recv(cx));
        (Arc::clone(&tracker), Tracked::new(stream, tracker).boxed(), send)
    }

    /// What two calls in a row return.
    fn looks(tracker: &ReadTracker) -> (bool, bool) {
        (tracker.untaken_since_last_look(), tracker.untaken_since_last_look())
    }

    #[test]
    fn a_stream_that_was_never_polled_is_untaken() {
        let (tracker, _stream, _send) = stream();
        assert_eq!(looks(&tracker), (false, true));
    }

    #[test]
    fn a_reader_that_waits_is_not_at_fault_until_something_has_come() {
        let (tracker, mut stream, send) = stream();
        assert!(stream.next().now_or_never().is_none());
        assert_eq!(looks(&tracker), (false, false));
        send.try_send(1).unwrap();
        assert_eq!(looks(&tracker), (false, true));
        assert_eq!(stream.next().now_or_never(), Some(Some(1)));
        assert_eq!(looks(&tracker), (false, true), "there may be another");
        assert!(stream.next().now_or_never().is_none());
        assert_eq!(looks(&tracker), (false, false));
    }

    #[tokio::test]
    async fn what_comes_wakes_the_reader() {
        let (_, mut stream, send) = stream();
        let reader = tokio::spawn(async move { stream.next().await });
        tokio::task::yield_now().await;
        send.send(1).await.unwrap();
        assert_eq!(reader.await.unwrap(), Some(1));
    }
}
