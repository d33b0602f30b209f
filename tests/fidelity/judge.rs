//! Holds a conversation over the real CLI, and compares what the model and the client get with what is right.

use std::cell::Cell;
use std::fmt;

use serde_json::{Value, json};

use super::conversation::{Answer, Block, Change, Choice, Conversation, Door, End, Ids, Part, Says, Settings, Turn};
use super::dialects::{Ask, Assistant, Entry, Heard, Said, heard, input};
use super::known;
use super::reference::{self, Defaults, Told, comparable, got, told};
use crate::support::pretend_model::{Block as Spoken, Message};
use crate::support::stack::Stack;

/// Something that is not as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// What it is, where, and at which door.
    pub(crate) kind: String,
    pub(crate) right: String,
    pub(crate) got: String,
    /// The request at which it was seen.
    pub(crate) request: Value,
    /// Whether it is what the client hears that differs.
    is_of_answer: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let request = shortened(&self.request);
        write!(f, "{}\n  right: {}\n  got:   {}\n  request: {request}", self.kind, self.right, self.got)
    }
}

/// JSON whose long texts are cut.
fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(short(text)),
        Value::Array(items) => items.iter().map(shortened).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shortened(value))).collect(),
        other => other.clone(),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

/// A request and its answer, in view of which a difference may be one that is known.
pub(crate) struct Exchange<'a> {
    pub(crate) ask: Ask<'a>,
    pub(crate) request: Value,
    /// `first`, `live` or `replay`.
    pub(crate) place: &'static str,
    /// What the answer names as being without effect.
    pub(crate) ignored: String,
    pub(crate) differences: Vec<Difference>,
}

impl Exchange<'_> {
    pub(crate) fn differs(&mut self, what: &str, right: impl fmt::Display, got: impl fmt::Display) {
        let kind = match self.place {
            // What the model gets is much the same at all doors.
            "first" | "live" | "replay" => format!("{}: {what}", self.place),
            place => format!("{:?} {place}: {what}", self.ask.conversation.door),
        };
        let (right, got) = around(&right.to_string(), &got.to_string());
        let is_of_answer = self.place == "answer";
        self.differences.push(Difference { kind, right, got, request: self.request.clone(), is_of_answer });
    }
}

/// Both texts, from a little before they part.
fn around(right: &str, got: &str) -> (String, String) {
    let common = right.chars().zip(got.chars()).take_while(|(one, other)| one == other).count();
    let from = if common > 150 { common - 60 } else { 0 };
    let part = |text: &str| {
        let part: String = text.chars().skip(from).take(500).collect();
        format!(
            "{}{part}{}",
            if from > 0 { "..." } else { "" },
            if text.chars().count() > from + 500 { "..." } else { "" }
        )
    };
    (part(right), part(got))
}

/// What is the same in all conversations.
pub(crate) struct Court {
    pub(crate) stack: Stack,
    pub(crate) defaults: Defaults,
}

impl Court {
    /// Learns from a request of each model what a request is where nothing is asked for.
    pub(crate) async fn new(stack: Stack) -> Court {
        let mut defaults = Defaults::new();
        for model in ["opus", "sonnet", "haiku"] {
            let name = format!("default-{model}");
            stack.api.script(&name, Message::said([]));
            let request =
                json!({"model": model, "messages": [{"role": "user", "content": format!("conversation-{name}.")}]});
            let _ = stack.post_in(&name, "/v1/chat/completions", &request).await;
            let asked = stack.api.asked(&name);
            defaults.insert(model.to_owned(), reference::settings(&asked[0].body));
        }
        Court { stack, defaults }
    }

    /// Holds a conversation under a name that no other has, and says what is not as it should be.
    pub(crate) async fn hold(&self, conversation: &Conversation, name: &str) -> Vec<Difference> {
        let mut held = Held {
            court: self,
            conversation,
            name,
            entries: Vec::new(),
            open: Vec::new(),
            calls: 0,
            thoughtless: Cell::new(false),
        };
        let mut differences = Vec::new();
        let replayed = conversation.history + conversation.replayed % (conversation.turns.len() - conversation.history);
        for number in 0..conversation.turns.len() {
            held.change(number);
            held.say(number);
            if number < conversation.history {
                held.make_up(number);
                continue;
            }
            let (more, answer) = held.ask(number, "").await;
            let failed = answer.is_none();
            differences.extend(more);
            if number == replayed && !(failed || number == 0) {
                differences.extend(held.ask(number, "r").await.0);
            }
            let Some(answer) = answer else { break };
            // The client does not know how to go on with nothing, and what comes after a wrong answer is its fault.
            let wrong = differences.iter().any(|difference| difference.is_of_answer);
            if wrong || matches!(conversation.turns[number].answer.end, End::Nothing | End::Refused) {
                break;
            }
            held.keep(number, answer);
        }
        differences
    }
}

