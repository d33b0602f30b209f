//! What the pretend model answers: the directives of every pretend model, and those that need this program.

use std::time::Duration;

use serde_json::{Value, json};

use super::directives::{self, Block, Said, last_user_turn};
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

/// The answer to the conversation as it stands.
pub(crate) fn answer(told: &Told, gap: Option<Duration>) -> Answer {
    let (text, results) = last_user_turn(&told.messages);
    if told.structured() && results.is_empty() {
        return message(directives::structured_output(&text), gap);
    }
    if !results.is_empty() {
        return message(directives::results(results), gap);
    }
    directive(told, &text, gap)
}

/// The fault that the turn is to meet.
pub(crate) fn fault(told: &Told) -> Option<Fault> {
    let (text, _) = last_user_turn(&told.messages);
    Fault::parse(&text).map(|(fault, _)| fault)
}

fn directive(told: &Told, text: &str, gap: Option<Duration>) -> Answer {
    if let Some(said) = directives::said(text, &|name| told.full_name(name)) {
        return message(said, gap);
    }
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "fail" => match Failure::parse(rest) {
            Some(failure) => Answer::Failure(failure),
            None => echo(text, gap),
        },
        "overflow" => Answer::Failure(Failure::overflow()),
        "usage-limit" => Answer::Failure(Failure::usage_limit()),
        "slow" => match rest.split_once(' ').and_then(|(ms, rest)| Some((ms.parse().ok()?, rest))) {
            Some((ms, rest)) => directive(told, rest, Some(Duration::from_millis(ms))),
            None => echo(text, gap),
        },
        "utf8" => changed(say(utf8(), gap), |message| message.split = true),
        "garbage" => changed(echo(text, gap), |message| message.garbage = true),
        "drop" => changed(echo(text, gap), |message| message.dropped = true),
        "limits" => changed(echo(text, gap), |message| message.limits = Some(failure::limits("allowed", 0.93))),
        "overage" => changed(echo(text, gap), |message| message.limits = Some(failure::overage())),
        "extra-usage" => Answer::Failure(Failure::extra_usage()),
        "crash" => Answer::Crash,
        "crash-mid" => {
            let half = directives::text(["half ", "an ", "answer"]);
            changed(message((vec![half], "end_turn"), gap), |message| message.crash = true)
        }
        "crash-at" | "hang-at" | "half-at" => match Fault::parse(text) {
            Some((_, rest)) => directive(told, rest, gap),
            None => echo(text, gap),
        },
        "hold" => {
            hold(rest);
            echo(text, gap)
        }
        "silence" => Answer::Silence,
        "history" => say([told.to_json().to_string()], gap),
        "pid" => say([std::process::id().to_string()], gap),
        "args" => say([json!(std::env::args().skip(1).collect::<Vec<_>>()).to_string()], gap),
        "env" => say([std::env::var(rest.trim()).unwrap_or_default()], gap),
        "cwd" => say([std::env::current_dir().unwrap_or_default().display().to_string()], gap),
        _ => echo(text, gap),
    }
}

/// Takes the megabytes that a text begins with, for as long as this process runs.
fn hold(text: &str) {
    let megabytes: usize = text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    // Written to, so that they are there.
    Vec::leak(vec![1u8; megabytes * 1_000_000]);
}

/// Two, three and four bytes a character, and one made of several.
fn utf8() -> [String; 4] {
    ["na\u{ef}ve ", "\u{65e5}\u{672c}\u{8a9e} ", "\u{1f980}\u{1f600} ", "e\u{301}\u{200d}\u{1f469}\u{200d}\u{1f680}"]
        .map(str::to_owned)
}

fn echo(text: &str, gap: Option<Duration>) -> Answer {
    message(directives::echo(text), gap)
}

fn say(deltas: impl Into<Vec<String>>, gap: Option<Duration>) -> Answer {
    message((vec![Block::Text(deltas.into())], "end_turn"), gap)
}

fn message((blocks, stop): Said, gap: Option<Duration>) -> Answer {
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
