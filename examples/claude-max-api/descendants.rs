//! Waits until everything that this program has started has ended.
//!
//! The last of it ends after this program's work: `claude` takes a moment to end when it is told to, and the library's shell
//! then removes what killed ones leave. But a service manager or a container kills at once whatever is left when this program has
//! ended, and files stay in `~/.claude/sessions` for good.
//!
//! All of it inherits the writing end of a pipe, so that is open as long as any of it runs.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::io::FdFlags;

/// How long they may take. With its own tools on, Claude Code has 3 s to end before it is killed, with what it has started. A service
/// manager is told of 10 s.
const LAST: Duration = Duration::from_secs(8);

/// Everything that this program starts from now on.
#[derive(Debug)]
pub(crate) struct Descendants {
    end: PipeReader,
    /// Inherited by all of them.
    open: PipeWriter,
}

impl Descendants {
    /// Must be called before anything is started.
    pub(crate) fn watch() -> io::Result<Descendants> {
        let (end, open) = io::pipe()?;
        rustix::io::fcntl_setfd(&open, FdFlags::empty())?;
        Ok(Descendants { end, open })
    }

    /// Blocks until all have ended, for `LAST` at most.
    pub(crate) fn wait(self) {
        let Descendants { mut end, open } = self;
        drop(open);
        let (ended, end_comes) = channel::<()>();
        // Without the thread, nobody waits: what is left may still end by itself.
        let _ = std::thread::Builder::new().name("descendants".to_owned()).spawn(move || {
            let _ = end.read(&mut [0]);
            drop(ended);
        });
        if end_comes.recv_timeout(LAST) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("something that Claude Code started still runs {LAST:?} after the end of all answers");
        }
    }
}
