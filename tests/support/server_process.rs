//! Runs a server as a separate process: starts it, talks to it over HTTP, signals it, waits for it.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::answer::Answer;
use super::in_time;

/// A command for an example, without the variables and files that would change its behaviour.
pub(crate) fn example(name: &str) -> Command {
    command(super::claude_bin::example(name))
}

fn command(path: PathBuf) -> Command {
    let mut command = Command::new(path);
    for name in ["CLAUDE_BIN", "TOWER_CLAUDE_API_KEY", "RUST_LOG", "STAND_IN_VERSION"] {
        command.env_remove(name);
    }
    // Keeps out the settings file of the user who runs the tests.
    command.env("XDG_CONFIG_HOME", "/nowhere");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A settings file, for as long as this is kept, and the flag that names it.
pub(crate) fn settings(toml: &str) -> (tempfile::TempPath, [String; 2]) {
    let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&file, toml).unwrap();
    let flag = ["--config".to_owned(), file.to_str().unwrap().to_owned()];
    (file, flag)
}

/// A server that listens.
pub(crate) struct ServerProcess {
    child: Child,
    /// Its first line on standard output.
    pub(crate) announced: String,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    stdout: tokio::process::ChildStdout,
    /// Its log, unless that is redirected.
    log: Option<Lines<BufReader<ChildStderr>>>,
    /// Its TMPDIR, removed on drop, however the server ended.
    temporary: Arc<TempDir>,
}

impl ServerProcess {
    /// Starts it and waits for the line that says where it listens.
    pub(crate) async fn start(command: Command) -> ServerProcess {
        ServerProcess::start_in(command, Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// Like [`start`](Self::start), with a TMPDIR that may be shared.
    pub(crate) async fn start_in(mut command: Command, temporary: Arc<TempDir>) -> ServerProcess {
        let mut child = command.env("TMPDIR", temporary.path()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut log = child.stderr.take().map(|stderr| BufReader::new(stderr).lines());
        let mut announced = String::new();
        in_time("a line", stdout.read_line(&mut announced)).await.unwrap();
        let announced = announced.trim_end().to_owned();
        let Some(url) = announced.split_whitespace().find_map(|word| word.strip_suffix("/v1")) else {
            let mut said = String::new();
            while let Some(Ok(Some(line))) = async { Some(log.as_mut()?.next_line().await) }.await {
                said.push_str(&line);
                said.push('\n');
            }
            panic!("the server said {announced:?} and on stderr:\n{said}");
        };
        ServerProcess { url: url.to_owned(), announced, child, stdout: stdout.into_inner(), log, temporary }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Its TMPDIR.
    pub(crate) fn temporary(&self) -> &std::path::Path {
        self.temporary.path()
    }

    /// Its TMPDIR, to keep beyond the server's end or to give to another server.
    pub(crate) fn shared_temporary(&self) -> Arc<TempDir> {
        Arc::clone(&self.temporary)
    }

    /// Sends a request, unchanged, to a path.
    pub(crate) async fn send(&self, path: &str, mut request: Request<Full<Bytes>>) -> Response<Incoming> {
        *request.uri_mut() = format!("{}{path}", self.url).parse().unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        in_time("an answer", client.request(request)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.send(path, Request::new(Full::default())).await).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.send(path, Request::delete("/").body(Full::default()).unwrap()).await).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post("/").header("content-type", "application/json");
        Answer::of(self.send(path, request.body(Full::from(body.to_string())).unwrap()).await).await
    }

    /// Sends a chat request. The answer's body is still to be read.
    pub(crate) async fn start_chat(&self, body: &Value) -> Response<Incoming> {
        let request = Request::post("/").header("content-type", "application/json");
        self.send("/v1/chat/completions", request.body(Full::from(body.to_string())).unwrap()).await
    }

    pub(crate) async fn chat(&self, body: &Value) -> Answer {
        Answer::of(self.start_chat(body).await).await
    }

    /// The answer to one user message.
    pub(crate) async fn say(&self, text: &str) -> Answer {
        self.chat(&json!({"model": "sonnet", "messages": [{"role": "user", "content": text}]})).await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Reads its log up to a line that contains this text.
    pub(crate) async fn until_logged(&mut self, text: &str) -> String {
        let log = self.log.as_mut().expect("the log is read here");
        let mut logged = String::new();
        loop {
            let line = in_time("a line", log.next_line()).await.unwrap();
            let line = line.expect("the server still runs");
            logged += &(line.clone() + "\n");
            if line.contains(text) {
                return logged;
            }
        }
    }

    /// Kills it, as a crash would. Its TMPDIR stays.
    pub(crate) async fn kill(mut self) -> Arc<TempDir> {
        self.child.kill().await.unwrap();
        self.temporary
    }

    /// Waits until it ends by itself. Returns its exit status and the rest of its standard output.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        use tokio::io::AsyncReadExt;
        let mut rest = String::new();
        in_time("an end", self.stdout.read_to_string(&mut rest)).await.unwrap();
        let status = in_time("an end", self.child.wait()).await.unwrap();
        let entries = std::fs::read_dir(self.temporary.path()).unwrap().map(|entry| entry.unwrap().file_name());
        // The real CLI has directories of its own there.
        let left: Vec<_> =
            entries.filter(|name| name != "cc-socks" && !name.to_string_lossy().starts_with("claude-")).collect();
        assert!(left.is_empty(), "directories stay behind: {left:?}");
        (status, rest)
    }
}
