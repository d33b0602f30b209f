//! The memory that the bodies of all requests may take together, and which of them gives way when it is full.
//!
//! A slow body keeps its memory from others for as long as it takes to arrive. So if there is no room for a body, the
//! unfinished ones with the highest cost are cut off for it. A body's cost is its bytes times the time since it first took
//! any. One that began within [`GRACE`], or costs less than the one that wants room, is spared. If cutting off all of the
//! others would not make enough room, none is.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::response::RETRY_SOON;
use crate::{Error, ErrorKind};

/// These first bytes of each body are not counted, so a full memory never keeps out a short question.
const FREE: usize = 64 * 1024;

/// The default for all bodies together.
const DEFAULT: usize = 256 * 1024 * 1024;

/// For this long a body cannot be cut off, so bodies that come at the same time do not cut each other off.
const GRACE: Duration = Duration::from_secs(5);

/// A count of bytes, shared by all requests.
#[derive(Clone, Debug)]
pub(crate) struct BodyMemory {
    taken: Arc<Mutex<Taken>>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Taken {
    bytes: usize,
    /// The unfinished bodies, by number.
    unfinished: HashMap<u64, Unfinished>,
    next: u64,
}

#[derive(Debug)]
struct Unfinished {
    bytes: usize,
    since: Instant,
    /// Wakes the task that waits for more of the body.
    waker: Option<Waker>,
}

impl BodyMemory {
    /// A budget of this many bytes.
    pub(crate) fn new(limit: usize) -> Self {
        BodyMemory { taken: Arc::default(), limit }
    }

    /// The bytes in use.
    pub(crate) fn taken(&self) -> usize {
        self.lock().bytes
    }

