//! The client's marks for the prompt cache. The API behind these tests refuses what Anthropic's refuses: more than four
//! marks, and one of an hour behind one of five minutes.

use serde_json::{Value, json};

use super::messages::Client;
use crate::support::marks::lifetimes;
use crate::support::stack::{Stack, content, request};

fn marked(text: &str) -> Value {
    json!([{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}])
}

/// Where a request's messages are marked: the texts.
fn marked_texts(upstream: &Value) -> Vec<String> {
    let messages = upstream["messages"].as_array().unwrap().iter().filter(|message| message["role"] != "system");
    let blocks = messages.flat_map(|message| message["content"].as_array().into_iter().flatten());
    let marked = blocks.filter(|block| block["cache_control"].is_object());
    marked.map(|block| block["text"].as_str().unwrap_or("?").to_owned()).collect()
}

/// A server that knows how long the CLI's marks live.
async fn after_an_answer(stack: Stack) -> Stack {
    stack.api.cache();
    stack.completion(request(json!([{"role": "user", "content": "hi"}]))).await;
    stack
}

#[tokio::test]
async fn ten_turns_with_a_mark_in_each_never_have_more_than_the_api_takes() {
    let Some(stack) = Stack::real().await else { return };
    let stack = after_an_answer(stack).await;
    let mut client = Client::new(&stack);
    for turn in 0..10 {
        client.say(marked(&format!("turn {turn}"))).await;
        let upstream = stack.api.requests().pop().unwrap();
        assert!(lifetimes(&upstream).len() <= 4, "{upstream:#}");
        // The first one stays where it is, and the end of each later request is marked by the CLI itself.
        let wanted =
            if turn == 0 { vec!["turn 0".to_owned()] } else { vec!["turn 0".to_owned(), format!("turn {turn}")] };
        assert_eq!(marked_texts(&upstream), wanted);
        assert_eq!(client.ignored, "");
    }
    assert_eq!(client.process, "live");
}

#[tokio::test]
async fn of_several_marks_in_a_replay_those_nearest_the_end_are_handed_on_and_the_others_named() {
    let Some(stack) = Stack::real().await else { return };
    let stack = after_an_answer(stack).await;
    let mut client = Client::new(&stack);
    client.body["messages"] = json!([
        {"role": "user", "content": marked("one")},
        {"role": "assistant", "content": marked("two")},
    ]);
    client.say(marked("three")).await;
    // The end is marked by the CLI itself.
    assert_eq!(marked_texts(&stack.api.requests().pop().unwrap()), ["two", "three"]);
    assert_eq!(client.ignored, "cache_control");

    // Without a system prompt the CLI has one less of its own.
    client.body.as_object_mut().unwrap().remove("system");
    client.body["messages"].as_array_mut().unwrap().truncate(2);
    client.say(marked("three")).await;
    assert_eq!(marked_texts(&stack.api.requests().pop().unwrap()), ["one", "two", "three"]);
}

#[tokio::test]
async fn marks_live_as_long_as_the_clis_own_which_a_subscription_gives_an_hour() {
    let login = [("ANTHROPIC_API_KEY", ""), ("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-test")];
    for (login, lifetime) in [(&login[..], "1h"), (&[], "5m")] {
        let configured =
            Stack::real_with(|builder| login.iter().fold(builder, |builder, (name, value)| builder.env(name, value)));
        let Some(stack) = configured.await else { return };

        // Before anything is known of them, no mark is handed on.
        let mut client = Client::new(&stack);
        client.say(marked("early")).await;
        assert_eq!(
            (marked_texts(&stack.api.requests().pop().unwrap()), client.ignored.as_str()),
            (vec![], "cache_control")
        );

        let stack = after_an_answer(stack).await;
        let mut client = Client::new(&stack);
        client.say(marked("go")).await;
        let upstream = stack.api.requests().pop().unwrap();
        assert_eq!(marked_texts(&upstream), ["go"]);
        assert_eq!(lifetimes(&upstream), [lifetime; 4]);
        assert_eq!(client.ignored, "");

        let mut client = Client::new(&stack);
        let hour = json!([{"type": "text", "text": "hour", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]);
        client.say(hour).await;
        let named = if lifetime == "1h" { "" } else { "cache_control.ttl" };
        assert_eq!(client.ignored, named);
    }
}

#[tokio::test]
async fn parts_of_a_chat_message_are_marked_too() {
    let Some(stack) = Stack::real().await else { return };
    let stack = after_an_answer(stack).await;
    let completion = stack.completion(request(json!([{"role": "user", "content": [
        {"type": "text", "text": "much", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "little"},
    ]}])));
    assert_eq!(content(&completion.await), "echo: little");
    // The second is ours: without a system prompt there is room for it.
    assert_eq!(marked_texts(&stack.api.requests().pop().unwrap()), ["much", "little"]);
}
