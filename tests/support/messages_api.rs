//! A loopback stand-in for the Anthropic Messages API, so that the real CLI runs offline.
//!
//! The last user turn picks the answer: "echo: " and its text, or what a directive in double square brackets asks for.
//! The directives are the stand-in CLI's where both make sense: `tool NAME {json} ;; NAME {json}`, `json {json}`,
//! `think`, `ponder DIRECTIVE` (thinking and redacted thinking, then the directive), `cite TEXT`, `pause`, `window`,
//! `blocks A|B|C`, `end REASON DIRECTIVE`, `fallback DIRECTIVE`, `nothing`, `count N`, `slow MS DIRECTIVE`, `big N`, `long`, `refusal`, `silence`, `overflow`, `limits`,
//! `usage-limit`, `overage`, `extra-usage`. Its own: `fail CODE [no-retry] [HEADER=VALUE]...`, and `drop`, which cuts the
//! connection after a delta.
//! A model whose name contains "nonexistent" does not exist. What the API would refuse is refused: `api_rules`, `marks`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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

use super::pretend_model::{Answer, Block, Message};
use super::{api_rules, marks};

type Body = BoxBody<Bytes, std::io::Error>;

/// A running server. Dropping it stops it.
pub(crate) struct MessagesApi {
    address: SocketAddr,
    state: Arc<State>,
    server: tokio::task::JoinHandle<()>,
}

struct State {
    requests: watch::Sender<Vec<Value>>,
    probes: watch::Sender<Vec<Value>>,
    hung_up: watch::Sender<usize>,
    served: AtomicU64,
    first_byte: AtomicU64,
    gap: AtomicU64,
    /// How many requests are still to fail, and with which status.
    failing: Mutex<(usize, u16)>,
    caches: AtomicBool,
    /// How many `cache_control` marks a request may have.
    most_marks: AtomicUsize,
    /// The events of each streamed answer, by the number of its message.
    streamed: Mutex<Vec<Vec<Value>>>,
    scripts: Mutex<HashMap<String, Script>>,
    bindings: api_rules::Bindings,
}

/// What is said to the next request of a conversation, and what has been asked.
#[derive(Default)]
struct Script {
    answer: Option<Message>,
    asked: Vec<Asked>,
}

/// A request of a conversation whose answers are scripted.
pub(crate) struct Asked {
    pub(crate) body: Value,
    /// Why it was refused, if it was.
    pub(crate) refusal: Option<String>,
}

