//! What the operator decides about the CLI: the builder of [`ClaudeCli`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::ClaudeCli;

/// The fields of [`ClaudeCliBuilder`], fixed once the service runs.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) withheld: Vec<OsString>,
    pub(crate) warm_processes: usize,
    pub(crate) max_processes: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) queue_limit: usize,
    pub(crate) queue_timeout: Duration,
    pub(crate) tool_timeout: Duration,
    pub(crate) first_token_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) unread_timeout: Duration,
    pub(crate) upstream_retries: u32,
    pub(crate) refuse_overage: bool,
    pub(crate) max_line_length: usize,
    pub(crate) workspace: Option<PathBuf>,
    pub(crate) builtin_tools: Vec<String>,
    pub(crate) audit_commands: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            program: PathBuf::from("claude"),
            args: Vec::new(),
            environment: Vec::new(),
            withheld: Vec::new(),
            warm_processes: 1,
            max_processes: 8,
            idle_timeout: Duration::from_secs(600),
            queue_limit: 64,
            queue_timeout: Duration::from_secs(30),
            tool_timeout: Duration::from_secs(3600),
            first_token_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(900),
            unread_timeout: Duration::from_secs(300),
            upstream_retries: 1,
            refuse_overage: false,
            max_line_length: 64 * 1024 * 1024,
            workspace: None,
            builtin_tools: Vec::new(),
            audit_commands: false,
        }
    }
}

impl Config {
    /// Whether Claude Code's own tools are on.
    pub(crate) fn agent(&self) -> bool {
        !self.builtin_tools.is_empty()
    }
}

/// Configures a [`ClaudeCli`]; made by [`ClaudeCli::builder`].
///
/// ```
/// use std::time::Duration;
///
/// use tower_claude::cli::ClaudeCli;
///
/// // Nothing is started before the first request, or `warm_up`.
/// let claude = ClaudeCli::builder()
///     .program("/opt/claude/bin/claude")
///     .warm_processes(2)
///     .max_processes(20)
///     .request_timeout(Duration::from_secs(300))
///     .build();
/// assert_eq!(claude.health().processes.max, 20);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "call `build`"]
pub struct ClaudeCliBuilder {
    config: Config,
}

