//! What the test programs and the benches stand on: a Messages API on loopback, the two CLIs to test with, scripted turns,
//! servers as processes, and clients that read their answers.

// Each program uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub(crate) mod chat;
pub(crate) mod claude_bin;
pub(crate) mod cli_process;
pub(crate) mod marks;
pub(crate) mod messages_api;
pub(crate) mod pretend_model;
pub(crate) mod process;
pub(crate) mod prompt_cache;
pub(crate) mod schema;
pub(crate) mod script;
pub(crate) mod server_process;
pub(crate) mod stack;
pub(crate) mod transcript;
