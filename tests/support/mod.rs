//! What several test binaries stand on: a Messages API on loopback, the two CLIs to test with, servers as processes.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub(crate) mod claude_bin;
pub(crate) mod cli_process;
pub(crate) mod messages_api;
pub(crate) mod pretend_model;
pub(crate) mod server_process;
pub(crate) mod transcript;
