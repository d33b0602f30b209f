//! Whatever clients do with their conversations, the model is told what they sent: random conversations, edits, retries
//! and interleavings of several clients over one pool, against a model of what each process must have been told.
//!
//! `PROPTEST_CASES` sets the number of cases.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use serde_json::{Value, json};
use tower_claude::cli::ClaudeCli;

use crate::support::chat::{Heard, call, function, hear, request, result, user};
use crate::support::random_cases::{Pool, live};

/// What a client does next.
#[derive(Clone, Debug)]
enum Step {
    /// Says something, and takes the answer into its history.
    Say(String),
    /// Asks the model to call functions, and gives their results.
    Call(Vec<String>),
    /// The same, and the client hangs up before it gives them.
    CallAndForget,
    /// Asks for the last answer once more.
    Regenerate,
    /// Changes an earlier message of the user's.
    Edit(prop::sample::Index, String),
    /// Changes one letter of an earlier message of anyone's.
    Mistype(prop::sample::Index),
    /// Removes a turn.
    Delete(prop::sample::Index),
    /// Sends the same request twice at once.
    Retry(String),
    /// Writes its history in another way that says the same.
    Rewrite(Rewriting),
    /// Begins anew with another system prompt.
    Restart(String),
}

#[derive(Clone, Debug)]
enum Rewriting {
    Pad,
    Parts,
    Split,
    Nulls,
    StripIds,
}

fn step() -> impl Strategy<Value = Step> {
    let text = "[a-e]{1,5}( [a-e]{1,5}){0,3}";
    prop_oneof![
        6 => text.prop_map(Step::Say),
        3 => prop::collection::vec("[a-e ]{0,12}", 1..4).prop_map(Step::Call),
        1 => Just(Step::CallAndForget),
        1 => Just(Step::Regenerate),
        1 => (any::<prop::sample::Index>(), text).prop_map(|(at, text)| Step::Edit(at, text)),
        1 => any::<prop::sample::Index>().prop_map(Step::Mistype),
        1 => any::<prop::sample::Index>().prop_map(Step::Delete),
        1 => text.prop_map(Step::Retry),
        3 => prop_oneof![
            Just(Rewriting::Pad), Just(Rewriting::Parts), Just(Rewriting::Split), Just(Rewriting::Nulls),
            Just(Rewriting::StripIds)
        ].prop_map(Step::Rewrite),
        1 => "[a-b]".prop_map(Step::Restart),
    ]
}

/// A client, and what it keeps of its conversation.
#[derive(Clone, Debug)]
struct Client {
    claude: ClaudeCli,
    /// Begins every text of the conversation, and no other's.
    mark: String,
    system: String,
    sent: Vec<Value>,
    /// Whether a process holds all of it, with the last answer, unless that process had to give way.
    is_held: bool,
}

/// Counts conversations.
static CONVERSATIONS: AtomicUsize = AtomicUsize::new(0);

/// Counts requests that went on with a conversation, and those of them that did not get its process.
static GONE_ON: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicUsize = AtomicUsize::new(0);

impl Client {
    fn new(claude: &ClaudeCli) -> Client {
        let (mark, system) = (String::new(), String::new());
        let mut client = Client { claude: claude.clone(), mark, system, sent: Vec::new(), is_held: false };
        client.restart("a");
        client
    }

    fn restart(&mut self, system: &str) {
        self.mark = format!("<{}>", CONVERSATIONS.fetch_add(1, Ordering::Relaxed));
        self.system = system.to_owned();
        self.sent.clear();
    }

    fn user(&self, text: &str) -> Value {
        user(&format!("{} {text}", self.mark))
    }

    async fn ask(&self, new: &[Value]) -> Heard {
        let mut messages = vec![json!({"role": "system", "content": self.system})];
        messages.extend(self.sent.iter().chain(new).cloned());
        let request = request(json!({
            "model": "sonnet", "messages": messages, "tools": [function("look")],
        }));
        hear(call(&self.claude, request).await.unwrap()).await.unwrap()
    }

    async fn say(&mut self, new: Vec<Value>) -> Heard {
        let answer = self.ask(&new).await;
        GONE_ON.fetch_add(usize::from(self.is_held), Ordering::Relaxed);
        LOST.fetch_add(usize::from(self.is_held && answer.process != "live"), Ordering::Relaxed);
        self.is_held = true;
        self.sent.extend(new);
        self.sent.push(answer.message());
        answer
    }

