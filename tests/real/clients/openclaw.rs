//! OpenClaw at the doors that it is not told of by default: `api: "openai-responses"` and `api: "anthropic-messages"`.

use crate::openclaw::program::OpenClaw;
use crate::support::claude_bin::real_cli;
use crate::support::stack::Stack;

async fn runs_its_tools_and_keeps_its_process(api: &str) {
    let (Some(openclaw), Some(cli)) = (OpenClaw::find(), real_cli()) else { return };
    let stack = Stack::over(&cli, |builder| builder).await;
    openclaw.configure_api(stack.serve().await, api);
    let live = || stack.claude.health().requests.live;

    let said = openclaw.says("s1", r#"Run it: [[tool exec {"command":"echo ran-$((40+2))"}]]"#).await;
    assert!(said.contains("ran-42"), "OpenClaw ran its tool, and the result is in the answer: {said}");
    assert_eq!(live(), 1, "the result went to the process that waited for it");

    let said = openclaw.says("s1", "And now? [[count 3]]").await;
    assert!(said.contains("w0 w1 w2"), "{said}");
    assert_eq!(live(), 2, "a second run of OpenClaw goes on with the process");
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn openclaw_runs_its_tools_over_the_responses_api_and_keeps_its_process() {
    runs_its_tools_and_keeps_its_process("openai-responses").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openclaw_runs_its_tools_over_the_messages_api_and_keeps_its_process() {
    runs_its_tools_and_keeps_its_process("anthropic-messages").await;
}
