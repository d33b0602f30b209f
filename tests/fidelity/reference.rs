//! What is right: the request of the Messages API that a client's request means, and the answer that the client is to get.
//!
//! By the documentation of the three APIs, and by what `examples/claude-max-api/api.md` and the crate's documentation promise
//! where those APIs differ. Nothing of `src` is used.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::conversation::{Answer, Block, CallResult, Choice, Door, End, Part, Settings, System, Tool};
use super::dialects::{Ask, Assistant, Entry, Heard, Said, block, input};

/// What the model gets, in a form that can be compared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// Model, limit, effort and thinking.
    pub(crate) settings: Map<String, Value>,
    pub(crate) system: String,
    /// By their names.
    pub(crate) tools: Vec<Value>,
    pub(crate) turns: Vec<Turn>,
}

#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) role: String,
    /// Its blocks. There are several forms of what the model itself has said: as it said it, and as the client's API has it.
    pub(crate) forms: Vec<Vec<Value>>,
}

impl Told {
    /// Adds what the model has said without its thinking.
    pub(crate) fn add_thoughtless(&mut self) {
        let is_thought = |block: &Value| block["type"] == "thinking" || block["type"] == "redacted_thinking";
        for turn in self.turns.iter_mut().filter(|turn| turn.role == "assistant") {
            let mut without = turn.forms.clone();
            without.iter_mut().for_each(|form| form.retain(|block| !is_thought(block)));
            turn.forms.extend(without);
        }
    }
}

/// What a request is by default, by model.
pub(crate) type Defaults = HashMap<String, Map<String, Value>>;

/// The tools that the model may be offered.
pub(crate) fn offered<'a>(tools: &'a [Tool], settings: &Settings) -> Vec<&'a Tool> {
    match settings.choice {
        Choice::None => Vec::new(),
        Choice::Function(which) if !tools.is_empty() => vec![&tools[which % tools.len()]],
        _ => tools.iter().collect(),
    }
}

/// The settings that a body of the Messages API has.
pub(crate) fn settings(body: &Value) -> Map<String, Value> {
    let fields = ["model", "max_tokens", "thinking", "output_config", "stop_sequences", "temperature", "tool_choice"];
    fields.iter().filter_map(|name| Some(((*name).to_owned(), body.get(*name)?.clone()))).collect()
}

/// What the model is to get of a request.
pub(crate) fn told(ask: &Ask, defaults: &Defaults) -> Told {
    let conversation = ask.conversation;
    let mut settings = defaults[ask.model].clone();
    let own_default = (conversation.door == Door::Messages).then_some(8000);
    if let Some(limit) = ask.settings.max_tokens.or(own_default) {
        settings.insert("max_tokens".to_owned(), json!(limit));
    }
    if conversation.thinks && conversation.door != Door::Chat {
        settings["thinking"]["display"] = json!("summarized");
    }
    match ask.settings.effort {
        // Messages has no such effort.
        Some("none") if conversation.door == Door::Messages => {}
        Some("none") => {
            settings.insert("output_config".to_owned(), json!({"effort": "low"}));
            settings.shift_remove("thinking");
        }
        Some(effort) => drop(settings.insert("output_config".to_owned(), json!({"effort": effort}))),
        None => {}
    }
    let leading = ask.entries.iter().take_while(|entry| matches!(entry, Entry::System(_))).count();
    let (system, entries) = ask.entries.split_at(leading);
    let system: Vec<String> = system.iter().filter_map(instructions).collect();
    // The system prompt of Messages is one, of several blocks.
    let between = if conversation.door == Door::Messages { "\n" } else { "\n\n" };
    let offered = offered(&conversation.tools, ask.settings).into_iter();
    let mut tools: Vec<Value> = offered.map(|offered| tool(conversation.door, offered)).collect();
    tools.sort_by_key(|tool| tool["name"].to_string());
    Told { settings, system: system.join(between), tools, turns: turns(conversation.door, entries) }
}

fn tool(door: Door, tool: &Tool) -> Value {
    let description = tool.description.as_deref().unwrap_or_default();
    json!({"name": tool.name, "description": description, "input_schema": schema(door, tool.schema.as_ref())})
}

