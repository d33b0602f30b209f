//! The whole proxy, as the reference binary assembles it, over a CLI whose API is on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};
use tower_claude::cli::{ClaudeCli, ClaudeCliBuilder};
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::layers;

use super::answer::Answer;
use super::claude_bin;
use super::messages_api::MessagesApi;
use super::{in_time, schema};

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;
type Service = HttpStack<layers::OpenClaw<ClaudeCli>>;

/// The proxy, its processes, and the API behind them. Dropping it stops them.
pub(crate) struct Stack {
    pub(crate) api: MessagesApi,
    pub(crate) claude: ClaudeCli,
    service: Service,
    home: tempfile::TempDir,
}

impl Stack {
    /// Over the real CLI; `None` if that is not installed. No process is started before it is needed.
    pub(crate) async fn real() -> Option<Stack> {
        Stack::real_with(|builder| builder).await
    }

    /// Like [`real`](Self::real), with further configuration.
    pub(crate) async fn real_with(configure: impl FnOnce(ClaudeCliBuilder) -> ClaudeCliBuilder) -> Option<Stack> {
        Some(Stack::over(&claude_bin::real_cli()?, configure).await)
    }

    /// Over this CLI.
    pub(crate) async fn over(cli: &Path, configure: impl FnOnce(ClaudeCliBuilder) -> ClaudeCliBuilder) -> Stack {
        // Records each process's id before it becomes the CLI, so that a test can count them, and kill one.
        const NOTED: &str = r#"case " $* " in *" --version "*) ;; *) echo $$ >> "$HOME/pids" ;; esac; exec "$0" "$@""#;
        let api = MessagesApi::start().await;
        let home = tempfile::tempdir().unwrap();
        let builder = ClaudeCli::builder()
            .program("/bin/sh")
            .args(["-c".as_ref(), NOTED.as_ref(), cli.as_os_str()])
            .env("HOME", home.path())
            .env("ANTHROPIC_BASE_URL", api.url())
            .env("ANTHROPIC_API_KEY", "test-key")
            .env("ANTHROPIC_AUTH_TOKEN", "")
            .env("CLAUDE_CODE_OAUTH_TOKEN", "")
            .env("CLAUDE_CONFIG_DIR", home.path().join(".claude"))
            .env("DISABLE_TELEMETRY", "1")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .warm_processes(0);
        let claude = configure(builder).build();
        let health = claude.clone();
        let edge = ApiService::new(layers::OpenClawLayer::new().layer(claude.clone()))
            .abilities(ClaudeCli::abilities())
            .models(["claude-opus-4", "claude-sonnet-4", "claude-haiku-4"].map(ClaudeCli::model))
            .health(move || health.health());
        Stack { api, claude, service: HttpStack::new(edge, GuardLayer::new()), home }
    }

    /// The whole answer to a request.
    pub(crate) async fn ask(&self, body: Value) -> Answer {
        Answer::of(self.send(&body).await).await.validated()
    }

    /// The whole answer, which must be a success.
    pub(crate) async fn completion(&self, body: Value) -> Value {
        let answer = self.ask(body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The answer to a request as it comes.
    pub(crate) async fn stream(&self, mut body: Value) -> Events {
        body["stream"] = json!(true);
        let response = self.send(&body).await;
        let (parts, body) = response.into_parts();
        assert_eq!(parts.status, 200);
        Events { headers: parts.headers, body, unread: String::new() }
    }

    /// The whole answer of a door other than Chat Completions.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, body.to_string()).await
    }

    /// Likewise, to a body that need not be JSON that Rust can hold.
    pub(crate) async fn post_text(&self, path: &str, body: String) -> Answer {
        Answer::of(self.send_to(path, body).await).await
    }

    /// Sends a request of this session to a door.
    pub(crate) async fn post_in(&self, session: &str, path: &str, body: &Value) -> Answer {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .header("x-session-affinity", session)
            .body(Full::<Bytes>::from(body.to_string()))
            .unwrap();
        let Ok(response) = in_time("the answer's head", self.service.clone().oneshot(request)).await;
        Answer::of(response).await
    }

    async fn send(&self, body: &Value) -> Response<Body> {
        self.send_to("/v1/chat/completions", body.to_string()).await
    }

    async fn send_to(&self, path: &str, body: String) -> Response<Body> {
        let request =
            Request::post(path).header("content-type", "application/json").body(Full::<Bytes>::from(body)).unwrap();
        let Ok(response) = in_time("the answer's head", self.service.clone().oneshot(request)).await;
        response.map(|body| body.map_err(Into::into).boxed_unsync())
    }

    /// Serves on a free port until the runtime ends.
    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = self.service.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A client that hangs up is not a failure of the server.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        address
    }

    /// The ids of all processes started, in order, whether they still run or not.
    pub(crate) fn started(&self) -> Vec<u32> {
        let pids = std::fs::read_to_string(self.home.path().join("pids")).unwrap_or_default();
        pids.lines().map(|pid| pid.parse().unwrap()).collect()
    }

