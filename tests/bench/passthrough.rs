//! The least that HTTP can cost before a CLI: hyper, and a process whose lines go through as they are, in and out. What the
//! proxy takes beyond that is its own, and that its requests hold the whole conversation, where a process is told the last
//! message alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use memchr::memmem;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::bare::{self, Bare};
use super::client;
use super::server;

/// Serves on a port that the system picks, with a process for each connection.
pub(crate) async fn start(program: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server::serve(listener, move || {
        let process = Arc::new(Mutex::new(Bare::start(&program, &[])));
        service_fn(move |request| answer(Arc::clone(&process), request))
    }));
    address
}

async fn answer(
    process: Arc<Mutex<Bare>>,
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = hyper::Error>>, hyper::Error> {
    let lines = request.into_body().collect().await?.to_bytes();
    let mut process = process.lock_owned().await;
    process.write(&lines).await;
    Ok(Response::new(StreamBody::new(stream::unfold(Some(process), more))))
}

async fn more(
    process: Option<OwnedMutexGuard<Bare>>,
) -> Option<(Result<Frame<Bytes>, hyper::Error>, Option<OwnedMutexGuard<Bare>>)> {
    let mut process = process?;
    let (read, ended) = process.read().await;
    Some((Ok(Frame::data(read)), (!ended).then_some(process)))
}

/// A connection, and so a process.
pub(crate) struct Passthrough {
    connection: SendRequest<Full<Bytes>>,
}

impl Passthrough {
    pub(crate) async fn open(server: SocketAddr) -> Passthrough {
        let mut this = Passthrough { connection: client::connect(server).await };
        let (_, answer) = this.say([bare::setup("opus", "Terse.", None), bare::user("hello")].concat()).await;
        this.finish(answer).await;
        this
    }

    /// Sends these lines and waits for the first text of the answer.
    pub(crate) async fn say(&mut self, lines: Vec<u8>) -> (Duration, Incoming) {
        self.connection.ready().await.unwrap();
        let request = Request::post("/").header(http::header::HOST, "localhost").body(Full::from(lines)).unwrap();
        let began = Instant::now();
        let mut answer = self.connection.send_request(request).await.unwrap().into_body();
        let mut received = Vec::new();
        while memmem::find(&received, b"\"type\":\"text_delta\"").is_none() {
            received.extend_from_slice(answer.frame().await.unwrap().unwrap().data_ref().unwrap());
        }
        (began.elapsed(), answer)
    }

    /// Reads to the end of the turn.
    pub(crate) async fn finish(&mut self, mut answer: Incoming) {
        while let Some(frame) = answer.frame().await {
            frame.unwrap();
        }
    }
}
