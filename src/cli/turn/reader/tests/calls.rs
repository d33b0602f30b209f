//! Calls: when an answer ends with them; and what comes in one piece after the connection to the API was lost.

use super::*;
use crate::ErrorKind;
use crate::cli::protocol::STRUCTURED_OUTPUT;

#[test]
fn an_answer_ends_where_the_cli_answers_one_of_its_calls_itself_and_at_no_other_result() {
    let mut turn = begun(false);
    turn.hears([call_block(0, "toolu_1", "mcp__c__look")]);
    assert!(!finished(&turn.hears([answered_by_the_cli("toolu_8")])));
    let (reason, kept) = turn.ends([answered_by_the_cli("toolu_1")]);
    assert!(reason == FinishReason::ToolCalls && kept.is_none());
}

#[test]
fn an_answer_waits_until_each_call_that_it_announced_is_issued() {
    let mut turn = begun(false);
    turn.hears([call_block(0, "toolu_1", "mcp__c__look"), call_block(1, "toolu_2", "mcp__c__exec")]);
    assert_eq!(turn.hears([issued("toolu_1")]), [], "the model may make further calls");
    assert_eq!(turn.hears([stop("tool_use")]), []);
    let (reason, kept) = turn.ends([issued("toolu_2")]);
    let pending = kept.unwrap().pending.unwrap();
    assert_eq!((reason, pending.calls.len(), pending.deferred.len()), (FinishReason::ToolCalls, 2, 0));
}

#[test]
fn a_call_behind_one_of_claude_codes_own_is_announced_when_it_is_issued() {
    let arguments = |index, json: &str| delta(index, json!({"type": "input_json_delta", "partial_json": json}));
    let mut turn = begun(false);
    turn.hears([call_block(0, "toolu_1", "mcp__c__look"), call_block(1, "toolu_2", "Read")]);
    let told = turn.hears([
        call_block(2, "toolu_3", "mcp__c__exec"),
        arguments(2, r#"{"at":"#),
        arguments(2, "3}"),
        call_block(3, "toolu_4", "mcp__c__look"),
        arguments(3, "{}"),
        stop("tool_use"),
    ]);
    assert_eq!(told, []);
    let (_, kept) = turn.ends([issued("toolu_1")]);
    let answered = kept.unwrap();
    assert_eq!(answered.reply.calls.len(), 1);
    let deferred = answered.pending.unwrap().deferred;
    assert_eq!(deferred.len(), 2);

    let mut turn = self::turn(TurnReader::resumed(answered.model, deferred), false);
    let told = turn.hears([issued("toolu_3")]);
    let start = ChatEvent::tool_call_start(0, "toolu3".to_owned(), "exec".to_owned());
    let expected = [ChatEvent::Started, start, ChatEvent::tool_call_delta(0, r#"{"at":3}"#.to_owned())];
    assert_eq!(told[..3], expected);
    let Some(AfterTurn::Keep(answered)) = turn.step.after.take() else { panic!("the process goes on") };
    let call = &answered.reply.calls[0];
    let named = (call.id.as_str(), call.kind.as_str(), call.function.name.as_str(), call.function.arguments.as_str());
    assert_eq!(named, ("toolu3", "function", "exec", r#"{"at":3}"#));
    assert_eq!((answered.model.as_str(), answered.pending.unwrap().deferred.len()), ("claude-opus-5-5", 1));
}

/// What the CLI fetched in one piece, in a line of its own for each of these blocks.
fn fetched(blocks: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let message = |block| json!({"id": "msg_2", "model": "claude-opus-5-5", "content": [block]});
    blocks.into_iter().map(|block| json!({"type": "assistant", "message": message(block)})).collect()
}

#[test]
fn what_is_fetched_in_one_piece_comes_a_block_a_line() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "mcp__c__look", "input": {"at": 1}});
    let mut turn = begun(false);
    turn.hears([text_block(0), text_delta(0, "It ")]);
    let told = turn.hears(fetched([text("It is here."), text("And there."), call, text("Or not.")]));
    let expected = [
        delta_of("is here."),
        ChatEvent::TextBlockStart,
        delta_of("And there."),
        ChatEvent::tool_call_start(0, "toolu1".to_owned(), "look".to_owned()),
        ChatEvent::tool_call_delta(0, r#"{"at":1}"#.to_owned()),
        ChatEvent::TextBlockStart,
        delta_of("Or not."),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_is_fetched_in_one_piece_cannot_follow_a_call_that_the_client_has_heard_of() {
    let mut turn = begun(false);
    turn.hears([call_block(0, "toolu_1", "mcp__c__look")]);
    let line = &fetched([json!({"type": "text", "text": "It is here."})])[0];
    assert_eq!(turn.take(line).unwrap_err().kind(), ErrorKind::Upstream);
}

#[test]
fn of_what_is_fetched_only_the_json_is_the_answer_where_json_is_asked_for() {
    let json = |name: &str| json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": {"for": name}});
    let text = json!({"type": "text", "text": "Here it is:"});
    let told = begun(true).hears(fetched([text.clone(), json("Read"), json(STRUCTURED_OUTPUT)]));
    assert_eq!(told, [ChatEvent::TextBlockStart, delta_of(r#"{"for":"StructuredOutput"}"#)]);
    let told = begun(false).hears(fetched([text, json(STRUCTURED_OUTPUT)]));
    assert_eq!(told, [ChatEvent::TextBlockStart, delta_of("Here it is:")]);
}

#[test]
fn what_repeats_the_stream_or_comes_from_the_cli_itself_is_not_told_again() {
    let line = |id: &str, model: &str| {
        let block = json!({"type": "text", "text": "Hi."});
        json!({"type": "assistant", "message": {"id": id, "model": model, "content": [block]}})
    };
    let mut turn = begun(false);
    turn.hears([text_block(0), text_delta(0, "Hi."), stop("end_turn")]);
    assert_eq!(turn.hears([line("msg_1", "claude-opus-5-5"), line("msg_3", "<synthetic>")]), []);
}
