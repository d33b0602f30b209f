//! What has happened to processes so far: how many were started, why they ended, and why conversations were replayed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// What has happened to processes since the service began. Reasons that have not occurred are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProcessEvents {
    /// How many were started.
    pub starts: u64,
    /// How many ended, by reason:
    ///
    /// - `abandoned`: in the middle of an answer that nobody wanted or read any more: its client was gone, or a `stop`
    ///   sequence had been met
    /// - `timeout`: the answer had not begun, or was not complete, within its time limit
    /// - `failed`: the API or Claude Code had reported a failure
    /// - `unusable`: the answer was complete, but Claude Code cannot go on from there: it was cut off at `max_tokens`, was a
    ///   refusal, or contained a call that Claude Code answered itself
    /// - `crashed`: it ended by itself
    /// - `idle`: its conversation had been silent for the idle timeout
    /// - `unanswered`: its client had not sent the result of a call within the tool timeout
    /// - `evicted`: its conversation made room for another request, or for a warm process
    pub ends: BTreeMap<&'static str, u64>,
    /// How many conversations were replayed on another process, by the comparison that failed first:
    ///
    /// - `none_held`: no process held any conversation
    /// - `caller`, `model`, `tools`, `system`: these differed
    /// - `history`: an earlier message had changed, or was missing
    /// - `reply`: the last answer was not what the client had been told
    /// - `results`: the results of calls were missing, unknown or too large
    pub replays: BTreeMap<&'static str, u64>,
}

/// Counts what happens to processes.
#[derive(Debug, Default)]
pub(super) struct Tally {
    starts: AtomicU64,
    ends: Mutex<BTreeMap<&'static str, u64>>,
    replays: Mutex<BTreeMap<&'static str, u64>>,
}

impl Tally {
    pub(super) fn replayed(&self, reason: &'static str) {
        add(&self.replays, reason);
    }

    pub(super) fn so_far(&self) -> ProcessEvents {
        let copy = |of: &Mutex<BTreeMap<_, _>>| of.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ProcessEvents {
            starts: self.starts.load(Ordering::Relaxed),
            ends: copy(&self.ends),
            replays: copy(&self.replays),
        }
    }
}

fn add(counts: &Mutex<BTreeMap<&'static str, u64>>, reason: &'static str) {
    *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
}

/// The reason that is counted if a process ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndReason {
    /// With the whole service, which is not counted.
    WithService,
    Abandoned,
    Timeout,
    Failed,
    Unusable,
    Crashed,
    Idle,
    Unanswered,
    Evicted,
}

/// Counts a process when it starts and, when this is dropped, why it ended.
#[derive(Debug)]
pub(super) struct CountedProcess {
    tally: Arc<Tally>,
    pub(super) end: EndReason,
}

impl CountedProcess {
    pub(super) fn started(tally: &Arc<Tally>) -> Self {
        tally.starts.fetch_add(1, Ordering::Relaxed);
        CountedProcess { tally: Arc::clone(tally), end: EndReason::WithService }
    }
}

impl Drop for CountedProcess {
    fn drop(&mut self) {
        let reason = match self.end {
            EndReason::WithService => return,
            EndReason::Abandoned => "abandoned",
            EndReason::Timeout => "timeout",
            EndReason::Failed => "failed",
            EndReason::Unusable => "unusable",
            EndReason::Crashed => "crashed",
            EndReason::Idle => "idle",
            EndReason::Unanswered => "unanswered",
            EndReason::Evicted => "evicted",
        };
        add(&self.tally.ends, reason);
    }
}
