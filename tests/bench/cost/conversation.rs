//! A conversation whose answers are not streamed: the whole history is sent each time, and answers become part of it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use serde_json::{Value, json};

use crate::client::connect;
use crate::door::{Door, Function};

/// A client's side of a conversation.
pub(crate) struct Conversation {
    door: Door,
    connection: SendRequest<Full<Bytes>>,
    body: Value,
    /// The session that the client names.
    pub(crate) session: String,
}

/// What the model answered.
pub(crate) struct Answer {
    /// The id of the call that it ended with.
    pub(crate) call: Option<Value>,
    /// `x-claude-process`.
    pub(crate) process: String,
}

impl Conversation {
    /// With this system prompt and functions.
    pub(crate) async fn open(server: SocketAddr, door: Door, system: &str, functions: &[Function]) -> Self {
        let body = door.body("opus", system, functions);
        Conversation { door, connection: connect(server).await, body, session: String::new() }
    }

    /// From now on the model may call these.
    pub(crate) fn change_functions(&mut self, functions: &[Function]) {
        self.body["tools"] = self.door.body("", "", functions)["tools"].take();
    }

    pub(crate) async fn say(&mut self, text: &str) -> Answer {
        self.send(json!({"role": "user", "content": text})).await
    }

    pub(crate) async fn result(&mut self, call: &Value, text: &str) -> Answer {
        self.send(self.door.result(call, text)).await
    }

    async fn send(&mut self, said: Value) -> Answer {
        self.door.history(&mut self.body).push(said);
        let request = Request::post(self.door.path())
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .header("anthropic-version", "2023-06-01")
            .header("x-session-affinity", &self.session)
            .body(Full::from(self.body.to_string()));
        self.connection.ready().await.unwrap();
        let response = self.connection.send_request(request.unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert!(head.status.is_success(), "{}: {}", head.status, String::from_utf8_lossy(&body));
        let (said, call) = self.door.take(serde_json::from_slice(&body).unwrap());
        self.door.history(&mut self.body).extend(said);
        Answer { call, process: head.headers["x-claude-process"].to_str().unwrap().to_owned() }
    }
}
