//! Connections, and how they end: a signal lets answers finish, a second one does not.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tower::Service;

/// How long a connection may be silent between requests, or with a request's head half sent.
const IDLE_CONNECTION: Duration = Duration::from_secs(90);

/// SIGINT and SIGTERM, caught.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on neither ends this program by itself.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// How the server came to its end.
pub(crate) enum Ended {
    /// All answers were given.
    Finished,
    /// Some were not.
    Cut,
}

/// A server that listens.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on the first of these addresses that can be listened on.
    pub(crate) async fn bind(addresses: &[SocketAddr]) -> Result<Self, String> {
        let bound = async {
            let listener = TcpListener::bind(addresses).await?;
            let address = listener.local_addr()?;
            Ok(Server { listener, address })
        };
        bound.await.map_err(|error: io::Error| cannot_listen(addresses, &error))
    }

    /// Where it listens, with the port that it was given where any would do.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until a signal comes, and then until the answers that have begun are complete, for `limit` at most.
    pub(crate) async fn run<S, B>(self, service: S, mut signals: Signals, limit: Duration) -> Ended
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let connections = GracefulShutdown::new();
        loop {
            let stream = tokio::select! {
                stream = accept(&self.listener) => stream,
                () = signals.next() => break,
            };
            // The deltas of a stream are small, and each is to leave at once.
            let _ = stream.set_nodelay(true);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE_CONNECTION)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service.clone()));
            let connection = connections.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
        drop(self.listener);
        tracing::info!("shutting down: no new connections; answers may go on for {limit:?} (signal again to stop now)");
        tokio::select! {
            () = connections.shutdown() => Ended::Finished,
            () = tokio::time::sleep(limit) => {
                tracing::warn!("some answers took longer than {limit:?} to finish, and are cut");
                Ended::Cut
            }
            () = signals.next() => {
                tracing::warn!("signalled again: answers are cut");
                Ended::Cut
            }
        }
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // A client that is gone again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Most likely this process has as many files open as it may: that passes.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn cannot_listen(addresses: &[SocketAddr], error: &io::Error) -> String {
    let wanted: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "Another program listens there, perhaps another claude-max-api: stop that, or take another port with --port"
        }
        io::ErrorKind::PermissionDenied => "Ports below 1024 are for root: take another with --port",
        io::ErrorKind::AddrNotAvailable => "--host must be an address of this machine: 127.0.0.1, or 0.0.0.0 for all",
        _ => "Choose another with --host and --port",
    };
    format!("Cannot listen on {}: {error}. {advice}.", wanted.join(" or "))
}
