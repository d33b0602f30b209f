//! A process leased for one turn: how the turn returns it, and how it is recalled from a turn that does not end.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::queue::Permit;
use super::tally::{CountedProcess, EndReason};
use super::{Pool, lock};
use crate::cli::conversation::LiveConversation;
use crate::cli::process::{Life, Process};
use crate::cli::prompt::Settings;
use crate::{Error, ErrorKind};

/// How a request got its process; the value of `x-claude-process`.
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

/// A process of the pool, and the settings that it has been sent.
#[derive(Debug)]
pub(crate) struct PooledProcess {
    pub(crate) process: Process,
    pub(crate) settings: Settings,
    pub(super) started: Instant,
    /// When it began to hold its conversation.
    pub(super) holds_since: Option<Instant>,
    /// Held until the process is up.
    pub(super) start_permit: Option<StartPermit>,
    pub(super) counted: CountedProcess,
}

impl PooledProcess {
    /// Ends the process for a request that waits for its place.
    pub(super) fn end_quickly(self) {
        self.process.end_quickly();
    }

    /// Sets the reason that is counted when this is dropped.
    pub(super) fn ending(mut self, end: EndReason) -> Self {
        self.counted.end = end;
        self
    }

    pub(super) fn ended_by_itself(&self) -> Error {
        let stderr = self.process.stderr_tail();
        let said = if stderr.is_empty() { "nothing".to_owned() } else { stderr };
        Error::new(ErrorKind::Cli, format!("Claude Code ended before it was used. On stderr it said: {said}"))
    }
}

/// The right to start a process. At most as many start at once as there are CPUs: more only slow each other down.
#[derive(Debug)]
pub(super) struct StartPermit(pub(super) JoinHandle<()>);

impl StartPermit {
    /// The first answer shows that a process is up, and ends the right to start it. A process that is asked nothing never
    /// answers, so the right also ends after `limit`.
    pub(super) fn for_at_most(limit: Duration, permit: Permit) -> Self {
        StartPermit(tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            drop(permit);
        }))
    }
}

impl Drop for StartPermit {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A process for the length of one turn. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) pooled: PooledProcess,
    pub(crate) origin: Origin,
    /// `None` once the lease has been recalled.
    hold: Arc<Mutex<Option<Hold>>>,
}

/// What a turn holds besides its process, and releases however it ends.
#[derive(Debug)]
struct Hold {
    pool: Pool,
    /// Whether the turn took a warm process whose replacement still waits for the first token.
    refills: bool,
    _permit: Permit,
}

impl Hold {
    fn first_token(&mut self) {
        if std::mem::take(&mut self.refills) {
            self.pool.shared.lock().refill.first_token();
            self.pool.shared.maintainer.notify_one();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.first_token();
    }
}

/// Takes a lease back from a turn that does not end.
#[derive(Debug)]
pub(crate) struct Recall {
    hold: Weak<Mutex<Option<Hold>>>,
    life: Arc<Life>,
}

impl Recall {
    /// Ends the process and releases the turn's permit. Returns false if the turn was over already.
    pub(crate) fn recall(&self) -> bool {
        let hold = self.hold.upgrade().and_then(|hold| lock(&hold).take());
        let in_time = hold.is_some();
        if in_time {
            self.life.end();
        }
        in_time
    }
}

impl Lease {
    /// Leases a process of the pool, with the permit to keep it busy.
    pub(super) fn new(pooled: PooledProcess, origin: Origin, pool: Pool, permit: Permit) -> Self {
        let hold = Hold { pool, refills: origin == Origin::Warm, _permit: permit };
        Lease { pooled, origin, hold: Arc::new(Mutex::new(Some(hold))) }
    }

    /// For the turn's watchdog.
    pub(crate) fn to_recall(&self) -> Recall {
        Recall { hold: Arc::downgrade(&self.hold), life: self.pooled.process.life() }
    }

    /// The process has reacted to what it was sent: it is up, so starting processes works.
    pub(crate) fn acknowledged(&mut self) {
        if self.origin != Origin::Live
            && let Some(hold) = &*lock(&self.hold)
        {
            hold.pool.shared.lock().circuit.worked();
        }
        self.pooled.start_permit = None;
    }

    /// The process has died before it reacted to anything.
    pub(crate) fn died_unheard(&mut self, error: &Error) {
        if self.origin != Origin::Live
            && let Some(hold) = &*lock(&self.hold)
        {
            let mut state = hold.pool.shared.lock();
            state.circuit.failed(self.pooled.started, error.clone());
            // What it refused may be the settings that were sent ahead of the request.
            state.expected = Settings::default();
        }
    }

    /// The process has ended by itself.
    pub(crate) fn crashed(&mut self) {
        self.pooled.counted.end = EndReason::Crashed;
    }

    /// The turn has failed.
    pub(crate) fn failed(&mut self, error: &Error) {
        let end = &mut self.pooled.counted.end;
        *end = match error.kind() {
            _ if *end == EndReason::Crashed => EndReason::Crashed,
            ErrorKind::FirstTokenTimeout | ErrorKind::RequestTimeout => EndReason::Timeout,
            _ => EndReason::Failed,
        };
    }

    /// The turn has succeeded, but no other can follow it in this process.
    pub(crate) fn unusable(&mut self) {
        self.pooled.counted.end = EndReason::Unusable;
    }

    /// The turn's first token is on its way to the client. A warm process that the turn took may be replaced a moment later;
    /// the replacement is sent this turn's settings, which are now known to work.
    pub(crate) fn first_token(&mut self) {
        if let Some(hold) = &mut *lock(&self.hold) {
            if self.origin != Origin::Live {
                hold.pool.shared.lock().expected = self.pooled.settings.clone();
            }
            hold.first_token();
        }
    }

    /// Ends the turn, and keeps the process for the next message of its conversation, unless it was recalled.
    pub(crate) fn park(self, held: Box<LiveConversation>) {
        let Lease { mut pooled, hold, .. } = self;
        let Some(hold) = lock(&hold).take() else { return };
        pooled.process.shrink(held.pending.is_some());
        pooled.start_permit = None;
        pooled.counted.end = EndReason::WithService;
        let shared = &hold.pool.shared;
        shared.keep(pooled, held);
    }
}
