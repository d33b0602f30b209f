//! Conversations: which process has them, and that nobody can tell when it has died.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::fields::says_with;
use crate::support::chat::until;
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

/// The processes of the second stack have been told, when a request comes, what the request before it wanted.
#[tokio::test]
async fn what_a_warm_process_was_told_ahead_makes_no_difference_to_what_the_api_is_asked() {
    let Some(cold) = Stack::real().await else { return };
    let Some(warm) = Stack::real_with(|builder| builder.warm_processes(1)).await else { return };

    let limited = json!({"max_tokens": 4096, "reasoning_effort": "low"});
    let chat = [
        limited.clone(),
        limited,
        json!({}),
        json!({"model": "claude-sonnet-4", "max_tokens": 55, "reasoning_effort": "none"}),
        json!({"reasoning_effort": "xhigh"}),
    ];
    let mut requests: Vec<(&str, Value)> =
        chat.map(|fields| ("/v1/chat/completions", says_with("hello", fields))).to_vec();
    // The model that the CLI takes has to be known before it is told what that model thought.
    let thought = json!({"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, {"type": "text", "text": "So."}]});
    for thinking in [json!({"type": "enabled", "budget_tokens": 2048, "display": "summarized"}), json!(null)] {
        let user = |text: &str| json!({"role": "user", "content": text});
        let mut body =
            json!({"model": "claude-opus-4", "max_tokens": 99, "messages": [user("one"), thought, user("two")]});
        if thinking.is_object() {
            body["thinking"] = thinking;
        }
        requests.push(("/v1/messages", body));
    }
    warm.claude.warm_up();
    for (number, (path, body)) in requests.into_iter().enumerate() {
        until("a warm process", || warm.claude.health().processes.warm == 1).await;
        let mut asked = Vec::new();
        for (stack, process) in [(&warm, "warm"), (&cold, "cold")] {
            let answer = stack.post(path, &body).await;
            assert_eq!((answer.status.as_u16(), answer.header("x-claude-process")), (200, Some(process)));
            let mut upstream = stack.api.request(number).await;
            let messages = turns(&upstream);
            let fields = ["model", "max_tokens", "thinking", "output_config"].map(|field| upstream[field].take());
            asked.push((fields, messages));
        }
        assert_eq!(asked[0], asked[1], "{body}");
    }
}
