//! What each layer does to a request and to an answer.

mod joints;
mod openclaw;
mod transcript;

use serde_json::json;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_claude::layers::{
    ChoicesLayer, FlattenPartsLayer, ModelAliasLayer, OpenClawLayer, RecognizeLayer, Sections, SeparateBlocksLayer,
    ShowToolsLayer, StopLayer, StripSectionsLayer, ToolNamesLayer, UnknownModel,
};
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, ErrorKind, EventStream, FinishReason, Usage};
use transcript::{assert_answer, assert_request, through, unreachable_service};

fn request(json: serde_json::Value) -> ChatRequest {
    serde_json::from_value(json).unwrap()
}

fn text(text: &str) -> ChatEvent {
    ChatEvent::TextDelta(text.to_owned())
}

fn call(index: u32, name: &str) -> ChatEvent {
    ChatEvent::tool_call_start(index, format!("call{index}"), name.to_owned())
}

fn arguments(index: u32, arguments: &str) -> ChatEvent {
    ChatEvent::tool_call_delta(index, arguments.to_owned())
}

fn finished(reason: FinishReason) -> ChatEvent {
    ChatEvent::finished(reason, Usage::new(12, 3))
}

/// An answer with something of everything.
fn any_answer() -> Vec<ChatEvent> {
    vec![
        ChatEvent::Started,
        ChatEvent::ReasoningDelta("hm".to_owned()),
        ChatEvent::TextBlockStart,
        text("Let me look."),
        call(0, "Bash"),
        arguments(0, r#"{"command":"#),
        arguments(0, r#""ls"}"#),
        finished(FinishReason::ToolCalls),
    ]
}

#[tokio::test]
async fn model_alias_gives_the_cli_its_own_name_for_the_model() {
    let before = request(json!({
        "model": "claude-max/claude-sonnet-4.5",
        "messages": [{"role": "user", "content": "hi"}]
    }));
    let (after, events) = through(ModelAliasLayer::claude(), before.clone(), &any_answer()).await;
    assert_request("layers/model_alias_request", "A provider prefix and a version come off.", &before, &after);
    assert_eq!(events, any_answer());
}

#[tokio::test]
async fn model_alias_refuses_an_unknown_model_where_it_is_told_to() {
    let layer = ModelAliasLayer::claude().unknown(UnknownModel::Reject);
    let error = layer.layer(unreachable_service()).oneshot(request(json!({"model": "gpt-4o", "messages": []}))).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelNotFound);
    assert_eq!(
        error.body(),
        json!({"error": {
            "message": "The model `gpt-4o` does not exist or you do not have access to it. Known are claude-opus-4, claude-sonnet-4, claude-haiku-4, \
                        opus, sonnet, haiku, opus-max, sonnet-max, versions of these, and any id that \
                        begins with `claude-`.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found"
        }})
    );
}

fn function(name: &str) -> serde_json::Value {
    json!({"type": "function", "function": {"name": name, "description": format!("Does {name}."), "parameters": {}}})
}

/// A conversation in which `exec` was called, as was `grep`, which is no longer offered.
fn with_tools(tool_choice: serde_json::Value) -> ChatRequest {
    request(json!({
        "model": "opus",
        "messages": [
            {"role": "user", "content": "What is here?"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "exec", "arguments": "{\"command\":\"ls\"}"}},
                {"id": "c2", "type": "function", "function": {"name": "process", "arguments": "{}"}},
                {"id": "c3", "type": "function", "function": {"name": "grep", "arguments": "{}"}}
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "exec\n"},
            {"role": "tool", "tool_call_id": "c2", "content": ""},
            {"role": "tool", "tool_call_id": "c3", "content": ""}
        ],
        "tools": [function("exec"), function("process"), function("message")],
        "tool_choice": tool_choice
    }))
}

fn tool_names() -> ToolNamesLayer {
    ToolNamesLayer::new([("exec", "Bash"), ("process", "Bash"), ("grep", "Grep")])
}

