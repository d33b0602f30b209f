//! A fair queue for a fixed number of permits: callers take turns, and each caller's requests are served in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// A caller, by the hash of its API key.
type Key = Option<u64>;

/// Hands out permits. Clones share one queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    permits: usize,
    /// Notified when a permit is free and nobody waits for it.
    spare: Arc<Notify>,
}

#[derive(Debug)]
struct Inner {
    free: usize,
    /// The waiting callers in the order of their turns, each with its requests in order of arrival.
    callers: VecDeque<(Key, VecDeque<Waiter>)>,
    length: usize,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    grant: oneshot::Sender<Permit>,
}

/// A permit. Dropping it hands it to the next request in the queue.
#[derive(Debug)]
pub(super) struct Permit {
    /// `None` once it has been handed on.
    queue: Option<Queue>,
}

/// The queue has reached its limit.
#[derive(Debug, PartialEq)]
pub(super) struct Full;

impl Queue {
    pub(super) fn new(permits: usize, spare: Arc<Notify>) -> Self {
        let inner = Inner { free: permits, callers: VecDeque::new(), length: 0, next: 0 };
        Queue { shared: Arc::new(Shared { inner: Mutex::new(inner), permits, spare }) }
    }

    /// A permit, when it is this caller's turn. If `limit` requests wait already, one is refused: the last of the caller
    /// with the most waiting requests if that caller has at least two more than this one, else this one.
    ///
    /// The call itself takes the place in the queue; dropping the future gives it up.
    pub(super) fn acquire(&self, key: Key, limit: usize) -> impl Future<Output = Result<Permit, Full>> + use<> {
        let entered = self.enter(key, limit);
        async move {
            match entered? {
                Entered::Permit(permit) => Ok(permit),
                // Each waiter keeps the queue alive, so only `make_room_for` drops a grant.
                Entered::Waiting(mut waiting) => (&mut waiting.granted).await.map_err(|_| Full),
            }
        }
    }

    /// A permit, if one is free and nobody waits for it.
    pub(super) fn try_acquire(&self) -> Option<Permit> {
        self.shared.lock().take_free().then(|| self.permit())
    }

    /// How many requests wait.
    pub(super) fn length(&self) -> usize {
        self.shared.lock().length
    }

