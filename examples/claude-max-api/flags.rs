//! What the server can be told: the command line's flags with their help, and the settings of a file.

use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, ValueEnum, ValueHint};
use serde::{Deserialize, Serialize};

use crate::config::values;
use crate::duration;

/// The variable for `--api-key`.
pub(crate) const API_KEY: &str = "TOWER_CLAUDE_API_KEY";

// Every setting, by the name that its flag and a settings file have for it. Clap knows no defaults: it changes what is given, and
// leaves the rest as the file or `Flags::default` has it. (Documentation here would be the help of each command.)
#[derive(Args, Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Flags {
    /// The same as --port
    #[arg(help_heading = "Who can reach it", value_name = "PORT", conflicts_with = "port", hide_short_help = true)]
    #[serde(skip)]
    pub(crate) positional_port: Option<u16>,
    /// The port; 0 takes a free one
    ///
    /// The start-up line names the one that was taken.
    #[arg(help_heading = "Who can reach it", long, value_name = "PORT")]
    pub(crate) port: u16,
    /// The address or host name to listen on
    ///
    /// 127.0.0.1 is for this machine alone, 0.0.0.0 for everyone who can reach it.
    #[arg(help_heading = "Who can reach it", long, value_name = "HOST")]
    pub(crate) host: String,

    /// The key that clients must send
    ///
    /// As `Authorization: Bearer KEY` or `x-api-key: KEY`. Without this and --api-key-file, any key is taken, or none.
    /// Other users of this machine can see the flag, but not the variable.
    #[arg(help_heading = "Who can reach it", long, value_name = "KEY", env = API_KEY, hide_env_values = true)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) api_key: Option<String>,
    /// A file of keys, a `name:key` or `key` a line
    ///
    /// The name is in the log and the metrics, the key never. Blank lines and lines that begin with # are skipped.
    #[arg(help_heading = "Who can reach it", long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) api_key_file: Option<PathBuf>,
    /// A web page's origin that may use this server
    ///
    /// Such as https://chat.example, or `*` for every page. Can be repeated; by default there is none.
    #[arg(help_heading = "Who can reach it", long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// A host name that this server answers to
    ///
    /// Such as claude.lan, besides localhost and IP addresses. Can be repeated; by default there is none.
    #[arg(help_heading = "Who can reach it", long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,

    /// The Claude Code program
    ///
    /// Version 2.1.321 or later: a path, or a name to look up on PATH.
    #[arg(help_heading = "Claude Code", long, value_name = "PROGRAM", value_hint = ValueHint::CommandName)]
    #[arg(env = "CLAUDE_BIN", hide_env_values = true)]
    pub(crate) claude_bin: PathBuf,
    /// Answer from a stand-in that echoes, not Claude
    ///
    /// It takes no account and no network.
    #[arg(help_heading = "Claude Code", long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, hide_possible_values = true, value_name = "true|false")]
    pub(crate) demo: bool,
    /// What a request for an unknown model gets
    ///
    /// Such as gpt-4o: Claude Opus, or 404.
    #[arg(help_heading = "Claude Code", long, value_name = "opus|reject", hide_possible_values = true)]
    pub(crate) unknown_model: UnknownModel,
    /// Whether requests may draw on extra usage
    ///
    /// What they get once the subscription's window is used up: an answer, or 429 until the window resets.
    #[arg(help_heading = "Claude Code", long, value_name = "allow|refuse", hide_possible_values = true)]
    pub(crate) overage: Overage,
    /// Who runs the tools
    ///
    /// client: clients run their own functions, and Claude Code touches nothing here; agent: Claude Code's own tools work on
    /// this machine, in --workspace.
    #[arg(help_heading = "Claude Code", long, value_name = "client|agent", hide_possible_values = true)]
    pub(crate) mode: Mode,
    /// The directory of --mode agent
    ///
    /// Claude Code's tools work in it; it must exist.
    #[arg(help_heading = "Claude Code", long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workspace: Option<PathBuf>,
    /// The tools of --mode agent, with commas
    ///
    /// Which of Claude Code's own are on [default: Bash,Read,Edit,Write,Glob,Grep,WebSearch,WebFetch]
    #[arg(help_heading = "Claude Code", long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) builtin_tools: Option<Vec<String>>,
    /// Tell in the answer which of them are used
    ///
    /// With --mode agent, in `reasoning_content`.
    #[arg(help_heading = "Claude Code", long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, hide_possible_values = true, value_name = "true|false")]
    pub(crate) show_tools: bool,

    /// How many processes are kept ready
    ///
    /// For new conversations, about 150 MB each; with 0, each new conversation waits about 0.6 s more.
    #[arg(help_heading = "Limits", long, alias = "warm-processes", value_name = "COUNT")]
    pub(crate) warm: usize,
    /// How many processes there may be
    ///
    /// In all: at work, waiting for the next message of their conversation, and warm; some 110 MB each, and 82 MB shared.
    #[arg(help_heading = "Limits", long, value_name = "COUNT")]
    pub(crate) max_processes: NonZeroUsize,
    /// How long a process waits for its next message
    ///
    /// Then it ends, and its conversation is replayed if it goes on.
    #[arg(help_heading = "Limits", long, value_name = "TIME", value_parser = duration::parse)]
    #[serde(with = "duration")]
    pub(crate) idle_timeout: Duration,
    /// How many requests may wait for a process
    ///
    /// While all are at work; one more gets 429.
    #[arg(help_heading = "Limits", long, alias = "queue", value_name = "COUNT")]
    pub(crate) queue_limit: usize,
    /// How long an answer may take to begin
    ///
    /// Once a process works on it; then the client gets 504.
    #[arg(help_heading = "Limits", long, value_name = "TIME", value_parser = duration::parse_positive)]
    #[serde(with = "duration::positive")]
    pub(crate) first_token_timeout: Duration,
    /// How long an answer may take in all
    ///
    /// Once a process works on it.
    #[arg(help_heading = "Limits", long, value_name = "TIME", value_parser = duration::parse_positive)]
    #[serde(with = "duration::positive")]
    pub(crate) request_timeout: Duration,
    /// The largest request, in MiB
    ///
    /// A larger one gets 413.
    #[arg(help_heading = "Limits", long, value_name = "MIB")]
    pub(crate) body_limit: NonZeroU16,

    /// A database for the Responses API's answers
    ///
    /// It keeps them across restarts, in SQLite; it is created if it does not exist, and contains the conversations. By
    /// default they are kept in memory alone.
    #[arg(help_heading = "The server", long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) store: Option<PathBuf>,
    /// How long it still serves after a signal
    ///
    /// After SIGINT or SIGTERM new connections are taken for so long, while /ready answers 503, so that load balancers notice.
    #[arg(help_heading = "The server", long, value_name = "TIME", value_parser = duration::parse)]
    #[serde(with = "duration")]
    pub(crate) drain_delay: Duration,
    /// How long answers may go on after that
    ///
    /// A second signal ends them at once.
    #[arg(help_heading = "The server", long, value_name = "TIME", value_parser = duration::parse)]
    #[serde(with = "duration")]
    pub(crate) shutdown_timeout: Duration,
    /// What the log on standard error looks like
    ///
    /// Text for people, or one JSON object a line for programs.
    #[arg(help_heading = "The server", long, value_name = "text|json", hide_possible_values = true)]
    pub(crate) log_format: LogFormat,
    /// A TOML file with these settings
    ///
    /// By the flags' long names, such as `max-processes = 4`; a few rare ones can be set there alone. Flags and variables take
    /// precedence. [default: claude-max-api/config.toml in ~/.config (on macOS in ~/Library/Application Support), if it exists]
    #[arg(help_heading = "The server", long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,

    // What only a file can set; operating.md explains them.
    #[arg(skip)]
    #[serde(with = "duration")]
    pub(crate) queue_timeout: Duration,
    #[arg(skip)]
    #[serde(with = "duration::positive")]
    pub(crate) tool_timeout: Duration,
    #[arg(skip)]
    pub(crate) upstream_retries: u32,
    #[arg(skip)]
    pub(crate) audit_commands: bool,
    #[arg(skip)]
    pub(crate) body_memory: u16,
    #[arg(skip)]
    pub(crate) max_connections: usize,
    #[arg(skip)]
    #[serde(with = "duration::positive")]
    pub(crate) unread_timeout: Duration,
    #[arg(skip)]
    pub(crate) store_limit: u32,
}

