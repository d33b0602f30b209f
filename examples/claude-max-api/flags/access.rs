//! Who may use the server.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// The variable for `--api-key`.
pub(crate) const API_KEY: &str = "TOWER_CLAUDE_API_KEY";

#[derive(Args, Debug)]
#[command(next_help_heading = "Who may use it")]
pub(crate) struct Access {
    /// The key that clients must send, as `Authorization: Bearer KEY` or `x-api-key: KEY`.
    /// Without this and --api-key-file, any key is taken, or none. Other users of this
    /// machine can see the flag, but not the variable
    #[arg(long, verbatim_doc_comment, value_name = "KEY", env = API_KEY, hide_env_values = true)]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) api_key: Option<String>,
    /// A file of keys that clients may send, one `name:key` or `key` a line. The name is in the
    /// log and the metrics, the key never. Blank lines and lines that begin with # are skipped
    #[arg(long, verbatim_doc_comment, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) api_key_file: Option<PathBuf>,
    /// The origin of a web page that may use this server from a browser, such as
    /// https://chat.example, or `*` for every page (can be repeated; default: none)
    #[arg(long, verbatim_doc_comment, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// A host name that this server answers to besides localhost and IP addresses, such
    /// as claude.lan (can be repeated; default: none)
    #[arg(long, verbatim_doc_comment, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
}
