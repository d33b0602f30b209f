//! Recordings of arrivals, which `--bench eviction` simulates: read from the server's log, and from those that are kept.

#[path = "../bench/eviction/recording.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest")]
mod recording;

use std::path::Path;

pub(crate) use recording::Recording;
use serde_json::json;

/// A line of the log: a request that ended at this time.
fn line(ended: &str, conversation: &str, turn: usize, outcome: &str) -> String {
    let line = json!({"timestamp": ended, "level": "INFO", "message": "request", "target": "access", "door": "messages",
        "conversation": conversation, "turn": turn, "outcome": outcome, "input_tokens": 1000 * turn, "queue_ms": 250.0,
        "total_ms": 1500.0});
    line.to_string() + "\n"
}

#[test]
fn a_request_came_when_its_line_was_written_less_all_that_it_took() {
    let log = [
        line("2028-02-28T23:59:59.500000Z", "a", 1, "tool_calls"),
        line("2028-03-01T00:00:00.500000Z", "b", 1, "stop"),
        line("2028-03-01T00:00:10.500000Z", "a", 2, "stop"),
    ];
    let recording = Recording::parse("log", &log.concat()).unwrap();
    let day = 86_400.0;
    let read = recording.arrivals.iter().map(|of| (of.at, of.conversation, of.turn, of.calls, of.prompt, of.took));
    assert_eq!(
        read.collect::<Vec<_>>(),
        [
            (0.0, 0, 1, true, 1000.0, 1.25),
            (day + 1.0, 1, 1, false, 1000.0, 1.25),
            (day + 11.0, 0, 2, false, 2000.0, 1.25),
        ]
    );
    assert_eq!(recording.most_under_way(), 2);
}

#[test]
fn what_failed_what_asked_no_model_and_what_others_have_logged_is_left_out() {
    let other = |name: &str, value: serde_json::Value| {
        let mut line: serde_json::Value = serde_json::from_str(&line("2028-01-01T00:00:01Z", "c", 1, "stop")).unwrap();
        line[name] = value;
        line.to_string() + "\n"
    };
    let log = [
        line("2028-01-01T00:00:00Z", "a", 1, "stop"),
        line("2028-01-01T00:00:01Z", "b", 1, "overloaded"),
        other("door", serde_json::Value::Null),
        other("target", "audit".into()),
    ];
    assert_eq!(Recording::parse("log", &log.concat()).unwrap().arrivals.len(), 1);
    assert!(Recording::parse("log", &log[1..].concat()).unwrap_err().contains("no line tells of a request"));
    let old = other("conversation", serde_json::Value::Null);
    assert!(Recording::parse("log", &old).unwrap_err().contains("line 1: no conversation and turn"));
}

#[test]
fn the_same_question_asked_again_begins_another_conversation() {
    let turns = [("a", 1), ("a", 2), ("a", 1), ("a", 1), ("a", 2)];
    let log: String = turns.map(|(name, turn)| line("2028-01-01T00:00:00Z", name, turn, "stop")).concat();
    let recording = Recording::parse("log", &log).unwrap();
    let conversations: Vec<usize> = recording.arrivals.iter().map(|of| of.conversation).collect();
    assert_eq!(conversations, [0, 0, 1, 2, 2]);
}

#[test]
fn the_short_form_says_the_same_as_the_log() {
    let log = [line("2028-01-01T00:00:00Z", "a", 1, "tool_calls"), line("2028-01-01T00:00:09Z", "a", 2, "stop")];
    let recording = Recording::parse("it", &log.concat()).unwrap();
    let short = format!("# a remark\n\n{}", recording.shortened());
    assert_eq!(Recording::parse("it", &short).unwrap(), recording);
    assert!(Recording::parse("it", "0 1 1 x 10 10").unwrap_err().contains("line 1: expected"));
}

#[test]
fn those_that_are_kept_can_be_read_and_are_small() {
    let arrivals = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/arrivals");
    let files = arrivals.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let recordings: Vec<_> = files.filter(|path| path.extension().is_some_and(|is| is == "txt")).collect();
    assert!(!recordings.is_empty());
    for path in recordings {
        let recording = Recording::read(&path).unwrap();
        assert!(recording.arrivals.len() > 100 && recording.most_under_way() > 2, "{}", path.display());
        assert!(path.metadata().unwrap().len() < 50_000, "{}", path.display());
    }
}
