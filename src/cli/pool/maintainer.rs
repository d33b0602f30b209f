//! The task that keeps processes warm, and ends those that have waited too long.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{EndReason, Pool, PooledProcess, Shared, StartPermit};
use crate::cli::conversation::LiveConversation;

#[cfg(test)]
mod tests;

/// With at least this many places, one is held back for newcomers. With fewer, a conversation is worth more than a quick
/// start.
const HOLD_BACK_FROM: usize = 3;

/// How long a conversation must have been silent before it is evicted for a warm process; a single question need not have
/// been. Conversations that are quicker, and fill all places, stay: evicting each in turn would make all of their turns
/// replays.
const HOLD_BACK_AFTER: Duration = Duration::from_secs(60);

/// How long a warm process may hold its permit to start.
const START_TIME: Duration = Duration::from_secs(1);

/// Runs until the pool is dropped.
pub(super) async fn run(shared: Weak<Shared>, wake: Arc<Notify>) {
    loop {
        let due = match shared.upgrade() {
            None => return,
            Some(shared) => {
                let pool = Pool { shared };
                // A CLI that is missing or too old is not started over and over; requests report what is wrong with it.
                match pool.version().await {
                    Ok(_) => pool.shared.maintain(),
                    Err(_) => pool.shared.lock().circuit.retry_at(),
                }
            }
        };
        match due {
            Some(due) => drop(tokio::time::timeout_at(due, wake.notified()).await),
            None => wake.notified().await,
        }
    }
}

impl Shared {
    /// One round. Returns when the next one is due at the latest.
    fn maintain(self: &Arc<Self>) -> Option<Instant> {
        let expires = self.end_expired();
        let starts = self.start_warm();
        let evicts = self.hold_a_place_back();
        [expires, starts, evicts].into_iter().flatten().min()
    }

    /// When this conversation will have waited too long.
    fn expires(&self, held: &LiveConversation) -> Instant {
        held.silent_since + if held.pending.is_some() { self.config.tool_timeout } else { self.config.idle_timeout }
    }

    /// Keeps a conversation for its next request.
    pub(super) fn keep(&self, pooled: PooledProcess, held: Box<LiveConversation>) {
        self.lock().live.push((pooled, held));
        self.places.process_available();
    }

    /// Ends processes that have died or waited too long. Returns when the next one will have waited too long.
    fn end_expired(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let dead = state.warm.extract_if(.., |warm| warm.process.has_exited());
        let dead: Vec<_> = dead.map(|warm| warm.ending(EndReason::Crashed)).collect();
        for warm in &dead {
            tracing::warn!(stderr = warm.process.stderr_tail(), "a warm claude process ended by itself");
            state.circuit.failed(warm.started, warm.ended_by_itself());
        }
        let expired =
            |pooled: &PooledProcess, held: &LiveConversation| pooled.process.has_exited() || self.expires(held) <= now;
        let expired = state.live.extract_if(.., |(pooled, held)| expired(pooled, held));
        let expired: Vec<_> = expired
            .map(|(pooled, held)| {
                let end = match held.pending {
                    _ if pooled.process.has_exited() => EndReason::Crashed,
                    Some(_) => EndReason::Unanswered,
                    None => EndReason::Idle,
                };
                pooled.ending(end)
            })
            .collect();
        let due = state.live.iter().map(|(_, held)| self.expires(held)).min();
        // Dropping them ends them, which is better done without the lock.
        drop(state);
        drop((dead, expired));
        due
    }

    /// Starts as many warm processes as are wanted and allowed. Returns when to try again.
    fn start_warm(self: &Arc<Self>) -> Option<Instant> {
        loop {
            let now = Instant::now();
            {
                let state = self.lock();
                if state.warm.len() >= self.config.warm_processes {
                    return None;
                }
                let not_before = state.circuit.retry_at().max(state.refill.after());
                if let Some(not_before) = not_before.filter(|at| *at > now) {
                    return Some(not_before);
                }
            }
            // Freeing a place or a permit to start wakes the maintainer. A permit taken and released for want of a place
            // would wake it endlessly, so look for a place first.
            if !self.places.has_spare() {
                return None;
            }
            let permit_to_start = self.starts.try_acquire()?;
            let (place, occupant) = self.places.take()?;
            let expected = self.lock().expected.clone();
            match self.spawn(place, occupant, StartPermit::for_at_most(START_TIME, permit_to_start), expected) {
                Ok(warm) => {
                    self.lock().warm.push(warm);
                    self.places.process_available();
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot keep a claude process warm");
                    self.lock().circuit.failed(now, error);
                }
            }
        }
    }

    /// If conversations fill all places, evicts the one that has been silent for longest, if that is long enough, so that a newcomer
    /// finds a warm process. Returns when the next one may be evicted.
    ///
    /// Without it each new conversation waits half a second more once all places have been taken. That costs 0 to 3 % more input
    /// tokens; no silence required of any conversation would cost coding sessions up to 42 % more (simulated).
    fn hold_a_place_back(&self) -> Option<Instant> {
        if self.config.warm_processes == 0 || self.config.max_processes < HOLD_BACK_FROM {
            return None;
        }
        let mut state = self.lock();
        if !state.warm.is_empty() || !self.places.is_full() {
            return None;
        }
        let now = Instant::now();
        let may_from = |held: &LiveConversation| {
            held.silent_since + if held.answers == 1 { Duration::ZERO } else { HOLD_BACK_AFTER }
        };
        let may = |held: &LiveConversation| held.pending.is_none() && may_from(held) <= now;
        let Some(at) = state.live.iter().position(|(_, held)| may(held)) else {
            let later = state.live.iter().filter(|(_, held)| held.pending.is_none());
            return later.map(|(_, held)| may_from(held)).min();
        };
        let (pooled, _) = state.live.remove(at);
        drop(state);
        let pooled = pooled.ending(EndReason::Evicted);
        tracing::debug!(pid = pooled.process.pid, "a silent conversation gives way to a warm process");
        None
    }
}