    async fn take(&mut self, step: &Step) {
        // Saying the same in another way changes nothing.
        self.is_held &= matches!(step, Step::Say(_) | Step::Call(_) | Step::Rewrite(_));
        match step {
            Step::Say(text) => {
                let said = self.user(text);
                let answer = self.say(vec![said]).await;
                assert_eq!(answer.text, format!("echo: {} {text}", self.mark));
            }
            Step::Call(results) => {
                let calls: Vec<String> =
                    results.iter().enumerate().map(|(at, _)| format!(r#"look {{"at":{at}}}"#)).collect();
                let answer = self.say(vec![self.user(&format!("[[tool {}]]", calls.join(" ;; ")))]).await;
                assert_eq!(answer.calls.len(), results.len());
                // The CLI would fill an empty result with words of its own, so these are replayed.
                self.is_held &= results.iter().all(|text| !text.trim().is_empty());
                let must_be_live = self.is_held;
                let results = answer.calls.iter().zip(results).map(|(call, text)| result(&call.id, text.as_str()));
                let answer = self.say(results.collect()).await;
                assert!(answer.process == "live" || !must_be_live, "the process waits for the results");
            }
            Step::CallAndForget => drop(self.ask(&[self.user("[[tool look {}]]")]).await),
            Step::Regenerate => {
                if self.sent.last().is_some_and(|message| message["role"] == "assistant") {
                    self.sent.pop();
                    let answer = self.ask(&[]).await;
                    self.sent.push(answer.message());
                }
            }
            Step::Edit(at, text) => {
                let text = self.user(text)["content"].clone();
                let mut mine: Vec<&mut Value> =
                    self.sent.iter_mut().filter(|message| message["role"] == "user").collect();
                if !mine.is_empty() {
                    let at = at.index(mine.len());
                    mine[at]["content"] = text;
                }
            }
            Step::Mistype(at) => {
                let mut texts: Vec<&mut Value> = self
                    .sent
                    .iter_mut()
                    .map(|message| &mut message["content"])
                    .filter(|text| text.is_string())
                    .collect();
                if !texts.is_empty() {
                    let at = at.index(texts.len());
                    let changed = texts[at].as_str().unwrap().replace('e', "b");
                    *texts[at] = json!(changed);
                }
            }
            Step::Delete(at) => {
                let turns: Vec<usize> = (0..self.sent.len().saturating_sub(1))
                    .filter(|&at| {
                        self.sent[at]["role"] == "user"
                            && self.sent[at + 1]["role"] == "assistant"
                            && self.sent[at + 1]["tool_calls"].is_null()
                    })
                    .collect();
                if !turns.is_empty() {
                    let at = turns[at.index(turns.len())];
                    self.sent.drain(at..at + 2);
                }
            }
            Step::Retry(text) => {
                let new = [self.user(text)];
                let (one, two) = tokio::join!(self.ask(&new), self.ask(&new));
                assert_eq!(one.text, two.text);
                self.sent.extend(new);
                self.sent.push(one.message());
            }
            Step::Rewrite(how) => self.sent.iter_mut().for_each(|message| rewrite(message, how)),
            Step::Restart(system) => self.restart(system),
        }
    }

    /// What the model has been told, against what was sent.
    async fn check(&self) {
        let probe = self.user("[[history]]");
        let told = self.ask(std::slice::from_ref(&probe)).await.json();
        assert_eq!(told["system"], json!([self.system]));
        let sent: Vec<Value> = self.sent.iter().cloned().chain([probe]).collect();
        assert_eq!(canonical_told(&told), canonical_sent(&sent));
    }
}

async fn live_through(claude: &ClaudeCli, clients: Vec<Vec<Step>>) {
    let lives = clients.into_iter().map(|steps| async move {
        let mut client = Client::new(claude);
        for step in &steps {
            client.take(step).await;
        }
        client.check().await;
    });
    futures_util::future::join_all(lives).await;
}

/// Reads what each process was told in all its life: one setup, and one conversation.
fn check_isolation(directory: &Path) -> usize {
    let mark = regex::Regex::new("<[0-9]+>").unwrap();
    let mut conversations = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let told = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let setups = told.matches(r#""subtype":"initialize""#).count();
        let marks: HashSet<&str> = mark.find_iter(&told).map(|found| found.as_str()).collect();
        assert!(setups <= 1 && marks.len() <= 1, "{setups} setups, {marks:?}: {told}");
        conversations += marks.len();
    }
    conversations
}

#[test]
fn the_model_is_told_what_the_client_sent_and_no_process_has_two_conversations() {
    let pool = Pool::new();
    let clients = prop::collection::vec(prop::collection::vec(step(), 1..8), 1..4);
    let cases = live(100, &clients, async |clients| live_through(&pool.claude, clients).await);
    assert!(check_isolation(pool.told()) >= cases as usize);
    // With fewer places than conversations, some give way. All others go on, which are 90 to 95 % of them.
    let evicted = pool.claude.status().events.ends.get("evicted").copied().unwrap_or_default();
    let (gone_on, lost) = (GONE_ON.load(Ordering::Relaxed) as u64, LOST.load(Ordering::Relaxed) as u64);
    assert!(
        lost <= evicted && 5 * lost < gone_on,
        "of {gone_on} that went on {lost} were lost, and {evicted} gave way"
    );
}

fn rewrite(message: &mut Value, how: &Rewriting) {
    let text = message["content"].as_str().map(str::to_owned);
    match (how, text) {
        (Rewriting::Pad, Some(text)) => message["content"] = json!(format!(" {text}\n\n")),
        (Rewriting::Parts, Some(text)) => message["content"] = json!([{"type": "text", "text": text}]),
        (Rewriting::Split, Some(text)) => {
            // Where there is white space already, since parts are told one by one.
            if let Some((one, two)) = text.split_once(' ') {
                message["content"] = json!([{"type": "text", "text": one}, {"type": "text", "text": two}]);
            }
        }
        (Rewriting::Nulls, _) => {
            message["name"] = Value::Null;
            if message["role"] == "assistant" {
                message["refusal"] = Value::Null;
                if message["content"] == "" {
                    message["content"] = Value::Null;
                }
            }
        }
        (Rewriting::StripIds, _) => {
            let strip = |id: &mut Value| {
                if let Some(text) = id.as_str() {
                    *id = json!(text.chars().filter(char::is_ascii_alphanumeric).take(40).collect::<String>());
                }
            };
            if message["tool_call_id"].is_string() {
                strip(&mut message["tool_call_id"]);
            }
            for call in message["tool_calls"].as_array_mut().into_iter().flatten() {
                strip(&mut call["id"]);
            }
        }
        _ => {}
    }
}

/// One turn without what clients may change: the side, and its texts, calls and results without white space.
type Turn = (String, Vec<String>);

fn push(turns: &mut Vec<Turn>, role: &str, item: String) {
    match turns.last_mut() {
        Some((last, items)) if last == role => match items.last_mut() {
            Some(text) if text.starts_with("text:") && item.starts_with("text:") => text.push_str(&item[5..]),
            _ => items.push(item),
        },
        _ => turns.push((role.to_owned(), vec![item])),
    }
}

fn bare(text: &str) -> String {
    text.split_whitespace().collect()
}

fn texts(content: &Value) -> String {
    match content {
        Value::Array(parts) => parts.iter().map(|part| bare(part["text"].as_str().unwrap_or_default())).collect(),
        text => bare(text.as_str().unwrap_or_default()),
    }
}

fn canonical_sent(messages: &[Value]) -> Vec<Turn> {
    let mut turns = Vec::new();
    for message in messages {
        let role = if message["role"] == "assistant" { "assistant" } else { "user" };
        let text = texts(&message["content"]);
        if message["role"] == "tool" {
            push(&mut turns, role, format!("result:{}", text));
            continue;
        }
        if !text.is_empty() {
            push(&mut turns, role, format!("text:{text}"));
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
            push(&mut turns, role, format!("call:{} {arguments}", call["function"]["name"].as_str().unwrap()));
        }
    }
    turns
}

fn canonical_told(told: &Value) -> Vec<Turn> {
    let mut turns = Vec::new();
    for message in told["messages"].as_array().unwrap() {
        let role = message["role"].as_str().unwrap();
        for block in message["content"].as_array().unwrap() {
            let item = match block["type"].as_str().unwrap() {
                "text" => format!("text:{}", bare(block["text"].as_str().unwrap())),
                "tool_use" => format!(
                    "call:{} {}",
                    block["name"].as_str().unwrap().trim_start_matches("mcp__c__"),
                    block["input"]
                ),
                "tool_result" => format!("result:{}", texts(&block["content"])),
                other => other.to_owned(),
            };
            push(&mut turns, role, item);
        }
    }
    turns
}