impl Default for Flags {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Flags {
            positional_port: None,
            port: 3456,
            host: "127.0.0.1".to_owned(),
            api_key: None,
            api_key_file: None,
            allow_origin: Vec::new(),
            allow_host: Vec::new(),
            claude_bin: PathBuf::from("claude"),
            demo: false,
            unknown_model: UnknownModel::Opus,
            overage: Overage::Allow,
            mode: Mode::Client,
            workspace: None,
            builtin_tools: None,
            show_tools: false,
            warm: 1,
            max_processes: const { NonZeroUsize::new(8).unwrap() },
            idle_timeout: 10 * MINUTE,
            queue_limit: 64,
            first_token_timeout: 2 * MINUTE,
            request_timeout: 15 * MINUTE,
            body_limit: const { NonZeroU16::new(32).unwrap() },
            store: None,
            drain_delay: Duration::ZERO,
            shutdown_timeout: MINUTE / 2,
            log_format: LogFormat::Text,
            config: None,
            queue_timeout: MINUTE / 2,
            tool_timeout: 60 * MINUTE,
            upstream_retries: 1,
            audit_commands: false,
            body_memory: 256,
            max_connections: 1024,
            unread_timeout: MINUTE,
            store_limit: 1024,
        }
    }
}

impl Flags {
    /// The command with these flags, whose help tells of their defaults.
    pub(crate) fn add_to(command: clap::Command) -> clap::Command {
        let defaults = values(&Flags::default());
        Flags::augment_args_for_update(command).mut_args(|arg| {
            let default = defaults.iter().find(|(name, _)| arg.get_long() == Some(name));
            let Some(default) = default.and_then(|(_, default)| default.as_ref()) else { return arg };
            if default.is_array() || default.as_bool() == Some(false) {
                return arg;
            }
            let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            let [short, long] = [arg.get_help(), arg.get_long_help()]
                .map(|help| format!("{} [default: {default}]", help.cloned().unwrap_or_default()));
            if arg.get_long_help().is_some() { arg.help(short).long_help(long) } else { arg.help(short) }
        })
    }

    /// The paths among them. A program that is to be looked up on PATH is none.
    pub(crate) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let program = Some(&mut self.claude_bin).filter(|program| program.components().count() > 1);
        program.into_iter().chain(&mut self.api_key_file).chain(&mut self.workspace).chain(&mut self.store)
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Overage {
    Allow,
    Refuse,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UnknownModel {
    Opus,
    Reject,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Client,
    Agent,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}
