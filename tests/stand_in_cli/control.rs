//! Control requests: what a client sets, asks and stops.

use serde_json::{Value, json};

use super::session::Session;
use super::told::acceptable;
use super::tools::Handshake;
use super::version;

impl Session {
    /// Does what a `control_request` asks, and answers it.
    pub(crate) fn control(&mut self, line: &Value) {
        let (id, request) = (&line["request_id"], &line["request"]);
        let subtype = request["subtype"].as_str().unwrap_or_default();
        let response = match subtype {
            "initialize" => return self.initialize(id, request),
            "interrupt" if self.busy => {
                self.interrupt = id.as_str().map(str::to_owned);
                return;
            }
            "interrupt" => json!({"still_queued": []}),
            "set_model" => {
                self.set_model(&request["model"]);
                json!({"model": self.told.model_name()})
            }
            "set_max_thinking_tokens" => {
                self.told.thinking = request["max_thinking_tokens"].clone();
                json!({})
            }
            "apply_flag_settings" => {
                self.told.apply(&request["settings"]);
                json!({})
            }
            "get_binary_version" => {
                json!({"version": version(), "buildTime": "2026-11-18T21:07:35Z", "oldestDesktopSdk": "0.3.280"})
            }
            "get_settings" => self.settings(),
            "list_models" => json!({"models": models()}),
            "get_usage" => json!({"session": {"total_cost_usd": 0, "total_api_duration_ms": 0, "model_usage": {}},
                "subscription_type": null, "rate_limits_available": false, "rate_limits": null, "behaviors": null}),
            _ => {
                self.out.raw(&json!({"type": "control_response", "response": {
                    "subtype": "error", "request_id": id,
                    "error": format!("Unsupported control request subtype: {subtype}"),
                    "error_code": "unsupported_request", "response": {}}}));
                return;
            }
        };
        self.respond(id, response);
    }

    /// Answers a control request.
    pub(crate) fn respond(&mut self, id: &Value, response: Value) {
        self.out.raw(&json!({"type": "control_response",
            "response": {"subtype": "success", "request_id": id, "response": response}}));
    }

    fn initialize(&mut self, id: &Value, request: &Value) {
        let first = !self.told.initialized;
        self.told.initialize(request);
        let mut account = json!({"tokenSource": "none", "apiProvider": "firstParty"});
        if self.logged_in {
            account["apiKeySource"] = json!("ANTHROPIC_API_KEY");
        }
        let mut response = json!({
            "commands": [],
            "agents": [{"name": "general-purpose", "description": "General-purpose agent."}],
            "output_style": "default", "available_output_styles": ["default"],
            "models": models(), "account": account, "pid": std::process::id(),
            "claude_code_version": version(), "current_permission_mode": "default",
        });
        let manifest = self.told.server.as_ref().map(|server| &request["sdkMcpServerManifests"][server]);
        let tools = manifest.map(|manifest| manifest["toolsListResult"]["tools"].clone());
        if let (Some(server), Some(Value::Array(_))) = (&self.told.server, &tools) {
            // Said of a manifest that it will not use, too.
            response["sdk_mcp_manifests_parked"] = json!({server: "parked"});
        }
        response["session_state"] = json!("idle");
        response["capabilities"] = json!(["ui_surface_v1"]);
        self.out.raw(&json!({"type": "control_response",
            "response": {"subtype": "success", "request_id": id, "response": response,
                "pending_permission_requests": [], "pending_user_dialog_requests": []}}));
        let Some(tools) = tools.filter(|_| first) else { return };
        if acceptable(&tools) {
            self.handshake = Handshake::Connected;
            self.next_rpc = 2;
            self.told.take_tools(&tools);
        } else {
            self.begin_handshake();
        }
    }

    /// A change in a running conversation leaves its traces there, as if the user had typed `/model`.
    fn set_model(&mut self, model: &Value) {
        let before = self.told.model_name().to_owned();
        self.told.model = model.clone();
        let after = self.told.model_name().to_owned();
        if before == after || self.messages == 0 {
            return;
        }
        let named = model.as_str().unwrap_or("default");
        let shown = if named == after { after } else { format!("{named} ({after})") };
        let stdout = format!("<local-command-stdout>Set model to `{shown}`</local-command-stdout>");
        let line = json!({"type": "user", "message": {"role": "user", "content": stdout}});
        self.out.message(line, json!({"isReplay": true}));
        let command = format!("<command-name>/model</command-name>\n<command-args>{named}</command-args>");
        let texts = ["<local-command-caveat>The command below was run by the user.</local-command-caveat>", &command];
        let blocks: Vec<_> =
            texts.iter().chain([&&*stdout]).map(|text| json!({"type": "text", "text": text})).collect();
        self.told.push("user", Value::Array(blocks));
    }

    fn settings(&self) -> Value {
        let mut settings = json!({"env": self.told.env});
        for (name, value) in &self.told.settings {
            settings[name] = value.clone();
        }
        json!({"effective": settings, "sources": [{"source": "flagSettings", "settings": settings}],
            "applied": {"model": self.told.model_name(), "effort": self.told.settings.get("effortLevel")}})
    }
}

/// The account's models.
fn models() -> Value {
    let model = |value: &str, resolved: &str, name: &str| {
        json!({"value": value, "resolvedModel": resolved, "displayName": name, "description": name,
            "supportsEffort": true, "supportedEffortLevels": ["low", "medium", "high", "xhigh", "max"],
            "supportsAdaptiveThinking": true})
    };
    json!([
        model("default", "claude-opus-5-5", "Default (recommended)"),
        model("opus", "claude-opus-5-5", "Opus"),
        model("fable", "claude-fable-5-2", "Fable"),
        model("sonnet", "claude-sonnet-5-5", "Sonnet"),
        model("haiku", "claude-haiku-5-5", "Haiku"),
    ])
}
