//! What a warm process is told before there is a request for it: the settings that the last new conversation wanted.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tower_claude::ErrorKind;
use tower_claude::cli::ClaudeCli;

use crate::support::chat::{Heard, ask, claude, messages, try_ask, until, user};
use crate::support::claude_bin::stand_in;

async fn warm(claude: &ClaudeCli) {
    claude.warm_up();
    until("a warm process", || claude.health().processes.warm == 1).await;
}

/// The first request of a conversation, with these fields beside its one message.
fn says(text: &str, fields: &Value) -> Value {
    let mut request = messages([user(text)]);
    request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    request
}

/// The same on a process that was told something else ahead, and on one that was told nothing.
async fn both_ways(fields: &Value) -> (Heard, Heard) {
    let all = json!({"model": "opus", "max_tokens": 4096, "reasoning_effort": "none"});
    let claude = claude().warm_processes(1).build();
    warm(&claude).await;
    ask(&claude, says("hello", &all)).await;
    warm(&claude).await;
    let ahead = ask(&claude, says("[[history]]", fields)).await;
    assert_eq!(ahead.process, "warm");
    (ahead, ask(&self::claude().build(), says("[[history]]", fields)).await)
}

#[tokio::test]
async fn a_warm_process_is_told_what_the_last_new_conversation_wanted_and_not_again() {
    let directory = tempfile::tempdir().unwrap();
    let claude = claude().warm_processes(1).env("STAND_IN_LOG", directory.path().join("{pid}")).build();
    warm(&claude).await;
    let fields = json!({"model": "opus", "max_tokens": 4096, "reasoning_effort": "low"});
    ask(&claude, says("hello", &fields)).await;
    warm(&claude).await;
    let second = ask(&claude, says("[[pid]]", &fields)).await;
    assert_eq!(second.process, "warm");
    let told = std::fs::read_to_string(directory.path().join(second.text)).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> = told.iter().map(|line| line["request_id"].as_str().unwrap_or("-")).collect();
    assert_eq!(ids, ["ahead_model", "ahead_settings", "initialize", "-"]);
    let settings = json!({"env": {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": "4096"}, "effortLevel": "low"});
    assert_eq!((&told[0]["request"]["model"], &told[1]["request"]["settings"]), (&json!("opus"), &settings));
}

#[tokio::test]
async fn what_a_request_does_not_want_of_it_is_undone() {
    for fields in [json!({}), json!({"model": ""}), json!({"model": "haiku", "max_tokens": 7})] {
        let (ahead, cold) = both_ways(&fields).await;
        let (mut ahead, mut cold) = (ahead.json(), cold.json());
        // An unset variable and one that was never set are the same.
        for told in [&mut ahead, &mut cold] {
            told["env"].as_object_mut().unwrap().retain(|_, value| *value != "");
            told["settings"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
            told.as_object_mut().unwrap().retain(|_, value| !value.is_null() && *value != "" && *value != "default");
        }
        assert_eq!(ahead, cold, "{fields}");
    }
}

#[tokio::test]
async fn settings_that_did_not_work_are_not_told_ahead() {
    let directory = tempfile::tempdir().unwrap();
    let claude = claude().warm_processes(1).env("STAND_IN_LOG", directory.path().join("{pid}")).build();
    warm(&claude).await;
    let failed = try_ask(&claude, says("[[fail 404 not_found_error no such model]]", &json!({"model": "x"}))).await;
    failed.unwrap_err();
    warm(&claude).await;
    let second = ask(&claude, says("[[pid]]", &json!({}))).await;
    let told = std::fs::read_to_string(directory.path().join(second.text)).unwrap();
    assert!(!told.contains("ahead_"), "{told}");
}

/// The second of three processes refuses what it was told ahead.
#[tokio::test]
async fn a_refusal_of_it_costs_the_process_and_not_the_turn() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("claude");
    let refusal = json!({"type": "control_response",
        "response": {"subtype": "error", "request_id": "ahead_model", "error": "no such model"}});
    let (counts, stand_in) = (directory.path().join("counts"), stand_in());
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *\" --version \"*) exec '{stand_in}' \"$@\" ;; esac\n\
         echo >> '{counts}'\n[ $(wc -l < '{counts}') = 2 ] || exec '{stand_in}' \"$@\"\n\
         echo '{refusal}'\nexec cat > /dev/null\n",
        stand_in = stand_in.display(),
        counts = counts.display(),
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let claude = claude().program(program).warm_processes(1).build();
    warm(&claude).await;
    ask(&claude, says("hello", &json!({"model": "opus"}))).await;
    warm(&claude).await;
    let answer = try_ask(&claude, says("hello", &json!({"model": "sonnet"}))).await;
    let answer = answer.unwrap_or_else(|error| panic!("{:?}: {error}", ErrorKind::Cli));
    assert_eq!((answer.text.as_str(), answer.process.as_str()), ("echo: hello", "cold"));
}
