//! The stand-in CLI prints what the real one prints: the same scripts through both, line by line.

use crate::support::claude_bin::{real_cli, stand_in};
use crate::support::cli_process::Cli;
use crate::support::messages_api::MessagesApi;
use crate::support::transcript::normalised;
use serde_json::{Value, json};

/// Runs a script on the stand-in, and on the real CLI if it is there; compares them, and the snapshot.
async fn same<F>(name: &str, script: impl Fn(Cli) -> F)
where
    F: Future<Output = Cli>,
{
    let api = MessagesApi::start().await;
    let mut cli = script(Cli::start(&stand_in(), &api.url(), &[])).await;
    let ours = normalised(&cli.printed, &api.url());
    let exit = cli.close().await;
    assert_eq!(api.requests().len(), 0, "the stand-in asks nobody");
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("stand_in_{name}"), ours.join("\n")));
    let Some(real) = real_cli() else { return };
    let mut cli = script(Cli::start(&real, &api.url(), &[])).await;
    let theirs = normalised(&cli.printed, &api.url());
    for (at, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        assert_eq!(ours, theirs, "{name}: line {at} of the stand-in differs from the real CLI's");
    }
    assert_eq!(ours.len(), theirs.len(), "{name}: one has more to say:\n{ours:#?}\n{theirs:#?}");
    assert_eq!(exit, cli.close().await, "{name}: the exit codes differ");
}

fn tools(read_only: bool) -> Value {
    let tool = |name: &str, properties: Value| {
        json!({"name": name, "description": name, "inputSchema": {"type": "object", "properties": properties},
            "annotations": {"readOnlyHint": read_only}})
    };
    json!([tool("exec", json!({"command": {"type": "string"}})), tool("look", json!({}))])
}

const TWO_CALLS: &str = r#"please [[tool exec {"command":"ls"} ;; look {}]]"#;

#[tokio::test]
async fn two_turns() {
    same("two_turns", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("hello").await;
        cli.result().await;
        cli.user("again").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn a_replayed_history() {
    same("replay", async |mut cli: Cli| {
        cli.initialize(Some(tools(true)), None).await;
        cli.append_user("one").await;
        cli.append_assistant(json!([{"type": "text", "text": "two"}])).await;
        cli.append_user("three").await;
        let call = json!({"type": "tool_use", "id": "toolu_x1", "name": "mcp__c__exec", "input": {"command": "ls"}});
        cli.append_assistant(json!([call])).await;
        cli.append_user(json!([{"type": "tool_result", "tool_use_id": "toolu_x1", "content": "files"}])).await;
        cli.append_assistant(json!([{"type": "text", "text": "done"}])).await;
        cli.user("four").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn calls_that_only_read_are_issued_at_once() {
    same("calls_at_once", async |mut cli: Cli| {
        cli.initialize(Some(tools(true)), None).await;
        cli.user(TWO_CALLS).await;
        let (one, two) = (cli.call().await, cli.call().await);
        cli.answer_text(&one, "R1").await;
        cli.answer_text(&two, "R2").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn other_calls_are_issued_one_after_another() {
    same("calls_in_sequence", async |mut cli: Cli| {
        cli.initialize(Some(tools(false)), None).await;
        cli.user(TWO_CALLS).await;
        let one = cli.call().await;
        cli.until(|line| line["event"]["type"] == "message_stop").await;
        cli.answer_text(&one, "R1").await;
        let two = cli.call().await;
        cli.answer(&two, json!({"content": [{"type": "text", "text": "bad"}], "isError": true})).await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn a_call_of_a_tool_that_is_not_there() {
    same("unknown_tool", async |mut cli: Cli| {
        cli.initialize(Some(tools(true)), None).await;
        cli.user("[[tool nosuch {}]]").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn an_interrupt_while_parked() {
    same("interrupt", async |mut cli: Cli| {
        cli.initialize(Some(tools(true)), None).await;
        cli.user(TWO_CALLS).await;
        cli.until(|line| line["event"]["type"] == "message_stop").await;
        cli.control(json!({"subtype": "interrupt"})).await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn a_manifest_with_a_bad_schema() {
    same("bad_manifest", async |mut cli: Cli| {
        let bad = json!([{"name": "exec", "inputSchema": {"properties": {}}}, {"name": "look", "inputSchema": {"type": "object"}}]);
        cli.initialize(Some(bad.clone()), None).await;
        cli.user("hi").await;
        loop {
            let line = cli.until(|line| line["type"] == "control_request" || line["type"] == "result").await;
            match line["request"]["message"]["method"].as_str() {
                Some("initialize") => {
                    let info = json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                        "serverInfo": {"name": "c", "version": "1"}});
                    cli.answer(&line, info).await;
                }
                Some("tools/list") => cli.answer(&line, json!({"tools": bad})).await,
                Some(_) => cli.answer(&line, json!({})).await,
                None => return cli,
            }
        }
    })
    .await;
}

#[tokio::test]
async fn structured_output() {
    same("structured_output", async |mut cli: Cli| {
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"],
            "additionalProperties": false});
        cli.initialize(None, Some(schema)).await;
        cli.user("who?").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn a_schema_that_is_none_is_ignored() {
    same("bad_schema", async |mut cli: Cli| {
        cli.initialize(None, Some(json!({"type": "bogus", "properties": 5}))).await;
        cli.user("who?").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn thinking_and_blocks() {
    same("thinking", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("[[think hard]]").await;
        cli.result().await;
        cli.user("[[blocks A|B|C]]").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn answers_that_are_cut() {
    same("cut_answers", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("[[long]]").await;
        cli.result().await;
        cli.user("[[refusal]]").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn api_failures() {
    for code in ["400", "401", "403", "404", "413", "429", "500", "529"] {
        same(&format!("fail_{code}"), async |mut cli: Cli| {
            cli.initialize(None, None).await;
            cli.user(format!("[[fail {code}]]")).await;
            cli.result().await;
            cli
        })
        .await;
    }
    same("overflow", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("[[overflow]]").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn an_unknown_control_request() {
    same("unknown_control_request", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.control(json!({"subtype": "bogus"})).await;
        cli.control(json!({"subtype": "set_model", "model": "sonnet"})).await;
        cli.control(json!({"subtype": "apply_flag_settings", "settings": {"effortLevel": "low"}})).await;
        cli.control(json!({"subtype": "interrupt"})).await;
        cli.user("hi").await;
        cli.result().await;
        cli
    })
    .await;
}
