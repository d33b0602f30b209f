//! What the CLI writes out of turn does not become part of an answer, and what is not quite Unicode is not lost.

use std::path::Path;

use serde_json::{Value, json};
use tower_claude::ErrorKind;
use tower_claude::cli::ClaudeCli;

use super::lost::event;
use crate::support::chat::{
    Chat, ask_once, assistant, call, claude, function, hear, messages, request, result as result_of, try_ask, user,
};
use crate::support::claude_bin::stand_in;

/// A CLI of which the first process writes these lines whatever it is told, and the others are stand-ins.
fn first_writes(directory: &Path, lines: &str) -> ClaudeCli {
    std::fs::write(directory.join("lines"), lines).unwrap();
    let (directory, stand_in) = (directory.display(), stand_in());
    let script = format!(
        "[ \"$1\" != --version ] && mkdir '{directory}/first' 2> /dev/null && {{ cat '{directory}/lines'; exec cat > \
         /dev/null; }}; exec '{}' \"$@\"",
        stand_in.display()
    );
    ClaudeCli::builder().warm_processes(0).program("sh").args(["-c", &script, "sh"]).build()
}

fn delta(text: &str) -> Value {
    event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}))
}

/// All lines of a turn that says this.
fn turn(texts: &[&str]) -> Vec<Value> {
    let message = json!({"id": "msg_1", "model": "claude-opus-5-5", "usage": {"input_tokens": 1, "output_tokens": 1}});
    let mut lines = vec![
        json!({"type": "system", "subtype": "init", "tools": []}),
        event(json!({"type": "message_start", "message": message})),
        event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})),
    ];
    lines.extend(texts.iter().map(|text| delta(text)));
    lines.extend([
        event(json!({"type": "content_block_stop", "index": 0})),
        event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}})),
        event(json!({"type": "message_stop"})),
        json!({"type": "result", "subtype": "success", "is_error": false, "num_turns": 1, "result": texts.concat()}),
    ]);
    lines
}

