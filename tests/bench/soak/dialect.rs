//! The three dialects of the API: how a conversation is asked for in each, and what of an answer is what was said.
//!
//! A conversation is kept in the form of Chat Completions, and put into its dialect when it is sent.

use serde_json::{Map, Value, json};

/// A dialect. A conversation keeps to one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Dialect {
    Chat,
    Responses,
    Messages,
}

/// What came of a chat request that was right.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) text: String,
    /// Id and arguments.
    pub(crate) calls: Vec<(String, String)>,
}

/// What an answer is that is not right.
pub(crate) enum Unfinished {
    /// A failure, by its code: where the dialect has none, its type.
    Failed(String),
    Malformed(String),
}

impl Dialect {
    pub(crate) const ALL: [Dialect; 3] = [Dialect::Chat, Dialect::Responses, Dialect::Messages];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Dialect::Chat => "/v1/chat/completions",
            Dialect::Responses => "/v1/responses",
            Dialect::Messages => "/v1/messages",
        }
    }

    /// A request about these messages, with the function `look`.
    pub(crate) fn request(self, model: &str, messages: &[Value], streamed: bool) -> Value {
        let schema = json!({"type": "object", "properties": {"q": {"type": "string"}}});
        let (name, description) = ("look", "Looks something up");
        let mut body = match self {
            Dialect::Chat => {
                let look = json!({"name": name, "description": description, "parameters": schema});
                json!({"model": model, "messages": messages, "tools": [{"type": "function", "function": look}]})
            }
            Dialect::Responses => {
                let look = json!({"type": "function", "name": name, "description": description, "parameters": schema});
                let input: Vec<Value> = messages.iter().flat_map(items).collect();
                json!({"model": model, "input": input, "tools": [look], "store": false})
            }
            Dialect::Messages => {
                let look = json!({"name": name, "description": description, "input_schema": schema});
                let (system, turns): (Vec<_>, Vec<_>) =
                    messages.iter().partition(|message| message["role"] == "system");
                let turns: Vec<Value> = turns.into_iter().map(turn).collect();
                let mut body = json!({"model": model, "max_tokens": 8000, "messages": turns, "tools": [look]});
                if let Some(system) = system.first() {
                    body["system"] = system["content"].clone();
                }
                body
            }
        };
        if streamed {
            body["stream"] = json!(true);
        }
        body
    }

    /// What is wrong with a failure's JSON, or its code.
    pub(crate) fn failure(self, body: &Value) -> Result<String, &'static str> {
        let error = &body["error"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match self {
            _ if !error["message"].is_string() || !error["type"].is_string() => Err("the error has no message or type"),
            Dialect::Messages if body["type"] != "error" => Err("the error is not Anthropic's"),
            Dialect::Messages => text(&error["type"]).ok_or("no type"),
            _ if error.get("param").is_none() => Err("the error is not OpenAI's"),
            _ => Ok(text(&error["code"]).unwrap_or_default()),
        }
    }

    /// What an answer said that came as one body.
    pub(crate) fn read(self, body: &str) -> Result<Said, Unfinished> {
        let answer: Value = serde_json::from_str(body).map_err(|error| malformed(&error.to_string()))?;
        match self {
            Dialect::Chat => read_completion(&answer),
            Dialect::Responses => read_response(&answer),
            Dialect::Messages => read_message(&answer),
        }
    }

    /// What an answer said that came as events.
    pub(crate) fn read_stream(self, body: &str) -> Result<Said, Unfinished> {
        let events = body.split_terminator("\n\n").filter(|event| !event.starts_with(':'));
        let data = events.map(|event| {
            let data = event.lines().find_map(|line| line.strip_prefix("data: "));
            data.ok_or_else(|| malformed(&format!("a stray event {event:?}")))
        });
        let data: Vec<&str> = data.collect::<Result<_, _>>()?;
        match self {
            Dialect::Chat => read_chunks(&data),
            Dialect::Responses => read_response_events(&data),
            Dialect::Messages => read_message_events(&data),
        }
    }
}

fn malformed(why: &str) -> Unfinished {
    Unfinished::Malformed(why.to_owned())
}

