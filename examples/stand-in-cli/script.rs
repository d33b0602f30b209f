//! What the pretend model answers: the directives, read from the last user turn.

use std::time::Duration;

use serde_json::{Value, json};

use super::failure::{self, Failure};
use super::fault::Fault;
use super::told::Told;

/// One request to the pretend model, answered.
pub(crate) enum Answer {
    /// A message, streamed.
    Message(Message),
    /// An error instead of one.
    Failure(Failure),
    /// The process dies before the first event.
    Crash,
    /// Nothing, ever.
    Silence,
}

/// A message of the pretend model.
pub(crate) struct Message {
    pub(crate) blocks: Vec<Block>,
    pub(crate) stop: &'static str,
    /// Between two deltas.
    pub(crate) gap: Option<Duration>,
    /// The process dies after the first block's deltas.
    pub(crate) crash: bool,
    pub(crate) garbage: bool,
    pub(crate) split: bool,
    /// The connection to the API is lost after the first delta, and the message then fetched in one piece.
    pub(crate) dropped: bool,
    /// A `rate_limit_event` follows.
    pub(crate) limits: Option<Value>,
}

pub(crate) enum Block {
    Text(Vec<String>),
    /// The deltas `w0 `, `w1 `, and so on.
    Count(u64),
    Thinking(Vec<String>),
    /// A call: the tool's name, and its arguments as the model wrote them.
    Tool(String, String),
}

/// The answer to the conversation as it stands.
pub(crate) fn answer(told: &Told, gap: Option<Duration>) -> Answer {
    let (text, results) = last_user_turn(&told.messages);
    if told.structured() && results.is_empty() {
        let input = text.strip_prefix("json ").unwrap_or(r#"{"name":"Ada"}"#);
        return message(vec![Block::Tool("StructuredOutput".to_owned(), input.to_owned())], "tool_use", gap);
    }
    if !results.is_empty() {
        return say(["result: ".to_owned(), Value::Array(results).to_string()], gap);
    }
    directive(told, &text, gap)
}

/// The fault that the turn is to meet.
pub(crate) fn fault(told: &Told) -> Option<Fault> {
    let (text, _) = last_user_turn(&told.messages);
    Fault::parse(&text).map(|(fault, _)| fault)
}

fn directive(told: &Told, text: &str, gap: Option<Duration>) -> Answer {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "fail" => match Failure::parse(rest) {
            Some(failure) => Answer::Failure(failure),
            None => echo(text, gap),
        },
        "overflow" => Answer::Failure(Failure::overflow()),
        "usage-limit" => Answer::Failure(Failure::usage_limit()),
        "tool" => {
            let mut blocks = vec![Block::Text(vec!["calling ".to_owned()])];
            blocks.extend(rest.split(" ;; ").map(|call| {
                let (name, input) = call.split_once(' ').unwrap_or((call, "{}"));
                Block::Tool(told.full_name(name), input.to_owned())
            }));
            message(blocks, "tool_use", gap)
        }
        "slow" => match rest.split_once(' ').and_then(|(ms, rest)| Some((ms.parse().ok()?, rest))) {
            Some((ms, rest)) => directive(told, rest, Some(Duration::from_millis(ms))),
            None => echo(text, gap),
        },
        "count" => message(vec![Block::Count(rest.trim().parse().unwrap_or(0))], "end_turn", gap),
        "blocks" => message(rest.split('|').map(|part| Block::Text(vec![part.to_owned()])).collect(), "end_turn", gap),
        "think" => {
            let thinking = Block::Thinking(vec!["let me ".to_owned(), "think".to_owned()]);
            message(vec![thinking, Block::Text(vec!["echo: ".to_owned(), text.to_owned()])], "end_turn", gap)
        }
        "long" => message(vec![Block::Text(vec!["cut ".to_owned(), "here".to_owned()])], "max_tokens", gap),
        "refusal" => message(vec![Block::Text(vec!["I ".to_owned(), "cannot".to_owned()])], "refusal", gap),
        "big" => say(["x".repeat(rest.trim().parse().unwrap_or(0))], gap),
        "utf8" => changed(say(utf8(), gap), |message| message.split = true),
        "garbage" => changed(echo(text, gap), |message| message.garbage = true),
        "drop" => changed(echo(text, gap), |message| message.dropped = true),
        "limits" => changed(echo(text, gap), |message| message.limits = Some(failure::limits("allowed", 0.93))),
        "overage" => changed(echo(text, gap), |message| message.limits = Some(failure::overage())),
        "extra-usage" => Answer::Failure(Failure::extra_usage()),
        "crash" => Answer::Crash,
        "crash-mid" => {
            let half = Block::Text(vec!["half ".to_owned(), "an ".to_owned(), "answer".to_owned()]);
            changed(message(vec![half], "end_turn", gap), |message| message.crash = true)
        }
        "crash-at" | "hang-at" | "half-at" => match Fault::parse(text) {
            Some((_, rest)) => directive(told, rest, gap),
            None => echo(text, gap),
        },
        "silence" => Answer::Silence,
        "history" => say([told.to_json().to_string()], gap),
        "pid" => say([std::process::id().to_string()], gap),
        "args" => say([json!(std::env::args().skip(1).collect::<Vec<_>>()).to_string()], gap),
        "env" => say([std::env::var(rest.trim()).unwrap_or_default()], gap),
        "cwd" => say([std::env::current_dir().unwrap_or_default().display().to_string()], gap),
        _ => echo(text, gap),
    }
}