    /// Whether one more request would be refused where `limit` may wait.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        let inner = self.shared.lock();
        inner.free == 0 && inner.length >= limit
    }

    /// How many permits are held.
    pub(super) fn held(&self) -> usize {
        self.shared.permits - self.shared.lock().free
    }

    fn permit(&self) -> Permit {
        Permit { queue: Some(self.clone()) }
    }

    fn enter(&self, key: Key, limit: usize) -> Result<Entered, Full> {
        let mut inner = self.shared.lock();
        if inner.take_free() {
            return Ok(Entered::Permit(self.permit()));
        }
        if inner.length >= limit && !inner.make_room_for(key) {
            return Err(Full);
        }
        let (grant, granted) = oneshot::channel();
        let number = inner.next;
        inner.next += 1;
        inner.length += 1;
        let waiter = Waiter { number, grant };
        match inner.callers.iter_mut().find(|(caller, _)| *caller == key) {
            Some((_, waiters)) => waiters.push_back(waiter),
            None => inner.callers.push_back((key, VecDeque::from([waiter]))),
        }
        Ok(Entered::Waiting(Waiting { queue: self.clone(), key, number, granted }))
    }

    fn release(&self) {
        loop {
            let next = {
                let mut inner = self.shared.lock();
                let next = inner.next_in_turn();
                if next.is_none() {
                    inner.free += 1;
                }
                next
            };
            let Some(next) = next else {
                self.shared.spare.notify_one();
                return;
            };
            match next.grant.send(self.permit()) {
                Ok(()) => return,
                // The request was dropped just now. Dropping the permit here would release it a second time.
                Err(mut permit) => permit.queue = None,
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes a free permit. None is free while a request waits: a released permit goes to that request.
    fn take_free(&mut self) -> bool {
        let free = self.free > 0;
        self.free -= usize::from(free);
        free
    }

    /// Refuses the last request of the caller with the most waiting, if that caller keeps at least as many as this one.
    fn make_room_for(&mut self, key: Key) -> bool {
        let own = self.callers.iter().find(|(caller, _)| *caller == key).map_or(0, |(_, waiters)| waiters.len());
        let most = self.callers.iter_mut().max_by_key(|(_, waiters)| waiters.len());
        let Some((_, waiters)) = most.filter(|(_, waiters)| waiters.len() > own + 1) else { return false };
        // Dropping its grant tells the request.
        let refused = waiters.pop_back();
        self.length -= usize::from(refused.is_some());
        refused.is_some()
    }

    fn next_in_turn(&mut self) -> Option<Waiter> {
        let (key, mut waiters) = self.callers.pop_front()?;
        let next = waiters.pop_front();
        if !waiters.is_empty() {
            self.callers.push_back((key, waiters));
        }
        self.length -= usize::from(next.is_some());
        next
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.release();
        }
    }
}

enum Entered {
    Permit(Permit),
    Waiting(Waiting),
}

/// A place in the queue.
struct Waiting {
    queue: Queue,
    key: Key,
    number: u64,
    granted: oneshot::Receiver<Permit>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut inner = self.queue.shared.lock();
        let Some(at) = inner.callers.iter().position(|(key, _)| *key == self.key) else { return };
        let waiters = &mut inner.callers[at].1;
        let before = waiters.len();
        waiters.retain(|waiter| waiter.number != self.number);
        let (gone, empty) = (before - waiters.len(), waiters.is_empty());
        inner.length -= gone;
        if empty {
            inner.callers.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    fn queue(permits: usize) -> Queue {
        Queue::new(permits, Arc::default())
    }

    fn wait(queue: &Queue, key: u64) -> BoxFuture<'static, Result<Permit, Full>> {
        queue.acquire(Some(key), usize::MAX).boxed()
    }

    /// The order in which these are served, one at a time.
    fn order(
        queue: &Queue,
        held: Permit,
        waiting: Vec<(&'static str, BoxFuture<'static, Result<Permit, Full>>)>,
    ) -> String {
        let mut order = Vec::new();
        let mut waiting = waiting;
        drop(held);
        while !waiting.is_empty() {
            let served = waiting.iter_mut().enumerate().find_map(|(at, (_, turn))| Some((at, turn.now_or_never()?)));
            let (at, permit) = served.expect("somebody is served");
            order.push(waiting.remove(at).0);
            drop(permit.unwrap());
        }
        assert_eq!((queue.length(), queue.held()), (0, 0));
        order.join(" ")
    }

    #[test]
    fn one_caller_is_served_in_order_and_two_take_turns() {
        let queue = queue(1);
        let held = queue.try_acquire().unwrap();
        let waiting =
            [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2), ("b2", 2)].map(|(name, key)| (name, wait(&queue, key)));
        assert_eq!(queue.length(), 5);
        assert_eq!(order(&queue, held, waiting.into()), "a1 b1 a2 b2 a3");
    }

    #[test]
    fn nobody_who_comes_later_is_served_before_those_who_wait() {
        let queue = queue(1);
        let held = queue.try_acquire().unwrap();
        let mut first = wait(&queue, 1);
        drop(held);
        // The permit is already granted to `first`, which has not been polled yet.
        assert!(queue.try_acquire().is_none());
        let second = wait(&queue, 2);
        let permit = (&mut first).now_or_never().unwrap().unwrap();
        assert_eq!(order(&queue, permit, vec![("second", second)]), "second");
    }

    #[test]
    fn who_stops_waiting_leaves_no_trace_even_with_a_permit_on_its_way() {
        let queue = queue(1);
        let held = queue.try_acquire().unwrap();
        let (gone, leaves) = (wait(&queue, 1), wait(&queue, 1));
        drop(gone);
        assert_eq!(queue.length(), 1);
        drop(held);
        drop(leaves);
        assert_eq!((queue.length(), queue.held()), (0, 0));
        assert!(queue.try_acquire().is_some());
    }

    #[test]
    fn a_full_queue_refuses_at_once() {
        let queue = queue(1);
        let _held = queue.try_acquire().unwrap();
        let _waits = queue.acquire(None, 1).boxed();
        assert_eq!(queue.acquire(None, 1).now_or_never().unwrap().unwrap_err(), Full);
    }

    #[test]
    fn who_fills_the_queue_makes_room_for_another_caller_until_both_have_as_much() {
        let queue = queue(1);
        let _held = queue.try_acquire().unwrap();
        let mut many: Vec<_> = (0..4).map(|_| queue.acquire(Some(1), 4).boxed()).collect();
        assert_eq!(queue.acquire(Some(1), 4).now_or_never().unwrap().unwrap_err(), Full);
        let mut few: Vec<_> = (0..2).map(|_| queue.acquire(Some(2), 4).boxed()).collect();
        assert_eq!(queue.acquire(Some(2), 4).now_or_never().unwrap().unwrap_err(), Full);
        assert_eq!(queue.length(), 4);
        let refused = |waiting: &mut Vec<BoxFuture<'static, Result<Permit, Full>>>| -> Vec<bool> {
            waiting.iter_mut().map(|turn| matches!(turn.now_or_never(), Some(Err(Full)))).collect()
        };
        assert_eq!(refused(&mut many), [false, false, true, true], "the last of them");
        assert_eq!(refused(&mut few), [false, false]);
    }

    #[test]
    fn who_fills_the_queue_keeps_one_request_more_than_another_caller() {
        let queue = queue(1);
        let _held = queue.try_acquire().unwrap();
        let _many: Vec<_> = (0..3).map(|_| queue.acquire(Some(1), 3).boxed()).collect();
        let _one = queue.acquire(Some(2), 3).boxed();
        assert_eq!(queue.acquire(Some(2), 3).now_or_never().unwrap().unwrap_err(), Full);
    }

    #[tokio::test]
    async fn a_permit_that_nobody_waits_for_is_told_of() {
        let spare = Arc::new(Notify::new());
        let queue = Queue::new(1, Arc::clone(&spare));
        drop(queue.try_acquire());
        assert!(spare.notified().now_or_never().is_some());
    }
}
