//! How many answers the Responses API keeps, how long, and where.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "Kept responses")]
pub(crate) struct Kept {
    /// How much memory answers may use that the Responses API keeps for
    /// `previous_response_id`, in MiB, roughly
    #[arg(long, verbatim_doc_comment, value_name = "MIB", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=65535))]
    pub(crate) keep_responses: u16,
    /// How long it keeps an answer; without --store, until the server ends at most
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration::parse_positive)]
    pub(crate) keep_responses_for: Duration,
    /// A SQLite database to keep them in as well, across restarts; it is created if it does
    /// not exist. It contains the conversations (default: none)
    #[arg(long, verbatim_doc_comment, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// How large that database may be, in MiB, roughly; what expires first makes room
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) store_limit: u32,
}
