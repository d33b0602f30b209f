//! The whole proxy over the real Claude Code CLI, whose API is a stand-in on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/schema.rs"]
mod schema;
#[path = "support/stack.rs"]
mod stack;
mod support;

#[path = "real_cli/chat.rs"]
mod chat;
#[path = "real_cli/conversations.rs"]
mod conversations;
#[path = "real_cli/edges.rs"]
mod edges;
#[path = "real_cli/failures.rs"]
mod failures;
#[path = "real_cli/fields.rs"]
mod fields;
#[path = "real_cli/functions.rs"]
mod functions;
