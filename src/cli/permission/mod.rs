//! What Claude Code's own tools may do: those on the operator's list, in the workspace, and nothing else.
//!
//! The CLI asks twice. Its **hook** is asked about every use of every tool, and can forbid it. What the hook lets pass, the CLI
//! judges by rules of its own, and asks again about what those do not allow (`can_use_tool`). The hook is needed because the
//! rules allow more than the workspace without asking (2.1.328): what the CLI keeps about the workspace under
//! `~/.claude/projects` and in the temporary directory, transcripts of other sessions included, and, in a shell command, a
//! pattern that matches a link to the outside. The second question is needed because only the CLI knows how it reads a path:
//! if it sees the path leave the workspace, the path does, whatever was seen here.
//!
//! Each decision is logged for the operator: see [`audit`].
//!
//! For the tools that work on files this is a fence. For `Bash` it is only a warning sign: enabling `Bash` gives the model a
//! shell as the server's user.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

mod address;
mod audit;
mod hard_links;
mod input;
mod path;
mod shell;
mod workspace;

use self::hard_links::Elsewhere;
use self::input::Named;
use self::workspace::Workspace;
use super::config::Config;
use super::protocol::{ControlRequest, MCP_TOOL_PREFIX, STRUCTURED_OUTPUT};

/// The hook's id in the CLI's questions.
const CALLBACK: &str = "before_use";

/// How long a decision may take: looking up a name, or walking a large directory, can take more than a moment.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tools that read or change all of what they name.
const OPENING: [&str; 5] = ["Read", "Write", "Edit", "NotebookEdit", "Grep"];

/// The part of `initialize` that makes the CLI ask before each use of a tool. A hook that fails forbids the use.
pub(crate) fn hooks(config: &Config) -> Value {
    // A process may be parked in a client's function while the hook for another tool waits for its answer.
    let timeout = config.tool_timeout.as_secs().max(60);
    json!({"PreToolUse": [{"hookCallbackIds": [CALLBACK], "timeout": timeout, "onFailure": "block"}]})
}

/// The answer to a `hook_callback` or `can_use_tool`, which is also logged. It is worked out on a blocking thread, since it may
/// wait for a disk or a name service.
pub(crate) async fn answer(config: &Config, request: ControlRequest) -> Value {
    let request = Arc::new(request);
    let decision = tokio::task::spawn_blocking({
        let (config, request) = (config.clone(), Arc::clone(&request));
        move || decide(&config, &request)
    });
    let decision =
        match tokio::time::timeout(PATIENCE, decision).await {
            Ok(Ok(decision)) => decision,
            _ => Err("Whether this is allowed could not be decided. Try less at once, such as a smaller directory."
                .to_owned()),
        };
    if is_builtin(request.tool_use().0) {
        audit::log(config, &request, decision.as_ref().err().map(String::as_str));
    }
    reply(&request, decision)
}

/// The decision in the CLI's form.
fn reply(request: &ControlRequest, decision: Result<(), String>) -> Value {
    match (request.is_hook(), decision) {
        // No word on it, which leaves the decision to the CLI's own rules.
        (true, Ok(())) => json!({}),
        (true, Err(reason)) => json!({"hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": reason,
        }}),
        (false, Ok(())) => json!({"behavior": "allow", "updatedInput": request.input}),
        (false, Err(reason)) => json!({"behavior": "deny", "message": reason}),
    }
}

/// Whether this use is allowed, or why not.
fn decide(config: &Config, request: &ControlRequest) -> Result<(), String> {
    let (tool, input) = request.tool_use();
    if !request.is_hook() {
        // The hook has let this use pass, but the CLI's own rules do not allow it.
        return check(config, tool, input, None).and_then(|()| check_ask(config, request));
    }
    if !is_builtin(tool) {
        return Ok(());
    }
    let cwd = request.input["cwd"].as_str().map(PathBuf::from);
    check(config, tool, input, cwd.as_deref())
}

/// Whether it is one of Claude Code's own tools that does something. The client runs its functions itself, and the tool that
/// takes structured output does nothing.
fn is_builtin(tool: &str) -> bool {
    !tool.starts_with(MCP_TOOL_PREFIX) && tool != STRUCTURED_OUTPUT
}

