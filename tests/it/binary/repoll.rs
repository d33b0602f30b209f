//! How often a connection is polled that wakes itself.

#[path = "../../../examples/claude-max-api/server/repoll.rs"]
pub(super) mod repolled;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use self::repolled::Repoll;

/// Counts how often a task is woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    fn polls<F: Future>(self: &Arc<Self>, repoll: &Repoll, future: Pin<&mut F>) -> Poll<F::Output> {
        repoll.poll(future, &mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }

    fn wakes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn what_wakes_itself_is_polled_again_without_its_task() {
    let (task, repoll) = (Arc::<Task>::default(), Repoll::new());
    let mut polls = 0;
    let wakes_itself_twice = poll_fn(|cx| {
        polls += 1;
        if polls < 3 {
            cx.waker().wake_by_ref();
        }
        if polls < 4 { Poll::Pending } else { Poll::Ready("done") }
    });
    let mut future = pin!(wakes_itself_twice);
    assert_eq!(task.polls(&repoll, future.as_mut()), Poll::Pending);
    assert_eq!(task.wakes(), 0);
    assert_eq!(task.polls(&repoll, future), Poll::Ready("done"));
    assert_eq!(polls, 4);
}

#[test]
fn what_is_woken_while_it_waits_wakes_its_task_once_for_each_poll() {
    let (task, repoll) = (Arc::<Task>::default(), Repoll::new());
    let mut kept = None;
    let mut future = pin!(poll_fn(|cx| {
        kept = Some(cx.waker().clone());
        Poll::<()>::Pending
    }));
    assert!(task.polls(&repoll, future.as_mut()).is_pending());
    assert_eq!(task.wakes(), 0);
    let waker = kept.unwrap();
    waker.wake_by_ref();
    waker.wake_by_ref();
    assert_eq!(task.wakes(), 1);
    let mut again = pin!(poll_fn(|_| Poll::<()>::Pending));
    assert!(task.polls(&repoll, again.as_mut()).is_pending());
    assert_eq!(task.wakes(), 1, "it was woken before this poll, not during it");
    waker.wake();
    assert_eq!(task.wakes(), 2);
}

#[test]
fn what_always_wakes_itself_lets_other_tasks_run() {
    let (task, repoll) = (Arc::<Task>::default(), Repoll::new());
    let mut polls = 0;
    let mut restless = pin!(poll_fn(|cx| {
        polls += 1;
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
    for times in 1..=3 {
        assert!(task.polls(&repoll, restless.as_mut()).is_pending());
        assert_eq!(task.wakes(), times);
    }
    assert!((3..100).contains(&polls), "{polls}");
}