/// What Anthropic's servers leave in histories.
const SERVERS: [&str; 4] = [
    r#"{"type": "compaction", "content": "What was said before."}"#,
    r#"{"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "a"}}"#,
    r#"{"type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_1", "content": {"type": "web_fetch_tool_error", "error_code": "unavailable"}}"#,
    r#"{"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}"#,
];

struct Held<'a> {
    court: &'a Court,
    conversation: &'a Conversation,
    name: &'a str,
    entries: Vec<Entry>,
    /// The calls that have no result yet.
    open: Vec<String>,
    /// How many calls there have been.
    calls: usize,
    /// Whether thinking was refused: the CLI leaves it out from then on.
    thoughtless: Cell<bool>,
}

impl Held<'_> {
    fn settings(&self, number: usize) -> &Settings {
        self.conversation.turns[number].settings.as_ref().unwrap_or(&self.conversation.settings)
    }

    fn change(&mut self, number: usize) {
        match self.conversation.turns[number].change {
            Change::Nothing => {}
            Change::Edited(which) => {
                let parts = self.entries.iter_mut().filter_map(|entry| match entry {
                    Entry::User { parts, .. } => Some(parts),
                    _ => None,
                });
                let mut all: Vec<&mut Vec<Part>> = parts.collect();
                let count = all.len().max(1);
                if let Some(parts) = all.get_mut(which % count) {
                    parts.push(Part::Text("edited".to_owned()));
                }
            }
            Change::Forked(which) => {
                let is_answer = |entry: &Entry| matches!(entry, Entry::Assistant(_));
                let answers: Vec<usize> = (0..self.entries.len()).filter(|at| is_answer(&self.entries[*at])).collect();
                if let Some(at) = answers.get(which % answers.len().max(1)) {
                    self.entries.truncate(at + 1);
                    if let Some(Entry::Assistant(last)) = self.entries.last() {
                        self.open = calls(&last.said);
                    }
                }
            }
            Change::Rewritten => {
                for entry in &mut self.entries {
                    let Entry::Assistant(assistant) = entry else { continue };
                    for said in &mut assistant.said {
                        if let Said::Call { arguments, cut: false, .. } = said {
                            *arguments = input(arguments).to_string();
                        }
                    }
                }
            }
        }
    }

    /// Adds what the client says in a turn.
    fn say(&mut self, number: usize) {
        let Conversation { door, turns, system, .. } = self.conversation;
        let turn = &turns[number];
        if number == 0 {
            self.entries.extend(system.iter().cloned().map(Entry::System));
        }
        let start = self.entries.len();
        let mut open: Vec<(usize, String)> = std::mem::take(&mut self.open).into_iter().enumerate().collect();
        if turn.reversed {
            open.reverse();
        }
        for (at, id) in open {
            let mut result = turn.results[at % turn.results.len()].clone();
            result.parts = parts(*door, &result.parts, true);
            result.is_error &= *door == Door::Messages;
            if result.is_error {
                // The API takes nothing else in a failure.
                result.parts.retain(|part| matches!(part, Part::Text(_)));
                if !says_something(&result.parts) {
                    result.parts = vec![Part::Text("failed".to_owned())];
                }
            }
            self.entries.push(Entry::Result(id, result));
        }
        let answers = self.entries.len() > start;
        for says in &turn.says {
            self.entries.push(match says {
                Says::System(system) => Entry::System(system.clone()),
                Says::User { name, parts } => {
                    Entry::User { name: name.filter(|_| *door == Door::Chat), parts: self::parts(*door, parts, false) }
                }
            });
        }
        let is_said = |entry: &Entry| matches!(entry, Entry::User { parts, .. } if says_something(parts));
        if !answers && !self.entries[start..].iter().any(is_said) {
            self.entries.push(Entry::User { name: None, parts: vec![Part::Text("go on".to_owned())] });
        }
        if number == 0 {
            // By this the API knows the conversation.
            let first = self.entries.iter_mut().find_map(|entry| match entry {
                Entry::User { parts, .. } => Some(parts),
                _ => None,
            });
            let (parts, mark) = (first.expect("a user speaks"), format!("conversation-{}.", self.name));
            match parts.first_mut() {
                Some(Part::Text(text)) => text.insert_str(0, &mark),
                _ => parts.insert(0, Part::Text(mark)),
            }
        }
    }

    /// What the model says in a turn.
    fn own(&self, number: usize, again: &str) -> Vec<Said> {
        let settings = self.settings(number);
        let tools = reference::offered(&self.conversation.tools, settings);
        let turn = format!("{}x{number}{again}", self.name);
        reference::own(&self.conversation.turns[number].answer, &turn, &tools, settings.one_call)
    }

    /// Adds an answer that was made up.
    fn make_up(&mut self, number: usize) {
        let mut said = self.own(number, "h");
        let kept =
            |said: &Said| !matches!(said, Said::Thinking { .. } | Said::Redacted { .. } | Said::Call { cut: true, .. });
        said.retain(kept);
        if self.conversation.door == Door::Chat {
            // It has one text.
            let mut texts = 0;
            said.retain(|said| {
                !matches!(said, Said::Text(_)) || {
                    texts += 1;
                    texts == 1
                }
            });
        }
        if self.conversation.door == Door::Messages {
            let blocks = &self.conversation.turns[number].answer.blocks;
            let places = (0..blocks.len()).filter(|at| matches!(blocks[*at], Block::Unknown));
            let servers = places.map(|at| SERVERS[(number + at) % SERVERS.len()]);
            let servers = servers.map(|block| serde_json::from_str(block).expect("it is JSON"));
            said.splice(..0, servers.map(Said::Server).collect::<Vec<_>>());
        }
        self.push(said, None);
    }

    /// Adds an answer that came.
    fn keep(&mut self, number: usize, answer: Heard) {
        let mut said = answer.said;
        let mut own = self.own(number, "");
        if self.conversation.turns[number].answer.end == End::Cut
            && self.conversation.turns[number].answer.pieces % 2 == 1
        {
            // As agents do with a call that is not whole.
            for said in [&mut said, &mut own] {
                said.retain(|said| !matches!(said, Said::Call { cut: true, .. }));
            }
        }
        self.push(said, Some(own));
    }

    fn push(&mut self, mut said: Vec<Said>, own: Option<Vec<Said>>) {
        if !said.iter().any(|said| matches!(said, Said::Text(_) | Said::Call { .. })) {
            return;
        }
        let mut place = 0;
        for said in &mut said {
            let Said::Call { id, name, .. } = said else { continue };
            let (k, n) = (self.calls / 2 + 1, self.calls);
            match self.conversation.ids {
                Ids::Kept => {}
                Ids::Stripped => id.retain(|character| character.is_ascii_alphanumeric()),
                Ids::ByName if self.conversation.door == Door::Messages => *id = format!("functions_{name}_{place}"),
                Ids::ByName => *id = format!("functions.{name}:{place}"),
                Ids::Long => *id = format!("call_{}{n}", "x".repeat(45)),
                Ids::Alike if n % 2 == 0 => *id = format!("call_{k}_{k}{k}"),
                Ids::Alike => *id = format!("call_{k}{k}_{k}"),
            }
            place += 1;
            self.calls += 1;
        }
        self.open = calls(&said);
        self.entries.push(Entry::Assistant(Assistant { said, own }));
    }

    /// Whether it is by the client's doing that what stands before its thinking is not what it was. (Claude Code has no
    /// `tool_choice`: what is asked for stands in the system prompt; and its own note names the model.)
    fn rewrites(&self, number: usize) -> bool {
        let model = |number: usize| self.conversation.turns[number].model;
        let choice = |number: usize| (model(number), self.settings(number).choice, self.settings(number).one_call);
        let turns = &self.conversation.turns[..=number];
        let drops = |turn: &Turn| turn.answer.end == End::Cut && turn.answer.pieces % 2 == 1;
        self.conversation.ids != Ids::Kept
            || turns.iter().any(|turn| matches!(turn.change, Change::Edited(_)) || drops(turn))
            || (self.conversation.history..number).any(|before| choice(before) != choice(number))
    }

    /// Asks for a turn, the first time or again.
    async fn ask(&self, number: usize, again: &str) -> (Vec<Difference>, Option<Heard>) {
        let conversation = self.conversation;
        let turn = &conversation.turns[number];
        let ask = Ask {
            conversation,
            entries: &self.entries,
            settings: self.settings(number),
            model: turn.model.unwrap_or(conversation.model),
            streamed: turn.streamed == again.is_empty(),
        };
        let own = self.own(number, again);
        let api = &self.court.stack.api;
        api.script(self.name, message(&turn.answer, &own));
        let (path, request, streamed) = (ask.path(), ask.body(), ask.streamed);
        let session = format!("{}{again}", self.name);
        let answer = self.court.stack.post_in(&session, path, &request).await;
        let asked = api.asked(self.name);
        let place = match answer.header("x-claude-process") {
            Some("live") => "live",
            _ if self.entries.iter().any(|entry| matches!(entry, Entry::Assistant(_))) => "replay",
            _ => "first",
        };
        let ignored = answer.header("x-ignored-parameters").unwrap_or_default().to_owned();
        let text = String::from_utf8_lossy(&answer.body);
        let mut exchange = Exchange { ask, request, place, ignored, differences: Vec::new() };
        if std::env::var_os("SHOW").is_some() {
            println!("asked: {}", exchange.request);
            asked.iter().for_each(|asked| println!("told: {}", asked.body));
            println!("answered: {text}");
        }
        for refusal in asked.iter().filter_map(|asked| asked.refusal.as_ref()) {
            if refusal.contains("`thinking`") {
                self.thoughtless.set(true);
                if self.rewrites(number) {
                    continue;
                }
            }
            let kind: String = refusal.chars().filter(|character| !character.is_ascii_digit()).take(120).collect();
            exchange.differs(&format!("the API refuses: {kind}"), "a request that the API takes", refusal);
        }
        // Named, it may be left out. That it is not where the API would take it, only a refusal of the same request could show.
        if answer.header("x-changed-by-claude-code").is_some_and(|names| names.contains("thinking")) {
            self.thoughtless.set(true);
        }
        let mut heard = heard(conversation.door, streamed, answer.status.as_u16(), &text);
        if let Some(error) = &heard.error {
            let kind: String = error.chars().filter(|character| !character.is_ascii_digit()).take(80).collect();
            exchange.differs(&format!("fails: {kind}"), "an answer", error);
            return (exchange.differences, None);
        }
        if let Some(Said::Call { cut, .. }) = heard.said.last_mut().filter(|_| turn.answer.end == End::Cut) {
            *cut = true;
        }
        let taken = asked.iter().filter(|asked| asked.refusal.is_none()).count();
        // After such an end the CLI asks the model to go on, perhaps before it is killed.
        let goes_on = matches!(turn.answer.end, End::Cut | End::Window | End::Refused | End::Nothing);
        if taken != 1 && !(goes_on && taken == 2) {
            let why = reference::stop(&turn.answer, &own);
            exchange.differs(&format!("asks the model {taken} times where it stops for {why}"), 1, taken);
            return (exchange.differences, Some(heard));
        }
        if let Some(asked) = asked.first() {
            let mut right = told(&exchange.ask, &self.court.defaults);
            if self.thoughtless.get() || self.rewrites(number) || exchange.ask.settings.effort == Some("none") {
                right.add_thoughtless();
            }
            compare_told(&mut exchange, right, got(&asked.body, &conversation.tools));
        }
        for name in without_effect(&exchange.ask) {
            if !exchange.ignored.contains(&name) {
                let ignored = exchange.ignored.clone();
                exchange.differs(&format!("{name} is not named as ignored"), name, ignored);
            }
        }
        let right = reference::heard(conversation.door, conversation.thinks, &turn.answer, &own);
        let unknown = turn.answer.blocks.iter().any(|block| matches!(block, Block::Unknown));
        compare_heard(&mut exchange, unknown, &right, &heard);
        (exchange.differences, Some(heard))
    }
}

