//! The client's functions: offered, called, waited for, and answered on the same process.

use serde_json::{Value, json};
use tower_claude::FinishReason;

use crate::support::chat::{Chat, Heard, ask, claude, function, messages, result, try_ask, until, user};

/// A red dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

fn chat() -> Chat {
    let mut chat = Chat::new(&claude().build());
    chat.request["tools"] = json!([function("look"), function("exec")]);
    chat
}

fn text_result(text: &str) -> Value {
    json!([{"type": "text", "text": text}])
}

fn parked(chat: &Chat) -> usize {
    chat.claude.health().processes.parked
}

#[tokio::test]
async fn two_calls_at_once_are_answered_on_the_same_process() {
    let mut chat = chat();
    let pid = chat.pid().await;
    let answer = chat.say(r#"[[tool look {"at":"the sky"} ;; exec {}]]"#).await;
    assert_eq!(answer.text, "calling ");
    assert_eq!(answer.reason, Some(FinishReason::ToolCalls));
    let named: Vec<_> = answer.calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
    assert_eq!(named, [("look", r#"{"at":"the sky"}"#), ("exec", "{}")]);
    for call in &answer.calls {
        assert!(call.id.len() <= 40 && call.id.chars().all(|char| char.is_ascii_alphanumeric()), "{}", call.id);
    }
    assert_eq!(parked(&chat), 1);

    let answer = chat.give(["blue", "done"]).await;
    assert_eq!(answer.process, "live");
    assert_eq!(answer.text, r#"result: [[{"type":"text","text":"blue"}],[{"type":"text","text":"done"}]]"#);
    assert_eq!(answer.reason, Some(FinishReason::Stop));
    assert_eq!(parked(&chat), 0);
    assert_eq!(chat.pid().await, pid);
}

#[tokio::test]
async fn results_in_another_order_with_stripped_ids_find_their_calls() {
    let mut chat = chat();
    chat.say("[[tool look {} ;; exec {}]]").await;
    let (one, two) = (chat.calls[0].id.clone(), chat.calls[1].id.clone());
    let answer = chat.send([result(&format!("-{two}_"), "2"), result(&one, "1")]).await;
    assert_eq!(answer.process, "live");
    assert_eq!(answer.text, r#"result: [[{"type":"text","text":"1"}],[{"type":"text","text":"2"}]]"#);
}

#[tokio::test]
async fn arguments_that_the_client_wrote_anew_are_the_same_call() {
    let mut chat = chat();
    chat.say(r#"[[tool look {"a": 1, "b": [2]}]]"#).await;
    let last = chat.messages().len() - 1;
    chat.messages()[last]["tool_calls"][0]["function"]["arguments"] = json!(r#"{"b":[2],"a":1}"#);
    assert_eq!(chat.give(["x"]).await.process, "live");
}

#[tokio::test]
async fn a_call_that_the_client_changed_is_replayed_as_changed() {
    let mut chat = chat();
    chat.say(r#"[[tool look {"a": 1}]]"#).await;
    let last = chat.messages().len() - 1;
    chat.messages()[last]["tool_calls"][0]["function"]["arguments"] = json!(r#"{"a":2}"#);
    assert_ne!(chat.give(["x"]).await.process, "live");
    let told = chat.say("[[history]]").await.json();
    assert_eq!(told["messages"][1]["content"][1]["input"], json!({"a": 2}));
}

#[tokio::test]
async fn calls_that_are_not_to_be_parallel_come_one_an_answer() {
    let mut chat = chat();
    chat.request["parallel_tool_calls"] = json!(false);
    let pid = chat.pid().await;
    let names = |answer: &Heard| answer.calls.iter().map(|call| call.name.clone()).collect::<Vec<_>>();

    let first = chat.say(r#"[[tool look {"at":1} ;; exec {"do":2}]]"#).await;
    assert_eq!((names(&first), first.reason), (vec!["look".to_owned()], Some(FinishReason::ToolCalls)));
    let second = chat.give(["one"]).await;
    assert_eq!((names(&second), second.reason), (vec!["exec".to_owned()], Some(FinishReason::ToolCalls)));
    assert_eq!((second.text.as_str(), second.calls[0].arguments.as_str()), ("", r#"{"do":2}"#));
    assert_eq!((second.process.as_str(), &second.model), ("live", &first.model));
    let last = chat.give(["two"]).await;
    assert_eq!(last.text, r#"result: [[{"type":"text","text":"one"}],[{"type":"text","text":"two"}]]"#);
    assert_eq!(chat.pid().await, pid);
}

#[tokio::test]
async fn results_of_any_size_arrive_whole() {
    for (size, process) in [(0, "cold"), (300_000, "live"), (490_000, "live"), (490_001, "cold"), (900_000, "cold")] {
        let mut chat = chat();
        chat.say("[[tool look {}]]").await;
        let answer = chat.give([&"z".repeat(size)]).await;
        assert_eq!(answer.process, process, "{size}");
        assert_eq!(answer.text.matches('z').count(), size);
    }
}

#[tokio::test]
async fn a_results_size_is_counted_as_the_cli_counts_it() {
    // Two UTF-16 units each.
    let mut chat = chat();
    chat.say("[[tool look {}]]").await;
    assert_eq!(chat.give([&"🦀".repeat(245_001)]).await.process, "cold");
}

#[tokio::test]
async fn results_of_any_kind_arrive() {
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let text = |text: &str| json!({"type": "text", "text": text});
    let png =
        |data: &str| json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}});
    let inline = |data: &str| image(&format!("data:image/png;base64,{data}"));
    let far = json!({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}});
    let cases = [
        // The CLI would fill it with words of its own.
        (json!(""), json!([]), "cold"),
        (json!("(no output)"), text_result("(no output)"), "live"),
        (json!([text("a"), text("b")]), json!([text("a"), text("b")]), "live"),
        (json!([text("a"), inline(PNG)]), json!([text("a"), png(PNG)]), "live"),
        // Nobody knows what the CLI would make of it.
        (json!([inline("AAAA")]), json!([png("AAAA")]), "cold"),
        (json!([image("https://example.com/a.png")]), json!([far]), "cold"),
    ];
    for (content, expected, process) in cases {
        let mut chat = chat();
        chat.say("[[tool look {}]]").await;
        let id = chat.calls[0].id.clone();
        let answer = chat.send([result(&id, content.clone())]).await;
        assert_eq!(answer.process, process, "{content}");
        let heard: Value = serde_json::from_str(answer.text.strip_prefix("result: ").unwrap()).unwrap();
        assert_eq!(heard, json!([expected]));
    }
}

#[tokio::test]
async fn what_the_user_says_after_the_results_is_seen_with_them() {
    let mut chat = chat();
    let pid = chat.pid().await;
    chat.say("[[tool look {}]]").await;
    let id = chat.calls[0].id.clone();
    let answer = chat.send([result(&id, "a cat"), user("or a dog?")]).await;
    assert_eq!((answer.process.as_str(), answer.reason), ("live", Some(FinishReason::Stop)));
    let told = chat.say("[[history]]").await.json();
    let told = told["messages"].to_string();
    assert!(told.contains("a cat") && told.contains("or a dog?"), "{told}");
    assert_eq!(chat.pid().await, pid);
}

#[tokio::test]
async fn an_image_that_follows_the_results_is_not_lost() {
    let mut chat = chat();
    chat.say("[[tool look {}]]").await;
    let id = chat.calls[0].id.clone();
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    chat.send([result(&id, "here"), json!({"role": "user", "content": [image]})]).await;
    let told = chat.say("[[history]]").await.json();
    assert!(told["messages"].to_string().contains("AAAA"));
}

#[tokio::test]
async fn results_are_matched_to_the_one_process_that_waits_for_them() {
    let claude = claude().build();
    let mut chats: Vec<Chat> = (0..3).map(|_| Chat::new(&claude)).collect();
    for chat in &mut chats {
        chat.request["tools"] = json!([function("look")]);
        chat.say("[[tool look {}]]").await;
    }
    for (number, chat) in chats.iter_mut().enumerate() {
        let answer = chat.give([&number.to_string()]).await;
        assert_eq!((answer.process.as_str(), answer.text.contains(&format!("\"{number}\""))), ("live", true));
    }
}

#[tokio::test]
async fn a_call_may_follow_a_result() {
    let mut chat = chat();
    let pid = chat.pid().await;
    for _ in 0..3 {
        chat.say("[[tool look {}]]").await;
        assert_eq!(chat.give(["seen"]).await.process, "live");
    }
    assert_eq!(chat.pid().await, pid);
}

#[tokio::test]
async fn a_user_who_does_not_give_the_result_has_another_process() {
    // The edge refuses this; a layer of someone else's may not.
    let mut chat = chat();
    chat.say("[[tool look {}]]").await;
    assert_eq!(chat.say("never mind").await.process, "cold");
}

async fn offered(change: impl FnOnce(&mut Value)) -> (Vec<Value>, String) {
    let mut json = messages([user("[[history]]")]);
    json["tools"] = json!([function("look"), function("exec")]);
    change(&mut json);
    let told = ask(&claude().build(), json).await.json();
    let names = told["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    (names, told["system"][0].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn tool_choice_decides_what_is_offered_and_what_is_said() {
    let named = json!({"type": "function", "function": {"name": "exec"}});
    let allowed = |mode: &str| json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named]}});
    let must = "You must call at least one of the tools in your answer to the user's message.";
    let cases = [
        (Value::Null, vec!["look", "exec"], ""),
        (json!("auto"), vec!["look", "exec"], ""),
        (json!("none"), vec![], ""),
        (json!("required"), vec!["look", "exec"], must),
        (named.clone(), vec!["exec"], "You must call the tool mcp__c__exec in your answer to the user's message."),
        (allowed("auto"), vec!["exec"], ""),
        (allowed("required"), vec!["exec"], must),
    ];
    for (choice, names, note) in cases {
        let found = offered(|json| json["tool_choice"] = choice.clone()).await;
        assert_eq!(found, (names.into_iter().map(Value::from).collect(), note.to_owned()), "{choice}");
    }
}

#[tokio::test]
async fn functions_are_offered_as_they_were_given() {
    let schema = json!({"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]});
    let mut json = messages([user("[[history]]")]);
    json["tools"] = json!([
        {"type": "function", "function": {"name": "z", "description": "Zs.", "parameters": schema, "strict": true}},
        {"type": "function", "function": {"name": "a"}},
    ]);
    let told = ask(&claude().build(), json).await.json();
    let tools = told["tools"].as_array().unwrap();
    assert_eq!((&tools[0]["name"], &tools[1]["name"]), (&json!("z"), &json!("a")));
    assert_eq!((&tools[0]["description"], &tools[0]["inputSchema"]), (&json!("Zs."), &schema));
    assert_eq!(tools[1]["inputSchema"], json!({"type": "object", "properties": {}}));
    assert_eq!(told["server_config"], json!({"timeout": 3_600_000}));
}

#[tokio::test]
async fn sixty_four_functions_with_the_longest_names_and_long_descriptions_work() {
    let names: Vec<String> = (0..64).map(|number| format!("{}{number:02}", "n".repeat(62))).collect();
    let description = |name: &str| format!("{name} {}", "d".repeat(5_000));
    let mut json = messages([user("[[history]]")]);
    let tool =
        |name: &String| json!({"type": "function", "function": {"name": name, "description": description(name)}});
    json["tools"] = names.iter().map(tool).collect();
    let claude = claude().build();
    let told = ask(&claude, json.clone()).await.json();
    let tools = told["tools"].as_array().unwrap();
    for (tool, name) in tools.iter().zip(&names) {
        let (wire, shown) = (tool["name"].as_str().unwrap(), tool["description"].as_str().unwrap());
        assert!(format!("mcp__c__{wire}").len() <= 64);
        assert_eq!(shown, description(name));
    }
    let wire = tools[17]["name"].as_str().unwrap();
    json["messages"] = json!([user(&format!("[[tool {wire} {{}}]]"))]);
    let mut chat = Chat::with(&claude, json);
    let answer = chat.send([]).await;
    assert_eq!(answer.calls[0].name, names[17]);
    assert_eq!(chat.give(["ok"]).await.process, "live");
}

#[tokio::test]
async fn a_function_that_the_cli_refuses_is_400_and_not_a_hang() {
    let claude = claude().build();
    let bad = json!({"type": "function", "function": {"name": "bad", "parameters": {"type": "array"}}});
    for history in [vec![], vec![user("a"), crate::support::chat::assistant("b")]] {
        let mut json = messages([&history[..], &[user("hi")]].concat());
        json["tools"] = json!([function("look"), bad]);
        let error = try_ask(&claude, json).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.param()), (400, Some("tools")), "{error}");
    }
    until("no process", || claude.health().processes.total == 0).await;
}

fn json_format(schema: Value) -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "person", "description": "Who.", "schema": schema}})
}

#[tokio::test]
async fn json_of_a_schema_is_the_answer_and_the_conversation_goes_on() {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let mut chat = Chat::new(&claude().build());
    chat.request["response_format"] = json_format(schema);
    let answer = chat.say("who?").await;
    assert_eq!((answer.json(), answer.reason), (json!({"name": "Ada"}), Some(FinishReason::Stop)));
    assert!(answer.calls.is_empty());
    // The stand-in begins this one with text, and is told by itself to give JSON.
    let again = chat.say("and now?").await;
    assert_eq!((again.process.as_str(), again.json()), ("live", json!({"name": "Ada"})));
}

#[tokio::test]
async fn json_that_is_no_object_is_the_answer_without_the_object_that_it_is_wrapped_in() {
    let mut chat = Chat::new(&claude().build());
    chat.request["response_format"] = json_format(json!({"type": "array"}));
    for value in [json!(["}", {"a": 1}]), json!([])] {
        let answer = chat.say(&format!("[[json {}]]", json!({"answer": value}))).await;
        assert_eq!(answer.json(), value);
    }
}

#[tokio::test]
async fn where_a_call_is_required_no_json_is_asked_for() {
    let claude = claude().build();
    for choice in [json!("required"), json!({"type": "function", "function": {"name": "look"}})] {
        let mut json = messages([user("[[tool look {}]]")]);
        json["tools"] = json!([function("look")]);
        json["response_format"] = json_format(json!({"type": "object"}));
        json["tool_choice"] = choice;
        let answer = ask(&claude, json).await;
        assert_eq!(answer.calls[0].name, "look");
    }
}

#[tokio::test]
async fn a_json_object_is_the_answer_where_no_schema_is_given() {
    for format in [json!({"type": "json_object"}), json!({"type": "json_schema", "json_schema": {"name": "any"}})] {
        let mut json = messages([user(r#"[[json {"a":[1]}]]"#)]);
        json["response_format"] = format;
        assert_eq!(ask(&claude().build(), json).await.json(), json!({"a": [1]}));
    }
}

#[tokio::test]
async fn a_schema_that_the_cli_ignores_is_400() {
    for schema in [json!({"type": "objekt"}), json!({"properties": 1})] {
        let mut json = messages([user("who?")]);
        json["response_format"] = json_format(schema.clone());
        let error = try_ask(&claude().build(), json).await.unwrap_err();
        let found = (error.status().as_u16(), error.param());
        assert_eq!(found, (400, Some("response_format.json_schema.schema")), "{schema}");
    }
}

#[tokio::test]
async fn another_schema_is_another_process() {
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    chat.say("hi").await;
    chat.request["response_format"] = json!({"type": "json_object"});
    let answer = chat.say("who?").await;
    assert_eq!((answer.process.as_str(), answer.json()), ("cold", json!({"name": "Ada"})));
    chat.request.as_object_mut().unwrap().remove("response_format");
    assert_eq!(chat.say("hi").await.text, "echo: hi");
}
