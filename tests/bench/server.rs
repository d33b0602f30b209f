//! The proxy as the reference binary serves it, on a port that the system picks.

use std::error::Error;
use std::net::SocketAddr;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::Layer;
use tower_claude::cli::ClaudeCli;
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::layers;

/// A running server; it ends with the value, and its processes with it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts the processes that are kept warm, and serves.
    pub(crate) async fn start(claude: ClaudeCli) -> Server {
        claude.warm_up();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = claude.clone();
        let service = ApiService::new(layers::OpenClawLayer::new().layer(claude))
            .abilities(ClaudeCli::abilities())
            .health(move || health.health());
        let service = TowerToHyperService::new(HttpStack::new(service, GuardLayer::new()));
        Server { address, task: tokio::spawn(serve(listener, move || service.clone())) }
    }
}

/// Serves each connection with a service of its own.
pub(crate) async fn serve<S, B>(listener: TcpListener, service: impl Fn() -> S)
where
    S: HttpService<Incoming, ResBody = B, Error: Into<Box<dyn Error + Send + Sync>>, Future: Send> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let mut running = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let service = service();
        running.spawn(async move {
            drop(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await);
        });
        while running.try_join_next().is_some() {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
