//! The proxy in agent mode, over the real CLI, in a scratch workspace.

use std::path::{Path, PathBuf};

use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_claude::cli::ClaudeCli;
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::layers::{self, OpenClaw};

use crate::support::claude_bin;
use crate::support::in_time;
use crate::support::messages_api::MessagesApi;

pub(crate) const TOOLS: [&str; 6] = ["Bash", "Read", "Edit", "Write", "Glob", "Grep"];

pub(crate) const CONTEXT: &str = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nnone\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>";

pub(crate) const PROMPT: &str = "You are a personal assistant running inside OpenClaw.\n## Tooling\n- exec: Run a command\n\
                      ## Safety\nStop when told to.";

pub(crate) struct Server {
    pub(crate) api: MessagesApi,
    pub(crate) claude: ClaudeCli,
    proxy: HttpStack<OpenClaw<ClaudeCli>>,
    directory: tempfile::TempDir,
}

impl Server {
    /// Over the real CLI, if it is there.
    pub(crate) async fn start() -> Option<Server> {
        Server::with_tools(&TOOLS).await
    }

    /// Over the real CLI, if it is there, with these of its tools.
    pub(crate) async fn with_tools(tools: &[&str]) -> Option<Server> {
        let program = claude_bin::real_cli()?;
        let api = MessagesApi::start().await;
        let directory = tempfile::tempdir().unwrap();
        let outer = directory.path().canonicalize().unwrap();
        let (workspace, home) = (outer.join("ws"), outer.join("home"));
        std::fs::create_dir_all(workspace.join("sub")).unwrap();
        std::fs::create_dir_all(&home).unwrap();
        let claude = ClaudeCli::builder()
            .program(program)
            .env("HOME", &home)
            .env("ANTHROPIC_BASE_URL", api.url())
            .env("ANTHROPIC_API_KEY", "test-key")
            .env("DISABLE_TELEMETRY", "1")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .workspace(&workspace)
            .builtin_tools(tools.iter().copied())
            .build();
        let stack = layers::OpenClawLayer::new().agent(tools.iter().copied()).show_tools(true).layer(claude.clone());
        let proxy =
            HttpStack::new(ApiService::new(stack).abilities(ClaudeCli::abilities_with(tools)), GuardLayer::new());
        Some(Server { api, claude, proxy, directory })
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.outside("ws")
    }

    /// A path beside the workspace.
    pub(crate) fn outside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(path)
    }

    /// The answer's message, `finish_reason`, and `x-claude-process`.
    pub(crate) async fn answer(&self, request: &Value) -> (Value, String, String) {
        let body = Full::<bytes::Bytes>::from(request.to_string());
        let http = Request::post("/v1/chat/completions").header("content-type", "application/json").body(body).unwrap();
        let answer = async {
            let response = self.proxy.clone().oneshot(http).await.unwrap();
            let process = response.headers().get("x-claude-process").map(|value| value.to_str().unwrap().to_owned());
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            (process, serde_json::from_slice::<Value>(&bytes).unwrap())
        };
        let (process, mut body) = in_time("the answer", answer).await;
        assert!(body["error"].is_null(), "{body}");
        let choice = body["choices"][0].take();
        let reason = choice["finish_reason"].as_str().unwrap().to_owned();
        (choice["message"].clone(), reason, process.unwrap())
    }

    /// The answer to a request of the Messages API.
    pub(crate) async fn message(&self, request: &Value) -> Value {
        let body = Full::<bytes::Bytes>::from(request.to_string());
        let http = Request::post("/v1/messages").header("content-type", "application/json").body(body).unwrap();
        let answer = async {
            let response = self.proxy.clone().oneshot(http).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        };
        serde_json::from_slice(&in_time("the answer", answer).await).unwrap()
    }

    /// A turn of OpenClaw's with this text.
    pub(crate) async fn ask(&self, text: &str) -> (Value, String, String) {
        self.answer(&request(&[json!({"role": "user", "content": text})])).await
    }

    /// The ids of the uses that the model has made, in their order.
    pub(crate) fn last_uses(&self) -> Vec<Value> {
        let requests = self.api.requests();
        let messages = requests.last().unwrap()["messages"].as_array().unwrap().clone();
        let blocks = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
        blocks.filter(|block| block["type"] == "tool_use").map(|block| block["id"].clone()).collect()
    }

    /// What the model was told of the tools' work: the results in the last message that it was sent.
    pub(crate) fn last_results(&self) -> Vec<Value> {
        let requests = self.api.requests();
        let messages = requests.last().unwrap()["messages"].as_array().unwrap().clone();
        let blocks = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
        blocks.filter(|block| block["type"] == "tool_result").cloned().collect()
    }
}

/// A request as OpenClaw makes it, with some of its functions.
pub(crate) fn request(conversation: &[Value]) -> Value {
    let mut messages = vec![json!({"role": "system", "content": PROMPT})];
    messages.extend_from_slice(conversation);
    messages.push(json!({"role": "user", "content": [{"type": "text", "text": CONTEXT}]}));
    let function = |name: &str| {
        let parameters = json!({"type": "object", "properties": {}, "additionalProperties": true});
        json!({"type": "function", "function": {"name": name, "description": "Does it.", "parameters": parameters}})
    };
    let tools: Vec<Value> = ["exec", "message", "process", "read"].map(function).to_vec();
    json!({"model": "claude-sonnet-4", "messages": messages, "tools": tools, "tool_choice": "auto",
        "max_completion_tokens": 8192})
}