impl ClaudeCliBuilder {
    /// The program to run: a path, or a name to be found on `PATH`. Default: `claude`.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        // The CLI does not run in this directory, so a path relative to it would find nothing there.
        let is_name = program.components().count() == 1 && !program.has_root();
        let absolute = if is_name { None } else { std::path::absolute(&program).ok() };
        self.config.program = absolute.unwrap_or(program);
        self
    }

    /// Adds an argument before the crate's own, for a program that stands in for `claude`. Default: none.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.config.args.push(arg.into());
        self
    }

    /// Adds arguments, as [`arg`](Self::arg) does one.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.config.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment of every process, besides those it inherits. Default: none.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.config.environment.push((name.into(), value.into()));
        self
    }

    /// Removes a variable of this program's environment from that of every process. Default: only the variables by which a
    /// Claude Code session marks the processes that it starts.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.config.withheld.push(name.into());
        self
    }

    /// How many processes are kept ready for new conversations. Default: 1. Each takes about 150 MB.
    ///
    /// While it comes up, each is sent the model, effort and limits of the last new conversation, since sending them with
    /// the next would delay its first token by about 14 ms (Claude Code 2.1.328). What a request does not want of them is
    /// undone before it is answered. Claude Code checks a model that is not in its own list with a request to the API.
    pub fn warm_processes(mut self, processes: usize) -> Self {
        self.config.warm_processes = processes;
        self
    }

    /// How many processes there may be in all: busy, parked, live and warm together. Default: 8, at least 1. Each has some 110 MB
    /// of its own after some turns, and 82 MB that all of them share (2.1.328).
    pub fn max_processes(mut self, processes: usize) -> Self {
        self.config.max_processes = processes.max(1);
        self
    }

    /// How long a process waits for the next message of its conversation. Default: 10 minutes.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// How many requests may wait while all processes are busy; one more is refused with 429. Default: 64.
    pub fn queue_limit(mut self, requests: usize) -> Self {
        self.config.queue_limit = requests;
        self
    }

    /// How long a request may wait for a process before it is refused with 429. Default: 30 seconds.
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.config.queue_timeout = timeout;
        self
    }

    /// How long a process waits, parked in a function call, for the client's result. Default: 1 hour.
    pub fn tool_timeout(mut self, timeout: Duration) -> Self {
        self.config.tool_timeout = timeout;
        self
    }

    /// How long an answer may take to begin, once a process works on it, before it fails with 504. Default: 120 seconds.
    pub fn first_token_timeout(mut self, timeout: Duration) -> Self {
        self.config.first_token_timeout = timeout;
        self
    }

    /// How long an answer may take in all, once a process works on it, whether or not anybody reads it. Default: 15
    /// minutes.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.config.request_timeout = timeout;
        self
    }

    /// How long an event of an answer may wait for anybody to read it. Then the turn fails, and its process is free for
    /// others. This ends the turns of clients that have stopped reading, not of those that read slowly: a server asks for
    /// more each time the system has room for what it writes. Default: 5 minutes.
    ///
    /// The check runs twice in this time, so a turn may last up to half as long again.
    pub fn unread_timeout(mut self, timeout: Duration) -> Self {
        self.config.unread_timeout = timeout;
        self
    }

    /// How often the CLI itself retries when the API is overloaded or limits the rate. Default: 1, so the client hears of it
    /// soon and can retry itself. The CLI's own default is 10.
    pub fn upstream_retries(mut self, retries: u32) -> Self {
        self.config.upstream_retries = retries;
        self
    }

    /// Whether requests are refused, with 429 and the code `overage`, once the subscription's window is used up and they would
    /// draw on the account's extra usage, which is charged for. Default: they are answered.
    ///
    /// Claude Code reports extra usage only with an answer that has already drawn on it; the requests after that are refused
    /// until the window resets.
    pub fn refuse_overage(mut self, refuse: bool) -> Self {
        self.config.refuse_overage = refuse;
        self
    }

    /// The longest line that is read from the CLI, in bytes; a longer one fails the request. Default: 64 MiB.
    pub fn max_line_length(mut self, bytes: usize) -> Self {
        self.config.max_line_length = bytes;
        self
    }

    /// The directory that the CLI works in. Default: a private, empty one for each process.
    pub fn workspace(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.workspace = Some(directory.into());
        self
    }

    /// Turns on these of Claude Code's own tools, such as `Bash` or `Read`, within the [workspace](Self::workspace).
    /// Default: none. With any of them the CLI keeps its own system prompt, and the client's is appended to it.
    ///
    /// Every use of one is decided here before it happens: it must be one of these tools, and each path in its input must
    /// be in the workspace once `..` and symbolic links have been followed. The model is told what was refused, and why.
    /// What Claude Code itself considers dangerous, such as writing to `.git/hooks`, is refused too. Settings, hooks
    /// and instructions that lie in the workspace are not read. Without a workspace, whatever touches files is refused.
    ///
    /// - A path with white space at an end of one of its parts, or with a control character in it, is refused, since Claude
    ///   Code may read it otherwise than it is written.
    /// - A file with a hard link outside the workspace is neither read nor changed, nor is a directory searched in which
    ///   such a file would be.
    /// - `WebFetch` reaches only public hosts: `http` and `https`, by a name whose addresses are public when it is looked
    ///   up, or by a public address in its usual form. Loopback, link-local, private and other special addresses are
    ///   refused, and with them the metadata services of clouds; so are single-label names and those that end in
    ///   `.localhost`, `.local`, `.internal` or the like. Claude Code reports redirects to other hosts to the model, which
    ///   has to ask again. A name that changes its address between the look-up here and the fetch gets past this.
    /// - A path could be replaced by a link between this check and its use, by anyone who can make links in the workspace; of
    ///   the tools, only `Bash` can. Claude Code checks the path again as it opens it.
    ///
    /// For `Bash` this is a best effort: a command whose words lead out of the workspace is refused, but a command can
    /// build a path as it runs, and a program that it starts can open any file. **Enabling `Bash` gives the model, and
    /// anyone who can send requests, a shell as this process's user.** If that is too much, run the server in a container or
    /// as a separate user.
    pub fn builtin_tools<T: Into<String>>(mut self, tools: impl IntoIterator<Item = T>) -> Self {
        self.config.builtin_tools = tools.into_iter().map(Into::into).collect();
        self
    }

    /// Whether the audit records `Bash` commands in full. Default: no, since they may quote the conversation; it records only
    /// the name of a command's first program.
    ///
    /// The audit is a `tracing` event with the target `audit` for each decision on a built-in tool: the tool, `allowed` or
    /// `denied` and why, the paths or hosts that it names, and the id of its use. If a use is allowed and Claude Code then
    /// asks about it on its own account, a second event (`decided_on="question"`) records the decision that stands.
    pub fn audit_commands(mut self, whole: bool) -> Self {
        self.config.audit_commands = whole;
        self
    }

    /// The service. Its warm processes start with the first request, or with [`ClaudeCli::warm_up`].
    pub fn build(self) -> ClaudeCli {
        ClaudeCli::new(self.config)
    }
}
