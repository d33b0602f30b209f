//! The lines around a turn: `system/init` and `system/status` before it, `result` after it.

use std::time::Instant;

use serde_json::{Value, json};

use super::failure::Failure;
use super::session::Session;
use super::tools::Handshake;
use super::version;

/// What a turn adds up to.
pub(crate) struct Tally {
    pub(crate) started: Instant,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// The CLI counts a turn for the question and one for each `user` line of its own.
    pub(crate) turns: u64,
    pub(crate) stop: Value,
    /// The last block's text.
    pub(crate) text: String,
    pub(crate) structured: Option<Value>,
    /// A result says that the turn ends with it.
    pub(crate) ends: bool,
    /// The model has refused, and been asked once more.
    pub(crate) refused: bool,
    /// The model has been asked to say something that can be seen.
    pub(crate) asked_for_more: bool,
    /// How often it has announced a call and made none.
    pub(crate) missing_calls: u64,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            started: Instant::now(),
            input_tokens: 0,
            output_tokens: 0,
            turns: 1,
            stop: Value::Null,
            text: String::new(),
            structured: None,
            ends: false,
            refused: false,
            asked_for_more: false,
            missing_calls: 0,
        }
    }
}

impl Session {
    /// `system/init`.
    pub(crate) fn init_line(&mut self) {
        let cwd = std::env::current_dir().unwrap_or_default().display().to_string();
        let servers = match (&self.told.server, &self.handshake) {
            (Some(name), Handshake::Connected) => json!([{"name": name, "status": "connected", "source": "sdk"}]),
            (Some(name), _) => json!([{"name": name, "status": "failed", "source": "sdk"}]),
            (None, _) => json!([]),
        };
        let line = json!({"type": "system", "subtype": "init", "cwd": cwd, "tools": self.told.tool_names(),
            "mcp_servers": servers, "model": self.told.model_name(), "permissionMode": "default", "slash_commands": [],
            "apiKeySource": if self.logged_in { "ANTHROPIC_API_KEY" } else { "none" },
            "claude_code_version": version(), "output_style": "default", "agents": ["general-purpose"], "skills": [],
            "plugins": [], "fast_mode_state": "off"});
        self.out.line(line);
    }

    /// `system/status`, before each request to the API.
    pub(crate) fn status_line(&mut self) {
        self.out.line(json!({"type": "system", "subtype": "status", "status": "requesting"}));
    }

    /// The `result` of a message that was only added to the conversation.
    pub(crate) fn acknowledgement(&mut self) {
        let tally = Tally { turns: 0, ..Tally::new() };
        self.result(&tally, json!({"is_error": false, "subtype": "success", "result": ""}));
    }

    /// The `result` of a turn that ended by itself.
    pub(crate) fn success(&mut self, tally: &Tally) {
        let mut fields = json!({"terminal_reason": "completed", "is_error": false, "subtype": "success",
            "api_error_status": null, "result": tally.text});
        if let Some(output) = &tally.structured {
            fields["structured_output"] = output.clone();
        }
        self.result(tally, fields);
    }

    /// The `result` of a turn that was interrupted.
    pub(crate) fn interrupted(&mut self, tally: &Tally, terminal_reason: &str) {
        let stop = tally.stop.as_str().unwrap_or("null");
        let detail = format!("[ede_diagnostic] result_type=user last_content_type=n/a stop_reason={stop}");
        self.result(
            tally,
            json!({"terminal_reason": terminal_reason, "is_error": true, "subtype": "error_during_execution",
                "errors": [detail]}),
        );
    }

    /// The synthetic message and the `result` of a failed turn.
    pub(crate) fn failure(&mut self, failure: &Failure, tally: &mut Tally) {
        self.failure_message(failure);
        self.failure_result(failure, tally);
    }

    pub(crate) fn failure_message(&mut self, failure: &Failure) {
        let text = failure.text.replace("MODEL", self.told.model_name());
        if let Some(limits) = &failure.limit {
            self.out.line(json!({"type": "rate_limit_event", "rate_limit_info": limits}));
        }
        let id = self.out.uuid();
        let line = json!({"type": "assistant", "message": {"id": id, "container": null, "model": "<synthetic>",
            "role": "assistant", "stop_reason": failure.stop_reason(), "stop_sequence": "", "type": "message",
            "usage": {"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0},
            "content": [{"type": "text", "text": text}], "context_management": null}});
        let mut fields = json!({"is_api_error_message": true});
        if !failure.error.is_empty() {
            fields["error"] = json!(failure.error);
        }
        extend(&mut fields, failure.fields());
        if let Some(limits) = &failure.limit {
            let mut info = limits.clone();
            if let Some(info) = info.as_object_mut() {
                info.shift_remove("unifiedWindows");
            }
            fields["api_error_params"] = json!({"rate_limit_info": info});
        }
        self.out.message(line, fields);
    }

    pub(crate) fn failure_result(&mut self, failure: &Failure, tally: &mut Tally) {
        let text = failure.text.replace("MODEL", self.told.model_name());
        tally.stop = json!(failure.stop_reason());
        let mut fields = json!({"terminal_reason": failure.terminal_reason, "is_error": true, "subtype": "success",
            "api_error_status": null, "result": text});
        extend(&mut fields, failure.fields());
        self.result(tally, fields);
    }

    fn result(&mut self, tally: &Tally, fields: Value) {
        let usage = |input: u64, output: u64, cached: u64| {
            if output == 0 {
                return json!({});
            }
            json!({self.told.model_name(): {"inputTokens": input, "outputTokens": output,
                "cacheReadInputTokens": cached, "cacheCreationInputTokens": 0, "webSearchRequests": 0, "costUSD": 0.001,
                "contextWindow": 1_000_000, "maxOutputTokens": 128_000}})
        };
        let cached = if tally.output_tokens > 0 { 7 } else { 0 };
        let ms = u64::try_from(tally.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut line = json!({"duration_api_ms": ms, "stop_reason": tally.stop, "total_cost_usd": 0.001,
            "usage": {"input_tokens": tally.input_tokens, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": cached, "output_tokens": tally.output_tokens,
                "output_tokens_details": {"thinking_tokens": 0},
                "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0}, "service_tier": "standard"},
            "modelUsage": usage(self.input_tokens, self.output_tokens, cached), "permission_denials": [],
            "fast_mode_state": "off", "safety_stops": self.safety_stops, "num_turns": tally.turns, "type": "result",
            "duration_ms": ms, "queued_turn_count": 0, "result_index": self.results,
            "model_usage_since_last_result": usage(tally.input_tokens, tally.output_tokens, cached)});
        extend(&mut line, fields);
        self.results += 1;
        self.failed = line["is_error"] == true;
        self.out.line(line);
    }
}

/// Adds the fields of one object to another.
pub(crate) fn extend(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}
