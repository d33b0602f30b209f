//! The state of the processes and the queue, for people and for load balancers.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::{Origin, Pool};
use crate::cli::process::Version;
use crate::cli::rate_limits::UsageWindow;

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
    /// What they hold now; `None` on systems without `/proc`, such as macOS.
    #[serde(rename = "held_bytes")]
    pub held: Option<u64>,
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
            memory: ProcessMemory { held: held_by(&shared.places.pids()) },
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
}

/// What these processes hold together, as Linux counts it.
///
/// An idle CLI has some 152 MB resident, of which 83 are its own and the rest is the program's text, shared by all of them
/// (2.1.328). `smaps_rollup` would divide that among them, but takes 25 ms for each process. Adding up what each one owns, and
/// the shared part once, gives the same sum within 1 % and takes 20 µs.
fn held_by(pids: &[u32]) -> Option<u64> {
    // A system that does not say what this process holds says it of none.
    resident(std::process::id())?;
    let all = pids.iter().filter_map(|pid| resident(*pid));
    let (own, shared) = all.fold((0, 0), |(own, shared), process| (own + process.0, shared.max(process.1)));
    Some(own + shared)
}

/// A process's own resident memory, and what it shares with others of the same program, in bytes.
fn resident(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let kilobytes = status.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?;
        kilobytes.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some((field("RssAnon:")?, field("RssFile:")?.checked_add(field("RssShmem:")?)?))
}
