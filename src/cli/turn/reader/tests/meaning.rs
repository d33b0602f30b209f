//! Lines that the stand-in CLI does not write, or not in this order.

use serde_json::{Value, json};

use super::super::{AfterTurn, Context, Step, TurnReader};
use super::prepared;
use crate::cli::conversation::{Answered, PreparedRequest};
use crate::cli::prompt::marks::{KnownLifetime, Lifetime};
use crate::cli::protocol::{Line, STRUCTURED_OUTPUT};
use crate::cli::rate_limits::Subscription;
use crate::{ChatEvent, Error, ErrorKind, FinishReason};

/// A turn that is read.
struct Turn {
    reader: TurnReader,
    request: PreparedRequest,
    subscription: Subscription,
    cache_lifetime: KnownLifetime,
    step: Step,
}

/// A turn whose request offers `exec` and `look`, and asks for JSON if there is to be a `schema`.
fn turn(reader: TurnReader, schema: bool) -> Turn {
    Turn {
        reader,
        request: prepared(schema),
        subscription: Subscription::default(),
        cache_lifetime: KnownLifetime::default(),
        step: Step::default(),
    }
}

/// A turn that the model has begun to answer.
fn begun(schema: bool) -> Turn {
    let mut turn = turn(TurnReader::live(), schema);
    turn.hears([message_start("msg_1")]);
    turn
}

impl Turn {
    fn take(&mut self, line: &Value) -> Result<(), Error> {
        let text = line.to_string();
        let context =
            Context { request: &self.request, subscription: &self.subscription, cache_lifetime: &self.cache_lifetime };
        self.reader.take(Line::parse(text.as_bytes()).unwrap(), context, &mut self.step)
    }

    /// What the client is told because of these lines.
    #[track_caller]
    fn hears(&mut self, lines: impl IntoIterator<Item = Value>) -> Vec<ChatEvent> {
        for line in lines {
            self.take(&line).unwrap();
        }
        self.step.events.drain(..).collect()
    }

    /// What the client is told last, and the answer if the process goes on.
    fn ends(mut self, lines: impl IntoIterator<Item = Value>) -> (FinishReason, Option<Answered>) {
        let Some(ChatEvent::Finished { reason, .. }) = self.hears(lines).pop() else { panic!("it did not end") };
        match self.step.after.take() {
            Some(AfterTurn::Keep(answered)) => (reason, Some(answered)),
            Some(AfterTurn::Kill) => (reason, None),
            None => panic!("nothing becomes of the process"),
        }
    }
}

fn event(event: Value) -> Value {
    json!({"type": "stream_event", "event": event, "parent_tool_use_id": null})
}

fn message_start(id: &str) -> Value {
    let usage = json!({"input_tokens": 12, "output_tokens": 1});
    event(json!({"type": "message_start", "message": {"id": id, "model": "claude-opus-5-5", "usage": usage}}))
}

fn block(index: u32, block: Value) -> Value {
    event(json!({"type": "content_block_start", "index": index, "content_block": block}))
}

fn text_block(index: u32) -> Value {
    block(index, json!({"type": "text", "text": ""}))
}

fn call_block(index: u32, id: &str, name: &str) -> Value {
    block(index, json!({"type": "tool_use", "id": id, "name": name, "input": {}}))
}

fn delta(index: u32, delta: Value) -> Value {
    event(json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

fn text_delta(index: u32, text: &str) -> Value {
    delta(index, json!({"type": "text_delta", "text": text}))
}

fn stop(reason: &str) -> Value {
    event(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 3}}))
}

fn result(turns: u64) -> Value {
    json!({"type": "result", "subtype": "success", "is_error": false, "num_turns": turns, "result": ""})
}

/// The CLI asks for the result of a call.
fn issued(id: &str) -> Value {
    let params = json!({"name": "look", "arguments": {}, "_meta": {"claudecode/toolUseId": id}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    json!({"type": "control_request", "request_id": format!("r_{id}"),
        "request": {"subtype": "mcp_message", "server_name": "c", "message": message}})
}

/// A call has been answered by the CLI itself.
fn answered_by_the_cli(id: &str) -> Value {
    let block = json!({"type": "tool_result", "tool_use_id": id, "content": "no", "is_error": true});
    json!({"type": "user", "message": {"role": "user", "content": [block]}, "parent_tool_use_id": null})
}

fn delta_of(text: &str) -> ChatEvent {
    ChatEvent::TextDelta(text.to_owned())
}

fn finished(events: &[ChatEvent]) -> bool {
    events.iter().any(|event| matches!(event, ChatEvent::Finished { .. }))
}

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
fn an_answer_ends_where_the_cli_answers_one_of_its_calls_itself_and_at_no_other_result() {
    let mut turn = begun(false);
    turn.hears([call_block(0, "toolu_1", "mcp__c__look")]);
    assert!(!finished(&turn.hears([answered_by_the_cli("toolu_8")])));
    let (reason, kept) = turn.ends([answered_by_the_cli("toolu_1")]);
    assert!(reason == FinishReason::ToolCalls && kept.is_none());
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
    for (reason, told) in [("end_turn", FinishReason::Stop), ("pause_turn", FinishReason::Pause)] {
        let (finish, kept) = begun(false).ends([stop(reason), result(1)]);
        assert!(finish == told && kept.is_some(), "{reason}");
    }
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
    assert!(matches!(unheard.hears([result(1)])[..], [ChatEvent::Started, ChatEvent::Finished { .. }]));
    assert!(finished(&begun(false).hears([result(0)])), "the model has begun to answer");
}

#[test]
fn a_result_is_a_failure_by_its_flag_or_its_subtype() {
    let failed = |changes: &[(&str, Value)]| {
        let mut line = result(1);
        changes.iter().for_each(|(field, value)| line[*field] = value.clone());
        begun(false).take(&line).err().map(|error| error.to_string())
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
    assert_eq!(turn.take(&result(1)).unwrap_err().kind(), ErrorKind::Upstream);
    let told = turn.hears([call_block(1, "toolu_1", STRUCTURED_OUTPUT), json]);
    assert_eq!(told, [ChatEvent::TextBlockStart, delta_of("{}")]);
    turn.hears([stop("tool_use"), message_start("msg_2")]);
    let again = turn.take(&call_block(0, "toolu_2", STRUCTURED_OUTPUT)).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Upstream);
    assert!(finished(&turn.hears([result(2)])));

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
    turn.hears([text_block(0), block(1, json!({"type": "thinking", "thinking": ""})), text_block(7)]);
    assert_eq!(turn.hears([signature(0), citation(1), text_delta(7, "lost"), signature(9), citation(9)]), []);
    assert_eq!(turn.hears([signature(1)]), [ChatEvent::ReasoningSignature("c2ln".to_owned())]);
    assert_eq!(turn.hears([citation(0)]), [ChatEvent::Citation(json!({"cited_text": "x"}))]);
    let nothing = delta(1, json!({"type": "signature_delta", "signature": ""}));
    assert_eq!(turn.hears([nothing]), []);
}

#[test]
fn blocks_before_a_message_has_begun_are_no_part_of_one() {
    assert_eq!(turn(TurnReader::live(), false).hears([text_block(0), text_delta(0, "lost")]), []);
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
