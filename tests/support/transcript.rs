//! Normalises a CLI's output so that two runs of the same script give the same text.

use serde_json::{Value, json};

/// What matters in a line, as one line of text; `None` for a line in which two runs of the real CLI differ.
fn normal(line: &Value) -> Option<String> {
    let kind = line["type"].as_str()?;
    Some(match (kind, line["subtype"].as_str()) {
        ("stream_event", _) => {
            let event = &line["event"];
            let rest = match event["type"].as_str()? {
                "message_start" => json!(event["message"]["model"]),
                "content_block_start" => {
                    json!([event["index"], event["content_block"]["type"], event["content_block"]["name"]])
                }
                "content_block_delta" => json!([event["index"], event["delta"]]),
                "content_block_stop" => event["index"].clone(),
                "message_delta" => event["delta"]["stop_reason"].clone(),
                _ => json!(line["abandoned_blocks"].is_object()),
            };
            let nested = if line["parent_tool_use_id"].is_null() { "" } else { "nested " };
            format!("{nested}{} {rest}", event["type"].as_str()?)
        }
        ("assistant", _) => format!(
            "assistant {} {} error={} api={} {} aborted={}",
            line["message"]["content"],
            line["message"]["stop_reason"],
            line["error"],
            line["api_error_status"],
            line["api_error_type"],
            line["aborted"],
        ),
        ("user", _) => format!("user {} synthetic={}", line["message"]["content"], line["isSynthetic"]),
        ("result", _) => {
            let fields = [
                "subtype",
                "is_error",
                "api_error_status",
                "api_error_type",
                "num_turns",
                "stop_reason",
                "terminal_reason",
                "result",
                "structured_output",
                "result_index",
                "permission_denials",
                "safety_stops",
            ];
            let fields: serde_json::Map<_, _> = fields
                .iter()
                .filter(|field| !line[**field].is_null())
                .map(|field| ((*field).to_owned(), line[*field].clone()))
                .collect();
            format!("result {}", Value::Object(fields))
        }
        ("system", Some("init")) => {
            format!("init {} {} {} {}", line["tools"], line["mcp_servers"], line["model"], line["claude_code_version"])
        }
        ("system", Some("api_retry")) => {
            format!("api_retry {} {} {}", line["attempt"], line["error_status"], line["error"])
        }
        ("system", Some("status")) => format!("status {}", line["status"]),
        ("system", subtype) => format!("system {}", subtype?),
        ("control_request", _) => format!("control_request {}", line["request"]),
        ("control_response", _) => {
            let response = &line["response"]["response"];
            let parked = &response["sdk_mcp_manifests_parked"];
            format!("control_response {} {} {parked}", line["response"]["subtype"], line["response"]["error"])
        }
        _ => kind.to_owned(),
    })
}

/// The lines of one run, with ids and addresses replaced. A call's result is printed as soon as the tool gives it, which
/// may be before the end of the message with the call: it is moved behind that.
pub(crate) fn normalised(printed: &[Value], api: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for line in printed {
        let block = &line["event"]["content_block"];
        if block["type"] == "tool_use" {
            ids.push(block["id"].as_str().unwrap().to_owned());
        }
    }
    let (mut lines, mut late) = (Vec::<String>::new(), Vec::new());
    let mut open = false;
    for line in printed {
        let Some(mut text) = normal(line) else { continue };
        for (number, id) in ids.iter().enumerate() {
            text = text.replace(id, &format!("CALL{number}"));
        }
        text = text.replace(api.trim_start_matches("http://"), "ADDRESS");
        // The CLI's estimate, which differs between runs.
        if let Some((before, after)) = text.split_once("is only ~") {
            text = format!("{before}is only ~{}", after.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        }
        // So does the model's message.
        if let Some((before, after)) = text.split_once("Message ID: ") {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            text = format!("{before}Message ID: ID{rest}");
        }
        let event = line["event"]["type"].as_str();
        open = event.is_some_and(|event| event != "message_stop") || (open && event.is_none());
        if open && line["type"] == "user" && line["message"]["content"][0]["type"] == "tool_result" {
            late.push(text);
        } else {
            lines.push(text);
        }
        if !open {
            lines.append(&mut late);
        }
    }
    lines
}
