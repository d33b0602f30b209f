//! The end of a process: how it is told to end, and how it is known to be gone.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::Child;
use tokio::sync::Notify;

use super::orphans::Orphans;

/// How long a CLI that is told to end may take before it is killed. It takes 0.07 to 0.13 s (2.1.328).
const GRACE: Duration = Duration::from_secs(1);

/// The same with Claude Code's own tools on, whose work it ends first, in 0.4 s (2.1.328). Only it can: the commands that it
/// runs are in sessions of their own.
const AGENT_GRACE: Duration = Duration::from_secs(3);

/// How long this CLI may take.
pub(super) fn grace(is_agent: bool) -> Duration {
    if is_agent { AGENT_GRACE } else { GRACE }
}

/// Ends a process. The child itself belongs to a task that waits for it.
pub(crate) struct Life {
    pid: u32,
    is_agent: bool,
    orphans: Arc<Orphans>,
    /// Whether it is in the middle of a turn.
    is_at_work: AtomicBool,
    has_exited: AtomicBool,
    /// Called when it is told to end.
    on_unwanted: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    unwanted: Notify,
}

impl Life {
    /// Of a child that leads a group of its own. Must be called in a tokio runtime.
    pub(super) fn of(
        child: Child,
        pid: u32,
        is_agent: bool,
        orphans: Arc<Orphans>,
        on_unwanted: impl FnOnce() + Send + 'static,
        on_reaped: impl FnOnce() + Send + 'static,
    ) -> Arc<Self> {
        let life = Arc::new(Life {
            pid,
            is_agent,
            orphans,
            is_at_work: AtomicBool::new(false),
            has_exited: AtomicBool::new(false),
            on_unwanted: Mutex::new(Some(Box::new(on_unwanted))),
            unwanted: Notify::new(),
        });
        tokio::spawn(Arc::clone(&life).reap(child, on_reaped));
        life
    }

    async fn reap(self: Arc<Self>, mut child: Child, on_reaped: impl FnOnce()) {
        let status = tokio::select! {
            status = child.wait() => status,
            () = self.unwanted.notified() => match tokio::time::timeout(grace(self.is_agent), child.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    self.signal_group(Signal::KILL);
                    child.wait().await
                }
            },
        };
        self.has_exited.store(true, Ordering::Release);
        // Whatever it started in its group ends with it.
        self.signal_group(Signal::KILL);
        tracing::debug!(pid = self.pid, ?status, "claude ended");
        if !status.is_ok_and(|status| status.success()) {
            self.orphans.killed(self.pid);
        }
        on_reaped();
    }

    /// Whether it is known to have ended.
    pub(super) fn has_exited(&self) -> bool {
        self.has_exited.load(Ordering::Acquire)
    }

    /// Notes whether it is in the middle of a turn.
    pub(super) fn works(&self, works: bool) {
        self.is_at_work.store(works, Ordering::Relaxed);
    }

    /// Its place is wanted now, so it is killed without being told to end first, which would cost 0.11 s of CPU, a sixth of a
    /// fresh conversation (2.1.328). Only where `orphans` removes what a killed process leaves behind.
    pub(super) fn hurry(&self) {
        if self.orphans.are_watched() {
            self.works(true);
        }
    }

    /// Ends it, with its whole group: with SIGKILL in the middle of a turn, otherwise with SIGTERM first, and with SIGKILL if
    /// that is not enough. Calls after the first do nothing.
    pub(crate) fn end(&self) {
        let Some(on_unwanted) = self.on_unwanted.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if !self.has_exited() {
            // Told to end in the middle of a turn, it would finish that first, and ask the API again to do so (2.1.328). The
            // commands of an agent are in sessions of their own: only it can end them.
            let at_once = self.is_at_work.load(Ordering::Relaxed) && !self.is_agent;
            self.signal_group(if at_once { Signal::KILL } else { Signal::TERM });
            if at_once {
                // Noted here as well: when this program ends, no task is left to see it die.
                self.orphans.killed(self.pid);
            }
        }
        self.unwanted.notify_one();
        on_unwanted();
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // ESRCH: nothing is left of it.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Life").field("pid", &self.pid).field("has_exited", &self.has_exited).finish_non_exhaustive()
    }
}
