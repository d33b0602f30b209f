//! A turn's time limits, which hold whether or not anybody polls it.
//!
//! A stream that nobody polls cannot look at a clock. So each turn has a task that does: when the time is up, it ends the
//! process and frees the turn's permit. The turn learns of that when it is polled again, if it ever is.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::read_tracker::ReadTracker;
use crate::cli::config::Config;
use crate::cli::pool::Recall;
use crate::{Error, ErrorKind};

/// Watches over one turn until it is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    watched: Arc<Watched>,
    tracker: Arc<ReadTracker>,
    task: JoinHandle<()>,
}

/// What a turn and its watchdog share.
#[derive(Debug, Default)]
struct Watched {
    started: AtomicBool,
    cut: OnceLock<Cut>,
    /// Wakes the turn while it waits for its process.
    waker: AtomicWaker,
}

/// The time limits of a turn.
#[derive(Clone, Copy, Debug)]
struct Limits {
    began: Instant,
    first_token: Duration,
    whole: Duration,
    unread: Duration,
}

/// Why a turn was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The model had not begun to answer.
    Silent(Duration),
    /// The answer was not complete.
    Incomplete(Duration),
    /// Nobody took its events.
    Unread(Duration),
}

impl Watchdog {
    /// Starts to watch over the turn that holds this lease. Must be called in a tokio runtime.
    pub(super) fn over(recall: Recall, pid: u32, config: &Config) -> Self {
        let limits = Limits {
            began: Instant::now(),
            first_token: config.first_token_timeout,
            whole: config.request_timeout,
            unread: config.unread_timeout,
        };
        let (watched, tracker) = (Arc::<Watched>::default(), Arc::<ReadTracker>::default());
        let task = tokio::spawn(watch(Arc::clone(&watched), Arc::clone(&tracker), recall, pid, limits));
        Watchdog { watched, tracker, task }
    }

    /// The model has begun to answer.
    pub(super) fn started(&self) {
        self.watched.started.store(true, Ordering::Relaxed);
    }

    /// The turn is over.
    pub(super) fn stop(&self) {
        self.task.abort();
    }

    /// Tracks whether the turn's events are taken.
    pub(super) fn read_tracker(&self) -> Arc<ReadTracker> {
        Arc::clone(&self.tracker)
    }

    /// The future's output, unless the turn is cut first.
    pub(super) async fn unless_cut<T>(&self, future: impl Future<Output = T>) -> Result<T, Cut> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            let polled = future.as_mut().poll(cx);
            if polled.is_pending() {
                self.watched.waker.register(cx.waker());
            }
            // Checked last, since the cut wins: a process that was ended has closed its pipes, too.
            match self.watched.cut.get() {
                Some(cut) => Poll::Ready(Err(*cut)),
                None => polled.map(Ok),
            }
        })
        .await
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn watch(watched: Arc<Watched>, tracker: Arc<ReadTracker>, recall: Recall, pid: u32, limits: Limits) {
    let cut = limits.over(&watched, &tracker).await;
    // Set first, or the turn would take the end of its process for a crash.
    let _ = watched.cut.set(cut);
    if recall.recall() {
        tracing::warn!(pid, "a turn is ended: {cut}");
    }
    watched.waker.wake();
}

impl Limits {
    /// Resolves when a time limit is up, with the reason for the cut.
    async fn over(&self, watched: &Watched, tracker: &ReadTracker) -> Cut {
        // Each look says whether events lay untaken ever since the look before, so two in a row cover `unread`.
        let between_looks = self.unread / 2;
        let mut seen_untaken = false;
        loop {
            let started = watched.started.load(Ordering::Relaxed);
            let until = if started { self.whole } else { self.first_token.min(self.whole) };
            let (deadline, look) = (self.began + until, Instant::now() + between_looks);
            tokio::time::sleep_until(deadline.min(look)).await;
            if Instant::now() >= deadline && started == watched.started.load(Ordering::Relaxed) {
                return if started { Cut::Incomplete(self.whole) } else { Cut::Silent(until) };
            }
            let untaken = tracker.untaken_since_last_look();
            if untaken && seen_untaken {
                return Cut::Unread(self.unread);
            }
            seen_untaken = untaken;
        }
    }
}