    /// The size of the budget, in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The share of a body before any of it has come.
    pub(crate) fn share(&self) -> Share {
        Share { memory: self.clone(), unfinished: None, bytes: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for BodyMemory {
    fn default() -> Self {
        BodyMemory::new(DEFAULT)
    }
}

impl Taken {
    /// Makes room for this many more bytes of this body by cutting off bodies of higher cost, the highest first. Cuts off
    /// none if even all of those would not be enough. Returns whether there is room.
    fn make_room(&mut self, more: usize, limit: usize, number: u64, now: Instant) -> bool {
        let mut missing = (self.bytes + more).saturating_sub(limit);
        if missing == 0 {
            return true;
        }
        let cost =
            |unfinished: &Unfinished| unfinished.bytes as u128 * now.duration_since(unfinished.since).as_millis();
        let own = self.unfinished.get(&number).map_or(0, cost);
        let mut costlier: Vec<(u128, u64, usize)> = (self.unfinished.iter())
            .filter(|(_, unfinished)| now.duration_since(unfinished.since) >= GRACE && cost(unfinished) > own)
            .map(|(&number, unfinished)| (cost(unfinished), number, unfinished.bytes))
            .collect();
        costlier.sort_unstable_by_key(|&(cost, ..)| Reverse(cost));
        let enough = costlier.iter().position(|&(.., bytes)| {
            missing = missing.saturating_sub(bytes);
            missing == 0
        });
        let Some(last) = enough else { return false };
        for (_, number, bytes) in &costlier[..=last] {
            self.bytes -= bytes;
            if let Some(waker) = self.unfinished.remove(number).and_then(|cut| cut.waker) {
                waker.wake();
            }
        }
        true
    }
}

/// One request's share of the memory, given back on drop.
#[derive(Debug)]
pub(crate) struct Share {
    memory: BodyMemory,
    /// Its number while it is unfinished. If it is no longer among the unfinished ones, it has been cut off.
    unfinished: Option<u64>,
    /// Set once it is whole.
    bytes: usize,
}

impl Share {
    /// Notes that this much of the body has come.
    ///
    /// # Errors
    /// 503 if there is no room and none can be made; 408 if this body has been cut off itself.
    pub(crate) fn grow_to(&mut self, body: usize) -> Result<(), Error> {
        let wanted = body.saturating_sub(FREE);
        if wanted == 0 {
            return Ok(());
        }
        let limit = self.memory.limit;
        let mut taken = self.memory.lock();
        let now = Instant::now();
        let number = *self.unfinished.get_or_insert_with(|| {
            let number = taken.next;
            taken.next += 1;
            taken.unfinished.insert(number, Unfinished { bytes: 0, since: now, waker: None });
            number
        });
        let unfinished = taken.unfinished.get(&number).ok_or_else(gave_way)?;
        let more = wanted.saturating_sub(unfinished.bytes);
        if !taken.make_room(more, limit, number, now) {
            let message = format!(
                "This server reads as many large requests as it has memory for ({limit} bytes). Try again in a moment."
            );
            return Err(Error::new(ErrorKind::BodyMemoryFull, message).with_retry_after(RETRY_SOON));
        }
        taken.bytes += more;
        if let Some(unfinished) = taken.unfinished.get_mut(&number) {
            unfinished.bytes += more;
        }
        Ok(())
    }

    /// Ready with a 408 once the body has been cut off for another. Polled whenever the body is pending.
    pub(crate) fn poll_cut(&self, cx: &Context<'_>) -> Poll<Error> {
        let Some(number) = self.unfinished else { return Poll::Pending };
        match self.memory.lock().unfinished.get_mut(&number) {
            Some(unfinished) => {
                unfinished.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(gave_way()),
        }
    }

    /// Notes that the body is whole. From now on it cannot be cut off.
    ///
    /// # Errors
    /// 408 if it already has been.
    pub(crate) fn complete(&mut self) -> Result<(), Error> {
        let Some(number) = self.unfinished.take() else { return Ok(()) };
        let unfinished = self.memory.lock().unfinished.remove(&number).ok_or_else(gave_way)?;
        self.bytes = unfinished.bytes;
        Ok(())
    }
}

fn gave_way() -> Error {
    let message = "The request's body was cut off for another's: this server has no more memory for bodies, and of those that \
                   were not whole this one had taken the most for the longest. Send the request again, faster.";
    Error::new(ErrorKind::BodyTimeout, message)
}

impl Drop for Share {
    fn drop(&mut self) {
        // A body that was cut off holds nothing.
        let _ = self.complete();
        self.memory.lock().bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(share: &Share) -> bool {
        share.poll_cut(&Context::from_waker(Waker::noop())).is_pending()
    }

    #[test]
    fn what_a_body_takes_is_given_back_with_its_share() {
        let memory = BodyMemory::new(1000);
        let (mut first, mut second) = (memory.share(), memory.share());
        first.grow_to(FREE + 600).unwrap();
        first.grow_to(FREE + 700).unwrap();
        second.grow_to(FREE).unwrap();
        let full = second.grow_to(FREE + 301).unwrap_err();
        assert_eq!((full.kind(), full.retry_after()), (ErrorKind::BodyMemoryFull, Some(RETRY_SOON)));
        assert_eq!(memory.taken(), 700, "a refusal takes nothing");
        second.grow_to(FREE + 300).unwrap();
        assert_eq!(memory.taken(), 1000);
        memory.share().grow_to(FREE).unwrap();
        first.complete().unwrap();
        assert_eq!(memory.taken(), 1000, "whole, it still takes its memory");
        drop(first);
        second.grow_to(FREE + 1000).unwrap();
        drop(second);
        assert_eq!(memory.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_cost_the_most_gives_way_and_nothing_that_is_whole_young_or_has_cost_less() {
        let memory = BodyMemory::new(1000);
        let share = |bytes: usize| {
            let mut share = memory.share();
            share.grow_to(FREE + bytes).unwrap();
            share
        };
        let mut whole = share(500);
        whole.complete().unwrap();
        let (mut large, mut small) = (share(300), share(100));
        tokio::time::advance(GRACE).await;
        let young = share(100);
        assert!(waits(&large) && waits(&small), "there was room");
        let mut newcomer = share(300);
        assert!(!waits(&large), "300 bytes for 5 s are more than 100");
        assert!(waits(&small) && waits(&young) && waits(&newcomer));
        assert_eq!(memory.taken(), 500 + 100 + 100 + 300);
        assert_eq!(newcomer.grow_to(FREE + 600).unwrap_err().kind(), ErrorKind::BodyMemoryFull);
        assert!(waits(&small), "without it there would not be enough room either");
        newcomer.grow_to(FREE + 400).unwrap();
        assert!(!waits(&small), "now there is");
        assert_eq!(large.grow_to(FREE + 400).unwrap_err().kind(), ErrorKind::BodyTimeout);
        assert_eq!(small.complete().unwrap_err().kind(), ErrorKind::BodyTimeout);
        drop((whole, large, small, young, newcomer));
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn of_64_kib_nothing_is_counted_and_256_mib_are_there_unless_set() {
        let full = BodyMemory::new(0);
        full.share().grow_to(65_536).unwrap();
        assert!(full.share().grow_to(65_537).is_err());
        assert_eq!((full.limit(), BodyMemory::default().limit()), (0, 268_435_456));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_costs_its_bytes_times_its_time() {
        let memory = BodyMemory::new(1000);
        let (mut small_and_old, mut large_and_new) = (memory.share(), memory.share());
        small_and_old.grow_to(FREE + 10).unwrap();
        tokio::time::advance(3 * GRACE).await;
        large_and_new.grow_to(FREE + 900).unwrap();
        tokio::time::advance(GRACE).await;
        memory.share().grow_to(FREE + 200).unwrap();
        assert!(waits(&small_and_old) && !waits(&large_and_new));
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_that_have_cost_the_same_neither_cuts_the_other_off() {
        let memory = BodyMemory::new(1000);
        let mut both = [memory.share(), memory.share()];
        for share in &mut both {
            share.grow_to(FREE + 500).unwrap();
        }
        tokio::time::advance(GRACE).await;
        for share in &mut both {
            assert_eq!(share.grow_to(FREE + 501).unwrap_err().kind(), ErrorKind::BodyMemoryFull);
        }
        assert_eq!(both.each_ref().map(waits), [true, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_give_way_as_make_enough_room_and_no_more() {
        let memory = BodyMemory::new(1000);
        let share = |bytes: usize| {
            let mut share = memory.share();
            share.grow_to(FREE + bytes).unwrap();
            share
        };
        let mut held = [share(100), share(400), share(300), share(200)];
        tokio::time::advance(GRACE).await;
        let mut newcomer = memory.share();
        newcomer.grow_to(FREE + 700).unwrap();
        assert_eq!(held.each_ref().map(waits), [true, false, false, true]);
        assert_eq!(memory.taken(), 1000);
        tokio::time::advance(GRACE).await;
        assert_eq!(memory.share().grow_to(FREE + 1001).unwrap_err().kind(), ErrorKind::BodyMemoryFull);
        assert_eq!(
            held.each_ref().map(waits),
            [true, false, false, true],
            "one that is too large for all cuts off none"
        );
        held[3].complete().unwrap();
        newcomer.complete().unwrap();
        assert_eq!(memory.taken(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_cost_more_cuts_off_nobody_who_has_cost_less() {
        let memory = BodyMemory::new(1000);
        let (mut slow, mut light) = (memory.share(), memory.share());
        slow.grow_to(FREE + 900).unwrap();
        light.grow_to(FREE + 100).unwrap();
        tokio::time::advance(GRACE).await;
        assert_eq!(slow.grow_to(FREE + 901).unwrap_err().kind(), ErrorKind::BodyMemoryFull);
        assert!(waits(&light));
        light.grow_to(FREE + 101).unwrap();
        assert!(!waits(&slow));
    }
}