/// Whether the tool is enabled and its input stays in the workspace. `cwd` is the tool's working directory; if it is not
/// known, the words of a shell command are not checked.
fn check(config: &Config, tool: &str, input: &Value, cwd: Option<&Path>) -> Result<(), String> {
    if !config.builtin_tools.iter().any(|enabled| enabled == tool) {
        return Err(format!("The tool {tool} is not enabled on this server. Do without it."));
    }
    for named in input::named(tool, input) {
        match named {
            Named::Path(path) => check_path(config, tool, input, cwd, path)?,
            Named::Pattern(pattern) => {
                check_written(pattern)?;
                let workspace = workspace(config)?;
                if !workspace.holds_all(cwd.unwrap_or(workspace.root()), pattern) {
                    return Err(outside(&workspace, pattern));
                }
            }
            Named::Address(url) => {
                if let Some(why) = address::not_public(url) {
                    return Err(format!(
                        "{url:?} {why}, and only what everybody can reach on the web may be fetched. Do without it."
                    ));
                }
            }
        }
    }
    if tool == "Grep" && input["path"].is_null() {
        check_hard_links(&workspace(config)?, input, cwd.unwrap_or(workspace(config)?.root()))?;
    }
    let Some(command) = input["command"].as_str().filter(|_| tool == "Bash") else { return Ok(()) };
    let workspace = workspace(config)?;
    if input["run_in_background"] == true {
        // It would outlive the answer, and when it ended, the CLI would start a turn that nobody asked for.
        return Err("Commands cannot run in the background on this server. Run this one in the foreground.".to_owned());
    }
    match cwd.and_then(|cwd| shell::leads_out(command, cwd, &workspace)) {
        Some(word) => Err(outside(&workspace, &word)),
        None => Ok(()),
    }
}

fn check_path(config: &Config, tool: &str, input: &Value, cwd: Option<&Path>, path: &str) -> Result<(), String> {
    check_written(path)?;
    let workspace = workspace(config)?;
    let from = cwd.unwrap_or(workspace.root());
    if !workspace.holds(from, path) {
        return Err(outside(&workspace, path));
    }
    if !OPENING.contains(&tool) {
        return Ok(());
    }
    let mut opened = workspace.readings(from, path).map_or_else(Vec::new, Vec::from);
    opened.dedup();
    opened.iter().try_for_each(|path| check_hard_links(&workspace, input, path))
}

/// Whether a path may be judged by how it is written.
fn check_written(path: &str) -> Result<(), String> {
    match path::oddity(path) {
        Some(oddity) => Err(format!("{path:?} {oddity}, and no such path may be used. Write it without that.")),
        None => Ok(()),
    }
}

fn check_hard_links(workspace: &Workspace, input: &Value, path: &Path) -> Result<(), String> {
    match hard_links::elsewhere(path, workspace.root(), input["glob"].as_str()) {
        None => Ok(()),
        Some(Elsewhere::Named(file)) => Err(format!(
            "{} is a file outside the workspace as well, by a hard link, and may not be used. Name other files or directories.",
            file.display()
        )),
        Some(Elsewhere::TooMany) => {
            Err("There are too many files here to look at before. Name a smaller directory.".to_owned())
        }
    }
}

/// What the CLI says about the use that it asks about.
fn check_ask(config: &Config, request: &ControlRequest) -> Result<(), String> {
    if let Some(path) = &request.blocked_path
        && !shell::DEVICES.contains(&path.as_str())
    {
        let workspace = workspace(config)?;
        if !workspace.holds(workspace.root(), path) {
            return Err(outside(&workspace, path));
        }
    }
    let said = request.decision_reason.as_deref();
    match (request.decision_reason_type.as_deref(), request.tool_name.as_str()) {
        // Routine: by default the CLI asks before each change of a file and each fetch.
        (None, _) if said.is_none() => Ok(()),
        // About a command: it cannot tell beforehand what the command will do. If it sees a path, it names that.
        (None | Some("other" | "subcommandResults"), "Bash") => Ok(()),
        (Some("workingDir"), _) => {
            let root = workspace(config)?;
            let root = root.root().display();
            let said = said.unwrap_or("Claude Code sees it lead out of the workspace.");
            Err(format!("Denied: {said} Only what is in the workspace, {root}, may be used. Keep to paths in {root}."))
        }
        _ => {
            let said = said.unwrap_or("Claude Code holds it to be dangerous.");
            Err(format!("Denied, and nobody is there to be asked: {said} Find another way, or tell the user."))
        }
    }
}

fn workspace(config: &Config) -> Result<Workspace, String> {
    let none = || "This server has no workspace, so no file may be used. Tell the user.".to_owned();
    let directory = config.workspace.as_deref().ok_or_else(none)?;
    Workspace::at(directory, home(config, std::env::var_os("HOME"))).map_err(|_| none())
}

/// What the CLI takes `~` for; `None` if it would have to look that up, and then paths that begin with `~` are refused.
fn home(config: &Config, inherited: Option<OsString>) -> Option<PathBuf> {
    let set = config.environment.iter().rev().find(|(name, _)| name == "HOME").map(|(_, home)| home.clone());
    let inherited = inherited.filter(|_| !config.withheld.iter().any(|name| name == "HOME"));
    set.or(inherited).map(PathBuf::from).filter(|home| home.is_absolute())
}

fn outside(workspace: &Workspace, path: &str) -> String {
    let root = workspace.root().display();
    // Where the CLI puts a result that is too long for it. Other sessions' results are beside it.
    if path.contains("/.claude/projects/") && path.contains("/tool-results/") {
        return format!(
            "{path} is outside the workspace. Run it again with less output, or with its output in {root}."
        );
    }
    format!("{path} is outside the workspace, {root}, and only what is in it may be used. Keep to paths in {root}.")
}

#[cfg(test)]
mod tests;
