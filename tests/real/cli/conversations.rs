//! Conversations: which process has them, and that nobody can tell when it has died.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::stack::{Stack, content, request, turn, turns};

/// A client's side of a conversation.
struct Conversation<'a> {
    stack: &'a Stack,
    messages: Vec<Value>,
}

impl<'a> Conversation<'a> {
    fn with(stack: &'a Stack) -> Self {
        Conversation { stack, messages: Vec::new() }
    }

    /// Says this, with these fields beside the messages. Returns how the request came by its process.
    async fn say_with(&mut self, text: &str, fields: Value) -> String {
        self.messages.push(json!({"role": "user", "content": text}));
        let mut body = request(json!(self.messages));
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = self.stack.ask(body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut completion = answer.json();
        assert_eq!(content(&completion), format!("echo: {text}"));
        self.messages.push(completion["choices"][0]["message"].take());
        answer.header("x-claude-process").unwrap().to_owned()
    }

    async fn say(&mut self, text: &str) -> String {
        self.say_with(text, json!({})).await
    }

    /// What the model should have been sent last.
    fn expected(&self) -> Vec<(String, Value)> {
        let (_, sent) = self.messages.split_last().unwrap();
        sent.iter()
            .map(|message| turn(message["role"].as_str().unwrap(), message["content"].as_str().unwrap()))
            .collect()
    }
}

#[tokio::test]
async fn ten_turns_of_a_conversation_are_on_one_process() {
    let Some(stack) = Stack::real().await else { return };

    let mut conversation = Conversation::with(&stack);
    let mut processes = Vec::new();
    for number in 1..=10 {
        processes.push(conversation.say(&format!("turn {number}")).await);
    }
    assert_eq!(processes[0], "cold");
    assert_eq!(processes[1..], ["live"; 9]);
    assert_eq!(stack.started().len(), 1);
    let requests = stack.api.requests();
    assert_eq!(requests.len(), 10, "each turn is one request");
    assert_eq!(turns(&requests[9]), conversation.expected());
}

#[tokio::test]
async fn eight_interleaved_conversations_are_on_eight_processes_each_its_own() {
    let Some(stack) = Stack::real_with(|builder| builder.max_processes(8)).await else { return };

    let mut conversations: Vec<_> = (0..8).map(|_| Conversation::with(&stack)).collect();
    for round in 0..3 {
        let says = conversations.iter_mut().enumerate().map(|(number, conversation)| async move {
            let process = conversation.say(&format!("{number}: round {round}")).await;
            assert_eq!(process, if round == 0 { "cold" } else { "live" });
        });
        join_all(says).await;
    }
    assert_eq!(stack.started().len(), 8);
    let requests = stack.api.requests();
    for conversation in &conversations {
        let expected = conversation.expected();
        assert_eq!(requests.iter().filter(|request| turns(request) == expected).count(), 1);
    }
}

#[tokio::test]
async fn a_process_killed_between_turns_is_not_noticed() {
    let Some(stack) = Stack::real().await else { return };

    let mut conversation = Conversation::with(&stack);
    conversation.say("one").await;
    assert_eq!(conversation.say("two").await, "live");
    stack.kill_last().await;
    assert_eq!(conversation.say("three").await, "cold");
    assert_eq!(conversation.say("four").await, "live");

    assert_eq!(stack.started().len(), 2);
    let requests = stack.api.requests();
    assert_eq!(turns(&requests[3]), conversation.expected(), "replayed as separate turns");
    assert_eq!(requests.len(), 4);
}

#[tokio::test]
async fn settings_are_those_of_each_request_and_none_is_left_for_the_next() {
    let Some(stack) = Stack::real().await else { return };

    let mut conversation = Conversation::with(&stack);
    let settings = [
        json!({}),
        json!({"max_tokens": 77, "reasoning_effort": "low"}),
        json!({}),
        json!({"max_completion_tokens": 99, "reasoning_effort": "xhigh"}),
        json!({}),
        json!({"model": "claude-sonnet-4", "max_tokens": 55}),
        json!({}),
    ];
    let mut processes = Vec::new();
    for (number, fields) in settings.into_iter().enumerate() {
        processes.push(conversation.say_with(&format!("turn {number}"), fields).await);
        let upstream = stack.api.request(number).await;
        assert_eq!(turns(&upstream), conversation.expected(), "nothing is said of the settings");
    }
    assert_eq!(processes[..5], ["cold", "live", "live", "live", "live"]);
    // The CLI would tell the model of a change of model.
    assert_eq!(processes[5..], ["cold", "cold"]);

    let seen: Vec<_> = stack.api.requests().iter().map(settings_of).collect();
    let (model, effort, limit) = seen[0].clone();
    assert!(model.contains("opus") && effort != "low" && effort != "xhigh" && limit > 99, "{seen:?}");
    assert_eq!(seen[1], (model.clone(), "low".to_owned(), 77));
    assert_eq!(seen[2], seen[0]);
    assert_eq!(seen[3], (model, "xhigh".to_owned(), 99));
    assert_eq!(seen[4], seen[0]);
    assert!(seen[5].0.contains("sonnet") && seen[5].2 == 55, "{seen:?}");
    assert_eq!(seen[6], seen[0]);
}

/// The model, the effort and the limit of tokens that the API was asked for.
fn settings_of(upstream: &Value) -> (String, String, u64) {
    (
        upstream["model"].as_str().unwrap().to_owned(),
        upstream["output_config"]["effort"].as_str().unwrap_or_default().to_owned(),
        upstream["max_tokens"].as_u64().unwrap(),
    )
}
