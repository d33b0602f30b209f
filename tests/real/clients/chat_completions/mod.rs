//! OpenAI's own clients, as programs use them.

use super::{node, python, run};
use crate::support::claude_bin::target_directory;

fn openai_python() -> Option<tokio::process::Command> {
    python("python", "openai", "chat_completions/openai_python.py")
}

fn openai_node() -> Option<tokio::process::Command> {
    node("node".into(), &target_directory().join("npm"), "openai", "chat_completions/openai_node.mjs")
}

#[tokio::test]
async fn python_ten_turns_are_on_one_process() {
    let Some(stack) = run(openai_python(), "ten_turns").await else { return };
    assert_eq!(stack.started().len(), 1);
    assert_eq!(stack.claude.health().requests.live, 9);
}

#[tokio::test]
async fn python_reads_a_stream() {
    run(openai_python(), "streaming").await;
}

#[tokio::test]
async fn python_stream_helper_runs_its_tools_to_the_end_on_one_process() {
    let Some(stack) = run(openai_python(), "stream_helper_with_tools").await else { return };
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn python_parse_helper_runs_its_tools_to_the_end_on_one_process() {
    let Some(stack) = run(openai_python(), "parse_with_tools").await else { return };
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn python_parse_helper_gets_an_object_of_its_class() {
    run(openai_python(), "parse_with_a_format").await;
}

#[tokio::test]
async fn python_raises_the_error_that_a_failure_is() {
    run(openai_python(), "errors").await;
}

#[tokio::test]
async fn python_lists_the_models() {
    run(openai_python(), "models").await;
}

#[tokio::test]
async fn node_run_tools_runs_to_the_end_on_one_process() {
    let Some(stack) = run(openai_node(), "run_tools").await else { return };
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn node_run_tools_streamed_runs_to_the_end_on_one_process() {
    let Some(stack) = run(openai_node(), "run_tools_streamed").await else { return };
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn node_reads_a_stream() {
    run(openai_node(), "streaming").await;
}

#[tokio::test]
async fn node_stream_helper_gives_the_whole_answer() {
    run(openai_node(), "stream_helper").await;
}

#[tokio::test]
async fn node_rejects_with_the_error_that_a_failure_is() {
    run(openai_node(), "errors").await;
}
