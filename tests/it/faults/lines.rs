//! A process that dies, hangs, or writes what nobody expects.

use std::time::Duration;

use serde_json::json;
use tower_claude::cli::ClaudeCli;
use tower_claude::{ErrorKind, FinishReason};

use crate::support::chat::{Chat, ask_once, call, claude, hear_what_there_is, messages, request, try_ask, until, user};

/// What is left after a failure: nothing.
async fn nothing_is_left(claude: &ClaudeCli) {
    until("no process", || claude.health().processes.total == 0).await;
    assert_eq!(claude.health().processes.busy, 0);
}

#[tokio::test]
async fn a_crash_before_the_first_token_is_502_with_the_end_of_stderr() {
    for warm in [0, 1] {
        let claude = claude().warm_processes(warm).build();
        if warm == 1 {
            claude.warm_up();
            until("a warm process", || claude.health().processes.warm == 1).await;
        }
        let error = try_ask(&claude, messages([user("[[crash]]")])).await.unwrap_err();
        assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::Cli, 502));
        assert!(error.to_string().contains("stand-in: crashed, as the prompt asked"), "{error}");
        // It had heard the turn: nobody tried again behind the client's back.
        let requests = crate::support::chat::health(&claude)["requests"].clone();
        assert_eq!(requests["warm"].as_u64().unwrap() + requests["cold"].as_u64().unwrap(), 1);
    }
}

#[tokio::test]
async fn a_crash_of_a_live_process_is_502_too() {
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    chat.say("hello").await;
    chat.messages().push(user("[[crash]]"));
    let error = chat.try_again().await.unwrap_err();
    assert!(error.to_string().contains("stand-in: crashed"), "{error}");
    assert_eq!(crate::support::chat::health(&claude)["requests"], json!({"live": 1, "warm": 0, "cold": 1}));
    nothing_is_left(&claude).await;
}

#[tokio::test]
async fn a_crash_in_the_middle_is_an_error_after_what_was_said() {
    let claude = claude().build();
    let response = call(&claude, request(messages([user("[[crash-mid]]")]))).await.unwrap();
    let (answer, error) = hear_what_there_is(response).await;
    let error = error.unwrap();
    assert_eq!((answer.text.as_str(), answer.reason), ("half an answer", None));
    assert_eq!(error.kind(), ErrorKind::Cli);
    assert!(error.to_string().contains("stand-in: crashed, as the prompt asked"), "{error}");
    nothing_is_left(&claude).await;
}

#[tokio::test]
async fn lines_that_are_not_the_protocols_are_skipped() {
    let answer = ask_once(&claude().build(), "[[garbage and an answer]]").await;
    assert_eq!((answer.text.as_str(), answer.reason), ("echo: garbage and an answer", Some(FinishReason::Stop)));
}

#[tokio::test]
async fn characters_split_across_reads_stay_whole() {
    let answer = ask_once(&claude().build(), "[[utf8]]").await;
    assert_eq!(answer.text, "naïve 日本語 🦀😀 e\u{301}\u{200d}👩\u{200d}🚀");
}

#[tokio::test]
async fn a_line_of_megabytes_is_read_whole() {
    let answer = ask_once(&claude().build(), "[[big 8000000]]").await;
    assert_eq!((answer.text.len(), answer.reason), (8_000_000, Some(FinishReason::Stop)));
}

#[tokio::test]
async fn a_line_over_the_bound_is_an_error_that_says_so() {
    let claude = claude().max_line_length(10_000).build();
    let response = call(&claude, request(messages([user("[[big 20000]]")]))).await.unwrap();
    let (_, error) = hear_what_there_is(response).await;
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Cli);
    assert!(error.to_string().contains("over 10000 bytes"), "{error}");
    nothing_is_left(&claude).await;
}

#[tokio::test]
async fn silence_is_504_when_the_first_token_is_late() {
    let claude = claude().first_token_timeout(Duration::from_millis(300)).build();
    let error = try_ask(&claude, messages([user("[[silence]]")])).await.unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::FirstTokenTimeout, 504));
    assert!(error.to_string().contains("300ms"), "{error}");
    nothing_is_left(&claude).await;
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_an_error_after_what_was_said() {
    let claude = claude().request_timeout(Duration::from_millis(400)).build();
    let response = call(&claude, request(messages([user("[[slow 20 count 10000]]")]))).await.unwrap();
    let (answer, error) = hear_what_there_is(response).await;
    let error = error.unwrap();
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::RequestTimeout, 504));
    assert!(answer.text.starts_with("w0 w1 "));
    nothing_is_left(&claude).await;
}

#[tokio::test]
async fn a_first_token_that_came_in_time_is_not_late_later() {
    let claude = claude().first_token_timeout(Duration::from_millis(500)).build();
    // Forty deltas that take twice the timeout.
    let answer = ask_once(&claude, "[[slow 25 count 40]]").await;
    assert!(answer.text.ends_with("w39 "));
}

#[tokio::test]
async fn an_answer_cut_at_the_token_limit_ends_there_and_so_does_its_process() {
    let claude = claude().build();
    let answer = ask_once(&claude, "[[long story]]").await;
    assert_eq!((answer.text.as_str(), answer.reason), ("cut here", Some(FinishReason::Length)));
    assert!(answer.usage.completion_tokens > 0);
    nothing_is_left(&claude).await;
}

#[tokio::test]
async fn a_refusal_is_content_filter_and_the_clis_own_second_try_is_not_heard() {
    let claude = claude().build();
    let answer = ask_once(&claude, "[[refusal]]").await;
    assert_eq!((answer.text.as_str(), answer.reason), ("I cannot", Some(FinishReason::ContentFilter)));
    assert!(answer.usage.completion_tokens > 0);
    nothing_is_left(&claude).await;
}

#[tokio::test]
async fn an_answer_whose_connection_was_lost_is_whole_and_said_once() {
    let answer = ask_once(&claude().build(), "[[drop of a pin]]").await;
    assert_eq!((answer.text.as_str(), answer.reason), ("echo: drop of a pin", Some(FinishReason::Stop)));
}

#[tokio::test]
async fn thinking_is_reasoning_and_blocks_stay_apart() {
    let claude = claude().build();
    let answer = ask_once(&claude, "[[think hard]]").await;
    assert_eq!((answer.reasoning.as_str(), answer.text.as_str()), ("let me think", "echo: think hard"));
    let answer = ask_once(&claude, "[[blocks A|B|C]]").await;
    assert_eq!((answer.text.as_str(), answer.blocks), ("ABC", 3));
}
