//! The real OpenClaw, unmodified and with only its base URL set, against the proxy over the real CLI.

pub(crate) mod program;
mod server;

use base64::Engine;
use program::OpenClaw;
use server::Server;
use tower_claude::chat::Role;
use tower_claude::layers;

/// A picture of one dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[tokio::test(flavor = "multi_thread")]
async fn in_client_mode_openclaw_runs_its_own_tools_and_a_session_keeps_its_process() {
    let Some(openclaw) = OpenClaw::find() else { return };
    let Some(server) = Server::start(layers::OpenClawLayer::new(), openclaw.home(), |cli| cli).await else { return };
    openclaw.configure(server.address);
    let workspace = openclaw.home().join(".openclaw/workspace");
    std::fs::create_dir_all(&workspace).unwrap();
    let picture = workspace.join("dot.png");
    std::fs::write(&picture, base64::engine::general_purpose::STANDARD.decode(PNG).unwrap()).unwrap();

    let said = openclaw.says("s1", r#"Run it: [[tool exec {"command":"echo ran-$((40+2))"}]]"#).await;
    assert!(said.contains("ran-42"), "OpenClaw ran its tool, and the result is in the answer: {said}");
    assert_eq!((server.asked(), server.served("live")), (2, 1), "the result went to the process that waited for it");

    let said = openclaw.says("s1", &format!("What is {}? [[count 3]]", picture.display())).await;
    assert!(said.contains("w0 w1 w2"), "{said}");
    assert_eq!((server.asked(), server.served("live")), (3, 2), "a second run of OpenClaw goes on with the process");
    let call = server.blocks("tool_use").pop().expect("the first turn's call in the model's history");
    assert_eq!(call["name"], "mcp__c__exec");
    assert!(server.blocks("tool_result")[0].to_string().contains("ran-42"));
    let image = server.blocks("image").pop().expect("the picture that the message names");
    assert_eq!(
        (image["source"]["media_type"].as_str(), image["source"]["data"].as_str()),
        (Some("image/png"), Some(PNG))
    );

    server.api.fail_next(1, 529);
    let said = openclaw.says("s1", "And now? [[count 2]]").await;
    assert!(said.contains("w0 w1"), "OpenClaw has tried again: {said}");
    assert_eq!((server.asked(), server.served("live")), (5, 3), "the process went on until the API failed");
    assert!(server.blocks("tool_result")[0].to_string().contains("ran-42"), "the replay has it all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_prompt_of_openclaws_has_its_picture() {
    let Some(openclaw) = OpenClaw::find() else { return };
    let Some(server) = Server::start(layers::OpenClawLayer::new(), openclaw.home(), |cli| cli).await else { return };
    openclaw.configure(server.address);
    let picture = openclaw.home().join("dot.png");
    std::fs::write(&picture, base64::engine::general_purpose::STANDARD.decode(PNG).unwrap()).unwrap();
    let arguments = ["infer", "model", "run", "--local", "--model", "local/claude-sonnet-4", "--prompt", "[[count 2]]"];
    let said = openclaw.run(&[&arguments[..], &["--file", picture.to_str().unwrap()]].concat()).await;
    assert!(said.contains("w0 w1"), "{said}");
    assert_eq!(server.blocks("image")[0]["source"]["data"], PNG);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_agent_mode_claude_codes_tools_do_the_work_in_the_workspace() {
    agent_mode_does_the_work("openai-completions", "calling \n\nresult: ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_agent_mode_they_do_it_over_the_messages_api_as_well() {
    // Here blocks stay blocks, as the model wrote them.
    agent_mode_does_the_work("anthropic-messages", "calling \nresult: ").await;
}

/// At the door of this API, whose history has the first answer so.
async fn agent_mode_does_the_work(api: &str, answered: &str) {
    let Some(openclaw) = OpenClaw::find() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let workspace = scratch.path().canonicalize().unwrap().join("ws");
    std::fs::create_dir(&workspace).unwrap();
    std::fs::write(scratch.path().join("secret.txt"), "the secret").unwrap();
    let tools = ["Bash", "Read", "Edit", "Write", "Glob", "Grep"];
    let preset = layers::OpenClawLayer::new().agent(tools);
    let server = Server::start(preset, openclaw.home(), |cli| cli.workspace(&workspace).builtin_tools(tools)).await;
    let Some(server) = server else { return };
    openclaw.configure_api(server.address, api);

    let said = openclaw.says("s1", r#"Run it: [[tool exec {"command":"echo ran-$((40+2)); pwd > made.md"}]]"#).await;
    assert!(said.contains("ran-42"), "{said}");
    let made = std::fs::read_to_string(workspace.join("made.md")).expect("the CLI's Bash ran in the workspace");
    assert_eq!(made.trim(), workspace.to_str().unwrap());
    assert_eq!(server.asked(), 1, "OpenClaw was given no call to run, and so had no result to send");

    let said = openclaw.says("s1", r#"And this: [[tool exec {"command":"cat ../secret.txt"}]]"#).await;
    assert!(said.contains("is outside the workspace") && !said.contains("the secret"), "{said}");
    assert_eq!((server.asked(), server.served("live")), (2, 1));
    let seen = server.requests.lock().unwrap().last().unwrap().clone();
    assert!(seen.messages.iter().all(|message| message.calls().is_empty() && message.role != Role::Tool));
    let answer = seen.messages.iter().find(|message| message.role == Role::Assistant).unwrap();
    assert!(answer.text().starts_with(answered), "{:?}", answer.text());
    assert_eq!(server.blocks("tool_use")[0]["name"], "Bash", "the model has its call in its history");
}
