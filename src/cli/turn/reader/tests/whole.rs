//! What `assistant` lines say of blocks that were streamed: the rest of them, or that something has gone wrong.

use super::*;
use crate::ErrorKind;
use crate::cli::prompt::prefix::KnownThinking;
use crate::cli::protocol::STRUCTURED_OUTPUT;

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn call(input: &Value) -> Value {
    json!({"type": "tool_use", "id": "toolu_1", "name": "mcp__c__look", "input": input})
}

/// What the client is told after these lines by an `assistant` line with this block; `None` for an error.
fn told(lines: impl IntoIterator<Item = Value>, block: &Value) -> Option<Vec<ChatEvent>> {
    let mut turn = begun(false);
    turn.hears(lines);
    match turn.take(&whole("msg_1", block)) {
        Ok(()) => Some(turn.hears([])),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Cli);
            None
        }
    }
}

#[test]
fn the_rest_of_a_text_or_a_thought_is_sent_and_a_contradiction_is_an_error() {
    let said = || [text_block(0), text_delta(0, "It is ")];
    assert_eq!(told(said(), &text("It is ")), Some(vec![]));
    assert_eq!(told(said(), &text("It is here.")), Some(vec![delta_of("here.")]));
    assert_eq!(told(said(), &text("It was.")), None);
    assert_eq!(told(said(), &text("It")), None, "the client has been sent more");

    let thought = || [block(0, json!({"type": "thinking", "thinking": "", "signature": ""}))];
    let whole = json!({"type": "thinking", "thinking": "Hm.", "signature": "c2ln"});
    assert_eq!(told(thought(), &whole), Some(vec![ChatEvent::ReasoningDelta("Hm.".to_owned())]));
    let other = delta(0, json!({"type": "thinking_delta", "thinking": "So."}));
    assert_eq!(told(thought().into_iter().chain([other]), &whole), None);
}

#[test]
fn a_block_that_was_not_streamed_is_sent_whole_and_types_that_mean_nothing_are_not() {
    let before = || [text_block(0), text_delta(0, "One."), whole("msg_1", &text("One.")), block_stop(0)];
    assert_eq!(told(before(), &text("Two.")), Some(vec![ChatEvent::TextBlockStart, delta_of("Two.")]));
    let start = ChatEvent::tool_call_start(0, "toolu1".to_owned(), "look".to_owned());
    let arguments = ChatEvent::tool_call_delta(0, r#"{"at":1}"#.to_owned());
    assert_eq!(told(before(), &call(&json!({"at": 1}))), Some(vec![start, arguments]));
    assert_eq!(told(before(), &json!({"type": "fallback", "from": {}, "to": {}})), Some(vec![]));
    // A text of white space has no line of its own.
    let blank = || [text_block(0), text_delta(0, " "), block_stop(0), text_block(1), text_delta(1, "Two.")];
    assert_eq!(told(blank(), &text("Two.")), Some(vec![]));
}

#[test]
fn a_part_that_belongs_to_no_block_is_made_up_for_or_an_error() {
    let lost = || [text_block(0), input_delta(0, "{"), text_delta(3, "here.")];
    let mut turn = begun(false);
    turn.hears(lost());
    assert_eq!(turn.hears([whole("msg_1", &text("It is here."))]), [delta_of("It is here.")]);
    assert_eq!(turn.hears([stop("end_turn")]), []);
    let mut turn = begun(false);
    turn.hears(lost());
    assert_eq!(turn.take(&stop("end_turn")).unwrap_err().kind(), ErrorKind::Cli);
    // Of a block whose type means nothing here, nothing is missed.
    let mut turn = begun(false);
    turn.hears([
        block(0, json!({"type": "server_tool_use"})),
        input_delta(0, "{}"),
        text_block(1),
        text_delta(1, "So."),
    ]);
    turn.hears([stop("end_turn")]);
}

#[test]
fn a_calls_input_may_be_written_otherwise_than_the_model_did() {
    let after = |said: &str, input: &Value| {
        told([call_block(0, "toolu_1", "mcp__c__look"), input_delta(0, said)], &call(input))
    };
    let arguments = |rest: &str| Some(vec![ChatEvent::tool_call_delta(0, rest.to_owned())]);
    assert_eq!(after("", &json!({})), Some(vec![]));
    assert_eq!(
        after(
            r#"{"a": 1.0, "b": [12345678901234567890], "__proto__": 2}"#,
            &json!({"a": 1, "b": [12345678901234567000u64]})
        ),
        Some(vec![])
    );
    assert_eq!(after(r#"{"a":"\ud800"}"#, &json!({"a": "\u{fffd}"})), Some(vec![]));
    assert_eq!(after(r#"{"a":"b"#, &json!({"__unparsedToolInput": {"raw": r#"{"a":"b"#, "len": 7}})), Some(vec![]));
    assert_eq!(after(r#"{"a":"bcd"#, &json!({"__unparsedToolInput": {"raw": r#"{"a":"b"#, "len": 9}})), Some(vec![]));
    assert_eq!(after("", &json!({"a": "b"})), arguments(r#"{"a":"b"}"#));
    assert_eq!(after(r#"{"a":"#, &json!({"a": "b"})), arguments(r#""b"}"#));
    for (said, input) in [
        (r#"{ "a":"#, json!({"a": "b"})),
        (r#"{"a":"lng"}"#, json!({"a": "long"})),
        (r#"{"a":1}"#, json!({"a": 1, "b": 2})),
        (r#"{"a":[1]}"#, json!({"a": [1, 2]})),
        (r#"{"a":1,"b":2}"#, json!({"a": 1})),
        (r#"{"a":"b"#, json!({"__unparsedToolInput": {"raw": "{\"c", "len": 7}})),
    ] {
        assert_eq!(after(said, &input), None, "{said}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[ ".repeat(1_000), "]".repeat(1_000));
    let mut turn = begun(false);
    turn.hears([call_block(0, "toolu_1", "mcp__c__look"), input_delta(0, &deep)]);
    let line = whole("msg_1", &call(&json!("DEEP"))).to_string().replace("\"DEEP\"", &deep.replace(' ', ""));
    let context = Context {
        request: &turn.request,
        subscription: &turn.subscription,
        cache_lifetime: &turn.cache_lifetime,
        thinking: &KnownThinking::default(),
    };
    turn.reader.take(Line::parse(line.as_bytes()).unwrap(), context, &mut turn.step).unwrap();
}

#[test]
fn the_json_of_a_format_is_compared_as_json() {
    let line = |input: Value| {
        whole("msg_1", &json!({"type": "tool_use", "id": "toolu_1", "name": STRUCTURED_OUTPUT, "input": input}))
    };
    let mut turn = begun(true);
    turn.hears([call_block(0, "toolu_1", STRUCTURED_OUTPUT), input_delta(0, r#"{"a": 1}"#)]);
    assert_eq!(turn.hears([line(json!({"a": 1}))]), []);
    let mut turn = begun(true);
    turn.hears([call_block(0, "toolu_1", STRUCTURED_OUTPUT), input_delta(0, r#"{"a": 1}"#)]);
    assert_eq!(turn.take(&line(json!({"a": 2}))).unwrap_err().kind(), ErrorKind::Cli);
}
