//! A client of the Responses door.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_claude::http::Body;

use crate::support::answer::{Answer, ask};
use crate::support::in_time;
use crate::support::turns::{Api, Turns};

/// A request's body, with these fields beside the model and one text.
pub fn body(fields: Value) -> Value {
    let mut body = json!({"model": "claude-opus-4", "input": "hello"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

pub async fn create(api: &Api, fields: Value) -> Answer {
    send(api, "POST", "/v1/responses", Some(body(fields))).await
}

pub async fn get(api: &Api, path: &str) -> Answer {
    send(api, "GET", path, None).await
}

pub async fn send(api: &Api, method: &str, path: &str, body: Option<Value>) -> Answer {
    send_as(api, method, path, body, "key").await
}

/// The same with another API key.
pub async fn send_as(api: &Api, method: &str, path: &str, body: Option<Value>, key: &str) -> Answer {
    ask(api.clone(), request(method, path, body, key)).await
}

/// The head of an answer, and its body as it comes.
pub async fn open(api: &Api, method: &str, path: &str, body: Option<Value>, key: &str) -> http::Response<Body> {
    let Ok(response) = in_time("the head", api.clone().oneshot(request(method, path, body, key))).await;
    response
}

fn request(method: &str, path: &str, body: Option<Value>, key: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {key}"))
        .body(body.map_or_else(Full::default, |body| Full::from(body.to_string())))
        .unwrap()
}

/// Waits until something holds of an answer that is asked for again and again.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    in_time(what, wait).await;
}

/// What the client asked, what the model said and what came of it, to be read in a snapshot.
pub fn shown(turns: &Turns, answer: &Answer) -> String {
    let text = answer.shown(&turns.shown());
    // When an answer was complete is the server's own clock, and the one thing that differs from run to run.
    regex::Regex::new(r#""completed_at":( ?)\d+"#).unwrap().replace_all(&text, r#""completed_at":$1[now]"#).into_owned()
}
