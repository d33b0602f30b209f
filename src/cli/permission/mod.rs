//! What Claude Code's own tools may do: those on the operator's list, in the workspace, and nothing else.
//!
//! Two questions are answered. The **hook** sees every use of every tool before it happens, and may forbid it. What it lets
//! pass the CLI looks at itself, by its own rules, and asks about what those do not allow (`can_use_tool`). The hook is needed since they allow more than the workspace without asking (2.1.328): what the CLI keeps under
//! `~/.claude/projects` and in the temporary directory for the workspace, other sessions' transcripts included, and, in
//! a shell command, a pattern that matches a link which leads out. And the CLI's question is needed since it knows how it
//! reads a path: where it sees it lead out of the workspace, that is so, whatever we saw.
//!
//! Each decision is logged, for who has to answer for it: see [`audit`].
//!
//! For the tools that work on files this is a fence. For `Bash` it is a warning sign: whoever enables that gives the
//! model a shell with the rights of the server's user.

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

/// The id by which the CLI names the hook.
const CALLBACK: &str = "before_use";

/// How long a decision may take, of which a name that is looked up or a large directory may take more than a moment.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tools that read or change the whole of what they name.
const OPENING: [&str; 5] = ["Read", "Write", "Edit", "NotebookEdit", "Grep"];

/// What `initialize` says so that the CLI asks before each use of a tool. A hook that fails forbids.
pub(crate) fn hooks(config: &Config) -> Value {
    // A process may lie parked in a client's function while the hook of another tool waits to be answered.
    let timeout = config.tool_timeout.as_secs().max(60);
    json!({"PreToolUse": [{"hookCallbackIds": [CALLBACK], "timeout": timeout, "onFailure": "block"}]})
}

/// The answer to a `hook_callback` or to `can_use_tool`, which is logged. It is found on a thread where waiting for a disk or
/// a name service holds nobody up.
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

/// The decision as the CLI is told it.
fn reply(request: &ControlRequest, decision: Result<(), String>) -> Value {
    match (request.is_hook(), decision) {
        // Nothing, which leaves it to the CLI's own rules.
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

/// Whether this may happen, or why not.
fn decide(config: &Config, request: &ControlRequest) -> Result<(), String> {
    let (tool, input) = request.tool_use();
    if !request.is_hook() {
        // The CLI's own rules do not allow this use, which the hook has let pass.
        return check(config, tool, input, None).and_then(|()| check_ask(config, request));
    }
    if !is_builtin(tool) {
        return Ok(());
    }
    let cwd = request.input["cwd"].as_str().map(PathBuf::from);
    check(config, tool, input, cwd.as_deref())
}

/// Whether it is a tool of Claude Code's. The client's functions are the client's to run, and one runs nothing.
fn is_builtin(tool: &str) -> bool {
    !tool.starts_with(MCP_TOOL_PREFIX) && tool != STRUCTURED_OUTPUT
}

/// Whether the tool is enabled and its input stays in the workspace. `cwd` is where the tool is; where that is not
/// known, the words of a shell command are not looked at.
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
        // It would outlive the answer, and its end would start a turn that nobody asked for.
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

/// What the CLI says of the use that it asks about.
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
        // Nothing speaks against it: by default the CLI asks before each change of a file and each fetch.
        (None, _) if said.is_none() => Ok(()),
        // Of a command, that it cannot tell beforehand what comes of it. It says the path where it can see one.
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

/// What the CLI takes `~` for; nothing where it would have to look that up, in which case all of that is refused.
fn home(config: &Config, inherited: Option<OsString>) -> Option<PathBuf> {
    let set = config.environment.iter().rev().find(|(name, _)| name == "HOME").map(|(_, home)| home.clone());
    let inherited = inherited.filter(|_| !config.withheld.iter().any(|name| name == "HOME"));
    set.or(inherited).map(PathBuf::from).filter(|home| home.is_absolute())
}

fn outside(workspace: &Workspace, path: &str) -> String {
    let root = workspace.root().display();
    // Where the CLI puts a result that it finds too long. Other sessions' results lie next to it.
    if path.contains("/.claude/projects/") && path.contains("/tool-results/") {
        return format!(
            "{path} is outside the workspace. Run it again with less output, or with its output in {root}."
        );
    }
    format!("{path} is outside the workspace, {root}, and only what is in it may be used. Keep to paths in {root}.")
}

#[cfg(test)]
mod tests;
