//! How many connections, and how they end.

use std::time::Duration;

use clap::Args;

use super::at_least_one;
use crate::duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "Connections")]
pub(crate) struct Connections {
    /// How many connections there may be at once, if the limit of open files allows it; one
    /// more takes the place of the one that has been idle longest
    #[arg(long, verbatim_doc_comment, value_name = "COUNT", default_value = "1024", value_parser = at_least_one)]
    pub(crate) max_connections: usize,
    /// How long a client may read nothing of its answer before it is disconnected; a slow
    /// reader is not
    #[arg(long, verbatim_doc_comment, value_name = "TIME", default_value = "60s", value_parser = duration::parse_positive)]
    pub(crate) unread_timeout: Duration,
    /// How long new connections are still taken after SIGINT or SIGTERM, while /ready
    /// answers 503, so that load balancers notice
    #[arg(long, verbatim_doc_comment, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    pub(crate) drain_delay: Duration,
    /// How long answers may go on after that; a second signal ends them at once
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub(crate) shutdown_timeout: Duration,
}
