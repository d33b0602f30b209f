//! Which Claude Code answers, and with which model.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

#[derive(Args, Debug)]
#[command(next_help_heading = "Claude Code")]
pub(crate) struct Claude {
    /// The Claude Code program, version 2.1.280 or later: a path, or a name to look up on PATH
    #[arg(
        long,
        verbatim_doc_comment,
        value_name = "PROGRAM",
        value_hint = ValueHint::CommandName,
        env = "CLAUDE_BIN",
        hide_env_values = true,
        default_value = "claude"
    )]
    pub(crate) claude_bin: PathBuf,
    /// What a request for an unknown model (gpt-4o, ...) gets: Claude Opus, or 404
    #[arg(long, verbatim_doc_comment, value_name = "WHAT", value_enum, default_value_t = UnknownModel::Opus)]
    pub(crate) unknown_model: UnknownModel,
    /// How often Claude Code retries when the API is overloaded, before the client is told
    #[arg(long, verbatim_doc_comment, value_name = "TIMES", default_value_t = 1)]
    pub(crate) upstream_retries: u32,
    /// What requests get once the subscription's window is used up, so that they would draw
    /// on the account's extra usage: an answer, or 429 until the window resets
    #[arg(long, verbatim_doc_comment, value_name = "WHAT", value_enum, default_value_t = Overage::Allow)]
    pub(crate) overage: Overage,
    /// Answer from a built-in stand-in that echoes, instead of Claude: no account, no network
    #[arg(long)]
    pub(crate) demo: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Overage {
    Allow,
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum UnknownModel {
    Opus,
    Reject,
}
