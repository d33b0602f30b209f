//! The edge behind real servers, axum's and hyper's, on real sockets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tower::Service;
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::{ChatEvent, ErrorKind, EventStream, FinishReason};

use crate::support::answer::{Answer, body, post};
use crate::support::in_time;
use crate::support::turns::{Inner, finished, inner, refuses, response, says, text};

fn hello() -> Inner {
    says([text("Hello"), finished(FinishReason::Stop)])
}

fn assembled(inner: Inner) -> HttpStack<Inner> {
    HttpStack::new(ApiService::new(inner).models(["claude-opus-4"]), GuardLayer::new())
}

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An axum server.
async fn axum(router: axum::Router) -> SocketAddr {
    let (listener, address) = bind().await;
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// A hyper server.
async fn hyper<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (listener, address) = bind().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A client that hangs up is no failure of the server's.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn at(address: SocketAddr, path: &str, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    *request.uri_mut() = format!("http://{address}{path}").parse().unwrap();
    request
}

async fn start(address: SocketAddr, path: &str, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    in_time("the head", client.request(at(address, path, request))).await.unwrap()
}

async fn send(address: SocketAddr, path: &str, request: Request<Full<Bytes>>) -> Answer {
    Answer::of(start(address, path, request).await).await.validated()
}

fn plain() -> Request<Full<Bytes>> {
    post(&body(json!({})))
}

fn streamed() -> Request<Full<Bytes>> {
    post(&body(json!({"stream": true})))
}

/// Asks for a plain and a streamed answer and the models below this prefix.
async fn check(address: SocketAddr, prefix: &str) {
    let chat = format!("{prefix}/chat/completions");
    let answer = send(address, &chat, plain()).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello", "{prefix}");
    let chunks = send(address, &chat, streamed()).await.chunks();
    assert_eq!(chunks[1]["choices"][0]["delta"]["content"], "Hello");
    let models = send(address, &format!("{prefix}/models"), crate::support::answer::get("/")).await;
    assert_eq!(models.json()["data"][0]["id"], "claude-opus-4");
    assert_eq!(send(address, &chat, crate::support::answer::get("/")).await.status, 405);
}

#[tokio::test]
async fn it_mounts_in_axum_as_routes() {
    let service = ApiService::new(hello()).models(["claude-opus-4"]);
    let router = axum::Router::new()
        .route_service("/v1/chat/completions", service.clone())
        .route_service("/v1/models", service.clone())
        .route_service("/v1/models/{*id}", service);
    let address = axum(router).await;
    check(address, "/v1").await;
    let model = send(address, "/v1/models/claude-opus-4", crate::support::answer::get("/")).await;
    assert_eq!(model.json()["id"], "claude-opus-4");
}

#[tokio::test]
async fn it_mounts_in_axum_below_a_prefix() {
    let router = axum::Router::new()
        .route("/", axum::routing::get(|| async { "the application's own" }))
        .nest_service("/claude", assembled(hello()))
        .nest_service("/v1", assembled(hello()));
    let address = axum(router).await;
    for prefix in ["/v1", "/claude", "/claude/v1"] {
        check(address, prefix).await;
    }
    assert_eq!(send(address, "/claude/nowhere", crate::support::answer::get("/")).await.status, 404);
}

#[tokio::test]
async fn it_mounts_in_axum_as_the_fallback() {
    let address = axum(axum::Router::new().fallback_service(assembled(hello()))).await;
    check(address, "/v1").await;
    assert_eq!(send(address, "/health", crate::support::answer::get("/")).await.json()["status"], "ok");
}

#[tokio::test]
async fn hyper_serves_it_bare_and_assembled() {
    check(hyper(ApiService::new(hello()).models(["claude-opus-4"])).await, "/v1").await;
    check(hyper(assembled(hello())).await, "/v1").await;
}

#[tokio::test]
async fn each_answer_has_a_request_id_the_clients_own_if_it_sent_one() {
    let address = hyper(assembled(refuses(tower_claude::Error::new(ErrorKind::Billing, "No money.")))).await;
    let answer = send(address, "/v1/chat/completions", plain()).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-request-id").unwrap().len()), (402, 36));

    let mut request = plain();
    request.headers_mut().insert("x-request-id", "mine".parse().unwrap());
    assert_eq!(send(address, "/v1/chat/completions", request).await.header("x-request-id"), Some("mine"));
}

