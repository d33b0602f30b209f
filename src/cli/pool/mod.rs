//! The process pool: warm processes that fit any request, live ones that hold a conversation, and which request gets which.
//!
//! | file | its idea |
//! |---|---|
//! | `lease` | a process for one turn, and how it is returned |
//! | `queue` | which request is next to get a process, or to start one |
//! | `places` | the places that processes take, and how many there may be |
//! | `circuit` | whether starting processes works |
//! | `refill` | when a warm process that was taken is replaced |
//! | `maintainer` | the task that keeps processes warm, and ends those that have waited too long |
//! | `health` | the state of the pool |
//! | `status` | the same in full, with the conversations that processes hold |
//! | `tally` | counts of what has happened so far, and why |
//!
//! A queue permit is the right to one busy process. Its holder is sure to get a process: busy ones never outnumber permits,
//! so there is always a live conversation that fits, a warm process, room for one more, or a live conversation to evict.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell};
use tokio::time::Instant;

mod circuit;
mod health;
mod lease;
mod maintainer;
mod places;
mod queue;
mod refill;
mod status;
mod tally;
#[cfg(test)]
mod tests;

use self::circuit::Circuit;
pub use self::health::{Health, HealthStatus, NotReady, ProcessCounts, ProcessMemory, QueueLength, RequestCounts};
use self::lease::StartPermit;
pub(crate) use self::lease::{Lease, Origin, PooledProcess, Recall};
use self::places::{Occupant, Place, Places};
use self::queue::{Permit, Queue};
use self::refill::Refill;
pub use self::status::{ConversationState, ConversationStatus, Status};
pub use self::tally::ProcessEvents;
use self::tally::{CountedProcess, EndReason, Tally};
use super::config::Config;
use super::conversation::LiveConversation;
use super::process::{self, Orphans, Process, Version};
use super::prompt::Settings;
use super::prompt::marks::KnownLifetime;
use super::prompt::prefix::KnownThinking;
use super::rate_limits::Subscription;
use crate::chat::Caller;
use crate::{Error, ErrorKind};

/// How long a process started for a request may hold its permit to start.
const COLD_START_TIME: Duration = Duration::from_secs(5);

/// A lease, and the conversation that its process holds if it is a live one.
pub(crate) type Leased = (Lease, Option<Box<LiveConversation>>);

/// A live process with the conversation that it holds, or a warm one.
type Found = (PooledProcess, Option<Box<LiveConversation>>);

/// Shares the processes among requests. Clones share one pool; dropping the last ends every process.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    state: Mutex<State>,
    /// Grants the right to a busy process.
    queue: Queue,
    /// Grants the right to start a process.
    starts: Queue,
    places: Places,
    /// Wakes the maintainer.
    maintainer: Arc<Notify>,
    maintainer_runs: AtomicBool,
    version: OnceCell<Version>,
    served: [AtomicU64; 3],
    subscription: Subscription,
    /// Set when the first process starts.
    orphans: OnceLock<Arc<Orphans>>,
    tally: Arc<Tally>,
    cache_lifetime: KnownLifetime,
    thinking: KnownThinking,
    /// Set once the CLI has asked the model in spite of a context limit, or of results that end the turn.
    ignores_context_limit: AtomicBool,
    ignores_end_of_turn: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    warm: Vec<PooledProcess>,
    /// Ordered from the least to the most recently used.
    live: Vec<(PooledProcess, Box<LiveConversation>)>,
    circuit: Circuit,
    refill: Refill,
    /// The settings of the last new conversation: the best guess at those of the next.
    expected: Settings,
}

impl State {
    /// A live process whose conversation `fits`. Processes that have died are moved to `dead` on the way.
    fn find_live(
        &mut self,
        fits: &mut impl FnMut(&LiveConversation) -> bool,
        dead: &mut Vec<PooledProcess>,
    ) -> Option<Found> {
        // Newest first: if a client asked for the same answer twice, both conversations fit.
        while let Some(at) = self.live.iter().rposition(|(_, held)| fits(held)) {
            let (pooled, held) = self.live.remove(at);
            if !pooled.process.has_exited() {
                return Some((pooled, Some(held)));
            }
            dead.push(pooled.ending(EndReason::Crashed));
        }
        None
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.maintainer.notify_one();
    }
}

impl Pool {
    pub(crate) fn new(config: Config) -> Self {
        let maintainer = Arc::new(Notify::new());
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Pool {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                queue: Queue::new(config.max_processes, Arc::default()),
                starts: Queue::new(cpus, Arc::clone(&maintainer)),
                places: Places::new(config.max_processes, Arc::clone(&maintainer)),
                maintainer,
                maintainer_runs: AtomicBool::new(false),
                version: OnceCell::new(),
                served: Default::default(),
                subscription: Subscription::default(),
                orphans: OnceLock::new(),
                tally: Arc::default(),
                cache_lifetime: KnownLifetime::default(),
                thinking: KnownThinking::default(),
                ignores_context_limit: AtomicBool::new(false),
                ignores_end_of_turn: AtomicBool::new(false),
                config,
            }),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// How long the CLI's own prompt-cache marks live.
    pub(crate) fn cache_lifetime(&self) -> &KnownLifetime {
        &self.shared.cache_lifetime
    }

