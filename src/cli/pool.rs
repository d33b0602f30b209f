//! The processes: warm ones that fit any request, live ones that wait for their conversation, and the queue for both.
//!
//! A permit is the right to one busy process. Whoever holds one is sure to find a process: busy ones are never more
//! than permits, so there is a live conversation, a warm process, or room for one more, or a live one to give way.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::config::Config;
use super::conversation::Held;
use super::process::{self, Process, Version};
use super::prompt::Settings;
use super::rate_limits::Subscription;
use crate::{Error, ErrorKind};

/// The longest pause between attempts to start a process that keeps failing.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// How long a turn that took a warm process has the CPU to itself, at most, before another is started: a start costs
/// 0.6 s of it, which with two cores delays the first token by tens of milliseconds (measured).
const FIRST_TOKEN_PAUSE: Duration = Duration::from_secs(2);

/// How long after its first delta: the client is just being told of that.
const REFILL_PAUSE: Duration = Duration::from_millis(100);

/// How a request came by its process; the value of `x-claude-process`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It held the conversation already.
    Live,
    /// It was started before the request came.
    Warm,
    /// It was started for the request.
    Cold,
}

impl Origin {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Origin::Live => "live",
            Origin::Warm => "warm",
            Origin::Cold => "cold",
        }
    }
}

/// A process that counts toward the most there may be, and what it has been told of settings.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) process: Process,
    pub(crate) settings: Settings,
    _slot: Slot,
}

/// A process for the length of one turn.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) member: Member,
    pub(crate) origin: Origin,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Ends the turn and keeps the process.
    pub(crate) fn into_member(mut self) -> Member {
        self.member.process.rest();
        self.member
    }
}

/// What a lease comes with: the conversation that a live process holds.
pub(crate) type Leased = (Lease, Option<Held>);

/// One place among `max_processes`.
#[derive(Debug)]
struct Slot(Weak<Shared>);

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.total.fetch_sub(1, Ordering::AcqRel);
            shared.freed.notify_waiters();
            shared.keeper.notify_one();
        }
    }
}

/// Shares the processes among requests. Cloning shares the same pool; the last one dropped ends every process.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    state: Mutex<State>,
    permits: Arc<Semaphore>,
    total: AtomicUsize,
    waiting: AtomicUsize,
    /// Wakes requests that wait for a place.
    freed: Notify,
    /// Wakes the task that keeps warm processes and ends those that waited too long.
    keeper: Arc<Notify>,
    keeper_runs: AtomicBool,
    version: OnceCell<Version>,
    served: [AtomicU64; 3],
    subscription: Subscription,
}

#[derive(Debug, Default)]
struct State {
    warm: Vec<Member>,
    live: Vec<(Member, Held)>,
    /// Starts that failed in a row.
    failures: u32,
    /// No warm process is started before this, since starting them fails.
    not_before: Option<Instant>,
    /// Nor before this, since a turn has just begun.
    not_now: Option<Instant>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper.notify_one();
    }
}

