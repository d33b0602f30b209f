//! The three APIs as their clients know them: a request of each, and what a client makes of an answer.
//!
//! By <https://platform.openai.com/docs/api-reference/chat>, <https://platform.openai.com/docs/api-reference/responses> and
//! <https://docs.anthropic.com/en/api/messages>.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::conversation::{CallResult, Choice, Conversation, Door, Part, Picture, Settings, System};
use super::files;

/// One entry of a client's history.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    System(System),
    User {
        name: Option<&'static str>,
        parts: Vec<Part>,
    },
    /// The result of the call with this id.
    Result(String, CallResult),
    Assistant(Assistant),
}

/// What a client has of an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assistant {
    pub(crate) said: Vec<Said>,
    /// What the model itself has said, if it was not the client that made it up.
    pub(crate) own: Option<Vec<Said>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Text(String),
    /// With its signature. `item` is what a client of Responses sends back in its place.
    Thinking {
        text: String,
        signature: String,
        item: Value,
    },
    Redacted {
        data: String,
        item: Value,
    },
    /// A block of Anthropic's servers.
    Server(Value),
    /// `cut`: its arguments are not whole.
    Call {
        id: String,
        name: String,
        arguments: String,
        cut: bool,
    },
}

/// All of a request but its form.
pub(crate) struct Ask<'a> {
    pub(crate) conversation: &'a Conversation,
    pub(crate) entries: &'a [Entry],
    pub(crate) settings: &'a Settings,
    pub(crate) model: &'a str,
    pub(crate) streamed: bool,
}

