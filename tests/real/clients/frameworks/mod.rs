//! What stands on the APIs' own clients, or in their place: LangChain.js, the AI SDK's Anthropic provider, agno, instructor.

use tokio::process::Command;

use super::{modules, newer_node, node, python, run};

fn langchain() -> Option<Command> {
    node(newer_node(), &modules(), "@langchain/openai", "frameworks/langchain.mjs")
}

/// Two versions of the AI SDK that are in use beside the newest, under names of their own.
fn ai_sdk(package: &str, provider: &str) -> Option<Command> {
    let mut command = node("node".into(), &modules(), package, "frameworks/ai_sdk_anthropic.mjs")?;
    command.env("AI_SDK", package).env("PROVIDER", provider);
    Some(command)
}

fn ai_sdk_5() -> Option<Command> {
    ai_sdk("ai-5", "ai-sdk-anthropic-2")
}

fn ai_sdk_6() -> Option<Command> {
    ai_sdk("ai-6", "ai-sdk-anthropic-3")
}

fn agno() -> Option<Command> {
    python("python", "agno", "frameworks/agno_agent.py")
}

fn instructor() -> Option<Command> {
    python("python-instructor", "instructor", "frameworks/instructor_client.py")
}

scenarios! {
    langchain_gets_objects_over_chat_completions: langchain "chat_completions" on [2];
    langchain_gets_objects_over_responses: langchain "responses" on [2];
    langchain_gets_objects_over_messages: langchain "messages" on [2];
    ai_sdk_5_runs_its_tools_on_one_process: ai_sdk_5 "tool_loop" on [1];
    ai_sdk_5_streams_with_tools: ai_sdk_5 "tool_loop_streamed" on [1];
    ai_sdk_5_gets_objects: ai_sdk_5 "objects" on [2];
    ai_sdk_6_runs_its_tools_on_one_process: ai_sdk_6 "tool_loop" on [1];
    ai_sdk_6_streams_with_tools: ai_sdk_6 "tool_loop_streamed" on [1];
    ai_sdk_6_gets_objects: ai_sdk_6 "objects" on [2];
    agno_runs_its_tools_on_one_process: agno "tools" on [1];
    agno_streams_with_tools: agno "tools_streamed" on [1];
    instructor_gets_an_object: instructor "responses_tools" on [1];
}