impl Pool {
    pub(crate) fn new(config: Config) -> Self {
        let permits = Arc::new(Semaphore::new(config.max_processes));
        Pool {
            shared: Arc::new(Shared {
                config,
                state: Mutex::default(),
                permits,
                total: AtomicUsize::new(0),
                waiting: AtomicUsize::new(0),
                freed: Notify::new(),
                keeper: Arc::new(Notify::new()),
                keeper_runs: AtomicBool::new(false),
                version: OnceCell::new(),
                served: Default::default(),
                subscription: Subscription::default(),
            }),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn subscription(&self) -> &Subscription {
        &self.shared.subscription
    }

    /// The CLI's version, asked once; an error where it is missing or too old.
    pub(crate) async fn version(&self) -> Result<&Version, Error> {
        self.shared.version.get_or_try_init(|| process::ask(&self.shared.config)).await
    }

    /// Starts the task that keeps warm processes. Must be called in a tokio runtime; calls after the first do nothing.
    pub(crate) fn start(&self) {
        if !self.shared.keeper_runs.swap(true, Ordering::AcqRel) {
            tokio::spawn(keep(Arc::downgrade(&self.shared), self.shared.keeper.clone()));
            self.shared.keeper.notify_one();
        }
    }

    /// A process for a turn: the live one for which `fits` says yes, else a warm one, else a new one. Waits in the
    /// queue while all are busy.
    pub(crate) async fn lease(&self, mut fits: impl FnMut(&Held) -> bool) -> Result<Leased, Error> {
        self.start();
        self.version().await?;
        let permit = self.permit().await?;
        loop {
            let freed = self.shared.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let found = {
                let mut state = self.shared.lock();
                self.take(&mut state, &mut fits)
            };
            // What has to give way is dropped, and so killed, only now that the lock is free.
            match found {
                Found::Live(member, held) => return Ok((self.served(member, Origin::Live, permit), Some(*held))),
                Found::Warm(member) => {
                    // It looks again when the pause is over, whether the turn has said anything by then or not.
                    self.shared.keeper.notify_one();
                    return Ok((self.served(member, Origin::Warm, permit), None));
                }
                Found::Room(slot) => {
                    let member = self.shared.spawn(slot).inspect_err(|_| self.shared.start_failed())?;
                    return Ok((self.served(member, Origin::Cold, permit), None));
                }
                Found::Evicted(member) => drop(member),
                Found::Nothing => freed.await,
            }
        }
    }

    fn served(&self, member: Member, origin: Origin, permit: OwnedSemaphorePermit) -> Lease {
        self.shared.served[origin as usize].fetch_add(1, Ordering::Relaxed);
        Lease { member, origin, _permit: permit }
    }

    fn take(&self, state: &mut State, fits: &mut impl FnMut(&Held) -> bool) -> Found {
        // The newest first: where a client asked twice for the same answer, both fit.
        while let Some(at) = state.live.iter().rposition(|(_, held)| fits(held)) {
            let (member, held) = state.live.remove(at);
            if !member.process.has_exited() {
                return Found::Live(member, Box::new(held));
            }
        }
        state.warm.retain(|member| !member.process.has_exited());
        if !state.warm.is_empty() {
            let now = Instant::now();
            if state.not_now.is_none_or(|at| at <= now) {
                state.not_now = Some(now + FIRST_TOKEN_PAUSE);
            }
            // The oldest is the one most surely up.
            return Found::Warm(state.warm.remove(0));
        }
        if let Some(slot) = self.shared.reserve() {
            return Found::Room(slot);
        }
        if state.live.is_empty() { Found::Nothing } else { Found::Evicted(state.live.remove(0).0) }
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let closed = |_| Error::new(ErrorKind::Internal, "The server is shutting down.");
        if let Ok(permit) = self.shared.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let Config { queue, queue_timeout, max_processes, .. } = self.shared.config;
        let busy = |why: String| {
            Error::new(ErrorKind::QueueFull, format!("All {max_processes} Claude Code processes are busy, and {why}"))
                .with_retry_after(Duration::from_secs(5))
        };
        let place = Waiting::enter(&self.shared, queue)
            .ok_or_else(|| busy(format!("{queue} requests are waiting already. Try again later, or raise --queue.")))?;
        let permit = tokio::time::timeout(queue_timeout, self.shared.permits.clone().acquire_owned()).await;
        drop(place);
        match permit {
            Ok(permit) => permit.map_err(closed),
            Err(_) => {
                Err(busy(format!("none was free within {queue_timeout:?}. Try again later, or raise --max-processes.")))
            }
        }
    }

    /// Keeps a process for the next message of its conversation. The least recently kept stand first.
    pub(crate) fn keep(&self, member: Member, held: Held) {
        self.shared.lock().live.push((member, held));
        self.shared.freed.notify_waiters();
        self.shared.keeper.notify_one();
    }

    /// A turn's first delta is on its way, so that the warm process that it took may be replaced, a moment later.
    pub(crate) fn refill(&self) {
        self.shared.lock().not_now = Some(Instant::now() + REFILL_PAUSE);
        self.shared.keeper.notify_one();
    }

    /// A process has answered: starting them works.
    pub(crate) fn start_worked(&self) {
        self.shared.lock().failures = 0;
    }

    /// The state of things, for `GET /health`.
    pub(crate) fn health(&self) -> Value {
        let shared = &self.shared;
        let (warm, live, parked, failures) = {
            let state = shared.lock();
            let parked = state.live.iter().filter(|(_, held)| held.parked.is_some()).count();
            (state.warm.len(), state.live.len() - parked, parked, state.failures)
        };
        let busy = shared.config.max_processes - shared.permits.available_permits();
        let served = |origin: Origin| shared.served[origin as usize].load(Ordering::Relaxed);
        json!({
            "status": if failures > 2 { "degraded" } else { "ok" },
            "claude_code_version": shared.version.get().map(|version| version.to_string()),
            "processes": {
                "busy": busy, "live": live, "parked": parked, "warm": warm,
                "total": shared.total.load(Ordering::Acquire), "max": shared.config.max_processes,
            },
            "queue": {"length": shared.waiting.load(Ordering::Acquire), "max": shared.config.queue},
            "requests": {
                "live": served(Origin::Live), "warm": served(Origin::Warm), "cold": served(Origin::Cold),
            },
            "subscription": shared.subscription.health(),
        })
    }
}

/// What was found under the lock.
enum Found {
    Live(Member, Box<Held>),
    Warm(Member),
    Room(Slot),
    Evicted(Member),
    /// Every place is taken by a process that is not here: one is on its way.
    Nothing,
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(shared: &'a Shared, most: usize) -> Option<Self> {
        let entered = shared.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < most).then_some(n + 1));
        entered.ok().map(|_| Waiting(&shared.waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(self: &Arc<Self>) -> Option<Slot> {
        let most = self.config.max_processes;
        let taken = self.total.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < most).then_some(n + 1));
        taken.ok().map(|_| Slot(Arc::downgrade(self)))
    }

    fn spawn(self: &Arc<Self>, slot: Slot) -> Result<Member, Error> {
        let shared = Arc::downgrade(self);
        let process = Process::spawn(&self.config, move || {
            if let Some(shared) = shared.upgrade() {
                shared.keeper.notify_one();
            }
        })?;
        Ok(Member { process, settings: Settings::default(), _slot: slot })
    }

    fn start_failed(&self) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        let pause = Duration::from_millis(250).saturating_mul(1 << state.failures.min(10));
        state.not_before = Some(Instant::now() + pause.min(LONGEST_BACKOFF));
    }

