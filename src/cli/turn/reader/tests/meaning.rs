//! Lines that the stand-in CLI does not write, or not in this order.

use super::*;
use crate::ErrorKind;
use crate::cli::prompt::marks::Lifetime;
use crate::cli::protocol::STRUCTURED_OUTPUT;

#[test]
fn nothing_of_a_sub_agent_is_part_of_the_answer() {
    let mut turn = begun(false);
    turn.hears([text_block(0), call_block(1, "toolu_1", "mcp__c__look")]);
    let spoken = json!({"id": "msg_2", "model": "m", "content": [{"type": "text", "text": "From within."}]});
    let whole = json!({"type": "assistant", "message": spoken});
    for mut line in [text_delta(0, "From within."), whole, answered_by_the_cli("toolu_1")] {
        line["parent_tool_use_id"] = json!("toolu_9");
        assert_eq!(turn.hears([line]), []);
    }
    assert_eq!(turn.hears([text_delta(0, "Mine.")]), [delta_of("Mine.")]);
}

#[test]
fn only_a_new_process_says_whether_it_took_the_setup_and_only_once_a_turn() {
    let init = |tools: &[&str]| json!({"type": "system", "subtype": "init", "tools": tools});
    let refused = turn(TurnReader::fresh(), false).take(&init(&[])).unwrap_err();
    assert_eq!((refused.kind(), refused.param()), (ErrorKind::InvalidRequest, Some("tools")));
    let mut taken = turn(TurnReader::fresh(), false);
    taken.hears([init(&["mcp__c__exec", "mcp__c__look"]), init(&[])]);
    turn(TurnReader::live(), false).hears([init(&[])]);
    // Other lines of the system's are no news of the setup.
    turn(TurnReader::fresh(), false).hears([json!({"type": "system", "subtype": "status"})]);
}

#[test]
fn a_schema_is_taken_where_the_tool_for_it_is_offered() {
    let init = |last: &str| {
        let tools = ["mcp__c__exec", "mcp__c__look", last];
        json!({"type": "system", "subtype": "init", "tools": tools})
    };
    let refused = turn(TurnReader::fresh(), true).take(&init("Read")).unwrap_err();
    assert_eq!(refused.param(), Some("response_format.json_schema.schema"));
    turn(TurnReader::fresh(), true).hears([init(STRUCTURED_OUTPUT)]);
    turn(TurnReader::fresh(), false).hears([init("Read")]);
}

#[test]
fn the_reply_to_the_model_names_it_and_a_refusal_says_what_was_refused() {
    let reply = |response: Value| json!({"type": "control_response", "response": response});
    let mut turn = turn(TurnReader::fresh(), false);
    turn.hears([reply(json!({"subtype": "success", "request_id": "effort", "response": {"model": "other"}}))]);
    assert!(!turn.reader.knows_model() && turn.reader.model().is_empty());
    turn.hears([reply(json!({"subtype": "success", "request_id": "model", "response": {"model": "claude-opus-5-5"}}))]);
    assert!(turn.reader.knows_model() && turn.reader.model() == "claude-opus-5-5");

    let refusal = |id: &str| reply(json!({"subtype": "error", "request_id": id, "error": "No such thing."}));
    let error = turn.take(&refusal("model")).unwrap_err();
    assert_eq!((error.kind(), error.param()), (ErrorKind::ModelNotFound, Some("model")));
    let error = turn.take(&refusal("effort")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cli);
    assert!(error.to_string().contains("effort: No such thing."), "{error}");
}

#[test]
fn a_message_that_begins_anew_is_an_error_once_the_client_has_heard_part_of_it() {
    for heard in [vec![text_block(0), text_delta(0, "It is ")], vec![call_block(0, "toolu_1", "mcp__c__look")]] {
        let mut turn = begun(false);
        turn.hears(heard);
        assert_eq!(turn.take(&message_start("msg_1")).unwrap_err().kind(), ErrorKind::Upstream);
    }
    // Reasoning may come twice, and the next message is another.
    let thinking = [block(0, json!({"type": "thinking", "thinking": "Hm."})), message_start("msg_1")];
    begun(false).hears(thinking);
    begun(false).hears([text_block(0), text_delta(0, "Done."), stop("end_turn"), message_start("msg_2")]);
}

