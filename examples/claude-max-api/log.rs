//! The log on standard error, which may be slow, full or closed without anything waiting for it.
//!
//! A separate thread writes the lines. If it cannot keep up (a pipe that nobody reads), lines are dropped and counted; if it
//! cannot write at all (a closed pipe, a full disk), there is no log, and answers go on.
//!
//! tracing-appender has such a thread, but does not say in the log what is missing from it, writes to standard output, or panics
//! there, where the log is stuck at the end (0.2.5), and brings eight more crates for the files that it rotates.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::flags::LogFormat;

/// How many lines may wait to be written.
const WAITING: usize = 4096;

/// How long the end of this program waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where the log goes, for as long as this program runs.
#[derive(Clone)]
pub(crate) struct Log {
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
}

enum Line {
    Text(Vec<u8>),
    /// Dropped when everything before it has been written.
    Mark(SyncSender<()>),
}

impl Log {
    /// Starts to log trace events, as `RUST_LOG` selects them.
    pub(crate) fn start(format: LogFormat) -> Log {
        let (lines, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        // Without the thread nothing is logged, but that is no reason not to serve.
        let _ = std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&waiting, &counted));
        let log = Log { lines, lost };
        let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(log.clone())
            .with_ansi(io::stderr().is_terminal())
            // It would tell of them on standard error, and panic where that fails.
            .log_internal_errors(false);
        match format {
            LogFormat::Text => lines.init(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).init(),
        }
        log
    }

    /// Waits a moment for the lines so far to be written.
    pub(crate) fn flush(&self) {
        let (mark, written) = sync_channel(0);
        if self.lines.try_send(Line::Mark(mark)).is_ok() {
            // Whether they were or not, this program ends.
            let _ = written.recv_timeout(LAST_LINES);
        }
    }
}

fn write(waiting: &Receiver<Line>, lost: &AtomicU64) {
    let mut stderr = io::stderr();
    while let Ok(line) = waiting.recv() {
        let text = match line {
            Line::Text(text) => text,
            Line::Mark(written) => {
                drop(written);
                continue;
            }
        };
        // A disk that is full may have room again later.
        let _ = stderr.write_all(&text);
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            count => {
                let _ = writeln!(stderr, "({count} lines of the log are missing here: it was read too slowly)");
            }
        }
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Log;

    fn make_writer(&'a self) -> &'a Log {
        self
    }
}

/// tracing-subscriber writes each line at once.
impl Write for &Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Line::Text(line.to_owned())) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
