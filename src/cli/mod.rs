//! The inner service: Claude Code as a long-lived process that speaks a line protocol.
//!
//! A request becomes a turn on a process that holds its conversation already, or else on a warm one to which the
//! history is replayed as real turns.
//!
//! | file | its idea |
//! |---|---|
//! | `service` | [`ClaudeCli`], the tower service |
//! | `config` | what the operator decides |
//! | `pool` | warm and live processes, and the queue for them |
//! | `process` | one process: pipes, group, death |
//! | `version` | the oldest CLI that is safe |
//! | `line` | its stdout as lines |
//! | `protocol` | its lines as types |
//! | `outgoing` | the lines that it is sent |
//! | `script` | what it is told of a request |
//! | `functions` | the client's functions as an MCP server |
//! | `turn` | one turn on one process: saying, waiting, deadlines |
//! | `answer` | its lines as events |
//! | `calls` | which of the client's calls it is told of, and when |
//! | `conversation` | what a process holds between turns |
//! | `fingerprint` | when a request goes on with that |
//! | `permission` | what Claude Code's own tools may do |
//! | `workspace` | which paths are in the workspace |
//! | `shell` | which paths a shell command names |
//! | `failure` | the CLI's failures as errors |
//! | `watch` | how long a request waited and took, for the log |
//! | `subscription` | the subscription's usage windows |

mod answer;
mod calls;
mod config;
mod conversation;
mod failure;
mod fingerprint;
mod functions;
mod line;
mod outgoing;
mod permission;
mod pool;
mod process;
mod protocol;
mod script;
mod service;
mod shell;
mod subscription;
mod turn;
mod version;
mod watch;
mod workspace;

pub use config::ClaudeCliBuilder;
pub use service::ClaudeCli;
pub use version::Version;