#[test]
fn each_reason_to_stop_is_the_clients_and_decides_whether_the_process_goes_on() {
    for (reason, told) in [
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::ContextWindow),
        ("refusal", FinishReason::ContentFilter),
    ] {
        let (finish, kept) = begun(false).ends([stop(reason)]);
        assert!(finish == told && kept.is_none(), "{reason}");
    }
    let said = || [text_block(0), text_delta(0, "So.")];
    for (reason, told) in [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("of_tomorrow", FinishReason::Stop),
        ("pause_turn", FinishReason::Pause),
    ] {
        let mut turn = begun(false);
        turn.hears(said());
        assert_eq!(turn.hears([stop(reason)]), [], "{reason}");
        let (finish, kept) = turn.ends([result(1)]);
        assert!(finish == told && kept.is_some(), "{reason}");
    }
}

#[test]
fn an_answer_that_says_nothing_ends_with_its_message_before_the_cli_asks_for_another() {
    let thinking = block(0, json!({"type": "thinking", "thinking": "Hm."}));
    for nothing in [vec![], vec![text_block(0)], vec![text_block(0), text_delta(0, " \n")], vec![thinking]] {
        for (reason, told) in [
            ("end_turn", FinishReason::Stop),
            ("stop_sequence", FinishReason::Stop),
            ("of_tomorrow", FinishReason::Stop),
            ("pause_turn", FinishReason::Pause),
        ] {
            let mut turn = begun(false);
            turn.hears(nothing.clone());
            assert_eq!(turn.hears([stop(reason)]), [ChatEvent::finished(told, crate::Usage::new(12, 3))], "{reason}");
            assert!(matches!(turn.step.after, Some(AfterTurn::Kill)), "{reason}");
        }
    }
    // Nor does it hear of a call that the model announces and does not make.
    let mut turn = begun(false);
    turn.hears([text_block(0), text_delta(0, "I will look.")]);
    let (finish, kept) = turn.ends([stop("tool_use")]);
    assert!(finish == FinishReason::Stop && kept.is_none());
    // What Claude Code's own tools do, and the JSON of a format, are more than that.
    let own = [call_block(0, "toolu_1", "Read"), stop("tool_use"), message_start("msg_2")];
    assert!(!finished(&begun(false).hears(own)));
    assert!(!finished(&begun(true).hears([stop("end_turn")])));
}

#[test]
fn what_the_cli_asks_the_model_after_its_last_word_is_no_part_of_the_answer() {
    let asks_on = json!({"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": "Go on."}]}});
    for (reason, told) in [("end_turn", FinishReason::Stop), ("pause_turn", FinishReason::Pause)] {
        for next in [asks_on.clone(), message_start("msg_2")] {
            let mut turn = begun(false);
            turn.hears([text_block(0), text_delta(0, "So."), stop(reason)]);
            assert_eq!(turn.hears([next]), [ChatEvent::finished(told, crate::Usage::new(12, 3))], "{reason}");
            assert!(matches!(turn.step.after, Some(AfterTurn::Kill)), "{reason}");
        }
    }
}

#[test]
fn a_message_that_ends_without_a_reason_is_counted_all_the_same() {
    let mut turn = begun(false);
    turn.hears([text_block(0), text_delta(0, "So."), event(json!({"type": "message_stop"}))]);
    let Some(ChatEvent::Finished { usage, .. }) = turn.hears([result(1)]).pop() else { panic!("it did not end") };
    assert_eq!(usage, crate::Usage::new(12, 1));
}

#[test]
fn details_of_a_stop_are_passed_on_where_there_are_any() {
    let details = json!({"type": "refusal", "category": "cyber"});
    let mut stopped = stop("refusal");
    stopped["event"]["delta"]["stop_details"] = details.clone();
    assert_eq!(begun(false).hears([stopped.clone()])[0], ChatEvent::StopDetails(details));
    stopped["event"]["delta"]["stop_details"] = Value::Null;
    assert!(matches!(begun(false).hears([stopped])[0], ChatEvent::Finished { .. }));
}

#[test]
fn a_conversation_that_goes_on_has_the_tokens_of_its_last_turn_and_the_model_that_answered() {
    let (_, kept) = begun(false).ends([text_block(0), text_delta(0, "Hi."), stop("end_turn"), result(1)]);
    let answered = kept.unwrap();
    assert_eq!((answered.tokens, answered.model.as_str()), (12 + 3, "claude-opus-5-5"));
    assert_eq!(answered.reply.texts, ["Hi."]);
}

