//! Everything that can go wrong with the CLI, and what the client hears of it.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code)]

#[path = "support/chat.rs"]
mod chat;
#[path = "support/claude_bin.rs"]
mod claude_bin;
#[path = "support/process.rs"]
mod process;

#[path = "faults/api.rs"]
mod api;
#[path = "faults/lines.rs"]
mod lines;
#[path = "faults/lost.rs"]
mod lost;
#[path = "faults/start.rs"]
mod start;
