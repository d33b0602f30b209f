//! One process's life: takes in what the client writes, and does one thing of it after another.

use std::collections::{HashMap, VecDeque};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::input::{self, Batch};
use super::output::Output;
use super::told::Told;
use super::tools::Handshake;

/// A process's state.
pub(crate) struct Session {
    pub(crate) out: Output,
    input: Receiver<Batch>,
    /// User messages that have not had their turn.
    pub(crate) queue: VecDeque<User>,
    /// The client's `control_response`s, by request id.
    pub(crate) answers: HashMap<String, Value>,
    pub(crate) told: Told,
    /// Standard input has ended.
    pub(crate) ended: bool,
    /// A turn is running.
    pub(crate) busy: bool,
    /// The `interrupt` request that came in while it ran.
    pub(crate) interrupt: Option<String>,
    pub(crate) handshake: Handshake,
    /// The id of the next JSON-RPC request.
    pub(crate) next_rpc: u64,
    /// What all ids of this process begin with.
    pub(crate) identity: String,
    /// Counts the model's messages.
    pub(crate) messages: u64,
    /// Counts `result` lines.
    pub(crate) results: u64,
    /// The last `result` was an error, which makes it the exit code too.
    pub(crate) failed: bool,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// How often the model was stopped, or another one took over.
    pub(crate) safety_stops: u64,
    /// Between deltas, where the prompt says nothing else.
    pub(crate) gap: Option<Duration>,
    pub(crate) logged_in: bool,
    /// The tools that need no permission.
    pub(crate) allowed: Vec<String>,
}

/// A user message.
pub(crate) struct User {
    pub(crate) content: Value,
    /// Only to be added to the conversation.
    pub(crate) silent: bool,
}

impl Session {
    pub(crate) fn new(args: &[String]) -> Session {
        let identity = std::env::var("STAND_IN_ID").unwrap_or_else(|_| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            format!("{:x}x{:x}", std::process::id(), now.as_micros())
        });
        let value_of = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
        let allowed = value_of("--allowed-tools").or_else(|| value_of("--allowedTools"));
        let mut told = Told::default();
        if let Some(model) = value_of("--model") {
            told.model = json!(model);
        }
        Session {
            out: Output::new(&identity),
            input: input::read(),
            queue: VecDeque::new(),
            answers: HashMap::new(),
            told,
            ended: false,
            busy: false,
            interrupt: None,
            handshake: Handshake::None,
            next_rpc: 0,
            identity,
            messages: 0,
            results: 0,
            failed: false,
            input_tokens: 0,
            output_tokens: 0,
            safety_stops: 0,
            gap: super::number("STAND_IN_GAP_MS").map(Duration::from_millis),
            logged_in: std::env::var_os("STAND_IN_NOT_LOGGED_IN").is_none(),
            allowed: allowed.map(|list| list.split([',', ' ']).map(str::to_owned).collect()).unwrap_or_default(),
        }
    }

    /// Lives until standard input has ended and all that was asked for is done.
    pub(crate) fn run(mut self) -> ExitCode {
        let mut idle = true;
        loop {
            let Some(user) = self.queue.pop_front() else {
                if self.ended {
                    break;
                }
                idle = true;
                self.take(None);
                continue;
            };
            if user.silent {
                self.append(user.content);
            } else {
                // What waited for a turn to end goes together; what found the process idle goes at once.
                let content = if idle { user.content } else { self.merged(user.content) };
                self.turn(content);
            }
            idle = false;
        }
        self.out.flush();
        ExitCode::from(u8::from(self.failed))
    }

    /// A message that is only added to the conversation, and acknowledged.
    fn append(&mut self, content: Value) {
        self.wait_for_handshake();
        self.told.push("user", content);
        self.init_line();
        self.acknowledgement();
    }

    /// The messages that were written while a turn ran come in one.
    fn merged(&mut self, mut content: Value) -> Value {
        while self.queue.front().is_some_and(|next| !next.silent) {
            let Some(next) = self.queue.pop_front() else { break };
            content = match (content, next.content) {
                (Value::String(one), Value::String(two)) => json!(format!("{one}\n{two}")),
                (one, two) => {
                    let mut all = blocks(one);
                    all.extend(blocks(two));
                    Value::Array(all)
                }
            };
        }
        content
    }

    /// Waits for input, until then at most, and takes it in. Says first what there is to say.
    pub(crate) fn take(&mut self, until: Option<Instant>) {
        self.out.flush();
        let batch = match until {
            None => self.input.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) if self.ended => {
                // Nothing can come any more: what is left is to wait.
                std::thread::sleep(until.map_or(Duration::ZERO, |until| until.duration_since(Instant::now())));
                return;
            }
            Some(until) => self.input.recv_timeout(until.duration_since(Instant::now())),
        };
        match batch {
            Ok(batch) => self.accept(batch),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.ended = true,
        }
    }

    /// Takes in what has come already.
    pub(crate) fn look(&mut self) {
        match self.input.try_recv() {
            Ok(batch) => self.accept(batch),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => self.ended = true,
        }
    }

    fn accept(&mut self, batch: Batch) {
        for line in batch {
            match line["type"].as_str() {
                Some("control_request") => self.control(&line),
                Some("control_response") => {
                    let response = line["response"].clone();
                    if let Some(id) = response["request_id"].as_str() {
                        self.answers.insert(id.to_owned(), response.clone());
                    }
                }
                Some("user") => {
                    let composed = line["client_composed"] == true;
                    let content = line["message"]["content"].clone();
                    let content = if composed { content } else { expanded(content) };
                    self.queue.push_back(User { content, silent: line["shouldQuery"] == false });
                }
                // At once, whatever is still in the queue: this is why a client has to wait for acknowledgements.
                Some("assistant") => self.told.push("assistant", line["message"]["content"].clone()),
                _ => {}
            }
            self.advance_handshake();
        }
    }
}

fn blocks(content: Value) -> Vec<Value> {
    match content {
        Value::Array(blocks) => blocks,
        text => vec![json!({"type": "text", "text": text})],
    }
}

/// What becomes of a text without `client_composed`: the real CLI would run `/commands` and read `@/files`.
fn expanded(content: Value) -> Value {
    let dangerous =
        |text: &str| text.starts_with('/') || text.split('@').skip(1).any(|after| after.starts_with(['/', '.', '~']));
    match content {
        Value::String(text) if dangerous(&text) => json!("EXPANDED"),
        Value::Array(mut blocks) => {
            for block in &mut blocks {
                if block["text"].as_str().is_some_and(dangerous) {
                    block["text"] = json!("EXPANDED");
                }
            }
            Value::Array(blocks)
        }
        content => content,
    }
}
