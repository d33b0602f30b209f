//! Tools: functions, free text, namespaces, and those that OpenAI would run itself.

use serde_json::{Value, json};
use tower_claude::chat::ToolChoice;
use tower_claude::{ChatEvent, FinishReason};

use super::client::{create, shown};
use crate::support::snapshot::assert_snapshot;
use crate::support::turns::{Turns, arguments, call, finished, saying, text};

fn patch_tool() -> Value {
    json!({"type": "custom", "name": "apply_patch", "description": "Edits files.",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: \"x\""}})
}

#[tokio::test]
async fn a_custom_tool_is_a_function_of_one_text_to_the_model_and_free_text_to_the_client() {
    let turns = Turns::new().says([
        call(0, "toolu01", "apply_patch"),
        arguments(0, r#"{"inp"#),
        arguments(0, r#"ut":"*** Begin\n+\"#),
        arguments(0, r#""é\u00e9\"\n"}"#),
        finished(FinishReason::ToolCalls),
    ]);
    let asked = json!({"stream": true, "tools": [patch_tool()]});
    let answer = create(&turns.api(), asked).await;
    assert_snapshot!(
        "responses/stream_custom_tool",
        "A custom tool's text comes without the JSON around it.",
        shown(&turns, &answer)
    );

    let request = turns.last();
    let function = request.functions().next().unwrap();
    assert_eq!(function.name, "apply_patch");
    assert_eq!(function.parameters.as_ref().unwrap()["required"], json!(["input"]));
    let description = function.description.as_deref().unwrap();
    assert!(description.starts_with("Edits files.\n\n") && description.ends_with("start: \"x\""), "{description}");
}

#[tokio::test]
async fn a_namespaces_tools_are_functions_and_get_their_names_back() {
    let tools = json!([
        {"type": "namespace", "name": "agents", "description": "d", "tools": [
            {"type": "function", "name": "spawn", "parameters": {"type": "object"}},
            {"type": "custom", "name": "note"},
        ]},
        {"type": "namespace", "name": "mcp__files__", "description": "d", "tools": [{"type": "function", "name": "read"}]},
        {"type": "function", "name": "spawn"},
    ]);
    let turns = Turns::new().says([
        call(0, "toolu01", "agents__spawn"),
        call(1, "toolu02", "agents__note"),
        arguments(1, r#"{"input":"n"}"#),
        call(2, "toolu03", "spawn"),
        finished(FinishReason::ToolCalls),
    ]);
    let answer = create(&turns.api(), json!({"tools": tools})).await.json();
    let called: Vec<Value> = answer["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| json!([item["type"], item["namespace"], item["name"], item["arguments"], item["input"]]))
        .collect();
    assert_eq!(
        called,
        [
            json!(["function_call", "agents", "spawn", "{}", null]),
            json!(["custom_tool_call", "agents", "note", null, "n"]),
            json!(["function_call", null, "spawn", "{}", null]),
        ]
    );
    let names: Vec<String> = turns.last().functions().map(|function| function.name.clone()).collect();
    assert_eq!(names, ["agents__spawn", "agents__note", "mcp__files__read", "spawn"]);
    assert_eq!(answer["tools"][2], json!({"type": "function", "name": "spawn", "parameters": null, "strict": null}));

    let input = json!([
        {"role": "user", "content": "go"},
        {"type": "function_call", "namespace": "agents", "name": "spawn", "call_id": "toolu01", "arguments": "{}"},
        {"type": "custom_tool_call", "namespace": "agents", "name": "note", "call_id": "toolu02", "input": "a \"b\""},
        {"type": "function_call_output", "call_id": "toolu01", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "toolu02", "output": "2"},
    ]);
    create(&turns.api(), json!({"tools": tools, "input": input})).await;
    let messages = turns.messages();
    assert_eq!(messages[1]["tool_calls"][0]["function"], json!({"name": "agents__spawn", "arguments": "{}"}));
    let note = json!({"name": "agents__note", "arguments": r#"{"input":"a \"b\""}"#});
    assert_eq!(messages[1]["tool_calls"][1]["function"], note);
}

#[tokio::test]
async fn two_tools_of_one_name_are_refused() {
    let tools = json!([{"type": "function", "name": "a"}, {"type": "custom", "name": "a"}]);
    let answer = create(&saying("").api(), json!({"tools": tools})).await;
    assert_eq!(answer.fault(), (400, json!("tools[1].name"), Value::Null));
    let answer = create(&saying("").api(), json!({"tools": [{"type": "function", "name": "a b"}]})).await;
    assert_eq!(answer.fault(), (400, json!("tools[0].name"), Value::Null));
}

#[tokio::test]
async fn hosted_tools_are_named_and_fail_no_turn() {
    let tools = json!([
        {"type": "web_search", "external_web_access": true},
        {"type": "file_search", "vector_store_ids": ["v"]},
        {"type": "code_interpreter", "container": "c"},
        {"type": "function", "name": "a"},
    ]);
    let turns = saying("hi");
    let answer = create(&turns.api(), json!({"tools": tools, "tool_choice": {"type": "file_search"}})).await;
    assert_eq!(
        answer.header("x-ignored-parameters"),
        Some("tools.web_search, tools.file_search, tools.code_interpreter, tool_choice.file_search")
    );
    assert_eq!(
        answer.json()["tools"],
        json!([
            {"type": "web_search", "external_web_access": true},
            {"type": "file_search", "vector_store_ids": ["v"]},
            {"type": "code_interpreter", "container": "c"},
            {"type": "function", "name": "a", "parameters": null, "strict": null},
        ])
    );
    assert_eq!(turns.last().functions().count(), 1);
    let required = json!({"tools": [{"type": "web_search"}], "tool_choice": "required"});
    assert_eq!(create(&turns.api(), required).await.status, 200);
    assert_eq!(turns.last().tools, None);
}

#[tokio::test]
async fn claude_codes_own_web_search_is_told_where_the_client_offered_one() {
    let search = ChatEvent::builtin_tool_use("WebSearch".to_owned(), json!({"query": "rust"}));
    let turns = Turns::new().says([text("Let me look."), search, text("Found."), finished(FinishReason::Stop)]);
    let asked = json!({"stream": true, "tools": [{"type": "web_search"}]});
    let answer = create(&turns.api(), asked).await;
    assert_snapshot!(
        "responses/stream_web_search",
        "A web search of Claude Code's own is an item of its own.",
        shown(&turns, &answer)
    );
    let answer = create(&turns.api(), json!({})).await.json();
    assert_eq!(answer["output"].as_array().unwrap().len(), 1, "who offers no search is told of none");
}

#[tokio::test]
async fn a_tool_choice_means_the_same_in_all_its_forms() {
    let tools = json!([
        {"type": "function", "name": "a"},
        patch_tool(),
        {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "b"}]},
        {"type": "web_search"},
    ]);
    let allowed = |required, names: &[&str]| ToolChoice::allowed(required, names.iter().copied());
    for (asked, expected) in [
        (json!("none"), ToolChoice::None),
        (json!("auto"), ToolChoice::Auto),
        (json!("required"), ToolChoice::Required),
        (json!({"type": "function", "name": "a"}), ToolChoice::Function("a".to_owned())),
        (json!({"type": "custom", "name": "apply_patch"}), ToolChoice::Function("apply_patch".to_owned())),
        (json!({"type": "function", "namespace": "n", "name": "b"}), ToolChoice::Function("n__b".to_owned())),
        (json!({"type": "web_search"}), ToolChoice::Auto),
        (json!({"type": "mcp", "server_label": "s"}), ToolChoice::Auto),
        (
            json!({"type": "allowed_tools", "mode": "auto", "tools": [
                {"type": "function", "name": "a"}, {"type": "custom", "name": "apply_patch"}, {"type": "web_search"}]}),
            allowed(false, &["a", "apply_patch"]),
        ),
        (
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "a"}]}),
            allowed(true, &["a"]),
        ),
        (json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}), ToolChoice::None),
    ] {
        let turns = saying("");
        let answer = create(&turns.api(), json!({"tools": tools, "tool_choice": asked})).await;
        assert_eq!(answer.status, 200, "{asked}: {}", answer.text());
        assert_eq!(turns.last().tool_choice, Some(expected), "{asked}");
        let hosted = matches!(asked["type"].as_str(), Some("web_search" | "mcp"));
        assert_eq!(answer.json()["tool_choice"], if hosted { json!("auto") } else { asked });
    }
    for asked in [json!("sometimes"), json!({"type": "function", "name": "z"}), json!(7), json!({"name": "a"})] {
        let answer = create(&saying("").api(), json!({"tools": tools, "tool_choice": asked})).await;
        assert_eq!(answer.fault(), (400, json!("tool_choice"), Value::Null), "{asked}");
    }
}
