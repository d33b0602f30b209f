//! Recordings: which conversation's request came when, how large it was, and how long its answer took.
//!
//! They are read from the server's log (`--log-format json`), or from lines that are shorter and say the same:
//!
//! ```text
//! # a remark
//! 1204 17 3 c 18211 6120
//! ```
//!
//! That is: 1.204 s after the first request, conversation 17, its third turn, which ends with a call of a function (`.`: with
//! an answer), 18,211 tokens of prompt, and 6.12 s until the answer's end, without the time in a queue.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// When it came, in seconds after the first one of the recording.
    pub(crate) at: f64,
    /// Counted from 0, in the order in which they come.
    pub(crate) conversation: usize,
    /// Which turn of its conversation it is, from 1.
    pub(crate) turn: usize,
    /// Whether the answer ends with calls of functions.
    pub(crate) calls: bool,
    /// Tokens of its prompt.
    pub(crate) prompt: f64,
    /// How long it took to be answered, in seconds, without the time in a queue.
    pub(crate) took: f64,
}

/// The requests of some time, in the order in which they came.
#[derive(Debug, PartialEq)]
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) arrivals: Vec<Arrival>,
}

impl Recording {
    /// Reads a file of either form.
    pub(crate) fn read(path: &Path) -> Result<Recording, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        Recording::parse(&name, &text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads the lines of either form. An error says which line is of neither, or that there are none.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Recording, String> {
        let mut seen = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let found = match line.trim_start().chars().next() {
                None | Some('#') => Ok(None),
                Some('{') => logged(line),
                Some(_) => short(line).map(Some),
            };
            seen.extend(found.map_err(|error| format!("line {number}: {error}"))?);
        }
        seen.sort_by(|one, other| one.0.total_cmp(&other.0));
        let first = seen.first().ok_or("no line tells of a request to a model that was answered")?.0;
        // The conversation that now has this name. A first turn begins another of the same name.
        let mut named: HashMap<String, usize> = HashMap::new();
        let mut conversations = 0;
        let arrivals = seen.into_iter().map(|(at, name, arrival)| {
            let conversation = *named
                .entry(name)
                .and_modify(|of| {
                    if arrival.turn == 1 {
                        *of = conversations;
                    }
                })
                .or_insert(conversations);
            conversations = conversations.max(conversation + 1);
            Arrival { at: at - first, conversation, ..arrival }
        });
        Ok(Recording { name: name.to_owned(), arrivals: arrivals.collect() })
    }

    /// Its short form.
    pub(crate) fn shortened(&self) -> String {
        let mut lines = String::new();
        for Arrival { at, conversation, turn, calls, prompt, took } in &self.arrivals {
            let (at, took, ends) = (at * 1e3, took * 1e3, if *calls { 'c' } else { '.' });
            let _ = writeln!(lines, "{at:.0} {conversation} {turn} {ends} {prompt:.0} {took:.0}");
        }
        lines
    }

    /// The turns of each conversation, in order.
    pub(crate) fn conversations(&self) -> Vec<Vec<&Arrival>> {
        let mut conversations: Vec<Vec<&Arrival>> = Vec::new();
        for arrival in &self.arrivals {
            if conversations.len() <= arrival.conversation {
                conversations.resize(arrival.conversation + 1, Vec::new());
            }
            conversations[arrival.conversation].push(arrival);
        }
        conversations.retain(|turns| !turns.is_empty());
        conversations
    }

    /// The most conversations that are between their first and their last turn at once.
    pub(crate) fn most_under_way(&self) -> usize {
        let conversations = self.conversations();
        let spans = conversations.iter().filter_map(|turns| {
            let (first, last) = (turns.first()?, turns.last()?);
            Some([(first.at, 1), (last.at + last.took, -1)])
        });
        let mut changes: Vec<(f64, i64)> = spans.flatten().collect();
        changes.sort_by(|one, other| one.0.total_cmp(&other.0));
        let counts = changes.iter().scan(0, |count, change| {
            *count += change.1;
            Some(*count)
        });
        usize::try_from(counts.max().unwrap_or(0)).unwrap_or(0)
    }
}

/// When it came by the clock, what its conversation is called, and the rest.
type Seen = (f64, String, Arrival);

/// A line of the log, if it is about a request to a model that was answered.
fn logged(line: &str) -> Result<Option<Seen>, String> {
    let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let answered = matches!(line["outcome"].as_str(), Some("stop" | "length" | "tool_calls" | "content_filter"));
    if line["target"] != "access" || line["door"].is_null() || !answered {
        return Ok(None);
    }
    let number = |name: &str| line[name].as_f64();
    let (Some(conversation), Some(turn)) = (line["conversation"].as_str(), line["turn"].as_u64()) else {
        return Err("no conversation and turn: it was written by an older version".to_owned());
    };
    let ended = line["timestamp"].as_str().and_then(seconds).ok_or("no timestamp")?;
    let total = number("total_ms").ok_or("no total_ms")? / 1e3;
    let queue = number("queue_ms").unwrap_or(0.0) / 1e3;
    let arrival = Arrival {
        at: 0.0,
        conversation: 0,
        turn: usize::try_from(turn).unwrap_or(usize::MAX),
        calls: line["outcome"] == "tool_calls",
        prompt: number("input_tokens").unwrap_or(0.0),
        took: (total - queue).max(0.0),
    };
    Ok(Some((ended - total, conversation.to_owned(), arrival)))
}

/// A short line.
fn short(line: &str) -> Result<Seen, String> {
    let wrong = || format!("expected `1204 17 3 c 18211 6120`, found `{line}`");
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[at, conversation, turn, ends @ ("c" | "."), prompt, took] = fields.as_slice() else { return Err(wrong()) };
    let number = |text: &str| text.parse::<f64>().map_err(|_| wrong());
    let arrival = Arrival {
        at: 0.0,
        conversation: 0,
        turn: turn.parse().map_err(|_| wrong())?,
        calls: ends == "c",
        prompt: number(prompt)?,
        took: number(took)? / 1e3,
    };
    Ok((number(at)? / 1e3, conversation.to_owned(), arrival))
}

/// The seconds since some midnight of a time such as `2026-11-28T14:26:00.123456Z`.
fn seconds(timestamp: &str) -> Option<f64> {
    let (date, time) = timestamp.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    // The days before March of the year 0, by years that begin in March: the leap day is then the last of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day;
    let mut time = time.splitn(3, ':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (time.next()??, time.next()??, time.next()??);
    Some(days as f64 * 86_400.0 + hours * 3600.0 + minutes * 60.0 + seconds)
}
