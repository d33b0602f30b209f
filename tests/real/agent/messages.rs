//! Agent mode at the door of the Messages API.

use serde_json::{Value, json};

use super::server::{PROMPT, Server};

fn request(system: &str, tools: Value, text: &str) -> Value {
    json!({"model": "claude-sonnet-4", "max_tokens": 99, "system": system, "tools": tools,
        "messages": [{"role": "user", "content": text}]})
}

/// The texts of a message that has nothing else, and has come to its end.
fn texts(message: &Value) -> String {
    assert_eq!(message["stop_reason"], "end_turn", "{message}");
    let blocks = message["content"].as_array().unwrap().iter();
    blocks.map(|block| block["text"].as_str().unwrap_or_else(|| panic!("{message}"))).collect()
}

#[tokio::test]
async fn a_search_of_the_web_is_claude_codes_own_and_the_client_sees_no_call() {
    let Some(server) = Server::with_tools(&["Bash", "WebSearch"]).await else { return };
    let tools = json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]);
    let message = server.message(&request("be terse", tools, r#"[[tool WebSearch {"query":"tower crates"}]]"#)).await;
    let said = texts(&message);
    assert!(said.contains("result: ") && said.contains("tower crates"), "{message}");
    // The CLI has the search done by a request of its own.
    let requests = server.api.requests();
    let searches = requests.iter().flat_map(|request| request["tools"].as_array().into_iter().flatten());
    let kinds: Vec<&str> = searches.filter_map(|tool| tool["type"].as_str()).collect();
    assert!(kinds.iter().any(|kind| kind.starts_with("web_search_")), "{kinds:?}");
}

#[tokio::test]
async fn a_page_is_fetched_by_claude_code_itself_within_the_fence_and_the_client_sees_no_call() {
    let Some(server) = Server::with_tools(&["WebFetch"]).await else { return };
    let tools = json!([{"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 3}]);
    for (url, refused) in [
        // Claude Code tries, whether or not there is a way to it from here.
        ("https://nowhere.invalid/", false),
        ("http://127.0.0.1:3456/status", true),
    ] {
        let call = format!(r#"[[tool WebFetch {{"url":"{url}","prompt":"What is there?"}}]]"#);
        let message = server.message(&request("be terse", tools.clone(), &call)).await;
        let said = texts(&message);
        assert!(said.contains("result: "), "{message}");
        assert_eq!(said.contains("everybody can reach"), refused, "{message}");
    }
    let offered = server.api.request(0).await["tools"].to_string();
    assert!(offered.contains("\"WebFetch\"") && !offered.contains("web_fetch"), "{offered}");
}

#[tokio::test]
async fn openclaws_functions_that_claude_code_has_tools_for_are_its_own() {
    let Some(server) = Server::start().await else { return };
    let tool = |name: &str| json!({"name": name, "description": "Does it.", "input_schema": {"type": "object"}});
    let tools: Value = ["exec", "message", "process", "read"].map(tool).to_vec().into();
    let message = server.message(&request(PROMPT, tools, r#"[[tool Bash {"command":"pwd"}]]"#)).await;
    let said = texts(&message);
    assert!(said.contains(server.workspace().to_str().unwrap()), "{message}");
    let offered = server.api.request(0).await["tools"].to_string();
    assert!(offered.contains("mcp__c__message") && offered.contains("Bash"), "{offered}");
    assert!(!offered.contains("mcp__c__exec"), "{offered}");
}
