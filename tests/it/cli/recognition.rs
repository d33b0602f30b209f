//! A conversation stays on its process whatever layers do to requests and answers, if a `RecognizeLayer` stands outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_claude::chat::{Events, Message, Role};
use tower_claude::cli::ClaudeCli;
use tower_claude::layers::RecognizeLayer;
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, FinishReason};

use crate::support::chat::{
    Chat, Heard, assistant, call, claude, function, hear, in_time, messages, request, result, user,
};

type Inner = BoxCloneSyncService<ChatRequest, ChatResponse, Error>;

/// A client of a stack, which keeps its history.
struct Client {
    stack: Inner,
    tools: Vec<&'static str>,
    sent: Vec<Value>,
    key: Option<u64>,
}

impl Client {
    fn of<L>(layer: L, claude: &ClaudeCli) -> Client
    where
        L: Layer<ClaudeCli>,
        L::Service: Service<ChatRequest, Response = ChatResponse, Error = Error> + Clone + Send + Sync + 'static,
        <L::Service as Service<ChatRequest>>::Future: Send,
    {
        let stack = ServiceBuilder::new().layer(RecognizeLayer::new()).layer(layer).service(claude.clone());
        Client { stack: BoxCloneSyncService::new(stack), tools: Vec::new(), sent: Vec::new(), key: None }
    }

    async fn ask(&self) -> Result<Heard, Error> {
        let mut json = messages(self.sent.clone());
        json["tools"] = self.tools.iter().map(|name| function(name)).collect();
        let mut request = request(json);
        request.caller.key = self.key;
        hear(in_time("the head", self.stack.clone().oneshot(request)).await?).await
    }

    async fn send(&mut self, new: impl IntoIterator<Item = Value>) -> Heard {
        self.sent.extend(new);
        let answer = self.ask().await.unwrap();
        self.sent.push(answer.message());
        answer
    }

    async fn say(&mut self, text: &str) -> Heard {
        self.send([user(text)]).await
    }

    /// How three turns came by their processes, and how many there are then.
    async fn three_turns(mut self, claude: &ClaudeCli) -> (Vec<String>, u64) {
        let mut turns = Vec::new();
        for text in ["one", "two", "three"] {
            turns.push(self.say(text).await.process);
        }
        (turns, total(claude))
    }
}

fn total(claude: &ClaudeCli) -> u64 {
    claude.health().processes.total as u64
}

fn live() -> (Vec<String>, u64) {
    (["cold", "live", "live"].map(str::to_owned).to_vec(), 1)
}

/// Adds a line to each answer, another one each time.
fn footer() -> impl Fn(ChatResponse) -> ChatResponse + Clone {
    let count = Arc::new(AtomicUsize::new(0));
    move |response: ChatResponse| {
        let count = count.fetch_add(1, Ordering::Relaxed);
        response.translate(move |event, out: &mut Events| {
            if let ChatEvent::Finished { .. } = event {
                out.push(ChatEvent::TextDelta(format!("\n-- answer {count}")));
            }
            out.push(event);
        })
    }
}

/// Puts a system message that is another one each time before the conversation.
fn time_of_day() -> impl Fn(ChatRequest) -> ChatRequest + Clone {
    let hour = Arc::new(AtomicUsize::new(9));
    move |mut request: ChatRequest| {
        let hour = hour.fetch_add(1, Ordering::Relaxed);
        request.messages.insert(0, Message::new(Role::System, format!("It is {hour} o'clock.")));
        request
    }
}

/// Keeps calls of `exec` from the client, which is told so in words.
fn veto(response: ChatResponse) -> ChatResponse {
    let mut vetoed = Vec::new();
    let mut passed = 0;
    response.translate(move |event, out: &mut Events| match event {
        ChatEvent::ToolCallStart { name, index, .. } if name == "exec" => {
            vetoed.push(index);
            out.push(ChatEvent::TextBlockStart);
            out.push(ChatEvent::TextDelta("[A call was not allowed.]".to_owned()));
        }
        ChatEvent::ToolCallStart { id, name, .. } => {
            out.push(ChatEvent::tool_call_start(passed, id, name));
            passed += 1;
        }
        ChatEvent::ToolCallDelta { index, .. } if vetoed.contains(&index) => {}
        ChatEvent::ToolCallDelta { arguments, .. } => {
            out.push(ChatEvent::tool_call_delta(passed - 1, arguments));
        }
        ChatEvent::Finished { usage, .. } if passed == 0 => {
            out.push(ChatEvent::finished(FinishReason::Stop, usage));
        }
        other => out.push(other),
    })
}

#[tokio::test]
async fn without_other_layers_it_stays() {
    let claude = claude().build();
    let client = Client::of(tower::layer::util::Identity::new(), &claude);
    assert_eq!(client.three_turns(&claude).await, live());
}

#[tokio::test]
async fn it_stays_where_a_layer_adds_to_each_answer() {
    let claude = claude().build();
    let client = Client::of(tower::util::MapResponseLayer::new(footer()), &claude);
    assert_eq!(client.three_turns(&claude).await, live());
}

