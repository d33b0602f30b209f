//! The settings file, which may contain the other flags.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Args, Debug)]
#[command(next_help_heading = "Settings in a file")]
pub(crate) struct ConfigFile {
    /// A TOML file with any of these flags by their long names, such as `max-processes = 4`.
    /// Flags and variables take precedence
    /// [default: claude-max-api/config.toml in ~/.config (on macOS in
    /// ~/Library/Application Support), if it exists]
    #[arg(long, verbatim_doc_comment, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}
