use serde_json::{Value, json};

use super::*;
use crate::ChatEvent;
use crate::chat::recognition::Told;
use crate::cli::config::Config;
use crate::cli::prompt::marks::End;
use crate::{FinishReason, Usage};

const FIVE_MINUTES: Option<Lifetime> = Some(Lifetime::FiveMinutes);

fn request(json: Value) -> ChatRequest {
    serde_json::from_value(json).unwrap()
}

fn prepared(json: Value) -> PreparedRequest {
    digested(request(json))
}

fn digested(request: ChatRequest) -> PreparedRequest {
    let mut request = PreparedRequest::of(request);
    request.digest();
    request
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

fn look(id: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}})
}

fn called(ids: &[&str]) -> Value {
    let calls: Vec<_> = ids.iter().map(|id| look(id)).collect();
    json!({"role": "assistant", "content": null, "tool_calls": calls})
}

fn result(id: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": "x"})
}

fn messages(messages: &[Value]) -> Value {
    let tool = json!({"type": "function", "function": {"name": "look"}});
    json!({"model": "sonnet", "tools": [tool], "messages": messages})
}

/// The conversation held once the model has answered with this text and these calls, whose results the CLI waits for.
fn held(request: &mut PreparedRequest, text: &str, calls: &[&str]) -> Box<LiveConversation> {
    let pending =
        |id: &&str| PendingCall { tool_use_id: (*id).to_owned(), request_id: String::new(), rpc_id: json!(1) };
    let parked = PendingToolCalls { calls: calls.iter().map(pending).collect(), deferred: VecDeque::new() };
    let call = |id: &&str| serde_json::from_value(look(id)).unwrap();
    let texts = if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
    let reply = Reply { texts, calls: calls.iter().map(call).collect() };
    let pending = (!calls.is_empty()).then_some(parked);
    request.answered(Answered { reply, model: "m".to_owned(), tokens: 7, pending }, Marks::default(), Prefix::default())
}

/// Whether `next` continues the conversation that is held after the model answered "hello" to `first`.
fn goes_on(first: Value, next: Value) -> Result<(), Mismatch> {
    held(&mut prepared(first), "hello", &[]).continues(&prepared(next), None)
}

fn system(text: &str) -> Value {
    json!({"role": "system", "content": text})
}

#[test]
fn a_request_goes_on_with_what_it_repeats_and_is_told_what_differs_first() {
    let first = messages(&[system("terse"), user("hi")]);
    let next = messages(&[system("terse"), user("hi"), assistant("hello"), user("go on")]);
    assert_eq!(goes_on(first.clone(), next.clone()), Ok(()));
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut next = next.clone();
        change(&mut next);
        goes_on(first.clone(), next)
    };
    assert_eq!(changed(&|next| next["model"] = json!("opus")), Err(Mismatch::Model));
    assert_eq!(changed(&|next| next["tools"][0]["function"]["name"] = json!("peek")), Err(Mismatch::Tools));
    assert_eq!(changed(&|next| next["tools"] = json!([])), Err(Mismatch::Tools));
    assert_eq!(changed(&|next| next["tool_choice"] = json!("none")), Err(Mismatch::Tools));
    assert_eq!(changed(&|next| next["messages"][0]["content"] = json!("verbose")), Err(Mismatch::System));
    assert_eq!(changed(&|next| next["messages"][1]["content"] = json!("ho")), Err(Mismatch::Message(1)));
    assert_eq!(changed(&|next| next["messages"][2]["content"] = json!("hullo")), Err(Mismatch::Reply));
    assert_eq!(
        changed(&|next| next["messages"] = json!([system("terse"), user("hi"), user("hello")])),
        Err(Mismatch::NoReply)
    );
    let longer = json!([system("terse"), user("hi"), user("and"), assistant("hello"), user("go on")]);
    assert_eq!(changed(&|next| next["messages"] = longer.clone()), Err(Mismatch::Length { held: 2, sent: 3 }));
}

