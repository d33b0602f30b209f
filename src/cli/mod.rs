//! The inner service: Claude Code as a long-lived process that speaks a line protocol.
//!
//! A request becomes a turn on a process that holds its conversation already, or else on a warm one to which the
//! history is replayed as real turns.
//!
//! The rooms, in the order in which a request passes through them. Each uses only those below it:
//!
//! | room | its idea |
//! |---|---|
//! | `service` | [`ClaudeCli`], the tower service |
//! | `abilities` | what Claude Code makes of the settings of a request |
//! | `config` | what the operator decides |
//! | `turn` | one turn on one process: what it is told, its lines as events, its deadlines and failures |
//! | `pool` | warm and live processes, and the queue for them |
//! | `conversation` | what a process holds between turns, and when a request goes on with that |
//! | `prompt` | what a request is to the CLI: setup, settings, turns, and the client's functions as an MCP server |
//! | `permission` | what Claude Code's own tools may do |
//! | `process` | one child: pipes, group, death, version |
//! | `protocol` | the line protocol as types, without policy |
//! | `rate_limits` | the subscription's usage windows |
//! | `metrics` | the state of all that as metrics |

mod abilities;
mod config;
mod conversation;
#[cfg(feature = "metrics")]
pub mod metrics;
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
pub use rate_limits::{Overage, UsageWindow};
pub use service::ClaudeCli;
