//! The whole proxy over the real Claude Code CLI, whose API is a stand-in on loopback.

mod beside_results;
mod chat;
mod conversations;
mod edges;
mod ends;
mod failures;
mod fields;
mod functions;
mod marks;
#[cfg(target_os = "linux")]
mod messages;
mod prompt_cache;
mod responses;