impl<'a> Ask<'a> {
    pub(crate) fn again(&self) -> Ask<'a> {
        Ask { ..*self }
    }

    pub(crate) fn path(&self) -> &'static str {
        match self.conversation.door {
            Door::Chat => "/v1/chat/completions",
            Door::Responses => "/v1/responses",
            Door::Messages => "/v1/messages",
        }
    }

    pub(crate) fn body(&self) -> Value {
        let mut body = match self.conversation.door {
            Door::Chat => self.chat(),
            Door::Responses => self.responses(),
            Door::Messages => self.messages(),
        };
        body["model"] = json!(self.model);
        if self.streamed {
            body["stream"] = json!(true);
        }
        if self.settings.temperature {
            body["temperature"] = json!(0.5);
        }
        body
    }

    fn chat(&self) -> Value {
        let mut body = json!({"messages": self.entries.iter().map(chat_message).collect::<Vec<_>>()});
        let tools = self.conversation.tools.iter().map(|tool| {
            let mut function = json!({"name": tool.name});
            set(&mut function, "description", tool.description.as_ref());
            set(&mut function, "parameters", tool.schema.as_ref());
            set(&mut function, "strict", tool.strict.then_some(true));
            json!({"type": "function", "function": function})
        });
        let function = |name: &str| json!({"type": "function", "function": {"name": name}});
        self.offer(&mut body, tools.collect(), function);
        set(&mut body, "max_completion_tokens", self.settings.max_tokens);
        set(&mut body, "reasoning_effort", self.settings.effort);
        if self.streamed {
            body["stream_options"] = json!({"include_usage": true});
        }
        body
    }

    fn responses(&self) -> Value {
        let mut entries = self.entries;
        let mut body = json!({"store": false});
        if let Some((Entry::System(System { developer: false, texts }), rest)) = entries.split_first()
            && let [text] = texts.as_slice()
        {
            body["instructions"] = json!(text);
            entries = rest;
        }
        body["input"] = entries.iter().flat_map(items).collect();
        let tools = self.conversation.tools.iter().map(|tool| {
            let mut function = json!({"type": "function", "name": tool.name, "strict": tool.strict.then_some(true)});
            set(&mut function, "description", tool.description.as_ref());
            function["parameters"] = tool.schema.clone().unwrap_or_default();
            function
        });
        self.offer(&mut body, tools.collect(), |name| json!({"type": "function", "name": name}));
        set(&mut body, "max_output_tokens", self.settings.max_tokens);
        let mut reasoning = json!({});
        set(&mut reasoning, "effort", self.settings.effort);
        if self.conversation.thinks {
            reasoning["summary"] = json!("auto");
            body["include"] = json!(["reasoning.encrypted_content"]);
        }
        body["reasoning"] = reasoning;
        body
    }

    /// The tools of OpenAI's APIs, and which of them may be called.
    fn offer(&self, body: &mut Value, tools: Vec<Value>, function: impl Fn(&str) -> Value) {
        let offered = &self.conversation.tools;
        if offered.is_empty() {
            return;
        }
        body["tools"] = Value::Array(tools);
        match self.settings.choice {
            Choice::Auto => {}
            Choice::None => body["tool_choice"] = json!("none"),
            Choice::Required => body["tool_choice"] = json!("required"),
            Choice::Function(which) => body["tool_choice"] = function(&offered[which % offered.len()].name),
        }
        if self.settings.one_call {
            body["parallel_tool_calls"] = json!(false);
        }
    }

    fn messages(&self) -> Value {
        let leading = self.entries.iter().take_while(|entry| matches!(entry, Entry::System(_))).count();
        let (system, entries) = self.entries.split_at(leading);
        let texts = system.iter().flat_map(|entry| match entry {
            Entry::System(system) => system.texts.clone(),
            _ => Vec::new(),
        });
        let texts: Vec<String> = texts.collect();
        let mut body = json!({"max_tokens": self.settings.max_tokens.unwrap_or(8000)});
        match texts.as_slice() {
            [] => {}
            [text] => body["system"] = json!(text),
            texts => body["system"] = texts.iter().map(|text| json!({"type": "text", "text": text})).collect(),
        }
        let mut messages: Vec<Value> = Vec::new();
        let mut follows = false;
        for entry in entries {
            let (role, content) = match entry {
                Entry::System(system) => ("system", text_blocks(&system.texts)),
                Entry::User { parts, .. } => ("user", parts.iter().map(block).collect()),
                Entry::Result(id, result) => ("user", vec![tool_result(id, result)]),
                Entry::Assistant(assistant) => ("assistant", assistant.said.iter().map(said_block).collect()),
            };
            // Results stand in one message, and what the user says besides in the same.
            let is_result = matches!(entry, Entry::Result(..));
            match messages.last_mut() {
                Some(last) if follows && role == "user" => last["content"].as_array_mut().unwrap().extend(content),
                _ => messages.push(json!({"role": role, "content": content})),
            }
            follows = is_result;
        }
        let users = messages.iter_mut().filter(|message| message["role"] == "user").rev();
        let blocks = users.flat_map(|message| message["content"].as_array_mut().unwrap().iter_mut().rev());
        let markable = |block: &&mut Value| !block["text"].as_str().is_some_and(|text| text.trim().is_empty());
        for block in blocks.filter(markable).take(self.conversation.marks) {
            block["cache_control"] = json!({"type": "ephemeral"});
        }
        for message in &mut messages {
            // A string is short for one text.
            if let [only] = message["content"].as_array().unwrap().as_slice()
                && only["type"] == "text"
                && only["cache_control"].is_null()
            {
                message["content"] = only["text"].clone();
            }
        }
        body["messages"] = Value::Array(messages);
        let offered = &self.conversation.tools;
        if !offered.is_empty() {
            let tools = offered.iter().map(|tool| {
                let mut schema = tool.schema.clone().unwrap_or_else(|| json!({}));
                schema["type"] = json!("object");
                let mut tool_ = json!({"name": tool.name, "input_schema": schema});
                set(&mut tool_, "description", tool.description.as_ref());
                tool_
            });
            body["tools"] = tools.collect();
            let mut choice = match self.settings.choice {
                Choice::Auto => json!({"type": "auto"}),
                Choice::None => json!({"type": "none"}),
                Choice::Required => json!({"type": "any"}),
                Choice::Function(which) => json!({"type": "tool", "name": offered[which % offered.len()].name}),
            };
            if self.settings.one_call {
                choice["disable_parallel_tool_use"] = json!(true);
            }
            if choice != json!({"type": "auto"}) {
                body["tool_choice"] = choice;
            }
        }
        if self.conversation.thinks {
            body["thinking"] = json!({"type": "adaptive", "display": "summarized"});
        }
        if let Some(effort) = self.settings.effort.filter(|effort| *effort != "none") {
            body["output_config"] = json!({"effort": effort});
        }
        body
    }
}

