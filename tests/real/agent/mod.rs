//! Agent mode over the real CLI: its own tools at work in a directory, and nowhere else.

mod attempts;
mod audit;
mod fence;
mod killed;
mod messages;
mod server;

use std::io::{BufRead, Read};
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use server::{Server, request};

use crate::support::in_time;

fn text(message: &Value) -> &str {
    message["content"].as_str().unwrap()
}

#[tokio::test]
async fn bash_runs_in_the_workspace_and_the_client_sees_one_text_and_no_calls() {
    let Some(server) = Server::start().await else { return };
    std::fs::write(server.workspace().join("notes.md"), "").unwrap();
    let (message, reason, _) = server.ask(r#"[[tool Bash {"command":"pwd; ls; touch made.md"}]]"#).await;
    assert_eq!(reason, "stop");
    assert!(message["tool_calls"].is_null(), "{message}");
    let workspace = server.workspace();
    assert!(text(&message).starts_with("calling \n\nresult: "), "{message}");
    assert!(text(&message).contains(workspace.to_str().unwrap()) && text(&message).contains("notes.md"), "{message}");
    assert!(workspace.join("made.md").exists());
    assert_eq!(message["reasoning_content"], "exec: pwd; ls; touch made.md\n");
}

#[tokio::test]
async fn the_conversation_goes_on_with_the_same_process() {
    let Some(server) = Server::start().await else { return };
    let first = json!({"role": "user", "content": r#"[[tool Bash {"command":"echo one"}]]"#});
    let (message, _, _) = server.answer(&request(std::slice::from_ref(&first))).await;
    let next = [first, message, json!({"role": "user", "content": "and now? [[count 1]]"})];
    let (message, reason, process) = server.answer(&request(&next)).await;
    assert_eq!((text(&message), reason.as_str(), process.as_str()), ("w0 ", "stop", "live"));
    // The model has the call and its result, which the client never saw.
    assert!(server.last_results()[0].to_string().contains("one"));
}

#[tokio::test]
async fn what_is_outside_the_workspace_is_denied_with_a_reason_that_the_model_reads() {
    let Some(server) = Server::start().await else { return };
    let (workspace, outside) = (server.workspace(), server.outside("secret.txt"));
    std::fs::write(&outside, "the secret").unwrap();
    symlink("../secret.txt", workspace.join("link.txt")).unwrap();
    symlink("..", workspace.join("up")).unwrap();
    let transcripts = format!("home/.claude/projects/{}", workspace.to_str().unwrap().replace('/', "-"));
    std::fs::create_dir_all(server.outside(&transcripts)).unwrap();
    let transcript = server.outside(transcripts).join("another-session.jsonl");
    std::fs::write(&transcript, "the secret").unwrap();
    let (workspace, outside, transcript) = (workspace.display(), outside.display(), transcript.display());

    let attempts = [
        format!(r#"Read {{"file_path":"{outside}"}}"#),
        format!(r#"Read {{"file_path":"{workspace}/../secret.txt"}}"#),
        format!(r#"Read {{"file_path":"{workspace}/link.txt"}}"#),
        format!(r#"Read {{"file_path":"{workspace}/up/secret.txt"}}"#),
        // The CLI would allow this one without a question.
        format!(r#"Read {{"file_path":"{transcript}"}}"#),
        r#"Read {"file_path":"~/.claude/settings.json"}"#.to_owned(),
        r#"Grep {"pattern":"secret","path":"..","output_mode":"content"}"#.to_owned(),
        r#"Glob {"pattern":"../*.txt"}"#.to_owned(),
        r#"Write {"file_path":"../made.txt","content":"x"}"#.to_owned(),
        format!(r#"Write {{"file_path":"{workspace}/up/made.txt","content":"x"}}"#),
        r#"Bash {"command":"cat ../secret.txt"}"#.to_owned(),
        r#"Bash {"command":"cat link.txt"}"#.to_owned(),
        // And this one.
        r#"Bash {"command":"cat lin?.txt"}"#.to_owned(),
        format!(r#"Bash {{"command":"cat {outside}"}}"#),
        r#"Bash {"command":"cd .. && ls"}"#.to_owned(),
        r#"Bash {"command":"echo x > ../made.txt"}"#.to_owned(),
    ];
    let mut conversation = Vec::new();
    for attempt in attempts {
        conversation.push(json!({"role": "user", "content": format!("[[tool {attempt}]]")}));
        let (message, reason, _) = server.answer(&request(&conversation)).await;
        assert_eq!(reason, "stop");
        let result = server.last_results().pop().unwrap();
        let told = result.to_string();
        assert_eq!(result["is_error"], true, "{attempt}: {told}");
        assert!(told.contains("is outside the workspace"), "{attempt}: {told}");
        assert!(!told.contains("the secret"), "{attempt}: {told}");
        conversation.push(message);
    }
    assert!(!server.outside("made.txt").exists());
    assert_eq!(server.claude.health().requests.live, 15, "all of it on one process");
}

#[tokio::test]
async fn files_are_written_and_changed_in_the_workspace() {
    let Some(server) = Server::start().await else { return };
    let file = server.workspace().join("new/dir/a.txt");
    let path = file.display();
    let mut conversation = Vec::new();
    for step in [
        format!(r#"Write {{"file_path":"{path}","content":"one"}}"#),
        format!(r#"Read {{"file_path":"{path}"}}"#),
        format!(r#"Edit {{"file_path":"{path}","old_string":"one","new_string":"two"}}"#),
    ] {
        conversation.push(json!({"role": "user", "content": format!("[[tool {step}]]")}));
        let (message, _, _) = server.answer(&request(&conversation)).await;
        assert_ne!(server.last_results().pop().unwrap()["is_error"], true, "{message}");
        conversation.push(message);
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "two");
}

#[tokio::test]
async fn what_claude_code_itself_holds_to_be_dangerous_is_denied() {
    let Some(server) = Server::start().await else { return };
    std::fs::create_dir_all(server.workspace().join(".git/hooks")).unwrap();
    let hook = server.workspace().join(".git/hooks/pre-commit");
    let (message, _, _) =
        server.ask(&format!(r#"[[tool Write {{"file_path":"{}","content":"x"}}]]"#, hook.display())).await;
    assert!(text(&message).contains("nobody is there to be asked"), "{message}");
    assert!(!hook.exists());
}

#[tokio::test]
async fn the_workspaces_settings_hooks_and_instructions_stay_out() {
    let Some(server) = Server::start().await else { return };
    let workspace = server.workspace();
    let ran = server.outside("ran");
    let touch = json!({"hooks": [{"type": "command", "command": format!("touch {}", ran.display())}]});
    let hooks = json!({"SessionStart": [touch], "UserPromptSubmit": [touch], "PreToolUse": [touch]});
    let settings = json!({"hooks": hooks, "permissions": {"allow": ["Read(//**)"], "additionalDirectories": ["/"]}});
    std::fs::create_dir_all(workspace.join(".claude")).unwrap();
    for name in ["settings.json", "settings.local.json"] {
        std::fs::write(workspace.join(".claude").join(name), settings.to_string()).unwrap();
    }
    let servers = json!({"mcpServers": {"theirs": {"command": "touch", "args": [ran]}}});
    std::fs::write(workspace.join(".mcp.json"), servers.to_string()).unwrap();
    std::fs::write(workspace.join("CLAUDE.md"), "Instructions of the workspace's.").unwrap();
    let memory = format!("home/.claude/projects/{}/memory", workspace.to_str().unwrap().replace('/', "-"));
    std::fs::create_dir_all(server.outside(&memory)).unwrap();
    std::fs::write(server.outside(&memory).join("MEMORY.md"), "Notes of another session.").unwrap();

    let (message, _, _) = server.ask(r#"[[tool Read {"file_path":"/etc/passwd"}]]"#).await;
    assert!(text(&message).contains("is outside the workspace"), "{message}");
    assert!(!ran.exists(), "a hook or a server of the workspace's ran");
    let sent = server.api.requests()[0].to_string();
    assert!(
        !sent.contains("Instructions of the workspace's.") && !sent.contains("Notes of another session."),
        "{sent}"
    );
}

#[tokio::test]
async fn the_clients_prompt_is_appended_to_claude_codes_own_with_a_note_of_the_names() {
    let Some(server) = Server::start().await else { return };
    server.ask("hi").await;
    let sent = server.api.request(0).await;
    let system: Vec<_> =
        sent["system"].as_array().unwrap().iter().map(|block| block["text"].as_str().unwrap()).collect();
    let system = system.join("\n");
    assert!(system.len() > 4000, "Claude Code's own prompt is there: {system}");
    let ours = "You are a personal assistant running inside OpenClaw.\n## Safety\nStop when told to.\n\nIn this session \
                `exec` and `process` are the tool Bash; `read` is the tool Read. Where these instructions name one of \
                them, use that tool.";
    assert!(system.trim_end().ends_with(ours), "{system}");
    let mut names: Vec<_> =
        sent["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Bash", "Edit", "Glob", "Grep", "Read", "Write", "mcp__c__message"], "and no sub-agents");
}

/// One message of the model's with a call of the CLI's own and one of the client's, in this order.
async fn mixed_turn(calls: &str) {
    let Some(server) = Server::start().await else { return };
    let first = json!({"role": "user", "content": format!("[[tool {calls}]]")});
    let (message, reason, _) = server.answer(&request(std::slice::from_ref(&first))).await;
    assert_eq!(reason, "tool_calls");
    let called = message["tool_calls"].as_array().unwrap();
    assert_eq!(called.len(), 1, "the client's own, and no other: {message}");
    assert_eq!(called[0]["function"]["name"], "message");

    let result = json!({"role": "tool", "tool_call_id": called[0]["id"], "content": "sent it"});
    let (message, reason, process) = server.answer(&request(&[first, message.clone(), result])).await;
    assert_eq!((reason.as_str(), process.as_str()), ("stop", "live"));
    assert!(message["tool_calls"].is_null());
    assert!(text(&message).contains("sent it"), "{message}");
    assert!(server.workspace().join("made.md").exists());
    assert_eq!(server.last_results().len(), 2, "the model gets both results");
}

#[tokio::test]
async fn a_turn_may_use_a_built_in_tool_and_then_call_the_client() {
    mixed_turn(r#"Bash {"command":"touch made.md"} ;; message {"text":"hi"}"#).await;
}

#[tokio::test]
async fn a_turn_may_call_the_client_and_then_use_a_built_in_tool() {
    mixed_turn(r#"message {"text":"hi"} ;; Bash {"command":"touch made.md"}"#).await;
}

#[tokio::test]
async fn calls_of_the_clients_functions_in_the_history_become_calls_of_the_tools_that_do_their_work() {
    let Some(server) = Server::start().await else { return };
    let call = |id: &str, name: &str| {
        let function = json!({"name": name, "arguments": "{\"command\":\"ls\"}"});
        json!({"id": id, "type": "function", "function": function})
    };
    let (message, _, process) = server
        .answer(&request(&[
            json!({"role": "user", "content": "what is here?"}),
            json!({"role": "assistant", "content": null, "tool_calls": [call("c1", "exec"), call("c2", "message")]}),
            json!({"role": "tool", "tool_call_id": "c1", "content": "notes.md"}),
            json!({"role": "tool", "tool_call_id": "c2", "content": "(no output)"}),
            json!({"role": "assistant", "content": "Notes."}),
            json!({"role": "user", "content": "and now? [[count 1]]"}),
        ]))
        .await;
    assert_eq!(text(&message), "w0 ");
    assert_ne!(process, "live");
    let sent = server.api.request(0).await;
    let messages = sent["messages"].as_array().unwrap();
    let blocks = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
    let names: Vec<_> = blocks.filter(|block| block["type"] == "tool_use").map(|block| block["name"].clone()).collect();
    assert_eq!(names, ["Bash", "mcp__c__message"]);
}

#[tokio::test]
async fn a_command_ends_when_its_client_hangs_up() {
    let Some(server) = Server::start().await else { return };
    let pipe = server.workspace().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    // The command holds the pipe open for as long as it lives: its end is the pipe's end.
    let asked = server.ask(r#"[[tool Bash {"command":"exec 3>pipe; echo started >&3; sleep 100"}]]"#);
    let reading = tokio::task::spawn_blocking(move || {
        let mut reader = std::io::BufReader::new(std::fs::File::open(pipe).unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        (line, reader)
    });
    let (line, mut reader) = tokio::select! {
        read = reading => read.unwrap(),
        _ = asked => panic!("the command was to go on"),
    };
    assert_eq!(line, "started\n");
    // The request is dropped by now.
    let ended = tokio::task::spawn_blocking(move || reader.read_to_string(&mut String::new()));
    in_time("the end of the command", ended).await.unwrap().unwrap();
}