/// Parameters as the API has them: of an object.
pub(crate) fn schema(door: Door, schema: Option<&Value>) -> Value {
    // "Omitting parameters defines a function with an empty parameter list" (Chat Completions).
    let none = if door == Door::Messages { json!({}) } else { json!({"properties": {}}) };
    let mut schema = schema.cloned().unwrap_or(none);
    schema["type"] = json!("object");
    number(schema)
}

/// The text of a system message.
fn instructions(entry: &Entry) -> Option<String> {
    let Entry::System(System { texts, .. }) = entry else { return None };
    Some(texts.join("\n")).filter(|text| !is_blank(text))
}

/// The API refuses texts that are blank, so they are left out.
pub(crate) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn text(text: impl Into<String>) -> Value {
    json!({"type": "text", "text": text.into()})
}

/// The conversation: the user's messages and results in a row are one turn, results first.
fn turns(door: Door, entries: &[Entry]) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut calls = 0;
    for entry in entries {
        let (role, forms) = match entry {
            // The API has system messages within a conversation for Claude Code alone; elsewhere they are the user's to bring.
            Entry::System(_) => {
                let reminder = instructions(entry).map(|said| format!("<system-reminder>\n{said}\n</system-reminder>"));
                ("user", vec![reminder.map(text).into_iter().collect::<Vec<Value>>()])
            }
            Entry::User { name, parts } => ("user", vec![named(*name, blocks(door, parts))]),
            Entry::Result(id, result) => ("user", vec![vec![self::result(door, numbers[id.as_str()], result)]]),
            Entry::Assistant(assistant) => {
                let first = calls;
                for said in &assistant.said {
                    if let Said::Call { id, .. } = said {
                        numbers.insert(id, calls);
                        calls += 1;
                    }
                }
                ("assistant", forms(door, assistant, first))
            }
        };
        match turns.last_mut() {
            Some(last) if last.role == role => {
                for (last, more) in last.forms.iter_mut().zip(forms) {
                    last.extend(more);
                }
            }
            _ => turns.push(Turn { role: role.to_owned(), forms }),
        }
    }
    for turn in turns.iter_mut().filter(|turn| turn.role == "user") {
        turn.forms.iter_mut().for_each(|blocks| sort_results(blocks));
    }
    turns.retain(|turn| turn.forms.iter().any(|form| !form.is_empty()));
    turns
}

/// Results first, in the order of their calls, which is of no meaning to the API.
fn sort_results(blocks: &mut [Value]) {
    blocks.sort_by_key(|block| if block["type"] == "tool_result" { block["id"].as_u64() } else { Some(u64::MAX) });
}

/// Parts as blocks. At OpenAI's doors parts that are all texts are lines of one.
fn blocks(door: Door, parts: &[Part]) -> Vec<Value> {
    let all: Option<Vec<&str>> =
        parts.iter().map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None }).collect();
    let blocks: Vec<Value> = match all {
        Some(texts) if door != Door::Messages => vec![text(texts.join("\n"))],
        _ => parts.iter().map(block).collect(),
    };
    blocks.into_iter().filter(|block| block["type"] != "text" || !is_blank(block["text"].as_str().unwrap())).collect()
}

fn named(name: Option<&str>, mut blocks: Vec<Value>) -> Vec<Value> {
    let Some(name) = name else { return blocks };
    match blocks.iter_mut().find(|block| block["type"] == "text") {
        Some(block) => block["text"] = json!(format!("{name}: {}", block["text"].as_str().unwrap())),
        None => blocks.insert(0, text(format!("{name}:"))),
    }
    blocks
}

fn result(door: Door, call: usize, result: &CallResult) -> Value {
    json!({"type": "tool_result", "id": call, "content": blocks(door, &result.parts), "is_error": result.is_error})
}