impl MessagesApi {
    /// Starts the server on a free port.
    pub(crate) async fn start() -> MessagesApi {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            requests: watch::Sender::default(),
            probes: watch::Sender::default(),
            hung_up: watch::Sender::default(),
            served: AtomicU64::new(0),
            first_byte: AtomicU64::new(0),
            gap: AtomicU64::new(0),
            failing: Mutex::default(),
            caches: AtomicBool::new(false),
            most_marks: AtomicUsize::new(4),
            streamed: Mutex::default(),
            scripts: Mutex::default(),
            bindings: api_rules::Bindings::default(),
        });
        let served = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Deltas are small writes, which Nagle's algorithm would delay.
                let _ = stream.set_nodelay(true);
                let state = Arc::clone(&served);
                tokio::spawn(async move {
                    let service = service_fn(move |request| serve(Arc::clone(&state), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        MessagesApi { address, state, server }
    }

    /// The value for `ANTHROPIC_BASE_URL`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the time to an answer's first byte, and the gap between its deltas.
    pub(crate) fn pace(&self, first_byte: Duration, gap: Duration) {
        self.state.first_byte.store(micros(first_byte), Ordering::Relaxed);
        self.state.gap.store(micros(gap), Ordering::Relaxed);
    }

    /// Makes the next `times` requests for a message fail with this status, whatever they ask for.
    pub(crate) fn fail_next(&self, times: usize, status: u16) {
        *self.state.failing.lock().unwrap() = (times, status);
    }

    /// From now on the usage of each answer reports a write to the prompt cache, with the lifetime of the request's last
    /// mark. (The real API does not cache prompts as short as those of tests.)
    pub(crate) fn cache(&self) {
        self.state.caches.store(true, Ordering::Relaxed);
    }

    /// Sets how many `cache_control` marks a request may have.
    pub(crate) fn take_marks(&self, at_most: usize) {
        self.state.most_marks.store(at_most, Ordering::Relaxed);
    }

    /// The next request that says `conversation-NAME.` gets this answer, by the rules of the API. Its tools are named as the client
    /// does.
    pub(crate) fn script(&self, name: &str, answer: Message) {
        let script = Script { answer: Some(answer), asked: Vec::new() };
        self.state.scripts.lock().unwrap().insert(name.to_owned(), script);
    }

    /// What has been asked in a conversation since its answer was set.
    pub(crate) fn asked(&self, name: &str) -> Vec<Asked> {
        self.state.scripts.lock().unwrap().remove(name).map(|script| script.asked).unwrap_or_default()
    }

    /// The events of the last streamed answer.
    pub(crate) fn last_stream(&self) -> Vec<Value> {
        self.state.streamed.lock().unwrap().last().cloned().unwrap_or_default()
    }

    /// The bodies of the requests for a message, oldest first. (After a 404 the CLI asks again, not streamed.)
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.state.requests.borrow().clone()
    }

    /// The bodies of the requests that only try a model: the CLI sends one when `set_model` names one that is not in its
    /// list.
    pub(crate) fn probes(&self) -> Vec<Value> {
        self.state.probes.borrow().clone()
    }

    /// The body of the nth request for a message, counted from 0, once there is one.
    pub(crate) async fn request(&self, nth: usize) -> Value {
        let mut requests = self.state.requests.subscribe();
        let all = requests.wait_for(|all| all.len() > nth).await.unwrap();
        all[nth].clone()
    }

    /// How many clients have hung up before their answer's end.
    pub(crate) fn hung_up(&self) -> usize {
        *self.state.hung_up.borrow()
    }

    /// Waits until this many clients have hung up.
    pub(crate) async fn until_hung_up(&self, count: usize) {
        self.state.hung_up.subscribe().wait_for(|hung_up| *hung_up >= count).await.unwrap();
    }
}

impl State {
    /// The answer to a request of a scripted conversation. One that was not expected is told so.
    fn scripted(&self, name: &str, body: &Value) -> Option<Answer> {
        let mut scripts = self.scripts.lock().unwrap();
        let script = scripts.get_mut(name)?;
        let refusal =
            api_rules::refusal(body).or_else(|| marks::refusal(body, 4)).or_else(|| self.bindings.refusal(body));
        script.asked.push(Asked { body: body.clone(), refusal: refusal.clone() });
        if let Some(refusal) = refusal {
            return Some(Answer::invalid(&refusal));
        }
        let Some(mut answer) = script.answer.take() else {
            return Some(Answer::Message(Message::said([Block::Text(vec![
                "This was asked once already.".to_owned(),
            ])])));
        };
        for block in &mut answer.blocks {
            block.call_as_in(&body["tools"]);
        }
        let whole: Vec<Value> = answer.blocks.iter().map(Block::whole).collect();
        self.bindings.note(body, &whole);
        Some(Answer::Message(answer))
    }

    fn failure(&self) -> Option<Answer> {
        let mut failing = self.failing.lock().unwrap();
        failing.0 = failing.0.checked_sub(1)?;
        Some(Answer::failure(&failing.1.to_string()))
    }
}

impl Drop for MessagesApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}

async fn serve(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    if request.method() != Method::POST {
        return Ok(reply(200, &json!({}), &[]));
    }
    let Ok(raw) = request.into_body().collect().await else { return Ok(reply(400, &json!({}), &[])) };
    let raw = raw.to_bytes();
    let body: Value = serde_json::from_slice(&raw).unwrap_or(Value::Null);
    if path != "/v1/messages" {
        return Ok(reply(200, &json!({"input_tokens": raw.len() / 4}), &[]));
    }
    let number = state.served.fetch_add(1, Ordering::Relaxed) + 1;
    if body["model"].as_str().is_some_and(|model| model.contains("nonexistent")) {
        let error = json!({"type": "error", "error": {"type": "not_found_error", "message": "model: no such model"}});
        return Ok(reply(404, &error, &[]));
    }
    if body["max_tokens"] == 1 {
        let message = envelope(number, &body, raw.len(), json!([{"type": "text", "text": "hi"}]));
        state.probes.send_modify(|probes| probes.push(body));
        return Ok(reply(200, &message, &[]));
    }
    let streamed = body["stream"] == true;
    let refused =
        || marks::refusal(&body, state.most_marks.load(Ordering::Relaxed)).or_else(|| api_rules::refusal(&body));
    let refused = || refused().map(|message| Answer::invalid(&message));
    let scripted = conversation(&raw).and_then(|name| state.scripted(&name, &body));
    let answer = scripted.or_else(|| state.failure()).or_else(refused).unwrap_or_else(|| Answer::to(&body));
    let mut message = envelope(number, &body, raw.len(), json!([]));
    if let Answer::Message(Message { usage: Some(usage), .. }) = &answer {
        message["usage"] = usage.clone();
    }
    if state.caches.load(Ordering::Relaxed) {
        let written = marks::written(&body);
        message["usage"]["cache_creation_input_tokens"] = json!(11);
        message["usage"]["cache_creation"] = json!({"ephemeral_5m_input_tokens": if written == "5m" { 11 } else { 0 },
            "ephemeral_1h_input_tokens": if written == "1h" { 11 } else { 0 }});
    }
    state.requests.send_modify(|requests| requests.push(body));
    let waiting = Waiting(Some(Arc::clone(&state)));
    tokio::time::sleep(Duration::from_micros(state.first_byte.load(Ordering::Relaxed))).await;
    waiting.over();
    Ok(match answer {
        Answer::Failure { status, kind, message, headers } => {
            reply(status, &json!({"type": "error", "error": {"type": kind, "message": message}}), &headers)
        }
        Answer::Message(answer) if streamed => stream(state, number, message, answer),
        Answer::Message(answer) => reply(200, &answer.whole(number, message), &[]),
    })
}