#[tokio::test]
async fn tool_names_are_the_models_on_the_way_in_and_the_clients_on_the_way_out() {
    let before = with_tools(json!({"type": "function", "function": {"name": "exec"}}));
    let answer = [
        ChatEvent::Started,
        ChatEvent::TextBlockStart,
        text("I use Bash."),
        call(0, "Bash"),
        arguments(0, r#"{"command":"Bash"}"#),
        call(1, "process"),
        call(2, "message"),
        finished(FinishReason::ToolCalls),
    ];
    let (after, events) = through(tool_names(), before.clone(), &answer).await;
    let description = "exec is Bash; process would collide with it and keeps its name; grep is in the history only.";
    assert_request("layers/tool_names_request", description, &before, &after);
    assert_answer("layers/tool_names_answer", "Names go back, in calls and nowhere else.", &answer, &events);
}

#[tokio::test]
async fn tool_names_reach_a_choice_among_several_functions() {
    let choice = |names: [&str; 2]| {
        let tools = names.map(|name| json!({"type": "function", "function": {"name": name}}));
        json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": tools}})
    };
    let (after, _) = through(tool_names(), with_tools(choice(["exec", "message"])), &any_answer()).await;
    assert_eq!(serde_json::to_value(after.tool_choice).unwrap(), choice(["Bash", "message"]));
}

#[tokio::test]
async fn tool_names_leave_a_request_without_functions_and_its_answer_alone() {
    let before = request(json!({"model": "opus", "messages": [{"role": "user", "content": "exec"}]}));
    let (after, events) = through(tool_names(), before.clone(), &any_answer()).await;
    assert_eq!((after, events), (before, any_answer()));
}

#[tokio::test]
async fn tool_names_apply_only_when_they_are_to() {
    let before = with_tools(json!("auto"));
    let (after, events) = through(tool_names().when(|_| false), before.clone(), &any_answer()).await;
    assert_eq!((after, events), (before, any_answer()));
}

#[tokio::test]
async fn system_prompt_loses_the_sections_that_are_named_and_nothing_else() {
    let prompt = "You are helpful.  \n\n\
                  ## Tooling\n- exec: runs commands\n\n### More of it\n```sh\n# not a heading\n```\n\n\n\
                  ## Style\nTerse.\r\n\n\n\
                  ~~~md\n## Tooling\nan example\n~~~\n\n\
                  ### Tooling ###\nAgain.\n";
    let before = request(json!({
        "model": "opus",
        "messages": [
            {"role": "system", "content": prompt},
            {"role": "user", "content": "## Tooling\nmine"},
            {"role": "developer", "content": [{"type": "text", "text": "## Tooling\nonly"}]}
        ]
    }));
    let layer = StripSectionsLayer::new(Sections::named(["Tooling"]));
    let (after, events) = through(layer.clone(), before.clone(), &any_answer()).await;
    let description = "Tooling goes, with what is below it; the fenced example and the user's own text stay.";
    assert_request("layers/strip_sections_request", description, &before, &after);
    assert_eq!(events, any_answer());

    let (after, _) = through(layer.when(|_| false), before.clone(), &any_answer()).await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn parts_become_text_on_the_way_in() {
    let before = request(json!({
        "model": "opus",
        "messages": [
            {"role": "system", "content": [
                {"type": "text", "text": "Be kind."},
                {"type": "text", "text": "Be brief."}
            ]},
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"role": "assistant", "content": [
                {"type": "output_text", "text": "I"},
                {"type": "refusal", "refusal": "won't"}
            ]},
            {"role": "assistant", "content": null},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
            ]},
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}}]}
        ]
    }));
    let (after, _) = through(FlattenPartsLayer::new(), before.clone(), &any_answer()).await;
    assert_request("layers/flatten_parts_request", "Only arrays that are all text become text.", &before, &after);
}

#[tokio::test]
async fn text_blocks_have_a_blank_line_between_them_on_the_way_out() {
    let answer = [
        ChatEvent::Started,
        ChatEvent::TextBlockStart,
        text("Let me"),
        text(" look."),
        ChatEvent::ReasoningDelta("hm".to_owned()),
        ChatEvent::TextBlockStart,
        text(""),
        ChatEvent::TextBlockStart,
        text("Found"),
        text(" it."),
        ChatEvent::TextBlockStart,
        finished(FinishReason::Stop),
    ];
    let before = request(json!({"model": "opus", "messages": []}));
    let (_, events) = through(SeparateBlocksLayer::new(), before, &answer).await;
    assert_answer("layers/separate_blocks_answer", "Blocks without text get no blank line.", &answer, &events);
}

#[test]
fn response_futures_are_printed_by_their_names() {
    let model = service_fn(|request: ChatRequest| async move {
        Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter([])))
    });
    macro_rules! printed {
        ($($layer:expr),*) => { [$(format!("{:?}", $layer.layer(model).call(ChatRequest::default()))),*] };
    }
    let names = printed![
        ChoicesLayer::new(),
        ModelAliasLayer::claude(),
        OpenClawLayer::new(),
        RecognizeLayer::new(),
        SeparateBlocksLayer::new(),
        ShowToolsLayer::new([("exec", "Bash")]),
        StopLayer::new(),
        tool_names()
    ];
    let futures =
        ["Choices", "ModelAlias", "OpenClaw", "Recognize", "SeparateBlocks", "ShowTools", "Stop", "ToolNames"];
    assert_eq!(names, futures.map(|name| format!("{name}Future")));
}
