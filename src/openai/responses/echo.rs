//! The answer as one object: the fields that repeat its request, and its progress.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::events::{field, json};
use super::output::{OutputItem, OutputJson, Shown};
use super::request::CreateResponse;
use crate::{Error, ErrorKind, Usage};

/// The part of an answer that is the same from its first event to its last.
#[derive(Debug)]
pub(crate) struct Echo {
    /// The id after `resp_`. The items' ids contain it.
    pub(crate) answer: Box<str>,
    pub(crate) created_at: u64,
    pub(crate) background: bool,
    /// The model that really answers.
    pub(crate) model: Box<str>,
    /// The fields that repeat the request, each with a comma before it: `,"background":false,...`
    pub(crate) fields: Bytes,
}

/// An answer's progress.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) queued: bool,
    pub(crate) completed: bool,
    pub(crate) cancelled: bool,
    /// Why it is incomplete.
    pub(crate) incomplete: Option<&'static str>,
    pub(crate) failure: Option<Error>,
    pub(crate) usage: Option<Usage>,
    /// In seconds since 1970.
    pub(crate) completed_at: Option<u64>,
}

impl Outcome {
    pub(crate) fn status(&self) -> &'static str {
        match self {
            Outcome { failure: Some(_), .. } => "failed",
            Outcome { incomplete: Some(_), .. } => "incomplete",
            Outcome { cancelled: true, .. } => "cancelled",
            Outcome { completed: true, .. } => "completed",
            Outcome { queued: true, .. } => "queued",
            _ => "in_progress",
        }
    }
}

impl Echo {
    /// The fields of an answer that repeat its request. Of `settings`, which have their effect, the values are known.
    pub(crate) fn fields(request: &CreateResponse, settings: &Map<String, Value>) -> Bytes {
        let mut out = BytesMut::new();
        field(&mut out, "background", &request.background.unwrap_or(false));
        field(&mut out, "frequency_penalty", settings.get("frequency_penalty").unwrap_or(&json!(0)));
        field(&mut out, "instructions", &request.instructions);
        field(&mut out, "max_output_tokens", &request.max_output_tokens);
        field(&mut out, "max_tool_calls", &request.rest.get("max_tool_calls"));
        let empty = serde_json::Map::new();
        field(&mut out, "metadata", request.metadata.as_ref().unwrap_or(&empty));
        field(&mut out, "parallel_tool_calls", &request.parallel_tool_calls.unwrap_or(true));
        field(&mut out, "presence_penalty", settings.get("presence_penalty").unwrap_or(&json!(0)));
        field(&mut out, "previous_response_id", &request.previous_response_id);
        field(&mut out, "prompt_cache_key", &request.prompt_cache_key);
        let reasoning = request.reasoning.as_ref();
        let summary = reasoning.and_then(|asked| asked.summary.as_ref().or(asked.generate_summary.as_ref()));
        let reasoning = json!({"effort": reasoning.and_then(|asked| asked.effort.as_ref()), "summary": summary});
        field(&mut out, "reasoning", &reasoning);
        field(&mut out, "safety_identifier", &request.safety_identifier);
        field(&mut out, "service_tier", "default");
        field(&mut out, "store", &request.store.unwrap_or(true));
        field(&mut out, "temperature", &settings.get("temperature"));
        field(&mut out, "top_p", &settings.get("top_p"));
        field(&mut out, "text", &text(request, settings));
        field(&mut out, "tool_choice", &tool_choice(request.tool_choice.as_ref()));
        field(&mut out, "tools", request.tools.as_deref().unwrap_or_default());
        field(&mut out, "top_logprobs", &0);
        field(&mut out, "truncation", "disabled");
        if let Some(user) = &request.user {
            field(&mut out, "user", user);
        }
        // Without spare capacity: it may be kept for long.
        Bytes::copy_from_slice(&out)
    }

    /// The fields that repeat the request, as an object.
    pub(crate) fn fields_as_object(&self) -> Result<Box<RawValue>, serde_json::Error> {
        let fields = self.fields.strip_prefix(b",").unwrap_or(&self.fields);
        let object = [b"{", fields, b"}"].concat();
        serde_json::from_slice(&object)
    }

    /// What [`fields_as_object`](Self::fields_as_object) was made of.
    pub(crate) fn fields_of_object(object: &RawValue) -> Result<Bytes, serde_json::Error> {
        let within = object.get().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let within = within.ok_or_else(|| serde::de::Error::custom("the fields of the request are no object"))?;
        Ok(if within.is_empty() { Bytes::new() } else { Bytes::from(format!(",{within}")) })
    }

    /// The whole object at this point of its progress.
    pub(crate) fn write(&self, outcome: &Outcome, items: &[OutputItem], shown: Shown, out: &mut BytesMut) {
        out.put_slice(b"{\"id\":\"resp_");
        out.put_slice(self.answer.as_bytes());
        out.put_slice(br#"","object":"response""#);
        field(out, "created_at", &self.created_at);
        field(out, "status", outcome.status());
        field(out, "completed_at", &outcome.completed_at);
        field(out, "error", &outcome.failure.as_ref().map(failure));
        field(out, "incomplete_details", &outcome.incomplete.map(|reason| json!({"reason": reason})));
        field(out, "model", &self.model);
        field(out, "output", &OutputJson { items, answer: &self.answer, shown });
        out.put_slice(&self.fields);
        if let Some(usage) = outcome.usage {
            out.put_slice(br#","usage":"#);
            json(out, &usage_body(usage));
        }
        out.put_slice(b"}");
    }
}

/// What an answer says about the form of its text. A format has more fields than are named here; none of them is required.
fn text(request: &CreateResponse, settings: &Map<String, Value>) -> Value {
    let format = request.text.as_ref().and_then(|text| text.format.as_ref());
    let format = match format {
        Some(format) if format.kind == "json_schema" => {
            let mut body = json!({"type": "json_schema", "name": format.name, "schema": format.schema});
            if let Some(description) = &format.description {
                body["description"] = json!(description);
            }
            body["strict"] = json!(format.strict);
            body
        }
        Some(format) => json!({"type": format.kind}),
        None => json!({"type": "text"}),
    };
    json!({"format": format, "verbosity": settings.get("verbosity").unwrap_or(&json!("medium"))})
}

/// The tool choice in force, which cannot be a hosted tool, since none is run here.
fn tool_choice(asked: Option<&Value>) -> Value {
    match asked {
        Some(choice) if choice.is_string() => choice.clone(),
        Some(choice) if matches!(choice["type"].as_str(), Some("function" | "custom" | "allowed_tools")) => {
            choice.clone()
        }
        _ => json!("auto"),
    }
}

/// A failure in the terms of this API's answers.
fn failure(error: &Error) -> Value {
    let code = match error.kind() {
        ErrorKind::RateLimited | ErrorKind::Overage | ErrorKind::QueueFull => "rate_limit_exceeded",
        ErrorKind::InvalidRequest
        | ErrorKind::UnsupportedParameter
        | ErrorKind::ContextLengthExceeded
        | ErrorKind::ModelNotFound
        | ErrorKind::RequestTooLarge => "invalid_prompt",
        _ => "server_error",
    };
    json!({"code": code, "message": error.to_string()})
}

fn usage_body(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens.saturating_add(usage.completion_tokens),
    })
}