/// What is to be named, since it can have no effect.
fn without_effect(ask: &Ask) -> Vec<String> {
    let mut names = Vec::new();
    names.extend(ask.settings.temperature.then(|| "temperature".to_owned()));
    let strict = ask.conversation.door != Door::Messages && ask.conversation.tools.iter().any(|tool| tool.strict);
    names.extend(strict.then(|| "strict".to_owned()));
    for entry in ask.entries {
        let Entry::Assistant(assistant) = entry else { continue };
        for said in &assistant.said {
            if let Said::Server(block) = said
                && block["type"] != "compaction"
            {
                names.push(block["type"].as_str().unwrap().to_owned());
            }
        }
    }
    names
}

fn calls(said: &[Said]) -> Vec<String> {
    let id = |said: &Said| if let Said::Call { id, .. } = said { Some(id.clone()) } else { None };
    said.iter().filter_map(id).collect()
}

/// The parts as the door can say them.
fn parts(door: Door, parts: &[Part], in_result: bool) -> Vec<Part> {
    let said = |part: &Part| match (door, part) {
        (Door::Messages, part) => Some(part.clone()),
        (_, Part::SearchResult(text)) => Some(Part::Text(text.clone())),
        (Door::Chat, Part::Text(_)) => Some(part.clone()),
        (Door::Chat, _) if in_result => None,
        (_, part) => Some(part.clone()),
    };
    let mut said: Vec<Part> = parts.iter().filter_map(said).collect();
    if said.is_empty() && !(in_result && door == Door::Messages) {
        said.push(Part::Text(String::new()));
    }
    said
}