#[test]
fn an_answers_schema_that_comes_goes_or_changes_is_another_conversation() {
    let with = |schema: Option<&str>, messages: &[Value]| {
        let mut json = self::messages(messages);
        if let Some(kind) = schema {
            let schema = json!({"type": "object", "properties": {"a": {"type": kind}}});
            json["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
        }
        json
    };
    let next = [user("hi"), assistant("hello"), user("go on")];
    for (before, after) in [(Some("string"), None), (None, Some("string")), (Some("string"), Some("number"))] {
        assert_eq!(goes_on(with(before, &[user("hi")]), with(after, &next)), Err(Mismatch::Tools));
        assert_eq!(goes_on(with(before, &[user("hi")]), with(before, &next)), Ok(()));
    }
}

#[test]
fn a_conversation_belongs_to_a_key_and_a_session_which_has_two_names() {
    let caller = |key: u64, session: Option<&str>| Caller {
        key: Some(key),
        session: session.map(str::to_owned),
        ..Caller::default()
    };
    let of = |caller: Caller, prompt_cache_key: Option<&str>, said: &[Value]| {
        let mut json = messages(said);
        json["prompt_cache_key"] = json!(prompt_cache_key);
        digested(ChatRequest { caller, ..request(json) })
    };
    let held = held(&mut of(caller(1, Some("a")), None, &[user("hi")]), "hello", &[]);
    let next = [user("hi"), assistant("hello"), user("go on")];
    for (caller, prompt_cache_key, expected) in [
        (caller(1, Some("a")), None, Ok(())),
        (caller(1, None), Some("a"), Ok(())),
        (caller(1, Some("a")), Some("b"), Ok(())),
        (caller(2, Some("a")), None, Err(Mismatch::Caller)),
        (caller(1, Some("b")), Some("a"), Err(Mismatch::Caller)),
        (caller(1, None), Some("b"), Err(Mismatch::Caller)),
        (caller(1, None), None, Err(Mismatch::Caller)),
        (Caller::default(), None, Err(Mismatch::Caller)),
    ] {
        let next = of(caller, prompt_cache_key, &next);
        assert_eq!(held.continues(&next, None), expected, "{:?}", next.caller);
    }
    let named = Caller { name: Some("ada".into()), ..caller(1, None) };
    assert_eq!(self::held(&mut of(named, None, &[user("hi")]), "hello", &[]).caller_name(), Some("ada"));
    assert_eq!(held.caller_name(), None);
}

#[test]
fn a_conversation_with_marks_goes_on_only_while_new_ones_would_live_as_long() {
    let mut first = prepared(messages(&[user("hi")]));
    let mut marks = Marks::default();
    let mut turns = prompt::turns(first.conversation(), &Config::default()).unwrap();
    prompt::marks::settle(
        &mut turns,
        &mut marks,
        false,
        End::BehindTheNote,
        FIVE_MINUTES,
        &Setup::default(),
        &Config::default(),
    );
    assert!(marks.any());
    let mut held = held(&mut first, "hello", &[]);
    held.marks = marks;
    let next = prepared(messages(&[user("hi"), assistant("hello"), user("go on")]));
    assert_eq!(held.continues(&next, FIVE_MINUTES), Ok(()));
    assert_eq!(held.continues(&next, Some(Lifetime::Hour)), Err(Mismatch::Marks));
}

#[test]
fn what_is_held_grows_with_each_turn_and_counts_the_answers() {
    let said = [user("hi"), assistant("hello"), user("go on"), assistant("hello"), user("and on")];
    let mut second = prepared(messages(&said[..3]));
    let held = held(&mut second, "hello", &[]);
    assert_eq!((held.answers, held.tokens), (2, 7));
    assert_eq!(held.continues(&prepared(messages(&said)), None), Ok(()));
    let mut edited = said.clone();
    edited[2] = user("go off");
    assert_eq!(held.continues(&prepared(messages(&edited)), None), Err(Mismatch::Message(2)));
    assert_eq!(
        held.continues(&prepared(messages(&said[..3])), None),
        Err(Mismatch::Length { held: 3, sent: 1 }),
        "the same request once more begins anew"
    );
}

#[test]
fn a_message_that_a_layer_says_once_is_no_part_of_what_is_compared() {
    let with_reminder = |said: &[Value], at: usize| {
        let mut request = request(messages(said));
        let mut reminder = Message::new(Role::User, format!("only now, {at}"));
        reminder.ephemeral = true;
        request.messages.insert(at, reminder);
        digested(request)
    };
    let held = held(&mut with_reminder(&[user("hi")], 1), "hello", &[]);
    let next = [user("hi"), assistant("hello"), user("go on")];
    assert_eq!(held.continues(&prepared(messages(&next)), None), Ok(()));
    assert_eq!(held.continues(&with_reminder(&next, 0), None), Ok(()));
}

#[test]
fn a_process_that_waits_for_results_accepts_those_of_its_calls_and_no_others() {
    let held = held(&mut prepared(messages(&[user("hi")])), "", &["toolu_01-A", "toolu_01-B"]);
    let next = |after: &[Value]| {
        let mut said = vec![user("hi"), called(&["toolu_01-A", "toolu_01-B"])];
        said.extend_from_slice(after);
        held.continues(&prepared(messages(&said)), None)
    };
    let (one, two) = (result("toolu_01-A"), result("toolu01B"));
    let mut large = one.clone();
    large["content"] = json!("x".repeat(prompt::mcp::MAX_RESULT + 1));
    assert_eq!(next(&[one.clone(), two.clone()]), Ok(()));
    assert_eq!(next(&[two.clone(), one.clone(), user("and")]), Ok(()));
    assert_eq!(next(std::slice::from_ref(&one)), Err(Mismatch::ResultMissing));
    assert_eq!(next(&[user("never mind")]), Err(Mismatch::ResultMissing));
    assert_eq!(next(&[one.clone(), two.clone(), result("toolu_01-C")]), Err(Mismatch::ResultUnknown));
    assert_eq!(next(&[large.clone(), two.clone()]), Err(Mismatch::ResultUnfit));
    assert_eq!(next(&[two.clone(), large]), Err(Mismatch::ResultUnfit));
}

#[test]
fn results_of_earlier_turns_are_not_news_and_a_process_that_waits_for_none_accepts_none() {
    let said = [user("hi"), called(&["c1"]), result("c1"), assistant("hello"), user("go on")];
    let held = held(&mut prepared(messages(&said[..3])), "hello", &[]);
    assert_eq!(held.continues(&prepared(messages(&said)), None), Ok(()));
    let stray = [&said[..], &[result("c1")]].concat();
    assert_eq!(held.continues(&prepared(messages(&stray)), None), Err(Mismatch::ResultUnknown));
    // A result right after the answer is new, too.
    let first = [&said[..4], &[result("c1")]].concat();
    assert_eq!(held.continues(&prepared(messages(&first)), None), Err(Mismatch::ResultUnknown));
}

/// A request that came through a `RecognizeLayer`, and what its client is told.
fn recognized(said: &[Value]) -> (ChatRequest, Told) {
    let mut request = request(messages(said));
    let told = Told::put_into(&mut request);
    (request, told)
}

fn tell(told: &Told, text: &str, calls: &[&str]) {
    if !text.is_empty() {
        told.record(&ChatEvent::TextDelta(text.to_owned()));
    }
    for (index, id) in (0..).zip(calls) {
        told.record(&ChatEvent::ToolCallStart { index, id: (*id).into(), name: "look".into() });
        told.record(&ChatEvent::ToolCallDelta { index, arguments: "{}".into() });
    }
    told.record(&ChatEvent::Finished { reason: FinishReason::Stop, usage: Usage::default() });
}

#[test]
fn what_the_client_was_told_decides_whatever_layers_made_of_it() {
    let (first, told) = recognized(&[user("hi")]);
    let held = held(&mut digested(first), "hello", &[]);
    tell(&told, "HELLO", &[]);
    let next = |said: &[Value]| held.continues(&digested(recognized(said).0), None);
    assert_eq!(next(&[user("hi"), assistant("HELLO"), user("go on")]), Ok(()));
    assert_eq!(
        next(&[user("hi"), assistant("neither"), user("go on")]),
        Err(Mismatch::Client(recognition::Mismatch::Reply(1))),
        "the client's own view is the one to explain"
    );
    assert_eq!(next(&[user("hi"), assistant("hello"), user("go on")]), Ok(()), "what the model said does as well");
    let without = prepared(messages(&[user("hi"), assistant("HELLO"), user("go on")]));
    assert_eq!(held.continues(&without, None), Err(Mismatch::Reply));
}

#[test]
fn what_the_client_repeats_is_recognised_before_the_messages_are_digested() {
    let (first, told) = recognized(&[system("terse"), user("hi")]);
    let mut first = PreparedRequest::of(first);
    assert!(!first.is_digested());
    first.digest();
    let held = held(&mut first, "hello", &[]);
    tell(&told, "HELLO", &[]);
    let is_continued = |said: &[Value], model: &str| {
        let mut request = recognized(said).0;
        request.model = model.to_owned();
        let next = PreparedRequest::of(request);
        assert!(!next.is_digested());
        let new: Vec<_> = next.new_messages(&held).map(|(place, _)| place).collect();
        assert_eq!(new, [said.len() - 1], "the process knows the rest");
        held.is_continued_by_client(&next, None)
    };
    let said = |answer: &str| [system("terse"), user("hi"), assistant(answer), user("go on")];
    assert!(is_continued(&said("HELLO"), "sonnet"));
    assert!(!is_continued(&said("HELLO"), "opus"));
    assert!(!is_continued(&said("hello"), "sonnet"), "the model's own words are compared later");
}

#[test]
fn what_a_process_was_told_is_not_kept_while_it_answers_and_yet_is_recognised() {
    let mut first = prepared(messages(&[system("terse"), user("hi")]));
    first.forget_prompt();
    assert!(first.messages.is_empty() && first.setup.system.is_empty());
    let held = held(&mut first, "hello", &[]);
    let next = |prompt: &str| prepared(messages(&[system(prompt), user("hi"), assistant("hello"), user("go on")]));
    assert_eq!(held.continues(&next("terse"), None), Ok(()));
    assert_eq!(held.continues(&next("verbose"), None), Err(Mismatch::System));
}

#[test]
fn a_call_that_layers_kept_from_the_client_needs_no_result() {
    let (first, told) = recognized(&[user("hi")]);
    let held = held(&mut digested(first), "", &["toolu_A", "toolu_B"]);
    tell(&told, "One is not allowed.", &["toolu_A"]);
    let mut answer = called(&["toolu_A"]);
    answer["content"] = json!("One is not allowed.");
    let next = |after: &[Value]| {
        let said = [&[user("hi"), answer.clone()], after].concat();
        held.continues(&digested(recognized(&said).0), None)
    };
    assert_eq!(next(&[result("toolu_A")]), Ok(()));
    assert_eq!(next(&[user("and")]), Err(Mismatch::ResultMissing));
}

#[test]
fn only_what_follows_the_answer_is_news() {
    let said = [system("terse"), user("hi"), assistant("hello"), system("be quick"), user("go on")];
    let held = held(&mut prepared(messages(&said[..2])), "hello", &[]);
    let new_messages = |request: PreparedRequest| -> Vec<(usize, String)> {
        request.new_messages(&held).map(|(place, message)| (place, message.text())).collect()
    };
    let expected = [(3, "be quick".to_owned()), (4, "go on".to_owned())];
    assert_eq!(new_messages(prepared(messages(&said))), expected);
}

#[test]
fn a_system_message_that_layers_write_anew_is_told_again_and_an_old_one_is_not() {
    let layered = |hour: &str, said: &[Value]| {
        let (mut request, told) = recognized(said);
        request.messages.insert(0, Message::new(Role::System, format!("It is {hour}.")));
        request.messages.insert(0, Message::new(Role::System, "Be terse."));
        (digested(request), told)
    };
    let (mut first, told) = layered("nine", &[user("hi")]);
    let held = held(&mut first, "hello", &[]);
    tell(&told, "hello", &[]);
    let new_messages = |hour| -> Vec<(usize, String)> {
        let (next, _) = layered(hour, &[user("hi"), assistant("hello"), user("go on")]);
        assert_eq!(held.continues(&next, None), Ok(()));
        next.new_messages(&held).map(|(place, message)| (place, message.text())).collect()
    };
    assert_eq!(new_messages("ten"), [(1, "It is ten.".to_owned()), (4, "go on".to_owned())]);
    assert_eq!(new_messages("nine"), [(4, "go on".to_owned())]);
}

#[test]
fn a_request_says_whether_it_has_a_past_and_reasoning_of_the_models() {
    let mut fresh = request(messages(&[system("terse"), user("hi")]));
    fresh.door = Some("messages");
    let fresh = digested(fresh);
    assert!(!fresh.has_history() && !fresh.carries_reasoning());
    let conversation: Vec<_> = fresh.conversation().map(|(place, message)| (place, message.text())).collect();
    assert_eq!(conversation, [(1, "hi".to_owned())], "the system prompt is told with the setup");
    let mut next = request(messages(&[user("hi"), assistant("hello"), user("go on")]));
    next.messages[1].reasoning.push(crate::chat::Reasoning::signed("hm", "s", 0));
    let next = digested(next);
    assert!(next.has_history() && next.carries_reasoning());
}

#[test]
fn each_mismatch_says_what_differs() {
    let client = recognition::Mismatch::Message(3);
    let length = Mismatch::Length { held: 2, sent: 5 };
    for (mismatch, reason, words) in [
        (Mismatch::Caller, "caller", "another caller"),
        (Mismatch::Model, "model", "another model"),
        (Mismatch::Tools, "tools", "functions"),
        (Mismatch::Client(client), "history", "messages[3]"),
        (Mismatch::NoReply, "history", "no assistant message"),
        (Mismatch::System, "system", "system prompt"),
        (length, "history", "has 5 messages before its last assistant message, the conversation 2"),
        (Mismatch::Message(4), "history", "message at 4"),
        (Mismatch::Reply, "reply", "not what Claude Code answered"),
        (Mismatch::Marks, "marks", "prompt-cache marks"),
        (Mismatch::ResultUnfit, "results", "too large"),
        (Mismatch::ResultMissing, "results", "has no result"),
        (Mismatch::ResultUnknown, "results", "belongs to no call"),
    ] {
        assert!(mismatch.to_string().contains(words), "{mismatch}");
        assert_eq!(mismatch.reason(), reason, "{mismatch}");
    }
}

#[test]
fn of_several_conversations_the_one_that_came_closest_is_explained() {
    use recognition::Mismatch as Client;
    let closer_and_closer = [
        Mismatch::Caller,
        Mismatch::NoReply,
        Mismatch::Length { held: 1, sent: 2 },
        Mismatch::Model,
        Mismatch::Tools,
        Mismatch::System,
        Mismatch::Message(0),
        Mismatch::Client(Client::Message(1)),
        Mismatch::Message(2),
        Mismatch::Reply,
    ];
    assert!(closer_and_closer.is_sorted_by(|one, next| one.closeness() < next.closeness()));
    let by_client = [
        (Client::NoReply, Mismatch::NoReply),
        (Client::Length { held: 1, sent: 2 }, Mismatch::Length { held: 1, sent: 2 }),
        (Client::Message(4), Mismatch::Message(4)),
        (Client::Reply(1), Mismatch::Reply),
    ];
    for (client, own) in by_client {
        assert_eq!(Mismatch::Client(client).closeness(), own.closeness());
        assert_eq!(Mismatch::Client(client).reason(), own.reason());
    }
}
