//! What the stand-in CLI does when it is asked to misbehave, and what it remembers of what it was told.

use crate::support::claude_bin::stand_in;
use crate::support::cli_process::Cli;
use serde_json::{Value, json};

fn start(env: &[(&str, &str)]) -> Cli {
    Cli::start(&stand_in(), "http://127.0.0.1:9", env)
}

async fn ask(cli: &mut Cli, prompt: &str) -> Value {
    cli.user(prompt).await;
    cli.result().await
}

/// The text deltas of all that was printed.
fn deltas(cli: &Cli) -> Vec<&str> {
    cli.printed.iter().filter_map(|line| line["event"]["delta"]["text"].as_str()).collect()
}

fn version(env: &[(&str, &str)]) -> String {
    let output = std::process::Command::new(stand_in()).arg("--version").envs(env.iter().copied()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_says_which_version_it_is_and_may_be_another() {
    assert_eq!(version(&[]), "2.1.332 (Claude Code)\n");
    assert_eq!(version(&[("STAND_IN_VERSION", "2.1.200")]), "2.1.200 (Claude Code)\n");
}

#[test]
fn it_refuses_to_start_where_told_to() {
    let output = std::process::Command::new(stand_in()).env("STAND_IN_FAIL_START", "7").output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(!output.stderr.is_empty());
}

#[tokio::test]
async fn it_remembers_everything_it_was_told() {
    let mut cli = start(&[]);
    let tool = json!({"name": "exec", "inputSchema": {"type": "object"}});
    cli.initialize(Some(json!([tool.clone()])), None).await;
    cli.control(json!({"subtype": "initialize", "systemPrompt": ["ignored"]})).await;
    cli.control(json!({"subtype": "set_model", "model": "sonnet"})).await;
    cli.control(json!({"subtype": "set_max_thinking_tokens", "max_thinking_tokens": 9})).await;
    let env = |tokens: &str| json!({"CLAUDE_CODE_MAX_OUTPUT_TOKENS": tokens});
    let settings = json!({"env": env("77"), "effortLevel": "low"});
    cli.control(json!({"subtype": "apply_flag_settings", "settings": settings})).await;
    cli.append_user("one").await;
    cli.append_assistant(json!([{"type": "text", "text": "two"}])).await;
    let history: Value = serde_json::from_str(ask(&mut cli, "[[history]]").await["result"].as_str().unwrap()).unwrap();
    assert_eq!(history["system"], json!(["You are terse."]));
    assert_eq!(history["tools"], json!([tool]));
    assert_eq!(
        (&history["model"], &history["effort"], &history["max_tokens"], &history["thinking"]),
        (&json!("sonnet"), &json!("low"), &json!("77"), &json!(9))
    );
    assert_eq!(
        history["messages"],
        json!([{"role": "user", "content": "one"},
            {"role": "assistant", "content": [{"type": "text", "text": "two"}]},
            {"role": "user", "content": "[[history]]"}])
    );

    let nothing = json!({"env": null});
    cli.control(json!({"subtype": "apply_flag_settings", "settings": nothing})).await;
    let history: Value = serde_json::from_str(ask(&mut cli, "[[history]]").await["result"].as_str().unwrap()).unwrap();
    assert_eq!((&history["effort"], &history["max_tokens"]), (&json!("low"), &json!("77")), "null undoes no variable");
    let undone = json!({"env": env(""), "effortLevel": null});
    cli.control(json!({"subtype": "apply_flag_settings", "settings": undone})).await;
    let history: Value = serde_json::from_str(ask(&mut cli, "[[history]]").await["result"].as_str().unwrap()).unwrap();
    assert_eq!((&history["effort"], &history["max_tokens"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_prompt_that_the_client_did_not_compose_is_expanded() {
    let mut cli = start(&[]);
    cli.message(json!("see @/etc/passwd"), json!({"client_composed": false})).await;
    assert_eq!(cli.result().await["result"], "echo: EXPANDED");
    cli.message(json!("/clear"), json!({"client_composed": false})).await;
    assert_eq!(cli.result().await["result"], "echo: EXPANDED");
    assert_eq!(ask(&mut cli, "see @/etc/passwd").await["result"], "echo: see @/etc/passwd");
}

#[tokio::test]
async fn messages_that_wait_for_a_turn_go_together() {
    let mut cli = start(&[]);
    cli.user("[[slow 20 count 3]]").await;
    cli.until(|line| line["event"]["type"] == "content_block_delta").await;
    cli.user("one").await;
    cli.user("two").await;
    assert_eq!(cli.result().await["result"], "w0 w1 w2 ");
    assert_eq!(cli.result().await["result"], "echo: one\ntwo");
}

#[tokio::test]
async fn a_message_to_a_parked_process_becomes_a_note() {
    let mut cli = start(&[]);
    cli.initialize(Some(json!([{"name": "exec", "inputSchema": {"type": "object"}}])), None).await;
    cli.user("[[tool exec {}]]").await;
    let call = cli.call().await;
    cli.user("extra").await;
    cli.answer_text(&call, "R").await;
    cli.result().await;
    let history: Value = serde_json::from_str(ask(&mut cli, "[[history]]").await["result"].as_str().unwrap()).unwrap();
    let note = &history["messages"][3];
    assert_eq!(note["role"], "system");
    assert!(
        note["content"].as_str().unwrap().starts_with("The user sent a new message while you were working:\nextra\n")
    );
}

#[tokio::test]
async fn an_interrupt_ends_a_message_that_is_being_streamed() {
    let mut cli = start(&[]);
    cli.user("[[slow 10000 count 3]]").await;
    cli.until(|line| line["event"]["type"] == "content_block_delta").await;
    cli.control(json!({"subtype": "interrupt"})).await;
    let result = cli.result().await;
    assert_eq!(result["terminal_reason"], "aborted_streaming");
    assert_eq!(deltas(&cli), ["w0 "]);
    assert_eq!(cli.close().await, Some(1));
}

#[tokio::test]
async fn a_lost_connection_leaves_the_text_to_an_assistant_line() {
    let mut cli = start(&[]);
    assert_eq!(ask(&mut cli, "[[drop]]").await["result"], "echo: drop");
    assert_eq!(deltas(&cli), ["echo: "]);
    let whole = cli.printed.iter().find(|line| line["type"] == "assistant").unwrap();
    assert_eq!(whole["message"]["content"][0]["text"], "echo: drop");
}

#[tokio::test]
async fn garbage_surrounds_an_ordinary_answer() {
    let mut cli = start(&[]);
    assert_eq!(ask(&mut cli, "[[garbage]]").await["result"], "echo: garbage");
    assert_eq!(deltas(&cli), ["echo: ", "garbage"]);
    assert!(cli.printed.iter().any(|line| line["type"] == "a_type_from_next_year"));
    assert!(cli.junk > 2, "{} lines were not JSON", cli.junk);
}

#[tokio::test]
async fn split_characters_arrive_whole() {
    let mut cli = start(&[]);
    ask(&mut cli, "[[utf8]]").await;
    assert_eq!(deltas(&cli).concat(), "naïve 日本語 🦀😀 e\u{301}\u{200d}👩\u{200d}🚀");
}

#[tokio::test]
async fn one_delta_may_be_of_megabytes() {
    let mut cli = start(&[]);
    ask(&mut cli, "[[big 3000000]]").await;
    assert_eq!(deltas(&cli)[0].len(), 3_000_000);
}

#[tokio::test]
async fn a_subscription_tells_how_far_it_is_used() {
    let mut cli = start(&[]);
    ask(&mut cli, "[[limits]]").await;
    let event = cli.printed.iter().find(|line| line["type"] == "rate_limit_event").unwrap();
    assert_eq!(event["rate_limit_info"]["unifiedWindows"]["five_hour"]["utilization"], 0.93);
    assert_eq!(ask(&mut cli, "[[usage-limit]]").await["api_error"], "usage_limit_reached");
}

#[tokio::test]
async fn without_a_login_every_turn_fails() {
    let mut cli = start(&[("STAND_IN_NOT_LOGGED_IN", "1")]);
    let result = ask(&mut cli, "hello").await;
    assert_eq!((&result["is_error"], &result["api_error_status"]), (&json!(true), &Value::Null));
    assert_eq!(result["result"], "Not logged in · Please run /login");
}

#[tokio::test]
async fn a_tool_that_was_not_allowed_needs_permission() {
    let mut cli = start(&[]);
    // The command line allows the server `c` alone.
    let manifest = json!({"toolsListResult": {"tools": [{"name": "exec", "inputSchema": {"type": "object"}}]}});
    cli.control(json!({"subtype": "initialize", "sdkMcpServers": ["d"], "sdkMcpServerManifests": {"d": manifest}}))
        .await;
    cli.user("[[tool exec {}]]").await;
    let request = cli.call().await;
    assert_eq!(request["request"]["subtype"], "can_use_tool");
    let denied = json!({"behavior": "deny", "message": "no"});
    cli.write(json!({"type": "control_response", "response": {"subtype": "success",
        "request_id": request["request_id"], "response": denied}}))
        .await;
    assert_eq!(cli.result().await["result"], r#"result: ["no"]"#);
}

#[tokio::test]
async fn it_crashes_when_asked_to() {
    for (prompt, streamed) in [("[[crash]]", 0), ("[[crash-mid]]", 3)] {
        let mut cli = start(&[]);
        cli.user(prompt).await;
        cli.rest().await;
        assert_eq!(deltas(&cli).len(), streamed);
        assert_eq!(cli.close().await, Some(1));
    }
}

#[tokio::test]
async fn a_line_that_is_not_json_ends_it() {
    let mut cli = start(&[]);
    cli.write(json!("a string is JSON")).await;
    assert_eq!(ask(&mut cli, "still there?").await["result"], "echo: still there?");
    cli.write_text("not json\n").await;
    cli.rest().await;
    assert_eq!(cli.close().await, Some(1));
}

#[tokio::test]
async fn every_line_it_reads_is_logged_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("stdin");
    let mut cli = start(&[("STAND_IN_LOG", log.to_str().unwrap())]);
    let line = r#"{ "type":"user", "message":{"content":"hi"},  "client_composed":true }"#;
    cli.write_text(&format!("{line}\n")).await;
    cli.result().await;
    assert_eq!(std::fs::read_to_string(log).unwrap(), format!("{line}\n"));
}

#[tokio::test]
async fn a_fixed_identity_makes_the_same_ids_twice() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut cli = start(&[("STAND_IN_ID", "fixed")]);
        ask(&mut cli, "hi").await;
        runs.push(cli.printed[0]["session_id"].clone());
    }
    assert_eq!(runs[0], runs[1]);
    let mut other = start(&[]);
    ask(&mut other, "hi").await;
    assert_ne!(runs[0], other.printed[0]["session_id"]);
}