fn forms(door: Door, assistant: &Assistant, first: usize) -> Vec<Vec<Value>> {
    let own = assistant.own.as_deref().unwrap_or_default();
    let mut thoughts = own.iter().filter(|said| matches!(said, Said::Thinking { .. } | Said::Redacted { .. }));
    let mut client: Vec<Said> = Vec::new();
    for said in &assistant.said {
        match (said, client.last_mut()) {
            (Said::Thinking { .. } | Said::Redacted { .. }, _) if door == Door::Chat => {}
            // What is sealed opens again.
            (Said::Thinking { .. } | Said::Redacted { .. }, _) if door == Door::Responses => {
                client.push(thoughts.next().unwrap_or(said).clone());
            }
            (Said::Text(more), Some(Said::Text(text))) if door == Door::Chat => text.push_str(more),
            _ => client.push(said.clone()),
        }
    }
    let mut forms = vec![said_blocks(&client, first)];
    if door == Door::Responses {
        // Messages of one answer, with a blank line between them as within one.
        let mut joined: Vec<Said> = Vec::new();
        for said in client {
            match (&said, joined.last_mut()) {
                (Said::Text(more), Some(Said::Text(text))) => *text = format!("{text}\n\n{more}"),
                _ => joined.push(said),
            }
        }
        forms.push(said_blocks(&joined, first));
    }
    if let Some(own) = &assistant.own {
        forms.push(said_blocks(own, first));
    }
    forms
}

fn said_blocks(said: &[Said], first: usize) -> Vec<Value> {
    let mut call = first;
    let block = |said: &Said| match said {
        Said::Text(said) => (!is_blank(said)).then(|| text(said)),
        Said::Thinking { text, signature, .. } => {
            Some(json!({"type": "thinking", "thinking": text, "signature": signature}))
        }
        Said::Redacted { data, .. } => Some(json!({"type": "redacted_thinking", "data": data})),
        // Of what the servers did the model has the text, and that is in a summary alone.
        Said::Server(block) => block["content"].as_str().map(text),
        Said::Call { name, arguments, cut, .. } => {
            call += 1;
            // What is to become of arguments that are not whole, no documentation says.
            let input = if *cut { Value::Null } else { number(input(arguments)) };
            Some(json!({"type": "tool_use", "id": call - 1, "name": name, "input": input}))
        }
    };
    said.iter().filter_map(block).collect()
}

/// JSON in which 1.0 is 1: there is one kind of numbers.
fn number(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => json!(float as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(number).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, number(value))).collect(),
        other => other,
    }
}

/// How the CLI's own notes to the model begin.
const NOTES: [&str; 2] = [
    "# Environment\nYou have been invoked in the following environment:",
    // 2.1.252.
    "<system-reminder>\nAs you answer the user's questions, you can use the following context:",
];

/// What the model has got: a body that reached the Messages API, without what the CLI adds for itself.
pub(crate) fn got(body: &Value, tools: &[Tool]) -> Told {
    let list = |value: &Value| match value {
        Value::String(said) => vec![text(said)],
        value => value.as_array().cloned().unwrap_or_default(),
    };
    // The first is the CLI's accounting line, the second says that it is an agent's SDK.
    let system = list(&body["system"]).into_iter().skip(2).map(|block| block["text"].as_str().unwrap().to_owned());
    let system: Vec<String> = system.collect();
    let offered = body["tools"].as_array().into_iter().flatten();
    let mut got_tools: Vec<Value> = offered
        .map(|tool| {
            json!({"name": client_name(&tool["name"], tools), "description": tool["description"].as_str().unwrap_or_default(),
                "input_schema": number(tool["input_schema"].clone())})
        })
        .collect();
    got_tools.sort_by_key(|tool| tool["name"].to_string());
    let mut turns: Vec<Turn> = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut calls = 0;
    for message in body["messages"].as_array().into_iter().flatten() {
        let role = message["role"].as_str().unwrap_or_default();
        let mut blocks = list(&message["content"]);
        blocks.retain(|block| {
            !block["text"].as_str().is_some_and(|text| NOTES.iter().any(|note| text.starts_with(note)))
        });
        if blocks.is_empty() && role == "system" {
            continue;
        }
        for block in &mut blocks {
            let fields = block.as_object_mut().unwrap();
            fields.shift_remove("cache_control");
            match fields["type"].as_str() {
                Some("tool_use") => {
                    numbers.insert(fields["id"].to_string(), calls);
                    *block = json!({"type": "tool_use", "id": calls, "name": client_name(&fields["name"], tools),
                        "input": number(fields["input"].clone())});
                    calls += 1;
                }
                Some("tool_result") => {
                    let content = list(fields.get("content").unwrap_or(&Value::Null));
                    *block = json!({"type": "tool_result", "id": numbers.get(&fields["tool_use_id"].to_string()),
                        "content": content, "is_error": fields.get("is_error").is_some_and(|is| *is == true)});
                }
                _ => {}
            }
        }
        blocks.retain(|block| block["type"] != UNKNOWN);
        if role == "user" {
            sort_results(&mut blocks);
        }
        match turns.last_mut() {
            Some(last) if last.role == role => last.forms[0].extend(blocks),
            _ => turns.push(Turn { role: role.to_owned(), forms: vec![blocks] }),
        }
    }
    Told { settings: settings(body), system: system.join("\n\n"), tools: got_tools, turns }
}