fn says_something(parts: &[Part]) -> bool {
    parts.iter().any(|part| !matches!(part, Part::Text(text) if reference::is_blank(text)))
}

/// What the API is to say.
fn message(answer: &Answer, own: &[Said]) -> Message {
    let mut said = own.iter();
    let mut blocks: Vec<Spoken> = Vec::new();
    if answer.end != End::Nothing {
        for (at, block) in answer.blocks.iter().enumerate() {
            match block {
                // None is known to be an answer's last.
                Block::Unknown if at + 1 == answer.blocks.len() => {}
                Block::Unknown => {
                    let start = json!({"type": reference::UNKNOWN, "from": {"model": "a"}, "to": {"model": "b"}});
                    blocks.push(Spoken::Given { start, deltas: Vec::new() });
                }
                _ => blocks.extend(said.next().map(|said| spoken(said, answer.pieces))),
            }
        }
    }
    blocks.extend(said.map(|said| spoken(said, answer.pieces)));
    let usage = json!({"input_tokens": answer.input_tokens, "cache_read_input_tokens": reference::CACHED,
        "cache_creation_input_tokens": reference::WRITTEN, "output_tokens": 1});
    let stop = reference::stop(answer, own);
    let details =
        if stop == "refusal" { json!({"type": "refusal", "category": null, "explanation": null}) } else { Value::Null };
    let output_tokens = Some(answer.output_tokens);
    Message { stop, details, usage: Some(usage), output_tokens, ..Message::said(blocks) }
}