impl From<Cut> for Error {
    fn from(cut: Cut) -> Self {
        let kind = match cut {
            Cut::Silent(_) => ErrorKind::FirstTokenTimeout,
            Cut::Incomplete(_) | Cut::Unread(_) => ErrorKind::RequestTimeout,
        };
        Error::new(kind, cut.to_string())
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Cut::Silent(limit) => {
                write!(f, "The model did not begin to answer within {limit:?} (first_token_timeout).")
            }
            Cut::Incomplete(limit) => write!(f, "The answer was not complete within {limit:?} (request_timeout)."),
            Cut::Unread(limit) => write!(f, "Nobody read on in the answer for {limit:?} (unread_timeout)."),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::super::read_tracker::Tracked;
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn limits(first_token: u64, whole: u64, unread: u64) -> Limits {
        Limits {
            began: Instant::now(),
            first_token: seconds(first_token),
            whole: seconds(whole),
            unread: seconds(unread),
        }
    }

    /// The cut, and how many seconds after the beginning it came.
    async fn cut(limits: Limits, watched: &Watched, tracker: &ReadTracker) -> (Cut, u64) {
        let cut = limits.over(watched, tracker).await;
        (cut, limits.began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_that_does_not_begin_is_cut_at_the_limit_for_that_or_for_the_whole_turn() {
        let (watched, tracker) = (Watched::default(), ReadTracker::default());
        assert_eq!(cut(limits(10, 30, 7), &watched, &tracker).await, (Cut::Silent(seconds(10)), 10));
        assert_eq!(cut(limits(40, 30, 60), &watched, &tracker).await, (Cut::Silent(seconds(30)), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_has_begun_has_all_of_the_turns_time() {
        let (watched, tracker) = (Watched::default(), ReadTracker::default());
        let begins = async {
            tokio::time::sleep(seconds(9)).await;
            watched.started.store(true, Ordering::Relaxed);
        };
        let (cut, ()) = tokio::join!(cut(limits(10, 30, 60), &watched, &tracker), begins);
        assert_eq!(cut, (Cut::Incomplete(seconds(30)), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_nobody_takes_ends_the_turn_after_that_long_and_one_that_is_taken_late_does_not() {
        let (watched, tracker) = (Watched::default(), Arc::<ReadTracker>::default());
        watched.started.store(true, Ordering::Relaxed);
        let mut events = Tracked::new(futures_util::stream::repeat(1), Arc::clone(&tracker));
        let reads = async {
            for _ in 0..3 {
                tokio::time::sleep(seconds(19)).await;
                events.next().await;
            }
        };
        let (cut, ()) = tokio::join!(cut(limits(10, 600, 20), &watched, &tracker), reads);
        // The last event was taken after 57 s. A look each 10 s saw the next one lie there at 70 s and at 80 s.
        assert_eq!(cut, (Cut::Unread(seconds(20)), 80));
    }

    #[tokio::test]
    async fn nothing_watches_over_a_turn_that_has_stopped_or_is_dropped() {
        for stop in [|watchdog: Watchdog| watchdog.stop(), |watchdog: Watchdog| drop(watchdog)] {
            let task = tokio::spawn(std::future::pending());
            let watching = task.abort_handle();
            stop(Watchdog { watched: Arc::default(), tracker: Arc::default(), task });
            tokio::task::yield_now().await;
            assert!(watching.is_finished());
        }
    }

    #[test]
    fn each_cut_names_the_setting_that_it_is_by() {
        let told = [Cut::Silent, Cut::Incomplete, Cut::Unread].map(|cut| {
            let error = Error::from(cut(seconds(90)));
            (error.kind(), error.to_string())
        });
        let expected = [
            (ErrorKind::FirstTokenTimeout, "The model did not begin to answer within 90s (first_token_timeout)."),
            (ErrorKind::RequestTimeout, "The answer was not complete within 90s (request_timeout)."),
            (ErrorKind::RequestTimeout, "Nobody read on in the answer for 90s (unread_timeout)."),
        ];
        assert_eq!(told, expected.map(|(kind, message)| (kind, message.to_owned())));
    }
}
