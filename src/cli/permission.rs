//! Whether Claude Code may use one of its own tools, when it asks.

use serde_json::{Value, json};

use super::config::Config;
use super::protocol::ControlRequest;

/// The answer to `can_use_tool`.
pub(crate) fn decide(config: &Config, request: &ControlRequest) -> Value {
    let _ = (config, &request.input, &request.blocked_path);
    json!({"behavior": "deny", "message": format!("The tool {} is not enabled on this server.", request.tool_name)})
}
