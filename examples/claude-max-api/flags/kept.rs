//! How many answers the Responses API keeps, how long, and where.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "Kept responses")]
pub(crate) struct Kept {
    /// About how many MiB of answers the Responses API keeps in memory for
    /// `previous_response_id`
    #[arg(long, verbatim_doc_comment, value_name = "MIB", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=65535))]
    pub(crate) keep_responses: u16,
    /// How long it keeps one; without --store, the server's end is their end in any case
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration::parse_positive)]
    pub(crate) keep_responses_for: Duration,
    /// A file to keep them in as well, so that they are known after a restart: a SQLite
    /// database, made where it is not there. The conversations are in it
    #[arg(long, verbatim_doc_comment, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// About how many MiB that file may hold; what expires first makes room
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) store_limit: u32,
}
