//! Answers that go on without their clients.

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower_claude::{Error, ErrorKind, FinishReason};

use super::client::{body, create, get, open, send, until};
use crate::support::turns::{Api, Turns, finished, saying, text};

async fn status(api: &Api, path: &str) -> Value {
    get(api, path).await.json()["status"].clone()
}

fn path(made: &Value) -> String {
    format!("/v1/responses/{}", made["id"].as_str().unwrap())
}

#[tokio::test]
async fn an_answer_in_the_background_is_asked_for_until_it_is_there() {
    let (events, turns) = Turns::new().live();
    let api = turns.api();
    let made = create(&api, json!({"background": true})).await.json();
    assert_eq!((made["status"].as_str(), &made["background"]), (Some("in_progress"), &json!(true)));
    events.send(text("Hel")).unwrap();
    until("the first text", async || get(&api, &path(&made)).await.text().contains("Hel")).await;
    assert_eq!(status(&api, &path(&made)).await, "in_progress");
    let early = create(&api, json!({"previous_response_id": made["id"]})).await;
    assert_eq!(early.fault().1, "previous_response_id");
    events.send(text("lo")).unwrap();
    events.send(finished(FinishReason::Stop)).unwrap();
    until("the end", async || status(&api, &path(&made)).await == "completed").await;
    let whole = get(&api, &path(&made)).await.json();
    assert_eq!(whole["output"][0]["content"][0]["text"], "Hello");
    assert_eq!(whole["usage"]["total_tokens"], 120);
}

#[tokio::test]
async fn a_stream_in_the_background_goes_on_when_its_client_has_gone_and_is_read_again() {
    let (events, turns) = Turns::new().live();
    let api = turns.api();
    let asked = body(json!({"background": true, "stream": true}));
    let mut stream = open(&api, "POST", "/v1/responses", Some(asked), "key").await.into_body();
    let head = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    let head = std::str::from_utf8(&head).unwrap();
    assert!(head.starts_with("event: response.created") && head.contains("event: response.queued"), "{head}");
    let id = head.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    drop(stream);

    for event in [text("Hel"), text("lo"), finished(FinishReason::Stop)] {
        events.send(event).unwrap();
    }
    let rest = get(&api, &format!("/v1/responses/{id}?stream=true&starting_after=2")).await;
    let events = rest.events();
    assert_eq!(
        (events[0]["sequence_number"].as_u64(), events[0]["type"].as_str()),
        (Some(3), Some("response.output_item.added"))
    );
    assert_eq!(rest.outcome()["output"][0]["content"][0]["text"], "Hello");
    assert_eq!(rest.kinds().last().unwrap(), "response.completed");
}

#[tokio::test]
async fn an_answer_in_the_background_can_be_cancelled_and_its_turn_ends() {
    let (events, turns) = Turns::new().live();
    let api = turns.api();
    let made = create(&api, json!({"background": true})).await.json();
    events.send(text("Hel")).unwrap();
    until("the first text", async || get(&api, &path(&made)).await.text().contains("Hel")).await;
    let cancelled = send(&api, "POST", &format!("{}/cancel", path(&made)), None).await.json();
    assert_eq!(cancelled["status"], "cancelled");
    until("the turn's end", async || events.is_closed()).await;
    assert_eq!(status(&api, &path(&made)).await, "cancelled");
    let again = send(&api, "POST", &format!("{}/cancel", path(&made)), None).await.json();
    assert_eq!(again["status"], "cancelled");

    let made = create(&saying("hi").api(), json!({})).await.json();
    let foreground = saying("hi").api();
    let made_here = create(&foreground, json!({})).await.json();
    assert_eq!(made["background"], false);
    let refused = send(&foreground, "POST", &format!("{}/cancel", path(&made_here)), None).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_failure_in_the_background_is_the_answers() {
    let turns = Turns::new().refuses(Error::new(ErrorKind::RateLimited, "Later."));
    let api = turns.api();
    let made = create(&api, json!({"background": true})).await.json();
    until("the failure", async || status(&api, &path(&made)).await == "failed").await;
    let failed = get(&api, &path(&made)).await.json();
    assert_eq!(failed["error"], json!({"code": "rate_limit_exceeded", "message": "Later."}));
}

#[tokio::test]
async fn no_more_than_so_many_run_in_the_background() {
    let mut senders = Vec::new();
    let mut turns = Turns::new();
    for _ in 0..16 {
        let (events, more) = turns.live();
        senders.push(events);
        turns = more;
    }
    let api = turns.api();
    for _ in 0..16 {
        assert_eq!(create(&api, json!({"background": true})).await.status, 200);
    }
    assert_eq!(create(&api, json!({"background": true})).await.fault(), (429, Value::Null, json!("queue_full")));
    senders.iter().for_each(|events| events.send(finished(FinishReason::Stop)).unwrap());
    until("a place", async || {
        let answer = create(&api, json!({"background": true, "model": ""})).await;
        answer.status == 400
    })
    .await;
}
