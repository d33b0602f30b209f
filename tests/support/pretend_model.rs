//! The answers of the Messages API on loopback: the directives of every pretend model, and those of an API.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use self::directives::last_user_turn;

#[path = "../stand_in_cli/directives.rs"]
mod directives;

pub(crate) enum Answer {
    Message(Message),
    Failure { status: u16, kind: &'static str, message: String, headers: Vec<(String, String)> },
}

pub(crate) struct Message {
    pub(crate) blocks: Vec<Block>,
    pub(crate) stop: &'static str,
    pub(crate) details: Value,
    /// The gap between two deltas, if it differs from the server's.
    pub(crate) gap: Option<Duration>,
    pub(crate) headers: Vec<(String, String)>,
    /// Whether to cut the connection after a delta.
    pub(crate) dropped: bool,
    /// Whether to send nothing at all.
    pub(crate) silent: bool,
    /// The usage at the answer's start, and its tokens at the end, if they are not those of the request's size.
    pub(crate) usage: Option<Value>,
    pub(crate) output_tokens: Option<u32>,
}

impl Message {
    /// An answer of these blocks.
    pub(crate) fn said(blocks: impl IntoIterator<Item = Block>) -> Message {
        Message {
            blocks: blocks.into_iter().collect(),
            stop: "end_turn",
            details: Value::Null,
            gap: None,
            headers: Vec::new(),
            dropped: false,
            silent: false,
            usage: None,
            output_tokens: None,
        }
    }

    /// The message in one piece.
    pub(crate) fn whole(self, number: u64, mut message: Value) -> Value {
        let blocks = self.blocks.into_iter().enumerate().map(|(index, block)| match block {
            Block::Text(texts) => json!({"type": "text", "text": texts.concat()}),
            Block::Thinking(texts) => json!({"type": "thinking", "thinking": texts.concat(), "signature": "c2ln"}),
            Block::Redacted(data) => json!({"type": "redacted_thinking", "data": data}),
            Block::Fallback => fallback(),
            Block::Cited(text, citation) => json!({"type": "text", "text": text, "citations": [citation]}),
            Block::Tool(name, input) => {
                json!({"type": "tool_use", "id": format!("toolu_{number}_{index}"), "name": name,
                "input": serde_json::from_str::<Value>(&input).unwrap_or_default()})
            }
            Block::Given { .. } => block.whole(),
        });
        message["content"] = blocks.collect();
        message["stop_reason"] = json!(self.stop);
        message
    }
}

pub(crate) enum Block {
    Text(Vec<String>),
    Thinking(Vec<String>),
    Redacted(String),
    /// A text, and its citation.
    Cited(String, Value),
    Tool(String, String),
    Fallback,
    /// As it starts, and its deltas.
    Given {
        start: Value,
        deltas: Vec<Value>,
    },
}

fn fallback() -> Value {
    json!({"type": "fallback", "from": {"model": "claude-fable-5-2"}, "to": {"model": "claude-opus-5-5"}})
}

impl From<directives::Block> for Block {
    fn from(block: directives::Block) -> Block {
        match block {
            directives::Block::Text(texts) => Block::Text(texts),
            directives::Block::Count(count) => Block::Text((0..count).map(|number| format!("w{number} ")).collect()),
            directives::Block::Thinking(texts) => Block::Thinking(texts),
            directives::Block::Tool(name, input) => Block::Tool(name, input),
            directives::Block::Fallback => Block::Fallback,
        }
    }
}

impl Block {
    /// Makes a given call one of the tool that the model knows by this name of the client's, which the CLI has put a prefix before
    /// and may have had to shorten.
    pub(crate) fn call_as_in(&mut self, tools: &Value) {
        let Block::Given { start, .. } = self else { return };
        let Some(name) = start["name"].as_str().filter(|_| start["type"] == "tool_use") else { return };
        let wire = format!("mcp__c__{name}");
        let offered = || tools.as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str());
        let shortened = |tool: &&str| tool.len() == 64 && wire.len() > 64 && tool[..55] == wire[..55];
        let tool = offered().find(|tool| *tool == wire).or_else(|| offered().find(shortened));
        start["name"] = json!(tool.unwrap_or(&wire));
    }

    /// A given block in one piece, as it is sent back.
    pub(crate) fn whole(&self) -> Value {
        let Block::Given { start, deltas } = self else { return Value::Null };
        let mut block = start.clone();
        let mut input = String::new();
        for delta in deltas {
            for (name, piece) in delta.as_object().into_iter().flatten().filter(|(name, _)| *name != "type") {
                let piece = piece.as_str().unwrap_or_default();
                match name.as_str() {
                    "partial_json" => input.push_str(piece),
                    name => block[name] = json!(block[name].as_str().unwrap_or_default().to_owned() + piece),
                }
            }
        }
        if block["type"] == "tool_use" {
            block["input"] = serde_json::from_str(&input).unwrap_or_else(|_| json!({}));
        }
        block
    }

