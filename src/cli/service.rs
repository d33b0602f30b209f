//! [`ClaudeCli`], the inner service: a request in, a turn on a process, its events out.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue};
use tower::Service;

use super::config::{ClaudeCliBuilder, Config};
use super::conversation::Asked;
use super::pool::{Health, Origin, Pool};
use super::process::Version;
use super::prompt;
use super::turn::{Turn, Watch};
use crate::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream};

/// How often a turn is tried again because its process had died before it heard of the turn.
const OTHER_PROCESSES: usize = 3;

/// Says how the request came by its process: `live`, `warm` or `cold`.
const PROCESS_HEADER: HeaderName = HeaderName::from_static("x-claude-process");

/// A tower service that answers chat requests through the Claude Code CLI.
///
/// It is always ready: a request waits for a process in its own future. That future resolves at the first sign of an
/// answer, so whatever fails before is an error of the call, not of its events. Clones share their processes, which end
/// when the last clone and the last response are gone.
///
/// `stop`, `n` and `stream` are not its business: [`ApiService`](crate::http::ApiService) sees to them.
///
/// ```no_run
/// use tower::ServiceExt;
/// use tower_claude::ChatRequest;
/// use tower_claude::cli::ClaudeCli;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let claude = ClaudeCli::builder().warm_processes(2).build();
/// let json = r#"{"model": "sonnet", "messages": [{"role": "user", "content": "hello"}]}"#;
/// let response = claude.oneshot(serde_json::from_str::<ChatRequest>(json)?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ClaudeCli {
    pool: Pool,
}

impl ClaudeCli {
    /// Configures one.
    pub fn builder() -> ClaudeCliBuilder {
        ClaudeCliBuilder::default()
    }

    pub(crate) fn new(config: Config) -> Self {
        ClaudeCli { pool: Pool::new(config) }
    }

    /// The CLI's version; an error that says what to do where it is missing or too old. Runs `claude --version` once.
    pub async fn version(&self) -> Result<Version, Error> {
        self.pool.version().await.copied()
    }

    /// Starts the warm processes now, rather than with the first request. Must be called in a tokio runtime.
    pub fn warm_up(&self) {
        self.pool.start();
    }

    /// The state of the processes and the queue, and what is known of the subscription, for `GET /health`.
    pub fn health(&self) -> Health {
        self.pool.health()
    }
}

impl Default for ClaudeCli {
    fn default() -> Self {
        ClaudeCli::builder().build()
    }
}

impl Service<ChatRequest> for ClaudeCli {
    type Response = ChatResponse;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<ChatResponse, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ChatRequest) -> Self::Future {
        Box::pin(answer(self.pool.clone(), request))
    }
}

async fn answer(pool: Pool, request: ChatRequest) -> Result<ChatResponse, Error> {
    prompt::check(&request.messages)?;
    let watch = Watch::start();
    let mut asked = Box::new(Asked::of(request));
    let mut tries = 0;
    loop {
        let (lease, held) = pool.lease(&asked.caller, |held| held.fits(&asked)).await?;
        watch.leased(&lease);
        let (origin, pid) = (lease.origin, lease.pooled.process.pid);
        match Turn::begin(pool.clone(), lease, held, asked).await {
            Ok(turn) => {
                let model = turn.model().to_owned();
                let mut response = ChatResponse::new(model, EventStream::new(events(turn, watch)));
                response.headers.insert(PROCESS_HEADER, HeaderValue::from_static(origin.as_str()));
                pool.subscription().headers(&mut response.headers);
                return Ok(response);
            }
            // A process of its own that dies at once would do so again.
            Err(failed) if failed.dead && origin != Origin::Cold && tries < OTHER_PROCESSES => {
                tracing::info!(pid, "a claude process had died between turns; another takes the turn");
                tries += 1;
                asked = failed.asked;
            }
            Err(failed) => return Err(failed.error),
        }
    }
}

fn events(turn: Box<Turn>, watch: Watch) -> impl futures_core::Stream<Item = Result<ChatEvent, Error>> {
    futures_util::stream::unfold((turn, watch), |(mut turn, mut watch)| async move {
        let event = turn.next().await?;
        if let Ok(event) = &event
            && watch.heard(event)
        {
            turn.first_token();
        }
        Some((event, (turn, watch)))
    })
}