fn written(lines: impl IntoIterator<Item = Value>) -> String {
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn what_comes_after_a_result_is_not_the_next_answer() {
    let directory = tempfile::tempdir().unwrap();
    let claude = first_writes(directory.path(), &written(turn(&["asked"]).into_iter().chain(turn(&["LATE"]))));
    let first = ask_once(&claude, "one").await;
    assert_eq!(first.text, "asked");
    let history = [user("one"), first.message(), user("two")];
    let second = hear(call(&claude, request(messages(history))).await.unwrap()).await.unwrap();
    assert_eq!(second.text, "echo: two");
}

/// A CLI of which the first process answers its first user message, and each later one with these lines. The others are
/// stand-ins.
fn first_answers_once_and_then(directory: &Path, lines: &str) -> ClaudeCli {
    std::fs::write(directory.join("turn"), written(turn(&["asked"]))).unwrap();
    std::fs::write(directory.join("then"), lines).unwrap();
    let (directory, stand_in) = (directory.display(), stand_in());
    let script = format!(
        "if [ \"$1\" != --version ] && mkdir '{directory}/first' 2> /dev/null; then next=turn; while read -r line; do case \
         \"$line\" in *'\"type\":\"user\"'*) cat \"{directory}/$next\"; next=then;; esac; done; exit; fi; exec '{}' \"$@\"",
        stand_in.display()
    );
    ClaudeCli::builder().warm_processes(0).program("sh").args(["-c", &script, "sh"]).build()
}

fn result() -> Value {
    json!({"type": "result", "subtype": "success", "is_error": false, "num_turns": 1, "result": "asked"})
}

#[tokio::test]
async fn a_result_that_comes_once_more_is_not_the_next_answer_which_another_process_gives() {
    let init = json!({"type": "system", "subtype": "init", "tools": []});
    for late in [vec![result()], vec![init.clone(), result()], vec![init, result(), result()]] {
        let directory = tempfile::tempdir().unwrap();
        let claude = first_answers_once_and_then(directory.path(), &written(late));
        let first = ask_once(&claude, "one").await;
        let history = [user("one"), first.message(), user("two")];
        let second = hear(call(&claude, request(messages(history))).await.unwrap()).await.unwrap();
        assert_eq!((second.text.as_str(), second.process.as_str()), ("echo: two", "cold"));
        assert!(second.usage.prompt_tokens > 0);
    }
}

#[tokio::test]
async fn a_result_in_the_middle_of_a_message_does_not_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = turn(&["half"]);
    lines.drain(4..7);
    let claude = first_writes(directory.path(), &written(lines));
    let error = try_ask(&claude, messages([user("one")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cli);
    assert!(error.to_string().contains("in the middle of a message"), "{error}");
}

#[tokio::test]
async fn a_turn_that_each_process_ends_without_an_answer_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let lines = directory.path().join("lines");
    std::fs::write(&lines, written([result()])).unwrap();
    let script = format!(
        "[ \"$1\" = --version ] && exec '{}' \"$@\"; cat '{}'; exec cat > /dev/null",
        stand_in().display(),
        lines.display()
    );
    let claude = ClaudeCli::builder().warm_processes(0).program("sh").args(["-c", &script, "sh"]).build();
    let error = try_ask(&claude, messages([user("one")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cli);
    assert!(error.to_string().contains("before it was asked"), "{error}");
}

#[tokio::test]
async fn what_was_not_streamed_is_taken_from_the_line_that_has_it_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = turn(&["It is ", "here."]);
    lines.remove(4);
    let whole = |text: &str| {
        let message = json!({"id": "msg_1", "model": "claude-opus-5-5", "content": [{"type": "text", "text": text}]});
        json!({"type": "assistant", "message": message, "parent_tool_use_id": null})
    };
    lines.insert(4, whole("It is here."));
    let answer = ask_once(&first_writes(directory.path(), &written(lines.clone())), "one").await;
    assert_eq!((answer.text.as_str(), answer.blocks), ("It is here.", 1));

    let directory = tempfile::tempdir().unwrap();
    lines[4] = whole("It was.");
    let error = try_ask(&first_writes(directory.path(), &written(lines)), messages([user("one")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cli);
    assert!(error.to_string().contains("streamed one answer and repeated another"), "{error}");
}

#[tokio::test]
async fn what_comes_before_a_message_begins_is_neither_told_nor_kept() {
    let directory = tempfile::tempdir().unwrap();
    let early = std::iter::repeat_with(|| delta("EARLY")).take(1000);
    let start =
        event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
    let lines = written([start].into_iter().chain(early).chain(turn(&["asked"])));
    let answer = ask_once(&first_writes(directory.path(), &lines), "one").await;
    assert_eq!((answer.text.as_str(), answer.blocks), ("asked", 1));
}

#[tokio::test]
async fn half_a_character_is_a_replacement_character_and_what_stands_around_it_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let lines = written(turn(&["before HIGH", "LOW after"])).replace("HIGH", "\\ud83d").replace("LOW", "\\ude00");
    let answer = ask_once(&first_writes(directory.path(), &lines), "one").await;
    assert_eq!(answer.text, "before \u{fffd}\u{fffd} after");
}

#[tokio::test]
async fn a_failure_in_the_middle_of_a_history_is_not_taken_for_its_acknowledgement() {
    let directory = tempfile::tempdir().unwrap();
    let failure = json!({"type": "result", "subtype": "success", "is_error": true, "num_turns": 0,
        "api_error_status": 529, "result": "API Error: 529 Overloaded"});
    let claude = first_writes(directory.path(), &written([failure]));
    let history = [user("one"), assistant("two"), user("three")];
    let error = try_ask(&claude, messages(history)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
}

#[tokio::test]
async fn the_result_of_a_turn_in_the_middle_of_a_history_is_not_taken_for_its_acknowledgement() {
    // Another process takes the turn.
    let directory = tempfile::tempdir().unwrap();
    let claude = first_writes(directory.path(), &written([result()]));
    let history = [user("one"), assistant("two"), user("three")];
    let answer = try_ask(&claude, messages(history)).await.unwrap();
    assert_eq!(answer.text, "echo: three");
}

#[tokio::test]
async fn a_cli_that_asks_the_model_where_it_should_end_or_refuse_is_not_told_to_again() {
    let mut chat = Chat::new(&claude().env("STAND_IN_GOES_ON", "1").build());
    chat.request["tools"] = json!([function("look")]);
    for starts in [3, 4] {
        chat.say("[[tool look {}]]").await;
        let id = chat.calls[0].id.clone();
        let answer = chat.send([result_of(&id, "a cat"), user("or a dog?")]).await;
        assert_eq!(
            (answer.process.as_str(), answer.text.as_str()),
            ("cold", r#"result: [[{"type":"text","text":"a cat"}]]"#)
        );
        // The first time, one process asks too early, and so does the one that replays its first message.
        assert_eq!(chat.claude.status().events.starts, starts);
    }
}
