//! The state of the processes and the queue, for people and for load balancers.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use super::{Origin, Pool};
use crate::cli::process::{Memory, Version};
use crate::cli::rate_limits::UsageWindow;

/// For how long it counts what a process was seen to hold. Whoever asks for the health, and how often, must not cost requests
/// their time; and that is longer than from one measurement to the next where memory is limited.
const SEEN: Duration = Duration::from_secs(3);

/// The state of a [`ClaudeCli`](crate::cli::ClaudeCli); serialized, it is what `GET /health` shows.
///
/// ```
/// use tower_claude::cli::{ClaudeCli, HealthStatus};
///
/// let health = ClaudeCli::builder().max_processes(10).build().health();
/// assert_eq!(health.status, HealthStatus::Ok);
/// assert_eq!(serde_json::to_value(&health)?["processes"]["max"], 10);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether requests can be answered.
    pub status: HealthStatus,
    /// The CLI's version, once it has been asked.
    pub claude_code_version: Option<Version>,
    /// How many processes there are, by what they do.
    pub processes: ProcessCounts,
    /// How much memory they hold.
    pub memory: ProcessMemory,
    /// The requests that wait for a process.
    pub queue: QueueLength,
    /// How the requests so far got their processes.
    pub requests: RequestCounts,
    /// The subscription's usage windows by name (`five_hour`, `seven_day`, ...); empty until the CLI has reported them.
    pub subscription: BTreeMap<String, UsageWindow>,
    /// Whether requests draw on extra usage now; `None` until the CLI has said.
    pub overage: Option<bool>,
}

/// Whether a [`ClaudeCli`](crate::cli::ClaudeCli) can answer requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HealthStatus {
    /// It can, as far as is known.
    Ok,
    /// Processes fail to start: only requests that find a live process are answered.
    Degraded,
}

/// How many processes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProcessCounts {
    /// At work on a request, or about to be.
    pub busy: usize,
    /// Waiting for the next message of their conversation.
    pub live: usize,
    /// Waiting for the result of a function that the client runs.
    pub parked: usize,
    /// Started, without a conversation yet.
    pub warm: usize,
    /// All that exist, including those that are ending.
    pub total: usize,
    /// How many there may be.
    pub max: usize,
}

/// The memory of all processes together, in bytes: what each has of its own, plus what they share, counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProcessMemory {
    /// What they hold, as each was seen in the last three seconds and since its last turn; `None` on systems without
    /// `/proc`, such as macOS.
    #[serde(rename = "held_bytes")]
    pub held: Option<u64>,
    /// What they may hold; `None` if that is not limited.
    #[serde(rename = "max_bytes")]
    pub max: Option<u64>,
}

/// The queue for processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueLength {
    /// How many requests wait.
    pub length: usize,
    /// How many may wait.
    pub max: usize,
}

/// How many requests found a process that held their conversation, one that was started before they came, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the line above says it for all three")]
pub struct RequestCounts {
    pub live: u64,
    pub warm: u64,
    pub cold: u64,
}

/// Why a [`ClaudeCli`](crate::cli::ClaudeCli) should be sent no requests for the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotReady {
    /// Its first warm process is still being started.
    #[error("starting")]
    Starting,
    /// Processes fail to start.
    #[error("degraded")]
    Degraded,
    /// All processes are at work and the queue is full: one more request gets 429.
    #[error("full")]
    Full,
}

impl Pool {
    /// Whether a request would be answered soon.
    pub(crate) fn ready(&self) -> Result<(), NotReady> {
        let shared = &self.shared;
        let (degraded, idle) = {
            let state = shared.lock();
            (state.circuit.is_open(), !state.warm.is_empty() || !state.live.is_empty())
        };
        let served = || shared.served.iter().any(|count| count.load(Ordering::Relaxed) > 0);
        // Without `warm_up`, processes start with the first request, so that request must be let in.
        let warms_up = shared.maintainer_runs.load(Ordering::Relaxed) && shared.config.warm_processes > 0;
        if degraded {
            Err(NotReady::Degraded)
        } else if warms_up && !idle && !served() {
            Err(NotReady::Starting)
        } else if shared.queue.is_full(shared.config.queue_limit) {
            Err(NotReady::Full)
        } else {
            Ok(())
        }
    }

    pub(crate) fn health(&self) -> Health {
        let shared = &self.shared;
        let (warm, live, parked, degraded) = {
            let state = shared.lock();
            let parked = state.live.iter().filter(|(_, held)| held.pending.is_some()).count();
            (state.warm.len(), state.live.len() - parked, parked, state.circuit.is_open())
        };
        let served = |origin: Origin| shared.served[origin as usize].load(Ordering::Relaxed);
        Health {
            status: if degraded { HealthStatus::Degraded } else { HealthStatus::Ok },
            claude_code_version: shared.version.get().copied(),
            processes: ProcessCounts {
                busy: shared.queue.held(),
                live,
                parked,
                warm,
                total: shared.places.taken(),
                max: shared.config.max_processes,
            },
            memory: ProcessMemory { held: self.memory(), max: shared.config.max_memory },
            queue: QueueLength { length: shared.queue.length(), max: shared.config.queue_limit },
            requests: RequestCounts {
                live: served(Origin::Live),
                warm: served(Origin::Warm),
                cold: served(Origin::Cold),
            },
            subscription: shared.subscription.windows(),
            overage: shared.subscription.overage(),
        }
    }

    /// What the processes hold, as they were last seen. Measuring one takes about 16 µs, a millisecond for 64, on a thread
    /// that serves others; where memory is limited, all of them are seen in time by another thread.
    fn memory(&self) -> Option<u64> {
        // A system that does not say what this process holds says it of none.
        static IS_SAID: LazyLock<bool> = LazyLock::new(|| Memory::of(std::process::id()).is_some());
        IS_SAID.then(|| {
            let held = self.shared.places.memory(SEEN, Memory::of);
            held.own.saturating_add(held.shared)
        })
    }
}