/// The type of a block that nobody knows.
pub(crate) const UNKNOWN: &str = "fallback";

/// The client's name of a tool. The CLI puts a prefix before it, and the API takes 64 characters.
pub(crate) fn client_name(wire: &Value, tools: &[Tool]) -> String {
    let wire = wire.as_str().unwrap_or_default();
    let Some(name) = wire.strip_prefix("mcp__c__") else { return wire.to_owned() };
    let is_short_for = |tool: &&Tool| name.len() == 56 && tool.name.len() > 56 && tool.name[..47] == name[..47];
    tools.iter().find(is_short_for).map_or(name, |tool| tool.name.as_str()).to_owned()
}

/// What the model says.
pub(crate) fn own(answer: &Answer, turn: &str, tools: &[&Tool], one_call: bool) -> Vec<Said> {
    if answer.end == End::Nothing {
        return Vec::new();
    }
    let signed = |at: usize| format!("signed-{turn}-{at}");
    let block = |(at, block): (usize, &Block)| match block {
        Block::Text(text) => Some(Said::Text(text.clone())),
        Block::Thinking(text) => Some(Said::Thinking { text: text.clone(), signature: signed(at), item: Value::Null }),
        Block::Redacted => Some(Said::Redacted { data: signed(at), item: Value::Null }),
        Block::Unknown => None,
    };
    let mut said: Vec<Said> = answer.blocks.iter().enumerate().filter_map(block).collect();
    if !tools.is_empty() && !matches!(answer.end, End::Refused | End::Window | End::Paused) {
        let most = if one_call { 1 } else { answer.calls.len() };
        for (at, (tool, arguments)) in answer.calls[..most.min(answer.calls.len())].iter().enumerate() {
            said.push(Said::Call {
                // As long as the API's own.
                id: format!("toolu_01{:0>22}", format!("{turn}{at}").replace(|c: char| !c.is_ascii_alphanumeric(), "")),
                name: tools[tool % tools.len()].name.clone(),
                arguments: arguments.clone(),
                cut: false,
            });
        }
    }
    if let Some(Said::Call { arguments, cut, .. }) = said.last_mut().filter(|_| answer.end == End::Cut) {
        let half = (0..=arguments.len() / 2).rev().find(|at| arguments.is_char_boundary(*at)).unwrap();
        arguments.truncate(half);
        *cut = true;
    }
    if !said.iter().any(|said| matches!(said, Said::Text(_) | Said::Call { .. })) {
        said.push(Said::Text("Done.".to_owned()));
    }
    said
}

/// Why the API says that an answer ended.
pub(crate) fn stop(answer: &Answer, own: &[Said]) -> &'static str {
    match answer.end {
        End::Done if own.iter().any(|said| matches!(said, Said::Call { .. })) => "tool_use",
        End::Done | End::Nothing => "end_turn",
        End::Cut => "max_tokens",
        End::Refused => "refusal",
        End::Window => "model_context_window_exceeded",
        End::Paused => "pause_turn",
    }
}