#[tokio::test]
async fn a_panic_is_a_500_in_openais_form() {
    let address = hyper(assembled(inner(|_| async { panic!("a fault of the test's") }))).await;
    let answer = send(address, "/v1/chat/completions", plain()).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (500, json!("internal_error")));
    assert!(answer.header("x-request-id").is_some());
    assert!(!answer.text().contains("a fault of the test's"));
}

#[tokio::test]
async fn the_assembled_stack_keeps_pages_out() {
    let address = hyper(assembled(hello())).await;
    for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let mut request = plain();
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = send(address, "/v1/chat/completions", request).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, json!("forbidden")), "{name}");
    }
}

/// A turn that says one word and then waits: the channel tells when it is dropped.
fn endless() -> (mpsc::Sender<()>, Inner) {
    let (alive, held) = mpsc::channel::<()>(1);
    let held = Arc::new(Mutex::new(Some(held)));
    let inner = inner(move |_| {
        let mut held = held.lock().unwrap().take().expect("one request");
        let silence = futures_util::stream::poll_fn(move |cx| held.poll_recv(cx).map(|_| None));
        let events = futures_util::stream::iter([Ok(text("one"))]).chain(silence);
        std::future::ready(Ok(response(EventStream::new(events))))
    });
    (alive, inner)
}

#[tokio::test]
async fn a_client_that_hangs_up_in_a_stream_ends_the_turn() {
    let (alive, inner) = endless();
    let address = hyper(assembled(inner)).await;
    let mut body = start(address, "/v1/chat/completions", streamed()).await.into_body();
    // The first word arrives although the answer goes on.
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(r#""content":"one""#) {
        seen.extend_from_slice(&in_time("the first word", body.frame()).await.unwrap().unwrap().into_data().unwrap());
    }
    drop(body);
    in_time("the end of the turn", alive.closed()).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_before_a_plain_answer_ends_the_turn() {
    let (alive, turn) = endless();
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let watched = inner(move |request| {
        begun.send(()).unwrap();
        let mut turn = turn.clone();
        async move { turn.call(request).await }
    });
    let address = axum(axum::Router::new().fallback_service(assembled(watched))).await;
    let waiting = tokio::spawn(send(address, "/v1/chat/completions", plain()));
    in_time("the turn", has_begun.recv()).await.unwrap();
    waiting.abort();
    in_time("the end of the turn", alive.closed()).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let address = hyper(HttpStack::new(ApiService::new(hello()).body_limit(1000), GuardLayer::new())).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    in_time("the answer", stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("request_too_large"), "{answer}");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_refused_when_it_passes_the_limit() {
    let address = hyper(HttpStack::new(ApiService::new(hello()).body_limit(1000), GuardLayer::new())).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}3e9\r\n{}\r\n", " ".repeat(0x3e9)).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    in_time("the answer", stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_head_request_on_a_socket_leaves_the_connection_usable() {
    let address = hyper(assembled(hello())).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let requests = "HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n\
                    GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut answers = String::new();
    in_time("the answers", stream.read_to_string(&mut answers)).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert!(answers.contains(r#"{"status":"ok","#), "{answers}");
}

#[tokio::test]
async fn a_slow_reader_slows_the_turn() {
    let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let (first, mut is_first) = mpsc::unbounded_channel();
    let inner = inner(move |_| {
        let (count, first) = (Arc::clone(&count), first.clone());
        let events = futures_util::stream::iter(0..100_000).map(move |n| {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if n == 0 {
                first.send(()).unwrap();
            }
            Ok(ChatEvent::TextDelta("x".repeat(1000)))
        });
        std::future::ready(Ok(response(EventStream::new(events))))
    });
    let address = hyper(assembled(inner)).await;
    let answer = start(address, "/v1/chat/completions", streamed()).await;
    in_time("the first event", is_first.recv()).await.unwrap();
    // Nobody reads. Whatever runs meanwhile, the 100 MB cannot all be made: they have nowhere to go.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(made.load(std::sync::atomic::Ordering::SeqCst) < 50_000);
    drop(answer);
}
