//! Kept answers behind a store that outlives the server: what the next one knows of them, and what a bad store does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tower_claude::http::{ResponseStore, StoreFuture, StoredResponse};
use tower_claude::{Error, ErrorKind, FinishReason};

use super::client::{body, create, get, open, send, send_as, until};
use crate::support::in_time;
use crate::support::turns::{Api, Turns, arguments, call, finished, reasoning, saying, text};

/// A store whose rows the test sees.
#[derive(Clone, Default)]
struct Shelf {
    rows: Arc<Mutex<HashMap<String, StoredResponse>>>,
    broken: bool,
}

impl Shelf {
    fn answer<T: Send + 'static>(&self, value: T) -> StoreFuture<T> {
        let broken = self.broken;
        Box::pin(async move { if broken { Err("the disk is on fire".into()) } else { Ok(value) } })
    }

    fn change(&self, change: impl Fn(&mut StoredResponse)) {
        self.rows.lock().unwrap().values_mut().for_each(change);
    }
}

impl ResponseStore for Shelf {
    fn salt(&self) -> [u8; 16] {
        [7; 16]
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredResponse>> {
        self.answer(self.rows.lock().unwrap().get(id).cloned())
    }

    fn save(&self, response: StoredResponse) -> StoreFuture<()> {
        self.rows.lock().unwrap().insert(response.id.clone(), response);
        self.answer(())
    }

    fn remove(&self, id: &str) -> StoreFuture<()> {
        if let Some(row) = self.rows.lock().unwrap().get_mut(id) {
            row.deleted = true;
        }
        self.answer(())
    }
}

/// A server that has just started, with this store.
fn started(turns: &Turns, shelf: &Shelf) -> Api {
    turns.api().store_responses(shelf.clone())
}

fn path(made: &Value) -> String {
    format!("/v1/responses/{}", made["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_conversation_goes_on_after_a_restart_with_its_calls_tools_and_reasoning() {
    let shelf = Shelf::default();
    let turns = Turns::new()
        .says([
            reasoning("Hm."),
            tower_claude::ChatEvent::ReasoningSignature("c2ln".to_owned()),
            text("Patching."),
            call(0, "toolu01", "edit__patch"),
            arguments(0, r#"{"input":"*** Begin"}"#),
            finished(FinishReason::ToolCalls),
        ])
        .says([text("Done."), finished(FinishReason::Stop)])
        .says([text("Yes."), finished(FinishReason::Stop)]);
    let tools = json!([{"type": "namespace", "name": "edit", "description": "Edits.",
        "tools": [{"type": "custom", "name": "patch"}]}]);
    let asked = json!({"input": "mend it", "tools": tools, "reasoning": {"effort": "low", "summary": "auto"},
        "metadata": {"a": "b"}});
    let first = create(&started(&turns, &shelf), asked).await.json();
    assert_eq!(first["output"][2]["type"], "custom_tool_call");
    assert_eq!(get(&started(&turns, &shelf), &path(&first)).await.json(), first);

    let result = json!([{"type": "custom_tool_call_output", "call_id": "toolu01", "output": "ok"}]);
    let again = json!({"previous_response_id": first["id"], "input": result, "tools": tools, "stream": true});
    let second = create(&started(&turns, &shelf), again).await.outcome();
    let third = json!({"previous_response_id": second["id"], "input": "sure?"});
    assert_eq!(create(&started(&turns, &shelf), third).await.status, 200);
    let messages = turns.messages();
    let roles: Vec<_> = messages.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant", "user"]);
    assert_eq!(messages[1]["tool_calls"][0]["function"]["name"], "edit__patch");
    let thought = turns.last().messages[1].reasoning.clone();
    assert!(format!("{thought:?}").contains("c2ln"), "{thought:?}");
}

#[tokio::test]
async fn a_stream_is_read_again_after_a_restart() {
    let shelf = Shelf::default();
    let turns = saying("Hello");
    let api = started(&turns, &shelf);
    let answer = create(&api, json!({"stream": true})).await;
    let path = path(&answer.outcome());
    let again = get(&started(&turns, &shelf), &format!("{path}?stream=true")).await;
    assert_eq!(again.events(), answer.events());
}

#[tokio::test]
async fn what_was_made_with_one_key_is_not_known_to_another_after_a_restart_either() {
    let shelf = Shelf::default();
    let turns = saying("hi");
    let made = create(&started(&turns, &shelf), json!({})).await.json();
    let api = started(&turns, &shelf);
    assert_eq!(send_as(&api, "GET", &path(&made), None, "another key").await.status, 404);
    let asked = body(json!({"previous_response_id": made["id"]}));
    let stranger = send_as(&api, "POST", "/v1/responses", Some(asked), "another key").await;
    assert_eq!(stranger.fault().2, "previous_response_not_found");
    assert_eq!(get(&api, &path(&made)).await.status, 200);
    assert!(!format!("{:?}", shelf.rows.lock().unwrap()).contains("key\""), "the key itself is not stored");
}

#[tokio::test]
async fn items_are_found_by_reference_after_a_restart() {
    let shelf = Shelf::default();
    let turns = saying("hi");
    let made = create(&started(&turns, &shelf), json!({})).await.json();
    let input =
        json!([{"type": "item_reference", "id": made["output"][0]["id"]}, {"role": "user", "content": "go on"}]);
    assert_eq!(create(&started(&turns, &shelf), json!({"input": input})).await.status, 200);
    assert_eq!(turns.messages()[0]["content"][0]["text"], "hi");
}

#[tokio::test]
async fn what_was_deleted_stays_so_but_is_still_a_part_of_what_went_on_from_it() {
    let shelf = Shelf::default();
    let turns = saying("hi");
    let api = started(&turns, &shelf);
    let first = create(&api, json!({"input": "one"})).await.json();
    let second = create(&api, json!({"input": "two", "previous_response_id": first["id"]})).await.json();
    assert_eq!(send(&api, "DELETE", &path(&first), None).await.status, 200);

    let api = started(&turns, &shelf);
    assert_eq!(get(&api, &path(&first)).await.status, 404);
    assert_eq!(create(&api, json!({"input": "three", "previous_response_id": second["id"]})).await.status, 200);
    assert_eq!(turns.messages().as_array().unwrap().len(), 5);
    assert_eq!(get(&api, &path(&first)).await.status, 404);
}

#[tokio::test]
async fn what_has_expired_is_not_found() {
    let shelf = Shelf::default();
    let turns = saying("hi");
    let made = create(&started(&turns, &shelf), json!({})).await.json();
    shelf.change(|row| row.expires_at = 1);
    assert_eq!(get(&started(&turns, &shelf), &path(&made)).await.status, 404);
}

#[tokio::test]
async fn a_conversation_whose_beginning_is_gone_is_not_found() {
    let shelf = Shelf::default();
    let turns = saying("hi");
    let api = started(&turns, &shelf);
    let first = create(&api, json!({"input": "one"})).await.json();
    let second = create(&api, json!({"input": "two", "previous_response_id": first["id"]})).await.json();
    shelf.rows.lock().unwrap().retain(|_, row| row.previous.is_some());
    let answer = create(&started(&turns, &shelf), json!({"previous_response_id": second["id"]})).await;
    assert_eq!(answer.fault().2, "previous_response_not_found");
}

#[tokio::test]
async fn an_answer_in_the_background_is_saved_when_it_ends_and_has_failed_where_the_server_ended_first() {
    let shelf = Shelf::default();
    let (events, turns) = Turns::new().live();
    let api = started(&turns, &shelf);
    let made = create(&api, json!({"background": true})).await.json();
    until("the first copy", async || !shelf.rows.lock().unwrap().is_empty()).await;

    let lost = get(&started(&turns, &shelf), &path(&made)).await.json();
    assert_eq!(lost["status"], "failed");
    assert!(lost["error"]["message"].as_str().unwrap().contains("restarted"), "{lost}");

    events.send(text("Hello")).unwrap();
    events.send(finished(FinishReason::Stop)).unwrap();
    let stored = async || get(&started(&turns, &shelf), &path(&made)).await.json()["status"] == "completed";
    until("the whole answer", stored).await;
}

#[tokio::test]
async fn a_failure_is_stored_with_what_it_said() {
    let shelf = Shelf::default();
    let failure = Error::new(ErrorKind::Overloaded, "The API is overloaded.");
    let turns = Turns::new().says_or_fails([Ok(text("Hel")), Err(failure)]);
    let answer = create(&started(&turns, &shelf), json!({"stream": true})).await;
    let failed = answer.outcome();
    assert_eq!(failed["status"], "failed");
    assert_eq!(get(&started(&turns, &shelf), &path(&failed)).await.json(), failed);
}

#[tokio::test]
async fn a_store_that_fails_costs_no_answer() {
    let shelf = Shelf { broken: true, ..Shelf::default() };
    let turns = saying("hi");
    let api = started(&turns, &shelf);
    let made = create(&api, json!({})).await;
    assert_eq!(made.status, 200);
    let made = made.json();
    assert_eq!(get(&api, &path(&made)).await.status, 200, "it is still in memory");
    let unknown = create(&api, json!({"previous_response_id": "resp_other"})).await;
    assert_eq!((unknown.status.as_u16(), unknown.fault().2), (500, json!("internal_error")));
}

#[tokio::test]
async fn what_another_version_has_stored_or_damage_has_changed_is_an_error_and_not_a_wrong_answer() {
    let turns = saying("hi");
    for damage in ["", "[]", r#"{"format": 99}"#, "CUT", "LENGTH"] {
        let shelf = Shelf::default();
        let made = create(&started(&turns, &shelf), json!({})).await.json();
        shelf.change(|row| {
            let json = String::from_utf8(row.json.to_vec()).unwrap();
            row.json = match damage {
                "CUT" => json[..json.len() / 2].to_owned(),
                "LENGTH" => json.replace(r#"{"Text":2}"#, r#"{"Text":200}"#),
                damage => damage.to_owned(),
            }
            .into();
        });
        assert_eq!(get(&started(&turns, &shelf), &path(&made)).await.status, 500, "{damage}");
    }
}

/// The end of an answer is not told before it is stored, or a client could ask for what is not there yet.
#[tokio::test]
async fn the_end_waits_until_the_answer_is_stored() {
    #[derive(Clone)]
    struct Slow(Arc<tokio::sync::Semaphore>);
    impl ResponseStore for Slow {
        fn salt(&self) -> [u8; 16] {
            [0; 16]
        }
        fn load(&self, _: &str) -> StoreFuture<Option<StoredResponse>> {
            Box::pin(async { Ok(None) })
        }
        fn save(&self, _: StoredResponse) -> StoreFuture<()> {
            let gate = Arc::clone(&self.0);
            Box::pin(async move { Ok(gate.acquire().await.map(drop)?) })
        }
        fn remove(&self, _: &str) -> StoreFuture<()> {
            Box::pin(async { Ok(()) })
        }
    }
    use http_body_util::BodyExt;

    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let turns = saying("hi");
    let api = turns.api().store_responses(Slow(Arc::clone(&gate)));
    for streamed in [true, false] {
        let asked = body(json!({"stream": streamed}));
        let whole = async { open(&api, "POST", "/v1/responses", Some(asked), "key").await.into_body().collect().await };
        let mut whole = std::pin::pin!(whole);
        for _ in 0..100 {
            assert!(futures_util::FutureExt::now_or_never(&mut whole).is_none());
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        let body = in_time("the whole answer", whole).await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("\"status\":\"completed\""));
        gate.forget_permits(1);
    }
}
