//! The proxy with the OpenClaw preset on a port of its own, over the real CLI, writing down what it is asked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::TcpListener;
use tower::{Layer, ServiceBuilder};
use tower_claude::ChatRequest;
use tower_claude::cli::{ClaudeCli, ClaudeCliBuilder};
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::layers::OpenClawLayer;

use crate::support::claude_bin;
use crate::support::messages_api::MessagesApi;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) api: MessagesApi,
    pub(crate) claude: ClaudeCli,
    /// The requests as OpenClaw made them.
    pub(crate) requests: Arc<Mutex<Vec<ChatRequest>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Over the real CLI, if it is there.
    pub(crate) async fn start(
        preset: OpenClawLayer,
        home: &Path,
        configure: impl FnOnce(ClaudeCliBuilder) -> ClaudeCliBuilder,
    ) -> Option<Server> {
        let program = claude_bin::real_cli()?;
        let api = MessagesApi::start().await;
        let builder = ClaudeCli::builder()
            .program(program)
            .env("HOME", home)
            .env("ANTHROPIC_BASE_URL", api.url())
            .env("ANTHROPIC_API_KEY", "test-key")
            .env("DISABLE_TELEMETRY", "1")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            // So that the client sees each failure of the API's.
            .upstream_retries(0);
        let claude = configure(builder).build();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&requests);
        let write_down = move |request: ChatRequest| {
            written.lock().unwrap().push(request.clone());
            request
        };
        let stack = ServiceBuilder::new().map_request(write_down).service(preset.layer(claude.clone()));
        let service = HttpStack::new(ApiService::new(stack).abilities(ClaudeCli::abilities()), GuardLayer::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Some(Server { address, api, claude, requests, task })
    }

    /// How many requests came by their process in this way: `live`, `warm` or `cold`.
    pub(crate) fn served(&self, origin: &str) -> u64 {
        serde_json::to_value(self.claude.health().requests).unwrap()[origin].as_u64().unwrap()
    }

    /// How many requests OpenClaw has made.
    pub(crate) fn asked(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The model's last request, as the API got it: its blocks of this type.
    pub(crate) fn blocks(&self, kind: &str) -> Vec<Value> {
        let requests = self.api.requests();
        let messages = requests.last().unwrap()["messages"].as_array().unwrap();
        let blocks = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
        blocks.filter(|block| block["type"] == kind).cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
