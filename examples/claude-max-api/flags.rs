//! The flags, as they are typed and explained.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::duration;

/// The variable for `--api-key`.
pub(crate) const API_KEY: &str = "TOWER_CLAUDE_API_KEY";

const EXAMPLES: &str = "\
Durations are a whole number and a unit: 500ms, 90s, 10m, 1h, 1d; without a unit, seconds.
RUST_LOG sets what is logged to standard error: warn, info (default), debug, tower_claude=debug, ...

Examples:
  claude-max-api                                serve the `claude` on PATH to programs on this machine
  claude-max-api --demo                         try it without an account
  claude-max-api 8080 --warm 2                  another port, and two processes at the ready
  claude-max-api --host 0.0.0.0 --api-key KEY   serve other machines, which must know the key
  claude-max-api --mode agent --workspace ~/project
                                                let Claude Code's own tools work in ~/project

Try it:
  curl http://127.0.0.1:3456/v1/chat/completions -H 'content-type: application/json' \\
    -d '{\"model\": \"sonnet\", \"messages\": [{\"role\": \"user\", \"content\": \"Say hello.\"}]}'";

/// Serves OpenAI's Chat Completions API out of the Claude Code that is installed and logged in on this machine.
#[derive(Debug, Parser)]
#[command(name = "claude-max-api", version, next_line_help = true, after_help = EXAMPLES)]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) listen: Listen,
    #[command(flatten)]
    pub(crate) access: Access,
    #[command(flatten)]
    pub(crate) claude: Claude,
    /// Answer from a built-in stand-in that echoes, instead of Claude: no account, no network
    #[arg(long, help_heading = "Claude Code")]
    pub(crate) demo: bool,
    #[command(flatten)]
    pub(crate) tools: Tools,
    #[command(flatten)]
    pub(crate) processes: Processes,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) connections: Connections,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Where it listens")]
pub(crate) struct Listen {
    /// The port, for short
    #[arg(value_name = "PORT", conflicts_with = "port")]
    pub(crate) positional_port: Option<u16>,
    /// The port; 0 takes one that is free, and the start-up line names it
    #[arg(long, value_name = "PORT", default_value_t = 3456)]
    port: u16,
    /// The address or host name to listen on: 127.0.0.1 is for this machine alone,
    /// 0.0.0.0 for everyone who can reach it
    #[arg(long, verbatim_doc_comment, value_name = "HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,
}

