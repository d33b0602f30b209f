//! A loopback stand-in for the Anthropic Messages API, so that the real CLI runs offline.
//!
//! The last user turn picks the answer: "echo: " and its text, or what a directive in double square brackets asks for.
//! The directives are the stand-in CLI's where both make sense: `tool NAME {json} ;; NAME {json}`, `json {json}`,
//! `think`, `blocks A|B|C`, `count N`, `slow MS DIRECTIVE`, `big N`, `long`, `refusal`, `silence`, `overflow`, `limits`,
//! `usage-limit`. Its own: `fail CODE [no-retry] [HEADER=VALUE]...`, and `drop`, which cuts the connection after a delta.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

type Body = BoxBody<Bytes, std::io::Error>;

/// A running server; it ends with the value.
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
}

impl MessagesApi {
    /// Starts serving, on a port that the system picks.
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
        });
        let served = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Deltas are small writes; without this the kernel would hold them back.
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

    /// What `ANTHROPIC_BASE_URL` is to be.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on: how long an answer's first byte takes, and how long lies between its deltas.
    pub(crate) fn pace(&self, first_byte: Duration, gap: Duration) {
        self.state.first_byte.store(micros(first_byte), Ordering::Relaxed);
        self.state.gap.store(micros(gap), Ordering::Relaxed);
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

    /// Returns once so many clients have hung up.
    pub(crate) async fn until_hung_up(&self, count: usize) {
        self.state.hung_up.subscribe().wait_for(|hung_up| *hung_up >= count).await.unwrap();
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
    if body["max_tokens"] == 1 {
        let message = envelope(number, &body, raw.len(), json!([{"type": "text", "text": "hi"}]));
        state.probes.send_modify(|probes| probes.push(body));
        return Ok(reply(200, &message, &[]));
    }
    let streamed = body["stream"] == true;
    let answer = Answer::to(&body);
    let message = envelope(number, &body, raw.len(), json!([]));
    state.requests.send_modify(|requests| requests.push(body));
    tokio::time::sleep(Duration::from_micros(state.first_byte.load(Ordering::Relaxed))).await;
    Ok(match answer {
        Answer::Failure { status, kind, message, headers } => {
            reply(status, &json!({"type": "error", "error": {"type": kind, "message": message}}), &headers)
        }
        Answer::Message(answer) if streamed => stream(state, number, message, answer),
        Answer::Message(answer) => reply(200, &answer.whole(number, message), &[]),
    })
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
    tokio::spawn(async move {
        let gap = answer.gap.unwrap_or_else(|| Duration::from_micros(state.gap.load(Ordering::Relaxed)));
        if events(number, message, answer, gap, &send).await.is_err() {
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

type Frames = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

async fn send(frames: &Frames, event: Value) -> Result<(), ()> {
    let text = format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    frames.send(Ok(Frame::data(Bytes::from(text)))).await.map_err(|_| ())
}

async fn events(number: u64, message: Value, answer: Message, gap: Duration, frames: &Frames) -> Result<(), ()> {
    if answer.silent {
        frames.closed().await;
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
                // A reset takes with it what the client has not read yet.
                tokio::time::sleep(Duration::from_millis(50)).await;
                let _ = frames.send(Err(std::io::ErrorKind::ConnectionReset.into())).await;
                return Ok(());
            }
            if !gap.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(gap) => {}
                    () = frames.closed() => return Err(()),
                }
            }
        }
        send(frames, json!({"type": "content_block_stop", "index": index})).await?;
    }
    let delta = json!({"stop_reason": answer.stop, "stop_sequence": null});
    send(frames, json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens}})).await?;
    send(frames, json!({"type": "message_stop"})).await
}

