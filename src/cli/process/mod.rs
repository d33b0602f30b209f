//! One `claude` process: its pipes, its process group, and its death.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

mod command;
mod directory;
mod life;
mod lines;
mod orphans;
mod version;

use self::directory::{PrivateDirectory, WorkingDirectory};
pub(crate) use self::life::Life;
use self::lines::Lines;
pub(crate) use self::orphans::Orphans;
pub use self::version::Version;
pub(crate) use self::version::ask;
use super::config::Config;
use crate::{Error, ErrorKind};

/// How many lines are taken in while writing before the CLI has to wait.
const INBOX_LINES: usize = 4096;

/// How much of stderr is kept for error messages, in bytes.
const STDERR_TAIL: usize = 2048;

/// How long a process that has closed its stdout may take to close its stderr.
const STDERR_AFTER_EXIT: Duration = Duration::from_millis(500);

/// A running CLI. Dropping it ends it, with its whole process group: see [`Life::end`].
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    stdin: ChildStdin,
    stdout: Lines<ChildStdout>,
    /// Lines that came while something was being written.
    inbox: VecDeque<Bytes>,
    stderr: Arc<Mutex<VecDeque<u8>>>,
    stderr_reader: JoinHandle<()>,
    life: Arc<Life>,
    /// Gone with the process, or with the last of them.
    _directories: (PrivateDirectory, Option<WorkingDirectory>),
}

impl Process {
    /// Starts the CLI, without waiting until it is ready. Must be called in a tokio runtime.
    ///
    /// `first` are lines that wait in its stdin until it reads them, so they must fit into a pipe.
    /// `on_unwanted` is called when it is told to end, and `on_reaped` when it is gone, for whatever reason.
    pub(crate) fn spawn(
        config: &Config,
        orphans: Arc<Orphans>,
        first: &[u8],
        on_unwanted: impl FnOnce() + Send + 'static,
        on_reaped: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Error> {
        let no_directory =
            |error| Error::new(ErrorKind::Cli, format!("Cannot make a private directory for Claude Code: {error}"));
        let private = PrivateDirectory::new(orphans.mark()).map_err(no_directory)?;
        let working = config.workspace.is_none().then(WorkingDirectory::new).transpose().map_err(no_directory)?;
        let directory = working.as_ref().map(|working| &*working.path).or(config.workspace.as_deref());
        let mut command = command::serve(config, directory.unwrap_or(Path::new(".")));
        let (mark, value) = orphans.variable();
        let spawned = command
            .env(mark, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            // When the runtime ends, this has been told to end already; the shell of `orphans` makes sure that it does.
            .kill_on_drop(!config.agent() && !orphans.are_watched())
            .spawn();
        let mut child = spawned.map_err(|error| cannot_start(config, &error))?;
        let (Some(pid), Some(stdin), Some(stdout), Some(stderr)) =
            (child.id(), child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::new(ErrorKind::Cli, "Claude Code ended as soon as it was started."));
        };
        private.note(pid);
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let stderr_reader = tokio::spawn(keep_tail(stderr, tail.clone()));
        let life = Life::of(child, pid, config.agent(), orphans, on_unwanted, on_reaped);
        let stdin = write_first(stdin, first).map_err(|error| {
            life.end();
            Error::new(ErrorKind::Cli, format!("Claude Code takes no input: {error}."))
        })?;
        tracing::debug!(pid, "claude started");
        Ok(Process {
            pid,
            stdin,
            stdout: Lines::new(stdout, config.max_line_length),
            inbox: VecDeque::new(),
            stderr: tail,
            stderr_reader,
            life,
            _directories: (private, working),
        })
    }

    /// What ends it, for code that cannot wait until it is dropped.
    pub(crate) fn life(&self) -> Arc<Life> {
        Arc::clone(&self.life)
    }

    /// Whether it is known to have ended.
    pub(crate) fn has_exited(&self) -> bool {
        self.life.has_exited()
    }

    /// Writes whole lines, reading meanwhile so that neither side waits for the other.
    pub(crate) async fn send(&mut self, lines: &[u8]) -> io::Result<()> {
        self.life.works(true);
        let mut rest = lines;
        let mut open = true;
        while !rest.is_empty() {
            tokio::select! {
                biased;
                written = self.stdin.write(rest) => match written? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => rest = &rest[written..],
                },
                line = self.stdout.next(), if open && self.inbox.len() < INBOX_LINES => match line {
                    Ok(Some(line)) => self.inbox.push_back(line),
                    Ok(None) => open = false,
                    Err(error) => return Err(error),
                },
            }
        }
        self.stdin.flush().await
    }

    /// The next line, or `None` when the process has closed its stdout. Cancel-safe.
    pub(crate) async fn line(&mut self) -> io::Result<Option<Bytes>> {
        match self.inbox.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.stdout.next().await,
        }
    }

    /// Ends it because a request waits for its place.
    pub(crate) fn end_quickly(self) {
        self.life.hurry();
    }

    /// Frees memory between turns: only lines that are still to be read need any. A process parked in a call is, as it sees
    /// it, in the middle of a turn.
    pub(crate) fn shrink(&mut self, is_parked: bool) {
        self.life.works(is_parked);
        self.stdout.shrink();
        self.inbox.shrink_to_fit();
    }

    /// The last it wrote to stderr, after it has closed its stdout. That may come a moment later, but not for long is waited:
    /// a child of its own may hold stderr open.
    pub(crate) async fn stderr_after_exit(&mut self) -> String {
        if !self.stderr_reader.is_finished() {
            let _ = tokio::time::timeout(STDERR_AFTER_EXIT, &mut self.stderr_reader).await;
        }
        self.stderr_tail()
    }

    /// The end of its stderr, for a person to read.
    pub(crate) fn stderr_tail(&self) -> String {
        let tail = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = tail.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.life.end();
    }
}

/// Writes to a pipe that nothing has been written to yet.
fn write_first(stdin: ChildStdin, lines: &[u8]) -> io::Result<ChildStdin> {
    if lines.is_empty() {
        return Ok(stdin);
    }
    let mut pipe = std::process::ChildStdin::from(stdin.into_owned_fd()?);
    io::Write::write_all(&mut pipe, lines)?;
    ChildStdin::from_std(pipe)
}

async fn keep_tail(mut stderr: ChildStderr, tail: Arc<Mutex<VecDeque<u8>>>) {
    let mut read_once = |cx: &mut Context<'_>| {
        // Not kept from one poll to the next: most processes never write to stderr.
        let mut space = [MaybeUninit::uninit(); 1024];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut stderr).poll_read(cx, &mut read))?;
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(read.filled());
        let excess = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..excess);
        Poll::Ready(Ok::<_, io::Error>(read.filled().len()))
    };
    while let Ok(1..) = std::future::poll_fn(&mut read_once).await {}
}

pub(crate) fn cannot_start(config: &Config, error: &io::Error) -> Error {
    let program = config.program.display();
    let advice = match error.kind() {
        io::ErrorKind::NotFound => {
            "Install it with `npm install -g @anthropic-ai/claude-code`, or name the program with `program`."
        }
        io::ErrorKind::PermissionDenied => "Make it executable, or name another with `program`.",
        _ => "Check that it runs by hand: `claude --version`.",
    };
    Error::new(ErrorKind::Cli, format!("Cannot start Claude Code ({program}): {error}. {advice}"))
}