#[tokio::test]
async fn it_stays_where_a_layer_says_the_time_of_day_which_the_model_is_told_anew() {
    let claude = claude().build();
    let mut client = Client::of(tower::util::MapRequestLayer::new(time_of_day()), &claude);
    client.say("one").await;
    assert_eq!(client.say("two").await.process, "live");
    let answer = client.say("[[history]]").await;
    assert_eq!((answer.process.as_str(), total(&claude)), ("live", 1));
    let told = answer.json();
    assert_eq!(told["system"], json!(["It is 9 o'clock."]));
    let text = |text: &str| json!({"type": "text", "text": text});
    let reminder =
        |text: &str| json!({"type": "text", "text": format!("<system-reminder>\n{text}\n</system-reminder>")});
    assert_eq!(told["messages"][2]["content"], json!([reminder("It is 10 o'clock."), text("two")]));
    assert_eq!(told["messages"][4]["content"], json!([reminder("It is 11 o'clock."), text("[[history]]")]));
}

#[tokio::test]
async fn it_stays_after_a_veto_and_the_model_learns_that_its_call_was_not_carried_out() {
    let claude = claude().build();
    let mut client = Client::of(tower::util::MapResponseLayer::new(veto), &claude);
    client.tools = vec!["exec", "look"];
    let answer = client.say(r#"[[tool exec {"command":"rm"}]]"#).await;
    assert!(answer.text.ends_with("[A call was not allowed.]"), "{}", answer.text);
    assert_eq!((answer.calls.len(), answer.reason), (0, Some(FinishReason::Stop)));
    let next = client.say("Then do without.").await;
    assert_eq!((next.process.as_str(), total(&claude)), ("live", 1));
    let answer = client.say("[[history]]").await;
    assert_eq!((answer.process.as_str(), total(&claude)), ("live", 1));
    let told = answer.json()["messages"].to_string();
    assert!(told.contains("This call was not carried out"), "{told}");
    assert!(told.contains("Then do without."), "{told}");
}

#[tokio::test]
async fn the_calls_beside_a_vetoed_one_get_their_results() {
    let claude = claude().build();
    let mut client = Client::of(tower::util::MapResponseLayer::new(veto), &claude);
    client.tools = vec!["exec", "look"];
    let answer = client.say(r#"[[tool exec {} ;; look {"at":"a"}]]"#).await;
    assert_eq!((answer.calls.len(), answer.reason), (1, Some(FinishReason::ToolCalls)));
    let next = client.send([result(&answer.calls[0].id, "a cat")]).await;
    assert_eq!((next.process.as_str(), total(&claude)), ("live", 1));
    let told = client.say("[[history]]").await.json()["messages"].to_string();
    assert!(told.contains("a cat") && told.contains("This call was not carried out"), "{told}");
}

#[tokio::test]
async fn a_client_that_forgets_a_call_which_it_was_told_of_has_a_replay() {
    let claude = claude().build();
    let mut client = Client::of(tower::layer::util::Identity::new(), &claude);
    client.tools = vec!["look"];
    client.say("[[tool look {}]]").await;
    assert_ne!(client.say("Never mind.").await.process, "live");
}

#[tokio::test]
async fn what_the_client_itself_changes_is_a_replay() {
    for (what, change) in [
        ("its message", (|sent| sent[0] = user("One")) as fn(&mut Vec<Value>)),
        ("the answer", |sent| sent[1] = assistant("echo: one! \n-- answer 0")),
        ("the answer without what the layer added", |sent| sent[1] = assistant("echo: two")),
        ("a system prompt", |sent| sent.insert(0, json!({"role": "system", "content": "x"}))),
        ("a message more", |sent| sent.insert(0, user("zero"))),
    ] {
        let claude = claude().build();
        let mut client = Client::of(tower::util::MapResponseLayer::new(footer()), &claude);
        client.say("one").await;
        change(&mut client.sent);
        assert_ne!(client.say("two").await.process, "live", "{what}");
    }
}

#[tokio::test]
async fn what_another_caller_was_told_is_not_gone_on_with() {
    let claude = claude().build();
    let mut owner = Client::of(tower::util::MapResponseLayer::new(footer()), &claude);
    owner.key = Some(1);
    owner.say("one").await;
    // To the letter what the owner sent and was told.
    let mut stranger = Client { stack: owner.stack.clone(), tools: Vec::new(), sent: owner.sent.clone(), key: Some(2) };
    assert_eq!(stranger.say("two").await.process, "cold");
    assert_eq!(owner.say("two").await.process, "live");
}

#[tokio::test]
async fn a_client_that_does_not_come_through_the_layer_goes_on_by_what_was_said() {
    let claude = claude().build();
    let mut client = Client::of(tower::layer::util::Identity::new(), &claude);
    client.say("one").await;
    let mut chat = Chat::new(&claude);
    chat.messages().extend(client.sent.clone());
    assert_eq!(chat.say("two").await.process, "live");
    // And the other way round.
    client.sent = chat.messages().clone();
    assert_eq!(client.say("three").await.process, "live");
}

#[tokio::test]
async fn no_more_than_a_hash_of_a_conversation_is_held() {
    let claude = claude().build();
    let response = call(&claude, request(messages([user(&"x".repeat(1 << 20))]))).await.unwrap();
    hear(response).await.unwrap();
    assert!(format!("{claude:?}").len() < 1 << 16);
}