    /// Kills the process that was started last, and returns once it is gone.
    pub(crate) async fn kill_last(&self) {
        let pid = *self.started().last().unwrap();
        rustix::process::kill_process(raw(pid), rustix::process::Signal::KILL).unwrap();
        gone(pid).await;
    }

    /// The home directory of the processes.
    pub(crate) fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }
}

fn raw(pid: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// Waits until the process is gone.
pub(crate) async fn gone(pid: u32) {
    let wait = async {
        while rustix::process::test_kill_process(raw(pid)).is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    in_time("the end of a process", wait).await;
}

/// The data of an event, checked against the schema; `None` for a comment or the end.
fn validate_event(event: &str) -> Option<Value> {
    let data = event.strip_prefix("data: ").filter(|data| *data != "[DONE]")?;
    let json: Value = serde_json::from_str(data).unwrap();
    if json.get("error").is_some() {
        schema::assert_valid_error(&json);
    } else {
        schema::assert_valid_chunk(&json);
    }
    Some(json)
}

/// A streamed answer. Dropping it hangs up.
pub(crate) struct Events {
    pub(crate) headers: HeaderMap,
    body: Body,
    unread: String,
}

impl Events {
    /// The next chunk or error; `None` after the last one. Panics if the stream ends in any other way.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some(end) = self.unread.find("\n\n") {
                let event: String = self.unread.drain(..end + 2).collect();
                let event = event.trim_end();
                if event == "data: [DONE]" {
                    return None;
                }
                if let Some(json) = validate_event(event) {
                    return Some(json);
                }
            }
            let frame = in_time("a chunk", self.body.frame()).await?;
            self.unread.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
    }

    /// The next piece of the answer's text.
    pub(crate) async fn next_text(&mut self) -> String {
        loop {
            let chunk = self.next().await.expect("more text");
            match chunk["choices"][0]["delta"]["content"].as_str() {
                Some(text) if !text.is_empty() => return text.to_owned(),
                _ => {}
            }
        }
    }

    /// All that is left, put together.
    pub(crate) async fn whole(mut self) -> Whole {
        let mut whole = Whole { headers: std::mem::take(&mut self.headers), ..Whole::default() };
        while let Some(chunk) = self.next().await {
            whole.take(chunk);
        }
        whole
    }
}

/// A streamed answer, put together.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) headers: HeaderMap,
    pub(crate) content: String,
    pub(crate) reasoning: String,
    /// In the form that the next request sends back.
    pub(crate) calls: Vec<Value>,
    /// All that were sent.
    pub(crate) finish_reasons: Vec<String>,
    pub(crate) usage: Option<Value>,
    pub(crate) error: Option<Value>,
    pub(crate) model: String,
}

impl Whole {
    fn take(&mut self, mut chunk: Value) {
        assert!(self.error.is_none(), "a chunk after an error: {chunk}");
        if chunk.get("error").is_some() {
            self.error = Some(chunk["error"].take());
            return;
        }
        self.model = chunk["model"].as_str().unwrap().to_owned();
        if !chunk["usage"].is_null() {
            self.usage = Some(chunk["usage"].take());
        }
        let choice = &chunk["choices"][0];
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish_reasons.push(reason.to_owned());
        }
        self.content.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        self.reasoning.push_str(choice["delta"]["reasoning_content"].as_str().unwrap_or_default());
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap() as usize;
            if index == self.calls.len() {
                self.calls.push(json!({"id": call["id"], "type": "function",
                    "function": {"name": call["function"]["name"], "arguments": ""}}));
            }
            let arguments = &mut self.calls[index]["function"]["arguments"];
            *arguments = json!(
                arguments.as_str().unwrap().to_owned() + call["function"]["arguments"].as_str().unwrap_or_default()
            );
        }
    }
}

/// A request with these messages.
pub(crate) fn request(messages: Value) -> Value {
    json!({"model": "claude-opus-4", "messages": messages})
}

/// A request with one user message.
pub(crate) fn says(text: &str) -> Value {
    request(json!([{"role": "user", "content": text}]))
}

/// The text of a plain answer.
pub(crate) fn content(completion: &Value) -> &str {
    completion["choices"][0]["message"]["content"].as_str().unwrap_or_default()
}

/// The conversation in a request to the API: each turn's role and blocks, without what the CLI adds.
pub(crate) fn turns(upstream: &Value) -> Vec<(String, Value)> {
    let messages = upstream["messages"].as_array().unwrap().iter().filter(|message| message["role"] != "system");
    let turn = |message: &Value| {
        let mut blocks = match &message["content"] {
            Value::String(text) => vec![json!({"type": "text", "text": text})],
            blocks => blocks.as_array().unwrap().clone(),
        };
        for block in &mut blocks {
            block.as_object_mut().unwrap().remove("cache_control");
        }
        (message["role"].as_str().unwrap().to_owned(), Value::Array(blocks))
    };
    messages.map(turn).collect()
}

/// A turn that is nothing but this text.
pub(crate) fn turn(role: &str, text: &str) -> (String, Value) {
    (role.to_owned(), json!([{"type": "text", "text": text}]))
}
