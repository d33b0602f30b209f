//! How many processes, and who waits for them.

use std::time::Duration;

use clap::Args;

use super::at_least_one;
use crate::duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "Processes")]
pub(crate) struct Processes {
    /// How many Claude Code processes are kept ready for new conversations, about 150 MB each;
    /// with 0, each new conversation waits about 0.6 s more
    #[arg(long, alias = "warm-processes", verbatim_doc_comment, value_name = "COUNT", default_value_t = 1)]
    pub(crate) warm: usize,
    /// How many there may be in all: at work, waiting for the next message of their
    /// conversation, and warm; some 110 MB each, and 82 MB shared
    #[arg(long, verbatim_doc_comment, value_name = "COUNT", default_value = "8", value_parser = at_least_one)]
    pub(crate) max_processes: usize,
    /// How long a process waits for the next message of its conversation
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    pub(crate) idle_timeout: Duration,
    /// How many requests may wait while all processes are at work; one more gets 429
    #[arg(long = "queue-limit", alias = "queue", value_name = "COUNT", default_value_t = 64)]
    pub(crate) queue_limit: usize,
    /// How long a request may wait for a process; then it gets 429
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub(crate) queue_timeout: Duration,
}
