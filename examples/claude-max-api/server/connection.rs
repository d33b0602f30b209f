//! One connection, from its first byte to its last.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use super::bodies::{Received, Sent};
use super::connections::{Entry, Stage};
use super::linger::linger;
use super::socket::{Io, Socket};

/// How long a connection may be silent between requests, or within a request's head.
const IDLE_CONNECTION: Duration = Duration::from_secs(90);

/// The most that hyper reads at once, and so the longest head of a request. A connection keeps as much memory while its answer
/// comes, if its request was that long.
const MAX_READ: usize = 64 * 1024;

/// Serves a connection until either side ends it, or until it is idle once the server shuts down.
pub(super) async fn serve<S, B>(
    entry: Entry,
    socket: Arc<Socket>,
    unread_timeout: Duration,
    service: S,
    shutdown: Watcher,
) where
    S: Service<Request<Received>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let entry = Arc::new(entry);
    let served = service_fn({
        let entry = Arc::clone(&entry);
        move |request| answer(service.clone(), Arc::clone(&entry), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_CONNECTION)
        .max_buf_size(MAX_READ)
        .serve_connection(TokioIo::new(Io::new(Arc::clone(&socket), unread_timeout)), served);
    // The shutdown waits for this until it is dropped, at the end.
    let mut connection = std::pin::pin!(shutdown.watch(connection));
    let ended = tokio::select! {
        () = entry.connection().told_to_close() => return,
        ended = &mut connection => ended,
    };
    if let Err(error) = &ended {
        tracing::debug!(%error, "a connection ended early");
    }
    let refused = ended.is_err_and(|error| error.is_parse());
    if refused || entry.connection().stage() == Stage::Receiving {
        entry.set(Stage::Idle(Instant::now()));
        tokio::select! {
            () = linger(&socket) => {}
            () = entry.connection().told_to_close() => {}
        }
    }
}

/// Answers one request, and keeps track of how far it is.
async fn answer<S, B>(service: S, entry: Arc<Entry>, request: Request<Incoming>) -> Result<Response<Sent<B>>, S::Error>
where
    S: Service<Request<Received>, Response = Response<B>>,
{
    let whole = http_body::Body::is_end_stream(request.body());
    entry.set(if whole { Stage::Answering } else { Stage::Receiving });
    let request = request.map(|body| Received::new(body, Arc::clone(&entry)));
    let mut response = service.oneshot(request).await?;
    if entry.connection().stage() == Stage::Receiving {
        // The rest of the request is not read, so no other can follow it.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Sent::new(body, entry)))
}
