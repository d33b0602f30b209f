//! [`ClaudeCli`], the inner service: a request in, a turn on a process, its events out.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue};
use tower::Service;

use super::config::{ClaudeCliBuilder, Config};
use super::conversation::{LiveConversation, Mismatch, PreparedRequest};
use super::pool::{Health, Leased, NotReady, Origin, Pool, Status};
use super::process::Version;
use super::prompt::{self, schema::Unwrap};
use super::turn::{NotBegun, Retry, Turn, TurnSpan};
use crate::chat::abilities::IGNORED_HEADER;
use crate::chat::size;
use crate::{ChatRequest, ChatResponse, Error, EventStream, blocking};

/// How often a turn is tried again because its process died before it reacted to the turn.
const OTHER_PROCESSES: usize = 3;

/// Says how the request got its process: `live`, `warm` or `cold`.
const PROCESS_HEADER: HeaderName = HeaderName::from_static("x-claude-process");

/// Names what Claude Code changed of the request's content on its way to the model.
const CHANGED_HEADER: HeaderName = HeaderName::from_static("x-changed-by-claude-code");

/// A tower service that answers chat requests through the Claude Code CLI.
///
/// It is always ready: a request waits for a process in its own future. That future resolves at the first sign of an
/// answer, so an earlier failure is an error of the call, and a later one is among its events. Clones share their
/// processes, which end when the last clone and the last response are gone.
///
/// It ignores `stop`, `n` and `stream`: [`ApiService`](crate::http::ApiService) handles those.
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
    /// Begins to configure one.
    pub fn builder() -> ClaudeCliBuilder {
        ClaudeCliBuilder::default()
    }

    pub(crate) fn new(config: Config) -> Self {
        ClaudeCli { pool: Pool::new(config) }
    }

    /// The CLI's version. Runs `claude --version` once.
    ///
    /// # Errors
    /// Where the CLI is missing or too old; the error says what to do.
    pub async fn version(&self) -> Result<Version, Error> {
        self.pool.version().await.copied()
    }

    /// Starts the warm processes now, rather than with the first request. Must be called in a tokio runtime.
    pub fn warm_up(&self) {
        self.pool.start();
    }

    /// Whether a request would be answered soon, for [`ApiService::ready`](crate::http::ApiService::ready): not while the first
    /// warm process is being started ([`warm_up`](Self::warm_up)), while processes fail to start, or with the queue full.
    pub fn ready(&self) -> Result<(), NotReady> {
        self.pool.ready()
    }

    /// The state of the processes and the queue, and what is known about the subscription, for `GET /health`.
    pub fn health(&self) -> Health {
        self.pool.health()
    }

    /// The same in full, for operators: with each conversation held, and counts of what has happened so far.
    pub fn status(&self) -> Status {
        self.pool.status()
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
    let mut span = TurnSpan::start();
    let mut request = blocking::run(size::of(&request), move || {
        prompt::check(&request.messages)?;
        Ok::<_, Error>(Box::new(PreparedRequest::of(request)))
    })
    .await??;
    if pool.config().refuse_overage {
        pool.subscription().refuse_overage()?;
    }
    let (wraps, drops_format) = (request.setup.wraps, request.setup.drops_format);
    let mut tries = 0;
    loop {
        request.never_ends_turns = pool.never_ends_turns();
        let lifetime = pool.cache_lifetime().get();
        let (lease, live) = match pool.lease_live(|live| live.is_continued_by_client(&request, lifetime)) {
            Some(leased) => leased,
            None => {
                // Boxed, since most requests do not come here, and it is larger than all else that they wait in.
                let leased = Box::pin(lease(&pool, request)).await?;
                request = leased.1;
                leased.0
            }
        };
        let queued = span.leased(&lease);
        let (origin, pid) = (lease.origin, lease.pooled.process.pid);
        match Turn::begin(pool.clone(), lease, live, request, span).await {
            Ok(turn) => {
                let model = turn.model().to_owned();
                let format = drops_format.then_some("response_format");
                let ignored = turn.ignored().iter().copied().chain(format).collect::<Vec<_>>().join(", ");
                let names = [(IGNORED_HEADER, ignored), (CHANGED_HEADER, turn.changed().join(", "))];
                let mut response = ChatResponse::new(model, EventStream::new(turn.into_events()));
                if wraps {
                    response = response.translate(Unwrap::default());
                }
                response.queued = Some(queued);
                response.headers.insert(PROCESS_HEADER, HeaderValue::from_static(origin.as_str()));
                pool.subscription().headers(&mut response.headers);
                for (header, names) in names {
                    if let (false, Ok(names)) = (names.is_empty(), HeaderValue::try_from(&names)) {
                        response.headers.insert(header, names);
                    }
                }
                return Ok(response);
            }
            Err(NotBegun { error, retry: Some(retry), request: back, span: its })
                // A process that was started for this request and died at once would do so again.
                if tries < OTHER_PROCESSES && !(retry == Retry::ProcessDied && origin == Origin::Cold) =>
            {
                match retry {
                    Retry::ProcessDied => {
                        tracing::info!(pid, "a claude process had died between turns; another takes the turn");
                    }
                    Retry::MarksRefused => {
                        tracing::warn!(pid, %error, "the API refused marks for the prompt cache; tried without them");
                    }
                    Retry::OutOfStep => tracing::warn!(pid, %error, "another claude process takes the turn"),
                }
                tries += 1;
                (request, span) = (back, its);
            }
            Err(failed) => return Err(failed.error),
        }
    }
}

/// A process for a request that no process is known to wait for: one that holds its messages as they arrive, else another, for
/// which they are replayed.
async fn lease(pool: &Pool, mut request: Box<PreparedRequest>) -> Result<(Leased, Box<PreparedRequest>), Error> {
    let request = blocking::run(size::of_messages(&request.messages), move || {
        request.digest();
        request
    })
    .await?;
    let mut closest = None;
    let lifetime = pool.cache_lifetime().get();
    let continues = |live: &LiveConversation| match live.continues(&request, lifetime) {
        Ok(()) => true,
        Err(mismatch) => {
            if closest.as_ref().is_none_or(|closest: &Mismatch| closest.closeness() <= mismatch.closeness()) {
                closest = Some(mismatch);
            }
            false
        }
    };
    let leased = pool.lease(&request.caller, continues).await?;
    if leased.1.is_none() && request.has_history() {
        pool.replayed(closest.map_or("none_held", |mismatch| mismatch.reason()));
        log_why_not_live(closest);
        if closest.is_some_and(|mismatch| mismatch.is_final()) {
            pool.end_live(|live| live.continues(&request, lifetime).is_err_and(|mismatch| mismatch.is_final()));
        }
    }
    Ok((leased, request))
}

/// Logs why a conversation is replayed: how it differs from the closest one that a process holds.
fn log_why_not_live(closest: Option<Mismatch>) {
    match closest {
        Some(mismatch) => tracing::debug!(%mismatch, "no process holds this conversation; it is replayed"),
        None => tracing::debug!("no process holds any conversation; this one is replayed"),
    }
}