impl Listen {
    /// The port, whichever way it was given.
    pub(crate) fn port(&self) -> u16 {
        self.positional_port.unwrap_or(self.port)
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Who may use it")]
pub(crate) struct Access {
    /// The key that clients must send as `Authorization: Bearer KEY`. Unless it is set,
    /// any key will do, and none. In the variable, other users of this machine do not
    /// see it
    #[arg(long, verbatim_doc_comment, value_name = "KEY", env = API_KEY, hide_env_values = true)]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) api_key: Option<String>,
    /// A web page's origin that may use this server from a browser, such as
    /// https://chat.example; `*` is every page (can be repeated; none by default)
    #[arg(long, verbatim_doc_comment, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// A host name that this server answers to beside localhost and IP addresses, such
    /// as claude.lan (can be repeated; none by default)
    #[arg(long, verbatim_doc_comment, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Claude Code")]
pub(crate) struct Claude {
    /// The Claude Code program, version 2.1.252 or later: a path, or a name to be found
    /// on PATH
    #[arg(
        long,
        verbatim_doc_comment,
        value_name = "PROGRAM",
        env = "CLAUDE_BIN",
        hide_env_values = true,
        default_value = "claude"
    )]
    pub(crate) claude_bin: PathBuf,
    /// What a request for a model that nothing is known about (gpt-4o, ...) gets:
    /// Claude Opus, or 404
    #[arg(long, verbatim_doc_comment, value_name = "WHAT", value_enum, default_value_t = UnknownModel::Opus)]
    pub(crate) unknown_model: UnknownModel,
    /// How often Claude Code itself tries again when the API is overloaded, before the
    /// client is told
    #[arg(long, verbatim_doc_comment, value_name = "TIMES", default_value_t = 1)]
    pub(crate) upstream_retries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum UnknownModel {
    Opus,
    Reject,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Who runs the tools")]
pub(crate) struct Tools {
    /// client: the program that asks runs its own functions, Claude Code touches nothing;
    /// agent: Claude Code's own tools do the work, on this machine, in --workspace
    #[arg(long, verbatim_doc_comment, value_enum, default_value_t = Mode::Client)]
    pub(crate) mode: Mode,
    /// With --mode agent: the directory that Claude Code works in; it must exist
    #[arg(long, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// With --mode agent: which of Claude Code's own tools are on, with commas between
    /// them
    /// [default: Bash,Read,Edit,Write,Glob,Grep,WebSearch,WebFetch]
    #[arg(long, verbatim_doc_comment, value_name = "LIST", value_delimiter = ',')]
    pub(crate) builtin_tools: Option<Vec<String>>,
    /// With --mode agent: say in the answer's reasoning_content which tools are used
    #[arg(long)]
    pub(crate) show_tools: bool,
    /// How long Claude Code waits for the result of a function that the client runs
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::parse_positive)]
    pub(crate) tool_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Mode {
    Client,
    Agent,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Processes")]
pub(crate) struct Processes {
    /// How many Claude Code processes are kept started for whoever comes next; each
    /// takes about 150 MB
    #[arg(long, alias = "warm-processes", verbatim_doc_comment, value_name = "COUNT", default_value_t = 1)]
    pub(crate) warm: usize,
    /// How many there may be in all: at work, waiting for their conversation's next
    /// message, and warm
    #[arg(long, verbatim_doc_comment, value_name = "COUNT", default_value = "8", value_parser = at_least_one)]
    pub(crate) max_processes: usize,
    /// How long a process waits for the next message of its conversation
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    pub(crate) idle_timeout: Duration,
    /// How many requests may wait while all processes are at work; one more gets 429
    #[arg(long = "queue-limit", alias = "queue", value_name = "COUNT", default_value_t = 64)]
    pub(crate) queue_limit: usize,
    /// How long a request may wait for a process before it gets 429
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub(crate) queue_timeout: Duration,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// How long an answer may take to begin, once a process works on it, before the
    /// client gets 504
    #[arg(long, verbatim_doc_comment, value_name = "TIME", default_value = "120s", value_parser = duration::parse_positive)]
    pub(crate) first_token_timeout: Duration,
    /// How long an answer may take in all, once a process works on it
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration::parse_positive)]
    pub(crate) request_timeout: Duration,
    /// The largest request, in MiB; a larger one gets 413
    #[arg(long, value_name = "MIB", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) body_limit: u16,
    /// About how many MiB of answers the Responses API keeps for `previous_response_id`
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=65535))]
    pub(crate) keep_responses: u16,
    /// How long it keeps one; the server's end is their end in any case
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration::parse_positive)]
    pub(crate) keep_responses_for: Duration,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Connections")]
pub(crate) struct Connections {
    /// How many connections there may be at once; one more takes the place of the one
    /// that has been idle longest. Fewer, where the limit of open files is lower
    #[arg(long, verbatim_doc_comment, value_name = "COUNT", default_value = "1024", value_parser = at_least_one)]
    pub(crate) max_connections: usize,
    /// How long a client may read nothing of an answer before its connection is closed;
    /// one that is merely slow is not
    #[arg(long, verbatim_doc_comment, value_name = "TIME", default_value = "60s", value_parser = duration::parse_positive)]
    pub(crate) unread_timeout: Duration,
    /// How long new connections are still taken after SIGINT or SIGTERM,
    /// for load balancers to notice
    #[arg(long, verbatim_doc_comment, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    pub(crate) drain_delay: Duration,
    /// How long answers may go on after that; a second signal ends them at once
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub(crate) shutdown_timeout: Duration,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        parsed => parsed.map_err(|_| "write a whole number".to_owned()),
    }
}

impl Flags {
    /// Reads the command line and the environment. Prints help or what is wrong, and exits, where that is called for.
    pub(crate) fn from_command_line() -> Self {
        let matches = Flags::command().get_matches();
        let flags =
            Flags::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut Flags::command()).exit());
        // A CLAUDE_BIN in the environment is no contradiction: it is there for other days.
        if flags.demo && matches.value_source("claude_bin") == Some(ValueSource::CommandLine) {
            refuse("--demo serves a stand-in, and --claude-bin names a program to serve: leave one of them out".into());
            std::process::exit(2);
        }
        flags
    }
}

/// Says what does not go together, as clap does.
pub(crate) fn refuse(contradiction: String) -> ExitCode {
    let error = Flags::command().error(ErrorKind::ArgumentConflict, contradiction);
    // Nobody is left to tell if this fails.
    let _ = error.print();
    ExitCode::from(2)
}