    /// One round of the keeper's work. Says when the next one is due at the latest.
    fn tend(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let limit = |held: &Held| {
            held.since + if held.parked.is_some() { self.config.tool_timeout } else { self.config.idle_timeout }
        };
        let mut gone = Vec::new();
        let (due, failed);
        {
            let mut state = self.lock();
            let (dead, warm) = state.warm.drain(..).partition(|member| member.process.has_exited());
            state.warm = warm;
            failed = !Vec::is_empty(&dead);
            for member in Vec::<Member>::into_iter(dead) {
                tracing::warn!(stderr = member.process.stderr_tail(), "a warm claude process ended by itself");
                gone.push(member);
            }
            let (old, live) =
                state.live.drain(..).partition(|(member, held)| member.process.has_exited() || limit(held) <= now);
            state.live = live;
            gone.extend(Vec::<(Member, Held)>::into_iter(old).map(|(member, _)| member));
            due = state.live.iter().map(|(_, held)| limit(held)).min();
        }
        if failed {
            self.start_failed();
        }
        drop(gone);
        loop {
            let not_before = {
                let state = self.lock();
                if state.warm.len() >= self.config.warm {
                    return due;
                }
                state.not_before.max(state.not_now).filter(|at| *at > now)
            };
            if let Some(at) = not_before {
                return Some(due.map_or(at, |due| due.min(at)));
            }
            let Some(slot) = self.reserve() else { return due };
            match self.spawn(slot) {
                Ok(member) => {
                    self.lock().warm.push(member);
                    self.freed.notify_waiters();
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot keep a claude process warm");
                    self.start_failed();
                }
            }
        }
    }
}

/// Keeps warm processes and ends those that waited too long, for as long as the pool is there.
async fn keep(shared: Weak<Shared>, keeper: Arc<Notify>) {
    loop {
        let due = match shared.upgrade() {
            None => return,
            Some(strong) => {
                // A CLI that is missing or too old is not started over and over; requests say what is wrong with it.
                let pool = Pool { shared: strong };
                match pool.version().await {
                    Ok(_) => pool.shared.tend(),
                    Err(_) => Some(Instant::now() + LONGEST_BACKOFF),
                }
            }
        };
        match due {
            Some(due) => drop(tokio::time::timeout_at(due, keeper.notified()).await),
            None => keeper.notified().await,
        }
    }
}
