//! Validates answers against OpenAI's own schemas, if they are available, with the program of the package `checks`.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::claude_bin::{built, say_skipped};

const CHAT_COMPLETIONS: &str = "chat-completions";
const RESPONSES: &str = "responses";

/// A whole chat completion.
pub(crate) fn assert_valid_completion(value: &Value) {
    assert_valid(CHAT_COMPLETIONS, "CreateChatCompletionResponse", value);
}

/// One chunk of a streamed chat completion.
pub(crate) fn assert_valid_chunk(value: &Value) {
    assert_valid(CHAT_COMPLETIONS, "CreateChatCompletionStreamResponse", value);
}

/// The body of a failure.
pub(crate) fn assert_valid_error(value: &Value) {
    assert_valid(CHAT_COMPLETIONS, "ErrorResponse", value);
    assert_valid(RESPONSES, "ErrorResponse", value);
}

/// The list of models.
pub(crate) fn assert_valid_models(value: &Value) {
    assert_valid(CHAT_COMPLETIONS, "ListModelsResponse", value);
}

/// One model.
pub(crate) fn assert_valid_model(value: &Value) {
    assert_valid(CHAT_COMPLETIONS, "Model", value);
}

/// Any whole answer, by its `object` field. An answer without one is an error, or a health report.
pub(crate) fn assert_valid_object(value: &Value) {
    match value["object"].as_str() {
        Some("chat.completion") => assert_valid_completion(value),
        Some("list") if value.get("first_id").is_some() => assert_valid(RESPONSES, "ResponseItemList", value),
        Some("list") => assert_valid_models(value),
        Some("model") => assert_valid_model(value),
        Some("response") if value["deleted"] == true => {}
        Some("response") => assert_valid(RESPONSES, "Response", value),
        Some("response.input_tokens") => assert_valid(RESPONSES, "TokenCountsResource", value),
        _ if value.get("status").is_some() => {}
        _ => assert_valid_error(value),
    }
}

/// An event of a response's stream.
pub(crate) fn assert_valid_event(event: &Value) {
    assert_valid(RESPONSES, event_type(event["type"].as_str().unwrap()), event);
}

/// Checks a value against the schema's type of that name.
#[allow(clippy::zombie_processes, reason = "the validator ends when its input does, with this program")]
fn assert_valid(schema: &str, name: &str, value: &Value) {
    let Some(file) = file(schema) else { return };
    static VALIDATOR: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>> = Mutex::new(None);
    // A test that has panicked within has not left half a line there.
    let mut validator = VALIDATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let (stdin, stdout) = validator.get_or_insert_with(|| {
        let program = built("checks", &["--package", "checks"], &["tests/checks/src"]);
        let child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let child = child.expect("the validator starts");
        (child.stdin.expect("it is piped"), BufReader::new(child.stdout.expect("it is piped")))
    });
    writeln!(stdin, "{}", json!({"schema": file, "type": name, "value": value})).expect("the validator reads");
    let mut faults = String::new();
    stdout.read_line(&mut faults).expect("the validator answers");
    drop(validator);
    assert!(faults == "[]\n", "not a valid {name}: {faults}\n{value:#}");
}

/// The file of that schema.
fn file(schema: &str) -> Option<PathBuf> {
    let file = PathBuf::from(format!("{}/../shared/openai/{schema}.schema.json", env!("CARGO_MANIFEST_DIR")));
    if !file.exists() {
        say_skipped("no schema to validate answers against");
        return None;
    }
    Some(file)
}

/// The type of an event of this `type`, such as `ResponseTextDeltaEvent` of `response.output_text.delta`.
///
/// Checked against the union of all types, an event could pass as one of another, more lenient type.
fn event_type(kind: &str) -> &'static str {
    match kind {
        "response.created" => "ResponseCreatedEvent",
        "response.queued" => "ResponseQueuedEvent",
        "response.in_progress" => "ResponseInProgressEvent",
        "response.completed" => "ResponseCompletedEvent",
        "response.incomplete" => "ResponseIncompleteEvent",
        "response.failed" => "ResponseFailedEvent",
        "response.output_item.added" => "ResponseOutputItemAddedEvent",
        "response.output_item.done" => "ResponseOutputItemDoneEvent",
        "response.content_part.added" => "ResponseContentPartAddedEvent",
        "response.content_part.done" => "ResponseContentPartDoneEvent",
        "response.output_text.delta" => "ResponseTextDeltaEvent",
        "response.output_text.done" => "ResponseTextDoneEvent",
        "response.refusal.delta" => "ResponseRefusalDeltaEvent",
        "response.refusal.done" => "ResponseRefusalDoneEvent",
        "response.reasoning_summary_part.added" => "ResponseReasoningSummaryPartAddedEvent",
        "response.reasoning_summary_part.done" => "ResponseReasoningSummaryPartDoneEvent",
        "response.reasoning_summary_text.delta" => "ResponseReasoningSummaryTextDeltaEvent",
        "response.reasoning_summary_text.done" => "ResponseReasoningSummaryTextDoneEvent",
        "response.function_call_arguments.delta" => "ResponseFunctionCallArgumentsDeltaEvent",
        "response.function_call_arguments.done" => "ResponseFunctionCallArgumentsDoneEvent",
        "response.custom_tool_call_input.delta" => "ResponseCustomToolCallInputDeltaEvent",
        "response.custom_tool_call_input.done" => "ResponseCustomToolCallInputDoneEvent",
        "response.web_search_call.in_progress" => "ResponseWebSearchCallInProgressEvent",
        "response.web_search_call.searching" => "ResponseWebSearchCallSearchingEvent",
        "response.web_search_call.completed" => "ResponseWebSearchCallCompletedEvent",
        other => panic!("no event of OpenAI's is called {other:?}"),
    }
}

#[test]
fn the_validation_can_fail() {
    if file(CHAT_COMPLETIONS).is_none() || file(RESPONSES).is_none() {
        return;
    }
    let fails = |value: Value| std::panic::catch_unwind(|| assert_valid_object(&value)).is_err();
    assert!(fails(json!({"error": {"message": "m", "type": "t", "param": null}})), "an error without a code");
    assert!(fails(json!({"id": "resp_0", "object": "response"})));
    let chunk = json!({"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "done"}]});
    assert!(std::panic::catch_unwind(|| assert_valid_chunk(&chunk)).is_err(), "a reason that there is not");
    let event = json!({"type": "response.output_text.delta", "delta": "x"});
    assert!(std::panic::catch_unwind(|| assert_valid_event(&event)).is_err());
}
