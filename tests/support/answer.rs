//! A client of the HTTP edge: sends requests, and checks the whole answer against OpenAI's schema.

use std::convert::Infallible;
use std::fmt::{Debug, Write};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

use super::{in_time, schema};

/// A chat request's body: a model, one message, and these fields.
pub(crate) fn body(fields: Value) -> Value {
    let mut body = json!({"model": "claude-opus-4", "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// The HTTP request with this body.
pub(crate) fn post(body: &Value) -> Request<Full<Bytes>> {
    Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap()
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

/// Sends a request, and checks the answer against the schema.
pub(crate) async fn ask<S, B>(service: S, request: Request<Full<Bytes>>) -> Answer
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: Debug,
{
    let asked = shown_request(&request).await;
    let Ok(response) = in_time("the answer's head", service.oneshot(request)).await;
    Answer { asked, ..Answer::of(response).await }.validated()
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The request as text, for a snapshot.
    pub(crate) asked: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of<B>(response: Response<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Debug,
    {
        let (parts, body) = response.into_parts();
        let body = in_time("the answer's end", body.collect()).await.unwrap().to_bytes();
        Answer { asked: String::new(), status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The text of a chat completion's one choice.
    pub(crate) fn content(&self) -> String {
        self.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
    }

    /// The code of a failure.
    pub(crate) fn code(&self) -> Value {
        self.json()["error"]["code"].clone()
    }

    /// The status, `param` and `code` of a failure.
    pub(crate) fn fault(&self) -> (u16, Value, Value) {
        let error = &self.json()["error"];
        (self.status.as_u16(), error["param"].clone(), error["code"].clone())
    }

    /// The data of each chunk of a chat completion, comments left out.
    pub(crate) fn data(&self) -> Vec<&str> {
        let data = |event| str::strip_prefix(event, "data: ").unwrap_or_else(|| panic!("not a chunk: {event:?}"));
        self.sent_events().map(data).collect()
    }

    /// The chunks of a chat completion. Panics unless it ended properly.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let mut data = self.data();
        assert_eq!(data.pop(), Some("[DONE]"), "{}", self.text());
        data.iter().map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    /// The events of a response's stream.
    pub(crate) fn events(&self) -> Vec<Value> {
        let parse = |event: &str| {
            let (kind, data) = event.strip_prefix("event: ").and_then(|rest| rest.split_once("\ndata: ")).unwrap();
            let json: Value = serde_json::from_str(data).unwrap();
            assert_eq!(json["type"], kind);
            json
        };
        self.sent_events().map(parse).collect()
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.events().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// The response that a stream ends with.
    pub(crate) fn outcome(&self) -> Value {
        self.events().last().unwrap()["response"].clone()
    }

    /// The server-sent events, comments left out.
    fn sent_events(&self) -> impl Iterator<Item = &str> {
        self.text().split_terminator("\n\n").filter(|event| !event.starts_with(':'))
    }

    /// Returns the answer if it is valid by the schema, else panics.
    pub(crate) fn validated(self) -> Self {
        match self.header("content-type") {
            Some("text/event-stream")
                if self.sent_events().next().is_some_and(|event| event.starts_with("event: ")) =>
            {
                self.events().iter().for_each(schema::assert_valid_event);
            }
            Some("text/event-stream") => self.data().into_iter().for_each(validate_chunk),
            Some("application/json") if !self.body.is_empty() => schema::assert_valid_object(&self.json()),
            _ => assert!(self.body.is_empty(), "a body of no known type: {:?}", self.body),
        }
        self
    }

    /// The request, what happened inside, and the answer, as text for a snapshot.
    pub(crate) fn shown(&self, within: &str) -> String {
        let mut text =
            format!("=== the client asks ===\n{}{within}=== the client gets ===\n{}\n", self.asked, self.status);
        for (name, value) in &self.headers {
            writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
        text.push('\n');
        match self.header("content-type") {
            Some("application/json") => text.push_str(&serde_json::to_string_pretty(&self.json()).unwrap()),
            _ => text.push_str(self.text()),
        }
        text
    }
}

fn validate_chunk(data: &str) {
    if data != "[DONE]" {
        let json: Value = serde_json::from_str(data).unwrap();
        if json.get("error").is_some() { schema::assert_valid_error(&json) } else { schema::assert_valid_chunk(&json) }
    }
}

/// A request as text. A JSON body is on one line if it fits.
async fn shown_request(request: &Request<Full<Bytes>>) -> String {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes())).unwrap();
    }
    let Ok(body) = request.body().clone().collect().await;
    let body = body.to_bytes();
    if body.is_empty() {
        return text;
    }
    let body = String::from_utf8_lossy(&body);
    let body = match serde_json::from_str::<Value>(&body) {
        Ok(json) if body.len() > 100 => format!("{json:#}"),
        _ => body.into_owned(),
    };
    write!(text, "\n{body}\n\n").unwrap();
    text
}
