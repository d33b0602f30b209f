//! The inner service: Claude Code as a long-lived process that speaks a line protocol.
//!
//! A request becomes a turn on the process that already holds its conversation or, failing that, on a warm one, to which the
//! history is replayed as real turns.
//!
//! How to read it: start at `answer` in `service`, the whole life of a request on one page, then follow one line back to the
//! client in `Turn::next`. These are the rooms in the order in which a request passes through them, each using only those
//! below it; an evening is enough:
//!
//! | room | its idea |
//! |---|---|
//! | `service` | [`ClaudeCli`], the tower service |
//! | `abilities` | which settings of a request Claude Code honours, ignores or refuses |
//! | `config` | what the operator decides |
//! | `turn` | one turn on one process: what the process is told, its lines as events, deadlines and failures |
//! | `pool` | warm and live processes, and the queue for them |
//! | `conversation` | what a process holds between turns, and which request continues it |
//! | `prompt` | a request in the CLI's terms: setup, settings, turns, and the client's functions as an MCP server |
//! | `permission` | what Claude Code's own tools may do |
//! | `process` | one child: pipes, group, death, version |
//! | `protocol` | the line protocol as types, without policy |
//! | `rate_limits` | the subscription's usage windows |
//! | `metrics` | the state of all of it as metrics |

mod abilities;
mod config;
mod conversation;
#[cfg(feature = "metrics")]
mod metrics;
mod permission;
mod pool;
mod process;
mod prompt;
mod protocol;
mod rate_limits;
mod service;
mod turn;

pub use config::ClaudeCliBuilder;
pub use pool::{
    ConversationState, ConversationStatus, Health, HealthStatus, NotReady, ProcessCounts, ProcessEvents, ProcessMemory,
    QueueLength, RequestCounts, Status,
};
pub use process::Version;
pub use rate_limits::UsageWindow;
pub use service::ClaudeCli;
