//! OpenAI's own clients, its Agents SDK, the AI SDK and Codex.

mod codex;

use tokio::process::Command;

use super::{modules, newer_node, node, python, run};

fn openai_python() -> Option<Command> {
    python("python", "openai", "responses/openai_python.py")
}

fn agents_sdk() -> Option<Command> {
    python("python", "agents", "responses/agents_sdk.py")
}

fn openai_node() -> Option<Command> {
    node(newer_node(), &modules(), "openai", "responses/openai_node.mjs")
}

fn ai_sdk() -> Option<Command> {
    node(newer_node(), &modules(), "@ai-sdk/openai", "responses/ai_sdk.mjs")
}

scenarios! {
    python_goes_on_by_previous_response_id: openai_python "five_turns_by_previous_response_id" on [1];
    python_goes_on_by_its_items: openai_python "five_turns_by_items" on [1];
    python_reads_a_stream: openai_python "streaming" on [1];
    python_stream_helper_has_reasoning_and_objects: openai_python "stream_helper" on [2];
    python_reads_a_stream_again: openai_python "a_stream_is_read_again" on [1];
    python_parse_helper_gets_an_object_of_its_class: openai_python "parse" on [1];
    python_parse_helper_gets_arguments_of_its_class: openai_python "parse_with_tools" on [1];
    python_runs_its_tools_on_one_process: openai_python "tool_loop" on [1];
    python_runs_its_tools_by_previous_response_id: openai_python "tool_loop_by_previous_response_id" on [1];
    python_runs_a_tool_of_free_text: openai_python "custom_tool_loop" on [1];
    python_asks_for_what_is_kept: openai_python "kept" on [1];
    python_waits_for_an_answer_in_the_background: openai_python "background" on [1 2];
    python_raises_the_error_that_a_failure_is: openai_python "errors" on [8];
    node_goes_on_by_previous_response_id: openai_node "turns_by_previous_response_id" on [1];
    node_reads_a_stream: openai_node "streaming" on [1];
    node_stream_helper_gives_the_whole_answer: openai_node "stream_helper" on [1];
    node_parse_helper_gets_an_object: openai_node "parse" on [1];
    node_runs_its_tools_on_one_process: openai_node "tool_loop" on [1];
    node_rejects_with_the_error_that_a_failure_is: openai_node "errors" on [1];
    agents_sdk_runs_its_tools_on_one_process: agents_sdk "tools" on [1];
    agents_sdk_goes_on_by_previous_response_id: agents_sdk "previous_response_id" on [1];
    agents_sdk_hands_off_to_another_agent: agents_sdk "handoff" on [2];
    agents_sdk_streams: agents_sdk "streaming" on [1];
    agents_sdk_gets_an_object_of_its_class: agents_sdk "output_type" on [1];
    ai_sdk_runs_its_tools_on_one_process: ai_sdk "tool_loop" on [1];
    ai_sdk_runs_its_tools_where_nothing_is_stored: ai_sdk "tool_loop_unstored" on [1];
    ai_sdk_streams_with_tools: ai_sdk "tool_loop_streamed" on [1];
    ai_sdk_gets_an_object: ai_sdk "object" on [1];
}