fn spoken(said: &Said, pieces: usize) -> Spoken {
    let deltas = |kind: &str, field: &str, text: &str| -> Vec<Value> {
        let characters: Vec<char> = text.chars().collect();
        let pieces = characters.chunks(characters.len().div_ceil(pieces).max(1));
        pieces.map(|piece| json!({"type": kind, field: piece.iter().collect::<String>()})).collect()
    };
    let (start, deltas) = match said {
        Said::Text(text) => (json!({"type": "text", "text": ""}), deltas("text_delta", "text", text)),
        Said::Thinking { text, signature, .. } => {
            let mut deltas = deltas("thinking_delta", "thinking", text);
            deltas.push(json!({"type": "signature_delta", "signature": signature}));
            (json!({"type": "thinking", "thinking": "", "signature": ""}), deltas)
        }
        Said::Redacted { data, .. } => (json!({"type": "redacted_thinking", "data": data}), Vec::new()),
        Said::Server(block) => (block.clone(), Vec::new()),
        Said::Call { id, name, arguments, .. } => (
            json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
            deltas("input_json_delta", "partial_json", arguments),
        ),
    };
    Spoken::Given { start, deltas }
}

/// Compares what the model is told.
fn compare_told(exchange: &mut Exchange, mut right: Told, mut got: Told) {
    unfold(exchange, &right, &mut got);
    known::forgive(&mut right, &mut got);
    for name in ["model", "max_tokens", "thinking", "output_config", "stop_sequences", "temperature", "tool_choice"] {
        let (right, got) = (right.settings.get(name), got.settings.get(name));
        if right != got {
            exchange.differs(name, json!(right), json!(got));
        }
    }
    if right.system != got.system {
        exchange.differs(
            &format!("the system prompt {}", how(&right.system, &got.system)),
            json!(right.system),
            json!(got.system),
        );
    }
    let names = |tools: &[Value]| tools.iter().map(|tool| tool["name"].clone()).collect::<Value>();
    if names(&right.tools) != names(&got.tools) {
        exchange.differs("the tools' names", names(&right.tools), names(&got.tools));
    } else {
        for (right, got) in right.tools.iter().zip(&got.tools) {
            compare(exchange, "tool", right, got);
        }
    }
    let shape = |turns: &[reference::Turn]| {
        let blocks = |blocks: &[Value]| {
            blocks.iter().map(|block| block["type"].as_str().unwrap_or("?").to_owned()).collect::<Vec<_>>()
        };
        turns.iter().map(|turn| format!("{}{:?}", turn.role, blocks(&turn.forms[0]))).collect::<Vec<_>>().join(" ")
    };
    let roles = |turns: &[reference::Turn]| turns.iter().map(|turn| turn.role.clone()).collect::<Vec<_>>();
    if roles(&right.turns) != roles(&got.turns) {
        let steered = got.turns.iter().any(|turn| turn.role == "system");
        let what = if steered { "a turn is of the role system" } else { "the roles of the turns" };
        let got =
            format!("{}: {}", shape(&got.turns), shortened(&json!(got.turns.last().map(|turn| turn.forms[0].clone()))));
        exchange.differs(what, shape(&right.turns), got);
        return;
    }
    for (right, got) in right.turns.iter().zip(&got.turns) {
        // The form that is nearest.
        let trials = right.forms.iter().map(|form| {
            let mut trial = Exchange {
                ask: exchange.ask.again(),
                request: Value::Null,
                place: exchange.place,
                ignored: String::new(),
                differences: Vec::new(),
            };
            compare_blocks(&mut trial, &right.role, form, &got.forms[0]);
            trial.differences
        });
        let far = |found: &Vec<Difference>| (found.iter().any(|it| it.kind.ends_with("other blocks")), found.len());
        let mut nearest = trials.min_by_key(far).unwrap_or_default();
        nearest.iter_mut().for_each(|difference| difference.request = exchange.request.clone());
        exchange.differences.extend(nearest);
    }
}

