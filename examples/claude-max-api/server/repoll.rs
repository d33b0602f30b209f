//! Polls a connection again if it wakes itself while it is polled.
//!
//! hyper's connection does so for each piece of a request's body. tokio would put its task last in the queue and wake another
//! thread to look for work, just when the CLI that has the request needs a CPU. Polling again costs next to nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// How often in a row, so that one busy connection does not keep the thread from the others.
const MAX_POLLS: usize = 16;

/// Bits of the state.
const POLLED: u8 = 1;
const WOKEN: u8 = 2;

/// Polls one future.
pub(crate) struct Repoll {
    wakes: Arc<Wakes>,
    waker: Waker,
}

#[derive(Default)]
struct Wakes {
    /// Whether the future is being polled, and whether it was woken since the last poll began.
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // While it is polled, `poll` takes notice.
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }
}

impl Repoll {
    pub(crate) fn new() -> Self {
        let wakes = Arc::<Wakes>::default();
        Repoll { waker: Waker::from(Arc::clone(&wakes)), wakes }
    }

    /// Polls the future until it waits for something else than itself.
    pub(crate) fn poll<F: Future>(&self, mut future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let state = &self.wakes.state;
        self.wakes.task.register(cx.waker());
        for _ in 0..MAX_POLLS {
            state.swap(POLLED, Ordering::AcqRel);
            let polled = future.as_mut().poll(&mut Context::from_waker(&self.waker));
            if polled.is_ready() || state.compare_exchange(POLLED, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
