//! How long and how large requests and answers may be.

use std::time::Duration;

use clap::Args;

use crate::duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// How long an answer may take to begin, once a process works on it; then the client
    /// gets 504
    #[arg(long, verbatim_doc_comment, value_name = "TIME", default_value = "120s", value_parser = duration::parse_positive)]
    pub(crate) first_token_timeout: Duration,
    /// How long an answer may take in all, once a process works on it
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration::parse_positive)]
    pub(crate) request_timeout: Duration,
    /// The largest request, in MiB; a larger one gets 413
    #[arg(long, value_name = "MIB", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) body_limit: u16,
    /// The most memory, in MiB, for all requests together until their answers begin, not
    /// counting the first 64 KiB of each. When it is full, the unfinished request that has held
    /// the most for the longest is cut off with 408; if there is none, the new one gets 503
    #[arg(long, verbatim_doc_comment, value_name = "MIB", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=65535))]
    pub(crate) body_memory: u16,
}
