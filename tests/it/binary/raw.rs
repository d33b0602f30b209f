//! A client that says exactly what it is told to, byte for byte, and waits for nothing longer than its patience.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::server_process::ServerProcess;
use crate::support::{PATIENCE, in_time};

pub struct Raw {
    pub stream: TcpStream,
    /// What was read beyond the last answer.
    read: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl RawAnswer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self
            .head
            .lines()
            .find(|line| line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name)))?;
        Some(line.split_once(':')?.1.trim())
    }
}

/// A chat request with this user message, whole.
pub fn chat(text: &str, more: &str) -> String {
    let body = format!(r#"{{"model":"sonnet","messages":[{{"role":"user","content":"{text}"}}]{more}}}"#);
    let length = body.len();
    format!("{CHAT}content-length: {length}\r\n\r\n{body}")
}

/// The head of a chat request, but for the length and the line that ends it.
pub const CHAT: &str = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

pub const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";

impl Raw {
    pub async fn connect(server: &ServerProcess) -> Raw {
        Raw::connect_with(server, |_| ()).await
    }

    /// Sets something before it connects.
    pub async fn connect_with(server: &ServerProcess, set: impl FnOnce(&TcpSocket)) -> Raw {
        let socket = TcpSocket::new_v4().unwrap();
        set(&socket);
        let address = server.url.strip_prefix("http://").unwrap().parse().unwrap();
        let stream = in_time("a connection", socket.connect(address)).await.unwrap();
        Raw { stream, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        in_time("room to write", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// The next answer.
    pub async fn answer(&mut self) -> RawAnswer {
        let head = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                let rest = self.read.split_off(end + 4);
                break String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
            }
            assert!(self.more().await, "the connection was closed before the head: {:?}", self.so_far());
        };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head}"));
        let mut answer = RawAnswer { status, head, body: String::new() };
        let body = if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            while self.read.len() < length {
                assert!(self.more().await, "the body was cut: {:?}", self.so_far());
            }
            let rest = self.read.split_off(length);
            std::mem::replace(&mut self.read, rest)
        } else if answer.header("transfer-encoding").is_some() {
            while find(&self.read, b"0\r\n\r\n").is_none() {
                assert!(self.more().await, "the body was cut: {:?}", self.so_far());
            }
            std::mem::take(&mut self.read)
        } else if status < 200 {
            Vec::new()
        } else {
            while self.more().await {}
            std::mem::take(&mut self.read)
        };
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// Nothing more comes, and the server has closed the connection.
    pub async fn closed(&mut self) {
        while self.more().await {}
        assert_eq!(self.so_far(), "");
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Reads something: false at the end, and where the connection was reset.
    async fn more(&mut self) -> bool {
        in_time("bytes", self.stream.read_buf(&mut self.read)).await.is_ok_and(|read| read > 0)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Waits until `/health` says this of the processes, and takes the last answer for the reason where it never does.
pub async fn processes(server: &ServerProcess, name: &str, count: u64) {
    let mut last = Value::Null;
    let wait = async {
        loop {
            last = server.get("/health").await.json();
            if last["processes"][name] == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, wait).await;
    assert!(came.is_ok(), "{name} never came to {count}: {last}");
}
