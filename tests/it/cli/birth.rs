//! What a process is started as, and what becomes of it.

use serde_json::{Value, json};
use tower_claude::cli::ClaudeCli;

use crate::support::chat::{
    ask, ask_once, assistant, call, claude, function, hear, messages, request, system, until, user,
};
use crate::support::claude_bin::stand_in;
use crate::support::process::runs;

#[tokio::test]
async fn nothing_of_a_request_is_in_the_command_line_or_the_environment() {
    let claude = claude().build();
    let secret = "kilimanjaro";
    let json = json!({
        "model": secret, "max_tokens": 12_321, "reasoning_effort": "xhigh", "user": secret, "prompt_cache_key": secret,
        "messages": [system(secret), user(secret), assistant(secret), user("[[pid]]")],
        "tools": [function(secret)],
        "response_format": {"type": "text"},
    });
    // The process is kept after its answer.
    let pid = ask(&claude, json).await.pid();
    let read =
        |what: &str| String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{what}")).unwrap()).into_owned();
    for what in ["cmdline", "environ"] {
        let said = read(what);
        assert!(!said.is_empty());
        assert!(!said.contains(secret) && !said.contains("12321") && !said.contains("xhigh"), "{what}: {said}");
    }
}

#[tokio::test]
async fn the_command_line_turns_claude_codes_own_tools_and_settings_off() {
    let args: Vec<String> = serde_json::from_str(&ask_once(&claude().build(), "[[args]]").await.text).unwrap();
    let value_of = |name: &str| args.iter().position(|arg| arg == name).map(|at| args[at + 1].as_str());
    assert_eq!(value_of("--tools"), Some(""));
    assert_eq!(value_of("--setting-sources"), Some(""));
    for flag in ["--no-session-persistence", "--strict-mcp-config", "--disable-slash-commands"] {
        assert!(args.iter().any(|arg| arg == flag), "{flag}");
    }
}

#[tokio::test]
async fn leading_arguments_come_first_and_variables_are_added() {
    // `env` stands in for a program that runs the CLI itself, given its arguments.
    let claude =
        ClaudeCli::builder().warm_processes(0).program("env").args([stand_in()]).env("GREETING", "good day").build();
    assert_eq!(ask_once(&claude, "[[env GREETING]]").await.text, "good day");
}

#[test]
fn the_marks_of_a_claude_code_session_are_not_inherited() {
    let variables = ["CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT", "CLAUDE_CODE_SESSION_ID"];
    // A test cannot change its own environment without unsafe code, so it runs itself in another one.
    if std::env::var_os("CLAUDECODE").is_none() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "birth::the_marks_of_a_claude_code_session_are_not_inherited", "--nocapture"]);
        let output = command.envs(variables.map(|name| (name, "1"))).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let claude = claude().build();
        for name in variables {
            let answer = ask_once(&claude, &format!("[[env {name}]] of a conversation")).await;
            assert_eq!(answer.text, "", "{name}");
        }
    });
}

#[tokio::test]
async fn the_cli_is_told_to_retry_little_and_not_to_do_by_itself_what_nobody_asked_for() {
    let claude = claude().upstream_retries(3).build();
    for (name, value) in [
        ("CLAUDE_CODE_MAX_RETRIES", "3"),
        ("DISABLE_AUTO_COMPACT", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("ENABLE_TOOL_SEARCH", "false"),
        ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1"),
        ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1"),
        ("CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK", "1"),
        ("CLAUDE_CODE_DISABLE_REFUSAL_RETRY", "1"),
        ("CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK", "1"),
    ] {
        assert_eq!(ask_once(&claude, &format!("[[env {name}]]")).await.text, value, "{name}");
    }
}

#[tokio::test]
async fn garbage_is_collected_rarely_unless_the_operator_says_otherwise() {
    const EVERY: &str = "[[env BUN_GC_TIMER_INTERVAL]]";
    assert_eq!(ask_once(&claude().build(), EVERY).await.text, "10000");
    assert_eq!(ask_once(&claude().env("BUN_GC_TIMER_INTERVAL", "500").build(), EVERY).await.text, "500");
}

/// What the CLI says of where it works is part of what the API takes back thinking after, and caches.
#[tokio::test]
async fn processes_work_in_one_empty_directory_which_is_the_same_in_the_next_run() {
    use std::os::unix::fs::PermissionsExt;

    let mut seen = Vec::new();
    for _ in 0..2 {
        let claude = claude().build();
        seen.push(ask_once(&claude, "[[cwd]]").await.text);
        seen.push(ask_once(&claude, "[[cwd]] too").await.text);
        assert_eq!(std::fs::read_dir(&seen[0]).unwrap().count(), 0, "{}", seen[0]);
        assert_eq!(std::fs::metadata(&seen[0]).unwrap().permissions().mode() & 0o777, 0o700, "{}", seen[0]);
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[tokio::test]
async fn a_workspace_is_worked_in_and_left_alone() {
    let workspace = tempfile::tempdir().unwrap();
    let claude = claude().workspace(workspace.path()).build();
    let told = ask_once(&claude, "[[cwd]]").await.text;
    assert_eq!(std::fs::canonicalize(told).unwrap(), std::fs::canonicalize(workspace.path()).unwrap());
    drop(claude);
    assert!(workspace.path().exists());
}

#[tokio::test]
async fn the_last_clone_dropped_ends_every_process() {
    let claude = claude().warm_processes(2).build();
    let pid = ask_once(&claude, "[[pid]]").await.pid();
    until("two warm processes", || claude.health().processes.warm == 2).await;
    let clone = claude.clone();
    drop(claude);
    let answer = ask_once(&clone, "hello").await;
    assert_eq!(answer.text, "echo: hello");
    assert!(runs(pid));
    drop(clone);
    until("the process to end", || !runs(pid)).await;
}

#[tokio::test]
async fn an_answer_outlives_the_service_that_gave_it() {
    let claude = claude().build();
    let response = call(&claude, request(messages([user("[[slow 5 count 20]]")]))).await.unwrap();
    drop(claude);
    assert!(hear(response).await.unwrap().text.ends_with("w19 "));
}

#[tokio::test]
async fn a_path_and_a_command_in_a_text_arrive_as_text() {
    let claude = claude().build();
    let history = [user("/clear"), assistant("ok"), user("@/etc/passwd and @./x"), assistant("ok")];
    let last = user("/compact @~/.ssh/id_rsa [[history]]");
    let told = ask(&claude, messages([&history[..], &[last]].concat())).await.json();
    let told: Vec<Value> =
        told["messages"].as_array().unwrap().iter().map(|m| m["content"][0]["text"].clone()).collect();
    assert_eq!(
        told,
        ["/clear", "ok", "@/etc/passwd and @./x", "ok", "/compact @~/.ssh/id_rsa [[history]]"].map(|text| json!(text))
    );
}
