//! A client of the proxy: one connection, one conversation, its streamed answers timed to their first text.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::door::Door;

/// A conversation, and the connection that it is held on.
pub(crate) struct Conversation {
    door: Door,
    connection: SendRequest<Full<Bytes>>,
    request: Value,
    /// The API key that it sends.
    key: Option<String>,
    /// The id of the call that the last answer ended with.
    call: Option<Value>,
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
    /// Connects, to hold a conversation on Chat Completions; it has a system prompt and, where one is named, a function.
    pub(crate) async fn open(server: SocketAddr, model: &str, system: &str, tool: Option<&str>) -> Conversation {
        Conversation::at(Door::Chat, server, model, system, tool).await
    }

    /// The same at any door.
    pub(crate) async fn at(
        door: Door,
        server: SocketAddr,
        model: &str,
        system: &str,
        tool: Option<&str>,
    ) -> Conversation {
        let function = |name: &str| (name.to_owned(), "Runs a command.".to_owned(), super::bare::parameters());
        let functions: Vec<_> = tool.map(function).into_iter().collect();
        let mut request = door.body(model, system, &functions);
        request["stream"] = true.into();
        Conversation { door, connection: connect(server).await, request, key: None, call: None }
    }

    /// The same, with an API key.
    pub(crate) fn with_key(self, key: &str) -> Conversation {
        Conversation { key: Some(key.to_owned()), ..self }
    }

    /// Says something and waits for the first text of the answer.
    pub(crate) async fn say(&mut self, text: &str) -> Answer {
        self.send(json!({"role": "user", "content": text})).await
    }

    /// Gives the result of the call that the last answer ended with, and waits for the first text of what follows.
    pub(crate) async fn result(&mut self, text: &str) -> Answer {
        let call = self.call.take().expect("the last answer ended with a call");
        self.send(self.door.result(&call, text)).await
    }

    async fn send(&mut self, message: Value) -> Answer {
        self.door.history(&mut self.request).push(message);
        let body = self.request.to_string();
        // The last answer's end may have come a moment before the connection knows that it is free again.
        self.connection.ready().await.unwrap();
        let began = Instant::now();
        let response = post(&mut self.connection, self.door.path(), self.key.as_deref(), body).await;
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, process) = (response.status(), header("x-claude-process").unwrap_or_default());
        let mut answer = Answer { first: Duration::ZERO, process, body: response.into_body(), received: Vec::new() };
        while !self.door.has_text(&answer.received) {
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
        let said;
        (said, self.call) = self.door.take(self.door.whole(&text));
        self.door.history(&mut self.request).extend(said);
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

async fn post(
    connection: &mut SendRequest<Full<Bytes>>,
    path: &str,
    key: Option<&str>,
    body: String,
) -> Response<Incoming> {
    let request = Request::post(path)
        .header(header::HOST, "localhost")
        .header("anthropic-version", "2023-06-01")
        .header(header::CONTENT_TYPE, "application/json");
    let request = key.into_iter().fold(request, |request, key| request.header("x-api-key", key));
    connection.send_request(request.body(Full::from(body)).unwrap()).await.unwrap()
}

/// What `/health` says.
pub(crate) async fn health(server: SocketAddr) -> Value {
    let request = Request::get("/health").header(header::HOST, "localhost").body(Full::default()).unwrap();
    let response = connect(server).await.send_request(request).await.unwrap();
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}