fn set(object: &mut Value, name: &str, value: Option<impl serde::Serialize>) {
    if let Some(value) = value {
        object[name] = json!(value);
    }
}

/// Content of OpenAI's: a string for one text, else parts.
fn content(parts: Vec<Value>, text: &str) -> Value {
    match parts.as_slice() {
        [part] if part["type"] == text => part["text"].clone(),
        _ => Value::Array(parts),
    }
}

fn texts(texts: &[String], kind: &str) -> Value {
    content(texts.iter().map(|text| json!({"type": kind, "text": text})).collect(), kind)
}

fn chat_message(entry: &Entry) -> Value {
    match entry {
        Entry::System(System { developer, texts }) => {
            json!({"role": if *developer { "developer" } else { "system" }, "content": self::texts(texts, "text")})
        }
        Entry::User { name, parts } => {
            let mut message =
                json!({"role": "user", "content": content(parts.iter().map(chat_part).collect(), "text")});
            set(&mut message, "name", *name);
            message
        }
        Entry::Result(id, result) => {
            let content = content(result.parts.iter().map(chat_part).collect(), "text");
            let content = if content == json!([]) { json!("") } else { content };
            json!({"role": "tool", "tool_call_id": id, "content": content})
        }
        Entry::Assistant(assistant) => {
            let mut text: Option<String> = None;
            let mut calls = Vec::new();
            for said in &assistant.said {
                match said {
                    Said::Text(said) => text = Some(text.unwrap_or_default() + said),
                    Said::Call { id, name, arguments, .. } => {
                        let function = json!({"name": name, "arguments": arguments});
                        calls.push(json!({"id": id, "type": "function", "function": function}));
                    }
                    Said::Thinking { .. } | Said::Redacted { .. } | Said::Server(_) => {}
                }
            }
            let mut message = json!({"role": "assistant", "content": text});
            if !calls.is_empty() {
                message["tool_calls"] = Value::Array(calls);
            }
            message
        }
    }
}

fn chat_part(part: &Part) -> Value {
    match part {
        Part::Text(text) | Part::SearchResult(text) => json!({"type": "text", "text": text}),
        Part::Picture(picture) => json!({"type": "image_url", "image_url": {"url": data_url(*picture)}}),
        Part::PictureAt(url) => json!({"type": "image_url", "image_url": {"url": url}}),
        Part::Pdf | Part::TextFile(_) => {
            let (name, data) = file(part);
            json!({"type": "file", "file": {"filename": name, "file_data": data}})
        }
    }
}

/// An entry as items of Responses.
fn items(entry: &Entry) -> Vec<Value> {
    match entry {
        Entry::System(System { developer, texts }) => {
            let role = if *developer { "developer" } else { "system" };
            vec![json!({"type": "message", "role": role, "content": self::texts(texts, "input_text")})]
        }
        Entry::User { parts, .. } => {
            let content = content(parts.iter().map(input_part).collect(), "input_text");
            vec![json!({"type": "message", "role": "user", "content": content})]
        }
        Entry::Result(id, result) => {
            let output = content(result.parts.iter().map(input_part).collect(), "input_text");
            vec![json!({"type": "function_call_output", "call_id": id, "output": output})]
        }
        Entry::Assistant(assistant) => {
            let item = |said: &Said| match said {
                Said::Text(text) => json!({"type": "message", "role": "assistant",
                    "content": [{"type": "output_text", "text": text, "annotations": []}]}),
                Said::Thinking { item, .. } | Said::Redacted { item, .. } => item.clone(),
                Said::Server(_) => Value::Null,
                Said::Call { id, name, arguments, .. } => {
                    json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
                }
            };
            assistant.said.iter().map(item).filter(|item| !item.is_null()).collect()
        }
    }
}

