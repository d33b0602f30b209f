//! The settings file, which may contain the other flags.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Args, Debug)]
#[command(next_help_heading = "Settings in a file")]
pub(crate) struct ConfigFile {
    /// A TOML file with any of these flags, by their long names: max-processes = 4. A flag
    /// or variable that is given counts for more
    /// [default: claude-max-api/config.toml where settings of programs are kept, if it is there]
    #[arg(long, verbatim_doc_comment, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}