/// What the client is to hear of an answer.
pub(crate) fn heard(door: Door, thinks: bool, answer: &Answer, own: &[Said]) -> Heard {
    let mut said: Vec<Said> = Vec::new();
    // Thinking parts the messages of Responses even if it is not shown.
    let mut parted = false;
    for own in own {
        match (door, own, said.last_mut()) {
            // Only the signature of thinking that the client has not asked for.
            (Door::Messages, Said::Thinking { signature, .. }, _) if !thinks => {
                said.push(Said::Thinking { text: String::new(), signature: signature.clone(), item: Value::Null })
            }
            (Door::Responses, Said::Thinking { .. } | Said::Redacted { .. }, _) if !thinks => parted = true,
            (Door::Chat, Said::Redacted { .. }, _) => {}
            // One message, whose texts a blank line sets apart.
            (Door::Chat | Door::Responses, Said::Text(more), Some(Said::Text(text))) if !parted => {
                text.push_str("\n\n");
                text.push_str(more);
            }
            _ => {
                said.push(own.clone());
                parted = false;
            }
        }
    }
    if door == Door::Chat {
        // All thinking, all text, all calls.
        let of = |said: &Said| matches!(said, Said::Thinking { .. }) as usize;
        let thought: String = said
            .iter()
            .filter_map(|said| if let Said::Thinking { text, .. } = said { Some(text.as_str()) } else { None })
            .collect();
        said.retain(|said| of(said) == 0);
        let texts: Vec<String> = said
            .iter()
            .filter_map(|said| if let Said::Text(text) = said { Some(text.clone()) } else { None })
            .collect();
        said.retain(|said| !matches!(said, Said::Text(_)));
        if !texts.is_empty() {
            said.insert(0, Said::Text(texts.join("\n\n")));
        }
        if !thought.is_empty() {
            said.insert(0, Said::Thinking { text: thought, signature: String::new(), item: Value::Null });
        }
    }
    let calls = own.iter().any(|said| matches!(said, Said::Call { .. }));
    let stop = match (door, answer.end) {
        (Door::Messages, _) => stop(answer, own),
        (Door::Chat, End::Done) if calls => "tool_calls",
        (Door::Chat, End::Done | End::Nothing | End::Paused) => "stop",
        (Door::Chat, End::Cut | End::Window) => "length",
        (Door::Chat, End::Refused) => "content_filter",
        (Door::Responses, End::Done | End::Nothing | End::Paused) => "completed",
        (Door::Responses, End::Cut | End::Window) => "incomplete: max_output_tokens",
        (Door::Responses, End::Refused) => "incomplete: content_filter",
    };
    let input = u64::from(answer.input_tokens);
    Heard {
        said,
        stop: stop.to_owned(),
        usage: [input + CACHED + WRITTEN, CACHED, answer.output_tokens.into()],
        error: None,
    }
}

/// How many tokens more each answer says were read from the prompt cache, and written to it.
pub(crate) const CACHED: u64 = 700;
pub(crate) const WRITTEN: u64 = 30;

/// What a client has heard, for comparison.
pub(crate) fn comparable(door: Door, said: &[Said]) -> Vec<Value> {
    let one = |said: &Said| match said {
        Said::Text(said) => text(said),
        // Elsewhere it is sealed.
        Said::Thinking { text, signature, .. } if door == Door::Messages => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        Said::Thinking { text, .. } => json!({"type": "thinking", "thinking": text}),
        Said::Redacted { data, .. } if door == Door::Messages => json!({"type": "redacted_thinking", "data": data}),
        Said::Redacted { .. } => json!({"type": "redacted_thinking"}),
        Said::Server(block) => block.clone(),
        Said::Call { name, cut: true, .. } => json!({"type": "tool_use", "name": name, "input": null}),
        Said::Call { name, arguments, .. } if door == Door::Messages || is_blank(arguments) => {
            json!({"type": "tool_use", "name": name, "input": input(arguments).to_string()})
        }
        Said::Call { name, arguments, .. } => json!({"type": "tool_use", "name": name, "input": arguments}),
    };
    said.iter().map(one).collect()
}
