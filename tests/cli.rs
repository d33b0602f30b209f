//! `ClaudeCli` as a service of chat requests, with stand-ins for the CLI as real child processes.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code)]

#[path = "support/chat.rs"]
mod chat;
#[path = "support/claude_bin.rs"]
mod claude_bin;
#[path = "support/process.rs"]
mod process;

#[path = "cli/birth.rs"]
mod birth;
#[path = "cli/functions.rs"]
mod functions;
#[path = "cli/live.rs"]
mod live;
#[path = "cli/places.rs"]
mod places;
#[path = "cli/pool.rs"]
mod pool;
#[path = "cli/recognition.rs"]
mod recognition;
#[path = "cli/replay.rs"]
mod replay;