fn input_part(part: &Part) -> Value {
    match part {
        Part::Text(text) | Part::SearchResult(text) => json!({"type": "input_text", "text": text}),
        Part::Picture(picture) => json!({"type": "input_image", "image_url": data_url(*picture), "detail": "auto"}),
        Part::PictureAt(url) => json!({"type": "input_image", "image_url": url, "detail": "auto"}),
        Part::Pdf | Part::TextFile(_) => {
            let (name, data) = file(part);
            json!({"type": "input_file", "filename": name, "file_data": data})
        }
    }
}

fn data_url(picture: Picture) -> String {
    format!("data:image/png;base64,{}", files::png(picture))
}

/// A file's name, and its data URL.
fn file(part: &Part) -> (&'static str, String) {
    match part {
        Part::TextFile(text) => ("a.txt", format!("data:text/plain;base64,{}", files::base64(text.as_bytes()))),
        _ => ("a.pdf", format!("data:application/pdf;base64,{}", files::base64(files::PDF))),
    }
}

fn text_blocks(texts: &[String]) -> Vec<Value> {
    texts.iter().map(|text| json!({"type": "text", "text": text})).collect()
}

/// A part as a block of Anthropic's.
pub(crate) fn block(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Picture(picture) => json!({"type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": files::png(*picture)}}),
        Part::PictureAt(url) => json!({"type": "image", "source": {"type": "url", "url": url}}),
        Part::Pdf => json!({"type": "document", "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": files::base64(files::PDF)}}),
        Part::TextFile(text) => json!({"type": "document", "title": "a.txt",
            "source": {"type": "text", "media_type": "text/plain", "data": text}}),
        Part::SearchResult(text) => json!({"type": "search_result", "source": "https://example.com", "title": "A page",
            "content": [{"type": "text", "text": text}]}),
    }
}

fn tool_result(id: &str, result: &CallResult) -> Value {
    let mut block = json!({"type": "tool_result", "tool_use_id": id});
    match result.parts.as_slice() {
        [] => {}
        [Part::Text(text)] => block["content"] = json!(text),
        parts => block["content"] = parts.iter().map(self::block).collect(),
    }
    if result.is_error {
        block["is_error"] = json!(true);
    }
    block
}

/// A block of an assistant message of Anthropic's.
fn said_block(said: &Said) -> Value {
    match said {
        Said::Text(text) => json!({"type": "text", "text": text}),
        Said::Thinking { text, signature, .. } => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        Said::Redacted { data, .. } => json!({"type": "redacted_thinking", "data": data}),
        Said::Server(block) => block.clone(),
        Said::Call { id, name, arguments, .. } => {
            json!({"type": "tool_use", "id": id, "name": name, "input": input(arguments)})
        }
    }
}

/// A call's arguments as an object.
pub(crate) fn input(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap_or_else(|_| json!({}))
}

/// What a client has heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) said: Vec<Said>,
    pub(crate) stop: String,
    /// All tokens of the input, those of them that were cached, and those of the output.
    pub(crate) usage: [u64; 3],
    /// The failure, where it is one.
    pub(crate) error: Option<String>,
}

impl Heard {
    fn failed(error: &Value) -> Heard {
        Heard { error: Some(error.to_string()), ..Heard::default() }
    }
}