    /// The block as it starts, and its deltas.
    pub(crate) fn parts(self, number: u64, index: usize) -> (Value, Vec<Value>) {
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
            Block::Redacted(data) => (json!({"type": "redacted_thinking", "data": data}), Vec::new()),
            Block::Fallback => (fallback(), Vec::new()),
            Block::Cited(text, citation) => (
                json!({"type": "text", "text": "", "citations": []}),
                vec![
                    json!({"type": "text_delta", "text": text}),
                    json!({"type": "citations_delta", "citation": citation}),
                ],
            ),
            Block::Tool(name, input) => {
                let half = (input.len() / 2..input.len()).find(|&at| input.is_char_boundary(at)).unwrap_or(0);
                let parts = [&input[..half], &input[half..]];
                (
                    json!({"type": "tool_use", "id": format!("toolu_{number}_{index}"), "name": name, "input": {}}),
                    parts.map(|part| json!({"type": "input_json_delta", "partial_json": part})).to_vec(),
                )
            }
            Block::Given { start, deltas } => (start, deltas),
        }
    }
}

impl Answer {
    /// The failure that the directive `fail` asks for. `text` is its arguments.
    pub(crate) fn failure(text: &str) -> Answer {
        failure(text)
    }

    /// The error for an invalid request.
    pub(crate) fn invalid(message: &str) -> Answer {
        Answer::Failure {
            status: 400,
            kind: "invalid_request_error",
            message: message.to_owned(),
            headers: vec![("x-should-retry".to_owned(), "false".to_owned())],
        }
    }

    /// The answer to a request's body.
    pub(crate) fn to(body: &Value) -> Answer {
        let (text, results) = last_user_turn(body["messages"].as_array().map_or(&[], Vec::as_slice));
        let tools: Vec<_> =
            body["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str()).collect();
        if tools.contains(&"StructuredOutput") && results.is_empty() && !text.starts_with("tool ") {
            return message(directives::structured_output(&text));
        }
        if !results.is_empty() {
            // `[[read]]` marks a long result: acknowledge it instead of echoing it.
            if results.iter().any(|result| result.to_string().contains("[[read]]")) {
                return message((vec![directives::text(["read"])], "end_turn"));
            }
            return message(directives::results(results));
        }
        let system: String =
            body["system"].as_array().into_iter().flatten().filter_map(|b| b["text"].as_str()).collect();
        let tools: Vec<_> = tools.into_iter().map(|tool| (tool, tool)).chain(renamed(&system)).collect();
        directive(&text, &tools)
    }

    fn with(mut self, change: impl FnOnce(&mut Message)) -> Answer {
        if let Answer::Message(message) = &mut self {
            change(message);
        }
        self
    }
}

/// The tool names that the system prompt renames: "In this session `exec` and `process` are the tool Bash; ..."
fn renamed(system: &str) -> Vec<(&str, &str)> {
    let note =
        system.rsplit_once("In this session ").and_then(|(_, note)| note.split_once(". ")).map_or("", |(n, _)| n);
    let clauses = note.split("; ").filter_map(|clause| clause.split_once(" the tool "));
    clauses.flat_map(|(names, tool)| names.split('`').skip(1).step_by(2).map(move |name| (name, tool))).collect()
}

/// `tools` are the names that the model knows, each with the name to call it by.
fn directive(text: &str, tools: &[(&str, &str)]) -> Answer {
    let full_name = |name: &str| {
        let suffix = format!("__{name}");
        let known = tools.iter().find(|(known, _)| *known == name || known.ends_with(&suffix));
        known.map_or(name, |(_, tool)| tool).to_owned()
    };
    if let Some(said) = directives::said(text, &full_name) {
        let details = match said.1 {
            "refusal" => json!({"type": "refusal", "category": "bio", "explanation": null}),
            _ => Value::Null,
        };
        return message(said).with(|message| message.details = details);
    }
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
        "overage" => echo(text).with(|message| {
            message.headers = limits("rejected", "1.0");
            message.headers.retain(|(name, _)| !name.ends_with("overage-disabled-reason"));
            for (name, value) in &mut message.headers {
                if name.ends_with("overage-status") {
                    *value = "allowed".to_owned();
                }
            }
        }),
        "extra-usage" => Answer::Failure {
            status: 400,
            kind: "invalid_request_error",
            message: "Third-party apps now draw from your extra usage, not your plan limits. Add more at \
                      claude.ai/settings/usage and keep going."
                .to_owned(),
            headers: Vec::new(),
        },
        "limits" => echo(text).with(|message| message.headers = limits("allowed", "0.93")),
        "slow" => {
            let (ms, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let gap = Duration::from_millis(ms.parse().unwrap_or(0));
            directive(rest, tools).with(|message| message.gap = Some(gap))
        }
        "ponder" => {
            let thinking = directives::thinking(["Hm, ", "\"é\"\n"]).into();
            let thoughts = [thinking, Block::Redacted("ZGF0YQ==".to_owned())];
            directive(rest, tools).with(|message| drop(message.blocks.splice(..0, thoughts)))
        }
        "cite" => {
            let citation = json!({"type": "char_location", "cited_text": rest, "document_index": 0,
                "document_title": null, "start_char_index": 0, "end_char_index": rest.len(), "file_id": null});
            message((vec![directives::text(["As "]).into(), Block::Cited(rest.to_owned(), citation)], "end_turn"))
        }
        "pause" => echo(text).with(|message| message.stop = "pause_turn"),
        "window" => message((vec![directives::text(["no ", "room"])], "model_context_window_exceeded")),
        "drop" => echo(text).with(|message| message.dropped = true),
        "silence" => echo(text).with(|message| message.silent = true),
        _ => echo(text),
    }
}

fn echo(text: &str) -> Answer {
    message(directives::echo(text))
}

fn message((blocks, stop): (Vec<impl Into<Block>>, &'static str)) -> Answer {
    Answer::Message(Message { stop, ..Message::said(blocks.into_iter().map(Into::into)) })
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
