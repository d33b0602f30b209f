//! The server: how it listens, and how it ends. After a signal, answers may finish; a second signal cuts them off.
//!
//! | file | its idea |
//! |---|---|
//! | `connections` | all connections: how many there may be, and which one gives way |
//! | `connection` | one of them, from its first byte to its last |
//! | `bodies` | how far a request and its answer have come |
//! | `socket` | a client that does not read, or is gone |
//! | `linger` | a client that still sends when it is answered |
//! | `descriptors` | how many connections the system has room for |
//! | `signals` | SIGINT and SIGTERM |

mod bodies;
mod connection;
mod connections;
mod descriptors;
mod linger;
mod signals;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::MissedTickBehavior;
use tower::Service;

use self::bodies::Received;
use self::connections::Connections;
pub(crate) use self::descriptors::room_for_connections;
pub(crate) use self::signals::Signals;
use self::socket::Socket;
use crate::supervisor;

/// How long requests that have begun to arrive may take, once no new ones are accepted.
const UNFINISHED_REQUESTS: Duration = Duration::from_secs(5);

/// How often to look for clients that are gone without their connections' noticing.
const LOOK_FOR_HUNG_UP: Duration = Duration::from_secs(1);

/// How long to wait after accepting a connection has failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// How the server ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ended {
    /// All answers were given.
    Finished,
    /// Some were not.
    Cut,
}

/// What the operator has set.
pub(crate) struct Limits {
    /// The most connections at once.
    pub(crate) max_connections: usize,
    /// How long a client may leave an answer unread.
    pub(crate) unread_timeout: Duration,
    /// How long connections are still accepted after a signal, while `draining` is true.
    pub(crate) drain_delay: Duration,
    /// How long answers may go on after that.
    pub(crate) shutdown_timeout: Duration,
}

/// A server that listens.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
}

impl Server {
    /// Listens on the first of these addresses that can be listened on.
    pub(crate) async fn bind(addresses: &[SocketAddr], limits: Limits) -> Result<Self, String> {
        let bound = async {
            let listener = TcpListener::bind(addresses).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = bound.await.map_err(|error: io::Error| cannot_listen(addresses, &error))?;
        Ok(Server { listener, address, limits })
    }

    /// The address that it listens on, with the actual port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until a signal comes, sets `draining`, and continues until the answers that have begun are complete, within the
    /// limits.
    pub(crate) async fn run<S, B>(self, service: S, mut signals: Signals, draining: Arc<AtomicBool>) -> Ended
    where
        S: Service<Request<Received>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Server { listener, limits, .. } = self;
        let connections = Connections::new(limits.max_connections);
        tokio::spawn(look_for_hung_up(Arc::clone(&connections)));
        let shutdown = GracefulShutdown::new();
        let serving = async {
            loop {
                let (stream, client) = accept(&listener, &connections).await;
                let socket = Socket::new(stream, client);
                let entry = connections.add(Arc::clone(&socket)).await;
                tokio::spawn(connection::serve(
                    entry,
                    socket,
                    limits.unread_timeout,
                    service.clone(),
                    shutdown.watcher(),
                ));
            }
        };
        let signalled_again = tokio::select! {
            () = serving => false,
            again = drained_after(&mut signals, &draining, &limits) => again,
        };
        drop(listener);
        let mut finished = std::pin::pin!(shutdown.shutdown());
        if signalled_again {
            return cut(&connections, "signalled again");
        }
        // Polled once, it tells the connections, before the log says so.
        let is_over = tokio::select! {
            biased;
            () = &mut finished => true,
            () = std::future::ready(()) => false,
        };
        let limit = limits.shutdown_timeout;
        tracing::info!("shutting down: no new connections; answers may go on for {limit:?} (signal again to stop now)");
        if is_over {
            return Ended::Finished;
        }
        let finished = async {
            if tokio::time::timeout(UNFINISHED_REQUESTS.min(limit), &mut finished).await.is_err() {
                connections.close_without_answers();
                finished.await;
            }
        };
        tokio::select! {
            () = finished => Ended::Finished,
            () = tokio::time::sleep(limit) => cut(&connections, &format!("{limit:?} are over")),
            () = signals.next() => cut(&connections, "signalled again"),
        }
    }
}

/// Waits for a signal, and then for as long as load balancers have to notice. Returns whether a second signal came.
async fn drained_after(signals: &mut Signals, draining: &AtomicBool, limits: &Limits) -> bool {
    signals.next().await;
    let delay = limits.drain_delay;
    supervisor::ending(delay + limits.shutdown_timeout);
    draining.store(true, Ordering::Relaxed);
    if delay.is_zero() {
        return false;
    }
    tracing::info!("signalled: connections are taken for {delay:?} more (signal again to stop now)");
    tokio::time::timeout(delay, signals.next()).await.is_ok()
}

/// Ends at once, with what that cuts.
fn cut(connections: &Connections, why: &str) -> Ended {
    match connections.answers() {
        0 => Ended::Finished,
        answers => {
            tracing::warn!("{why}: answers that had not wholly gone and are cut: {answers}");
            Ended::Cut
        }
    }
}

async fn accept(listener: &TcpListener, connections: &Connections) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client is already gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Most likely the limit of open files is reached, so one connection gives way.
                tracing::warn!(%error, "cannot accept a connection");
                connections.close_oldest_idle();
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn look_for_hung_up(connections: Arc<Connections>) {
    let mut ticks = tokio::time::interval(LOOK_FOR_HUNG_UP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        connections.close_hung_up();
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
