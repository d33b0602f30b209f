//! A conversation at any of the three doors: the whole history is sent each time, and answers become part of it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use serde_json::{Value, json};

use crate::client::connect;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Door {
    Chat,
    Responses,
    Messages,
}

pub(crate) const DOORS: [Door; 3] = [Door::Chat, Door::Responses, Door::Messages];

/// A client's side of a conversation.
pub(crate) struct Conversation {
    door: Door,
    connection: SendRequest<Full<Bytes>>,
    body: Value,
    /// The session that the client names.
    pub(crate) session: String,
}

/// What the model answered.
pub(crate) struct Answer {
    /// The id of the call that it ended with.
    pub(crate) call: Option<Value>,
    /// `x-claude-process`.
    pub(crate) process: String,
}

impl Conversation {
    /// With this system prompt and functions: name, description and schema of each.
    pub(crate) async fn open(
        server: SocketAddr,
        door: Door,
        system: &str,
        functions: &[(String, String, Value)],
    ) -> Self {
        let tool = |(name, description, schema): &(String, String, Value)| match door {
            Door::Chat => json!({"type": "function",
                "function": {"name": name, "description": description, "parameters": schema}}),
            Door::Responses => json!({"type": "function", "name": name, "description": description,
                "parameters": schema, "strict": false}),
            Door::Messages => json!({"name": name, "description": description, "input_schema": schema}),
        };
        let tools: Vec<Value> = functions.iter().map(tool).collect();
        let body = match door {
            Door::Chat => json!({"model": "opus", "tools": tools, "messages": [{"role": "system", "content": system}]}),
            Door::Responses => {
                json!({"model": "opus", "tools": tools, "instructions": system, "store": false, "input": []})
            }
            Door::Messages => {
                json!({"model": "opus", "max_tokens": 4096, "tools": tools, "system": system, "messages": []})
            }
        };
        Conversation { door, connection: connect(server).await, body, session: String::new() }
    }

    pub(crate) async fn say(&mut self, text: &str) -> Answer {
        self.send(json!({"role": "user", "content": text})).await
    }

    pub(crate) async fn result(&mut self, call: &Value, text: &str) -> Answer {
        self.send(match self.door {
            Door::Chat => json!({"role": "tool", "tool_call_id": call, "content": text}),
            Door::Responses => json!({"type": "function_call_output", "call_id": call, "output": text}),
            Door::Messages => json!({"role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call, "content": text}]}),
        })
        .await
    }

    fn history(&mut self) -> &mut Vec<Value> {
        let field = if matches!(self.door, Door::Responses) { "input" } else { "messages" };
        self.body[field].as_array_mut().unwrap()
    }

    async fn send(&mut self, said: Value) -> Answer {
        self.history().push(said);
        let path = match self.door {
            Door::Chat => "/v1/chat/completions",
            Door::Responses => "/v1/responses",
            Door::Messages => "/v1/messages",
        };
        let request = Request::post(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .header("anthropic-version", "2023-06-01")
            .header("x-session-affinity", &self.session)
            .body(Full::from(self.body.to_string()));
        self.connection.ready().await.unwrap();
        let response = self.connection.send_request(request.unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert!(head.status.is_success(), "{}: {}", head.status, String::from_utf8_lossy(&body));
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let call = self.take(answer);
        Answer { call, process: head.headers["x-claude-process"].to_str().unwrap().to_owned() }
    }

    /// Makes an answer part of the conversation; the call that it ended with is returned.
    fn take(&mut self, mut answer: Value) -> Option<Value> {
        let (said, call) = match self.door {
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
        self.history().extend(said);
        (!call.is_null()).then_some(call)
    }
}
