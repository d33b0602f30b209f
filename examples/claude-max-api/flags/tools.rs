//! Who runs the tools.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};

use crate::duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "Who runs the tools")]
pub(crate) struct Tools {
    /// client: clients run their own functions, and Claude Code touches nothing here;
    /// agent: Claude Code's own tools work on this machine, in --workspace
    #[arg(long, verbatim_doc_comment, value_enum, default_value_t = Mode::Client)]
    pub(crate) mode: Mode,
    /// With --mode agent: the directory that Claude Code works in; it must exist
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workspace: Option<PathBuf>,
    /// With --mode agent: which of Claude Code's own tools are on, separated by commas
    /// [default: Bash,Read,Edit,Write,Glob,Grep,WebSearch,WebFetch]
    #[arg(long, verbatim_doc_comment, value_name = "LIST", value_delimiter = ',')]
    pub(crate) builtin_tools: Option<Vec<String>>,
    /// With --mode agent: tell in the answer's reasoning_content which tools are used
    #[arg(long)]
    pub(crate) show_tools: bool,
    /// With --mode agent: log Bash commands whole in the audit, not only the program's name;
    /// they may contain what was said
    #[arg(long, verbatim_doc_comment)]
    pub(crate) audit_commands: bool,
    /// How long Claude Code waits for the result of a function that the client runs
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::parse_positive)]
    pub(crate) tool_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Mode {
    Client,
    Agent,
}
