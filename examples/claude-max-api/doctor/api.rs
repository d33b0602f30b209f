//! A Messages API on loopback with scripted answers, so that Claude Code can be tested without an account.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// A scripted answer of the API.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A text in these deltas, and its stop reason.
    Text(&'static [&'static str], &'static str),
    /// A call of the tool whose name ends with the first string; the second is its input.
    Call(&'static str, &'static str),
    /// One delta, then silence: the answer never ends.
    Unfinished,
    /// An error with this status.
    Fails(u16),
}

/// A running API. Dropping it stops it.
pub(super) struct Api {
    address: SocketAddr,
    state: Arc<State>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct State {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Value>>,
    hung_up: watch::Sender<usize>,
}

impl Api {
    pub(super) async fn start() -> io::Result<Api> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::<State>::default();
        let served = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&served);
                tokio::spawn(async move {
                    let service = service_fn(move |request| serve(Arc::clone(&state), request));
                    let connection =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    let _ = connection.await;
                });
            }
        });
        Ok(Api { address, state, server })
    }

    /// The value for `ANTHROPIC_BASE_URL`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Queues an answer for the next request that has none yet.
    pub(super) fn will(&self, answer: Answer) {
        lock(&self.state.answers).push_back(answer);
    }

    /// The bodies of the requests for a message, oldest first.
    pub(super) fn asked(&self) -> Vec<Value> {
        lock(&self.state.asked).clone()
    }

    /// Waits until this many clients have hung up before the end of their answer.
    pub(super) async fn until_hung_up(&self, times: usize) {
        // Cannot fail: the sender lives as long as `self`.
        let _ = self.state.hung_up.subscribe().wait_for(|hung_up| *hung_up >= times).await;
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Body = BoxBody<Bytes, io::Error>;

async fn serve(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let is_message = request.method() == Method::POST && request.uri().path() == "/v1/messages";
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let Some(body) = serde_json::from_slice::<Value>(&body).ok().filter(|_| is_message) else {
        return Ok(whole(200, &json!({})));
    };
    // Claude Code probes a model with `max_tokens` 1 before it uses it.
    let answer = if body["max_tokens"] == 1 {
        Answer::Text(&["ok"], "end_turn")
    } else {
        let answer = lock(&state.answers).pop_front().unwrap_or(Answer::Text(&["ok"], "end_turn"));
        lock(&state.asked).push(body.clone());
        answer
    };
    if let Answer::Fails(status) = answer {
        let kind = if status == 429 { "rate_limit_error" } else { "api_error" };
        return Ok(whole(status, &json!({"type": "error", "error": {"type": kind, "message": "a failure to see"}})));
    }
    let events = events(&answer, &body);
    let unfinished = matches!(answer, Answer::Unfinished);
    let (send, mut receive) = mpsc::channel(1);
    tokio::spawn(async move {
        for event in events {
            let text = format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default());
            if send.send(Ok(Frame::data(Bytes::from(text)))).await.is_err() {
                break;
            }
            // Without a gap, deltas arrive together, and the check could not tell whether they are forwarded one by one.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if unfinished {
            send.closed().await;
            state.hung_up.send_modify(|hung_up| *hung_up += 1);
        }
    });
    let frames = futures_util::stream::poll_fn(move |context| receive.poll_recv(context));
    let mut response = Response::new(StreamBody::new(frames).boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn whole(status: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::from(value.to_string()).map_err(|never| match never {}).boxed());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    // Claude Code retries unless this header forbids it, which would only slow the check down.
    response.headers_mut().insert("x-should-retry", header::HeaderValue::from_static("false"));
    response
}

fn events(answer: &Answer, request: &Value) -> Vec<Value> {
    let (start, deltas, stop) = match *answer {
        Answer::Text(texts, stop) => {
            let deltas = texts.iter().map(|text| json!({"type": "text_delta", "text": text})).collect();
            (json!({"type": "text", "text": ""}), deltas, Some(stop))
        }
        Answer::Call(name, input) => {
            let tools = request["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names = tools.iter().filter_map(|tool| tool["name"].as_str());
            let name = names.clone().find(|full| full.ends_with(name)).unwrap_or(name);
            let start = json!({"type": "tool_use", "id": "toolu_doctor", "name": name, "input": {}});
            (start, vec![json!({"type": "input_json_delta", "partial_json": input})], Some("tool_use"))
        }
        Answer::Unfinished | Answer::Fails(_) => {
            let deltas = vec![json!({"type": "text_delta", "text": "begun"})];
            (json!({"type": "text", "text": ""}), deltas, None)
        }
    };
    let usage =
        json!({"input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1});
    let message = json!({"id": "msg_doctor", "type": "message", "role": "assistant", "model": request["model"],
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage});
    let mut events = vec![
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": start}),
    ];
    events.extend(
        deltas.into_iter().map(|delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta})),
    );
    if let Some(stop) = stop {
        let delta = json!({"stop_reason": stop, "stop_sequence": null});
        events.push(json!({"type": "content_block_stop", "index": 0}));
        events.push(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}}));
        events.push(json!({"type": "message_stop"}));
    }
    events
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