/// Puts back what we say in the system prompt because it fits nowhere else: definitions of tools that the CLI changes, and what `tool_choice` and `parallel_tool_calls` ask for.
fn unfold(exchange: &mut Exchange, right: &Told, got: &mut Told) {
    let Some(rest) = got.system.strip_prefix(&right.system) else { return };
    let mut rest = rest.to_owned();
    for (right, got) in right.tools.iter().zip(&mut got.tools) {
        // Below a heading that names the tool.
        let name = |text: &str| text.split("mcp__c__").nth(1)?.split([',', ' ', ':', '\n']).next().map(str::to_owned);
        let is_its = |heading: &str| {
            let name = name(heading).map(|name| json!(format!("mcp__c__{name}")));
            name.is_some_and(|name| right["name"] == reference::client_name(&name, &exchange.ask.conversation.tools))
        };
        let heading = rest.match_indices("mcp__c__").find(|(at, _)| is_its(&rest[*at..]));
        let Some((at, _)) = heading else { continue };
        let (Some(start), Some(line)) = (rest[..at].rfind("\n\n").or(Some(0)), rest[at..].find('\n')) else { continue };
        let exact = &rest[at + line + 1..];
        let mut values = serde_json::Deserializer::from_str(exact).into_iter::<Value>();
        let Some(Ok(definition)) = values.next() else { continue };
        let length = values.byte_offset();
        got["description"] = definition["description"].clone();
        let schema = &definition["parameters"];
        let known = reference::schema(exchange.ask.conversation.door, Some(schema).filter(|schema| !schema.is_null()));
        got["input_schema"] = known;
        rest.replace_range(start..at + line + 1 + length, "");
    }
    let settings = exchange.ask.settings;
    let mut asks = Vec::new();
    if !right.tools.is_empty() {
        match settings.choice {
            Choice::Required => asks.push("must call at least one of the tools"),
            Choice::Function(_) => asks.push("must call the tool mcp__c__"),
            Choice::Auto | Choice::None => {}
        }
        asks.extend(settings.one_call.then_some("at most one tool at a time"));
    }
    for asked in asks {
        let paragraphs: Vec<&str> = rest.split("\n\n").collect();
        match paragraphs.iter().position(|paragraph| paragraph.contains(asked)) {
            Some(at) => rest = [&paragraphs[..at], &paragraphs[at + 1..]].concat().join("\n\n"),
            None => exchange.differs("the model is not told what tool_choice asks for", asked, &rest),
        }
    }
    got.system = format!("{}{}", right.system, rest.trim_end());
}

