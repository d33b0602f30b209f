//! A request in the CLI's terms.
//!
//! | file | its idea |
//! |---|---|
//! | `setup` | what a process takes once, with `initialize` |
//! | `schema` | the schema of the answer in words that the CLI takes |
//! | `settings` | what it takes at any time |
//! | `turns` | the conversation as the API's turns |
//! | `blocks` | a message as the API's content blocks |
//! | `changes` | what Claude Code changes of all that |
//! | `marks` | which blocks are marked for the prompt cache |
//! | `mcp` | the client's functions as an MCP server |
//! | `prefix` | what stands before the model's thinking |

mod blocks;
pub(crate) mod changes;
pub(crate) mod marks;
pub(crate) mod mcp;
pub(crate) mod prefix;
pub(crate) mod schema;
mod settings;
mod setup;
mod turns;

pub(crate) use blocks::{is_blank, says};
pub(crate) use settings::Settings;
pub(crate) use setup::{Setup, leading_system};
pub(crate) use turns::{PromptTurn, check, nothing_to_answer, turns};