fn json_of(data: &str) -> Result<Value, Unfinished> {
    serde_json::from_str(data).map_err(|_| malformed("an event is no JSON"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A message as items.
fn items(message: &Value) -> Vec<Value> {
    if message["role"] == "tool" {
        let (id, output) = (&message["tool_call_id"], &message["content"]);
        return vec![json!({"type": "function_call_output", "call_id": id, "output": output})];
    }
    let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| {
        let (id, function) = (&call["id"], &call["function"]);
        json!({"type": "function_call", "call_id": id, "name": function["name"], "arguments": function["arguments"]})
    });
    let calls: Vec<Value> = calls.collect();
    let said = json!({"role": message["role"], "content": message["content"]});
    let silent = !calls.is_empty() && message["content"] == "";
    (!silent).then_some(said).into_iter().chain(calls).collect()
}

/// A message as a turn of the Messages API.
fn turn(message: &Value) -> Value {
    if message["role"] == "tool" {
        let (id, content) = (&message["tool_call_id"], &message["content"]);
        return json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": content}]});
    }
    let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| {
        let input = serde_json::from_str(call["function"]["arguments"].as_str().unwrap_or_default());
        let input: Map<String, Value> = input.unwrap_or_default();
        json!({"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": input})
    });
    let calls: Vec<Value> = calls.collect();
    if calls.is_empty() {
        return json!({"role": message["role"], "content": message["content"]});
    }
    let said = (message["content"] != "").then(|| json!({"type": "text", "text": message["content"]}));
    json!({"role": "assistant", "content": said.into_iter().chain(calls).collect::<Vec<_>>()})
}

fn read_completion(completion: &Value) -> Result<Said, Unfinished> {
    let choice = &completion["choices"][0];
    if completion["object"] != "chat.completion" || !choice["finish_reason"].is_string() {
        return Err(malformed("it is no completion"));
    }
    let calls = choice["message"]["tool_calls"].as_array().into_iter().flatten();
    let calls = calls.map(|call| (text(&call["id"]), text(&call["function"]["arguments"])));
    Ok(Said { text: text(&choice["message"]["content"]), calls: calls.collect() })
}

fn read_chunks(events: &[&str]) -> Result<Said, Unfinished> {
    let (mut said, mut finished) = (Said::default(), false);
    let (done, events) = match events {
        [events @ .., "[DONE]"] => (true, events),
        events => (false, events),
    };
    for data in events {
        let chunk = json_of(data)?;
        if let Some(error) = chunk.get("error") {
            if !error["message"].is_string() || finished || done {
                return Err(malformed("an error event out of place"));
            }
            return Err(Unfinished::Failed(error["code"].as_str().unwrap_or("no code").to_owned()));
        }
        let choice = &chunk["choices"][0];
        said.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        for part in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let at = part["index"].as_u64().unwrap_or(0) as usize;
            if said.calls.len() <= at {
                said.calls.resize(at + 1, Default::default());
            }
            said.calls[at].0.push_str(part["id"].as_str().unwrap_or_default());
            said.calls[at].1.push_str(part["function"]["arguments"].as_str().unwrap_or_default());
        }
        finished |= choice["finish_reason"].is_string();
    }
    if finished && done { Ok(said) } else { Err(malformed("the stream has neither an end nor an error")) }
}

fn read_response(response: &Value) -> Result<Said, Unfinished> {
    if response["object"] != "response" {
        return Err(malformed("it is no response"));
    }
    match response["status"].as_str() {
        Some("completed" | "incomplete") => {}
        Some("failed") => return Err(Unfinished::Failed(text(&response["error"]["code"]))),
        _ => return Err(malformed("the response has not ended")),
    }
    let mut said = Said::default();
    for item in response["output"].as_array().into_iter().flatten() {
        match item["type"].as_str() {
            Some("message") => {
                let parts = item["content"].as_array().into_iter().flatten();
                parts.for_each(|part| said.text.push_str(part["text"].as_str().unwrap_or_default()));
            }
            Some("function_call") => said.calls.push((text(&item["call_id"]), text(&item["arguments"]))),
            _ => {}
        }
    }
    Ok(said)
}

/// The last event has the whole response; the texts of the deltas before it must be the same.
fn read_response_events(events: &[&str]) -> Result<Said, Unfinished> {
    let mut told = String::new();
    for (number, data) in events.iter().enumerate() {
        let event = json_of(data)?;
        if event["sequence_number"] != number {
            return Err(malformed("the events are not numbered in order"));
        }
        match event["type"].as_str() {
            Some("response.output_text.delta") => told.push_str(event["delta"].as_str().unwrap_or_default()),
            Some("error") => return Err(Unfinished::Failed(text(&event["code"]))),
            Some("response.completed" | "response.incomplete" | "response.failed") => {
                if number + 1 != events.len() {
                    return Err(malformed("events behind the last"));
                }
                let said = read_response(&event["response"])?;
                return if said.text == told { Ok(said) } else { Err(malformed("the deltas are another text")) };
            }
            _ => {}
        }
    }
    Err(malformed("the stream has neither an end nor an error"))
}

fn read_message(message: &Value) -> Result<Said, Unfinished> {
    if message["type"] != "message" || !message["stop_reason"].is_string() {
        return Err(malformed("it is no message"));
    }
    let mut said = Said::default();
    for block in message["content"].as_array().into_iter().flatten() {
        match block["type"].as_str() {
            Some("text") => said.text.push_str(block["text"].as_str().unwrap_or_default()),
            Some("tool_use") => said.calls.push((text(&block["id"]), block["input"].to_string())),
            _ => {}
        }
    }
    Ok(said)
}

fn read_message_events(events: &[&str]) -> Result<Said, Unfinished> {
    let (mut said, mut stopped) = (Said::default(), false);
    for (number, data) in events.iter().enumerate() {
        let event = json_of(data)?;
        let (block, delta) = (&event["content_block"], &event["delta"]);
        match event["type"].as_str() {
            Some("content_block_start") if block["type"] == "tool_use" => {
                said.calls.push((text(&block["id"]), String::new()));
            }
            Some("content_block_delta") => {
                said.text.push_str(delta["text"].as_str().unwrap_or_default());
                if let (Some(json), Some(call)) = (delta["partial_json"].as_str(), said.calls.last_mut()) {
                    call.1.push_str(json);
                }
            }
            Some("message_delta") => stopped |= delta["stop_reason"].is_string(),
            Some("message_stop") if stopped && number + 1 == events.len() => return Ok(said),
            Some("error") if !stopped => return Err(Unfinished::Failed(text(&event["error"]["type"]))),
            Some("error" | "message_stop") => return Err(malformed("an end out of place")),
            _ => {}
        }
    }
    Err(malformed("the stream has neither an end nor an error"))
}
