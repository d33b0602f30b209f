//! Calls: when an answer ends with them; and what comes in one piece after the connection to the API was lost.

use super::*;
use crate::ErrorKind;
use crate::cli::protocol::STRUCTURED_OUTPUT;

#[test]
fn an_answer_ends_where_the_cli_answers_one_of_its_calls_itself_and_at_no_other_result() {
    for late in [false, true] {
        let mut turn = begun(false);
        turn.hears([call_block(0, "toolu_1", "mcp__c__look")]);
        assert!(!finished(&turn.hears([answered_by_the_cli("toolu_8")])));
        let mut end = [answered_by_the_cli("toolu_1"), stop("tool_use")];
        end.rotate_left(usize::from(late));
        let [first, last] = end;
        assert!(!finished(&turn.hears([first])));
        let (reason, kept) = turn.ends([last]);
        assert!(reason == FinishReason::ToolCalls && kept.is_none(), "late: {late}");
    }
}

#[test]
fn a_call_that_is_cut_ends_with_the_reason_and_the_usage_of_its_message() {
    for (reason, told) in [
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::ContextWindow),
        ("refusal", FinishReason::ContentFilter),
        ("pause_turn", FinishReason::Pause),
    ] {
        // The CLI may have taken the call for a whole one, or have answered it before the message is over.
        for of_the_cli in [issued("toolu_2"), answered_by_the_cli("toolu_2")] {
            let mut turn = begun(false);
            let said = turn.hears([
                call_block(0, "toolu_1", "mcp__c__exec"),
                issued("toolu_1"),
                call_block(1, "toolu_2", "mcp__c__look"),
                input_delta(1, r#"{"path":"a.t"#),
                of_the_cli,
            ]);
            assert_eq!(said.last(), Some(&ChatEvent::tool_call_delta(1, r#"{"path":"a.t"#.to_owned())));
            let end = turn.hears([stop(reason)]);
            assert_eq!(end, [ChatEvent::finished(told, crate::Usage::new(12, 3))], "{reason}");
            assert!(matches!(turn.step.after, Some(AfterTurn::Kill)), "{reason}");
        }
    }
}

#[test]
fn calls_wait_for_results_whatever_the_reason_that_their_message_ends_for() {
    for reason in ["tool_use", "end_turn", "stop_sequence", "of_tomorrow"] {
        let mut turn = begun(false);
        turn.hears([call_block(0, "toolu_1", "mcp__c__look"), issued("toolu_1")]);
        let (told, kept) = turn.ends([stop(reason)]);
        assert!(told == FinishReason::ToolCalls && kept.unwrap().pending.is_some(), "{reason}");
    }
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
    let mut turn = begun(false);
    turn.hears([call_block(0, "toolu_1", "mcp__c__look"), call_block(1, "toolu_2", "Read")]);
    let told = turn.hears([
        call_block(2, "toolu_3", "mcp__c__exec"),
        input_delta(2, r#"{"at":"#),
        input_delta(2, "3}"),
        call_block(3, "toolu_4", "mcp__c__look"),
        input_delta(3, "{}"),
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
fn what_is_fetched_in_one_piece_may_be_cut_too_and_is_counted_once() {
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "mcp__c__look", "input": {}});
    let asks_on = json!({"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": "Resume"}]}});
    for (reason, told) in [
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::ContextWindow),
        ("refusal", FinishReason::ContentFilter),
    ] {
        for next in [issued("toolu_1"), asks_on.clone()] {
            let mut lines = fetched([json!({"type": "text", "text": "So:"}), call.clone()]);
            for line in &mut lines {
                line["message"]["stop_reason"] = json!(reason);
                line["message"]["usage"] = json!({"input_tokens": 10, "output_tokens": 2});
            }
            let mut turn = begun(false);
            turn.hears(lines);
            assert_eq!(turn.hears([next]), [ChatEvent::finished(told, crate::Usage::new(10, 2))], "{reason}");
            assert!(matches!(turn.step.after, Some(AfterTurn::Kill)), "{reason}");
        }
    }
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