/// Two, three and four bytes a character, and one made of several.
fn utf8() -> [String; 4] {
    ["na\u{ef}ve ", "\u{65e5}\u{672c}\u{8a9e} ", "\u{1f980}\u{1f600} ", "e\u{301}\u{200d}\u{1f469}\u{200d}\u{1f680}"]
        .map(str::to_owned)
}

fn echo(text: &str, gap: Option<Duration>) -> Answer {
    say(["echo: ".to_owned(), text.to_owned()], gap)
}

fn say(deltas: impl Into<Vec<String>>, gap: Option<Duration>) -> Answer {
    message(vec![Block::Text(deltas.into())], "end_turn", gap)
}

fn message(blocks: Vec<Block>, stop: &'static str, gap: Option<Duration>) -> Answer {
    Answer::Message(Message {
        blocks,
        stop,
        gap,
        crash: false,
        garbage: false,
        split: false,
        dropped: false,
        limits: None,
    })
}

fn changed(mut answer: Answer, change: impl FnOnce(&mut Message)) -> Answer {
    if let Answer::Message(message) = &mut answer {
        change(message);
    }
    answer
}

/// The text that decides, a directive's inside if there is one, and the contents of the turn's tool results.
fn last_user_turn(messages: &[Value]) -> (String, Vec<Value>) {
    let start = messages.iter().rposition(|message| message["role"] == "assistant").map_or(0, |last| last + 1);
    let (mut texts, mut results) = (Vec::new(), Vec::new());
    for message in messages[start..].iter().filter(|message| message["role"] == "user") {
        match &message["content"] {
            Value::Array(blocks) => {
                for block in blocks {
                    match block["type"].as_str() {
                        Some("text") => texts.push(block["text"].as_str().unwrap_or_default()),
                        Some("tool_result") => results.push(block["content"].clone()),
                        _ => {}
                    }
                }
            }
            content => texts.push(content.as_str().unwrap_or_default()),
        }
    }
    let all = texts.join("\n");
    let directive = all.split_once("[[").and_then(|(_, after)| {
        // A directive's own text may end in brackets, as a JSON array does: the last of several closing ones closes.
        let end = after.find("]]")?;
        let more = after[end + 2..].bytes().take_while(|&byte| byte == b']').count();
        Some(&after[..end + more])
    });
    let text = directive.or(texts.last().copied()).unwrap_or_default();
    (text.to_owned(), results)
}
