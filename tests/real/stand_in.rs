//! The stand-in CLI prints what the real one prints: the same scripts through both, line by line.

use crate::support::claude_bin::{real_cli, stand_in};
use crate::support::cli_process::Cli;
use crate::support::messages_api::MessagesApi;
use crate::support::snapshot::assert_snapshot;
use crate::support::transcript::normalised;
use serde_json::{Value, json};

/// Runs a script on the stand-in, and on the real CLI if it is there; compares them, and the snapshot.
async fn same<F>(name: &str, sentence: &str, script: impl Fn(Cli) -> F)
where
    F: Future<Output = Cli>,
{
    same_with(&[], name, sentence, script).await;
}

/// Likewise, in this environment.
async fn same_with<F>(env: &[(&str, &str)], name: &str, sentence: &str, script: impl Fn(Cli) -> F)
where
    F: Future<Output = Cli>,
{
    let api = MessagesApi::start().await;
    let mut cli = script(Cli::start(&stand_in(), &api.url(), env)).await;
    let ours = normalised(&cli.printed, &api.url());
    let exit = cli.close().await;
    assert_eq!(api.requests().len(), 0, "the stand-in asks nobody");
    let told: Vec<String> = cli.told.iter().map(shown).collect();
    let text = format!(
        "=== it is told ===
{}
=== it prints ===
{}",
        told.join(
            "
"
        ),
        ours.join(
            "
"
        )
    );
    assert_snapshot!(name, sentence, text);
    let Some(real) = real_cli() else { return };
    let mut cli = script(Cli::start(&real, &api.url(), env)).await;
    let theirs = normalised(&cli.printed, &api.url());
    for (at, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        assert_eq!(ours, theirs, "{name}: line {at} of the stand-in differs from the real CLI's");
    }
    assert_eq!(ours.len(), theirs.len(), "{name}: one has more to say:\n{ours:#?}\n{theirs:#?}");
    assert_eq!(exit, cli.close().await, "{name}: the exit codes differ");
}

