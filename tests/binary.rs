//! The reference server as a real process: how it starts, what it answers, how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "../examples/claude-max-api/duration.rs"]
#[allow(dead_code)]
mod duration;
#[path = "support/schema.rs"]
mod schema;
mod support;

#[path = "binary/commands.rs"]
mod commands;
#[path = "binary/connections.rs"]
mod connections;
#[path = "binary/flags.rs"]
mod flags;
#[path = "binary/log.rs"]
mod log;
#[path = "binary/protocol.rs"]
mod protocol;
#[path = "binary/raw.rs"]
mod raw;
#[path = "binary/readme.rs"]
mod readme;
#[path = "binary/serving.rs"]
mod serving;
#[path = "binary/shutdown.rs"]
mod shutdown;
#[path = "binary/start.rs"]
mod start;
#[path = "binary/store.rs"]
mod store;