fn compare_blocks(exchange: &mut Exchange, place: &str, right: &[Value], got: &[Value]) {
    let kinds = |blocks: &[Value]| blocks.iter().map(|block| block["type"].clone()).collect::<Value>();
    if kinds(right) != kinds(got) {
        exchange.differs(
            &format!("{place}: other blocks"),
            shortened(&Value::from(right)),
            shortened(&Value::from(got)),
        );
        return;
    }
    for (right, got) in right.iter().zip(got) {
        if right == got {
            continue;
        }
        let kind = right["type"].as_str().unwrap_or("?");
        if kind == "tool_result" {
            let blocks = |block: &Value| block["content"].as_array().cloned().unwrap_or_default();
            compare_blocks(exchange, &format!("{place}.tool_result"), &blocks(right), &blocks(got));
            for field in ["id", "is_error"] {
                if right[field] != got[field] {
                    exchange.differs(&format!("{place}.tool_result.{field}"), &right[field], got);
                }
            }
        } else {
            compare(exchange, &format!("{place}.{kind}"), right, got);
        }
    }
}

/// Compares two objects, field by field.
fn compare(exchange: &mut Exchange, place: &str, right: &Value, got: &Value) {
    let names = right.as_object().into_iter().chain(got.as_object()).flat_map(|fields| fields.keys());
    let mut names: Vec<&String> = names.collect();
    names.sort();
    names.dedup();
    for name in names {
        let (right, got) = (&right[name], &got[name]);
        // Where nothing is known to be right, all is.
        if right == got || (name == "input" && right.is_null()) {
            continue;
        }
        match (right.as_str(), got.as_str()) {
            (Some(one), Some(other)) => exchange.differs(&format!("{place}.{name} {}", how(one, other)), right, got),
            _ => exchange.differs(&format!("{place}.{name} {}", changed(right, got)), shortened(right), shortened(got)),
        }
    }
}

/// How a text was changed.
fn how(right: &str, got: &str) -> &'static str {
    let bare = |text: &str| text.chars().filter(|character| !character.is_whitespace()).collect::<String>();
    match () {
        () if got.is_empty() => "is missing",
        () if right.trim() == got => "is trimmed",
        () if bare(right) == bare(got) => "differs in white space",
        () if known::normalised(right) == known::normalised(got) => "is normalised",
        () if right.starts_with(got) => "is cut",
        () if got.contains(right) => "is added to",
        () => "is another",
    }
}

/// How JSON was changed.
fn changed(right: &Value, got: &Value) -> &'static str {
    match () {
        () if known::rounded(right) == known::rounded(got) => "has rounded numbers",
        () if known::normalised(&right.to_string()) == known::normalised(&got.to_string()) => "is normalised",
        () if known::without_proto(right) == known::without_proto(got) => "has lost __proto__",
        () => "is another",
    }
}

fn compare_heard(exchange: &mut Exchange, unknown: bool, right: &Heard, got: &Heard) {
    let door = exchange.ask.conversation.door;
    let form = if exchange.ask.streamed { "streamed" } else { "plain" };
    let form = &if unknown { format!("{form}, behind an unknown block") } else { form.to_owned() };
    exchange.place = "answer";
    compare_blocks(exchange, form, &comparable(door, &right.said), &comparable(door, &got.said));
    if right.stop != got.stop {
        exchange.differs(
            &format!("{form}: stops for {} where {} is right", got.stop, right.stop),
            &right.stop,
            &got.stop,
        );
    }
    if right.usage != got.usage {
        exchange.differs(
            &format!("{form}: usage where it stops for {}", right.stop),
            json!(right.usage),
            json!(got.usage),
        );
    }
}
