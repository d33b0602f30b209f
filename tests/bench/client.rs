//! A client of the proxy: one connection, one conversation, its streamed answers timed to their first text.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// A conversation, and the connection that it is held on.
pub(crate) struct Conversation {
    connection: SendRequest<Full<Bytes>>,
    request: Value,
}

/// An answer that has begun.
pub(crate) struct Answer {
    /// From sending the request to the first text.
    pub(crate) first: Duration,
    /// How the request came by its process: `warm`, `live` or `cold`.
    pub(crate) process: String,
    body: Incoming,
    received: Vec<u8>,
}

impl Conversation {
    /// Connects; the conversation has a system prompt and, where one is named, a function.
    pub(crate) async fn open(server: SocketAddr, model: &str, system: &str, tool: Option<&str>) -> Conversation {
        let mut request = json!({"model": model, "stream": true,
            "messages": [{"role": "system", "content": system}]});
        if let Some(name) = tool {
            request["tools"] = json!([{"type": "function", "function":
                {"name": name, "description": "Runs a command.", "parameters": super::bare::parameters()}}]);
        }
        Conversation { connection: connect(server).await, request }
    }

    /// Says something and waits for the first text of the answer.
    pub(crate) async fn say(&mut self, text: &str) -> Answer {
        self.send(json!({"role": "user", "content": text})).await
    }

    /// Gives the result of the call that the last answer ended with, and waits for the first text of what follows.
    pub(crate) async fn result(&mut self, text: &str) -> Answer {
        let messages = self.request["messages"].as_array().unwrap();
        let id = messages.last().unwrap()["tool_calls"][0]["id"].clone();
        assert!(id.is_string(), "the last answer is no call: {messages:?}");
        self.send(json!({"role": "tool", "tool_call_id": id, "content": text})).await
    }

    /// How long the server takes for an answer that no process has a part in, on this connection.
    pub(crate) async fn health(&mut self) -> Duration {
        self.connection.ready().await.unwrap();
        let request = Request::get("/health").header(header::HOST, "localhost").body(Full::default()).unwrap();
        let began = Instant::now();
        let response = self.connection.send_request(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        began.elapsed()
    }

    async fn send(&mut self, message: Value) -> Answer {
        self.request["messages"].as_array_mut().unwrap().push(message);
        let body = self.request.to_string();
        // The last answer's end may have come a moment before the connection knows that it is free again.
        self.connection.ready().await.unwrap();
        let began = Instant::now();
        let response = post(&mut self.connection, body).await;
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, process) = (response.status(), header("x-claude-process").unwrap_or_default());
        let mut answer = Answer { first: Duration::ZERO, process, body: response.into_body(), received: Vec::new() };
        while !has_text(&answer.received) {
            let more = answer.more().await;
            assert!(more && status == 200, "{status}: {}", String::from_utf8_lossy(&answer.received));
        }
        answer.first = began.elapsed();
        answer
    }

    /// Reads an answer to its end and makes it part of the conversation.
    pub(crate) async fn finish(&mut self, mut answer: Answer) {
        while answer.more().await {}
        let text = String::from_utf8(answer.received).unwrap();
        let (mut content, mut call) = (String::new(), None::<(Value, String)>);
        for event in text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")) {
            let Ok(chunk) = serde_json::from_str::<Value>(event) else { continue };
            assert!(chunk["error"].is_null(), "the answer failed: {chunk}");
            let delta = &chunk["choices"][0]["delta"];
            content += delta["content"].as_str().unwrap_or_default();
            let part = &delta["tool_calls"][0];
            if part["id"].is_string() {
                call = Some((part.clone(), String::new()));
            }
            if let Some((_, arguments)) = &mut call {
                *arguments += part["function"]["arguments"].as_str().unwrap_or_default();
            }
        }
        assert!(text.ends_with("data: [DONE]\n\n"), "the answer has no end: {text}");
        let mut message = json!({"role": "assistant", "content": content});
        if let Some((part, arguments)) = call {
            let function = json!({"name": part["function"]["name"], "arguments": arguments});
            message["tool_calls"] = json!([{"id": part["id"], "type": "function", "function": function}]);
        }
        self.request["messages"].as_array_mut().unwrap().push(message);
    }
}

impl Answer {
    /// Takes the next piece; `false` at the end.
    async fn more(&mut self) -> bool {
        match self.body.frame().await {
            Some(frame) => self.received.extend_from_slice(frame.unwrap().data_ref().unwrap_or(&Bytes::new())),
            None => return false,
        }
        true
    }

    /// Reads to the end without keeping anything; how many bytes and events there were is returned.
    pub(crate) async fn drain(mut self) -> (u64, u64) {
        // An event ends in two line feeds, which may come in two frames.
        let count = |bytes: &[u8]| (bytes.len() as u64, memchr::memchr_iter(b'\n', bytes).count() as u64);
        let (mut length, mut line_feeds) = count(&self.received);
        while let Some(frame) = self.body.frame().await {
            let frame = frame.unwrap();
            let more = count(frame.data_ref().unwrap());
            (length, line_feeds) = (length + more.0, line_feeds + more.1);
        }
        (length, line_feeds / 2)
    }
}

/// A connection to the server.
pub(crate) async fn connect(server: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(server).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn post(connection: &mut SendRequest<Full<Bytes>>, body: String) -> Response<Incoming> {
    let request = Request::post("/v1/chat/completions")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json");
    connection.send_request(request.body(Full::from(body)).unwrap()).await.unwrap()
}

/// What `/health` says.
pub(crate) async fn health(server: SocketAddr) -> Value {
    let request = Request::get("/health").header(header::HOST, "localhost").body(Full::default()).unwrap();
    let response = connect(server).await.send_request(request).await.unwrap();
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// Whether some text has come: the first chunk of an answer has the key too, with nothing in it.
fn has_text(received: &[u8]) -> bool {
    const KEY: &[u8] = b"\"content\":\"";
    memmem::find_iter(received, KEY).any(|at| received.get(at + KEY.len()).is_some_and(|byte| *byte != b'"'))
}
