//! Plain chat: what the model is sent, and what the client gets, streamed and not.

use serde_json::json;

use crate::support::stack::{Stack, content, gone, request, says, turn, turns};

/// A red dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// The least that is a PDF: `%PDF-1.1`, a page tree without a page.
const PDF: &str = "JVBERi0xLjEKMSAwIG9iajw8L1R5cGUvQ2F0YWxvZy9QYWdlcyAyIDAgUj4+ZW5kb2JqCjIgMCBvYmo8PC9UeXBlL1BhZ2VzL0tpZHNb\
                   XS9Db3VudCAwPj5lbmRvYmoKdHJhaWxlcjw8L1Jvb3QgMSAwIFI+PgolJUVPRgo=";

#[tokio::test]
async fn a_hello_is_answered_and_costs_less_than_four_kilobytes_upstream() {
    let Some(stack) = Stack::real().await else { return };

    let answer = stack.ask(says("hello")).await;
    assert_eq!(answer.header("x-claude-process"), Some("cold"));
    let completion = answer.json();
    assert_eq!(content(&completion), "echo: hello");
    assert_eq!(completion["choices"][0]["finish_reason"], "stop");

    let upstream = stack.api.request(0).await;
    assert_eq!(turns(&upstream), [turn("user", "hello")]);
    assert_eq!(completion["model"], upstream["model"], "the model is the one that answered");
    assert!(upstream.to_string().len() < 4096, "{} bytes: {upstream:#}", upstream.to_string().len());
}

#[tokio::test]
async fn deltas_come_one_by_one() {
    let Some(stack) = Stack::real().await else { return };

    let mut answer = stack.stream(says("[[slow 30 count 5]]")).await;
    let mut texts = Vec::new();
    while let Some(chunk) = answer.next().await {
        if let Some(text) = chunk["choices"][0]["delta"]["content"].as_str().filter(|text| !text.is_empty()) {
            texts.push(text.to_owned());
        }
    }
    assert_eq!(texts, ["w0 ", "w1 ", "w2 ", "w3 ", "w4 "]);
}

#[tokio::test]
async fn the_first_delta_comes_long_before_the_second_and_hanging_up_ends_the_process_and_its_request() {
    let Some(stack) = Stack::real().await else { return };
    const AN_HOUR: u32 = 3_600_000;

    let mut answer = stack.stream(says(&format!("[[slow {AN_HOUR} count 2]]"))).await;
    assert_eq!(answer.next_text().await, "w0 ");
    assert_eq!(stack.api.hung_up(), 0);

    drop(answer);
    stack.api.until_hung_up(1).await;
    let [pid] = stack.started()[..] else { panic!("one process") };
    gone(pid).await;
}

#[tokio::test]
async fn hanging_up_before_the_answer_begins_ends_the_process_and_its_request() {
    let Some(stack) = Stack::real().await else { return };

    tokio::select! {
        answer = stack.ask(says("[[silence]]")) => panic!("{answer:?}"),
        _ = stack.api.request(0) => {}
    }
    stack.api.until_hung_up(1).await;
    let [pid] = stack.started()[..] else { panic!("one process") };
    gone(pid).await;
}

#[tokio::test]
async fn a_history_and_the_system_prompt_reach_the_model_as_they_were_sent() {
    let Some(stack) = Stack::real().await else { return };

    let completion = stack
        .completion(request(json!([
            {"role": "system", "content": "Be brief.\n\n# Rules\n  indented"},
            {"role": "developer", "content": [{"type": "text", "text": "And kind."}]},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": [{"type": "text", "text": "three"}, {"type": "text", "text": "3b"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "four"}]},
            {"role": "user", "content": "five, @/etc/hostname and /clear"},
        ])))
        .await;
    assert_eq!(content(&completion), "echo: five, @/etc/hostname and /clear");

    let upstream = stack.api.request(0).await;
    let expected = [
        turn("user", "one"),
        turn("assistant", "two"),
        turn("user", "three\n3b"),
        turn("assistant", "four"),
        turn("user", "five, @/etc/hostname and /clear"),
    ];
    assert_eq!(turns(&upstream), expected);
    let system = upstream["system"].as_array().unwrap();
    assert!(system.iter().any(|block| block["text"] == "Be brief.\n\n# Rules\n  indented\n\nAnd kind."), "{system:#?}");
    assert_eq!(stack.api.requests().len(), 1, "the history costs no request");
}

#[tokio::test]
async fn images_and_files_reach_the_model_as_blocks_and_nothing_is_fetched_here() {
    let Some(stack) = Stack::real().await else { return };

    let completion = stack
        .completion(request(json!([{"role": "user", "content": [
            {"type": "text", "text": "Look."},
            {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": format!("data:application/pdf;base64,{PDF}")}},
            {"type": "file", "file": {"filename": "b.txt", "file_data": "data:text/plain;base64,bm90ZXM="}},
            {"type": "text", "text": "Done."},
        ]}])))
        .await;
    assert_eq!(content(&completion), "echo: Done.");

    let upstream = stack.api.request(0).await;
    let (_, blocks) = &turns(&upstream)[0];
    assert_eq!(
        *blocks,
        json!([
            {"type": "text", "text": "Look."},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.jpg"}},
            {"type": "document", "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
            {"type": "document", "title": "b.txt",
                "source": {"type": "text", "media_type": "text/plain", "data": "notes"}},
            {"type": "text", "text": "Done."},
        ])
    );
}

#[tokio::test]
async fn text_blocks_are_set_apart_and_the_next_turn_still_finds_its_process() {
    let Some(stack) = Stack::real().await else { return };

    let whole = stack.stream(says("[[blocks one|two]]")).await.whole().await;
    assert_eq!(whole.content, "one\n\ntwo");
    let answer = stack
        .ask(request(json!([
            {"role": "user", "content": "[[blocks one|two]]"},
            {"role": "assistant", "content": whole.content},
            {"role": "user", "content": "three"},
        ])))
        .await;
    assert_eq!(answer.header("x-claude-process"), Some("live"));
    assert_eq!(content(&answer.json()), "echo: three");
}