#[test]
fn a_result_is_the_end_unless_it_acknowledges_history_before_the_answer() {
    let mut unheard = turn(TurnReader::live(), false);
    assert_eq!(unheard.hears([result(0)]), []);
    let mut heard = begun(false);
    heard.hears([text_block(0), text_delta(0, "Hi."), stop("end_turn")]);
    assert!(finished(&heard.hears([result(0)])), "the model has begun to answer");
}

#[test]
fn a_result_before_the_message_or_within_it_is_no_answer() {
    for reader in [TurnReader::fresh(), TurnReader::live()] {
        let mut unheard = turn(reader, false);
        let error = unheard.take(&result(1)).unwrap_err();
        assert!(error.kind() == ErrorKind::Cli && unheard.reader.out_of_step(), "another process can take the turn");
    }
    let mut within = begun(false);
    within.hears([text_block(0), text_delta(0, "It is ")]);
    let error = within.take(&result(1)).unwrap_err();
    assert!(error.kind() == ErrorKind::Cli && !within.reader.out_of_step(), "the client has heard part of it");
    // A failure needs no message.
    let mut failed = result(1);
    failed["is_error"] = json!(true);
    let mut unheard = turn(TurnReader::live(), false);
    assert_eq!(unheard.take(&failed).unwrap_err().kind(), ErrorKind::Upstream);
    assert!(!unheard.reader.out_of_step());
}

#[test]
fn a_result_is_a_failure_by_its_flag_or_its_subtype() {
    let failed = |changes: &[(&str, Value)]| {
        let mut line = result(1);
        changes.iter().for_each(|(field, value)| line[*field] = value.clone());
        let mut turn = begun(false);
        turn.hears([text_block(0), text_delta(0, "Hi."), stop("end_turn")]);
        turn.take(&line).err().map(|error| error.to_string())
    };
    assert_eq!(failed(&[]), None);
    assert!(failed(&[("is_error", json!(true)), ("result", json!("Not now."))]).unwrap().contains("Not now."));
    let errors = [("subtype", json!("error_during_execution")), ("result", Value::Null), ("errors", json!(["a", "b"]))];
    assert!(failed(&errors).unwrap().contains("(a; b)"));
}

#[test]
fn a_refusal_of_cache_marks_is_remembered_and_other_refusals_are_not() {
    let lifetime_after = |status: u16, said: &str| {
        let mut turn = begun(false);
        turn.cache_lifetime.wrote(0, 100);
        let mut line = result(1);
        (line["is_error"], line["api_error_status"], line["result"]) = (json!(true), json!(status), json!(said));
        turn.take(&line).unwrap_err();
        turn.cache_lifetime.get()
    };
    assert_eq!(lifetime_after(400, "cache_control: at most 4 blocks"), None);
    assert_eq!(lifetime_after(400, "messages: bad"), Some(Lifetime::Hour));
    assert_eq!(lifetime_after(500, "cache_control: at most 4 blocks"), Some(Lifetime::Hour));
}

#[test]
fn where_json_is_asked_for_only_the_json_is_the_answer_and_it_is_given_once() {
    let json = delta(1, json!({"type": "input_json_delta", "partial_json": "{}"}));
    let mut turn = begun(true);
    let beside = turn.hears([text_block(0), text_delta(0, "Here it is:")]);
    assert_eq!(beside, []);
    let mut without = begun(true);
    without.hears([text_block(0), text_delta(0, "Here it is:"), stop("end_turn")]);
    assert_eq!(without.take(&result(1)).unwrap_err().kind(), ErrorKind::Upstream);
    let told = turn.hears([call_block(1, "toolu_1", STRUCTURED_OUTPUT), json]);
    assert_eq!(told, [ChatEvent::TextBlockStart, delta_of("{}")]);
    turn.hears([stop("tool_use"), message_start("msg_2")]);
    let again = turn.take(&call_block(0, "toolu_2", STRUCTURED_OUTPUT)).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Upstream);
    assert!(finished(&turn.hears([stop("end_turn"), result(2)])));

    // The client's own functions may be called on the way to it.
    let mut turn = begun(true);
    let call = turn.hears([call_block(0, "toolu_1", "mcp__c__look")]);
    assert!(matches!(&call[..], [ChatEvent::ToolCallStart { name, .. }] if name == "look"), "{call:?}");
}

