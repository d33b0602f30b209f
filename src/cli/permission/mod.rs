//! What Claude Code's own tools may do: those on the operator's list, in the workspace, and nothing else.
//!
//! Two questions are answered. The **hook** ([`before_use`]) sees every use of every tool before it happens, and may
//! forbid it. What it lets pass the CLI looks at itself, by its own rules, and asks [`may_use`] about what those do not
//! allow. The hook is needed since they allow more than the workspace without asking (2.1.328): what the CLI keeps under
//! `~/.claude/projects` and in the temporary directory for the workspace, other sessions' transcripts included, and, in
//! a shell command, a pattern that matches a link which leads out. And the CLI's question is needed since it knows how it
//! reads a path: where it sees it lead out of the workspace, that is so, whatever we saw.
//!
//! For the tools that work on files this is a fence. For `Bash` it is a warning sign: whoever enables that gives the
//! model a shell with the rights of the server's user.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

mod path;
mod shell;
mod workspace;

use self::workspace::Workspace;
use super::config::Config;
use super::protocol::ControlRequest;

/// The id by which the CLI names the hook.
const CALLBACK: &str = "before_use";

/// Fields of a tool's input that hold a path.
const PATHS: [&str; 3] = ["file_path", "notebook_path", "path"];

/// Fields that hold a pattern of paths, and the tools that have them: elsewhere the name means something else.
const PATTERNS: [(&str, &str); 2] = [("Glob", "pattern"), ("Grep", "glob")];

/// What `initialize` says so that the CLI asks before each use of a tool. A hook that fails forbids.
pub(crate) fn hooks(config: &Config) -> Value {
    // A process may lie parked in a client's function while the hook of another tool waits to be answered.
    let timeout = config.tool_timeout.as_secs().max(60);
    json!({"PreToolUse": [{"hookCallbackIds": [CALLBACK], "timeout": timeout, "onFailure": "block"}]})
}

/// The answer to the hook: a refusal, or nothing, which leaves it to the CLI's own rules.
pub(crate) fn before_use(config: &Config, request: &ControlRequest) -> Value {
    let tool = request.input["tool_name"].as_str().unwrap_or_default();
    // The client's functions are the client's to run, and this one runs nothing.
    if tool.starts_with("mcp__c__") || tool == "StructuredOutput" {
        return json!({});
    }
    let cwd = request.input["cwd"].as_str().map(PathBuf::from);
    match check(config, tool, &request.input["tool_input"], cwd.as_deref()) {
        Ok(()) => json!({}),
        Err(reason) => json!({"hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": reason,
        }}),
    }
}

/// The answer to `can_use_tool`: the CLI's own rules do not allow this use, which the hook has let pass.
pub(crate) fn may_use(config: &Config, request: &ControlRequest) -> Value {
    match check(config, &request.tool_name, &request.input, None).and_then(|()| check_ask(config, request)) {
        Ok(()) => json!({"behavior": "allow", "updatedInput": request.input}),
        Err(reason) => json!({"behavior": "deny", "message": reason}),
    }
}

