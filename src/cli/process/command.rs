//! How a `claude` is started: its arguments and environment. They are the same for every process; no request changes them.

use std::path::Path;

use tokio::process::Command;

use crate::cli::config::Config;
use crate::cli::protocol::MCP_SERVER_TOOLS;

/// The line protocol on stdin and stdout, and nothing of the user's own settings, servers, commands and history.
const ARGUMENTS: [&str; 17] = [
    "--print",
    "--input-format",
    "stream-json",
    "--output-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--no-session-persistence",
    "--setting-sources",
    "",
    "--strict-mcp-config",
    "--disable-slash-commands",
    "--permission-prompt-tool",
    "stdio",
    "--allowed-tools",
    MCP_SERVER_TOOLS,
    "--tools",
];

const ENVIRONMENT: [(&str, &str); 10] = [
    // It would cut descriptions of tools at 2,048 characters (2.1.280) or 4,096 (2.1.332).
    ("CLAUDE_CODE_MAX_MCP_DESCRIPTION_LENGTH", "10000000"),
    ("ENABLE_TOOL_SEARCH", "false"),
    ("DISABLE_AUTO_COMPACT", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    // After a stream breaks off, the CLI would ask again for an answer in one piece: without deltas or usage, and repeating
    // what was already streamed (2.1.328).
    ("CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK", "1"),
    // After a refusal it would tell the model about that and ask it once more, or ask another model (2.1.328).
    ("CLAUDE_CODE_DISABLE_REFUSAL_RETRY", "1"),
    ("CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK", "1"),
    // Notes that earlier sessions left in a workspace would get into every conversation (2.1.328).
    ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1"),
    // A command that outlives its turn would start another turn when it ends.
    ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1"),
    // How often the CLI's runtime looks for memory that it can free, in milliseconds; by itself it does each second. A new
    // conversation then takes 0.16 s less CPU in its first seconds, when others may wait for that, and never more later; for
    // some 15 s it holds 25 MB more (2.1.328).
    ("BUN_GC_TIMER_INTERVAL", "10000"),
];

/// Variables by which a Claude Code session marks the processes it starts. If it inherited them, the CLI would take itself
/// for part of that session.
const SESSION_VARIABLES: [&str; 6] = [
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CODE_EXECPATH",
];

/// `claude` as a server on its stdin and stdout, working in this directory.
pub(super) fn serve(config: &Config, directory: &Path) -> Command {
    let mut command = Command::new(&config.program);
    command.args(&config.args).args(ARGUMENTS).arg(config.builtin_tools.join(",")).current_dir(directory);
    for name in SESSION_VARIABLES {
        command.env_remove(name);
    }
    for name in &config.withheld {
        command.env_remove(name);
    }
    command
        .envs(ENVIRONMENT)
        .env("CLAUDE_CODE_MAX_RETRIES", config.upstream_retries.to_string())
        // Last, so that the operator's settings win.
        .envs(config.environment.iter().map(|(name, value)| (name, value)));
    command
}

/// `claude --version`.
pub(super) fn version(config: &Config) -> Command {
    let mut command = Command::new(&config.program);
    for name in &config.withheld {
        command.env_remove(name);
    }
    command.args(&config.args).arg("--version").envs(config.environment.iter().map(|(name, value)| (name, value)));
    command
}