enum Answer {
    Message(Message),
    Failure { status: u16, kind: &'static str, message: String, headers: Vec<(String, String)> },
}

struct Message {
    blocks: Vec<Block>,
    stop: &'static str,
    gap: Option<Duration>,
    headers: Vec<(String, String)>,
    dropped: bool,
    silent: bool,
}

impl Message {
    /// The message in one piece.
    fn whole(self, number: u64, mut message: Value) -> Value {
        let blocks = self.blocks.into_iter().enumerate().map(|(index, block)| match block {
            Block::Text(texts) => json!({"type": "text", "text": texts.concat()}),
            Block::Thinking(texts) => json!({"type": "thinking", "thinking": texts.concat(), "signature": "c2ln"}),
            Block::Tool(name, input) => {
                json!({"type": "tool_use", "id": format!("toolu_{number}_{index}"), "name": name,
                "input": serde_json::from_str::<Value>(&input).unwrap_or_default()})
            }
        });
        message["content"] = blocks.collect();
        message["stop_reason"] = json!(self.stop);
        message
    }
}

enum Block {
    Text(Vec<String>),
    Thinking(Vec<String>),
    Tool(String, String),
}

impl Block {
    /// The block as it starts, and its deltas.
    fn parts(self, number: u64, index: usize) -> (Value, Vec<Value>) {
        match self {
            Block::Text(texts) => (
                json!({"type": "text", "text": ""}),
                texts.into_iter().map(|text| json!({"type": "text_delta", "text": text})).collect(),
            ),
            Block::Thinking(texts) => (
                json!({"type": "thinking", "thinking": "", "signature": ""}),
                texts
                    .into_iter()
                    .map(|text| json!({"type": "thinking_delta", "thinking": text}))
                    .chain([json!({"type": "signature_delta", "signature": "c2ln"})])
                    .collect(),
            ),
            Block::Tool(name, input) => {
                let half = (input.len() / 2..input.len()).find(|&at| input.is_char_boundary(at)).unwrap_or(0);
                let parts = [&input[..half], &input[half..]];
                (
                    json!({"type": "tool_use", "id": format!("toolu_{number}_{index}"), "name": name, "input": {}}),
                    parts.map(|part| json!({"type": "input_json_delta", "partial_json": part})).to_vec(),
                )
            }
        }
    }
}

impl Answer {
    fn to(body: &Value) -> Answer {
        let (text, results) = last_user_turn(body["messages"].as_array().map_or(&[], Vec::as_slice));
        let tools: Vec<_> =
            body["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str()).collect();
        if tools.contains(&"StructuredOutput") && results.is_empty() {
            let input = text.strip_prefix("json ").unwrap_or(r#"{"name":"Ada"}"#);
            return message([Block::Tool("StructuredOutput".to_owned(), input.to_owned())], "tool_use");
        }
        if !results.is_empty() {
            return say(["result: ".to_owned(), Value::Array(results).to_string()]);
        }
        directive(&text, &tools)
    }

    fn with(mut self, change: impl FnOnce(&mut Message)) -> Answer {
        if let Answer::Message(message) = &mut self {
            change(message);
        }
        self
    }
}

fn directive(text: &str, tools: &[&str]) -> Answer {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "fail" => failure(rest),
        "overflow" => Answer::Failure {
            status: 400,
            kind: "invalid_request_error",
            message: "prompt is too long: 210000 tokens > 200000 maximum".to_owned(),
            headers: Vec::new(),
        },
        "usage-limit" => Answer::Failure {
            status: 429,
            kind: "rate_limit_error",
            message: "This request would exceed your account's rate limit.".to_owned(),
            headers: limits("rejected", "1.0"),
        },
        "limits" => echo(text).with(|message| message.headers = limits("allowed", "0.93")),
        "tool" => {
            let calls = rest.split(" ;; ").map(|call| {
                let (name, input) = call.split_once(' ').unwrap_or((call, "{}"));
                let suffix = format!("__{name}");
                let full = tools.iter().find(|tool| **tool == name || tool.ends_with(&suffix)).unwrap_or(&name);
                Block::Tool((*full).to_owned(), input.to_owned())
            });
            let text = Block::Text(vec!["calling ".to_owned()]);
            message(std::iter::once(text).chain(calls), "tool_use")
        }
        "slow" => {
            let (ms, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let gap = Duration::from_millis(ms.parse().unwrap_or(0));
            directive(rest, tools).with(|message| message.gap = Some(gap))
        }
        "count" => say((0..rest.trim().parse().unwrap_or(0)).map(|number: u64| format!("w{number} "))),
        "blocks" => message(rest.split('|').map(|part| Block::Text(vec![part.to_owned()])), "end_turn"),
        "think" => {
            let thinking = Block::Thinking(vec!["let me ".to_owned(), "think".to_owned()]);
            message([thinking, Block::Text(vec!["echo: ".to_owned(), text.to_owned()])], "end_turn")
        }
        "long" => message([Block::Text(vec!["cut ".to_owned(), "here".to_owned()])], "max_tokens"),
        "refusal" => message([Block::Text(vec!["I ".to_owned(), "cannot".to_owned()])], "refusal"),
        "big" => say(["x".repeat(rest.trim().parse().unwrap_or(0))]),
        "drop" => echo(text).with(|message| message.dropped = true),
        "silence" => echo(text).with(|message| message.silent = true),
        _ => echo(text),
    }
}

fn echo(text: &str) -> Answer {
    say(["echo: ".to_owned(), text.to_owned()])
}

fn say(deltas: impl IntoIterator<Item = String>) -> Answer {
    message([Block::Text(deltas.into_iter().collect())], "end_turn")
}

fn message(blocks: impl IntoIterator<Item = Block>, stop: &'static str) -> Answer {
    let blocks = blocks.into_iter().collect();
    Answer::Message(Message { blocks, stop, gap: None, headers: Vec::new(), dropped: false, silent: false })
}

/// `CODE`, then `no-retry`, or headers as `name=value`.
fn failure(text: &str) -> Answer {
    let mut words = text.split_whitespace();
    let status = words.next().and_then(|code| code.parse().ok()).unwrap_or(500);
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let headers = words
        .map(|word| match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => ("x-should-retry".to_owned(), "false".to_owned()),
        })
        .collect();
    Answer::Failure { status, kind, message: format!("mock failure {status}"), headers }
}

/// The headers of a subscription whose five-hour window is used this far. The CLI reads them with a subscription login.
fn limits(status: &str, used: &str) -> Vec<(String, String)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (five_hours, seven_days) = ((now + 3_600).to_string(), (now + 86_400).to_string());
    [
        ("status", status),
        ("reset", &five_hours),
        ("representative-claim", "five_hour"),
        ("5h-status", status),
        ("5h-reset", &five_hours),
        ("5h-utilization", used),
        ("7d-status", "allowed"),
        ("7d-reset", &seven_days),
        ("7d-utilization", "0.4"),
        ("overage-status", "rejected"),
        ("overage-disabled-reason", "org_level_disabled"),
    ]
    .map(|(name, value)| (format!("anthropic-ratelimit-unified-{name}"), value.to_owned()))
    .to_vec()
}

/// The text that decides, a directive's inside if there is one, and the contents of the turn's tool results.
fn last_user_turn(messages: &[Value]) -> (String, Vec<Value>) {
    let start = messages.iter().rposition(|message| message["role"] == "assistant").map_or(0, |last| last + 1);
    let (mut texts, mut results) = (Vec::new(), Vec::new());
    for message in messages[start..].iter().filter(|message| message["role"] == "user") {
        match &message["content"] {
            Value::String(text) => texts.push(text.as_str()),
            content => {
                for block in content.as_array().into_iter().flatten() {
                    match block["type"].as_str() {
                        Some("text") => texts.push(block["text"].as_str().unwrap_or_default()),
                        Some("tool_result") => results.push(block["content"].clone()),
                        _ => {}
                    }
                }
            }
        }
    }
    texts.retain(|text| !text.starts_with("<system-reminder>"));
    let all = texts.join("\n");
    let directive = all.split_once("[[").and_then(|(_, after)| {
        // A directive's own text may end in brackets, as a JSON array does: the last of several closing ones closes.
        let end = after.find("]]")?;
        let more = after[end + 2..].bytes().take_while(|&byte| byte == b']').count();
        Some(&after[..end + more])
    });
    (directive.or(texts.last().copied()).unwrap_or_default().to_owned(), results)
}
