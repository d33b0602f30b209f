//! The three doors of the API: how a conversation is begun and goes on at each, and what of an answer becomes part of it.

use memchr::memmem;
use serde_json::{Value, json};

/// The limit of tokens that each request has.
pub(crate) const LIMIT: u32 = 4096;

/// A function that the model may call: name, description and schema.
pub(crate) type Function = (String, String, Value);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Door {
    Chat,
    Responses,
    Messages,
}

impl Door {
    pub(crate) const ALL: [Door; 3] = [Door::Chat, Door::Responses, Door::Messages];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Door::Chat => "/v1/chat/completions",
            Door::Responses => "/v1/responses",
            Door::Messages => "/v1/messages",
        }
    }

    /// The body of a conversation's first request, without the question. It has a limit at every door, since one door cannot
    /// be without, and the CLI takes its time over being told.
    pub(crate) fn body(self, model: &str, system: &str, functions: &[Function]) -> Value {
        let tool = |(name, description, schema): &Function| match self {
            Door::Chat => json!({"type": "function",
                "function": {"name": name, "description": description, "parameters": schema}}),
            Door::Responses => json!({"type": "function", "name": name, "description": description,
                "parameters": schema, "strict": false}),
            Door::Messages => json!({"name": name, "description": description, "input_schema": schema}),
        };
        let mut body = match self {
            Door::Chat => json!({"model": model, "max_completion_tokens": LIMIT,
                "messages": [{"role": "system", "content": system}]}),
            Door::Responses => json!({"model": model, "max_output_tokens": LIMIT, "instructions": system,
                "store": false, "input": []}),
            Door::Messages => json!({"model": model, "max_tokens": LIMIT, "system": system, "messages": []}),
        };
        if !functions.is_empty() {
            body["tools"] = functions.iter().map(tool).collect();
        }
        body
    }

    /// The part of a body that grows.
    pub(crate) fn history(self, body: &mut Value) -> &mut Vec<Value> {
        let field = if self == Door::Responses { "input" } else { "messages" };
        body[field].as_array_mut().unwrap()
    }

    /// What gives a call's result.
    pub(crate) fn result(self, call: &Value, text: &str) -> Value {
        match self {
            Door::Chat => json!({"role": "tool", "tool_call_id": call, "content": text}),
            Door::Responses => json!({"type": "function_call_output", "call_id": call, "output": text}),
            Door::Messages => json!({"role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call, "content": text}]}),
        }
    }

    /// What of an answer becomes part of the conversation, and the id of the call that it ended with.
    pub(crate) fn take(self, mut answer: Value) -> (Vec<Value>, Option<Value>) {
        let (said, call) = match self {
            Door::Chat => {
                let message = answer["choices"][0]["message"].take();
                let call = message["tool_calls"][0]["id"].clone();
                (vec![message], call)
            }
            Door::Responses => {
                let output = answer["output"].as_array().unwrap().clone();
                let call = output.iter().find(|item| item["type"] == "function_call");
                let call = call.map_or(Value::Null, |item| item["call_id"].clone());
                (output, call)
            }
            Door::Messages => {
                let content = answer["content"].take();
                let mut blocks = content.as_array().unwrap().iter();
                let call = blocks.find(|block| block["type"] == "tool_use").map_or(Value::Null, |b| b["id"].clone());
                (vec![json!({"role": "assistant", "content": content})], call)
            }
        };
        (said, (!call.is_null()).then_some(call))
    }

    /// Whether some text has come of an answer that is streamed.
    pub(crate) fn has_text(self, received: &[u8]) -> bool {
        const KEY: &[u8] = b"\"content\":\"";
        match self {
            // The first chunk of an answer has the key too, with nothing in it.
            Door::Chat => {
                let mut found = memmem::find_iter(received, KEY);
                found.any(|at| received.get(at + KEY.len()).is_some_and(|byte| *byte != b'"'))
            }
            Door::Responses => memmem::find(received, b"\"type\":\"response.output_text.delta\"").is_some(),
            Door::Messages => memmem::find(received, b"\"type\":\"text_delta\"").is_some(),
        }
    }

    /// The answer that these events were, as one that is not streamed: as much of it as `take` wants.
    pub(crate) fn whole(self, stream: &str) -> Value {
        let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = data.filter_map(|data| serde_json::from_str(data).ok()).collect();
        let ended = match self {
            Door::Chat => stream.ends_with("data: [DONE]\n\n"),
            Door::Responses => events.last().is_some_and(|event| event["type"] == "response.completed"),
            Door::Messages => events.last().is_some_and(|event| event["type"] == "message_stop"),
        };
        assert!(ended, "the answer failed or has no end: {stream}");
        match self {
            Door::Chat => whole_completion(&events),
            Door::Responses => events.last().unwrap()["response"].clone(),
            Door::Messages => whole_message(&events),
        }
    }
}

fn whole_completion(chunks: &[Value]) -> Value {
    let (mut content, mut call) = (String::new(), None::<(Value, String)>);
    for chunk in chunks {
        assert!(chunk["error"].is_null(), "the answer failed: {chunk}");
        let delta = &chunk["choices"][0]["delta"];
        content += delta["content"].as_str().unwrap_or_default();
        let part = &delta["tool_calls"][0];
        if part["id"].is_string() {
            call = Some((part.clone(), String::new()));
        }
        if let Some((_, arguments)) = &mut call {
            *arguments += part["function"]["arguments"].as_str().unwrap_or_default();
        }
    }
    let mut message = json!({"role": "assistant", "content": content});
    if let Some((part, arguments)) = call {
        let function = json!({"name": part["function"]["name"], "arguments": arguments});
        message["tool_calls"] = json!([{"id": part["id"], "type": "function", "function": function}]);
    }
    json!({"choices": [{"message": message}]})
}

fn whole_message(events: &[Value]) -> Value {
    let mut blocks: Vec<(Value, String)> = Vec::new();
    for event in events {
        if event["type"] == "content_block_start" {
            blocks.push((event["content_block"].clone(), String::new()));
        }
        let delta = &event["delta"];
        if let (Some((_, said)), Some(more)) =
            (blocks.last_mut(), delta["text"].as_str().or(delta["partial_json"].as_str()))
        {
            *said += more;
        }
    }
    let content = blocks.into_iter().map(|(mut block, said)| {
        if block["type"] == "tool_use" {
            block["input"] = serde_json::from_str(&said).unwrap();
        } else {
            block["text"] = said.into();
        }
        block
    });
    json!({"content": content.collect::<Vec<_>>()})
}