/// Whether the tool is enabled and its input stays in the workspace. `cwd` is where the tool is; where that is not
/// known, the words of a shell command are not looked at.
fn check(config: &Config, tool: &str, input: &Value, cwd: Option<&Path>) -> Result<(), String> {
    if !config.builtin_tools.iter().any(|enabled| enabled == tool) {
        return Err(format!("The tool {tool} is not enabled on this server. Do without it."));
    }
    let fields = PATHS.iter().map(|field| (*field, false));
    let patterns = PATTERNS.iter().filter(|(of, _)| *of == tool).map(|(_, field)| (*field, true));
    let mut named = Vec::new();
    for (field, pattern) in fields.chain(patterns) {
        match &input[field] {
            Value::Null => {}
            Value::String(path) => match path::oddity(path) {
                Some(oddity) => return Err(odd(path, oddity)),
                None => named.push((path.as_str(), pattern)),
            },
            other => return Err(format!("{field} must be one path, as a string, not {other}.")),
        }
    }
    let command = input["command"].as_str().filter(|_| tool == "Bash");
    if named.is_empty() && command.is_none() {
        return Ok(());
    }
    let workspace = workspace(config)?;
    let from = cwd.unwrap_or(workspace.root());
    if let Some((path, _)) = named.iter().find(|(path, pattern)| !stays(&workspace, from, path, *pattern)) {
        return Err(outside(&workspace, path));
    }
    let Some(command) = command else { return Ok(()) };
    if input["run_in_background"] == true {
        // It would outlive the answer, and its end would start a turn that nobody asked for.
        return Err("Commands cannot run in the background on this server. Run this one in the foreground.".to_owned());
    }
    match cwd.and_then(|cwd| shell::leads_out(command, cwd, &workspace)) {
        Some(word) => Err(outside(&workspace, &word)),
        None => Ok(()),
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
    let none = || "This server has no workspace, so that no file may be used. Tell the user.".to_owned();
    let directory = config.workspace.as_deref().ok_or_else(none)?;
    let set = config.environment.iter().rev().find(|(name, _)| name == "HOME").map(|(_, home)| home.clone());
    let home = set.or_else(|| std::env::var_os("HOME")).map(PathBuf::from);
    Workspace::at(directory, home).map_err(|_| none())
}

/// Of a pattern, what stands before its first wildcard is where it begins; `..` after that could lead anywhere.
fn stays(workspace: &Workspace, cwd: &Path, path: &str, pattern: bool) -> bool {
    if !pattern {
        return workspace.holds(cwd, path);
    }
    let path = path.strip_prefix('!').unwrap_or(path);
    let wild = path.find(['*', '?', '[', '{']).unwrap_or(path.len());
    let (begins, rest) = path.split_at(wild);
    let begins = if rest.is_empty() { begins } else { begins.rsplit_once('/').map_or("", |(directory, _)| directory) };
    let begins = if begins.is_empty() && path.starts_with('/') { "/" } else { begins };
    !rest.contains("..") && workspace.holds(cwd, begins)
}

fn odd(path: &str, oddity: &str) -> String {
    format!("{path:?} {oddity}, and no such path may be used. Write it without that.")
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
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Server {
        config: Config,
        directory: tempfile::TempDir,
    }

    impl Server {
        fn new(tools: &[&str]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let workspace = directory.path().join("ws");
            std::fs::create_dir_all(workspace.join("sub")).unwrap();
            symlink("..", workspace.join("up")).unwrap();
            let builtin_tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
            let config = Config { workspace: Some(workspace), builtin_tools, ..Config::default() };
            Server { config, directory }
        }

        fn path(&self, path: &str) -> String {
            self.directory.path().canonicalize().unwrap().join(path).display().to_string()
        }

        /// What the hook has against it.
        fn hook(&self, tool: &str, input: Value) -> Option<String> {
            let input = json!({"tool_name": tool, "tool_input": input, "cwd": self.path("ws")});
            let answer = before_use(&self.config, &ControlRequest { input, ..ControlRequest::default() });
            let decision = &answer["hookSpecificOutput"];
            assert!(decision.is_null() || decision["permissionDecision"] == "deny", "it never allows: {answer}");
            decision["permissionDecisionReason"].as_str().map(str::to_owned)
        }

        fn ask(&self, request: ControlRequest) -> Value {
            may_use(&self.config, &request)
        }
    }

    #[test]
    fn a_tool_that_is_not_on_the_list_is_refused_by_name() {
        let server = Server::new(&["Read"]);
        let reason = server.hook("Bash", json!({"command": "ls"})).unwrap();
        assert_eq!(reason, "The tool Bash is not enabled on this server. Do without it.");
        assert_eq!(Server::new(&["Bash"]).hook("Bash", json!({"command": "ls"})), None);
        let asked = ControlRequest { tool_name: "Bash".to_owned(), ..ControlRequest::default() };
        assert_eq!(server.ask(asked), json!({"behavior": "deny", "message": reason}));
    }

    #[test]
    fn the_clients_functions_and_structured_output_are_none_of_the_hooks_business() {
        let server = Server::new(&["Read"]);
        assert_eq!(server.hook("mcp__c__message", json!({"path": "/etc/passwd"})), None);
        assert_eq!(server.hook("StructuredOutput", json!({"file_path": "/etc/passwd"})), None);
    }

    #[test]
    fn every_path_and_pattern_of_the_file_tools_must_stay_in_the_workspace() {
        let server = Server::new(&["Read", "Write", "Edit", "NotebookEdit", "Glob", "Grep"]);
        let inside = [
            ("Read", json!({"file_path": server.path("ws/a.txt")})),
            ("Write", json!({"file_path": server.path("ws/new/a.txt"), "content": "/etc/passwd"})),
            ("Edit", json!({"file_path": "sub/a.txt", "old_string": "..", "new_string": "/"})),
            ("NotebookEdit", json!({"notebook_path": "a.ipynb"})),
            ("Glob", json!({"pattern": "**/*.rs"})),
            ("Glob", json!({"pattern": server.path("ws/sub/*.rs")})),
            ("Grep", json!({"pattern": "/etc/../..", "glob": "!*.md"})),
        ];
        for (tool, input) in inside {
            assert_eq!(server.hook(tool, input.clone()), None, "{tool} {input}");
        }
        let outside = [
            ("Read", json!({"file_path": "/etc/passwd"})),
            ("Read", json!({"file_path": "~/.claude/projects/x.jsonl"})),
            ("Write", json!({"file_path": server.path("ws/up/a.txt"), "content": ""})),
            ("Edit", json!({"file_path": "../a.txt"})),
            ("NotebookEdit", json!({"notebook_path": "/a.ipynb"})),
            ("Glob", json!({"pattern": "*", "path": "up"})),
            ("Glob", json!({"pattern": "/*"})),
            ("Glob", json!({"pattern": "../*.txt"})),
            ("Glob", json!({"pattern": "up/*.txt"})),
            ("Glob", json!({"pattern": "*/../../*"})),
            ("Grep", json!({"pattern": "x", "path": "/etc"})),
            ("Grep", json!({"pattern": "x", "glob": "../*"})),
        ];
        for (tool, input) in outside {
            let reason = server.hook(tool, input.clone()).unwrap_or_else(|| panic!("{tool} {input} was let pass"));
            assert!(reason.contains("is outside the workspace") && reason.contains(&server.path("ws")), "{reason}");
        }
    }

    #[test]
    fn a_result_that_the_cli_put_elsewhere_is_to_be_had_in_another_way() {
        let server = Server::new(&["Read"]);
        let path = "/home/robin/.claude/projects/-ws/1234/tool-results/a.txt";
        let reason = server.hook("Read", json!({"file_path": path})).unwrap();
        let root = server.path("ws");
        assert_eq!(
            reason,
            format!("{path} is outside the workspace. Run it again with less output, or with its output in {root}.")
        );
    }

    #[test]
    fn a_shell_command_is_refused_for_the_word_that_leads_out() {
        let server = Server::new(&["Bash"]);
        assert_eq!(server.hook("Bash", json!({"command": "ls sub && touch a"})), None);
        let reason = server.hook("Bash", json!({"command": "cat ../out.txt"})).unwrap();
        assert!(reason.starts_with("../out.txt is outside the workspace"), "{reason}");
        assert!(server.hook("Bash", json!({"command": "sleep 9", "run_in_background": true})).is_some());
    }

    #[test]
    fn what_the_cli_asks_about_is_allowed_in_the_workspace() {
        let server = Server::new(&["Bash", "Write"]);
        let input = json!({"command": "touch a.txt"});
        let blocked_path = Some(server.path("ws/a.txt"));
        let bash = || ControlRequest { tool_name: "Bash".to_owned(), input: input.clone(), ..Default::default() };
        assert_eq!(
            server.ask(ControlRequest { blocked_path, ..bash() }),
            json!({"behavior": "allow", "updatedInput": input})
        );
        let null = ControlRequest { blocked_path: Some("/dev/null".to_owned()), ..bash() };
        assert_eq!(server.ask(null)["behavior"], "allow");
        let outside = ControlRequest { blocked_path: Some("/etc/passwd".to_owned()), ..bash() };
        assert_eq!(server.ask(outside)["behavior"], "deny");
        let hooks = ControlRequest {
            decision_reason: Some("It is a sensitive file.".to_owned()),
            decision_reason_type: Some("safetyCheck".to_owned()),
            ..bash()
        };
        let answer = server.ask(hooks);
        assert_eq!(answer["behavior"], "deny");
        assert!(answer["message"].as_str().unwrap().contains("It is a sensitive file."), "{answer}");
    }

    #[test]
    fn what_the_cli_asks_about_is_allowed_for_reasons_that_are_known_to_be_harmless_and_no_others() {
        let server = Server::new(&["Bash", "Write", "Grep", "WebFetch"]);
        let asked = |tool: &str, kind: Option<&str>, reason: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            server.ask(ControlRequest {
                tool_name: tool.to_owned(),
                decision_reason_type: owned(kind),
                decision_reason: owned(reason),
                ..Default::default()
            })
        };
        let reason = Some("It says so.");
        for (tool, kind, reason) in [
            ("Write", None, None),
            ("WebFetch", None, None),
            ("Bash", None, None),
            ("Bash", None, reason),
            ("Bash", Some("other"), reason),
            ("Bash", Some("subcommandResults"), None),
        ] {
            assert_eq!(asked(tool, kind, reason)["behavior"], "allow", "{tool} {kind:?} {reason:?}");
        }
        let unknown = ["asyncAgent", "classifier", "hook", "mode", "rule", "safetyCheck", "sandboxOverride", "", "new"];
        let denied = unknown.iter().flat_map(|kind| [("Bash", Some(*kind)), ("Write", Some(*kind))]);
        let of_files = [("Write", None), ("Grep", Some("other")), ("Grep", Some("subcommandResults"))];
        for (tool, kind) in denied.chain(of_files) {
            let answer = asked(tool, kind, reason);
            assert_eq!(answer["behavior"], "deny", "{tool} {kind:?}");
            let message = "Denied, and nobody is there to be asked: It says so. Find another way, or tell the user.";
            assert_eq!(answer["message"], message);
        }
        for tool in ["Bash", "Grep"] {
            let answer = asked(tool, Some("workingDir"), Some("Path is outside allowed working directories."));
            let root = server.path("ws");
            assert_eq!(
                answer["message"],
                format!(
                    "Denied: Path is outside allowed working directories. Only what is in the workspace, {root}, may be \
                     used. Keep to paths in {root}."
                )
            );
            assert_eq!(answer["behavior"], "deny");
        }
    }

    #[test]
    fn a_path_that_the_cli_may_read_otherwise_than_it_is_written_is_refused() {
        let server = Server::new(&["Read", "Grep", "Glob", "NotebookEdit"]);
        for (tool, input) in [
            ("Grep", json!({"pattern": "x", "path": " /etc/passwd"})),
            ("Grep", json!({"pattern": "x", "glob": "\u{feff}../*"})),
            ("Glob", json!({"pattern": "*", "path": "\u{a0}/etc"})),
            ("Glob", json!({"pattern": "\t/etc/*"})),
            ("Read", json!({"file_path": "a.txt "})),
            ("NotebookEdit", json!({"notebook_path": "\u{2028}~"})),
        ] {
            let reason = server.hook(tool, input.clone()).unwrap_or_else(|| panic!("{tool} {input} was let pass"));
            assert!(reason.contains("no such path may be used. Write it without that."), "{reason}");
            let asked = ControlRequest { tool_name: tool.to_owned(), input, ..ControlRequest::default() };
            assert_eq!(server.ask(asked), json!({"behavior": "deny", "message": reason}));
        }
        for path in [json!(["/etc/passwd"]), json!({"a": 1}), json!(7), json!(true)] {
            let reason = server.hook("Read", json!({"file_path": path})).unwrap();
            assert_eq!(reason, format!("file_path must be one path, as a string, not {path}."));
        }
        assert_eq!(server.hook("Grep", json!({"pattern": " x", "path": null, "glob": null})), None);
    }

    #[test]
    fn without_a_workspace_nothing_that_touches_files_is_allowed() {
        let mut server = Server::new(&["Read", "Bash", "WebSearch"]);
        for workspace in [None, Some(PathBuf::from("/not/there"))] {
            server.config.workspace = workspace;
            assert!(server.hook("Read", json!({"file_path": "a"})).is_some());
            assert!(server.hook("Bash", json!({"command": "ls"})).is_some());
            assert_eq!(server.hook("WebSearch", json!({"query": "x"})), None);
        }
    }
}