/// The name of the conversation that a request belongs to, if its answers may be scripted.
fn conversation(raw: &[u8]) -> Option<String> {
    let at = memchr::memmem::find(raw, b"conversation-")? + "conversation-".len();
    let length = raw[at..].iter().position(|byte| *byte == b'.')?;
    std::str::from_utf8(&raw[at..at + length]).ok().map(str::to_owned)
}

/// Notices a client that hangs up before the answer's head is sent: hyper then drops the request's future, and this with it.
struct Waiting(Option<Arc<State>>);

impl Waiting {
    fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(state) = &self.0 {
            state.hung_up.send_modify(|hung_up| *hung_up += 1);
        }
    }
}

fn reply(status: u16, value: &Value, headers: &[(String, String)]) -> Response<Body> {
    let body = Full::from(value.to_string()).map_err(|never| match never {}).boxed();
    let mut response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).unwrap()
}

fn envelope(number: u64, body: &Value, size: usize, content: Value) -> Value {
    json!({"id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": body["model"],
        "content": content, "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": size / 4 + 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 7,
            "output_tokens": 1}})
}

/// Sends the events, until the last one or until the client is gone.
fn stream(state: Arc<State>, number: u64, message: Value, answer: Message) -> Response<Body> {
    let (send, mut receive) = mpsc::channel(16);
    let headers = answer.headers.clone();
    state.streamed.lock().unwrap().push(Vec::new());
    let at = state.streamed.lock().unwrap().len() - 1;
    tokio::spawn(async move {
        let gap = answer.gap.unwrap_or_else(|| Duration::from_micros(state.gap.load(Ordering::Relaxed)));
        let frames = Frames { send, state: Arc::clone(&state), at };
        if events(number, message, answer, gap, &frames).await.is_err() {
            state.hung_up.send_modify(|hung_up| *hung_up += 1);
        }
    });
    let frames = futures_util::stream::poll_fn(move |context| receive.poll_recv(context));
    let mut response = Response::builder().header(header::CONTENT_TYPE, "text/event-stream");
    for (name, value) in &headers {
        response = response.header(name, value);
    }
    response.body(StreamBody::new(frames).boxed()).unwrap()
}

/// Sends the events of one answer, and keeps a copy.
struct Frames {
    send: mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>,
    state: Arc<State>,
    at: usize,
}

async fn send(frames: &Frames, event: Value) -> Result<(), ()> {
    frames.state.streamed.lock().unwrap()[frames.at].push(event.clone());
    let text = format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    frames.send.send(Ok(Frame::data(Bytes::from(text)))).await.map_err(|_| ())
}

async fn events(number: u64, message: Value, answer: Message, gap: Duration, frames: &Frames) -> Result<(), ()> {
    if answer.silent {
        frames.send.closed().await;
        return Err(());
    }
    send(frames, json!({"type": "message_start", "message": message})).await?;
    let mut tokens = 1;
    for (index, block) in answer.blocks.into_iter().enumerate() {
        let (start, deltas) = block.parts(number, index);
        send(frames, json!({"type": "content_block_start", "index": index, "content_block": start})).await?;
        for delta in deltas {
            send(frames, json!({"type": "content_block_delta", "index": index, "delta": delta})).await?;
            tokens += 1;
            if answer.dropped {
                // A reset discards what the client has not read yet.
                tokio::time::sleep(Duration::from_millis(50)).await;
                let _ = frames.send.send(Err(std::io::ErrorKind::ConnectionReset.into())).await;
                return Ok(());
            }
            if !gap.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(gap) => {}
                    () = frames.send.closed() => return Err(()),
                }
            }
        }
        send(frames, json!({"type": "content_block_stop", "index": index})).await?;
    }
    let delta = json!({"stop_reason": answer.stop, "stop_sequence": null, "stop_details": answer.details});
    let tokens = answer.output_tokens.unwrap_or(tokens);
    send(frames, json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens}})).await?;
    send(frames, json!({"type": "message_stop"})).await
}