/// Reads an answer.
pub(crate) fn heard(door: Door, streamed: bool, status: u16, body: &str) -> Heard {
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| json!(format!("not JSON: {text}")));
    if status != 200 || !streamed {
        let body = parse(body);
        return match door {
            _ if status != 200 => Heard::failed(&json!(format!("{status} {}", body["error"]["message"]))),
            Door::Chat => completion(&body),
            Door::Responses => response(&body),
            Door::Messages => message(&body),
        };
    }
    let lines = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = lines.filter(|data| *data != "[DONE]").map(parse).collect();
    if let Some(error) = events.iter().find(|event| event.get("error").is_some_and(|error| !error.is_null())) {
        return Heard::failed(&json!(format!("in the stream: {}", error["error"]["message"])));
    }
    match door {
        Door::Chat => completion(&chunks(&events)),
        Door::Responses => response_events(&events),
        Door::Messages => message(&message_events(&events)),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn append(to: &mut Value, text: &Value) {
    if let Some(text) = text.as_str() {
        *to = json!(to.as_str().unwrap_or_default().to_owned() + text);
    }
}

fn call(id: &Value, name: &Value, arguments: &Value) -> Said {
    let arguments = text_of(arguments);
    let cut = serde_json::from_str::<Map<String, Value>>(&arguments).is_err() && !arguments.is_empty();
    Said::Call { id: text_of(id), name: text_of(name), arguments, cut }
}

fn completion(body: &Value) -> Heard {
    let choice = &body["choices"][0];
    let message = &choice["message"];
    let mut said = Vec::new();
    if let Some(text) = message["reasoning_content"].as_str() {
        said.push(Said::Thinking { text: text.to_owned(), signature: String::new(), item: Value::Null });
    }
    if let Some(text) = message["content"].as_str().filter(|text| !text.is_empty()) {
        said.push(Said::Text(text.to_owned()));
    }
    for made in message["tool_calls"].as_array().into_iter().flatten() {
        said.push(call(&made["id"], &made["function"]["name"], &made["function"]["arguments"]));
    }
    let usage = &body["usage"];
    let counts =
        [&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cached_tokens"], &usage["completion_tokens"]];
    Heard {
        said,
        stop: text_of(&choice["finish_reason"]),
        usage: counts.map(|count| count.as_u64().unwrap_or(0)),
        error: None,
    }
}

/// The chunks of a completion, put together.
fn chunks(events: &[Value]) -> Value {
    let mut message = json!({});
    let mut calls: BTreeMap<u64, Value> = BTreeMap::new();
    let (mut reason, mut usage) = (Value::Null, Value::Null);
    for event in events {
        if !event["usage"].is_null() {
            usage = event["usage"].clone();
        }
        let choice = &event["choices"][0];
        if !choice["finish_reason"].is_null() {
            reason = choice["finish_reason"].clone();
        }
        for field in ["content", "reasoning_content"] {
            append(&mut message[field], &choice["delta"][field]);
        }
        for delta in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let call = calls.entry(delta["index"].as_u64().unwrap_or(u64::MAX)).or_insert_with(|| json!({}));
            if delta["id"].is_string() {
                call["id"] = delta["id"].clone();
            }
            append(&mut call["function"]["name"], &delta["function"]["name"]);
            append(&mut call["function"]["arguments"], &delta["function"]["arguments"]);
        }
    }
    message["tool_calls"] = calls.into_values().collect();
    json!({"choices": [{"message": message, "finish_reason": reason}], "usage": usage})
}

fn response(body: &Value) -> Heard {
    let mut said = Vec::new();
    for item in body["output"].as_array().into_iter().flatten() {
        let joined =
            |parts: &Value| parts.as_array().into_iter().flatten().map(|part| text_of(&part["text"])).collect();
        match item["type"].as_str() {
            Some("message") => said.push(Said::Text(joined(&item["content"]))),
            Some("reasoning") => {
                let (text, sealed): (String, String) = (joined(&item["summary"]), text_of(&item["encrypted_content"]));
                if text.is_empty() && sealed.starts_with('.') {
                    said.push(Said::Redacted { data: String::new(), item: item.clone() });
                } else if !(text.is_empty() && sealed.is_empty()) {
                    said.push(Said::Thinking { text, signature: String::new(), item: item.clone() });
                }
            }
            Some("function_call") => said.push(call(&item["call_id"], &item["name"], &item["arguments"])),
            other => said.push(Said::Text(format!("an item of type {other:?}"))),
        }
    }
    let stop = match (&body["status"], &body["incomplete_details"]["reason"]) {
        (Value::String(status), Value::String(reason)) => format!("{status}: {reason}"),
        (status, _) => text_of(status),
    };
    let usage = &body["usage"];
    let counts = [&usage["input_tokens"], &usage["input_tokens_details"]["cached_tokens"], &usage["output_tokens"]];
    Heard { said, stop, usage: counts.map(|count| count.as_u64().unwrap_or(0)), error: None }
}

/// The response that a stream ends with, whose texts must be those of its deltas.
fn response_events(events: &[Value]) -> Heard {
    let Some(last) = events.last() else { return Heard::failed(&json!("an empty stream")) };
    let ended = &last["response"];
    if ended["status"] == "failed" {
        return Heard::failed(&json!(format!("in the stream: {}", ended["error"]["message"])));
    }
    let streamed = |kind: &str| -> String {
        events.iter().filter(|event| event["type"] == kind).map(|event| text_of(&event["delta"])).collect()
    };
    let output = || ended["output"].as_array().into_iter().flatten();
    let texts: String = output()
        .flat_map(|item| item["content"].as_array().into_iter().flatten())
        .map(|part| text_of(&part["text"]))
        .collect();
    let arguments: String = output().map(|item| text_of(&item["arguments"])).collect();
    if streamed("response.output_text.delta") != texts
        || streamed("response.function_call_arguments.delta") != arguments
    {
        return Heard::failed(&json!("the deltas are not what the response ends with"));
    }
    response(ended)
}

fn message(body: &Value) -> Heard {
    let mut said = Vec::new();
    for block in body["content"].as_array().into_iter().flatten() {
        match block["type"].as_str() {
            Some("text") => said.push(Said::Text(text_of(&block["text"]))),
            Some("thinking") => said.push(Said::Thinking {
                text: text_of(&block["thinking"]),
                signature: text_of(&block["signature"]),
                item: Value::Null,
            }),
            Some("redacted_thinking") => {
                said.push(Said::Redacted { data: text_of(&block["data"]), item: Value::Null });
            }
            Some("tool_use") => {
                let input = &block["input"];
                let arguments = input.as_str().map_or_else(|| input.to_string(), str::to_owned);
                said.push(call(&block["id"], &block["name"], &json!(arguments)));
            }
            // Of the API, and of no meaning here.
            _ => {}
        }
    }
    let usage = &body["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap_or(0);
    let cached = count("cache_read_input_tokens");
    let input = count("input_tokens") + cached + count("cache_creation_input_tokens");
    Heard { said, stop: text_of(&body["stop_reason"]), usage: [input, cached, count("output_tokens")], error: None }
}

/// The events of a message, put together.
fn message_events(events: &[Value]) -> Value {
    let mut message = json!({});
    let mut blocks: BTreeMap<u64, Value> = BTreeMap::new();
    for event in events {
        let index = event["index"].as_u64().unwrap_or(u64::MAX);
        match event["type"].as_str() {
            Some("message_start") => message = event["message"].clone(),
            Some("content_block_start") => {
                let mut block = event["content_block"].clone();
                if block["type"] == "tool_use" {
                    block["input"] = json!("");
                }
                blocks.insert(index, block);
            }
            Some("content_block_delta") => {
                let delta = &event["delta"];
                let block = blocks.entry(index).or_default();
                match delta["type"].as_str() {
                    Some("text_delta") => append(&mut block["text"], &delta["text"]),
                    Some("thinking_delta") => append(&mut block["thinking"], &delta["thinking"]),
                    Some("signature_delta") => append(&mut block["signature"], &delta["signature"]),
                    Some("input_json_delta") => append(&mut block["input"], &delta["partial_json"]),
                    _ => {}
                }
            }
            Some("message_delta") => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                for (name, count) in event["usage"].as_object().into_iter().flatten() {
                    message["usage"][name] = count.clone();
                }
            }
            _ => {}
        }
    }
    message["content"] = blocks.into_values().collect();
    message
}
