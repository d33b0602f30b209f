//! The end of a process: who says that it is wanted no more, and who sees that it is gone.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::Child;
use tokio::sync::Notify;

use super::orphans::Orphans;

/// How long a CLI may take to end when it is told to, before it is killed: 0.07 to 0.13 s (2.1.328).
const GRACE: Duration = Duration::from_secs(1);

/// The same for a CLI that has tools of its own, and ends their work first: 0.4 s (2.1.328). The commands that it runs are
/// in sessions of their own, so nobody else knows of them.
const AGENT_GRACE: Duration = Duration::from_secs(3);

/// How long a CLI gets.
pub(super) fn grace(is_agent: bool) -> Duration {
    if is_agent { AGENT_GRACE } else { GRACE }
}

/// What ends a process. A task holds the child, and waits for it.
pub(crate) struct Life {
    pid: u32,
    is_agent: bool,
    orphans: Arc<Orphans>,
    /// Whether it has been told something since its last turn ended.
    is_at_work: AtomicBool,
    has_exited: AtomicBool,
    /// Called once it is to end.
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
        // Whatever it started in its group goes with it.
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

    /// Whether it has something to do.
    pub(super) fn works(&self, works: bool) {
        self.is_at_work.store(works, Ordering::Relaxed);
    }

    /// It is needed out of the way: where somebody removes what it leaves behind, it is killed without being told to end
    /// first, which costs 0.11 s of CPU, a sixth of a fresh conversation (2.1.328).
    pub(super) fn hurry(&self) {
        if self.orphans.are_watched() {
            self.works(true);
        }
    }

    /// Ends it, with its whole group: at once in the middle of a turn, otherwise with SIGTERM, and with SIGKILL where that
    /// does not do. Calls after the first do nothing.
    pub(crate) fn end(&self) {
        let Some(on_unwanted) = self.on_unwanted.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if !self.has_exited() {
            // Asked to end in the middle of a turn, it would still finish what it is at, and ask the API again for it
            // (2.1.328). The commands of an agent are in sessions of their own: only it can end them.
            let at_once = self.is_at_work.load(Ordering::Relaxed) && !self.is_agent;
            self.signal_group(if at_once { Signal::KILL } else { Signal::TERM });
            if at_once {
                // Said here, too: at this program's end nobody is left to see it die.
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
