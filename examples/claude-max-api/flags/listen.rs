//! Where the server listens.

use clap::Args;

#[derive(Args, Debug)]
#[command(next_help_heading = "Where it listens")]
pub(crate) struct Listen {
    /// The same as --port
    #[arg(value_name = "PORT", conflicts_with = "port")]
    pub(crate) positional_port: Option<u16>,
    /// The port; 0 takes a free one, which the start-up line names
    #[arg(long, value_name = "PORT", default_value_t = 3456)]
    port: u16,
    /// The address or host name to listen on: 127.0.0.1 is for this machine alone,
    /// 0.0.0.0 for everyone who can reach it
    #[arg(long, verbatim_doc_comment, value_name = "HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,
}

impl Listen {
    /// The port, whichever way it was given.
    pub(crate) fn port(&self) -> u16 {
        self.positional_port.unwrap_or(self.port)
    }
}
