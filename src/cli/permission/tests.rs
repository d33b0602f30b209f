//! What is answered to the CLI, given its questions as it writes them.

use std::os::unix::fs::symlink;

use super::*;

/// What the hook is told.
fn before_use(config: &Config, input: Value) -> Value {
    let request = ControlRequest { subtype: "hook_callback".to_owned(), input, ..ControlRequest::default() };
    reply(&request, decide(config, &request))
}

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
        let answer = before_use(&self.config, input);
        let decision = &answer["hookSpecificOutput"];
        assert!(decision.is_null() || decision["permissionDecision"] == "deny", "it never allows: {answer}");
        decision["permissionDecisionReason"].as_str().map(str::to_owned)
    }

    fn ask(&self, request: ControlRequest) -> Value {
        reply(&request, decide(&self.config, &request))
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
        ("Glob", json!({"pattern": "up*"})),
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
        ("Glob", json!({"pattern": "up"})),
        ("Glob", json!({"pattern": "*/../../*"})),
        ("Grep", json!({"pattern": "x", "path": "/etc"})),
        ("Grep", json!({"pattern": "x", "glob": "../*"})),
    ];
    for (tool, input) in outside {
        let reason = server.hook(tool, input.clone()).unwrap_or_else(|| panic!("{tool} {input} was let pass"));
        assert!(reason.contains("is outside the workspace") && reason.contains(&server.path("ws")), "{reason}");
        assert!(reason.contains("Keep to paths in"), "{reason}");
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
    for path in [json!(["/etc/passwd"]), json!({"a": "/etc/passwd"}), json!([{"path": "a"}, "/etc/passwd"])] {
        let reason = server.hook("Read", json!({"file_path": path})).unwrap();
        assert!(reason.starts_with("/etc/passwd is outside the workspace"), "{reason}");
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

#[test]
fn what_is_fetched_must_be_on_the_web() {
    let server = Server::new(&["WebFetch"]);
    assert_eq!(server.hook("WebFetch", json!({"url": "https://93.184.216.34/", "prompt": "http://localhost"})), None);
    let input = json!({"url": "http://169.254.169.254/latest/meta-data/", "prompt": ""});
    let reason = server.hook("WebFetch", input.clone()).unwrap();
    assert_eq!(
        reason,
        "\"http://169.254.169.254/latest/meta-data/\" is on this machine or its network, and only what everybody can reach \
         on the web may be fetched. Do without it."
    );
    let asked = ControlRequest { tool_name: "WebFetch".to_owned(), input, ..ControlRequest::default() };
    assert_eq!(server.ask(asked), json!({"behavior": "deny", "message": reason}));
}

#[test]
fn a_file_that_is_one_outside_as_well_is_neither_read_nor_changed() {
    let server = Server::new(&["Read", "Write", "Edit", "NotebookEdit", "Grep", "Glob"]);
    let (out, link) = (server.path("out.txt"), server.path("ws/sub/link.txt"));
    std::fs::write(&out, "").unwrap();
    std::fs::hard_link(out, &link).unwrap();
    std::fs::write(server.path("ws/in.txt"), "").unwrap();
    std::fs::hard_link(server.path("ws/in.txt"), server.path("ws/second.txt")).unwrap();
    let expected = format!(
        "{link} is a file outside the workspace as well, by a hard link, and may not be used. Name other files or directories."
    );
    for (tool, input) in [
        ("Read", json!({"file_path": link})),
        ("Write", json!({"file_path": "sub/link.txt", "content": ""})),
        ("Edit", json!({"file_path": "./sub/../sub/link.txt"})),
        ("NotebookEdit", json!({"notebook_path": link})),
        ("Grep", json!({"pattern": "", "path": "sub/link.txt"})),
        ("Grep", json!({"pattern": "", "path": "sub"})),
        ("Grep", json!({"pattern": ""})),
        ("Grep", json!({"pattern": "", "glob": "*.txt"})),
    ] {
        assert_eq!(server.hook(tool, input.clone()).as_deref(), Some(&*expected), "{tool} {input}");
        assert_eq!(
            server.ask(ControlRequest { tool_name: tool.to_owned(), input, ..Default::default() })["behavior"],
            "deny"
        );
    }
    for (tool, input) in [
        ("Read", json!({"file_path": "second.txt"})),
        ("Grep", json!({"pattern": "", "path": "in.txt"})),
        ("Grep", json!({"pattern": "", "glob": "*.md"})),
        ("Grep", json!({"pattern": "", "path": "sub", "glob": "!link.txt"})),
        ("Glob", json!({"pattern": "**/*.txt", "path": "sub"})),
    ] {
        assert_eq!(server.hook(tool, input.clone()), None, "{tool} {input}");
    }
}

#[test]
fn a_grep_that_names_no_path_searches_where_the_tool_is() {
    let server = Server::new(&["Grep"]);
    std::fs::write(server.path("out.txt"), "").unwrap();
    std::fs::hard_link(server.path("out.txt"), server.path("ws/link.txt")).unwrap();
    let hook = |cwd: &str| {
        let input = json!({"tool_name": "Grep", "tool_input": {"pattern": "x"}, "cwd": server.path(cwd)});
        before_use(&server.config, input)
    };
    assert_eq!(hook("ws/sub"), json!({}));
    assert_ne!(hook("ws"), json!({}));
}

#[test]
fn a_path_counts_from_where_the_tool_is() {
    let server = Server::new(&["Read", "Glob"]);
    let hook = |tool: &str, tool_input: Value| {
        let input = json!({"tool_name": tool, "tool_input": tool_input, "cwd": server.path("ws/sub")});
        before_use(&server.config, input)
    };
    assert_eq!(hook("Read", json!({"file_path": "../a.txt"})), json!({}));
    assert_eq!(hook("Glob", json!({"pattern": "../*.txt"})), json!({}));
    assert_ne!(hook("Read", json!({"file_path": "../../a.txt"})), json!({}));
    assert_ne!(hook("Glob", json!({"pattern": "../../*.txt"})), json!({}));
}

#[test]
fn home_is_what_the_cli_takes_for_it() {
    let inherited = || Some(OsString::from("/home/robin"));
    let set = |homes: &[&str], withheld: &[&str]| Config {
        environment: homes
            .iter()
            .map(|home| ("HOME".into(), (*home).into()))
            .chain([("X".into(), "/x".into())])
            .collect(),
        withheld: withheld.iter().map(Into::into).collect(),
        ..Config::default()
    };
    let robin = Some(PathBuf::from("/home/robin"));
    assert_eq!(home(&set(&[], &[]), inherited()), robin);
    assert_eq!(home(&set(&[], &["X"]), inherited()), robin);
    assert_eq!(home(&set(&["/a", "/b"], &["HOME"]), inherited()), Some(PathBuf::from("/b")));
    // It would ask the system.
    assert_eq!(home(&set(&[], &["HOME"]), inherited()), None);
    assert_eq!(home(&set(&[], &[]), None), None);
    assert_eq!(home(&set(&[""], &[]), inherited()), None);
    assert_eq!(home(&set(&["a"], &[]), inherited()), None);
}

#[tokio::test]
async fn both_of_the_clis_questions_are_answered() {
    let server = Server::new(&["Read"]);
    let asked = |subtype: &str, path: &str| ControlRequest {
        subtype: subtype.to_owned(),
        tool_name: "Read".to_owned(),
        input: match subtype {
            "can_use_tool" => json!({"file_path": path}),
            _ => json!({"tool_name": "Read", "tool_input": {"file_path": path}, "cwd": server.path("ws")}),
        },
        ..ControlRequest::default()
    };
    assert_eq!(answer(&server.config, asked("can_use_tool", "a")).await["behavior"], "allow");
    assert_eq!(answer(&server.config, asked("can_use_tool", "/a")).await["behavior"], "deny");
    assert_eq!(answer(&server.config, asked("hook_callback", "a")).await, json!({}));
    let denied = answer(&server.config, asked("hook_callback", "/a")).await;
    assert_eq!(denied["hookSpecificOutput"]["permissionDecision"], "deny");
}

#[test]
fn what_initialize_says_of_the_hook_blocks_where_it_fails() {
    let hooks = |seconds| hooks(&Config { tool_timeout: Duration::from_secs(seconds), ..Config::default() });
    let expected = |timeout: u64| json!({"PreToolUse": [{"hookCallbackIds": ["before_use"], "timeout": timeout, "onFailure": "block"}]});
    assert_eq!(hooks(3600), expected(3600));
    assert_eq!(hooks(1), expected(60));
}