/// A line that it is told, in short.
fn shown(line: &Value) -> String {
    match line["type"].as_str() {
        Some("control_request") => format!("control_request {}", line["request"]),
        Some("control_response") => {
            format!("control_response {}", line["response"]["response"]["mcp_response"]["result"])
        }
        _ => format!("{} {}", line["type"].as_str().unwrap(), line["message"]["content"]),
    }
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
    same("stand_in/two_turns", "Two turns of one process.", async |mut cli: Cli| {
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
    same(
        "stand_in/replay",
        "A history is taken in, each of the user's turns acknowledged, before the last one is answered.",
        async |mut cli: Cli| {
            cli.initialize(Some(tools(true)), None).await;
            cli.append_user("one").await;
            cli.append_assistant(json!([{"type": "text", "text": "two"}])).await;
            cli.append_user("three").await;
            let call =
                json!({"type": "tool_use", "id": "toolu_x1", "name": "mcp__c__exec", "input": {"command": "ls"}});
            cli.append_assistant(json!([call])).await;
            cli.append_user(json!([{"type": "tool_result", "tool_use_id": "toolu_x1", "content": "files"}])).await;
            cli.append_assistant(json!([{"type": "text", "text": "done"}])).await;
            cli.user("four").await;
            cli.result().await;
            cli
        },
    )
    .await;
}

#[tokio::test]
async fn calls_that_only_read_are_issued_at_once() {
    same(
        "stand_in/calls_at_once",
        "Calls of tools that only read are issued at once, before the first result.",
        async |mut cli: Cli| {
            cli.initialize(Some(tools(true)), None).await;
            cli.user(TWO_CALLS).await;
            let (one, two) = (cli.call().await, cli.call().await);
            cli.answer_text(&one, "R1").await;
            cli.answer_text(&two, "R2").await;
            cli.result().await;
            cli
        },
    )
    .await;
}

#[tokio::test]
async fn other_calls_are_issued_one_after_another() {
    same(
        "stand_in/calls_in_sequence",
        "Calls of other tools are issued one after another, each after the result before it.",
        async |mut cli: Cli| {
            cli.initialize(Some(tools(false)), None).await;
            cli.user(TWO_CALLS).await;
            let one = cli.call().await;
            cli.until(|line| line["event"]["type"] == "message_stop").await;
            cli.answer_text(&one, "R1").await;
            let two = cli.call().await;
            cli.answer(&two, json!({"content": [{"type": "text", "text": "bad"}], "isError": true})).await;
            cli.result().await;
            cli
        },
    )
    .await;
}

#[tokio::test]
async fn a_call_of_a_tool_that_is_not_there() {
    same(
        "stand_in/unknown_tool",
        "A call of a tool that is not there fails without anyone being asked.",
        async |mut cli: Cli| {
            cli.initialize(Some(tools(true)), None).await;
            cli.user("[[tool nosuch {}]]").await;
            cli.result().await;
            cli
        },
    )
    .await;
}

#[tokio::test]
async fn an_interrupt_while_parked() {
    same(
        "stand_in/interrupt",
        "An interrupt while a call waits for its result ends the turn.",
        async |mut cli: Cli| {
            cli.initialize(Some(tools(true)), None).await;
            cli.user(TWO_CALLS).await;
            cli.until(|line| line["event"]["type"] == "message_stop").await;
            cli.control(json!({"subtype": "interrupt"})).await;
            cli.result().await;
            cli
        },
    )
    .await;
}

#[tokio::test]
async fn a_manifest_with_a_bad_schema() {
    same("stand_in/bad_manifest", "A manifest with a bad schema is not taken: the tools are asked for over the protocol.", async |mut cli: Cli| {
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
    same("stand_in/structured_output", "The object that the schema asks for is the result.", async |mut cli: Cli| {
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
    same("stand_in/bad_schema", "A schema that is none is ignored.", async |mut cli: Cli| {
        cli.initialize(None, Some(json!({"type": "bogus", "properties": 5}))).await;
        cli.user("who?").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn thinking_and_blocks() {
    same(
        "stand_in/thinking",
        "Thinking is a block before the text; each block of text is its own.",
        async |mut cli: Cli| {
            cli.initialize(None, None).await;
            cli.user("[[think hard]]").await;
            cli.result().await;
            cli.user("[[blocks A|B|C]]").await;
            cli.result().await;
            cli
        },
    )
    .await;
}

#[tokio::test]
async fn answers_that_are_cut() {
    same(
        "stand_in/cut_answers",
        "After a cut at the token limit the model is asked to go on; a refusal is tried again.",
        async |mut cli: Cli| {
            cli.initialize(None, None).await;
            cli.user("[[long]]").await;
            cli.result().await;
            cli.user("[[refusal]]").await;
            cli.result().await;
            cli
        },
    )
    .await;
}

#[tokio::test]
async fn a_refusal_where_nobody_else_is_to_be_asked() {
    let env = [("CLAUDE_CODE_DISABLE_REFUSAL_RETRY", "1"), ("CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK", "1")];
    let sentence = "A refusal is the end where the environment forbids to ask again or another model.";
    same_with(&env, "stand_in/refusal", sentence, async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("[[refusal]]").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn calls_that_are_cut() {
    same(
        "stand_in/cut_calls",
        "A call whose input is no JSON is answered by the CLI itself; whatever a message ends for, its calls are run.",
        async |mut cli: Cli| {
            cli.initialize(Some(tools(true)), None).await;
            cli.user(r#"[[end max_tokens tool exec {"command":"l]]"#).await;
            cli.result().await;
            let long = "x".repeat(3_000);
            cli.user(format!(r#"[[end max_tokens tool exec {{"command":"ls"}} ;; look {{"at":"{long}]]"#)).await;
            let call = cli.call().await;
            cli.until(|line| line["event"]["type"] == "message_stop").await;
            cli.answer_text(&call, "R1").await;
            cli.result().await;
            for reason in ["end_turn", "pause_turn", "of_tomorrow"] {
                cli.user(format!("[[end {reason} tool look {{}}]]")).await;
                let call = cli.call().await;
                cli.until(|line| line["event"]["type"] == "message_stop").await;
                cli.answer_text(&call, "R2").await;
                cli.result().await;
            }
            cli
        },
    )
    .await;
}

#[tokio::test]
async fn messages_that_end_in_other_ways() {
    same(
        "stand_in/ends",
        "An answer that cannot be seen, or whose call is missing, is asked for once more; what is not streamed has a number.",
        async |mut cli: Cli| {
            cli.initialize(None, None).await;
            for prompt in [
                "[[end model_context_window_exceeded count 1]]",
                "[[end of_tomorrow count 1]]",
                "[[end pause_turn count 1]]",
                "[[blocks A| |B]]",
                "[[fallback blocks A|B]]",
                "[[blocks  ]]",
                "[[nothing]]",
            ] {
                cli.user(prompt).await;
                cli.result().await;
            }
            cli
        },
    )
    .await;
}

#[tokio::test]
async fn a_pause_without_a_word() {
    same("stand_in/empty_pause", "A pause in which nothing was said is an error.", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("[[end pause_turn nothing]]").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_not_made() {
    same("stand_in/no_call", "A call that is announced and not made is asked for.", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("[[end tool_use count 1]]").await;
        cli.result().await;
        cli
    })
    .await;
}

/// The tools that a model is offered: of each its name, its description and its schema.
fn offered(tools: &Value, schema: &str) -> Vec<(String, Value, Value)> {
    let tools = tools.as_array().unwrap().iter();
    let name = |tool: &Value| tool["name"].as_str().unwrap().trim_start_matches("mcp__c__").to_owned();
    let mut tools: Vec<_> = tools.map(|tool| (name(tool), tool["description"].clone(), tool[schema].clone())).collect();
    tools.sort_by(|one, two| one.0.cmp(&two.0));
    tools
}

#[tokio::test]
async fn definitions_reach_the_model_alike() {
    let tool = |name: &str, description: &str, properties: Value| {
        let schema = json!({"type": "object", "properties": properties});
        json!({"name": name, "description": description, "inputSchema": schema})
    };
    let tools = json!([
        tool(
            "zeta",
            "m² ½ ｶﾀｶﾅ x\u{200b}y 👨\u{200d}👩 ﬁ e\u{301} \u{ad}\u{feff}\u{202e}\t\u{e0041}\u{fe0f} ❤️ \u{e000}\u{378}",
            json!({"m²": {"type": "string", "enum": ["½", "\u{200d}q"], "description": "ﬁ"}})
        ),
        tool("long", &"d".repeat(5_000), json!({})),
        tool("wide", &"é".repeat(4_090).chars().chain("🦀🦀🦀🦀🦀".chars()).collect::<String>(), json!({})),
        tool("alpha", "line\r\nx  \n", json!({})),
    ]);
    let api = MessagesApi::start().await;
    for (nth, env) in [&[][..], &[("CLAUDE_CODE_MAX_MCP_DESCRIPTION_LENGTH", "4500")]].into_iter().enumerate() {
        let mut cli = Cli::start(&stand_in(), &api.url(), env);
        cli.initialize(Some(tools.clone()), None).await;
        cli.user("[[history]]").await;
        let history: Value = serde_json::from_str(cli.result().await["result"].as_str().unwrap()).unwrap();
        let ours = offered(&history["tools"], "inputSchema");
        assert_eq!(ours[3].1, "m2 1⁄2 カタカナ xy 👨👩 fi é \t\u{fe0f} ❤️ ");
        let Some(real) = real_cli() else { return };
        let mut cli = Cli::start(&real, &api.url(), env);
        cli.initialize(Some(tools.clone()), None).await;
        cli.user("hi").await;
        cli.result().await;
        assert_eq!(ours, offered(&api.request(nth).await["tools"], "input_schema"));
    }
}

#[tokio::test]
async fn tools_are_listed_by_name() {
    same("stand_in/tool_names", "Tools are listed by name, that of a format among them.", async |mut cli: Cli| {
        let mut tools = tools(true);
        tools.as_array_mut().unwrap().reverse();
        cli.initialize(Some(tools), Some(json!({"type": "object"}))).await;
        cli.user("hi").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn live_results() {
    same(
        "stand_in/live_results",
        "What the model gets of results: an empty one is filled, the text of a failed one is trimmed.",
        async |mut cli: Cli| {
            cli.initialize(Some(tools(true)), None).await;
            let text = |text: &str| json!({"type": "text", "text": text});
            for result in [
                json!({"content": []}),
                json!({"content": [text("")]}),
                json!({"content": [text(" \n")]}),
                json!({"content": [text(" a "), text("b\n")]}),
                json!({"content": [], "isError": true}),
                json!({"content": [text(" \n")], "isError": true}),
                json!({"content": [text("\n bad "), text(" worse \n")], "isError": true}),
            ] {
                cli.user("[[tool look {}]]").await;
                let call = cli.call().await;
                cli.until(|line| line["event"]["type"] == "message_stop").await;
                cli.answer(&call, result).await;
                cli.result().await;
            }
            cli
        },
    )
    .await;
}

#[tokio::test]
async fn ids_that_look_like_repetitions() {
    same(
        "stand_in/repeated_ids",
        "In a history `X_2` is taken for a repetition of `X`, and its result is an error.",
        async |mut cli: Cli| {
            cli.initialize(Some(tools(true)), None).await;
            for second in ["call_2", "call2", "call_0_2", "call_02"] {
                cli.append_user("one").await;
                for id in ["call", second] {
                    let call = json!({"type": "tool_use", "id": id, "name": "mcp__c__look", "input": {}});
                    cli.append_assistant(json!([call])).await;
                    let result =
                        json!([{"type": "tool_result", "tool_use_id": id, "content": format!("result of {id}")}]);
                    if id == second {
                        cli.user(result).await;
                        cli.result().await;
                    } else {
                        cli.append_user(result).await;
                    }
                }
            }
            cli
        },
    )
    .await;
}

#[tokio::test]
async fn schemas_that_are_not_taken() {
    for (name, schema) in [
        (
            "stand_in/schema_dialect",
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}),
        ),
        ("stand_in/schema_keyword", json!({"type": "object", "properties": {"a": {"type": "string", "x-b": 1}}})),
        ("stand_in/schema_items", json!({"type": "object", "properties": {"a": {"prefixItems": [{}]}}})),
    ] {
        same(name, "A schema with a word that is not draft-07's is ignored.", async |mut cli: Cli| {
            cli.initialize(None, Some(schema.clone())).await;
            cli.user("who?").await;
            cli.result().await;
            cli
        })
        .await;
    }
}

#[tokio::test]
async fn api_failures() {
    for name in [
        "stand_in/fail_400",
        "stand_in/fail_401",
        "stand_in/fail_403",
        "stand_in/fail_404",
        "stand_in/fail_413",
        "stand_in/fail_429",
        "stand_in/fail_500",
        "stand_in/fail_529",
    ] {
        let code = &name[name.len() - 3..];
        same(name, "The API answers with this status, whatever is tried.", async |mut cli: Cli| {
            cli.initialize(None, None).await;
            cli.user(format!("[[fail {code}]]")).await;
            cli.result().await;
            cli
        })
        .await;
    }
    same("stand_in/overflow", "A conversation that is too long for the model.", async |mut cli: Cli| {
        cli.initialize(None, None).await;
        cli.user("[[overflow]]").await;
        cli.result().await;
        cli
    })
    .await;
}

#[tokio::test]
async fn an_unknown_control_request() {
    same(
        "stand_in/unknown_control_request",
        "An unknown control request is an error, and what follows is as if it had not been.",
        async |mut cli: Cli| {
            cli.initialize(None, None).await;
            cli.control(json!({"subtype": "bogus"})).await;
            cli.control(json!({"subtype": "set_model", "model": "sonnet"})).await;
            cli.control(json!({"subtype": "apply_flag_settings", "settings": {"effortLevel": "low"}})).await;
            cli.control(json!({"subtype": "interrupt"})).await;
            cli.user("hi").await;
            cli.result().await;
            cli
        },
    )
    .await;
}
