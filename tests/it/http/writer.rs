//! Whatever the events, the stream says what they say, and so does the plain answer.

use futures_util::StreamExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower_claude::http::ApiService;
use tower_claude::{ChatEvent, EventStream, FinishReason};

use crate::support::answer::{ask, body, post};
use crate::support::turns::{finished, inner, response};

/// A part of an answer.
#[derive(Clone, Debug)]
enum Step {
    Text(String),
    Reasoning(String),
    Block,
    Call {
        id: String,
        name: String,
        arguments: Vec<String>,
    },
    /// The events are not ready yet.
    Pause,
}

fn step() -> impl Strategy<Value = Step> {
    // Any character at all: quotes, controls, line separators, what lies beyond the basic plane.
    let text = || prop_oneof![any::<String>(), Just("\n\ndata: [DONE]\n\n".to_owned()), Just(String::new())];
    prop_oneof![
        4 => text().prop_map(Step::Text),
        2 => text().prop_map(Step::Reasoning),
        1 => Just(Step::Block),
        2 => (text(), text(), prop::collection::vec(text(), 0..4))
            .prop_map(|(id, name, arguments)| Step::Call { id, name, arguments }),
        2 => Just(Step::Pause),
    ]
}

/// The events of the steps; `None` is a pause.
fn events(steps: &[Step]) -> Vec<Option<ChatEvent>> {
    let (mut events, mut calls) = (vec![Some(ChatEvent::Started)], 0);
    for step in steps {
        match step.clone() {
            Step::Text(text) => events.push(Some(ChatEvent::TextDelta(text))),
            Step::Reasoning(text) => events.push(Some(ChatEvent::ReasoningDelta(text))),
            Step::Block => events.push(Some(ChatEvent::TextBlockStart)),
            Step::Pause => events.push(None),
            Step::Call { id, name, arguments } => {
                let index = calls;
                calls += 1;
                events.push(Some(ChatEvent::tool_call_start(index, id, name)));
                let deltas = arguments.into_iter().map(|arguments| ChatEvent::tool_call_delta(index, arguments));
                events.extend(deltas.map(Some));
            }
        }
    }
    events.push(Some(finished(FinishReason::Stop)));
    events
}

/// The message that the steps make.
fn message(steps: &[Step]) -> Value {
    let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
    for step in steps {
        match step {
            Step::Text(more) => text.push_str(more),
            Step::Reasoning(more) => reasoning.push_str(more),
            Step::Block | Step::Pause => {}
            Step::Call { id, name, arguments } => {
                let whole = arguments.concat();
                let whole = if whole.is_empty() { "{}" } else { &whole };
                calls.push(json!({"id": id, "type": "function", "function": {"name": name, "arguments": whole}}));
            }
        }
    }
    json!({"text": text, "reasoning": reasoning, "calls": calls})
}

/// The message that a client puts together from the chunks.
fn put_together(chunks: &[Value]) -> Value {
    let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::<Value>::new());
    for delta in chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]) {
        text.push_str(delta["content"].as_str().unwrap_or_default());
        reasoning.push_str(delta["reasoning_content"].as_str().unwrap_or_default());
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap() as usize;
            match calls.get_mut(index) {
                Some(known) => {
                    let arguments = &mut known["function"]["arguments"];
                    *arguments =
                        json!(arguments.as_str().unwrap().to_owned() + call["function"]["arguments"].as_str().unwrap());
                }
                None => {
                    assert_eq!(index, calls.len());
                    let mut call = call.clone();
                    call.as_object_mut().unwrap().shift_remove("index");
                    calls.push(call);
                }
            }
        }
    }
    json!({"text": text, "reasoning": reasoning, "calls": calls})
}

async fn check(steps: Vec<Step>) {
    let events = events(&steps);
    let service = ApiService::new(inner(move |_| {
        let events = futures_util::stream::iter(events.clone()).filter_map(|event| async {
            if event.is_none() {
                tokio::task::yield_now().await;
            }
            event.map(Ok)
        });
        std::future::ready(Ok(response(EventStream::new(events))))
    }));
    let expected = message(&steps);
    let reason = if expected["calls"] == json!([]) { "stop" } else { "tool_calls" };

    let chunks = ask(service.clone(), post(&body(json!({"stream": true})))).await.chunks();
    assert_eq!(put_together(&chunks), expected);
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], reason);

    let plain = ask(service, post(&body(json!({})))).await.json();
    let choice = &plain["choices"][0];
    assert_eq!(choice["message"]["content"].as_str().unwrap_or_default(), expected["text"].as_str().unwrap());
    assert_eq!(
        choice["message"]["reasoning_content"].as_str().unwrap_or_default(),
        expected["reasoning"].as_str().unwrap()
    );
    assert_eq!(choice["message"].get("tool_calls").unwrap_or(&json!([])), &expected["calls"]);
    assert_eq!(choice["finish_reason"], reason);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_client_reads_what_the_events_say(steps in prop::collection::vec(step(), 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(check(steps));
    }
}