    /// Whether the CLI does not let results end a turn.
    pub(crate) fn never_ends_turns(&self) -> bool {
        self.shared.ignores_end_of_turn.load(Ordering::Relaxed)
    }

    /// The CLI has asked the model where results should have ended the turn, so none are to do so any more.
    pub(crate) fn end_no_turns(&self) {
        self.shared.ignores_end_of_turn.store(true, Ordering::Relaxed);
    }

    /// Ends the live processes for which `is_over`.
    pub(crate) fn end_live(&self, is_over: impl FnMut(&LiveConversation) -> bool) {
        self.shared.end_live(is_over);
    }

    /// What stood before the model's thinking.
    pub(crate) fn thinking(&self) -> &KnownThinking {
        &self.shared.thinking
    }

    /// Whether a replay can have the CLI's note where the conversation first had it.
    pub(crate) fn places_note(&self) -> bool {
        !self.shared.ignores_context_limit.load(Ordering::Relaxed)
    }

    /// The CLI asks the model where it should have refused to, so no replay makes it refuse any more.
    pub(crate) fn leave_note(&self) {
        self.shared.ignores_context_limit.store(true, Ordering::Relaxed);
    }

    pub(crate) fn subscription(&self) -> &Subscription {
        &self.shared.subscription
    }

    /// Counts a conversation that is replayed on another process, and why.
    pub(crate) fn replayed(&self, reason: &'static str) {
        self.shared.tally.replayed(reason);
    }

    /// The CLI's version, asked for once. An error if the CLI is missing or too old.
    pub(crate) async fn version(&self) -> Result<&Version, Error> {
        let came = Instant::now();
        let shared = &self.shared;
        let ask = async || {
            {
                let mut state = shared.lock();
                // A caller that waited while another's attempt failed shares that error rather than asking again.
                if let Some(error) = state.circuit.failure_since(came) {
                    return Err(error.clone());
                }
                state.circuit.try_start()?;
            }
            let asked = Instant::now();
            process::ask(&shared.config).await.inspect_err(|error| shared.lock().circuit.failed(asked, error.clone()))
        };
        shared.version.get_or_try_init(ask).await
    }

    /// Starts the task that keeps warm processes. Must be called in a tokio runtime; calls after the first do nothing.
    pub(crate) fn start(&self) {
        if !self.shared.maintainer_runs.swap(true, Ordering::AcqRel) {
            let maintainer = Arc::clone(&self.shared.maintainer);
            tokio::spawn(maintainer::run(Arc::downgrade(&self.shared), maintainer));
            self.shared.maintainer.notify_one();
        }
    }

    /// The live process whose conversation `fits`, if there is one and no request waits for its turn. Most turns go on with a
    /// conversation, so this is what most of them need.
    pub(crate) fn lease_live(&self, mut fits: impl FnMut(&LiveConversation) -> bool) -> Option<Leased> {
        let permit = self.shared.queue.try_acquire()?;
        // Dropped once the lock is released: dropping a process ends it.
        let mut dead = Vec::new();
        let found = self.shared.lock().find_live(&mut fits, &mut dead);
        Some(self.leased(found?, permit))
    }

    /// A process for a turn: a live one whose conversation `fits`, else a warm one, else a new one. Waits while all are
    /// busy.
    pub(crate) async fn lease(
        &self,
        caller: &Caller,
        mut fits: impl FnMut(&LiveConversation) -> bool,
    ) -> Result<Leased, Error> {
        self.start();
        self.version().await?;
        let shared = &self.shared;
        let permit = self.wait_in_queue(caller).await?;
        // Created on first use, since creating it takes a place in the queue.
        let mut turn_to_start = None;
        let mut permit_to_start = None;
        let mut wanted = None;
        loop {
            let mut freed = std::pin::pin!(shared.places.freed());
            freed.as_mut().enable();
            // `_dead` is dropped once `find` has released the lock: dropping a process ends it.
            let (found, _dead) = shared.find(&mut fits);
            if let Some(found) = found {
                return Ok(self.leased(found, permit));
            }
            shared.lock().circuit.check()?;
            if permit_to_start.is_none() {
                // Evict now: the evicted process ends while this request waits for its permit to start, not while it holds
                // one.
                wanted.get_or_insert_with(|| shared.places.want());
                if let Some(evicted) = shared.evict_if_short() {
                    evicted.end_quickly();
                }
                let turn = turn_to_start.get_or_insert_with(|| Box::pin(shared.starts.acquire(caller.key, usize::MAX)));
                tokio::select! {
                    biased;
                    permit = turn => permit_to_start = permit.ok(),
                    () = freed => {}
                }
                continue;
            }
            if let Some((place, occupant)) = shared.places.take() {
                let start = Instant::now();
                shared.lock().circuit.try_start()?;
                let Some(permit_to_start) = permit_to_start.take() else { continue };
                let start_permit = StartPermit::for_at_most(COLD_START_TIME, permit_to_start);
                let pooled = shared
                    .spawn(place, occupant, start_permit, Settings::default())
                    .inspect_err(|error| shared.lock().circuit.failed(start, error.clone()))?;
                return Ok((self.lease_of(pooled, Origin::Cold, permit), None));
            }
            wanted.get_or_insert_with(|| shared.places.want());
            match shared.evict_if_short() {
                Some(evicted) => evicted.end_quickly(),
                None => freed.await,
            }
        }
    }

