//! What an operator looks at the server with: a browser, and Prometheus.

mod browser;
mod page;
mod prometheus;

use crate::support::claude_bin::stand_in;
use crate::support::server_process::{ServerProcess, example};

/// A server with the stand-in behind it.
async fn server(args: &[&str]) -> ServerProcess {
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "0"]).args(args).env("CLAUDE_BIN", stand_in());
    ServerProcess::start(command).await
}
