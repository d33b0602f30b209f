//! The reference server over the real CLI never has more processes than `--max-processes`, whatever clients do, and gets
//! those back whose clients do not read.
#![cfg(target_os = "linux")] // Who is whose child is read from /proc.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::claude_bin::real_cli;
use crate::support::in_time;
use crate::support::messages_api::MessagesApi;
use crate::support::process::children;
use crate::support::server_process::{ServerProcess, example, settings};

const MOST: usize = 3;

struct Scene {
    server: ServerProcess,
    _api: MessagesApi,
    _directory: tempfile::TempDir,
}

impl Scene {
    /// A server that has answered once.
    async fn start(program: PathBuf, mode: &str, toml: &str) -> Scene {
        let api = MessagesApi::start().await;
        let directory = tempfile::tempdir().unwrap();
        let workspace = directory.path().join("workspace");
        std::fs::create_dir(&workspace).unwrap();
        let mut command = example("claude-max-api");
        let (_file, config) = settings(toml);
        command.args(["0", "--mode", mode, "--warm", "1", "--max-processes", &MOST.to_string()]).args(config);
        if mode == "agent" {
            command.arg("--workspace").arg(&workspace);
        }
        command
            .env("CLAUDE_BIN", program)
            .env("HOME", directory.path())
            .env("ANTHROPIC_BASE_URL", api.url())
            .env("ANTHROPIC_API_KEY", "test-key")
            .env("DISABLE_TELEMETRY", "1")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("IS_SANDBOX", "1");
        let scene = Scene { server: ServerProcess::start(command).await, _api: api, _directory: directory };
        // From here on no `claude --version` is among the children.
        assert_eq!(scene.server.say("hello").await.content(), "echo: hello");
        scene
    }

    /// The most children that the server has at once while this goes on.
    async fn most_during(&self, work: impl Future<Output = ()>) -> usize {
        let (server, over) = (self.server.pid(), Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&over);
        let counts = std::thread::spawn(move || {
            let mut most = 0;
            while !stop.load(Ordering::Acquire) {
                most = most.max(children(server).len());
                std::thread::sleep(Duration::from_millis(10));
            }
            most
        });
        work.await;
        over.store(true, Ordering::Release);
        counts.join().unwrap()
    }

    /// A new conversation.
    async fn converse(&self, number: usize) {
        let text = format!("number {number}");
        assert_eq!(self.server.say(&text).await.content(), format!("echo: {text}"));
    }

    /// Asks for an answer that takes long, and hangs up at its first sign.
    async fn hang_up(&self) {
        let mut answer = self.server.start_chat(&streamed("[[slow 100 count 100000]]")).await;
        assert_eq!(answer.status(), 200);
        in_time("a frame", answer.body_mut().frame()).await.unwrap().unwrap();
    }
}

fn streamed(text: &str) -> Value {
    json!({"model": "sonnet", "stream": true, "messages": [{"role": "user", "content": text}]})
}

#[tokio::test]
async fn there_are_never_more_processes_than_may_be() {
    let Some(program) = real_cli() else { return };
    for mode in ["client", "agent"] {
        let scene = Scene::start(program.clone(), mode, "queue-timeout = \"3m\"").await;
        let flood = async {
            futures_util::future::join_all((0..10).map(|number| scene.converse(number))).await;
        };
        let most = scene.most_during(flood).await;
        assert_eq!(most, MOST, "in a flood of new conversations, {mode} mode");
        let hang_ups = async {
            let clients = (0..4).map(async |_| {
                scene.hang_up().await;
                scene.hang_up().await;
            });
            futures_util::future::join_all(clients).await;
            scene.converse(100).await;
        };
        let most = scene.most_during(hang_ups).await;
        assert_eq!(most, MOST, "when clients hang up, {mode} mode");
    }
}

/// A client that sends a request and never reads.
async fn stalled(server: &ServerProcess) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = server.url.trim_start_matches("http://");
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let body = streamed("[[count 1000000]]").to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn clients_that_never_read_lose_their_processes_and_others_get_them() {
    let Some(program) = real_cli() else { return };
    for (toml, logged) in [
        ("unread-timeout = \"1s\"", "a client has read nothing of its answer for 1s"),
        ("request-timeout = \"15s\"", "a turn is ended: The answer was not complete within 15s"),
    ] {
        let mut scene = Scene::start(program.clone(), "client", toml).await;
        let mut clients = Vec::new();
        for _ in 0..MOST {
            clients.push(stalled(&scene.server).await);
        }
        for _ in 0..MOST {
            scene.server.until_logged(logged).await;
        }
        scene.converse(1).await;
        assert_eq!(scene.server.get("/health").await.json()["processes"]["busy"], 0);
        drop(clients);
    }
}
