//! Reasoning: what is told of it, and how the model gets its own back.

use serde_json::{Value, json};
use tower_claude::chat::{Reasoning, Role};
use tower_claude::{ChatEvent, FinishReason};

use super::client::{create, shown};
use crate::support::snapshot::assert_snapshot;
use crate::support::turns::{Turns, call, finished, reasoning, text};

fn signature(text: &str) -> ChatEvent {
    ChatEvent::ReasoningSignature(text.to_owned())
}

fn thinking() -> Turns {
    Turns::new()
        .says([
            ChatEvent::ReasoningBlockStart,
            reasoning("Which "),
            reasoning("way?"),
            signature("c2ln"),
            ChatEvent::ReasoningBlockStart,
            signature("b3Ro"),
            ChatEvent::RedactedReasoning("ZGF0YQ==".to_owned()),
            text("Let me look."),
            call(0, "toolu01", "f"),
            finished(FinishReason::ToolCalls),
        ])
        .says([text("Done."), finished(FinishReason::Stop)])
}

/// What the model is given of its reasoning when a result follows: kind, text or data, signature.
async fn given_back(turns: &Turns) -> Vec<(String, String)> {
    let request = turns.last();
    let message = request.messages.iter().find(|message| message.role == Role::Assistant).unwrap();
    let tell = |block: &Reasoning| match block {
        Reasoning::Signed { text, signature, place: 0, .. } => (text.clone(), signature.clone()),
        Reasoning::Redacted { data, place: 0, .. } => ("[redacted]".to_owned(), data.clone()),
        other => panic!("not before the text: {other:?}"),
    };
    message.reasoning.iter().map(tell).collect()
}

fn all_of_it() -> Vec<(String, String)> {
    [("Which way?", "c2ln"), ("", "b3Ro"), ("[redacted]", "ZGF0YQ==")]
        .map(|(text, proof)| (text.to_owned(), proof.to_owned()))
        .to_vec()
}

#[tokio::test]
async fn each_block_is_an_item_with_its_signature() {
    let asked = json!({"stream": true, "store": false, "reasoning": {"summary": "auto"},
        "include": ["reasoning.encrypted_content"]});
    let turns = thinking();
    let answer = create(&turns.api(), asked).await;
    let sentence = "Each block of reasoning is an item, whose encrypted content is its signature.";
    assert_snapshot!("responses/stream_reasoning_signed", sentence, shown(&turns, &answer));
}

#[tokio::test]
async fn the_model_gets_back_what_it_thought_whether_or_not_the_client_was_shown_it() {
    for shown in [json!({"summary": "auto"}), json!({"effort": "low"})] {
        let turns = thinking();
        let api = turns.api();
        let asked =
            json!({"input": "go", "reasoning": shown, "include": ["reasoning.encrypted_content"], "store": false});
        let first = create(&api, asked).await.json();
        let summaries = first["output"].as_array().unwrap().iter().filter(|item| item["summary"] != json!([]));
        assert_eq!(
            summaries.filter(|item| item["type"] == "reasoning").count(),
            usize::from(shown["summary"] == "auto")
        );
        let mut input = vec![json!({"role": "user", "content": "go"})];
        input.extend(first["output"].as_array().unwrap().iter().cloned());
        input.push(json!({"type": "function_call_output", "call_id": "toolu01", "output": "x"}));
        assert_eq!(create(&api, json!({"input": input})).await.status, 200);
        assert_eq!(given_back(&turns).await, all_of_it(), "{shown}");
    }
}

#[tokio::test]
async fn a_kept_answer_has_all_of_it_whatever_was_shown() {
    let turns = thinking();
    let api = turns.api();
    let first = create(&api, json!({})).await.json();
    assert!(first["output"][0].get("encrypted_content").is_none(), "it was not asked for");
    let result = json!([{"type": "function_call_output", "call_id": "toolu01", "output": "x"}]);
    let second = json!({"previous_response_id": first["id"], "input": result});
    assert_eq!(create(&api, second).await.status, 200);
    assert_eq!(given_back(&turns).await, all_of_it());
}

#[tokio::test]
async fn reasoning_of_others_is_left_out() {
    let user = json!({"role": "user", "content": "go"});
    let answer = json!({"role": "assistant", "content": "a"});
    for item in [
        json!({"type": "reasoning", "id": "rs_elsewhere", "summary": [], "encrypted_content": "c2ln"}),
        json!({"type": "reasoning", "summary": [], "encrypted_content": "gAAAAAB"}),
        json!({"type": "reasoning", "id": "rs_a0_0", "summary": [{"type": "summary_text", "text": "t"}]}),
        json!({"type": "reasoning", "id": "rs_a0_0", "summary": [], "content": null, "encrypted_content": null}),
    ] {
        let turns = thinking();
        let answer = create(&turns.api(), json!({"input": [user, item, answer, user]})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(given_back(&turns).await, [], "{item}");
    }
    let turns = thinking();
    let cut_off = json!({"type": "reasoning", "id": "rs_a0_0", "summary": [], "encrypted_content": "c2ln"});
    create(&turns.api(), json!({"input": [user, cut_off, user]})).await;
    let roles: Vec<Value> =
        turns.messages().as_array().unwrap().iter().map(|message| message["role"].clone()).collect();
    assert_eq!(roles, ["user", "user"], "a thought that led to nothing is no message");
}
