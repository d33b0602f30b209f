//! Nobody who observes the end of an answer keeps its client waiting.

#[path = "../../../examples/claude-max-api/server/bodies.rs"]
mod bodies;
#[path = "../../../examples/claude-max-api/server/connection.rs"]
mod connection;
#[path = "../../../examples/claude-max-api/server/connections.rs"]
#[allow(dead_code, reason = "the server also limits them and drains them")]
mod connections;
#[path = "../../../examples/claude-max-api/server/linger.rs"]
mod linger;
#[path = "../../../examples/claude-max-api/server/socket.rs"]
#[allow(dead_code, reason = "the server also looks for clients that are gone")]
mod socket;

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use tokio::sync::watch;
use tower::service_fn;

use self::bodies::Received;
use self::connections::Connections;
use self::socket::Socket;
use super::repoll::repolled as repoll;

/// An answer of two pieces. When it is dropped, it reads what its client has been sent.
struct Answer {
    pieces: Vec<&'static str>,
    client: Arc<TcpStream>,
    sent: Sender<String>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.pieces.pop().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut sent = Vec::new();
        let mut some = [0; 1024];
        while !sent.ends_with(b"0\r\n\r\n") {
            // Nothing more comes while this waits, since nothing else runs.
            let Ok(count @ 1..) = (&*self.client).read(&mut some) else { break };
            sent.extend_from_slice(&some[..count]);
        }
        self.sent.send(String::from_utf8(sent).unwrap()).unwrap();
    }
}

#[tokio::test]
async fn an_answer_has_gone_to_its_client_when_its_end_is_observed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (stream, address) = listener.accept().await.unwrap();
    let socket = Socket::new(stream, address);
    let connections = Connections::new(1);
    let entry = connections.add(socket.clone()).await;
    let (sent, told) = channel();
    let observed = Arc::new(client.try_clone().unwrap());
    let service = service_fn(move |_: Request<Received>| {
        let pieces = vec!["last", "first, "];
        let answer = Answer { pieces, client: observed.clone(), sent: sent.clone() };
        std::future::ready(Ok::<_, Infallible>(Response::new(answer)))
    });

    client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let (_drain, drained) = watch::channel(false);
    connection::serve(entry, socket, Duration::from_secs(60), service, drained).await;

    let sent = told.try_recv().unwrap();
    assert!(sent.starts_with("HTTP/1.1 200 OK\r\n") && sent.contains("first, ") && sent.contains("last"), "{sent}");
    assert!(told.try_recv().is_err(), "its end was observed more than once");
}