    fn leased(&self, (pooled, held): Found, permit: Permit) -> Leased {
        let origin = if held.is_some() { Origin::Live } else { Origin::Warm };
        if origin == Origin::Warm {
            // The maintainer then schedules the replacement, even if this turn never produces a token.
            self.shared.maintainer.notify_one();
        }
        (self.lease_of(pooled, origin, permit), held)
    }

    fn lease_of(&self, mut pooled: PooledProcess, origin: Origin, permit: Permit) -> Lease {
        pooled.counted.end = EndReason::Abandoned;
        pooled.holds_since.get_or_insert_with(Instant::now);
        self.shared.served[origin as usize].fetch_add(1, Ordering::Relaxed);
        Lease::new(pooled, origin, self.clone(), permit)
    }

    async fn wait_in_queue(&self, caller: &Caller) -> Result<Permit, Error> {
        let Config { queue_limit, queue_timeout, max_processes, .. } = self.shared.config;
        let busy = |why: String| busy(format!("all {max_processes} Claude Code processes are busy, and {why}"));
        match tokio::time::timeout(queue_timeout, self.shared.queue.acquire(caller.key, queue_limit)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(queue::Full)) => {
                Err(busy(format!("{queue_limit} requests are waiting already. Try again later, or raise queue_limit.")))
            }
            Err(_) => {
                Err(busy(format!("none was free within {queue_timeout:?}. Try again later, or raise max_processes.")))
            }
        }
    }
}

/// A refusal that is worth retrying soon.
fn busy(why: String) -> Error {
    let message = format!("Rate limit reached for this server: {why}");
    Error::new(ErrorKind::QueueFull, message).with_retry_after(Duration::from_secs(5))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// A live or warm process, with the conversation that it holds, and the dead processes found on the way.
    /// Ends the live processes for which `is_over`.
    fn end_live(&self, mut is_over: impl FnMut(&LiveConversation) -> bool) {
        // Dropped once the lock is released: dropping a process ends it.
        let over: Vec<_> = self.lock().live.extract_if(.., |(_, held)| is_over(held)).collect();
        over.into_iter().for_each(|(pooled, _)| drop(pooled.ending(EndReason::Unanswered)));
    }

    fn find(&self, fits: &mut impl FnMut(&LiveConversation) -> bool) -> (Option<Found>, Vec<PooledProcess>) {
        let mut dead = Vec::new();
        let mut state = self.lock();
        let live = state.find_live(fits, &mut dead);
        if live.is_some() {
            return (live, dead);
        }
        // The oldest warm process is the most likely to be up. The maintainer removes the dead ones.
        let alive = state.warm.iter().position(|warm| !warm.process.has_exited());
        let warm = alive.map(|at| (state.warm.remove(at), None));
        if warm.is_some() {
            state.refill.taken();
        }
        (warm, dead)
    }

    /// Evicts a conversation if requests are short of places, and returns its process: the least recently used one. To begin with
    /// single questions, since most of those are never continued, would spare agents and programs 3 to 17 % of their input tokens, and
    /// cost people, who come back to a first answer as to any other, 4 to 7 % (simulated, recorded arrivals included).
    fn evict_if_short(&self) -> Option<PooledProcess> {
        let mut state = self.lock();
        if !self.places.is_short() || state.live.is_empty() {
            return None;
        }
        Some(state.live.remove(0).0.ending(EndReason::Evicted))
    }

    /// Starts a process, and sends it these settings while it comes up.
    fn spawn(
        &self,
        place: Place,
        occupant: Occupant,
        start_permit: StartPermit,
        expected: Settings,
    ) -> Result<PooledProcess, Error> {
        let started = Instant::now();
        let orphans = Arc::clone(self.orphans.get_or_init(|| Arc::new(Orphans::watch(&self.config))));
        let place = Arc::new(place);
        let until_reaped = Arc::clone(&place);
        let (settings, lines) = expected.ahead().map_or_else(Default::default, |lines| (expected, lines));
        let process = Process::spawn(
            &self.config,
            orphans,
            lines.as_bytes(),
            move || drop(occupant),
            move || drop(until_reaped),
        )?;
        place.set_pid(process.pid);
        Ok(PooledProcess {
            process,
            settings,
            started,
            holds_since: None,
            start_permit: Some(start_permit),
            counted: CountedProcess::started(&self.tally),
        })
    }
}