#[test]
fn without_a_schema_the_tool_for_it_is_one_like_any_other_and_an_answer_may_be_empty() {
    let mut turn = begun(false);
    let stopped = event(json!({"type": "content_block_stop", "index": 0}));
    let told = turn.hears([text_block(0), call_block(1, "toolu_1", STRUCTURED_OUTPUT), stopped.clone()]);
    assert_eq!(told, [ChatEvent::TextBlockStart]);
    let mut stopped = stopped;
    stopped["event"]["index"] = json!(1);
    assert_eq!(turn.hears([stopped]), [ChatEvent::builtin_tool_use(STRUCTURED_OUTPUT, Value::Null)]);
    assert!(finished(&begun(false).hears([stop("end_turn"), result(1)])));
}

#[test]
fn a_block_may_begin_with_part_of_its_content() {
    let mut turn = begun(false);
    let told = turn.hears([
        block(0, json!({"type": "thinking", "thinking": "Hm.", "signature": "c2ln"})),
        block(1, json!({"type": "redacted_thinking", "data": "cmVk"})),
        block(2, json!({"type": "text", "text": "So: "})),
        delta(0, json!({"type": "thinking_delta", "thinking": "Still."})),
    ]);
    let expected = [
        ChatEvent::ReasoningBlockStart,
        ChatEvent::ReasoningDelta("Hm.".to_owned()),
        ChatEvent::ReasoningSignature("c2ln".to_owned()),
        ChatEvent::RedactedReasoning("cmVk".to_owned()),
        ChatEvent::TextBlockStart,
        delta_of("So: "),
        ChatEvent::ReasoningDelta("Still.".to_owned()),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_delta_belongs_to_the_block_of_its_number_and_to_none_if_that_one_is_missing_or_of_another_kind() {
    let signature = |index| delta(index, json!({"type": "signature_delta", "signature": "c2ln"}));
    let citation = |index| delta(index, json!({"type": "citations_delta", "citation": {"cited_text": "x"}}));
    let mut turn = begun(false);
    turn.hears([text_block(0), block(1, json!({"type": "thinking", "thinking": ""}))]);
    assert_eq!(turn.hears([signature(0), citation(1), text_delta(7, "lost"), signature(9), citation(9)]), []);
    assert_eq!(turn.hears([signature(1)]), [ChatEvent::ReasoningSignature("c2ln".to_owned())]);
    assert_eq!(turn.hears([citation(0)]), [ChatEvent::Citation(json!({"cited_text": "x"}))]);
    let nothing = delta(1, json!({"type": "signature_delta", "signature": ""}));
    assert_eq!(turn.hears([nothing]), []);
    // The CLI does not stream each of the API's blocks.
    assert_eq!(turn.hears([text_block(7), text_delta(7, "there")]), [ChatEvent::TextBlockStart, delta_of("there")]);
}

#[test]
fn blocks_before_a_message_has_begun_are_no_part_of_one() {
    assert_eq!(turn(TurnReader::live(), false).hears([text_block(0), text_delta(0, "lost")]), []);
}

#[test]
fn what_the_cli_asks_is_answered_put_to_the_operators_rules_or_refused() {
    let asks = |id: &str, request: Value| json!({"type": "control_request", "request_id": id, "request": request});
    let mut turn = begun(false);
    let list = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"});
    turn.hears([
        asks("r1", json!({"subtype": "mcp_message", "server_name": "c", "message": list})),
        asks("r2", json!({"subtype": "can_use_tool", "tool_name": "Bash", "input": {}})),
        asks("r3", json!({"subtype": "of_tomorrow"})),
    ]);
    let replies = String::from_utf8_lossy(turn.step.replies.as_bytes()).into_owned();
    let replies: Vec<Value> = replies.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replies.len(), 2, "{replies:?}");
    assert_eq!(replies[0]["response"]["request_id"], "r1");
    assert!(replies[1]["response"]["error"].as_str().unwrap().contains("of_tomorrow"), "{replies:?}");
    let questions: Vec<&str> = turn.step.questions.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(questions, ["r2"]);
}
